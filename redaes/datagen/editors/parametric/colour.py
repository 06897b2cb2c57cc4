"""Colour: casts, saturation, hues and the number of tones."""

from __future__ import annotations

import math

import numpy as np

from redaes.datagen.editors.parametric.operation import draw_sign, operation
from redaes.datagen.editors.parametric.pixels import LUMA, encoded_values, linear_to_bytes, luma, to_bytes
from redaes.evidence.picture.planes import ByteImage, linear_light


def _cast(image: ByteImage, strength: float, gains: tuple[float, float, float]) -> ByteImage:
    """Multiply linear R, G, B by ``gains**strength`` while the luminance of a grey card stays constant."""
    gain = np.array(gains, dtype=np.float32) ** np.float32(strength)
    gain /= gain @ LUMA
    return linear_to_bytes(linear_light(image) * gain)


@operation("colour", "{amount} shift the white balance towards orange")
def cast_warm(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    return _cast(image, strength, (1.9, 1.0, 0.22))


@operation("colour", "{amount} shift the white balance towards blue")
def cast_cool(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    return _cast(image, strength, (0.32, 0.92, 2.8))


@operation("colour", "{amount} tint the picture green")
def cast_green(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    return _cast(image, strength, (0.5, 1.2, 0.42))


@operation("colour", "{amount} tint the picture magenta")
def cast_magenta(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    return _cast(image, strength, (1.5, 0.54, 1.5))


def _saturate(image: ByteImage, factor: float) -> ByteImage:
    encoded = encoded_values(image)
    grey = luma(encoded)
    return to_bytes(grey + (encoded - grey) * np.float32(factor))


def _colour_taken(strength: float) -> float:
    """Return the share of the colour that is removed. Some colour is always left, because a black and white picture
    is a style, not a fault.
    """
    return 0.88 * strength


@operation("colour", "{amount} drain the colours", dose=_colour_taken)
def saturation_down(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    return _saturate(image, 1 - _colour_taken(strength))


def _colour_added(strength: float) -> float:
    """Return how much colour is added, as a share of the existing colour."""
    return 2.2 * strength**1.3


@operation("colour", "{amount} oversaturate the colours", dose=_colour_added)
def saturation_up(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    return _saturate(image, 1 + _colour_added(strength))


@operation("colour", "{amount} turn all hues away from their natural colours")
def hue_shift(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """Rotate the colour differences about the grey axis (Rodrigues' rotation); the luma is kept."""
    angle = draw_sign(rng) * strength * math.radians(50)
    cos, third, sin = math.cos(angle), (1 - math.cos(angle)) / 3, math.sin(angle) / math.sqrt(3)
    matrix = np.array(
        [
            [cos + third, third - sin, third + sin],
            [third + sin, cos + third, third - sin],
            [third - sin, third + sin, cos + third],
        ],
        dtype=np.float32,
    )
    encoded = encoded_values(image)
    turned = encoded @ matrix.T
    return to_bytes(turned + luma(encoded) - luma(turned))


@operation("colour", "{amount} flatten colour and tones as in ungraded log footage")
def ungraded(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """Footage as a camera records it for grading: logarithmic, raised blacks, lowered highlights, pale colours."""
    encoded = encoded_values(image)
    a = np.float32(12.0)
    flat = np.float32(0.2) + np.float32(0.52) * np.log1p(a * linear_light(image)) / np.log1p(a)
    light = luma(flat)
    flat = light + (flat - light) * np.float32(0.55)
    return to_bytes(encoded + (flat - encoded) * np.float32(strength))


def _tones_left(strength: float) -> float:
    """Return the number of tones left in each channel, from 25 to 6; in general it is not a whole number."""
    return float(1 + 24 * 4.8**-strength)


@operation("colour", "{amount} reduce the number of tones so that gradients break into steps", dose=_tones_left)
def posterize(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """Reduce the tones to even steps. The effect is faded in, because 25 tones already differ visibly from 256."""
    steps = np.float32(_tones_left(strength) - 1)
    encoded = encoded_values(image)
    stepped = np.minimum(np.rint(encoded * steps) / steps, 1.0)
    return to_bytes(encoded + (stepped - encoded) * np.float32(min(1.0, 5 * strength)))
