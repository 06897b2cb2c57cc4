"""Decide by their detail whether two photographs show the same thing: points that agree, and what has changed between
them.

Points that look alike in both (SIFT) propose how the second lies over the first: one turn, scale and shift for the
frame, and up to three more for what moved by itself. Once registered, points are compared patch by patch, and places by
their colour, after a common change of light and colour is removed. What two pictures of one layout have in common, such
as a horizon, a page's lines or a backdrop, is not enough: too few points agree, or what matters has changed. Thresholds
are ours; docs/ranking.md has what was measured with them.

:mod:`redaes.evidence.pair` registers pictures too, to measure what an edit did; here it only matters whether they
belong together, which takes a fifth of the time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

PIXELS, MIN_PIXELS = 110_000, 40_000
"""Largest and smallest area at which pictures are compared: in smaller ones too few points are found."""

N_POINTS = 500
"""Most points of a picture."""

MIN_POINTS = 8
"""Points that must agree with one turn, scale and shift ..."""

FEW_POINTS, MIN_SHARE_OF_FEW = 5, 0.35
"""... or so many, where they are this share of all points of a picture without much detail."""

MIN_PLACES, FEW_PLACES = 6, 5
"""Cells of 20 px in which those points must lie, in either picture; where there are few points."""

MIN_EXPLAINED = 0.75
"""Share of all points around which the other picture looks the same."""

MIN_SHARE = 0.28
"""Share of all points that agree: pages of one form have less in common ..."""

MIN_SHARE_BLURRED, BLURRED = 0.06, 1.2
"""... and pictures too of which one is blurred or noisy, which shows by how much detail they have, as a ratio."""

_TOLERANCE = 4.0  # pixels
_N_MOTIONS = 4
_MIN_POINTS_OF_MOTION = 8
_PATCH = 7  # radius, in pixels
_SAME_PATCH = 0.7  # correlation
_PATCH_SHIFTS = tuple((x, y) for x in (0, -2, 2) for y in (0, -2, 2))  # the likeliest first
_N_FORGIVEN = 2  # points: in a picture of thirty, two are no share
_COLOUR_GRID = (16, 12)
_OTHER_COLOUR = 10.0  # in CIELAB, lightness counted half
_AWAY = 1 / 14  # of the root of the area: from here on, a point has no neighbour that agrees

FloatArray = NDArray[np.float32]
Mapping2D = NDArray[np.float64]
"""(2, 3): from points of one picture to those of the other."""


@dataclass(frozen=True)
class PictureDetail:
    """The data of a picture that are compared, some 400 KB."""

    size: tuple[int, int]
    """Width and height at which everything here was found."""
    points: FloatArray
    """(n, 2), in pixels."""
    descriptors: FloatArray
    """(n, 128), unit length."""
    grey: FloatArray
    """(H, W), a little smoothed."""
    colours: FloatArray
    """(H / 4, W / 4, 3) CIELAB, smoothed."""
    fineness: float
    """Strength of fine structure over that of coarse structure."""


@dataclass(frozen=True)
class SharedDetail:
    """The detail that two pictures have in common."""

    likeness: float
    """Likeness: 1: everything visible in one is in the other; 0: nothing shows that they have the same subject."""
    mapping: Mapping2D | None
    """The mapping from the first to the second; None: not known."""


_NOTHING_SHARED = SharedDetail(0.0, None)


def detail_of(image: Image.Image) -> PictureDetail:
    """Return the data of an RGB picture of any size that are compared."""
    rgb = np.asarray(image)
    area = rgb.shape[0] * rgb.shape[1]
    scale = math.sqrt(min(PIXELS, max(MIN_PIXELS, area)) / area)
    if scale != 1.0:
        size = max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale))
        rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if scale < 1.0 else cv2.INTER_CUBIC))
    grey = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))
    # Underexposure and haze would take the points' contrast, and with it the points.
    darkest, brightest = np.percentile(grey, (1, 99))
    stretched = np.clip((grey - darkest) * (255.0 / max(1.0, brightest - darkest)), 0, 255).astype(np.uint8)
    even = cv2.createCLAHE(clipLimit=4.0, tileGridSize=(4, 4)).apply(stretched)
    sift = cv2.SIFT.create(nfeatures=N_POINTS, contrastThreshold=0.01)
    found, descriptors = sift.detectAndCompute(cv2.GaussianBlur(even, (0, 0), 0.8), None)
    rows = np.zeros((0, 128), dtype=np.float32) if descriptors is None else np.asarray(descriptors, dtype=np.float32)
    small = cv2.resize(rgb, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA) if min(grey.shape) > 8 else rgb
    exact = grey.astype(np.float32)
    fine = exact - cv2.GaussianBlur(exact, (0, 0), 1.0)
    coarse = cv2.GaussianBlur(exact, (0, 0), 3.0) - cv2.GaussianBlur(exact, (0, 0), 9.0)
    return PictureDetail(
        size=(grey.shape[1], grey.shape[0]),
        points=np.array([point.pt for point in found], dtype=np.float32).reshape(-1, 2),
        # The square root makes the distance of histograms Hellinger's, which heeds small entries more.
        descriptors=np.sqrt(rows / np.maximum(rows.sum(axis=1, keepdims=True), 1e-6)),
        grey=cv2.GaussianBlur(exact, (0, 0), 1.2),
        colours=cv2.cvtColor(cv2.GaussianBlur(small, (0, 0), 1.0).astype(np.float32) / 255, cv2.COLOR_RGB2LAB),
        fineness=float(np.sqrt((fine * fine).mean()) / (np.sqrt((coarse * coarse).mean()) + 0.3)),
    )


def shared_detail(first: PictureDetail, second: PictureDetail) -> SharedDetail:
    """Return how much of two pictures' detail is the same, wherever in the frame it lies."""
    start, end = _matches(first, second)
    motions, agreeing = _motions(start, end)
    if not motions:
        return _NOTHING_SHARED
    back = [np.asarray(cv2.invertAffineTransform(motion)) for motion in motions]
    inside = (
        _within(_moved(first.points, motions[0]), second.size).sum(),
        _within(_moved(second.points, back[0]), first.size).sum(),
    )
    share = float(agreeing.sum()) / max(1, int(min(inside)))
    main = _held_by(motions[0], start, end)
    few = int(main.sum()) < MIN_POINTS
    if few and share < MIN_SHARE_OF_FEW:
        return _NOTHING_SHARED
    if min(_n_places(start[main]), _n_places(end[main])) < (FEW_PLACES if few else MIN_PLACES):
        return _NOTHING_SHARED
    ratio = max(first.fineness, second.fineness) / max(min(first.fineness, second.fineness), 1e-6)
    if share < (MIN_SHARE if ratio < BLURRED else MIN_SHARE_BLURRED):
        return SharedDetail(0.0, motions[0])
    here = _Compared(first, second, motions, start[agreeing])
    there = _Compared(second, first, back, end[agreeing])
    explained = np.concatenate([here.explained[here.inside], there.explained[there.inside]])
    if explained.mean() < MIN_EXPLAINED:
        return SharedDetail(0.0, motions[0])
    lost = here.n_lost() + there.n_lost()
    recoloured = (here.recoloured() + there.recoloured()) / 2
    changed = max(0, lost - _N_FORGIVEN) / len(explained) + recoloured
    return SharedDetail(max(0.0, 1.0 - changed), motions[0])


