"""The part of a scene that two photographs both show, resampled to one pixel grid."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from redaes.evidence.pair.registration import Matrix, Overlay, frame_mapping, inverse, project
from redaes.evidence.pair.tone import Mask
from redaes.evidence.picture.planes import ByteImage, FloatArray

SIDE = 320
"""Longest side of the view."""

_MIN_SIDE = 40


@dataclass(frozen=True)
class CommonView:
    """The part that both pictures show, on one pixel grid."""

    first: FloatArray
    """(H, W, 3) in [0, 1], sRGB-encoded."""
    second: FloatArray
    inside: Mask
    """(H, W), True where both pictures show something."""
    to_first: Matrix
    """(3, 3) mapping of pixels of the view to pixels of the first picture."""
    to_second: Matrix


def local_size(matrix: Matrix, x: float, y: float) -> float:
    """Return the length that one pixel at a point has after the mapping."""
    here, right, below = project(matrix, np.array([[x, y], [x + 1, y], [x, y + 1]]))
    return float(abs(np.linalg.det(np.stack([right - here, below - here])))) ** 0.5


def _within(image: ByteImage, matrix: Matrix, size: tuple[int, int]) -> Mask:
    """Return (H, W), True where the picture covers a view of (width, height)."""
    ones = np.full(image.shape[:2], 255, dtype=np.uint8)
    warped = cv2.warpPerspective(ones, matrix, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    mask: Mask = warped == 255
    return mask


def _laid(image: ByteImage, matrix: Matrix, size: tuple[int, int]) -> FloatArray:
    """Return (H, W, 3) in [0, 1]: the picture resampled to the pixels of a view of (width, height)."""
    step = local_size(matrix, size[0] / 2, size[1] / 2)
    # To prevent aliasing, the area that one pixel of the view covers is averaged.
    source = cv2.GaussianBlur(image, (0, 0), 0.4 * step) if step > 1.2 else image
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    laid: NDArray[np.uint8] = cv2.warpPerspective(source, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return laid.astype(np.float32) / np.float32(255)


def common_view(first: ByteImage, second: ByteImage, overlay: Overlay) -> CommonView | None:
    """Return both pictures in the pixels of the one with the coarser view; None if they have too little in common.

    Args:
        first: (H, W, 3), as given to :func:`redaes.evidence.pair.registration.lay_over`.
        second: (H', W', 3).
        overlay: registration of the second with the first.
    """
    to_first: Matrix = np.eye(3)
    base = first
    if local_size(overlay.matrix, first.shape[1] / 2, first.shape[0] / 2) < 0.98:  # the second is the coarser one
        to_first, base = inverse(overlay.matrix), second
    size = (base.shape[1], base.shape[0])
    both = _within(first, to_first, size) & _within(second, overlay.matrix @ to_first, size)
    columns, rows = np.flatnonzero(both.any(axis=0)), np.flatnonzero(both.any(axis=1))
    if min(len(columns), len(rows)) < _MIN_SIDE:
        return None
    window = (int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1))
    scale = min(1.0, SIDE / max(window))
    grid = (max(1, round(window[0] * scale)), max(1, round(window[1] * scale)))
    shift = np.array([[1.0, 0, columns[0]], [0, 1, rows[0]], [0, 0, 1]])
    to_first = to_first @ shift @ frame_mapping(grid, window)
    to_second = overlay.matrix @ to_first
    inside = _within(first, to_first, grid) & _within(second, to_second, grid)
    inside = cv2.erode(inside.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=1) > 0
    if inside.sum() < _MIN_SIDE * _MIN_SIDE:
        return None
    return CommonView(_laid(first, to_first, grid), _laid(second, to_second, grid), inside, to_first, to_second)
