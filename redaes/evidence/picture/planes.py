"""A picture in the forms in which it is measured: at a glance, as a view, and in windows at its own resolution."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from redaes.errors import InputError
from redaes.evidence.records import Place

ByteImage = NDArray[np.uint8]
FloatArray = NDArray[np.float32]

GLANCE = 256
"""Longest side, in pixels, at which light and colour of the whole are taken: noise is averaged out of them."""
VIEW = 1024
"""Longest side at which lines, lettering and smooth areas are looked for."""
WINDOW = 256
"""Side, in pixels, of the windows in which detail is measured at the picture's own resolution."""
MAX_WINDOWS = 8
"""Windows along either side; a larger picture is sampled by as many, evenly spread."""

PLACES: tuple[tuple[Place, Place, Place], ...] = (
    ("upper left", "top", "upper right"),
    ("left", "centre", "right"),
    ("lower left", "bottom", "lower right"),
)


def place_at(x: float, y: float) -> Place:
    """The cell of the grid of three by three that holds a point.

    Args:
        x: share of the width, from the left.
        y: share of the height, from the top.
    """
    return PLACES[min(2, max(0, int(3 * y)))][min(2, max(0, int(3 * x)))]


def check(image: ByteImage) -> None:
    """Raises:
    InputError: not an RGB byte picture.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise InputError(f"expected (H, W, 3) bytes, got {image.shape} of {image.dtype}")


def reduced(image: ByteImage, longest: int) -> ByteImage:
    """The picture with its longest side at most ``longest``, by averaging areas; never enlarged."""
    height, width = image.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    smaller: ByteImage = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    return smaller


def lab(image: ByteImage) -> FloatArray:
    """(H, W, 3) CIELAB (D65), L 0-100; OpenCV interpolates in a table, good to about 0.3."""
    converted: FloatArray = cv2.cvtColor(image.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2Lab)
    return converted


def peak(image: ByteImage) -> ByteImage:
    """(H, W) largest channel; of three slices, which is much faster than a reduction over the last axis."""
    red, green, blue = cv2.split(image)
    largest: ByteImage = cv2.max(cv2.max(red, green), blue).astype(np.uint8, copy=False)
    return largest


def _linear_table() -> FloatArray:
    v = np.arange(256, dtype=np.float64) / 255
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4).astype(np.float32)


_LINEAR = _linear_table()


def linear(image: ByteImage) -> FloatArray:
    """(H, W, 3) linear light in [0, 1] (IEC 61966-2-1)."""
    values: FloatArray = _LINEAR[image]
    return values


def blur(values: FloatArray, sigma: float) -> FloatArray:
    """Gaussian blur, mirrored at the border; sigma in pixels."""
    blurred: FloatArray = cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)
    return blurred


def _lightness_table() -> FloatArray:
    """L* of the greys with the encoded values i / 4080, i from 0 to 4080."""
    encoded = np.arange(4081, dtype=np.float64) / 4080
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    curve = np.where(linear > 216 / 24389, 116 * np.cbrt(linear) - 16, linear * 24389 / 27)
    return curve.astype(np.float32)


_LIGHTNESS = _lightness_table()


def lightness(image: ByteImage) -> FloatArray:
    """(H, W) L* of the grey of each pixel's luma (Rec. 601), in sixteenths of a grey level."""
    red, green, blue = cv2.split(image)
    luma = cv2.addWeighted(red, 0.299 * 16, green, 0.587 * 16, 0.5, dtype=cv2.CV_32F)
    cv2.scaleAdd(blue.astype(np.float32), 0.114 * 16, luma, luma)
    light: FloatArray = _LIGHTNESS[luma.astype(np.uint16)]
    return light


@dataclass(frozen=True)
class Window:
    """A part of a picture at its own resolution."""

    top: int
    left: int
    light: FloatArray
    """(h, w) L*."""


def spans(size: int) -> list[slice]:
    """Parts of a side of ``size`` pixels: edge to edge while ``MAX_WINDOWS`` of them cover it, else evenly spread.

    >>> spans(600)
    [slice(0, 200, None), slice(200, 400, None), slice(400, 600, None)]
    """
    if size <= WINDOW * MAX_WINDOWS:
        n = -(-size // WINDOW)
        return [slice(size * i // n, size * (i + 1) // n) for i in range(n)]
    begins = [i * (size - WINDOW) // (MAX_WINDOWS - 1) for i in range(MAX_WINDOWS)]
    return [slice(begin, begin + WINDOW) for begin in begins]


class Planes:
    """One picture, and what several measures need of it, each made once."""

    def __init__(self, image: ByteImage) -> None:
        """
        Args:
            image: (H, W, 3) sRGB bytes.

        Raises:
            InputError: not an RGB byte picture.
        """
        check(image)
        self.image = image
        self.height, self.width = image.shape[:2]
        self.diagonal = math.hypot(self.height, self.width)
        self.view = reduced(image, VIEW)
        self.glance = reduced(self.view, GLANCE) if max(image.shape) <= VIEW else reduced(image, GLANCE)
        self.view_lab = lab(self.view)
        self.glance_lab = lab(self.glance)

    def halved(self, level: int) -> ByteImage:
        """The picture reduced ``level`` times by half; level 0 is the picture itself."""
        if not level:
            return self.image
        size = (max(1, self.width >> level), max(1, self.height >> level))
        smaller: ByteImage = cv2.resize(self.image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
        return smaller


def windows(image: ByteImage) -> Iterator[Window]:
    """The windows of a picture in which detail is measured; together they cover it unless it is large."""
    height, width = image.shape[:2]
    for rows in spans(height):
        for columns in spans(width):
            yield Window(rows.start, columns.start, lightness(np.ascontiguousarray(image[rows, columns])))
