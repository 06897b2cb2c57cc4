"""The severity of an edit: its cost in points of the one scale, so that edits of different kinds can be compared.

**The scale.** KADID-10k (Lin, Hosu and Saupe, "KADID-10k: A Large-scale Artificially Distorted IQA Database", QoMEX
2019) has the mean opinion of people who saw 81 photographs with 25 distortions at 5 levels beside the clean one, from 1
(very annoying) to 5 (imperceptible). One of its levels changes nothing (mean shift by 0), and people gave it 4.60, so
this is the value of a clean picture. The range from there to 1 is the whole scale of 9 points::

    points = 9 * (CLEAN - opinion) / (CLEAN - WORST) = 2.5 * (4.6 - opinion)

**From strength to points.** Operations with a counterpart in KADID-10k do what its code does, at the levels that
:data:`COUNTERPARTS` names; one monotone curve is fitted to the opinions (:data:`BY_STRENGTH`). For the others, points
at three strengths are given with an argument (:data:`ARGUED`), on the same scale.

**From the picture's own change to points.** A level is not equally bad for every picture. So the change of each edited
picture is measured (the perceptual difference, or for things in front of the scene how much they cover) and a second
curve (:data:`BY_CHANGE`) turns it into points, such that the median photograph gets the points of its strength. The
loss is the geometric mean of both: it grows with either, and a change that is invisible in this picture costs nothing.

**Uncertainty.** It combines the spread of opinions about pictures at one level (KADID-10k's standard deviations), the
error of applying them here (:data:`TRANSFER`), and half of the difference between the two curves. If the losses of two
edits of different kinds differ by less than that, their order is not known.

``benchmarks/severity.py`` fits all curves again from the opinions and photographs and compares them with these.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from redaes.errors import InputError
from redaes.types import MAX_DELTA

CLEAN = 4.6
"""Mean opinion of an undistorted picture in KADID-10k: distortion 18 (mean shift), level 3, a shift by 0."""
WORST = 1.0
TRANSFER = 0.8
"""Uncertainty, in points, of applying the opinions here: other photographs, other screens, and people who compared with
the clean picture rather than rated.
"""
_DIAGONAL = math.hypot(512, 384) * math.sqrt(0.5)
"""Diagonal of KADID-10k's pictures, in pixels, for blurs. A picture half as large, blurred over the same share of its
frame, is as bad when seen at the same size, and half as bad when seen pixel for pixel. Pictures of 256 pixels are seen
in both ways, so the middle is taken. Faults of the size of a pixel are counted in pixels."""


def points_of(opinion: float) -> float:
    """Return the points lost at a mean opinion of KADID-10k, at least 0."""
    return max(0.0, MAX_DELTA * (CLEAN - opinion) / (CLEAN - WORST))


@dataclass(frozen=True)
class SeverityCurve:
    """``9 * (1 - exp(-(x / scale) ** power))``: 0 at 0, growing, below 9."""

    scale: float
    power: float

    def __call__(self, x: float) -> float:
        """Return the points at ``x``, a strength or a change of at least 0."""
        return MAX_DELTA * -math.expm1(-((max(x, 0.0) / self.scale) ** self.power))


@dataclass(frozen=True)
class Counterpart:
    """A distortion of KADID-10k that an operation imitates."""

    distortion: str
    """Its name in the table of mean opinions."""
    levels: dict[int, float]
    """The distortion's parameter at each level, as in the database's own code (``imdist_generator``)."""
    dose: Callable[[float], float]
    """Function from the parameter to :attr:`redaes.datagen.editors.parametric.operation.Operation.dose`."""


def _linear(encoded: float) -> float:
    return float(encoded / 12.92 if encoded <= 0.04045 else ((encoded + 0.055) / 1.055) ** 2.4)


def _stops(amount: float) -> float:
    """Return the stops by which the curve through (0.5, 0.5 + amount / 2) moves middle grey."""
    return math.log2(_linear(0.5 + amount / 2) / _linear(0.5))


def _darker(amount: float) -> float:
    """Return the underexposure, in stops, that lowers the mean encoded value of evenly distributed tones as much as the
    curve through (0.5, 0.5 - amount / 2). That curve keeps white, an exposure does not: with equal middle greys it
    would be far darker. A stop is a factor of 2^(1 / 2.2) of encoded values."""
    return -2.2 * math.log2(1 - 2 * amount / 3)


def _slope(amount: float) -> float:
    """Return the slope of the curve through (0.3, 0.25 - amount / 4) and (0.7, 0.75 + amount / 4) between the two."""
    return (0.5 + amount / 2) / 0.4


COUNTERPARTS: dict[str, Counterpart] = {
    "exposure_down": Counterpart("darken", {1: 0.05, 2: 0.1, 3: 0.2, 4: 0.4, 5: 0.8}, _darker),
    "exposure_up": Counterpart("brighten", {1: 0.1, 2: 0.2, 3: 0.4, 4: 0.7, 5: 1.1}, _stops),
    # The database has one distortion of contrast for both directions; at an amount of -0.2 it would change nothing.
    "contrast_up": Counterpart("contrast_change", {1: 0.3, 2: 0.15, 3: 0.0}, lambda p: _slope(p) - 1),
    "contrast_down": Counterpart("contrast_change", {4: -0.4, 5: -0.6}, lambda p: 1 - _slope(p)),
    # Level 5 inverts the colours, which our operation does at no strength.
    "saturation_down": Counterpart("color_saturation_1", {1: 0.4, 2: 0.2, 3: 0.1, 4: 0.0}, lambda p: 1 - p),
    "saturation_up": Counterpart("color_saturation_2", {1: 1, 2: 2, 3: 3, 4: 6, 5: 9}, lambda p: p - 1),
    "posterize": Counterpart("quantization", {1: 20, 2: 16, 3: 13, 4: 10, 5: 7}, float),
    "defocus": Counterpart("lens_blur", {1: 1, 2: 2, 3: 4, 4: 6, 5: 8}, lambda p: p / _DIAGONAL),
    # The database's kernels are rows of whole pixels, ours are interpolated; these lengths have equal variance.
    "motion_blur": Counterpart(
        "motion_blur", {1: 1, 2: 2, 3: 4, 4: 6, 5: 10}, lambda p: math.sqrt(max(0.0, p * p - 3)) / _DIAGONAL
    ),
    # Halos as wide as the database's in shares of the frame, so half as many pixels, for the reason at ``_DIAGONAL``.
    "oversharpen": Counterpart("high_sharpen", {1: 1, 2: 2, 3: 3, 4: 6, 5: 12}, lambda p: math.sqrt(2) * p),
    "noise_luma": Counterpart("white_noise", {1: 0.001, 2: 0.002, 3: 0.003, 4: 0.005, 5: 0.01}, math.sqrt),
    "noise_chroma": Counterpart(
        "white_noise_color_component", {1: 0.0001, 2: 0.0005, 3: 0.001, 4: 0.002, 5: 0.003}, math.sqrt
    ),
    # Level 5 is a quality of 4; ours goes down to 6 only.
    "jpeg_blocks": Counterpart("jpeg", {1: 43, 2: 36, 3: 24, 4: 7}, float),
    "impulse": Counterpart("impulse_noise", {1: 0.001, 2: 0.005, 3: 0.01, 4: 0.02, 5: 0.03}, float),
    "pixelation": Counterpart("pixelate", {1: 0.01, 2: 0.05, 3: 0.1, 4: 0.2, 5: 0.5}, lambda p: 1 / (0.95 - p**0.6)),
}
"""Counterparts by operation."""


@dataclass(frozen=True)
class Argument:
    """The cost of an operation without a counterpart, and the reason for it."""

    points: tuple[float, float, float]
    """Points at strengths 0.3, 0.6 and 1."""
    spread: float
    """Uncertainty of these points for one picture."""
    because: str


ARGUED_STRENGTHS = (0.3, 0.6, 1.0)
_SURE, _USUAL, _TASTE = 1.3, 1.6, 2.0
"""Spreads, in points: for a plain defect, for the usual case, and for what depends on taste or on the scene."""

ARGUED: dict[str, Argument] = {
    "haze": Argument(
        (0.8, 2.8, 5.5), _USUAL, "leaves 0.86, 0.64 and 0.37 of the contrast; contrast_down costs that, and grey veils"
    ),
    "vignette": Argument(
        (0.6, 1.6, 3.2),
        _USUAL,
        "2 stops in the mean at full strength (exposure_down: 5 points), but none in the middle",
    ),
    "uneven_light": Argument(
        (0.9, 2.3, 4.5), _USUAL, "at full strength a third of the frame 2 to 3 stops under, a third 1 to 2 over"
    ),
    "backlight": Argument((1.0, 2.7, 5.0), _USUAL, "the middle, where the subject tends to be, 2.8 stops under"),
    "crushed_shadows": Argument((0.8, 2.4, 4.5), _USUAL, "darkens as a stop or two and loses what the shadows held"),
    "sunken_shadows": Argument((0.8, 2.0, 3.8), _USUAL, "3.2 stops, in the shadows only, and nothing is lost for good"),
    "dim_subject": Argument((0.8, 2.2, 4.2), _USUAL, "3 stops where the picture is busiest: more than its area"),
    "glare": Argument((1.2, 3.0, 5.2), _USUAL, "22 to 40 % of the frame paler, most of all in one patch"),
    "cast_warm": Argument((0.7, 2.5, 5.2), _USUAL, "white moves as far as with the others, but warm light is liked"),
    "cast_cool": Argument((1.0, 3.0, 5.6), _USUAL, "differs by as much as tripled saturation, which costs 5"),
    "cast_green": Argument((1.3, 3.4, 6.0), _USUAL, "as cast_cool; no light of nature looks like it"),
    "cast_magenta": Argument((1.3, 3.4, 6.0), _USUAL, "as cast_cool; no light of nature looks like it"),
    "hue_shift": Argument((1.0, 2.8, 5.2), _USUAL, "50 degrees at full strength: faces and leaves look wrong"),
    "ungraded": Argument((0.8, 2.3, 4.5), _USUAL, "half the contrast (3) and half the colour (3), which go together"),
    "zoom_blur": Argument((1.1, 3.6, 6.2), _USUAL, "half way out as long as motion_blur; the middle is sharp"),
    "missed_focus": Argument((1.2, 3.8, 6.5), _USUAL, "defocus of its radius, where the subject tends to be"),
    "soft_glow": Argument((1.2, 3.4, 6.2), _TASTE, "a blur of 0.8 % of the diagonal, alone worth 7, mixed in"),
    "banding": Argument((1.2, 3.0, 5.0), _USUAL, "noise of 0.06 (4 points) that the eye finds at once, in the shadows"),
    "tilt": Argument((1.0, 3.0, 5.0), _TASTE, "5, 12 and 22 degrees: 2 are seen, 10 are plainly wrong"),
    "crop_off": Argument((0.6, 2.0, 4.2), _TASTE, "0.88, 0.72 and 0.48 of each side are left, in a corner"),
    "tight_crop": Argument((0.5, 1.8, 4.0), _TASTE, "0.85, 0.66 and 0.38 of each side are left, about the middle"),
    "stretch": Argument((0.8, 2.6, 5.0), _USUAL, "1.25, 1.6 and 2.2 times as wide or high as it should be"),
    "keystone": Argument((0.6, 1.8, 3.6), _TASTE, "one border shows 0.84, 0.69 and 0.48 of what the other does"),
    "clutter": Argument((1.2, 3.2, 5.5), _USUAL, "10, 20 and 37 % of the frame, at its border, where less hangs on it"),
    "date_stamp": Argument((0.8, 1.6, 2.6), _SURE, "1 to 3 % of the frame, in its corner, in a colour that stands out"),
    "watermark": Argument((2.5, 4.5, 6.5), _SURE, "16 to 28 % of the frame, all over it, the subject included"),
    "lens_dirt": Argument(
        (1.2, 3.0, 5.0), _USUAL, "at full strength a seventh of the frame smeared, wherever it falls"
    ),
    "lens_flare": Argument((0.9, 2.6, 4.8), _TASTE, "a veil over most of the frame; a little of it may be liked"),
    "power_lines": Argument(
        (0.9, 2.2, 4.0), _USUAL, "5 to 10 % of the frame, in lines that cross all of it and draw the eye"
    ),
    "finger": Argument((1.5, 3.8, 6.5), _SURE, "5, 13 and 23 % of the frame, up to its middle"),
}
"""Arguments by operation."""

COVERING = frozenset(
    {"glare", "clutter", "date_stamp", "watermark", "lens_dirt", "lens_flare", "power_lines", "finger"}
)
"""Operations whose change is measured by how much they cover (:mod:`redaes.datagen.judges.cover`)."""

LIKED = frozenset(
    {
        "contrast_up", "saturation_up", "saturation_down", "oversharpen", "vignette", "cast_warm", "sunken_shadows",
        "crushed_shadows",
    }
)  # fmt: skip
"""Operations that photographers use on purpose, in small doses. People who are asked how far a picture is from the
clean one, as for KADID-10k, count them against the picture; people who are asked which one they like better may not."""
TASTE = 1.5
"""Additional uncertainty, in points, of the loss by an operation of :data:`LIKED`."""
LIKED_LOSS = 3.0
"""Points below which a loss by one of :data:`LIKED` may be a gain: about doubled colour, a slope of 1.6, or half of the
detail added once more."""

_SCALES_AND_POWERS: dict[str, tuple[float, float, float, float]] = {
    "exposure_down": (0.6239, 1.35, 1.743, 1.2),
    "exposure_up": (0.8152, 1.95, 2.675, 2.35),
    "contrast_up": (0.9522, 2.55, 2.173, 2.05),
    "contrast_down": (1.083, 1.7, 3.203, 1.05),
    "saturation_down": (0.9901, 0.8, 1.366, 0.6),
    "saturation_up": (1.2, 1, 3.267, 0.65),
    "posterize": (1.335, 1.05, 1.204, 0.95),
    "defocus": (0.6009, 1.9, 1.794, 1.45),
    "motion_blur": (0.5637, 1.65, 1.047, 1.1),
    "oversharpen": (0.8513, 1.4, 2.34, 1.25),
    "noise_luma": (0.8842, 1.6, 2.441, 2.35),
    "noise_chroma": (0.9197, 1.7, 2.47, 1.95),
    "jpeg_blocks": (0.7403, 1.85, 0.5327, 1.9),
    "impulse": (0.7923, 0.75, 1.145, 0.6),
    "pixelation": (0.3921, 0.95, 0.1565, 0.7),
    "haze": (1.026, 1.9, 3.414, 1.8),
    "vignette": (1.706, 1.55, 3.29, 1.4),
    "uneven_light": (1.269, 1.6, 2.47, 1.35),
    "backlight": (1.136, 1.6, 1.534, 1.15),
    "crushed_shadows": (1.258, 1.6, 2.341, 1.25),
    "sunken_shadows": (1.499, 1.5, 1.668, 1.1),
    "dim_subject": (1.329, 1.6, 1.816, 1.25),
    "glare": (1.105, 1.5, 0.2605, 2.8),
    "cast_warm": (1.075, 1.95, 2.922, 1.8),
    "cast_cool": (1.017, 1.75, 2.677, 1.55),
    "cast_green": (0.9443, 1.65, 1.968, 1.3),
    "cast_magenta": (0.9443, 1.65, 2.514, 1.3),
    "hue_shift": (1.095, 1.65, 1.281, 1.2),
    "ungraded": (1.246, 1.65, 2.132, 1.05),
    "zoom_blur": (0.9016, 1.75, 1.927, 1.55),
    "missed_focus": (0.8609, 1.75, 2.266, 1.35),
    "soft_glow": (0.9185, 1.75, 2.898, 1.15),
    "banding": (1.157, 1.4, 2.025, 1),
    "tilt": (1.136, 1.5, 1.962, 1.7),
    "crop_off": (1.293, 1.8, 3.362, 2.4),
    "tight_crop": (1.317, 1.9, 3.264, 1.9),
    "stretch": (1.126, 1.75, 1.905, 2.2),
    "keystone": (1.499, 1.65, 2.834, 1.35),
    "clutter": (1.036, 1.55, 0.1359, 1.1),
    "date_stamp": (2.66, 1.1, 0.02047, 1.65),
    "watermark": (0.8145, 1.15, 0.111, 1.55),
    "lens_dirt": (1.157, 1.4, 0.0905, 2.35),
    "lens_flare": (1.179, 1.6, 0.5042, 3.15),
    "power_lines": (1.445, 1.45, 0.1016, 1.2),
    "finger": (0.8609, 1.65, 0.119, 0.9),
}
"""Scales and powers of each operation's curve from strength, and of its curve from the picture's own change."""
BY_STRENGTH = {name: SeverityCurve(*fitted[:2]) for name, fitted in _SCALES_AND_POWERS.items()}
BY_CHANGE = {name: SeverityCurve(*fitted[2:]) for name, fitted in _SCALES_AND_POWERS.items()}
SPREAD: dict[str, float] = {
    "exposure_down": 0.66,
    "exposure_up": 0.83,
    "contrast_up": 0.73,
    "contrast_down": 0.82,
    "saturation_down": 0.74,
    "saturation_up": 0.86,
    "posterize": 1.5,
    "defocus": 0.79,
    "motion_blur": 0.84,
    "oversharpen": 0.89,
    "noise_luma": 0.9,
    "noise_chroma": 0.87,
    "jpeg_blocks": 0.74,
    "impulse": 0.69,
    "pixelation": 1.16,
} | {name: argument.spread for name, argument in ARGUED.items()}
"""Spread of opinions about pictures at one level together with the misfit of the curve, or the spread that an argument
states, in points."""


@dataclass(frozen=True)
class Severity:
    """The cost of one edit for one picture."""

    loss: float
    """Loss in points, in [0, 9)."""
    uncertainty: float
    """Standard deviation of the loss in comparisons with edits of other kinds, in points."""


def severity(operation: str, strength: float, change: float) -> Severity:
    """Return the cost of an edit.

    Args:
        operation: a degrading operation of the embedded editor.
        strength: strength of the edit, in [0, 1].
        change: change of this picture: :func:`redaes.datagen.judges.cover.covered` for :data:`COVERING`, else the
            perceptual difference.

    Raises:
        InputError: there is no curve for the operation.
    """
    if operation not in BY_STRENGTH:
        raise InputError(f"no severity is known of {operation!r}; known: {', '.join(sorted(BY_STRENGTH))}")
    planned, seen = BY_STRENGTH[operation](strength), BY_CHANGE[operation](change)
    taste = TASTE if operation in LIKED else 0.0
    return Severity(math.sqrt(planned * seen), math.hypot(SPREAD[operation], TRANSFER, taste, (planned - seen) / 2))
