"""How much of a picture something in front of it takes: area, contrast against what it covers, and place.

A distance of statistics hardly sees lettering, wires and fingers, for they change few of them. A person sees how large
the thing is, how much it stands out and whether it hides what the picture is about.
"""

from __future__ import annotations

import cv2
import numpy as np

from redaes.errors import InputError
from redaes.evidence.picture.planes import ByteImage, FloatArray, check, lab

LONGEST_SIDE = 192
VISIBLE = 35.0
"""Colour difference dE*ab at which a pixel counts as covered by 63 %: fifteen just-noticeable differences of
2.3, about what makes lettering easy to read."""
CENTRE, BORDER = 2.0, 0.5
"""Weights of the middle of the frame and of its corners."""
DETAIL_SHARE = 0.5
"""How far a place's own detail decides what it counts: what a picture is about is rarely its empty sky."""


def _lab(image: ByteImage, size: tuple[int, int]) -> FloatArray:
    return lab(cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False))


def place_weights(light: FloatArray) -> FloatArray:
    """Return what each place of a picture counts, of mean 1: the middle more than the border, detail more than
    emptiness.

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
    """Return weighted share of the picture that is covered, in [0, 1] nearly: 0 for equal pictures.

    Args:
        reference: (H, W, 3) sRGB bytes, the clean picture.
        edited: (H, W, 3), the same with something in front.

    Raises:
        InputError: two shapes, or not RGB byte pictures.
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
