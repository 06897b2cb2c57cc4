"""How much of a picture is covered by something in front of it, by area, contrast and place.

A distance of statistics hardly notices lettering, wires and fingers, because they change few statistics. A person sees
how large the thing is, how much it stands out, and whether it hides the subject.
"""

from __future__ import annotations

import cv2
import numpy as np

from redaes.errors import InputError
from redaes.evidence.picture.planes import ByteImage, FloatArray, check, lab

LONGEST_SIDE = 192
VISIBLE = 35.0
"""Colour difference dE*ab at which a pixel counts as covered by 63 %. It is fifteen just-noticeable differences of
2.3, at about which lettering is easy to read."""
CENTRE, BORDER = 2.0, 0.5
"""Weights of the middle of the frame and of its corners."""
DETAIL_SHARE = 0.5
"""How far the detail of a place decides its weight; a picture is rarely about its empty sky."""


def _lab(image: ByteImage, size: tuple[int, int]) -> FloatArray:
    return lab(cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False))


def place_weights(light: FloatArray) -> FloatArray:
    """Return the weight of each place of a picture, 1 on average: the middle weighs more than the border, and detail
    more than emptiness.

    Args:
        light: (H, W) CIELAB lightness of the clean picture.
    """
    height, width = light.shape
    half = np.hypot(height, width) / 2
    y, x = np.meshgrid(
        (np.arange(height, dtype=np.float32) - (height - 1) / 2) / half,
        (np.arange(width, dtype=np.float32) - (width - 1) / 2) / half,
        indexing="ij",
    )
    centre = BORDER + (CENTRE - BORDER) * np.exp(-3.0 * (x * x + y * y))
    reach = LONGEST_SIDE / 24
    detail = cv2.GaussianBlur(np.abs(light - cv2.GaussianBlur(light, (0, 0), 2.0)), (0, 0), reach)
    busy = np.clip(detail / max(float(detail.mean()), 1e-3), 0.0, 2.5)
    weights: FloatArray = (centre * (1 - DETAIL_SHARE + DETAIL_SHARE * busy)).astype(np.float32)
    return weights / weights.mean()


def covered(reference: ByteImage, edited: ByteImage) -> float:
    """Return the weighted share of the picture that is covered, roughly in [0, 1]; 0 for equal pictures.

    Args:
        reference: (H, W, 3) sRGB bytes, the clean picture.
        edited: (H, W, 3) sRGB bytes, the same picture with something in front.

    Raises:
        InputError: the shapes differ, or a picture is not RGB bytes.
    """
    check(reference)
    check(edited)
    if reference.shape != edited.shape:
        raise InputError(f"expected two (H, W, 3) pictures of one shape, got {reference.shape} and {edited.shape}")
    height, width = reference.shape[:2]
    scale = min(1.0, LONGEST_SIDE / max(height, width))
    size = max(16, round(width * scale)), max(16, round(height * scale))
    one, other = _lab(reference, size), _lab(edited, size)
    seen = 1 - np.exp(-np.sqrt(np.square(one - other).sum(axis=2)) / VISIBLE)
    weights = place_weights(np.ascontiguousarray(one[..., 0]))
    return float((seen * weights).mean())
