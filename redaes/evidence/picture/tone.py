"""Light of the whole picture: brightness, contrast, range, clipping, haze and evenness."""

from __future__ import annotations

import math

import cv2
import numpy as np

from redaes.evidence.picture.planes import ByteImage, FloatArray, Planes, linear, peak, place_at, reduced
from redaes.evidence.records import Place

BLACK, WHITE = 3, 252
"""Bytes of the largest channel at which a pixel counts as clipped."""
DARK_PATCH = 0.06
"""Side of the patch of the dark channel, as a share of the longest side: 15 px at 256, as He, Sun and Tang have it."""
HAZE_SIDE = 128
LEAST_UNCLIPPED = 0.1
"""Share of unclipped pixels without which haze is not measured."""


def measure_tone(planes: Planes, inner: tuple[slice, slice]) -> tuple[dict[str, float], dict[str, Place]]:
    """Brightness, contrast, dynamic range, clipping, haze, vignetting and unevenness.

    Args:
        planes: the picture.
        inner: rows and columns within its border: a black border is no blocked shadow.
    """
    light = planes.glance_lab[..., 0]
    low, high = np.percentile(light, (1, 99))
    values = {
        "brightness": float(light.mean(dtype=np.float64)),
        "contrast": float(light.std(dtype=np.float64)),
        "dynamic_range": float(high - low),
    }
    places: dict[str, Place] = {}
    _clipping(planes, inner, values, places)
    haze = _haze(planes)
    if haze is not None:
        values["haze"] = haze
    if min(light.shape) >= 16:
        stops = _exposures(planes.glance)
        values["vignetting"] = _vignetting(stops)
        values["unevenness"] = _unevenness(stops)
    return values, places


def _clipping(planes: Planes, inner: tuple[slice, slice], values: dict[str, float], places: dict[str, Place]) -> None:
    """Adds the shares of the area at black and at white, in percent, and where most of it is; single pixels, which
    noise and glints clip, are no area."""
    largest = peak(np.ascontiguousarray(planes.image[inner]))
    square = np.ones((3, 3), np.uint8)
    for name, mask in (("clipped_shadows", largest <= BLACK), ("clipped_highlights", largest >= WHITE)):
        clipped = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, square)
        share = float(clipped.mean(dtype=np.float64))
        values[name] = 100 * share
        if share > 0:
            cells = cv2.resize(clipped.astype(np.float32), (3, 3), interpolation=cv2.INTER_AREA)
            row, column = np.unravel_index(int(cells.argmax()), cells.shape)
            places[name] = place_at((column + 0.5) / 3, (row + 0.5) / 3)


def _haze(planes: Planes) -> float | None:
    """Mean of the dark channel, over the colour of the air, in percent: one less the transmission of He, Sun and Tang
    2009 without their factor omega. Clipped pixels, which no veil explains, are left out; a median before that keeps
    the darkest of a noise from being taken for the scene's."""
    image = cv2.medianBlur(reduced(planes.glance, HAZE_SIDE), 3)
    encoded = image.astype(np.float32) / np.float32(255)
    side = max(1, round(DARK_PATCH * max(encoded.shape[:2])) | 1)
    patch = np.ones((side, side), np.uint8)
    dark = cv2.erode(encoded.min(axis=2), patch)
    n_brightest = max(1, dark.size // 1000)
    brightest = np.argpartition(dark.ravel(), -n_brightest)[-n_brightest:]
    air = encoded.reshape(-1, 3)[brightest].mean(axis=0)
    usable = image.max(axis=2) < WHITE
    if air.min() < 0.05 or usable.mean() < LEAST_UNCLIPPED:
        return None
    veil = cv2.erode((encoded / air).min(axis=2), patch)
    return 100 * float(np.clip(veil, 0, 1)[usable].mean(dtype=np.float64))


def _exposures(image: ByteImage) -> FloatArray:
    """(H, W) logarithm of luminance to the base of 2: stops. Black counts as half of the least byte."""
    luminance = linear(image) @ np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)
    stops: FloatArray = np.log2(np.maximum(luminance, np.float32(0.5 / 255 / 12.92)))
    return stops


def _radius(shape: tuple[int, int]) -> FloatArray:
    """(H, W) distance from the centre, 1 at the corners."""
    height, width = shape
    y = (np.arange(height, dtype=np.float32) - np.float32((height - 1) / 2))[:, None]
    x = (np.arange(width, dtype=np.float32) - np.float32((width - 1) / 2))[None, :]
    radius: FloatArray = np.hypot(x, y) / np.float32(math.hypot(height, width) / 2)
    return radius


def _vignetting(stops: FloatArray) -> float:
    """Mean of the middle less that of the four corners' medians."""
    height, width = stops.shape
    radius = _radius((height, width))
    corner = radius > 0.8
    medians = [
        float(np.median(stops[rows, columns][corner[rows, columns]]))
        for rows in (slice(0, height // 2), slice((height + 1) // 2, None))
        for columns in (slice(0, width // 2), slice((width + 1) // 2, None))
        if corner[rows, columns].any()
    ]
    return float(stops[radius < 0.35].mean(dtype=np.float64)) - sum(medians) / len(medians)


def _unevenness(stops: FloatArray) -> float:
    """Rise from left to right of the plane that fits best. From top to bottom, a sky makes one of its own."""
    x = np.linspace(-1, 1, stops.shape[1])
    return 2 * abs(float(stops.mean(axis=0, dtype=np.float64) @ x) / float(x @ x))
