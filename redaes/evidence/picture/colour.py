"""Colour of the whole picture: colourfulness, warmth, magenta and cast."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from redaes.evidence.picture.planes import ByteImage, FloatArray, Planes, blur, peak

DARKEST = 0.002
"""Mean luminance (1 is white) below which a picture is too dark for its colour to be measured."""
MID_GREY = 0.1842
"""Luminance of L* 50, to which the colour of the light is brought before it is read in CIELAB."""
MINKOWSKI = 6
"""Norm over pixels and over edges: Finlayson and Trezzi 2004; van de Weijer, Gevers and Gijsenij 2007."""
LEAST_PIXELS = 256
MOST_APART = 9.0
"""Largest difference (dE*ab) between the two estimates of the light; beyond it neither is used."""
MOST_CAST = 50.0
"""Largest cast (dE*ab); a stronger colour is taken to be the subject's."""
_LUMA = np.array([0.2126, 0.7152, 0.0722])


def _at_mid_grey(colour: NDArray[np.float64]) -> tuple[float, float]:
    """Return a* and b* of a linear RGB colour, brought to the luminance of mid grey."""
    scaled = colour * (MID_GREY / float(colour @ _LUMA))
    xyz = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
    )
    relative = np.maximum(xyz @ scaled, 0) / xyz.sum(axis=1)
    x, y, z = (float(np.cbrt(v)) if v > 216 / 24389 else float(v * 24389 / 27 + 16) / 116 for v in relative)
    return 500 * (x - y), 200 * (y - z)


def measure_colourfulness(planes: Planes) -> dict[str, float]:
    """Return the colourfulness."""
    red, green, blue = cv2.split(planes.glance.astype(np.float32))
    # Sums and halves of bytes: single precision holds them exactly, and OpenCV sums in double.
    (rg, rg_spread), (yb, yb_spread) = (
        (float(mean[0, 0]), float(spread[0, 0]))
        for mean, spread in map(cv2.meanStdDev, (red - green, np.float32(0.5) * (red + green) - blue))
    )
    return {"colourfulness": math.hypot(rg_spread, yb_spread) + 0.3 * math.hypot(rg, yb)}


def _mean(planes: Planes) -> NDArray[np.float64] | None:
    """Return (3,) mean linear colour; None: the picture is too dark to have one."""
    mean = np.array(cv2.mean(planes.glance_linear)[:3])
    return None if float(mean @ _LUMA) < DARKEST else mean


def measure_tint(planes: Planes) -> dict[str, float]:
    """Return the warmth and magenta."""
    mean = planes.once(_mean)
    if mean is None:
        return {}
    magenta, warmth = _at_mid_grey(mean)
    return {"warmth": warmth, "magenta": magenta}


def measure_cast(planes: Planes) -> dict[str, float]:
    """Return the cast; empty if the light cannot be estimated."""
    cast = None if planes.once(_mean) is None else _cast(planes.glance_linear, planes.glance)
    return {} if cast is None else {"cast": cast}


def _cast(values: FloatArray, image: ByteImage) -> float | None:
    """Return the chroma of a mid grey in the light of the scene, which is estimated twice: from the brightest colours
    (shades of grey) and from the strongest edges (grey edge). None: too little is unclipped, or the two disagree.

    Args:
        values: (H, W, 3) linear.
        image: the same in bytes.
    """
    clipped = cv2.dilate((peak(image) >= 252).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    usable = (~clipped).astype(np.uint8)
    if int(usable.sum()) < LEAST_PIXELS:
        return None
    smooth = blur(values, 1.0)
    x, y = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    estimates = []
    for squares in (values * values, x * x + y * y):
        # Three products of squares, in double: the sixth power of a faint edge is too small for single precision.
        wide = squares.astype(np.float64)
        cubes = wide * wide
        cubes *= wide
        norm = np.power(np.array(cv2.mean(cubes, usable)[:3]), 1 / MINKOWSKI)
        if norm.min() <= 0 or float(norm @ _LUMA) < 1e-3:
            return None
        estimates.append(np.array(_at_mid_grey(norm)))
    if float(np.linalg.norm(estimates[0] - estimates[1])) > MOST_APART:
        return None
    chroma = float(np.linalg.norm((estimates[0] + estimates[1]) / 2))
    return chroma if chroma <= MOST_CAST else None
