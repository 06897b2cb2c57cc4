"""Names of the fault that each embedded operation makes: several for each, none of which claims more than the fault.

The effect of a fault on the picture is mentioned only where it was measured (:mod:`.quantity_words`).
``{}`` is the gap for an adjective of size, in names that can have one.
"""

from __future__ import annotations

import re

SYMPTOMS: dict[str, tuple[str, ...]] = {
    "exposure_down": ("{} underexposure", "a {} case of underexposure", "{} underexposure of the scene"),
    "exposure_up": ("{} overexposure", "a {} case of overexposure", "{} overexposure of the scene"),
    "contrast_down": (
        "a {} loss of contrast",
        "a {} general loss of contrast",
        "a {} loss of contrast throughout",
        "a {} loss of contrast everywhere",
    ),
    "contrast_up": ("a {} excess of contrast", "harsh contrast", "too much contrast", "{} overdone contrast"),
    "haze": ("a {} grey haze", "a {} veil of haze", "a {} haze over the scene", "a {} film of haze"),
    "vignette": ("a {} vignette", "{} darkening of the corners", "{} vignetting", "a {} fall-off of light, a vignette"),
    "uneven_light": ("{} unevenness of the light", "uneven light", "a {} imbalance between light sides, uneven light"),
    "backlight": ("{} backlight", "backlight that leaves the subject dark", "{} backlight behind the middle"),
    "crushed_shadows": (
        "{} crushing of the shadows",
        "crushed shadows",
        "deep, crushed shadows",
    ),
    "sunken_shadows": ("{} sunken shadows", "sunken shadows", "shadows that are too deep"),
    "dim_subject": ("a dimly lit subject", "a dim subject"),
    "glare": ("a {} patch of glare", "a patch of glare over the scene", "patches of glare"),
    "ungraded": ("an ungraded look", "ungraded colours", "a {} ungraded look", "ungraded tones"),
    "cast_warm": (
        "a {} orange colour cast",
        "a {} orange cast",
        "a {} orange tint",
        "a {} amber tint",
    ),
    "cast_cool": (
        "a {} blue colour cast",
        "a {} blue cast",
        "a {} blue tint",
        "a {} cold colour cast",
    ),
    "cast_green": (
        "a {} green colour cast",
        "a {} green cast",
        "a {} green tint",
        "a {} greenish tinge",
    ),
    "cast_magenta": (
        "a {} magenta colour cast",
        "a {} magenta cast",
        "a {} magenta tint",
        "a {} pinkish tinge",
    ),
    "saturation_down": (
        "a {} loss of colour",
        "{} desaturation",
        "drained colour",
        "a {} loss of colour throughout",
    ),
    "saturation_up": ("{} oversaturation", "oversaturated colour", "{} oversaturation of all hues"),
    "hue_shift": (
        "a {} shift to unnatural hues",
        "unnatural hues",
        "a {} hue shift",
        "unnatural colours",
        "a {} colour shift",
    ),
    "posterize": ("{} posterisation of the tones", "{} posterisation", "posterised tones"),
    "defocus": ("{} defocus blur", "{} blur from a lens out of focus", "a {} defocus blur all over"),
    "motion_blur": ("{} motion blur from camera shake", "{} motion blur", "{} camera shake"),
    "oversharpen": ("{} oversharpening", "{} oversharpening with halos", "oversharpened edges"),
    "zoom_blur": ("a {} radial blur towards the borders", "{} zoom blur", "{} radial blur"),
    "missed_focus": (
        "{} misfocus that leaves the subject soft",
        "{} misfocus",
        "missed focus in the middle of the frame",
        "{} misfocus on the subject",
    ),
    "soft_glow": ("a {} soft glow that swallows detail", "a {} soft glow", "a {} greasy soft glow"),
    "noise_luma": ("{} grain", "{} noise like grain", "{} grain all over"),
    "noise_chroma": ("{} colour noise", "{} chroma noise", "blotchy colour noise", "mottled colour noise"),
    "jpeg_blocks": ("{} compression damage", "{} compression artefacts", "{} damage from compression"),
    "banding": (
        "{} banding noise",
        "{} horizontal banding",
        "{} banding from row to row",
        "horizontal stripes",
    ),
    "impulse": (
        "{} speckling by hot and dead pixels",
        "hot and dead pixels",
        "a {} scatter of hot pixels",
        "{} salt-and-pepper speckling",
    ),
    "pixelation": ("{} pixelation", "{} pixelation into squares"),
    "tilt": ("a {} tilt of the frame", "a {} tilt of the camera", "a {} tilt to one side"),
    "crop_off": (
        "an off-centre crop that cuts the subject",
        "an off-centre crop",
        "a {} off-centre crop",
        "an unbalanced, off-centre crop",
    ),
    "tight_crop": ("an overly tight crop", "a crop that is too tight", "a cramped, tight crop"),
    "stretch": (
        "{} stretching of the proportions",
        "stretched proportions",
        "shapes that look stretched",
    ),
    "keystone": ("a {} distortion of the perspective", "{} keystone distortion", "{} perspective distortion"),
    "clutter": ("{} clutter along the borders", "{} clutter at the borders", "{} clutter near the edges"),
    "date_stamp": ("a {} date stamp across the picture", "a {} date stamp", "a {} date stamp over the scene"),
    "watermark": ("a {} watermark across the picture", "a {} watermark", "{} watermark lettering over the scene"),
    "lens_dirt": ("{} dirt spots from the lens", "{} dirt on the lens", "spots of dirt on the lens"),
    "lens_flare": ("{} lens flare", "{} lens flare across the scene", "{} lens flare from beyond the frame"),
    "power_lines": (
        "{} cluttering by power lines",
        "power lines across the scene",
        "power lines in front of the scene",
        "wires across the scene, power lines",
    ),
    "finger": (
        "{} obstruction by a finger",
        "a finger in front of the lens",
        "a finger that reaches into the frame",
        "a finger over the lens",
    ),
}
"""Symptoms by operation. Each contains the words by which :data:`redaes.evidence.faults.FAULTS` recognises the
fault.
"""


def named(name: str, amount: str) -> str:
    """Return a name with an adjective of size in its gap.

    >>> named("a {} haze", "evident"), named("power lines", "slight")
    ('an evident haze', 'power lines')
    """
    return re.sub(r"\ba(?= [aeiou])", "an", " ".join(name.format(amount).split()))
