"""Edits that change no quality: pairs made with them teach the model what does not matter."""

from __future__ import annotations

import cv2
import numpy as np

from redaes.datagen.editors.parametric.noise import through_jpeg
from redaes.datagen.editors.parametric.operation import draw_sign, operation
from redaes.datagen.editors.parametric.pixels import linear_to_bytes
from redaes.evidence.picture.planes import ByteImage, linear_light


@operation("composition", "Mirror the picture left to right", direction="neutral")
def mirror(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    return np.ascontiguousarray(image[:, ::-1])


@operation("composition", "Move the frame by a sliver", direction="neutral")
def tiny_crop(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """Move the frame by whole pixels, at most 1.5 % of a side. A crop that is enlarged again would be softer than the
    original, so the missing border is filled with a mirror image of the pixels beside it."""
    height, width = image.shape[:2]
    moves = [draw_sign(rng) * rng.uniform(0.4, 1.0) for _ in range(2)]
    right, down = (round(0.015 * strength * n * move) for n, move in zip((width, height), moves, strict=True))
    wide = cv2.copyMakeBorder(image, abs(down), abs(down), abs(right), abs(right), cv2.BORDER_REFLECT_101)
    top, left = abs(down) + down, abs(right) + right
    return np.ascontiguousarray(wide[top : top + height, left : left + width], dtype=np.uint8)


@operation("light", "Change the brightness by an amount that nobody can see", direction="neutral")
def tiny_tone(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    stops = rng.uniform(-0.04, 0.04)
    return linear_to_bytes(linear_light(image) * np.float32(2.0 ** (stops * strength)))


@operation("noise", "Save the picture again at a high quality", direction="neutral")
def reencode(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    quality = 97 - round((2 + rng.uniform(0, 2)) * strength)
    return through_jpeg(image, quality, full_colour=True)
