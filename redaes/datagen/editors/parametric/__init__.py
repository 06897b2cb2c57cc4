"""The embedded editor: parametric photographic edits in numpy and OpenCV, no model and no download.

Each operation takes a picture, a strength in [0, 1] and a random generator. Three rules hold for all of them:

* Strength 0 gives (almost) the input, strength 1 is clearly bad while the scene stays recognisable, and the
  effect grows in between.
* The random part (direction of the motion, sign of the tilt, place of the clutter) is drawn from the seed alone,
  independently of strength: two strengths with one seed are the same edit, done less or more.
* Lengths are fractions of the image diagonal, so that an edit looks alike at 256 px and at 2048 px.

Effects on the light before the sensor (exposure, blur, haze, colour of the light) are computed in linear light;
effects of development (contrast, posterising, stamps) in the encoded values. All arithmetic is
float32 in [0, 1], rounded to bytes once at the end.

Results are identical in all processes and threads, but may differ by one grey level between CPU generations: compare
them with a tolerance, not by hash.
"""

from __future__ import annotations

import numpy as np

from redaes.datagen.editors.parametric import colour, composition, content, focus, light, neutral, noise
from redaes.datagen.editors.parametric.operation import Operation
from redaes.errors import InputError
from redaes.evidence.picture.planes import ByteImage, check
from redaes.types import Edit

EDITOR = "embedded/3"
"""Name and version of this editor, as edits store it."""

OPERATIONS: dict[str, Operation] = {
    operation.name: operation
    for operation in (
        light.exposure_down, light.exposure_up, light.contrast_down, light.contrast_up, light.haze, light.vignette,
        light.uneven_light, light.backlight, light.crushed_shadows, light.sunken_shadows, light.dim_subject,
        light.glare,
        colour.cast_warm, colour.cast_cool, colour.cast_green, colour.cast_magenta, colour.saturation_down,
        colour.saturation_up, colour.hue_shift, colour.ungraded, colour.posterize,
        focus.defocus, focus.motion_blur, focus.oversharpen, focus.zoom_blur, focus.missed_focus, focus.soft_glow,
        noise.noise_luma, noise.noise_chroma, noise.jpeg_blocks, noise.banding, noise.impulse, noise.pixelation,
        composition.tilt, composition.crop_off, composition.tight_crop, composition.stretch, composition.keystone,
        content.clutter, content.date_stamp, content.watermark, content.lens_dirt, content.lens_flare,
        content.power_lines, content.finger,
        neutral.mirror, neutral.tiny_crop, neutral.tiny_tone, neutral.reencode,
    )
}  # fmt: skip
"""All operations by name."""


def _operation(name: str, strength: float) -> Operation:
    if name not in OPERATIONS:
        raise InputError(f"unknown operation {name!r}; known: {', '.join(sorted(OPERATIONS))}")
    if not 0.0 <= strength <= 1.0:  # also refuses NaN, which compares as false
        raise InputError(f"strength must lie in [0, 1], got {strength!r}")
    return OPERATIONS[name]


def apply_edit(image: ByteImage, operation: str, strength: float, seed: int) -> ByteImage:
    """Apply one edit.

    Args:
        image: (H, W, 3) sRGB bytes; it is not modified.
        operation: a name in :data:`OPERATIONS`.
        strength: in [0, 1]; 0 is (almost) the input.
        seed: seed of the random part, which is the same at every strength.

    Returns:
        (H, W, 3) sRGB bytes.

    Raises:
        InputError: the operation is unknown, strength is outside [0, 1], or the picture is not RGB bytes.
    """
    known = _operation(operation, strength)
    check(image)
    return known.apply(image, float(strength), np.random.default_rng(seed))


def make_edit(operation: str, strength: float, seed: int) -> Edit:
    """Return the record of an edit.

    >>> make_edit("exposure_down", 0.2, seed=1).instruction
    'Slightly underexpose the picture so that it becomes too dark.'
    """
    known = _operation(operation, strength)
    amount = "slightly" if strength < 1 / 3 else "noticeably" if strength < 2 / 3 else "strongly"
    sentence = known.instruction.format(amount=amount)
    return Edit(
        factor=known.factor,
        operation=known.name,
        direction=known.direction,
        strength=strength,
        instruction=sentence[0].upper() + sentence[1:] + ".",
        editor=EDITOR,
        seed=seed,
    )
