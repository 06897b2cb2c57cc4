"""Register one photograph with another of the same scene.

Points that look alike in both (SIFT) propose perspective mappings, and so does the frame itself, for two pictures of
one frame. A proposal is accepted if enough points agree with it in enough places and the fine structure of the two
registered pictures correlates. The pictures may differ in light, colour, blur and noise, which change neither much;
photographs of different things fail both conditions. The simplest mapping that fits the points is kept, in this order:
one frame onto the other; rotation, scale and shift; an affine mapping; a perspective mapping.

Nothing here uses a shared random number generator: OpenCV's RANSAC seeds its own.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from redaes.evidence.picture.planes import ByteImage, FloatArray, reduced

Matrix = NDArray[np.float64]
"""(3, 3) mapping in homogeneous pixel coordinates; also used for (n, 2) points."""

SIDE = 640
"""Longest side, in pixels, at which pictures are registered; smaller pictures are not enlarged."""

MIN_SIDE = 48
"""Pictures whose shorter side is below this many pixels are not registered."""

MIN_PLACES = 12
"""Number of cells of 16 px that must hold agreeing points in each picture: a tight cluster of points proves little."""

MIN_CORRELATION = 0.25
"""Smallest correlation of the two pictures' fine structure for a mapping that was fitted to points."""

MIN_FRAME_CORRELATION = 0.4
"""Smallest correlation for the mapping of one frame onto the other, which is tried without fitting points."""

MANY_POINTS = 40
"""With at least this many agreeing points, the correlation over the whole is enough. Fewer points can all be on one
overlay, such as a watermark, that two different photographs have in common; then ``MIN_OF_MOST`` is required too."""

MIN_OF_MOST = 0.5
"""Smallest correlation that seven of ten cells must reach if fewer than ``MANY_POINTS`` points agree."""

_TOLERANCE = 3.0
_CELL = 16
_NOTHING = 1e-3
"""Mean square of a structure map below which it counts as empty: in a flat picture it is all rounding errors."""

_STRUCTURE_SIDE = 256


@dataclass(frozen=True)
class Overlay:
    """The mapping between two pictures of one scene."""

    matrix: Matrix
    """(3, 3) mapping of pixel centres of the first to those of the second, both shrunk by :func:`shrunk`."""
    n_points: int
    correlation: float
    """Correlation of the fine structure of both pictures where they overlap."""
    mirrored: bool


def shrunk(image: ByteImage) -> ByteImage:
    """Return a picture with its longest side at most :data:`SIDE` pixels."""
    return reduced(image, SIDE)


# --- Structure ----------------------------------------------------------------------------------------


