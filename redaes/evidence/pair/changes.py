"""Find the places where two photographs of one scene show different things.

Each is predicted from the other (:mod:`redaes.evidence.pair.tone`), and a place is changed where neither predicts the
other: what light, colour, blur and noise explain, one direction or the other does. Both are first smoothed until they
hold about the same detail, so that a blurred picture is compared by what it still shows. Misses that edges bring with
them are allowed for by what is usual at edges of that strength in this pair. What remains in compact regions, and is
large and strong enough for how alike the two pictures are elsewhere, is a change.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from redaes.evidence.pair.common_view import CommonView
from redaes.evidence.pair.tone import Mask, predicted
from redaes.evidence.picture.planes import FloatArray

_SMOOTH = (0.8, 1.6, 3.2, 6.4)
"""Sigmas of the smoothing, in pixels of the view."""

_ALIKE = 0.1
"""Share of the local contrast that a prediction may lack for two pictures to hold the same detail."""

_TOO_UNLIKE = 0.5

_FLOOR = 0.1
"""Least distance that counts ..."""

_USUAL = 4.0
"""... and in multiples of what is missed as a rule."""

_BINS = 8
_TEXTURE = 0.02
_SPECK = 0.00015
"""Share of the view below which a region is ignored."""


@dataclass(frozen=True)
class MutualPrediction:
    """Two pictures, what each is predicted to be, and where both predictions miss."""

    first: FloatArray
    """(H, W, 3) in [0, 1], smoothed."""
    second: FloatArray
    first_predicted: FloatArray
    """The first picture as predicted from the second."""
    second_predicted: FloatArray
    missed: FloatArray
    """(H, W) distance of the better prediction: up to sqrt(3), from black to white."""
    edges: FloatArray
    """(H, W) local contrast that both have."""
    sigma: float
    """Sigma of the smoothing, in pixels."""
    lost: float
    """Share of the local contrast that the worse prediction lacks."""


@dataclass(frozen=True)
class Region:
    """A compact part of the view that differs."""

    mask: Mask
    """(H, W), the pixels that differ."""
    area: float
    """Area in percent of the view that both pictures show."""
    contrast: float
    """Mean miss there, in percent of the distance from black to white."""


def local_contrast(image: FloatArray) -> FloatArray:
    """Return (H, W) standard deviation of the colours around a pixel."""
    mean, square = (cv2.GaussianBlur(part, (0, 0), 2.5) for part in (image, image * image))
    spread: FloatArray = np.sqrt(np.maximum(square - mean * mean, 0.0).sum(axis=2))
    return spread


def _lost(contrast: FloatArray, expected: FloatArray, textured: Mask) -> float:
    if not textured.any():
        return 0.0
    return float(np.clip(1 - np.median(expected[textured] / contrast[textured]), 0.0, 1.0))


def _predicted_at(view: CommonView, sigma: float) -> MutualPrediction:
    first, second = (cv2.GaussianBlur(image, (0, 0), sigma) for image in (view.first, view.second))
    second_predicted, first_predicted = predicted(first, second, view.inside), predicted(second, first, view.inside)
    here, there = local_contrast(first), local_contrast(second)
    edges = np.minimum(here, there)
    textured = view.inside & (edges > _TEXTURE)
    if textured.sum() < 0.02 * view.inside.sum():
        textured = np.zeros_like(textured)
    distances = (first - first_predicted, second - second_predicted, first - second)
    # The last: a rare colour has little say in the fit, and what has not changed at all is not missed.
    missed = np.min([np.linalg.norm(distance, axis=2) for distance in distances], axis=0)
    lost = max(
        _lost(here, local_contrast(first_predicted), textured),
        _lost(there, local_contrast(second_predicted), textured),
    )
    return MutualPrediction(first, second, first_predicted, second_predicted, missed, edges, sigma, lost)


def mutually_predicted(view: CommonView) -> MutualPrediction:
    """Predict both pictures at the finest smoothing at which they have the same detail, or at the one nearest to
    that.
    """
    best: MutualPrediction | None = None
    for sigma in _SMOOTH:
        found = _predicted_at(view, sigma)
        if best is None or found.lost < best.lost:
            best = found
        if found.lost <= _ALIKE:
            break
    if best is None:
        raise AssertionError("no smoothing was tried")
    return best


def _usual(found: MutualPrediction, inside: Mask) -> FloatArray:
    """Return (H, W): how much is missed at edges of that strength as a rule."""
    borders = np.quantile(found.edges[inside], np.linspace(0, 1, _BINS + 1))
    number = np.clip(np.searchsorted(borders, found.edges, side="right") - 1, 0, _BINS - 1)
    medians = np.full(_BINS, np.inf)
    for index in range(_BINS):
        chosen = inside & (number == index)
        if chosen.any():
            medians[index] = np.median(found.missed[chosen])
    # A large even thing may fill the bins of weak edges; there is no more to miss there than at stronger ones.
    medians = np.minimum.accumulate(medians[::-1])[::-1]
    held = np.isfinite(medians)
    usual = np.interp(found.edges, ((borders[1:] + borders[:-1]) / 2)[held], medians[held])
    return usual.astype(np.float32)


def regions(found: MutualPrediction, inside: Mask) -> list[Region]:
    """Return the compact parts that differ, largest first; empty where the pictures are too unlike to tell."""
    if found.lost > _TOO_UNLIKE or not inside.any():
        return []
    limit = _FLOOR + _USUAL * _usual(found, inside)
    over = ((found.missed > limit) & inside).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(over, connectivity=8)
    kept = stats[:, cv2.CC_STAT_AREA] >= _SPECK * over.size
    kept[0] = False
    over = kept[labels]
    # Strokes that lie near each other are one thing.
    near = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))
    n_parts, labels = cv2.connectedComponents(cv2.dilate(over.astype(np.uint8), near), connectivity=8)
    result = []
    for index in range(1, n_parts):
        mask = (labels == index) & over
        area = 100.0 * float(mask.sum()) / float(inside.sum())
        excess = float((found.missed[mask] / limit[mask]).mean())
        # Misses that are no thing are small, barely over the limit, at edges, and more where the pictures differ
        # in sharpness.
        needed = 0.1 * (1 + 20 * float(found.edges[mask].mean())) * found.sigma / _SMOOTH[0]
        if found.lost > 1.2 * _ALIKE:
            needed *= 3
        if excess > 1.3 and area * (excess - 1) ** 2 > needed:
            result.append(Region(mask, area, 100.0 * float(found.missed[mask].mean()) / math.sqrt(3)))
    result.sort(key=lambda region: -region.area)
    return result
