"""Composition: tilt, crop and the shape of the frame."""

from __future__ import annotations

import math

import cv2
import numpy as np

from redaes.datagen.editors.parametric.operation import draw_sign, operation
from redaes.datagen.editors.parametric.pixels import encoded_values, to_bytes, warp
from redaes.evidence.picture.planes import ByteImage


def _window(
    image: ByteImage,
    scale_x: float,
    scale_y: float,
    centre: tuple[float, float] = (0.5, 0.5),
    angle: float = 0.0,
) -> ByteImage:
    """Return a window of the frame at the full size: ``scale_x`` x ``scale_y`` of the frame, around ``centre``
    (fractions), turned by ``angle`` radians."""
    height, width = image.shape[:2]
    cos, sin = math.cos(angle), math.sin(angle)
    linear = np.array([[scale_x * cos, -scale_y * sin], [scale_x * sin, scale_y * cos]])
    # Continuous coordinates: pixel i covers [i, i + 1], so its centre is at i + 0.5.
    middle_out = np.array([width / 2, height / 2])
    middle_in = np.array([centre[0] * width, centre[1] * height])
    offset = middle_in - 0.5 - linear @ (middle_out - 0.5)
    return to_bytes(warp(encoded_values(image), np.hstack([linear, offset[:, None]])))


def _inscribed_scale(width: int, height: int, angle: float) -> float:
    """Return the largest scale of a frame of the same aspect, turned by ``angle``, that stays within the picture."""
    cos, sin = abs(math.cos(angle)), abs(math.sin(angle))
    return min(width / (width * cos + height * sin), height / (width * sin + height * cos))


def _tilt_angle(strength: float) -> float:
    return strength**1.2 * math.radians(24)


_WIDEST = 2.0
"""Largest aspect ratio for which :func:`_tilt_share` holds."""


def _tilt_share(strength: float) -> float:
    return _inscribed_scale(round(_WIDEST * 1000), 1000, _tilt_angle(strength))


@operation("composition", "{amount} tilt the camera so that the horizon is no longer level", frame_share=_tilt_share)
def tilt(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    sign, size = draw_sign(rng), rng.uniform(0.85, 1.0)
    angle = sign * size * _tilt_angle(strength)
    scale = _inscribed_scale(image.shape[1], image.shape[0], angle)
    return _window(image, scale, scale, angle=angle)


def _crop_off_share(strength: float) -> float:
    return 1 - 0.52 * strength**1.2


@operation(
    "composition", "{amount} crop into a corner so that the subject is pushed to the edge", frame_share=_crop_off_share
)
def crop_off(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """Shrink the window into a corner, so that the middle is pushed to the edge or cut off."""
    corner_x, corner_y = draw_sign(rng), draw_sign(rng)
    scale = _crop_off_share(strength)
    move = (1 - scale) / 2
    return _window(image, scale, scale, centre=(0.5 + corner_x * move, 0.5 + corner_y * move))


def _tight_crop_share(strength: float) -> float:
    return 1 - 0.62 * strength**1.2


@operation("composition", "{amount} crop in too tightly around the middle", frame_share=_tight_crop_share)
def tight_crop(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    offset = rng.uniform(-0.2, 0.2, size=2)
    scale = _tight_crop_share(strength)
    free = 1 - scale
    return _window(image, scale, scale, centre=(0.5 + offset[0] * free, 0.5 + offset[1] * free))


def _stretch_share(strength: float) -> float:
    return 1 / (1 + 1.2 * strength**1.3)


@operation("composition", "{amount} stretch the picture along one axis", frame_share=_stretch_share)
def stretch(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """Show a wrong aspect ratio: one axis is stretched, and what no longer fits the frame is cut off on both sides."""
    along_x = rng.random() < 0.5
    scale = _stretch_share(strength)
    return _window(image, scale if along_x else 1.0, 1.0 if along_x else scale)


def _keystone_narrows(strength: float) -> float:
    return 0.26 * strength


def _keystone_share(strength: float) -> float:
    return 1 - 2 * _keystone_narrows(strength)


@operation(
    "composition", "{amount} distort the perspective so that upright lines converge", frame_share=_keystone_share
)
def keystone(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """Make lines converge, as if the camera pointed up or down: one side of the frame shows less of the scene."""
    up, lean = rng.random() < 0.5, rng.uniform(-0.25, 0.25)
    height, width = image.shape[:2]
    narrow = _keystone_narrows(strength)
    left, right = narrow * (1 + lean), narrow * (1 - lean)
    frame = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=np.float32)
    seen = frame.copy()
    row = (0, 1) if up else (3, 2)
    seen[row[0], 0], seen[row[1], 0] = left, 1 - right
    size = np.array([width - 1, height - 1], dtype=np.float32)
    matrix = cv2.getPerspectiveTransform(frame * size, seen * size)
    warped = cv2.warpPerspective(
        encoded_values(image),
        matrix,
        (width, height),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return to_bytes(warped.astype(np.float32))
