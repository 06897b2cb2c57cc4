"""Measure noise: grain, colour blotches, stray pixels and stripes."""

from __future__ import annotations

import math

import cv2
import numpy as np

from redaes.evidence.picture.planes import Planes, blur, median, peak
from redaes.evidence.picture.windows import BLOCK, LEAST_BLOCKS, SMOOTHEST, block_means, own_windows, spans

IMPULSE_STEP = 28
"""Grey levels from the median of the neighbours at which a pixel can be stray."""
COLOUR_SIDE = 768
"""Longest side at which colour blotches, which are several pixels wide, are measured."""


def measure_grain(planes: Planes) -> dict[str, float]:
    """Return the noise; empty if too few blocks are unclipped."""
    blocks = [window.grain for window in planes.once(own_windows)]
    if sum(len(part) for part in blocks) < LEAST_BLOCKS:
        return {}
    return {"noise": float(np.percentile(np.concatenate(blocks), SMOOTHEST))}


def measure_blotches(planes: Planes) -> dict[str, float]:
    """Return the root mean square of a* and b* between blurs of 1 and 3 px in the smoothest blocks, at
    ``COLOUR_SIDE``.
    """
    colour = planes.view_lab[..., 1:]
    scale = COLOUR_SIDE / max(colour.shape[:2])
    if scale < 1:
        size = (max(1, round(colour.shape[1] * scale)), max(1, round(colour.shape[0] * scale)))
        colour = cv2.resize(colour, size, interpolation=cv2.INTER_AREA)
    if min(colour.shape[:2]) < 2 * BLOCK:
        return {}
    colour = np.ascontiguousarray(colour)
    band = blur(colour, 1.0) - blur(colour, 3.0)
    power = block_means(np.square(band[..., 0]) + np.square(band[..., 1]))
    if power.size < LEAST_BLOCKS:
        return {}
    return {"chroma_noise": math.sqrt(max(0.0, float(np.percentile(power, SMOOTHEST))))}


def measure_impulse(planes: Planes) -> dict[str, float]:
    """Return pixels, in percent, that differ from the median of the 3 x 3 pixels around them in some channel by
    ``IMPULSE_STEP`` and by several times what the pixels around them do."""
    if min(planes.height, planes.width) < 5:
        return {}
    stray = total = 0
    for rows in spans(planes.height):
        for columns in spans(planes.width):
            part = np.ascontiguousarray(planes.image[rows, columns])
            departure = peak(cv2.absdiff(part, cv2.medianBlur(part, 3)).astype(np.uint8, copy=False))
            usual = cv2.blur(np.minimum(departure, 96), (9, 9), borderType=cv2.BORDER_REFLECT_101)
            stray += int((departure > IMPULSE_STEP + 5.0 * usual.astype(np.float32)).sum())
            total += departure.size
    return {"impulse": 100 * stray / total}


def measure_stripes(planes: Planes) -> dict[str, float]:
    """Return how much whole rows, or whole columns, differ in L* from their neighbours, beyond what noise explains.

    The median over the row of the difference to the row below: what a scene changes there averages out, a row that is
    read out too bright does not. The larger of the deviations over rows and over columns, less what a median of so many
    differences deviates by itself.
    """
    light = planes.view_lab[..., 0]
    if min(light.shape) < 32:
        return {}
    deviations = []
    for lines in (np.ascontiguousarray(light), np.ascontiguousarray(light.T)):
        differences = np.diff(lines, axis=0)
        steps = median(differences)
        spread = 1.4826 * median(np.abs(differences - steps[:, None]))
        # Neighbouring pixels of a line are correlated, so only half of them count.
        chance = 1.2533 * float(median(spread)) / math.sqrt(lines.shape[1] / 2)
        deviations.append(math.sqrt(max(0.0, (1.4826 * float(median(np.abs(steps)))) ** 2 - chance**2)))
    return {"stripes": max(deviations)}
