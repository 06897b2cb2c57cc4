"""Measure the light of the whole picture: brightness, contrast, range, clipping, haze and evenness."""

from __future__ import annotations

import math

import cv2
import numpy as np

from redaes.evidence.measurements import Place
from redaes.evidence.picture.frame import find_inner
from redaes.evidence.picture.planes import FloatArray, Planes, least, median, peak, place_at, reduced

BLACK, WHITE = 3, 252
"""Bytes of the largest channel at which a pixel counts as clipped."""
DARK_PATCH = 0.06
"""Side of the patch of the dark channel, as a share of the longest side: 15 px at 256, as He, Sun and Tang have it."""
HAZE_SIDE = 128
LEAST_UNCLIPPED = 0.1
"""Smallest share of unclipped pixels with which haze is measured."""


def measure_light(planes: Planes) -> dict[str, float]:
    """Return the brightness, contrast and dynamic range."""
    light = np.ascontiguousarray(planes.glance_lab[..., 0])
    low, high = np.percentile(light, (1, 99))
    return {
        "brightness": float(light.mean(dtype=np.float64)),
        "contrast": float(light.std(dtype=np.float64)),
        "dynamic_range": float(high - low),
    }


def measure_evenness(planes: Planes) -> dict[str, float]:
    """Return the vignetting and unevenness."""
    if min(planes.glance.shape[:2]) < 16:
        return {}
    stops = _exposures(planes.glance_linear)
    return {"vignetting": _vignetting(stops), "unevenness": _unevenness(stops)}


def measure_clipping(planes: Planes) -> tuple[dict[str, float], dict[str, Place]]:
    """Return shares of the area within the border that are at black and at white, in percent, and where most of it is;
    single pixels, which noise and glints clip, are no area, and a black border is no blocked shadow."""
    inner = planes.once(find_inner)
    values: dict[str, float] = {}
    places: dict[str, Place] = {}
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
    return values, places


def measure_haze(planes: Planes) -> dict[str, float]:
    """Return the haze; empty if too few pixels are unclipped.

    Mean of the dark channel, over the colour of the air, in percent: one less the transmission of He, Sun and Tang
    2009 without their factor omega. Clipped pixels, which no veil explains, are left out; a median before that keeps
    the darkest of a noise from being taken for the scene's.
    """
    image = cv2.medianBlur(reduced(planes.glance, HAZE_SIDE), 3)
    encoded = image.astype(np.float32) / np.float32(255)
    side = max(1, round(DARK_PATCH * max(encoded.shape[:2])) | 1)
    patch = np.ones((side, side), np.uint8)
    dark = cv2.erode(least(encoded), patch)
    n_brightest = max(1, dark.size // 1000)
    brightest = np.argpartition(dark.ravel(), -n_brightest)[-n_brightest:]
    air = encoded.reshape(-1, 3)[brightest].mean(axis=0)
    usable = peak(image) < WHITE
    if air.min() < 0.05 or usable.mean() < LEAST_UNCLIPPED:
        return {}
    veil = cv2.erode(least(encoded / air), patch)
    return {"haze": 100 * float(np.clip(veil, 0, 1)[usable].mean(dtype=np.float64))}


def _exposures(linear: FloatArray) -> FloatArray:
    """Return (H, W) logarithm of luminance to the base of 2: stops. Black counts as half of the least byte."""
    luminance = cv2.transform(linear, np.array([[0.2126, 0.7152, 0.0722]], dtype=np.float32))
    stops: FloatArray = np.log2(np.maximum(luminance, np.float32(0.5 / 255 / 12.92)))
    return stops


def _radius(shape: tuple[int, int]) -> FloatArray:
    """Return (H, W) distance from the centre, 1 at the corners."""
    height, width = shape
    y = (np.arange(height, dtype=np.float32) - np.float32((height - 1) / 2))[:, None]
    x = (np.arange(width, dtype=np.float32) - np.float32((width - 1) / 2))[None, :]
    radius: FloatArray = np.hypot(x, y) / np.float32(math.hypot(height, width) / 2)
    return radius


def _vignetting(stops: FloatArray) -> float:
    """Return the mean of the middle less that of the four corners' medians."""
    height, width = stops.shape
    radius = _radius((height, width))
    corner = radius > 0.8
    medians = [
        float(median(stops[rows, columns][corner[rows, columns]]))
        for rows in (slice(0, height // 2), slice((height + 1) // 2, None))
        for columns in (slice(0, width // 2), slice((width + 1) // 2, None))
        if corner[rows, columns].any()
    ]
    return float(stops[radius < 0.35].mean(dtype=np.float64)) - sum(medians) / len(medians)


def _unevenness(stops: FloatArray) -> float:
    """Return the rise of the best-fitting plane from left to right. The rise from top to bottom is ignored, as a sky
    causes one.
    """
    x = np.linspace(-1, 1, stops.shape[1])
    return 2 * abs(float(stops.mean(axis=0, dtype=np.float64) @ x) / float(x @ x))