def _matches(first: PictureDetail, second: PictureDetail) -> tuple[FloatArray, FloatArray]:
    """Return (n, 2) points of each that look alike, each the other's nearest, and like nothing else."""
    if min(len(first.points), len(second.points)) < 4:
        return np.zeros((0, 2), dtype=np.float32), np.zeros((0, 2), dtype=np.float32)
    distance = np.sqrt(np.maximum(2.0 - 2.0 * (first.descriptors @ second.descriptors.T), 0.0))
    rows = np.arange(len(distance))
    best, back = distance.argmin(axis=1), distance.argmin(axis=0)
    nearest = distance[rows, best]
    distance[rows, best] = np.inf
    kept = np.flatnonzero((nearest < 0.85 * np.maximum(distance.min(axis=1), 1e-6)) & (back[best] == rows))
    start, end = first.points[kept], second.points[best[kept]]
    # SIFT puts several points of different directions on one spot, which would count more than once.
    _, once = np.unique(np.round(np.hstack([start, end])), axis=0, return_index=True)
    once.sort()
    return start[once], end[once]


def _motions(start: FloatArray, end: FloatArray) -> tuple[list[Mapping2D], NDArray[np.bool_]]:
    """Return the motion of the frame, then the motions of what moved by itself; and which points agree with one of
    them.
    """
    open_ = np.ones(len(start), dtype=bool)
    motions: list[Mapping2D] = []
    for least in (FEW_POINTS, *(_MIN_POINTS_OF_MOTION,) * (_N_MOTIONS - 1)):
        if open_.sum() < least:
            break
        # OpenCV seeds the generator of this by itself, so that the same points give the same answer.
        motion, held = cv2.estimateAffinePartial2D(
            start[open_], end[open_], method=cv2.RANSAC, ransacReprojThreshold=_TOLERANCE, maxIters=1000
        )
        if motion is None or held.sum() < least or not 0.5 < math.hypot(motion[0, 0], motion[0, 1]) < 2.0:
            break
        motions.append(np.asarray(motion, dtype=np.float64))
        open_[np.flatnonzero(open_)[held.ravel() == 1]] = False
    return motions, ~open_


