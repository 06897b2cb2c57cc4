"""Content: things in front of the scene, on the lens, or written over the picture."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from redaes.datagen.editors.parametric.operation import draw_sign, operation
from redaes.datagen.editors.parametric.pixels import (
    blur,
    box_around,
    coordinates,
    coordinates_of,
    diagonal_of,
    encoded_values,
    linear_to_bytes,
    smoothstep,
    to_bytes,
)
from redaes.evidence.picture.planes import ByteImage, FloatArray, linear_light


def _blob(
    x: FloatArray, y: FloatArray, centre: tuple[float, float], radius: float, wobble: NDArray[np.float64]
) -> FloatArray:
    """Return the distance-like map (H, W) of an irregular closed outline: negative inside, in units of ``radius``.

    ``wobble`` is one of the rows of :func:`_wobbles`.
    """
    dx, dy = x - centre[0], y - centre[1]
    angle = np.arctan2(dy, dx)
    outline = np.ones_like(angle)
    for k, (amplitude, phase) in enumerate(wobble, start=2):
        outline += np.float32(amplitude / k) * np.cos(k * angle + np.float32(phase))
    distance: FloatArray = np.hypot(dx, dy) / radius - outline
    return distance


def _wobbles(rng: np.random.Generator, n: int, largest: float) -> NDArray[np.float64]:
    """Return amplitudes and phases of the harmonics 2, 3 and 4 of n outlines, shape (n, 3, 2)."""
    return np.stack([rng.uniform(0.0, largest, size=(n, 3)), rng.uniform(0, 2 * math.pi, size=(n, 3))], axis=2)


def _border_point(side: int, along: float) -> tuple[float, float]:
    """Return a point of the border in fractions of the frame, from the number of its side and how far along it is."""
    return ((along, 0.0), (1.0, along), (along, 1.0), (0.0, along))[side]


@operation("content", "{amount} clutter the borders with out-of-focus objects that stand in the way")
def clutter(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """Put things in the way at the border, near and out of focus: dark shapes with soft outlines, lit and coloured as
    the scene is. With strength they reach further in, and stay in the same places."""
    n_objects = 3
    sides = rng.permutation(4)
    along = rng.uniform(0.1, 0.9, size=n_objects)
    sizes = rng.uniform(0.75, 1.2, size=n_objects)
    shades = rng.uniform(0.12, 0.5, size=n_objects)
    wobbles = _wobbles(rng, n_objects, 0.35)
    linear = linear_light(image)
    # An object far out of focus shows the colours around it and no detail.
    tone = 0.6 * blur(linear, 0.08 * diagonal_of(image)) + 0.4 * linear.mean(axis=(0, 1))
    opacity = np.float32(min(1.0, 4 * strength))
    for i in range(n_objects):
        radius = 0.5 * sizes[i]
        out = 0.5 - 0.36 * strength * sizes[i]  # how far the middle of the object is outside of the border
        u, v = _border_point(sides[i], along[i])
        away = ((0, -1), (1, 0), (0, 1), (-1, 0))[sides[i]]
        border_x, border_y = coordinates_of(image, u, v)
        centre = (border_x + away[0] * out, border_y + away[1] * out)
        x, y = coordinates(image)
        inside = 1 - smoothstep(_blob(x, y, centre, radius, wobbles[i]), -0.12, 0.12)
        linear = linear + (np.float32(shades[i]) * tone - linear) * (opacity * inside)[..., None]
    return linear_to_bytes(linear)


def _text_mask(image: ByteImage, text: str, u: float, v: float, size: float, weight: float) -> FloatArray:
    """Return the coverage (H, W) of ``text``, centred at the fractions u, v and ``size`` of the width wide."""
    height, width = image.shape[:2]
    font = cv2.FONT_HERSHEY_SIMPLEX
    (wide, tall), _ = cv2.getTextSize(text, font, 1.0, 2)
    scale = size * width / wide
    thickness = max(1, round(weight * scale))
    origin = (round(u * width - wide * scale / 2), round(v * height + tall * scale / 2))
    mask = np.zeros((height, width), dtype=np.uint8)
    cv2.putText(mask, text, origin, font, scale, 255, thickness, cv2.LINE_AA)
    return mask.astype(np.float32) / np.float32(255.0)


@operation("content", "{amount} overlay a glowing date stamp")
def date_stamp(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """Write the glowing orange date of a compact camera."""
    day, month, year = rng.integers(1, 29), rng.integers(1, 13), rng.integers(96, 110) % 100
    left, low = rng.random() < 0.3, rng.random() < 0.85
    text = f"'{year:02d} {month:2d} {day:2d}"
    size = 0.2 + 0.14 * strength
    u = 0.04 + size / 2 if left else 0.96 - size / 2
    mask = _text_mask(image, text, u, 0.92 if low else 0.08, size, 3.5)
    glow = np.clip(mask + 0.8 * blur(mask, 0.006 * diagonal_of(image)), 0.0, 1.0)
    colour = np.array([1.0, 0.42, 0.08], dtype=np.float32)
    encoded = encoded_values(image)
    return to_bytes(encoded + (colour - encoded) * (np.float32(min(1.0, 2.5 * strength)) * glow)[..., None])


@operation("content", "{amount} overlay repeated watermark lettering")
def watermark(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """Repeat pale lettering over the whole picture, as on a stock photograph."""
    word = ("SAMPLE", "PREVIEW", "PROOF", "STOCK")[rng.integers(4)]
    shift = rng.uniform(-0.1, 0.1)
    mask = np.zeros(image.shape[:2], dtype=np.float32)
    for row, v in enumerate((0.17, 0.5, 0.83)):
        for u in (0.25, 0.75):
            mask += _text_mask(image, word, u + shift + (0.12 if row % 2 else -0.06), v, 0.42, 3.0)
    mask = np.clip(mask, 0.0, 1.0)
    outline = np.clip(2.5 * blur(mask, 0.005 * diagonal_of(image)), 0.0, 1.0)
    encoded = encoded_values(image) * (1 - np.float32(0.5 * strength) * outline[..., None])
    return to_bytes(encoded + (0.97 - encoded) * (np.float32(0.8 * strength) * mask)[..., None])


@operation("content", "{amount} show dirt and drops on the lens")
def lens_dirt(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """Put drops on the lens, which smear and lighten what is behind them, and dust on the sensor: small dark discs."""
    n_drops, n_specks = 7, 14
    n_spots = n_drops + n_specks
    places = rng.uniform(0.04, 0.96, size=(n_spots, 2))
    radii = np.concatenate([rng.uniform(0.09, 0.2, size=n_drops), rng.uniform(0.014, 0.03, size=n_specks)])
    wobbles = _wobbles(rng, n_spots, 0.22)
    drops, dust = np.zeros((2, *image.shape[:2]), dtype=np.float32)
    for i, (place, radius, wobble) in enumerate(zip(places, radii, wobbles, strict=True)):
        box = box_around(image, place[0], place[1], 1.6 * radius)
        x, y = coordinates(image, box)
        spot = 1 - smoothstep(_blob(x, y, coordinates_of(image, *place), radius, wobble), -0.35, 0.15)
        layer = drops if i < n_drops else dust
        layer[box] = np.maximum(layer[box], spot)
    linear = linear_light(image)
    # A drop gathers light from a wide angle, so that everything behind it is blurred and a little lighter.
    smeared = 0.7 * blur(linear, 0.025 * diagonal_of(image)) + 0.3 * linear.mean(axis=(0, 1)) + np.float32(0.02)
    linear = linear + (smeared - linear) * (np.float32(min(1.0, 1.2 * strength)) * drops)[..., None]
    return linear_to_bytes(linear * np.exp2(-1.6 * np.float32(strength) * dust)[..., None])


@operation("content", "{amount} add glare and lens flare from a light outside the frame")
def lens_flare(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """Add a light outside the frame: veiling glare from one corner and a row of coloured ghosts."""
    corner = np.array([draw_sign(rng), draw_sign(rng)]) * rng.uniform(0.5, 0.7, size=2)
    n_ghosts = 6
    along = rng.uniform(-1.1, 0.7, size=n_ghosts)
    radii = rng.uniform(0.06, 0.2, size=n_ghosts)
    colours = rng.uniform(0.1, 0.8, size=(n_ghosts, 3)).astype(np.float32)
    x, y = coordinates(image)
    distance = np.hypot(x - np.float32(corner[0]), y - np.float32(corner[1]))
    warm = np.array([1.0, 0.86, 0.62], dtype=np.float32)
    light = (1.6 * np.exp(-distance / 0.16) + 0.75 * np.exp(-distance / 0.7))[..., None] * warm
    for t, radius, colour in zip(along, radii, colours, strict=True):
        r = np.hypot(x - np.float32(t * corner[0]), y - np.float32(t * corner[1])) / radius
        disc = (1 - smoothstep(r, 0.9, 1.05)) * (0.35 + 0.65 * r * r)
        light += 0.55 * disc[..., None] * colour
    linear = linear_light(image)
    # In a dark scene the light is a lamp, not the sun; otherwise the veil would be brighter than the whole scene.
    light *= np.float32(min(1.0, 0.35 + 2.5 * float(linear.mean())))
    return linear_to_bytes(linear + np.float32(strength) * light)


@operation("content", "{amount} run power lines across the picture")
def power_lines(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """Draw sagging cables across the frame."""
    n_lines = 5
    starts = rng.uniform(0.08, 0.75, size=n_lines)
    ends = starts + rng.uniform(-0.18, 0.18, size=n_lines)
    sags = rng.uniform(0.02, 0.12, size=n_lines)
    widths = rng.uniform(0.7, 1.3, size=n_lines)
    height, width = image.shape[:2]
    u = np.linspace(0, 1, width, dtype=np.float32)[None, :]
    rows = np.arange(height, dtype=np.float32)[:, None]
    shade = np.zeros((height, width), dtype=np.float32)
    for start, end, sag, wide in zip(starts, ends, sags, widths, strict=True):
        middle = np.float32(height) * (start + (end - start) * u + 4 * sag * u * (1 - u)).astype(np.float32)
        half = 0.5 * wide * (0.003 + 0.006 * strength) * diagonal_of(image)
        shade = np.maximum(shade, np.clip(np.float32(half + 0.5) - np.abs(rows - middle), 0.0, 1.0))
    encoded = encoded_values(image)
    # Against a dark scene cables are seen by the little light that they reflect.
    tone = np.float32(0.07 if encoded.mean() > 0.25 else 0.42)
    return to_bytes(encoded + (tone - encoded) * (np.float32(strength) * shade)[..., None])


@operation("content", "{amount} let a finger in front of the lens reach into the picture")
def finger(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """Put a finger in front of the lens: an unsharp, reddish shape that enters from the border."""
    side, along, lean = int(rng.integers(4)), rng.uniform(0.2, 0.8), rng.uniform(-0.5, 0.5)
    (x, y), (start_x, start_y) = coordinates(image), coordinates_of(image, *_border_point(side, along))
    x, y = x - np.float32(start_x), y - np.float32(start_y)
    inward = (math.pi / 2, math.pi, -math.pi / 2, 0.0)[side] + lean
    cos, sin = np.float32(math.cos(inward)), np.float32(math.sin(inward))
    ahead, across = x * cos + y * sin, y * cos - x * sin
    reach = np.float32(-0.31 + 1.01 * strength)
    # Distance to a half-line that ends at ``reach``, which gives a stroke with a round tip.
    distance = np.hypot(np.maximum(ahead - reach, 0.0), across)
    cover = 1 - smoothstep(distance, 0.14, 0.3)
    skin = np.array([0.42, 0.16, 0.1], dtype=np.float32) * (1.15 - 0.9 * np.clip(distance, 0, 0.5))[..., None]
    linear = linear_light(image)
    # The finger is lit by the scene's light from behind, so it is dim in a dim scene.
    skin = skin * np.float32(np.clip(2.4 * float(linear.mean()), 0.12, 1.0))
    return linear_to_bytes(linear + (skin - linear) * cover[..., None])
