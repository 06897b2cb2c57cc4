"""Find the places where two photographs of one scene show different things.

Each picture is predicted from the other (:mod:`redaes.evidence.pair.tone`), and a place is changed where neither
prediction fits: a change of light, colour, blur or noise is predicted in at least one of the two directions. Both
pictures are first smoothed until they have about the same detail, so that a blurred picture is compared by what it
still shows. Predictions are less exact at edges; the error that is usual at edges of that strength in this pair is
allowed for. A compact region is a change if it is large and strong enough for how alike the two pictures are elsewhere.
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
"""Two pictures have the same detail if neither prediction lacks more than this share of the local contrast."""

_TOO_UNLIKE = 0.5

_FLOOR = 0.1
"""Smallest prediction error that counts, before what is usual at edges is added."""

_USUAL = 4.0
"""Multiple of the usual error at edges of that strength that is added to ``_FLOOR``."""

_BINS = 8
_TEXTURE = 0.02
_SPECK = 0.00015
"""Share of the view below which a region is ignored."""


@dataclass(frozen=True)
class MutualPrediction:
    """Two pictures, the prediction of each from the other, and the errors that both predictions have."""

    first: FloatArray
    """(H, W, 3) in [0, 1], smoothed."""
    second: FloatArray
    first_predicted: FloatArray
    """The first picture as predicted from the second."""
    second_predicted: FloatArray
    missed: FloatArray
    """(H, W) error of the better prediction, a distance of colours: at most sqrt(3), from black to white."""
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
    """Mean prediction error there, in percent of the distance from black to white."""


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
    # The last distance is that of the unpredicted picture: a rare colour has little weight in the fit, and a place
    # that has not changed at all must not count as an error.
    missed = np.min([np.linalg.norm(distance, axis=2) for distance in distances], axis=0)
    lost = max(
        _lost(here, local_contrast(first_predicted), textured),
        _lost(there, local_contrast(second_predicted), textured),
    )
    return MutualPrediction(first, second, first_predicted, second_predicted, missed, edges, sigma, lost)


def mutually_predicted(view: CommonView) -> MutualPrediction:
    """Predict both pictures at the finest smoothing at which they have the same detail; if there is none, at the one
    at which they differ least in detail.
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
    """Return the (H, W) error that is usual at edges of each pixel's strength."""
    borders = np.quantile(found.edges[inside], np.linspace(0, 1, _BINS + 1))
    number = np.clip(np.searchsorted(borders, found.edges, side="right") - 1, 0, _BINS - 1)
    medians = np.full(_BINS, np.inf)
    for index in range(_BINS):
        chosen = inside & (number == index)
        if chosen.any():
            medians[index] = np.median(found.missed[chosen])
    # A large even object may fill the bins of weak edges; the usual error there is at most that at stronger edges.
    medians = np.minimum.accumulate(medians[::-1])[::-1]
    held = np.isfinite(medians)
    usual = np.interp(found.edges, ((borders[1:] + borders[:-1]) / 2)[held], medians[held])
    return usual.astype(np.float32)


def regions(found: MutualPrediction, inside: Mask) -> list[Region]:
    """Return the compact parts that differ, largest first; empty if the pictures are too unlike to decide."""
    if found.lost > _TOO_UNLIKE or not inside.any():
        return []
    limit = _FLOOR + _USUAL * _usual(found, inside)
    over = ((found.missed > limit) & inside).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(over, connectivity=8)
    kept = stats[:, cv2.CC_STAT_AREA] >= _SPECK * over.size
    kept[0] = False
    over = kept[labels]
    # Strokes that are near each other belong to one object.
    near = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))
    n_parts, labels = cv2.connectedComponents(cv2.dilate(over.astype(np.uint8), near), connectivity=8)
    result = []
    for index in range(1, n_parts):
        mask = (labels == index) & over
        area = 100.0 * float(mask.sum()) / float(inside.sum())
        excess = float((found.missed[mask] / limit[mask]).mean())
        # Errors that are no change are small, barely over the limit and at edges, and there are more of them where
        # the pictures differ in sharpness.
        needed = 0.1 * (1 + 20 * float(found.edges[mask].mean())) * found.sigma / _SMOOTH[0]
        if found.lost > 1.2 * _ALIKE:
            needed *= 3
        if excess > 1.3 and area * (excess - 1) ** 2 > needed:
            result.append(Region(mask, area, 100.0 * float(found.missed[mask].mean()) / math.sqrt(3)))
    result.sort(key=lambda region: -region.area)
    return result
