"""Measure lettering: rows of shapes that look like letters, in date stamps, watermarks, captions and signs."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from redaes.evidence.measurements import Place
from redaes.evidence.picture.planes import FloatArray, Planes, place_at

STROKE = 0.035
"""Widest stroke, as a share of the longest side."""
LIGHT_CONTRASTS = ((8.0, 6), (16.0, 5), (32.0, 4))
"""Pairs of a contrast in L* between a stroke and its surroundings, and the number of letters needed for a row: fainter
letters need more. The higher contrasts exclude a glow or shadow around a stroke."""
YELLOW_CONTRASTS = ((8.0, 6), (16.0, 4), (32.0, 4))
"""The same for b*: the orange of a date stamp, which few scenes have in rows."""
SMALLEST = 8
"""Least height of a letter in pixels of the view."""
TALLEST = 0.3
"""Greatest height of a letter as a share of the height."""
MOST_COMPONENTS = 1500


@dataclass(frozen=True)
class Letters:
    """Components that may be letters, one row each."""

    box: NDArray[np.int64]
    """(n, 4) left, top, width, height."""
    stroke: FloatArray
    """(n,) width of the stroke in pixels."""
    light: FloatArray
    """(n,) mean L*."""


def measure_lettering(planes: Planes) -> tuple[dict[str, float], dict[str, Place]]:
    """Return the lettering, in percent of the frame that its rows cover, and where the largest row is."""
    light = np.ascontiguousarray(planes.view_lab[..., 0])
    yellow = np.ascontiguousarray(planes.view_lab[..., 2])
    height, width = light.shape
    if min(light.shape) < 48:
        return {}, {}
    covered = np.zeros((height, width), dtype=bool)
    largest: tuple[int, Place] | None = None
    side = max(5, round(STROKE * max(height, width))) | 1
    kernel = np.ones((side, side), np.uint8)
    for plane, operation, contrasts in (
        (light, cv2.MORPH_TOPHAT, LIGHT_CONTRASTS),
        (light, cv2.MORPH_BLACKHAT, LIGHT_CONTRASTS),
        (yellow, cv2.MORPH_TOPHAT, YELLOW_CONTRASTS),
    ):
        outstanding = cv2.morphologyEx(plane, operation, kernel)
        for contrast, least in contrasts:
            for left, top, right, bottom in _rows(_letters(outstanding > contrast, plane, least), least):
                covered[top:bottom, left:right] = True
                area = (right - left) * (bottom - top)
                if largest is None or area > largest[0]:
                    largest = area, place_at((left + right) / 2 / width, (top + bottom) / 2 / height)
    return {"lettering": 100 * float(covered.mean())}, {} if largest is None else {"lettering": largest[1]}


def _letters(outstanding: NDArray[np.bool_], light: FloatArray, least: int) -> Letters:
    """Return components of strokes of one width and tone; none where they cannot be as many as ``least``."""
    mask = outstanding.astype(np.uint8)
    # With statistics, this is the fastest of OpenCV's algorithms by a factor of three; all find the same components.
    n, labels, stats, _ = cv2.connectedComponentsWithStatsWithAlgorithm(mask, 8, cv2.CV_32S, cv2.CCL_GRANA)
    box, area = stats[:, :4].astype(np.int64), stats[:, 4]
    wide, tall = np.maximum(box[:, 2], 1), np.maximum(box[:, 3], 1)
    fill = area / (wide * tall)
    fits = (tall >= SMALLEST) & (tall <= TALLEST * mask.shape[0]) & (wide <= 2 * tall) & (fill > 0.12) & (fill < 0.9)
    fits[0] = False
    # A shape that is cut by the frame is no letter.
    height, width = mask.shape
    fits &= (box[:, 0] > 0) & (box[:, 1] > 0) & (box[:, 0] + wide < width) & (box[:, 1] + tall < height)
    if np.count_nonzero(fits) < least:
        return Letters(np.zeros((0, 4), np.int64), np.zeros(0, np.float32), np.zeros(0, np.float32))
    # From here on only the pixels of components that fit so far.
    inside = np.flatnonzero(outstanding)
    flat = labels.ravel()[inside]
    chosen = fits[flat]
    inside, flat = inside[chosen], flat[chosen]
    distance = cv2.distanceTransform(mask, cv2.DIST_L2, 3).ravel()[inside].astype(np.float64)
    tones = light.ravel()[inside].astype(np.float64)
    count = np.maximum(np.bincount(flat, minlength=n), 1)
    mean = np.bincount(flat, weights=distance, minlength=n) / count
    deepest = np.zeros(n)
    np.maximum.at(deepest, flat, distance)
    # The tone of the core of the strokes: their edges are mixed with what is around them.
    core = (distance >= np.minimum(1.2 * mean, deepest)[flat]).astype(np.float64)
    cores = np.maximum(np.bincount(flat, weights=core, minlength=n), 1)
    tone = np.bincount(flat, weights=core * tones, minlength=n) / cores
    squared = np.bincount(flat, weights=core * np.square(tones), minlength=n) / cores
    spread = np.sqrt(np.maximum(squared - tone**2, 0))
    fits &= (deepest <= 2.9 * mean) & (4 * mean <= 0.45 * tall) & (spread < 12)
    kept = np.nonzero(fits)[0]
    if len(kept) > MOST_COMPONENTS:
        kept = kept[np.argsort(-tall[kept], kind="stable")[:MOST_COMPONENTS]]
    return Letters(box[kept], (4 * mean[kept]).astype(np.float32), tone[kept].astype(np.float32))


def _rows(letters: Letters, least: int) -> list[tuple[int, int, int, int]]:
    """Return the left, top, right and bottom of rows of at least ``least``: neighbours of one height, stroke and
    tone.
    """
    n = len(letters.box)
    if n < least:
        return []
    left, top, wide, tall = letters.box.T
    right, middle = left + wide, top + tall / 2
    smaller = np.minimum(tall[:, None], tall[None, :])
    larger = np.maximum(tall[:, None], tall[None, :])
    gap = left[None, :] - right[:, None]
    apart = np.abs(middle[:, None] - middle[None, :]) / smaller
    stroke = np.maximum(letters.stroke[:, None], letters.stroke[None, :]) / np.minimum(
        letters.stroke[:, None], letters.stroke[None, :]
    )
    tone = np.abs(letters.light[:, None] - letters.light[None, :])
    near = (larger <= 1.35 * smaller) & (apart < 0.22) & (stroke <= 1.5) & (tone < 14) & (gap < 1.0 * smaller)
    # Across a space between words, letters must be more alike.
    spaced = (larger <= 1.15 * smaller) & (apart < 0.1) & (stroke <= 1.3) & (tone < 8) & (gap < 2.2 * smaller)
    joined = (near | spaced) & (gap > -0.15 * smaller)
    np.fill_diagonal(joined, False)
    group = np.arange(n)
    for one, two in zip(*np.nonzero(joined), strict=True):
        a, b = group[one], group[two]
        if a != b:
            group[group == max(a, b)] = min(a, b)
    rows = []
    for index in np.unique(group):
        members = group == index
        # Upright bars stand in rows too: most letters are wider than an I.
        if members.sum() >= least and (wide >= 0.35 * tall)[members].sum() >= max(3, members.sum() / 2):
            rows.append(
                (int(left[members].min()), int(top[members].min()), int(right[members].max()),
                 int((top + tall)[members].max()))
            )  # fmt: skip
    return rows
