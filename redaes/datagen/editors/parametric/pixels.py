"""Functions that the operations share: number formats, coordinates, blur and resampling."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from redaes.evidence.picture.planes import ByteImage, FloatArray


def _linear_to_encoded_table(size: int) -> FloatArray:
    """Return a table of the sRGB-encoded values of linear = (i / (size - 1))**2.

    Over the square root the curve is nearly straight, so that 4096 entries are exact to 0.05 grey levels.
    """
    v = (np.arange(size, dtype=np.float64) / (size - 1)) ** 2
    return np.where(v <= 0.0031308, v * 12.92, 1.055 * v ** (1 / 2.4) - 0.055).astype(np.float32)


_ENCODED = _linear_to_encoded_table(4096)

LUMA = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)
"""Rec. 709 luminance weights of linear R, G, B; used on encoded values as an approximation of luma."""


def encoded_values(image: ByteImage) -> FloatArray:
    """Return (H, W, 3) sRGB-encoded values in [0, 1]."""
    return image.astype(np.float32) / np.float32(255.0)


def to_bytes(encoded: FloatArray) -> ByteImage:
    """Round encoded values to bytes; values out of range are clipped, as by a sensor or a file."""
    rounded: ByteImage = np.rint(np.clip(encoded, 0.0, 1.0) * 255.0).astype(np.uint8)
    return rounded


def linear_to_bytes(linear: FloatArray) -> ByteImage:
    """Encode linear light in [0, 1]; values out of range are clipped."""
    index = np.rint(np.sqrt(np.clip(linear, 0.0, 1.0)) * (_ENCODED.size - 1)).astype(np.int32)
    return to_bytes(_ENCODED[index])


def luma(image: FloatArray) -> FloatArray:
    """Return the weighted sum of the channels, (H, W, 1)."""
    weighted: FloatArray = (image @ LUMA)[..., None]
    return weighted


def diagonal_of(image: ByteImage) -> float:
    """Return the length of a picture's diagonal, in pixels."""
    return math.hypot(image.shape[0], image.shape[1])


Box = tuple[slice, slice]
"""Rows and columns of a part of a picture."""


def box_around(image: ByteImage, u: float, v: float, reach: float) -> Box:
    """Return the part within ``reach`` half diagonals of the fractions u, v; at least one pixel."""
    height, width = image.shape[:2]
    pixels = reach * diagonal_of(image) / 2
    top, left = (int(np.clip(f * n - pixels, 0, n - 1)) for f, n in ((v, height), (u, width)))
    bottom, right = (int(np.clip(f * n + pixels + 1, 1, n)) for f, n in ((v, height), (u, width)))
    return slice(top, max(top + 1, bottom)), slice(left, max(left + 1, right))


def coordinates(image: ByteImage, box: Box = (slice(None), slice(None))) -> tuple[FloatArray, FloatArray]:
    """Return the pixel coordinates x, y of a part, 0 in the picture's centre; half its diagonal has the length 1."""
    height, width = image.shape[:2]
    half = np.float32(diagonal_of(image) / 2)
    rows = (np.arange(height, dtype=np.float32)[box[0]] - np.float32((height - 1) / 2)) / half
    columns = (np.arange(width, dtype=np.float32)[box[1]] - np.float32((width - 1) / 2)) / half
    x, y = np.meshgrid(columns, rows)
    return x, y


def coordinates_of(image: ByteImage, u: float, v: float) -> tuple[float, float]:
    """Return the coordinates x, y of the fractions u, v of the frame."""
    height, width = image.shape[:2]
    half = diagonal_of(image) / 2
    return (u - 0.5) * width / half, (v - 0.5) * height / half


def smoothstep(x: FloatArray, low: float, high: float) -> FloatArray:
    """Return 0 up to ``low``, 1 from ``high`` on, and a smooth rise in between."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    smooth: FloatArray = t * t * (3 - 2 * t)
    return smooth


def blur(image: FloatArray, sigma: float) -> FloatArray:
    """Return the Gaussian blur of (H, W) or (H, W, C), mirrored at the border; sigma is in pixels.

    Below 0.05 nothing is changed. Wide blurs are computed on a reduced copy, which makes no visible difference.
    """
    if sigma < 0.05:
        return image
    height, width = image.shape[:2]
    shrink = max(1, min(int(sigma / 3), height, width))
    reduced = image
    if shrink > 1:
        size = (math.ceil(width / shrink), math.ceil(height / shrink))
        reduced = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    blurred = cv2.GaussianBlur(reduced, (0, 0), sigma / shrink, borderType=cv2.BORDER_REFLECT_101)
    if shrink > 1:
        blurred = cv2.resize(blurred, (width, height), interpolation=cv2.INTER_LINEAR)
    shaped: FloatArray = blurred.reshape(image.shape).astype(np.float32)
    return shaped


def warp(
    image: FloatArray,
    matrix: NDArray[np.float64],
    interpolation: int = cv2.INTER_LANCZOS4,
) -> FloatArray:
    """Resample so that output pixel p shows input pixel ``matrix @ (p, 1)``.

    Args:
        image: (H, W, 3).
        matrix: (2, 3), affine.
        interpolation: OpenCV's constant; the default keeps detail, INTER_LINEAR is fast.
    """
    warped: FloatArray = cv2.warpAffine(
        image,
        matrix,
        (image.shape[1], image.shape[0]),
        flags=interpolation | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return warped
