"""How different two versions of one picture look.

``visible_difference`` compares statistics, not pixels, so that a shift by a pixel costs nothing. Both
pictures are brought to a longest side of 256 px and to CIELAB. In every cell of four grids (1 x 1, 3 x 3,
6 x 6 and 12 x 12; cells overlap their neighbours) it takes:

===================  =========================================================  ============================
statistic            of                                                         one unit is
===================  =========================================================  ============================
mean L, a, b         lightness and colour                                       ``COLOUR_UNIT`` (in dE*ab)
chroma               mean of sqrt(a^2 + b^2): drained or garish colour          ``COLOUR_UNIT``
log contrast         ln(std of L + floor)                                       ``LOG_UNIT``
log detail (3)       ln(rms of three octave bands of L + floor)                 ``LOG_UNIT``
log colour blotches  ln(rms of a and b less their blur, + floor)                ``LOG_UNIT``
flatness             mean of exp(-(finest band / ``FLAT_LEVEL``)^2)             ``FLAT_UNIT``
orientation (2)      structure tensor, (gxx - gyy, 2 gxy) / (gxx + gyy)         ``ORIENTATION_UNIT``
clipped (2)          fraction of pixels at black, at white                      ``CLIPPED_UNIT``
===================  =========================================================  ============================

The distance of a cell is the Euclidean norm of its differences in these units. A grid's distance is
``(1 - WORST_SHARE) * mean + WORST_SHARE * mean of the worst sixth of the cells``, so that a local defect
counts. With M, the mean over the grids, the result is ``D = sqrt(M^2 + THRESHOLD^2) - THRESHOLD``, so that invisible
differences count almost nothing. :mod:`redaes.datagen.severity` turns the result into points.

The units were chosen by eye and on photographs so that all embedded edits at full strength give about the same
distance. They are NOT calibrated to human scores. The difference has no sign: it says how far the
edited picture departs from its reference, which is a loss only if the edit is known to degrade. Geometry
is seen only through the statistics that it moves between cells. A mirrored picture, which is neutral by decision, would
have a difference, so the function is not used for neutral edits.
"""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np

from redaes.evidence.picture.planes import ByteImage, FloatArray, blur, check

LONGEST_SIDE = 256
GRIDS = (1, 3, 6, 12)
COLOUR_UNIT = 8 * 2.3
"""Eight just-noticeable differences (2.3 dE*ab: Mahy, Van Eycken and Oosterlinck 1994)."""
LOG_UNIT = 0.7
"""A difference of a logarithm that is about a doubling or halving."""
ORIENTATION_UNIT = 0.5
CLIPPED_UNIT = 0.3
CONTRAST_FLOOR = 2.0
"""Variation of L that is too small to be visible."""
DETAIL_FLOORS = (0.8, 1.0, 1.2, 2.0)
"""Variation too small to be visible, for the three bands of L and for the blotches of a and b."""
FLAT_LEVEL = 0.7
"""Size of the finest band of L at which a pixel counts as flat with weight 1/e."""
FLAT_UNIT = 0.25
BLACK, WHITE = 3 / 255, 252 / 255
"""Encoded values of the largest channel that count as clipped."""
WORST_SHARE = 0.6
THRESHOLD = 0.5
"""Distance well below which differences are invisible."""

_BAND_SIGMAS = (0.7, 1.4, 2.8)