def structure(image: ByteImage) -> FloatArray:
    """Return (H, W) detail between two scales, divided by its local strength: what is independent of light and
    contrast."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    band = cv2.GaussianBlur(grey, (0, 0), 1.5) - cv2.GaussianBlur(grey, (0, 0), 6.0)
    strength = np.sqrt(cv2.GaussianBlur(band * band, (0, 0), 10.0))
    # Flat parts contain nothing but noise, which must not be amplified to the strength of the rest.
    least = 0.25 * float(strength.mean()) + 0.3
    normal: FloatArray = band / (strength + least)
    return normal


def agreement(first: FloatArray, second: FloatArray, matrix: Matrix) -> tuple[float, float]:
    """Return how well two :func:`structure` maps agree after registration.

    Args:
        first: (H, W).
        second: (H', W').
        matrix: mapping from the first to the second, in their pixels.

    Returns:
        The correlation over the whole overlap, and the correlation that seven of ten cells of 16 px reach; both in
        [-1, 1], and 0 if less than a twentieth of the first overlaps.
    """
    height, width = first.shape
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    laid = cv2.warpPerspective(second, matrix, (width, height), flags=flags)
    inside = cv2.warpPerspective(np.ones_like(second), matrix, (width, height), flags=flags) > 0.99
    if inside.sum() < 0.05 * inside.size:
        return 0.0, 0.0
    products = [np.where(inside, product, 0) for product in (first * laid, first * first, laid * laid)]
    both, own, other = (float(product.sum()) for product in products)
    if min(own, other) < _NOTHING * inside.sum():
        return 0.0, 0.0
    whole = both / math.sqrt(own * other)
    cells = (max(1, width // _CELL), max(1, height // _CELL))
    both_in, own_in, other_in = (
        cv2.resize(p.astype(np.float32), cells, interpolation=cv2.INTER_AREA) for p in products
    )
    least = np.minimum(own_in, other_in)
    # A part that is even in one of the pictures, such as a clear sky or a black border, says nothing.
    counted = least > 0.15 * float(np.median(least[least > 0])) if (least > 0).any() else least > 0
    if not counted.any():
        return whole, 0.0
    return whole, float(np.quantile(both_in[counted] / np.sqrt(own_in[counted] * other_in[counted]), 0.3))


# --- Points -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _View:
    """The data of one picture that registration needs."""

    size: tuple[int, int]
    """Width and height."""
    points: FloatArray
    """(n, 2), in pixels."""
    descriptors: FloatArray
    """(n, 128), unit length."""
    structure: FloatArray
    """(h, w), with the longest side at ``_STRUCTURE_SIDE``."""


def _view(image: ByteImage) -> _View:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    # Underexposure and haze lower the contrast, so that without this fewer points would be found.
    grey = cv2.createCLAHE(clipLimit=4.0, tileGridSize=(4, 4)).apply(grey)
    sift = cv2.SIFT.create(nfeatures=1500, contrastThreshold=0.01)
    points, found = sift.detectAndCompute(cv2.GaussianBlur(grey, (0, 0), 0.8), None)
    descriptors = np.zeros((0, 128), dtype=np.float32) if found is None else np.asarray(found, dtype=np.float32)
    # With the square root, the distance between histograms is Hellinger's, which gives small entries more weight.
    descriptors = np.sqrt(descriptors / np.maximum(descriptors.sum(axis=1, keepdims=True), 1e-6))
    scale = min(1.0, _STRUCTURE_SIDE / max(grey.shape))
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image
    return _View(
        size=(image.shape[1], image.shape[0]),
        points=np.array([point.pt for point in points], dtype=np.float32).reshape(-1, 2),
        descriptors=descriptors,
        structure=structure(small),
    )


class Points:
    """Keep the points of pictures that are registered with several others, so that each picture's are found once.

    Use one object for the pictures of a group and discard it with them: it never drops anything by itself.
    """

    def __init__(self) -> None:
        self._views: dict[tuple[tuple[int, ...], bytes], _View] = {}

    def of(self, image: ByteImage) -> _View:
        """Return the points of a picture of (H, W, 3) sRGB bytes, shrunk."""
        # The key is a digest of the bytes, so that the bytes themselves need not be kept.
        key = image.shape, hashlib.sha256(image.tobytes()).digest()
        if key not in self._views:
            self._views[key] = _view(image)
        return self._views[key]


def _matches(first: _View, second: _View) -> tuple[FloatArray, FloatArray]:
    """Return (n, 2) points of each picture that match each other and nothing else in the other picture, best first."""
    if len(first.points) < 8 or len(second.points) < 8:
        return np.zeros((0, 2), dtype=np.float32), np.zeros((0, 2), dtype=np.float32)
    likeness = first.descriptors @ second.descriptors.T  # (n, m), cosines
    distance = np.sqrt(np.maximum(2 - 2 * likeness, 0.0))
    rows = np.arange(len(distance))
    best = distance.argmin(axis=1)
    nearest = distance[rows, best]
    distance[rows, best] = np.inf
    ratio = nearest / np.maximum(distance.min(axis=1), 1e-6)
    kept = np.flatnonzero(ratio < 0.85)
    kept = kept[np.argsort(ratio[kept], kind="stable")]
    # SIFT finds several points of different directions at one position; they must count once.
    start, end = first.points[kept], second.points[best[kept]]
    _, once = np.unique(np.round(np.hstack([start, end])), axis=0, return_index=True)
    once.sort()
    return start[once], end[once]


def _places(points: FloatArray) -> int:
    return len(np.unique(points // 16, axis=0))


def project(matrix: Matrix, points: NDArray[np.floating]) -> Matrix:
    """Map (n, 2) points with a (3, 3) mapping."""
    mapped = np.hstack([points, np.ones((len(points), 1))]) @ matrix.T
    # A point on the mapping's horizon has no image; it becomes infinite and so is never near another point.
    with np.errstate(divide="ignore", invalid="ignore"):
        plane: Matrix = mapped[:, :2] / mapped[:, 2:]
    return plane


def inverse(matrix: Matrix) -> Matrix:
    """Return the inverse mapping."""
    back: Matrix = np.linalg.inv(matrix).astype(np.float64)
    return back


def _errors(matrix: Matrix, start: FloatArray, end: FloatArray) -> Matrix:
    errors: Matrix = np.linalg.norm(project(matrix, start) - end, axis=1)
    return np.nan_to_num(errors, nan=np.inf)


# --- Mappings -----------------------------------------------------------------------------------------


def frame_mapping(first: tuple[int, int], second: tuple[int, int]) -> Matrix:
    """Return the mapping of one frame of (width, height) onto another, corner to corner."""
    x, y = second[0] / first[0], second[1] / first[1]
    # Pixel i covers [i, i + 1], so its centre is at i + 0.5.
    return np.array([[x, 0, 0.5 * x - 0.5], [0, y, 0.5 * y - 0.5], [0, 0, 1.0]])


def _linear(start: FloatArray, end: FloatArray, turn_only: bool) -> Matrix | None:
    """Fit a mapping by least squares: rotation, scale and shift alone (``turn_only``), or a full affine mapping."""
    x, y = start.astype(np.float64).T
    one, none = np.ones_like(x), np.zeros_like(x)
    if turn_only:
        rows = np.vstack([np.stack([x, -y, one, none], axis=1), np.stack([y, x, none, one], axis=1)])
        solved, _, rank, _ = np.linalg.lstsq(rows, end.T.ravel().astype(np.float64), rcond=None)
        a, b, shift_x, shift_y = solved
        return np.array([[a, -b, shift_x], [b, a, shift_y], [0, 0, 1.0]]) if rank == 4 else None
    solved, _, rank, _ = np.linalg.lstsq(np.stack([x, y, one], axis=1), end.astype(np.float64), rcond=None)
    return np.vstack([solved.T, [0, 0, 1.0]]) if rank == 3 else None


def _candidates(start: FloatArray, end: FloatArray, frame: Matrix | None) -> Iterator[Matrix]:
    """Yield mappings of the points, the simplest first."""
    if frame is not None:
        yield frame
    for turn_only in (True, False):
        fitted = _linear(start, end, turn_only)
        if fitted is not None:
            yield fitted
    perspective, _ = cv2.findHomography(start, end, 0)
    if perspective is not None:
        yield perspective


def _plausible(matrix: Matrix, first: tuple[int, int], second: tuple[int, int]) -> bool:
    """Return whether a mapping between two photographs is plausible: it has no fold, no mirroring and no extreme
    perspective, and the frames overlap."""
    width, height = first
    steps = np.linspace(0, 1, 9)
    grid = np.stack(np.meshgrid(steps * (width - 1), steps * (height - 1)), axis=-1).reshape(-1, 2)
    mapped = project(matrix, grid)
    margin = 1.0
    inside = ((mapped > -margin) & (mapped < np.array(second) - 1 + margin)).all(axis=1)
    if inside.sum() < 4:
        return False
    depth = np.hstack([grid[inside], np.ones((int(inside.sum()), 1))]) @ matrix[2]
    if (depth <= 0).any() and (depth >= 0).any():
        return False
    for x, y in grid[inside]:
        # Size and proportion of a small square around the point, after the mapping.
        here, right, below = project(matrix, np.array([[x, y], [x + 1, y], [x, y + 1]]))
        along, down = right - here, below - here
        area = float(along[0] * down[1] - along[1] * down[0])
        longer = max(float(np.hypot(*along)), float(np.hypot(*down)))
        if area <= 0 or longer * longer > 9 * area or not 1 / 10 < math.sqrt(area) < 10:
            return False
    return True


def _fitted(start: FloatArray, end: FloatArray, first: _View, second: _View) -> tuple[Matrix, int] | None:
    """Return the simplest mapping that fits the points, and the number of points that agree with it."""
    if _places(start) < MIN_PLACES or _places(end) < MIN_PLACES:
        return None
    matrix, held = cv2.findHomography(start, end, cv2.RANSAC, _TOLERANCE, maxIters=2000, confidence=0.999)
    if matrix is None:
        return None
    near = held.ravel() == 1
    frame = _same_frame(first, second)
    for _ in range(3):
        if min(_places(start[near]), _places(end[near])) < MIN_PLACES:
            return None
        fits = [(one, _errors(one, start[near], end[near])) for one in _candidates(start[near], end[near], frame)]
        if not fits:
            return None
        least = min(float(np.sqrt((np.minimum(errors, 2 * _TOLERANCE) ** 2).mean())) for _, errors in fits)
        # Points are found to a fraction of a pixel; a mapping with more freedom always fits a little better.
        matrix = next(
            one
            for one, errors in fits
            if float(np.sqrt((np.minimum(errors, 2 * _TOLERANCE) ** 2).mean())) <= 1.1 * least + 0.1
        )
        near = _errors(matrix, start, end) < _TOLERANCE
    places = min(_places(start[near]), _places(end[near]))
    if places < MIN_PLACES or not _plausible(matrix, first.size, second.size):
        return None
    return matrix, int(near.sum())


def _same_frame(first: _View, second: _View) -> Matrix | None:
    """Return the mapping corner to corner if the two frames have the same aspect ratio."""
    ratio = (first.size[0] * second.size[1]) / (first.size[1] * second.size[0])
    return frame_mapping(first.size, second.size) if abs(ratio - 1) < 0.02 else None


def _held(first: _View, second: _View, matrix: Matrix, n_points: int, least: float) -> float | None:
    """Return the correlation of the two structure maps; None if it, or that of most cells, is too low."""
    # The structure maps have another resolution than the pictures that the mapping is for.
    into = frame_mapping(second.size, second.structure.shape[::-1])
    out = frame_mapping(first.structure.shape[::-1], first.size)
    whole, most = agreement(first.structure, second.structure, into @ matrix @ out)
    return whole if whole >= least and (n_points >= MANY_POINTS or most >= MIN_OF_MOST) else None


def _overlay(first: _View, second: _View, mirrored: bool) -> Overlay | None:
    best: Overlay | None = None
    start, end = _matches(first, second)
    fitted = _fitted(start, end, first, second)
    if fitted is not None:
        matrix, n_points = fitted
        found = _held(first, second, matrix, n_points, MIN_CORRELATION)
        if found is not None:
            best = Overlay(matrix, n_points, found, mirrored)
    frame = _same_frame(first, second)
    if frame is not None and (best is None or not np.array_equal(best.matrix, frame)):
        n_points = int((_errors(frame, start, end) < _TOLERANCE).sum()) if len(start) else 0
        found = _held(first, second, frame, n_points, MIN_FRAME_CORRELATION)
        if found is not None and (best is None or found > best.correlation):
            best = Overlay(frame, n_points, found, mirrored)
    return best


def lay_over(first: ByteImage, second: ByteImage, points: Points | None = None) -> Overlay | None:
    """Return the mapping between two pictures of one scene; None if they show different scenes or too little is found.

    If the second picture does not fit, its mirror image is tried.

    Args:
        first: (H, W, 3) sRGB bytes, shrunk.
        second: (H', W', 3) sRGB bytes, shrunk.
        points: the points that were found in pictures so far; None: none.
    """
    if min(*first.shape[:2], *second.shape[:2]) < MIN_SIDE:
        return None
    points = Points() if points is None else points
    here = points.of(first)
    direct = _overlay(here, points.of(second), False)
    if direct is not None:
        return direct
    flipped = _overlay(here, points.of(np.ascontiguousarray(second[:, ::-1])), True)
    if flipped is None:
        return None
    turn = np.array([[-1.0, 0, second.shape[1] - 1], [0, 1, 0], [0, 0, 1]])
    return Overlay(turn @ flipped.matrix, flipped.n_points, flipped.correlation, True)