def _held_by(motion: Mapping2D, start: FloatArray, end: FloatArray) -> NDArray[np.bool_]:
    return np.asarray(np.linalg.norm(_moved(start, motion) - end, axis=1) < _TOLERANCE)


def _moved(points: FloatArray, motion: Mapping2D) -> FloatArray:
    moved: FloatArray = (points @ motion[:, :2].T + motion[:, 2]).astype(np.float32)
    return moved


def _n_places(points: FloatArray) -> int:
    return len(np.unique(points // 20, axis=0))


def _within(points: FloatArray, size: tuple[int, int]) -> NDArray[np.bool_]:
    return np.asarray(((points >= 0) & (points <= np.array(size) - 1)).all(axis=1))


def _sampled(plane: FloatArray, places: FloatArray) -> FloatArray:
    """Return values of a plane at places of shape (..., 2), in its pixels."""
    x, y = (np.ascontiguousarray(places[..., axis], dtype=np.float32) for axis in (0, 1))
    sampled: FloatArray = cv2.remap(plane, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return sampled


def _patches(grey: FloatArray, points: FloatArray, motion: Mapping2D | None, shift: tuple[int, int]) -> FloatArray:
    """Return (n, values) around points, or around where a motion takes them, of mean 0 and length 1."""
    # Every second pixel, because the picture is smoothed.
    steps = np.arange(-_PATCH, _PATCH + 1, 2, dtype=np.float32)
    around = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(1, -1, 2)
    places = (points[:, None] + around).astype(np.float32)  # (n, values, 2): OpenCV takes no side above 32,767
    moved = places if motion is None else _moved(places, motion)
    patches = _sampled(grey, moved + np.array(shift, dtype=np.float32))
    patches = patches - patches.mean(axis=1, keepdims=True)
    unit: FloatArray = patches / np.maximum(np.linalg.norm(patches, axis=1, keepdims=True), 1e-3)
    return unit


class _Compared:
    """One picture compared with the other, at its points and at places of a grid."""

    def __init__(
        self, one: PictureDetail, other: PictureDetail, motions: list[Mapping2D], agreeing: FloatArray
    ) -> None:
        """
        Args:
            one: whose points and places are looked for.
            other: where they are looked for.
            motions: from the first to the other.
            agreeing: (n, 2) points of the first that are known to be there.
        """
        self._one, self._other, self._motions, self._agreeing = one, other, motions, agreeing
        self.inside = _within(_moved(one.points, motions[0]), other.size)
        """Which points lie in what both show."""
        self.explained = np.zeros(len(one.points), dtype=bool)
        """Around which points the other looks the same, after one of the motions."""
        own = _patches(one.grey, one.points, None, (0, 0))
        for motion in motions:
            within = _within(_moved(one.points, motion), other.size)
            for shift in _PATCH_SHIFTS:
                open_ = np.flatnonzero(within & ~self.explained)
                if len(open_):
                    found = _patches(other.grey, one.points[open_], motion, shift)
                    self.explained[open_] = (own[open_] * found).sum(axis=1) > _SAME_PATCH

    def n_lost(self) -> int:
        """Return points inside around which the other looks different, and near which no point agrees."""
        open_ = self._one.points[self.inside & ~self.explained]
        if not len(open_):
            return 0
        distance = np.linalg.norm(open_[:, None] - self._agreeing[None], axis=2).min(axis=1)
        width, height = self._one.size
        return int((distance > _AWAY * math.sqrt(width * height)).sum())

    def recoloured(self) -> float:
        """Return the share of the places that both show whose colour is another, however light and colour changed as a
        whole.
        """
        columns, rows = _COLOUR_GRID
        across, down = np.meshgrid((np.arange(columns) + 0.5) / columns, (np.arange(rows) + 0.5) / rows)
        places = (np.stack([across, down], axis=-1).reshape(-1, 2) * self._one.size).astype(np.float32)
        own = self._colours(self._one, places)
        inside = _within(_moved(places, self._motions[0]), self._other.size)
        if inside.sum() < 8:
            return 1.0
        moved = _moved(places, self._motions[0])
        expected = _as_changed(own, self._colours(self._other, moved), inside)
        nearest = np.full(len(places), np.inf)
        for motion in self._motions:
            moved = _moved(places, motion)
            apart = (expected - self._colours(self._other, moved)) * (0.5, 1.0, 1.0)
            distance = np.where(_within(moved, self._other.size), np.linalg.norm(apart, axis=1), np.inf)
            nearest = np.minimum(nearest, distance)
        return float((nearest[inside] > _OTHER_COLOUR).mean())

    @staticmethod
    def _colours(of: PictureDetail, places: FloatArray) -> FloatArray:
        height, width = of.colours.shape[:2]
        scale = np.array([width / of.size[0], height / of.size[1]], dtype=np.float32)
        return np.asarray(_sampled(of.colours, places[:, None] * scale)[:, 0], dtype=np.float32)


def _as_changed(own: FloatArray, other: FloatArray, inside: NDArray[np.bool_]) -> FloatArray:
    """Return colours after the change that most places have in common: a straight line for each channel."""
    expected = np.empty_like(own)
    for channel in range(3):
        x, y = own[inside, channel].astype(np.float64), other[inside, channel].astype(np.float64)
        design = np.stack([x, np.ones_like(x)], axis=1)
        weight = np.ones_like(x)
        for _ in range(4):  # places that are off the line count less each time
            slope, offset = np.linalg.lstsq(design * weight[:, None], y * weight, rcond=None)[0]
            weight = 1.0 / np.sqrt(1.0 + ((design @ (slope, offset) - y) / 4.0) ** 2)
        if channel and not 0.25 < slope < 4.0:  # colours that do not depend on each other
            slope, offset = 1.0, float(np.median(y - x))
        expected[:, channel] = own[:, channel] * slope + offset
    return expected