def _resized(image: ByteImage, size: tuple[int, int]) -> FloatArray:
    """Return (H, W, 3) encoded values in [0, 1] at ``size`` (width, height)."""
    values = image.astype(np.float32) / np.float32(255.0)
    if (image.shape[1], image.shape[0]) == size:
        return values
    smaller = size[0] < image.shape[1]
    resized: FloatArray = cv2.resize(values, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    return resized


def _normal_size(image: ByteImage) -> tuple[int, int]:
    """Return the width and height with the longest side at ``LONGEST_SIDE``."""
    height, width = image.shape[:2]
    scale = LONGEST_SIDE / max(height, width)
    return max(16, round(width * scale)), max(16, round(height * scale))


def _lab(encoded: FloatArray) -> FloatArray:
    """Return CIELAB (D65) with L from 0 to 100; OpenCV interpolates in a table, which is exact to about 0.3."""
    lab: FloatArray = cv2.cvtColor(encoded, cv2.COLOR_RGB2Lab)
    return lab


def _half(values: FloatArray) -> FloatArray:
    """Return every second pixel, for values that are smooth enough not to alias."""
    return np.ascontiguousarray(values[::2, ::2])


def _peak(encoded: FloatArray) -> FloatArray:
    """Return the largest channel, (H, W); three slices are much faster than a reduction over the last axis."""
    peak: FloatArray = np.maximum(np.maximum(encoded[..., 0], encoded[..., 1]), encoded[..., 2])
    return peak


def _moments(encoded: FloatArray) -> list[FloatArray]:
    """Return maps, at full or half size, from whose cell means :func:`_statistics` calculates all statistics."""
    lab = _lab(encoded)
    light = np.ascontiguousarray(lab[..., 0])
    colour = _half(blur(np.ascontiguousarray(lab[..., 1:]), _BAND_SIGMAS[0]))
    fine = blur(light, _BAND_SIGMAS[0])
    middle = blur(light, _BAND_SIGMAS[1])
    # At half size, so the blur from 1.4 px to 2.8 px is given in pixels of twice the width.
    small = _half(middle)
    coarse = blur(small, math.sqrt(_BAND_SIGMAS[2] ** 2 - _BAND_SIGMAS[1] ** 2) / 2)
    band = light - fine
    blotches = colour - blur(colour, _BAND_SIGMAS[1])
    gx, gy = cv2.Sobel(fine, cv2.CV_32F, 1, 0) / 8, cv2.Sobel(fine, cv2.CV_32F, 0, 1) / 8
    xx, yy, xy = gx * gx, gy * gy, gx * gy
    peak = _peak(encoded)
    a, b = colour[..., 0], colour[..., 1]
    return [
        light,
        a,
        b,
        np.sqrt(a * a + b * b),
        np.square(light),
        np.square(band),
        np.square(fine - middle),
        np.square(small - coarse),
        np.square(blotches[..., 0]) + np.square(blotches[..., 1]),
        np.exp(-np.square(band / FLAT_LEVEL)),
        xx - yy,
        xy,
        xx + yy,
        (peak <= BLACK).astype(np.float32),
        (peak >= WHITE).astype(np.float32),
    ]


@lru_cache(maxsize=64)
def _windows(size: int) -> FloatArray:
    """Return the weights of overlapping cells along one axis, (sum of GRIDS, size): raised cosines that reach to the
    neighbours' centres, each with the sum 1."""
    rows = []
    for grid in GRIDS:
        position = (np.arange(size) + 0.5) * grid / size
        offset = np.clip(position[None, :] - (np.arange(grid)[:, None] + 0.5), -1.0, 1.0)
        weight = 0.5 + 0.5 * np.cos(math.pi * offset) if grid > 1 else np.ones_like(offset)
        rows.append(weight / weight.sum(axis=1, keepdims=True))
    windows: FloatArray = np.vstack(rows).astype(np.float32)
    return windows


def _cells(moments: list[FloatArray]) -> list[FloatArray]:
    """Return for each grid the means of n maps over overlapping cells, (grid * grid, n)."""
    means = np.stack([_windows(m.shape[0]) @ m @ _windows(m.shape[1]).T for m in moments], axis=2)
    cells: list[FloatArray] = []
    start = 0
    for grid in GRIDS:
        stop = start + grid
        cells.append(means[start:stop, start:stop].reshape(grid * grid, -1).astype(np.float32))
        start = stop
    return cells


def _statistics(cells: FloatArray) -> FloatArray:
    """Return 14 statistics of each of n cells, (n, 14), each in its unit."""
    mean = cells[:, 0:4] / COLOUR_UNIT
    std = np.sqrt(np.maximum(cells[:, 4] - np.square(cells[:, 0]), 0.0))
    contrast = np.log(std + CONTRAST_FLOOR) / LOG_UNIT
    detail = np.log(np.sqrt(cells[:, 5:9]) + np.array(DETAIL_FLOORS, dtype=np.float32)) / LOG_UNIT
    flat = cells[:, 9] / FLAT_UNIT
    # The constant suppresses the orientation of a smooth cell, which nobody can see.
    orientation = cells[:, 10:12] * (1.0, 2.0) / (cells[:, 12:13] + 1.0) / ORIENTATION_UNIT
    clipped = cells[:, 13:15] / CLIPPED_UNIT
    return np.hstack([mean, contrast[:, None], detail, flat[:, None], orientation, clipped])


class Reference:
    """A picture with which others are compared; its statistics are calculated only once."""

    def __init__(self, image: ByteImage) -> None:
        """
        Args:
            image: (H, W, 3) sRGB bytes.

        Raises:
            InputError: the picture is not RGB bytes.
        """
        check(image)
        self._size = _normal_size(image)
        self._grids = self._look(image)

    def _look(self, image: ByteImage) -> list[FloatArray]:
        return [_statistics(cells) for cells in _cells(_moments(_resized(image, self._size)))]

    def difference(self, edited: ByteImage) -> float:
        """Return how different another version of the picture looks: >= 0, 0 for equal pictures.

        Args:
            edited: (H', W', 3) sRGB bytes; another shape is stretched to the reference's.

        Raises:
            InputError: the picture is not RGB bytes.
        """
        check(edited)
        total = 0.0
        for one, other in zip(self._grids, self._look(edited), strict=True):
            distance = np.sort(np.linalg.norm(one - other, axis=1))
            worst = distance[-math.ceil(distance.size / 6) :]
            total += (1 - WORST_SHARE) * float(distance.mean()) + WORST_SHARE * float(worst.mean())
        return math.hypot(total / len(GRIDS), THRESHOLD) - THRESHOLD


def visible_difference(reference: ByteImage, edited: ByteImage) -> float:
    """Return :meth:`Reference.difference` of two pictures; it is symmetric if they have the same shape."""
    return Reference(reference).difference(edited)
