"""Colour of the whole picture: colourfulness, warmth, magenta and cast."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from redaes.evidence.picture.planes import ByteImage, FloatArray, Planes, blur

DARKEST = 0.002
"""Mean luminance, 1 at white, below which a picture has no colour to speak of."""
MID_GREY = 0.1842
"""Luminance of L* 50, to which the colour of the light is brought before it is read in CIELAB."""
GREY_EDGE_POWER = 6
"""Minkowski norm over the derivatives, as van de Weijer, Gevers and Gijsenij have it."""
_LUMA = np.array([0.2126, 0.7152, 0.0722])


def _linear(image: ByteImage) -> FloatArray:
    v = np.arange(256, dtype=np.float64) / 255
    table = np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4).astype(np.float32)
    linear: FloatArray = table[image]
    return linear


def _at_mid_grey(colour: NDArray[np.float64]) -> tuple[float, float]:
    """a* and b* of a linear RGB colour, brought to the luminance of mid grey."""
    scaled = colour * (MID_GREY / float(colour @ _LUMA))
    xyz = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
    )
    relative = np.maximum(xyz @ scaled, 0) / xyz.sum(axis=1)
    x, y, z = (float(np.cbrt(v)) if v > 216 / 24389 else float(v * 24389 / 27 + 16) / 116 for v in relative)
    return 500 * (x - y), 200 * (y - z)


def measure_colour(planes: Planes) -> dict[str, float]:
    """Colourfulness, warmth, magenta and cast."""
    red, green, blue = (planes.glance[..., i].astype(np.float64) for i in range(3))
    rg, yb = red - green, 0.5 * (red + green) - blue
    values = {
        "colourfulness": math.hypot(float(rg.std()), float(yb.std()))
        + 0.3 * math.hypot(float(rg.mean()), float(yb.mean()))
    }
    linear = _linear(planes.glance)
    mean = linear.reshape(-1, 3).mean(axis=0, dtype=np.float64)
    if float(mean @ _LUMA) < DARKEST:
        return values
    values["magenta"], values["warmth"] = _at_mid_grey(mean)
    light = _illuminant(linear, planes.glance)
    if light is not None:
        values["cast"] = math.hypot(*_at_mid_grey(light))
    return values


def _illuminant(linear: FloatArray, image: ByteImage) -> NDArray[np.float64] | None:
    """Colour of the light in linear RGB: grey edge of first order; None without edges in unclipped pixels."""
    smooth = blur(linear, 1.0)
    gx, gy = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    slope = cv2.magnitude(gx.reshape(-1, 1), gy.reshape(-1, 1)).reshape(-1, 3)
    clipped = cv2.dilate((image.max(axis=2) >= 252).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    usable = slope[~clipped.ravel()].astype(np.float64)
    if len(usable) < 64:
        return None
    edges = np.power(np.mean(usable**GREY_EDGE_POWER, axis=0), 1 / GREY_EDGE_POWER)
    if edges.min() <= 0 or float(edges @ _LUMA) < 1e-3:
        return None
    illuminant: NDArray[np.float64] = edges
    return illuminant
