"""Windows of a picture at its own resolution, and the blocks in them, where detail and noise are measured."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from redaes.evidence.picture.planes import ByteImage, FloatArray, Planes, lightness

WINDOW = 256
"""Side, in pixels, of the windows."""
MAX_WINDOWS = 8
"""Largest number of windows along either side; a larger picture is sampled by this many, evenly spaced."""
BLOCK = 16
"""Side, in pixels, of the blocks in which noise is measured; the smoothest ones show it."""
SMOOTHEST = 20
"""Percentile of the blocks' residuals that is taken as noise; the other blocks contain texture."""
LEAST_BLOCKS = 12
CLIPPED_L = (1.5, 98.5)
"""L* beyond which clipping hides noise."""

_IMMERKAER = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)


@dataclass(frozen=True)
class Window:
    """A part of a picture at its own resolution."""

    top: int
    left: int
    light: FloatArray
    """(h, w) L*."""

    @cached_property
    def open_blocks(self) -> NDArray[np.bool_]:
        """(h // BLOCK, w // BLOCK) whether a block is not clipped."""
        clipped = ((self.light < CLIPPED_L[0]) | (self.light > CLIPPED_L[1])).astype(np.float32)
        is_open: NDArray[np.bool_] = block_means(clipped) < 0.05
        return is_open

    @cached_property
    def grain(self) -> FloatArray:
        """(n,) standard deviations of noise in L*, one a block that is not clipped.

        Immerkaer 1996: the mean absolute value of his second difference, times sqrt(pi / 2) / 6.
        """
        if min(self.light.shape) < BLOCK + 2:
            return np.zeros(0, dtype=np.float32)
        residual = np.abs(cv2.filter2D(self.light, -1, _IMMERKAER, borderType=cv2.BORDER_REFLECT_101))
        deviations: FloatArray = block_means(residual)[self.open_blocks] * np.float32(math.sqrt(math.pi / 2) / 6)
        return deviations


def block_means(values: FloatArray, side: int = BLOCK) -> FloatArray:
    """Return (H // side, W // side) means over blocks; the remainder at the right and below is left out."""
    height, width = (n // side for n in values.shape)
    if not height or not width:
        return np.zeros((0, 0), dtype=np.float32)
    inner = np.ascontiguousarray(values[: height * side, : width * side])
    means: FloatArray = cv2.resize(inner, (width, height), interpolation=cv2.INTER_AREA)
    return means


def spans(size: int) -> list[slice]:
    """Return parts of a side of ``size`` pixels: edge to edge while ``MAX_WINDOWS`` of them cover it, else evenly
    spread.

    >>> spans(600)
    [slice(0, 200, None), slice(200, 400, None), slice(400, 600, None)]
    """
    if size <= WINDOW * MAX_WINDOWS:
        n = -(-size // WINDOW)
        return [slice(size * i // n, size * (i + 1) // n) for i in range(n)]
    begins = [i * (size - WINDOW) // (MAX_WINDOWS - 1) for i in range(MAX_WINDOWS)]
    return [slice(begin, begin + WINDOW) for begin in begins]


def windows(image: ByteImage) -> Iterator[Window]:
    """Yield the windows of a picture in which detail is measured; together they cover it unless it is large."""
    height, width = image.shape[:2]
    for rows in spans(height):
        for columns in spans(width):
            yield Window(rows.start, columns.start, lightness(np.ascontiguousarray(image[rows, columns])))


def own_windows(planes: Planes) -> list[Window]:
    """Return the windows of the picture itself."""
    if planes.light is not None and max(planes.light.shape) <= WINDOW:
        return [Window(0, 0, planes.light)]
    return list(windows(planes.image))
