"""How much of what an edit does at each strength, in the units of its own physics.

One place for the numbers that both the editor and the labels need: the editor does it, and
:mod:`redaes.datagen.severity` says what people think of it. Every dose is 0 (or its harmless value) at strength 0
and grows with strength; strength is in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable

FULL_GRAIN = 512
"""Longest side in pixels up to which pixel-sized faults are as large as a pixel; beyond it they grow with the picture,
so that they look alike on any screen that shows all of it. KADID-10k's pictures have this longest side."""


def exposure_down(strength: float) -> float:
    """Stops of underexposure."""
    return 3.6 * strength


def exposure_up(strength: float) -> float:
    """Stops of overexposure."""
    return 2.4 * strength


def contrast_down(strength: float) -> float:
    """What is missing from the slope of the tone curve: 0 leaves it, 1 would leave a flat grey."""
    return 0.75 * strength


def contrast_up(strength: float) -> float:
    """What is added to the slope of the tone curve."""
    return 1.2 * strength**1.6


def saturation_down(strength: float) -> float:
    """Share of the colour that is taken away. Some is left: a black and white picture is a style, not a fault."""
    return 0.88 * strength


def saturation_up(strength: float) -> float:
    """Colour added, as a share of what is there."""
    return 2.2 * strength**1.3


def posterize(strength: float) -> float:
    """Tones that are left of each channel, from 25 to 6; not a whole number in general."""
    return float(1 + 24 * 4.8**-strength)


def defocus(strength: float) -> float:
    """Radius of the blur disc, in diagonals of the picture."""
    return 0.015 * strength**1.7


def motion_blur(strength: float) -> float:
    """Length of the movement, in diagonals of the picture."""
    return 0.035 * strength**1.7


def oversharpen(strength: float) -> float:
    """Share of the detail that is added to the picture once more."""
    return 5.0 * strength**1.5


def noise_luma(strength: float) -> float:
    """Standard deviation of the grain at a luma of one half, white being 1."""
    return 0.11 * strength**1.3


def noise_chroma(strength: float) -> float:
    """Standard deviation of the noise in each of Y', Cb and Cr at a luma of one half, white being 1."""
    return 0.06 * strength**1.2


def jpeg_blocks(strength: float) -> float:
    """Quality of the JPEG, from 50 down to 6; rounded when it is used."""
    return 6 + 44 * (1 - strength) ** 2


def impulse(strength: float) -> float:
    """Share of the values, channel by channel, that are dead or hot."""
    return 0.03 * strength**2


def pixelation(strength: float) -> float:
    """Side of a block in pixels of a picture of :data:`FULL_GRAIN`."""
    return 1 + 4 * strength**1.5


DOSES: dict[str, Callable[[float], float]] = {
    dose.__name__: dose
    for dose in (
        exposure_down,
        exposure_up,
        contrast_down,
        contrast_up,
        saturation_down,
        saturation_up,
        posterize,
        defocus,
        motion_blur,
        oversharpen,
        noise_luma,
        noise_chroma,
        jpeg_blocks,
        impulse,
        pixelation,
    )
}
"""Operations whose dose has a counterpart in KADID-10k, by name."""
