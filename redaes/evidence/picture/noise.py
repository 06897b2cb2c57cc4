"""Noise: grain, colour blotches, stray pixels and stripes."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from redaes.evidence.picture.planes import FloatArray, Planes, blur, peak, spans, windows

BLOCK = 16
"""Side, in pixels, of the blocks whose smoothest show the noise."""
SMOOTHEST = 20
"""Percentile of the blocks, by their residual, that is read as noise: texture is in the others."""
LEAST_BLOCKS = 12
CLIPPED_L = (1.5, 98.5)
"""L* beyond which clipping hides noise."""
IMPULSE_STEP = 28
"""Grey levels from the median of the neighbours at which a pixel can be stray."""
COLOUR_SIDE = 768
"""Longest side at which colour blotches, which are several pixels wide, are measured."""

_IMMERKAER = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)


def block_means(values: FloatArray, side: int = BLOCK) -> FloatArray:
    """(H // side, W // side) means over blocks; the remainder at the right and below is left out."""
    height, width = (n // side for n in values.shape)
    if not height or not width:
        return np.zeros((0, 0), dtype=np.float32)
    inner = np.ascontiguousarray(values[: height * side, : width * side])
    means: FloatArray = cv2.resize(inner, (width, height), interpolation=cv2.INTER_AREA)
    return means


def open_blocks(light: FloatArray) -> NDArray[np.bool_]:
    """(H // BLOCK, W // BLOCK) whether a block is not clipped."""
    clipped = ((light < CLIPPED_L[0]) | (light > CLIPPED_L[1])).astype(np.float32)
    is_open: NDArray[np.bool_] = block_means(clipped) < 0.05
    return is_open


def grain(light: FloatArray) -> FloatArray:
    """(n,) standard deviations of noise in L*, one a block that is not clipped.

    Immerkaer 1996: the mean absolute value of his second difference, times sqrt(pi / 2) / 6.
    """
    if min(light.shape) < BLOCK + 2:
        return np.zeros(0, dtype=np.float32)
    residual = np.abs(cv2.filter2D(light, -1, _IMMERKAER, borderType=cv2.BORDER_REFLECT_101))
    deviations: FloatArray = block_means(residual)[open_blocks(light)] * np.float32(math.sqrt(math.pi / 2) / 6)
    return deviations


def measure_noise(planes: Planes) -> dict[str, float]:
    """Noise, chroma noise, stray pixels and stripes."""
    values: dict[str, float] = {}
    blocks = [grain(window.light) for window in windows(planes.image)]
    if sum(len(part) for part in blocks) >= LEAST_BLOCKS:
        values["noise"] = float(np.percentile(np.concatenate(blocks), SMOOTHEST))
    blotches = _blotches(planes)
    if blotches is not None:
        values["chroma_noise"] = blotches
    stray = _impulse(planes)
    if stray is not None:
        values["impulse"] = stray
    stripes = _stripes(planes)
    if stripes is not None:
        values["stripes"] = stripes
    return values


def _blotches(planes: Planes) -> float | None:
    """Root mean square of a* and b* between blurs of 1 and 3 px in the smoothest blocks of the view."""
    colour = planes.view_lab[..., 1:]
    scale = COLOUR_SIDE / max(colour.shape[:2])
    if scale < 1:
        size = (max(1, round(colour.shape[1] * scale)), max(1, round(colour.shape[0] * scale)))
        colour = cv2.resize(colour, size, interpolation=cv2.INTER_AREA)
    if min(colour.shape[:2]) < 2 * BLOCK:
        return None
    band = blur(np.ascontiguousarray(colour), 1.0) - blur(np.ascontiguousarray(colour), 3.0)
    power = block_means(np.square(band[..., 0]) + np.square(band[..., 1]))
    if power.size < LEAST_BLOCKS:
        return None
    return math.sqrt(max(0.0, float(np.percentile(power, SMOOTHEST))))


def _impulse(planes: Planes) -> float | None:
    """Pixels, in percent, that differ from the median of the 3 x 3 pixels around them in some channel by
    ``IMPULSE_STEP`` and by several times what the pixels around them do."""
    if min(planes.height, planes.width) < 5:
        return None
    stray = total = 0
    for rows in spans(planes.height):
        for columns in spans(planes.width):
            part = np.ascontiguousarray(planes.image[rows, columns])
            departure = peak(cv2.absdiff(part, cv2.medianBlur(part, 3)).astype(np.uint8, copy=False))
            usual = cv2.blur(np.minimum(departure, 96), (9, 9), borderType=cv2.BORDER_REFLECT_101)
            stray += int((departure > IMPULSE_STEP + 5.0 * usual.astype(np.float32)).sum())
            total += departure.size
    return 100 * stray / total


def _stripes(planes: Planes) -> float | None:
    """How much whole rows, or whole columns, differ in L* from those next to them, beyond what noise leaves of it.

    The median over the row of the difference to the row below: what a scene changes there averages out, a row that is
    read out too bright does not. The larger of the deviations over rows and over columns, less what a median of so many
    differences deviates by itself.
    """
    light = planes.view_lab[..., 0]
    if min(light.shape) < 32:
        return None
    deviations = []
    for lines in (light, light.T):
        differences = np.diff(lines, axis=0)
        steps = np.median(differences, axis=1)
        spread = 1.4826 * np.median(np.abs(differences - steps[:, None]), axis=1)
        # Neighbours along a line are alike: half of them count.
        chance = 1.2533 * float(np.median(spread)) / math.sqrt(lines.shape[1] / 2)
        deviations.append(math.sqrt(max(0.0, (1.4826 * float(np.median(np.abs(steps)))) ** 2 - chance**2)))
    return max(deviations)
