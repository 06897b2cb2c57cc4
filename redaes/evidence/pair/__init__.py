"""Measure two photographs together: their registration, and what only one of them shows."""

from __future__ import annotations

import math

import numpy as np

from redaes.evidence.measurements import Measurements, PairEvidence, Place, Registration, SceneChange
from redaes.evidence.pair.changes import mutually_predicted, regions
from redaes.evidence.pair.common_view import CommonView, common_view
from redaes.evidence.pair.registration import Matrix, Overlay, Points, inverse, lay_over, project, shrunk
from redaes.evidence.pair.sides import added_in
from redaes.evidence.picture import measure
from redaes.evidence.picture.planes import ByteImage, check, place_at

_GRID = 256
"""Number of points along each side of the grid that measures shares of a frame."""

MIN_CORRELATION_OF_CHANGES = 0.3
"""Correlation of the two pictures' fine structure below which nothing is said about changes."""


def _grid(width: int, height: int) -> Matrix:
    """Return (n, 2) pixel positions spread evenly over a frame."""
    steps = (np.arange(_GRID) + 0.5) / _GRID
    x, y = np.meshgrid(steps * width - 0.5, steps * height - 0.5)
    return np.stack([x.ravel(), y.ravel()], axis=1)


def _share_within(matrix: Matrix, size: tuple[int, int], other: tuple[int, int]) -> tuple[float, Matrix]:
    """Return the share of a frame of (width, height) whose points the mapping puts into the other, and (n, 2) these
    points.
    """
    points = _grid(*size)
    mapped = project(matrix, points)
    # The frame reaches half a pixel beyond the outer pixel centres; the rest allows for rounding errors.
    inside = ((mapped > -0.5 - 1e-6) & (mapped < np.array(other) - 0.5 + 1e-6)).all(axis=1)
    return float(inside.mean()), points[inside]


def _registration(first: ByteImage, second: ByteImage, overlay: Overlay) -> Registration:
    matrix = overlay.matrix
    here, there = (first.shape[1], first.shape[0]), (second.shape[1], second.shape[0])
    shown_of_first, common = _share_within(matrix, here, there)
    shown_of_second, _ = _share_within(inverse(matrix), there, here)
    x, y = common.mean(axis=0)
    centre, right, below = project(matrix, np.array([[x, y], [x + 1, y], [x, y + 1]]))
    local = np.stack([right - centre, below - centre], axis=1) * (math.hypot(*here) / math.hypot(*there))
    if overlay.mirrored:
        local[0] *= -1
    turn = math.atan2(local[1, 0] - local[0, 1], local[0, 0] + local[1, 1])  # the rotation of the polar decomposition
    cos, sin = math.cos(turn), math.sin(turn)
    stretched = np.array([[cos, sin], [-sin, cos]]) @ local
    (left, top), (right_end, bottom) = common.min(axis=0), common.max(axis=0)
    keystone = 0.0
    if matrix[2, 0] or matrix[2, 1]:  # otherwise parallel lines stay parallel
        leans = []
        for at in (left, right_end):
            low, high = project(matrix, np.array([[at, bottom], [at, top]]))
            across, up = high[0] - low[0], low[1] - high[1]
            leans.append(math.degrees(math.atan2(across * cos - up * sin, up * cos + across * sin)))
        keystone = (leans[0] - leans[1]) * (-1 if overlay.mirrored else 1)
    return Registration(
        rotation_deg=-math.degrees(turn) + 0.0,  # rows count downwards; no negative zero
        scale=float(abs(np.linalg.det(local))) ** 0.5,
        stretch=float(stretched[0, 0] / stretched[1, 1]),
        keystone_deg=keystone,
        shown_of_first=shown_of_first,
        shown_of_second=shown_of_second,
        mirrored=overlay.mirrored,
        n_points=overlay.n_points,
    )


def _place(matrix: Matrix, at: Matrix, image: ByteImage) -> Place:
    """Return the cell of a picture in which a point of the view lies."""
    x, y = project(matrix, at[None])[0]
    return place_at((x + 0.5) / image.shape[1], (y + 0.5) / image.shape[0])


def _changes(first: ByteImage, second: ByteImage, view: CommonView) -> tuple[SceneChange, ...]:
    found = mutually_predicted(view)
    result = []
    parts = regions(found, view.inside)
    for region, side in zip(parts, added_in(parts, found, view.inside), strict=True):
        at = np.argwhere(region.mask).mean(axis=0)[::-1]
        in_first, in_second = _place(view.to_first, at, first), _place(view.to_second, at, second)
        if side == "B":
            in_first, in_second = in_second, in_first
        result.append(
            SceneChange(side=side, place=in_first, other_place=in_second, area=region.area, contrast=region.contrast)
        )
    return tuple(result)


def measure_pair(
    first: ByteImage,
    second: ByteImage,
    *,
    measured: tuple[Measurements, Measurements] | None = None,
    points: Points | None = None,
) -> PairEvidence:
    """Measure two pictures and, if they show one scene, their registration and what only one of them shows.

    ``measure_pair(b, a)`` is ``measure_pair(a, b).swapped()``: two pictures are always processed in the same order.

    Args:
        first: (H, W, 3) sRGB bytes.
        second: (H', W', 3) sRGB bytes.
        measured: the results of :func:`redaes.evidence.picture.measure` for each, if they exist already.
        points: the points found so far, shared by several pairs so that each picture's points are found once; this
            changes no result.

    Raises:
        InputError: one of them is not an RGB byte picture.
    """
    check(first)
    check(second)
    if measured is None:
        measured = measure(first), measure(second)
    here, there = shrunk(first), shrunk(second)
    turned = (here.shape, here.tobytes()) > (there.shape, there.tobytes())
    if turned:
        here, there = there, here
        measured = measured[::-1]
    registration: Registration | None = None
    changes: tuple[SceneChange, ...] = ()
    overlay = lay_over(here, there, points)
    if overlay is not None:
        registration = _registration(here, there, overlay)
        view = common_view(here, there, overlay) if overlay.correlation >= MIN_CORRELATION_OF_CHANGES else None
        changes = _changes(here, there, view) if view is not None else ()
    evidence = PairEvidence(first=measured[0], second=measured[1], registration=registration, changes=changes)
    return evidence.swapped() if turned else evidence
