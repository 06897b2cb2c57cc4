"""Focus: blur by the lens, by movement and by a filter, and excessive sharpening."""

from __future__ import annotations

import math

import cv2
import numpy as np

from redaes.datagen.editors.parametric.operation import operation
from redaes.datagen.editors.parametric.pixels import (
    blur,
    coordinates,
    diagonal_of,
    encoded_values,
    linear_to_bytes,
    smoothstep,
    to_bytes,
    warp,
)
from redaes.evidence.picture.planes import ByteImage, FloatArray, linear_light


def _convolved(image: FloatArray, kernel: FloatArray) -> FloatArray:
    filtered: FloatArray = cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT_101)
    return filtered


def _disc(radius: float) -> FloatArray:
    """Return the kernel of a defocused lens with a round aperture. Its edge falls off over two pixels, so that the blur
    grows evenly from radius 0, where the kernel is a single pixel."""
    reach = math.ceil(radius)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
    cover: FloatArray = np.clip((np.float32(radius + 1) - np.hypot(x, y)) / 2, 0.0, 1.0)
    return cover


def _disc_radius(strength: float) -> float:
    """Return the radius of the blur disc, in diagonals of the picture."""
    return 0.015 * strength**1.7


@operation("focus", "{amount} blur the whole picture as if it were out of focus", dose=_disc_radius)
def defocus(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    return linear_to_bytes(_convolved(linear_light(image), _disc(_disc_radius(strength) * diagonal_of(image))))


def _streak(length: float, angle: float) -> FloatArray:
    """Return the kernel of an even motion over ``length`` pixels, drawn bilinearly so that length is continuous."""
    reach = math.ceil(length / 2) + 1
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), dtype=np.float32)
    t = np.linspace(-length / 2, length / 2, 4 * math.ceil(length) + 1)
    x, y = t * math.cos(angle) + reach, t * math.sin(angle) + reach
    x0, y0 = np.floor(x).astype(int), np.floor(y).astype(int)
    fx, fy = x - x0, y - y0
    for dx, dy, weight in (
        (0, 0, (1 - fx) * (1 - fy)),
        (1, 0, fx * (1 - fy)),
        (0, 1, (1 - fx) * fy),
        (1, 1, fx * fy),
    ):
        np.add.at(kernel, (y0 + dy, x0 + dx), weight.astype(np.float32))
    return kernel


def _movement(strength: float) -> float:
    """Return the length of the movement, in diagonals of the picture."""
    return 0.035 * strength**1.7


@operation("focus", "{amount} smear the picture with camera shake in one direction", dose=_movement)
def motion_blur(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    angle = rng.uniform(0, math.pi)
    return linear_to_bytes(_convolved(linear_light(image), _streak(_movement(strength) * diagonal_of(image), angle)))


def _detail_added(strength: float) -> float:
    """Return the share of the detail that is added to the picture once more."""
    return 5.0 * strength**1.5


@operation("focus", "{amount} oversharpen the picture so that edges show halos", dose=_detail_added)
def oversharpen(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    encoded = encoded_values(image)
    blurred = blur(encoded, 0.0055 * diagonal_of(image))
    return to_bytes(encoded + np.float32(_detail_added(strength)) * (encoded - blurred))


@operation("focus", "{amount} blur the picture radially as if the lens had been zoomed during the exposure")
def zoom_blur(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """Blur as by zooming during the exposure: the mean of views of growing magnification."""
    n_views = 12
    centre = rng.uniform(0.42, 0.58, size=2) * (image.shape[1], image.shape[0])
    linear = linear_light(image)
    total = np.zeros_like(linear)
    for scale in np.linspace(1.0, 1 - 0.14 * strength**1.7, n_views):
        matrix = np.array([[scale, 0, (1 - scale) * centre[0]], [0, scale, (1 - scale) * centre[1]]])
        total += warp(linear, matrix, interpolation=cv2.INTER_LINEAR)
    return linear_to_bytes(total / np.float32(n_views))


@operation("focus", "{amount} blur the subject in the middle and leave the surroundings sharp")
def missed_focus(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """Blur the middle and keep the surroundings sharp, as if the focus were on the background."""
    offset = rng.uniform(-0.12, 0.12, size=2)
    x, y = coordinates(image)
    soft = 1 - smoothstep(np.hypot(x - np.float32(offset[0]), y - np.float32(offset[1])), 0.45, 0.8)
    linear = linear_light(image)
    blurred = _convolved(linear, _disc(0.019 * strength**1.9 * diagonal_of(image)))
    return linear_to_bytes(linear + (blurred - linear) * soft[..., None])


@operation("focus", "{amount} soften the picture with a greasy glow")
def soft_glow(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """Imitate a greasy filter: light spreads into a wide glow over everything."""
    linear = linear_light(image)
    diagonal = diagonal_of(image)
    near, wide = blur(linear, 0.008 * diagonal), blur(linear, 0.03 * diagonal)
    share = 0.9 * strength
    lift = share * (1 + 0.7 * strength)
    linear = linear * np.float32(1 - share)
    linear += near * np.float32(0.6 * lift)
    linear += wide * np.float32(0.4 * lift)
    return linear_to_bytes(linear)
