"""The forms of a picture that are measured: a small copy (glance), a medium one (view), and its own resolution."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from redaes.errors import InputError
from redaes.evidence.measurements import PLACES, Place

ByteImage = NDArray[np.uint8]
FloatArray = NDArray[np.float32]
Floats = TypeVar("Floats", np.float32, np.float64)
Made = TypeVar("Made")

GLANCE = 256
"""Longest side, in pixels, at which light and colour of the whole are taken: noise is averaged out of them."""
VIEW = 1024
"""Longest side at which lines, lettering and stripes are looked for."""
WHOLE = 768
"""Longest side, in pixels, up to which lightness at the picture's own resolution is computed for the whole picture."""


def place_at(x: float, y: float) -> Place:
    """Return the cell of the grid of three by three that holds a point.

    Args:
        x: share of the width, from the left.
        y: share of the height, from the top.
    """
    return PLACES[3 * min(2, max(0, int(3 * y))) + min(2, max(0, int(3 * x)))]


def check(image: ByteImage) -> None:
    """Raises:
    InputError: not an RGB byte picture.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise InputError(f"expected (H, W, 3) bytes, got {image.shape} of {image.dtype}")


def reduced(image: ByteImage, longest: int) -> ByteImage:
    """Return the picture with its longest side at most ``longest``, by averaging areas; never enlarged."""
    height, width = image.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    smaller: ByteImage = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    return smaller


def lab(image: ByteImage) -> FloatArray:
    """Return (H, W, 3) CIELAB (D65), L 0-100; OpenCV interpolates in a table, good to about 0.3."""
    converted: FloatArray = cv2.cvtColor(image.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2Lab)
    return converted


def peak(image: ByteImage) -> ByteImage:
    """Return (H, W) largest channel; of three slices, which is much faster than a reduction over the last axis."""
    red, green, blue = cv2.split(image)
    largest: ByteImage = cv2.max(cv2.max(red, green), blue).astype(np.uint8, copy=False)
    return largest


def least(values: FloatArray) -> FloatArray:
    """Return (H, W) smallest channel."""
    red, green, blue = cv2.split(values)
    smallest: FloatArray = cv2.min(cv2.min(red, green), blue)
    return smallest


def median(values: NDArray[Floats]) -> NDArray[Floats]:
    """Return the median over the last axis of numbers, none of them NaN.

    It equals ``np.median``, which takes five times as long: it partitions the values at three positions, and here one
    position and a maximum are enough.
    """
    n = values.shape[-1]
    parted = np.partition(values, n // 2, axis=-1)
    upper: NDArray[Floats] = parted[..., n // 2]
    return upper if n % 2 else (parted[..., : n // 2].max(axis=-1) + upper) / 2


def _linear_table() -> FloatArray:
    v = np.arange(256, dtype=np.float64) / 255
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4).astype(np.float32)


_LINEAR = _linear_table()


def linear_light(image: ByteImage) -> FloatArray:
    """Return (H, W, 3) linear light in [0, 1] (IEC 61966-2-1)."""
    values: FloatArray = cv2.LUT(image, _LINEAR)
    return values


def blur(values: FloatArray, sigma: float) -> FloatArray:
    """Return Gaussian blur, mirrored at the border; sigma in pixels."""
    blurred: FloatArray = cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)
    return blurred


def _lightness_table() -> FloatArray:
    """Return L* of the greys with the encoded values i / 4080, i from 0 to 4080."""
    encoded = np.arange(4081, dtype=np.float64) / 4080
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    curve = np.where(linear > 216 / 24389, 116 * np.cbrt(linear) - 16, linear * 24389 / 27)
    return curve.astype(np.float32)


_LIGHTNESS = _lightness_table()


def lightness(image: ByteImage) -> FloatArray:
    """Return (H, W) L* of the grey of each pixel's luma (Rec. 601), in sixteenths of a grey level."""
    red, green, blue = cv2.split(image)
    luma = cv2.addWeighted(red, 0.299 * 16, green, 0.587 * 16, 0.5, dtype=cv2.CV_32F)
    cv2.scaleAdd(blue.astype(np.float32), 0.114 * 16, luma, luma)
    light: FloatArray = _LIGHTNESS.take(luma.astype(np.uint16))
    return light


class Planes:
    """One picture, with the data that several measurements need, each computed once."""

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
        self._made: dict[Callable[[Planes], Any], Any] = {}

    def once(self, make: Callable[[Planes], Made]) -> Made:
        """Return the result of a function for this picture; it is computed once and cached."""
        if make not in self._made:
            self._made[make] = make(self)
        return cast("Made", self._made[make])

    @cached_property
    def view(self) -> ByteImage:
        """The picture with a longest side of at most ``VIEW``."""
        return reduced(self.image, VIEW)

    @cached_property
    def glance(self) -> ByteImage:
        """The picture with a longest side of at most ``GLANCE``."""
        return reduced(self.image, GLANCE)

    @cached_property
    def view_lab(self) -> FloatArray:
        """(H, W, 3) CIELAB of the view."""
        return lab(self.view)

    @cached_property
    def glance_lab(self) -> FloatArray:
        """(H, W, 3) CIELAB of the glance."""
        return self.view_lab if self.glance is self.view else lab(self.glance)

    @cached_property
    def glance_linear(self) -> FloatArray:
        """(H, W, 3) linear light of the glance."""
        return linear_light(self.glance)

    @cached_property
    def light(self) -> FloatArray | None:
        """(H, W) L* of the picture itself; None: a side is longer than ``WHOLE``."""
        return lightness(np.ascontiguousarray(self.image)) if max(self.height, self.width) <= WHOLE else None

    def halved(self, level: int) -> ByteImage:
        """Return the picture reduced ``level`` times by half; level 0 is the picture itself."""
        if not level:
            return self.image
        size = (max(1, self.width >> level), max(1, self.height >> level))
        smaller: ByteImage = cv2.resize(self.image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
        return smaller
