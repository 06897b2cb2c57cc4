"""Light of the whole picture: brightness, contrast, range, clipping, haze and evenness."""

from __future__ import annotations

import math

import cv2
import numpy as np

from redaes.evidence.picture.planes import FloatArray, Planes, peak, place_at
from redaes.evidence.records import Place

BLACK, WHITE = 3, 252
"""Bytes of the largest channel at which a pixel counts as clipped."""
DARK_PATCH = 0.06
"""Side of the patch of the dark channel, as a share of the longest side: 15 px at 256, as He, Sun and Tang have it."""
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
    if min(light.shape) >= 8:
        values["vignetting"] = _vignetting(light)
        values["unevenness"] = _unevenness(light)
    return values, places


def _clipping(planes: Planes, inner: tuple[slice, slice], values: dict[str, float], places: dict[str, Place]) -> None:
    """Adds the shares of pixels at black and at white, in percent, and where most of them are."""
    largest = peak(np.ascontiguousarray(planes.image[inner]))
    for name, clipped in (("clipped_shadows", largest <= BLACK), ("clipped_highlights", largest >= WHITE)):
        share = float(clipped.mean())
        values[name] = 100 * share
        if share > 0:
            cells = cv2.resize(clipped.astype(np.float32), (3, 3), interpolation=cv2.INTER_AREA)
            row, column = np.unravel_index(int(cells.argmax()), cells.shape)
            places[name] = place_at((column + 0.5) / 3, (row + 0.5) / 3)


def _haze(planes: Planes) -> float | None:
    """Mean of the dark channel, over the colour of the air, in percent: one less the transmission of He, Sun and Tang
    2009 without their factor omega. Clipped pixels, which no veil explains, are left out."""
    encoded = planes.glance.astype(np.float32) / np.float32(255)
    side = max(1, round(DARK_PATCH * max(encoded.shape[:2])) | 1)
    patch = np.ones((side, side), np.uint8)
    dark = cv2.erode(encoded.min(axis=2), patch)
    n_brightest = max(1, dark.size // 1000)
    brightest = np.argpartition(dark.ravel(), -n_brightest)[-n_brightest:]
    air = encoded.reshape(-1, 3)[brightest].mean(axis=0)
    usable = peak(planes.glance) < WHITE
    if air.min() < 0.05 or usable.mean() < LEAST_UNCLIPPED:
        return None
    veil = cv2.erode((encoded / air).min(axis=2), patch)
    return 100 * float(np.clip(veil, 0, 1)[usable].mean(dtype=np.float64))


def _radius(light: FloatArray) -> FloatArray:
    """(H, W) distance from the centre, 1 at the corners."""
    height, width = light.shape
    y = (np.arange(height, dtype=np.float32) - np.float32((height - 1) / 2))[:, None]
    x = (np.arange(width, dtype=np.float32) - np.float32((width - 1) / 2))[None, :]
    radius: FloatArray = np.hypot(x, y) / np.float32(math.hypot(height, width) / 2)
    return radius


def _vignetting(light: FloatArray) -> float:
    """Mean lightness of the middle less the mean of the four corners' medians."""
    radius = _radius(light)
    height, width = light.shape
    corner = radius > 0.8
    medians = [
        float(np.median(light[rows, columns][corner[rows, columns]]))
        for rows in (slice(0, height // 2), slice((height + 1) // 2, None))
        for columns in (slice(0, width // 2), slice((width + 1) // 2, None))
        if corner[rows, columns].any()
    ]
    if not medians:
        return 0.0
    return float(light[radius < 0.35].mean(dtype=np.float64)) - sum(medians) / len(medians)


def _unevenness(light: FloatArray) -> float:
    """Rise of the plane that fits the lightness best, from one side of the frame to the other, in its steepest
    direction."""
    height, width = light.shape
    y = np.linspace(-1, 1, height)
    x = np.linspace(-1, 1, width)
    rows, columns = light.mean(axis=1, dtype=np.float64), light.mean(axis=0, dtype=np.float64)
    along_y = float(rows @ y) / max(float(y @ y), 1e-9)
    along_x = float(columns @ x) / max(float(x @ x), 1e-9)
    return 2 * math.hypot(along_x, along_y)
