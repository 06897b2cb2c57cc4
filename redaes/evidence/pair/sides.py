"""Decide which of two photographs of one scene has an added object at a place where they differ.

An object that only one picture has shows its own outline there, is more even than what it hides, and stands out from
its surroundings. Each of these is measured in both pictures and in the prediction of each from the other, and the sum
of the evidence must be clear.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from redaes.evidence.measurements import Side
from redaes.evidence.pair.changes import MutualPrediction, Region, local_contrast
from redaes.evidence.pair.tone import Mask
from redaes.evidence.picture.planes import FloatArray

WEIGHTS = np.array([0.7, 1.1, 1.2, -3.2])
"""Weights of the values that :func:`evidence` returns. They were fitted (logistic regression without a constant) to
regions of the embedded edits of 30 photographs, with an edit of light, colour, blur or noise in one of the two
pictures."""

CLEAR = 2.0
"""Smallest weighted sum, without its sign, at which a side is named."""

_OWN_COLOUR = 0.15
"""Logarithm of the factor by which the colours of an added object must vary less than those in the other picture."""

_STROKE = 8.0
"""Largest half-width, in pixels of the view, of a region that is made of strokes, such as letters and wires."""

_HINT = 0.7
"""Smallest weighted sum, without its sign, at which a region follows a clear mean of all regions."""

_OUTLINES = ((3.0, 5), (8.0, 9))
"""Sigma of each outline and the size of the gaps that it closes, in pixels of the view."""


@dataclass(frozen=True)
class Drawn:
    """Data of two pictures by which all their regions are judged, computed once."""

    slopes: tuple[tuple[tuple[FloatArray, FloatArray], ...], ...]
    """For each width of ``_OUTLINES`` and for the first picture, its prediction, the second picture and its prediction:
    (H, W, 3) changes of colour to the right and downwards."""
    first_contrast: FloatArray
    """(H, W) local contrast."""
    second_contrast: FloatArray


def _slopes(image: FloatArray, sigma: float) -> tuple[FloatArray, FloatArray]:
    smooth = cv2.GaussianBlur(image, (0, 0), sigma)
    right: FloatArray = cv2.Sobel(smooth, cv2.CV_32F, 1, 0)
    down: FloatArray = cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    return right, down


def drawn(found: MutualPrediction) -> Drawn:
    """Compute the data of two pictures."""
    pictures = (found.first, found.first_predicted, found.second, found.second_predicted)
    return Drawn(
        slopes=tuple(tuple(_slopes(image, sigma) for image in pictures) for sigma, _ in _OUTLINES),
        first_contrast=local_contrast(found.first),
        second_contrast=local_contrast(found.second),
    )


def _outline(slopes: tuple[FloatArray, FloatArray], across: tuple[FloatArray, FloatArray, FloatArray]) -> float:
    """Return the mean change of colour across the outline."""
    right, down = slopes
    x, y, weight = across
    steps = right * x[..., None] + down * y[..., None]
    return float((np.linalg.norm(steps, axis=2) * weight).sum() / (weight.sum() + 1e-9))


def _across(mask: Mask, inside: Mask, sigma: float, gap: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return (H, W) unit vectors across the outline of a region, x and y, and the weight of the outline."""
    filled = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((gap, gap), np.uint8))
    soft = cv2.GaussianBlur(filled.astype(np.float32), (0, 0), sigma)
    x, y = cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1)
    weight = np.where(inside, np.hypot(x, y), 0).astype(np.float32)
    weight[weight < 0.2 * weight.max()] = 0
    length = np.hypot(x, y) + 1e-6
    return x / length, y / length, weight


def _log_ratio(above: float, below: float, floor: float) -> float:
    return float(np.log((above + floor) / (below + floor)))


def evidence(region: Region, found: MutualPrediction, detail: Drawn, inside: Mask) -> NDArray[np.float64]:
    """Return (4,) values, positive as evidence for the second picture and negative for the first: outlines at two
    widths, texture inside relative to that around, variety of colour inside. Exchanging the pictures changes the
    signs."""
    result = []
    for (sigma, gap), slopes in zip(_OUTLINES, detail.slopes, strict=True):
        across = _across(region.mask, inside, sigma, gap)
        first, expected_first, second, expected_second = (_outline(one, across) for one in slopes)
        result.append(_log_ratio(second, expected_second, 0.004) - _log_ratio(first, expected_first, 0.004))
    around = cv2.dilate(region.mask.astype(np.uint8), np.ones((15, 15), np.uint8)) > 0
    around &= inside & ~region.mask
    core = cv2.erode(region.mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    if core.sum() < 20:
        core = region.mask
    if not around.any():
        around = inside
    here, there = detail.first_contrast, detail.second_contrast
    result.append(
        _log_ratio(float(there[core].mean()), float(there[around].mean()), 0.003)
        - _log_ratio(float(here[core].mean()), float(here[around].mean()), 0.003)
    )
    rest = inside & ~region.mask
    contrast = _log_ratio(float(np.median(there[rest])), float(np.median(here[rest])), 0.003) if rest.any() else 0.0
    here_varies, there_varies = (float(image[core].std(axis=0).mean()) for image in (found.first, found.second))
    result.append(_log_ratio(there_varies, here_varies, 0.01) - contrast)
    return np.array(result)


def added_in(parts: list[Region], found: MutualPrediction, inside: Mask) -> list[Side | None]:
    """Return for each region the picture that has something there which the other lacks; None: it is not clear.

    The parts of one object, such as the letters of a stamp, support each other: a region with weak evidence follows a
    clear mean of all regions, and no region is decided against the mean.
    """
    if not parts:
        return []
    detail = drawn(found)
    spoken = [evidence(part, found, detail, inside) for part in parts]
    scores = np.array([float(one @ WEIGHTS) for one in spoken])
    areas = np.array([part.area for part in parts])
    mean, by_area = float(scores.mean()), float(scores @ areas / areas.sum())
    sides: list[Side | None] = []
    for part, score, one in zip(parts, scores, spoken, strict=True):
        # An unsharp object has no outline, but what it hides has: then the variety of colour decides.
        thick = float(cv2.distanceTransform(part.mask.astype(np.uint8), cv2.DIST_L2, 3).max()) > _STROKE
        if thick and -one[-1] * np.sign(score) <= _OWN_COLOUR:
            sides.append(None)
            continue
        alone = abs(score) >= CLEAR and score * mean > 0
        together = abs(mean) >= CLEAR and abs(score) >= _HINT and score * mean > 0 and score * by_area > 0
        side: Side = "B" if score > 0 else "A"
        sides.append(side if alone or together else None)
    return sides
