"""Light: exposure, contrast, haze and how evenly a scene is lit."""

from __future__ import annotations

import math

import numpy as np

from redaes.datagen.editors.parametric.operation import operation
from redaes.datagen.editors.parametric.pixels import (
    blur,
    coordinates,
    coordinates_of,
    diagonal_of,
    encoded_values,
    linear_to_bytes,
    luma,
    smoothstep,
    to_bytes,
)
from redaes.evidence.picture.planes import ByteImage, FloatArray, linear_light


def _exposed(image: ByteImage, stops: FloatArray) -> ByteImage:
    """Return the picture with the exposure raised by ``stops`` (H, W)."""
    return linear_to_bytes(linear_light(image) * np.exp2(stops)[..., None])


def _stops_under(strength: float) -> float:
    """Return the underexposure in stops."""
    return 3.6 * strength


@operation("light", "{amount} underexpose the picture so that it becomes too dark", dose=_stops_under)
def exposure_down(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    return linear_to_bytes(linear_light(image) * np.float32(2.0 ** -_stops_under(strength)))


def _stops_over(strength: float) -> float:
    """Return the overexposure in stops."""
    return 2.4 * strength


@operation("light", "{amount} overexpose the picture so that the highlights burn out", dose=_stops_over)
def exposure_up(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    return linear_to_bytes(linear_light(image) * np.float32(2.0 ** _stops_over(strength)))


def _with_slope(image: ByteImage, slope: float) -> ByteImage:
    """Apply a straight tone curve about the picture's own middle tone."""
    encoded = encoded_values(image)
    middle = np.float32(0.5 * encoded.mean() + 0.25)
    return to_bytes(middle + (encoded - middle) * np.float32(slope))


def _slope_missing(strength: float) -> float:
    """Return how much is taken from the slope of the tone curve: 0 changes nothing, 1 would give a flat grey."""
    return 0.75 * strength


@operation("light", "{amount} lower the contrast so that the picture looks flat", dose=_slope_missing)
def contrast_down(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    return _with_slope(image, 1 - _slope_missing(strength))


def _slope_added(strength: float) -> float:
    """Return how much is added to the slope of the tone curve."""
    return 1.2 * strength**1.6


@operation("light", "{amount} raise the contrast so that the light becomes harsh", dose=_slope_added)
def contrast_up(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    return _with_slope(image, 1 + _slope_added(strength))


@operation("light", "{amount} veil the scene in grey haze")
def haze(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """Add haze by Koschmieder's law, J t + A (1 - t) with t = exp(-beta depth). Depth is assumed to grow upwards.

    The air is lit by the same light as the scene, so it is dark at night.
    """
    linear = linear_light(image)
    light = np.float32(min(1.0, 0.12 + 1.5 * float(np.percentile(luma(linear), 90))))
    depth = np.linspace(1.3, 0.7, image.shape[0], dtype=np.float32)[:, None, None]
    transmission = np.exp(-1.0 * np.float32(strength**1.6) * depth)
    air = light * np.array([0.52, 0.55, 0.58], dtype=np.float32)
    return linear_to_bytes(linear * transmission + air * (1 - transmission))


@operation("light", "{amount} darken the corners with a heavy vignette")
def vignette(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    x, y = coordinates(image)
    return _exposed(image, -6.0 * np.float32(strength) * (x * x + y * y))


@operation("light", "{amount} light the scene unevenly, one side too bright and the other too dark")
def uneven_light(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    angle = rng.uniform(0, 2 * math.pi)
    x, y = coordinates(image)
    ramp: FloatArray = np.tanh(2.0 * (x * np.float32(math.cos(angle)) + y * np.float32(math.sin(angle))))
    return _exposed(image, np.float32(strength) * (3.2 * ramp - 0.6))


@operation("light", "{amount} darken the subject in the middle against a glaring background")
def backlight(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """Darken the middle, where the subject tends to be, and burn out the surroundings."""
    x, y = coordinates(image)
    surround = smoothstep(np.hypot(x, y), 0.1, 1.0)
    return _exposed(image, np.float32(strength) * (4.6 * surround - 2.8))


@operation("light", "{amount} crush the shadows to black")
def crushed_shadows(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    black = np.float32(0.32 * strength)
    return to_bytes((encoded_values(image) - black) / (1 - np.float32(0.7) * black))


@operation("light", "{amount} darken the shadows and leave the lights as they are")
def sunken_shadows(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """Darken shadows: a tone curve lowers what is darker than the middle and keeps the highlights."""
    linear = linear_light(image)
    light = luma(linear)
    # The local light decides, not the pixel's own, so that detail within a shadow keeps its contrast.
    around = 0.7 * blur(light, 0.02 * diagonal_of(image)) + 0.3 * light
    shadow = 1 - smoothstep(np.sqrt(around), 0.15, 0.75)
    return linear_to_bytes(linear * np.exp2(np.float32(-3.2 * strength) * shadow))


@operation("light", "{amount} darken the subject and leave its surroundings as they are")
def dim_subject(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """Darken the subject: light is reduced where the picture has most detail, and all else stays."""
    size = rng.uniform(0.8, 1.1)
    x, y = coordinates(image)
    light = luma(encoded_values(image))[..., 0]
    detail = blur(np.abs(light - blur(light, 0.01 * diagonal_of(image))), 0.06 * diagonal_of(image))
    # Detailed places near the middle count, since the subject is rarely at the border.
    weight = np.square(detail) * np.exp(-4.0 * (x * x + y * y)) + np.float32(1e-9)
    total = float(weight.sum())
    middle = float((weight * x).sum()) / total, float((weight * y).sum()) / total
    distance = np.hypot(x - np.float32(middle[0]), y - np.float32(middle[1])) / np.float32(0.55 * size)
    return _exposed(image, np.float32(-3.0 * strength) * np.exp(-(distance**2)))


@operation("light", "{amount} wash out a part of the picture with glare")
def glare(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """Wash a part of the picture out with light that falls on glass, as from a window behind the photographer."""
    u, v = rng.uniform(0.2, 0.8, size=2)
    angle, long, short = rng.uniform(0, math.pi), rng.uniform(0.35, 0.6), rng.uniform(0.2, 0.32)
    (x, y), (middle_x, middle_y) = coordinates(image), coordinates_of(image, u, v)
    x, y = x - np.float32(middle_x), y - np.float32(middle_y)
    cos, sin = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    along, across = (x * cos + y * sin) / np.float32(long), (y * cos - x * sin) / np.float32(short)
    patch = np.exp(-(along**2 + across**2))
    linear = linear_light(image)
    white = np.array([0.62, 0.61, 0.58], dtype=np.float32)
    veil = (np.float32(0.95 * strength) * patch)[..., None]
    return linear_to_bytes(linear * (1 - np.float32(0.6) * veil) + white * veil)
