"""The faults that a reasoning can name, and the measurements that show them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from redaes.evidence.fault_words import WORDS
from redaes.types import Factor

FoundIn = Literal["values", "changes", "view"]
"""What decides whether a picture has a fault. ``values``: its measured values; ``changes``: a part of the scene that
only this picture shows; ``view``: the registration of the two pictures."""


@dataclass(frozen=True)
class Fault:
    """One fault of a photograph."""

    name: str
    """Name of the fault; if an embedded operation produces it, that operation's name."""
    factor: Factor
    words: tuple[str, ...]
    """Regular expressions for its English names; they match whole words and ignore case. The first ones are the names
    that this project writes itself."""
    shown_by: tuple[tuple[str, Literal["more", "less"]], ...] = ()
    """Quantities that differ in the picture that has the fault, the decisive one first; one of them is enough. Empty:
    no measurement shows the fault."""
    found_in: FoundIn = "values"


def _fault(
    name: str,
    factor: Factor,
    shown_by: tuple[tuple[str, Literal["more", "less"]], ...] = (),
    found_in: FoundIn = "values",
) -> Fault:
    return Fault(name, factor, WORDS[name], shown_by, found_in)


_ALL: tuple[Fault, ...] = (
    # --- Light
    _fault("exposure_down", "light", (("brightness", "less"), ("clipped_shadows", "more"))),
    _fault("exposure_up", "light", (("brightness", "more"), ("clipped_highlights", "more"))),
    _fault("blown_highlights", "light", (("clipped_highlights", "more"),)),
    _fault("crushed_shadows", "light", (("clipped_shadows", "more"),)),
    _fault("sunken_shadows", "light", (("brightness", "less"), ("clipped_shadows", "more"))),
    _fault("dim_subject", "light", (("brightness", "less"),)),
    _fault("glare", "light", (("haze", "more"), ("clipped_highlights", "more"), ("brightness", "more")), "changes"),
    _fault("contrast_down", "light", (("contrast", "less"), ("dynamic_range", "less"), ("haze", "more"))),
    _fault("contrast_up", "light", (("contrast", "more"), ("dynamic_range", "more"))),
    _fault("haze", "light", (("haze", "more"), ("contrast", "less"))),
    _fault("vignette", "light", (("vignetting", "more"),)),
    _fault("uneven_light", "light", (("unevenness", "more"),)),
    _fault("backlight", "light"),
    # --- Colour
    _fault("cast_warm", "colour", (("warmth", "more"), ("cast", "more"))),
    _fault("cast_cool", "colour", (("warmth", "less"), ("cast", "more"))),
    _fault("cast_green", "colour", (("magenta", "less"), ("cast", "more"))),
    _fault("cast_magenta", "colour", (("magenta", "more"), ("cast", "more"))),
    _fault("colour_cast", "colour", (("cast", "more"),)),
    _fault("saturation_down", "colour", (("colourfulness", "less"),)),
    _fault("saturation_up", "colour", (("colourfulness", "more"),)),
    _fault("hue_shift", "colour"),
    _fault("ungraded", "colour", (("contrast", "less"), ("dynamic_range", "less"), ("colourfulness", "less"))),
    _fault("posterize", "colour", (("banding", "more"),)),
    # --- Focus
    _fault("defocus", "focus", (("sharpness", "less"), ("edge_width", "more"))),
    _fault("motion_blur", "focus", (("motion", "more"), ("sharpness", "less"), ("edge_width", "more"))),
    _fault("oversharpen", "focus", (("halos", "more"),)),
    _fault("zoom_blur", "focus", (("sharpness", "less"), ("edge_width", "more"))),
    _fault("missed_focus", "focus", (("centre_sharpness", "less"), ("sharpness", "less"), ("edge_width", "more"))),
    _fault("soft_glow", "focus", (("sharpness", "less"), ("contrast", "less"), ("haze", "more"))),
    # --- Noise
    _fault("noise_luma", "noise", (("noise", "more"),)),
    _fault("noise_chroma", "noise", (("chroma_noise", "more"),)),
    _fault("jpeg_blocks", "noise", (("blocking", "more"),)),
    _fault("banding", "noise", (("banding", "more"), ("stripes", "more"), ("noise", "more"))),
    _fault("impulse", "noise", (("impulse", "more"),)),
    _fault("pixelation", "noise", (("pixelation", "more"), ("sharpness", "less"))),
    # --- Composition
    _fault("tilt", "composition", (("tilt", "more"),), "view"),
    _fault("crop_off", "composition", (), "view"),
    _fault("tight_crop", "composition", (), "view"),
    _fault("stretch", "composition", (), "view"),
    _fault("keystone", "composition", (("keystone", "more"),)),
    _fault("broadened", "composition", (), "view"),
    _fault("turned", "composition", (), "view"),
    _fault("mirror", "composition", (), "view"),
    _fault("tiny_crop", "composition", (), "view"),
    # --- Content
    _fault("clutter", "content", (), "changes"),
    _fault("covered", "content", (), "changes"),
    _fault("date_stamp", "content", (("lettering", "more"),), "changes"),
    _fault("watermark", "content", (("lettering", "more"),), "changes"),
    _fault("text_overlay", "content", (("lettering", "more"),), "changes"),
    _fault("border", "content", (("border", "more"),)),
    _fault("lens_dirt", "content", (), "changes"),
    _fault("lens_flare", "content", (), "changes"),
    _fault("power_lines", "content", (), "changes"),
    _fault("finger", "content", (), "changes"),
    # --- What no eye can see
    _fault("tiny_tone", "light"),
    _fault("reencode", "noise"),
)

FAULTS: dict[str, Fault] = {fault.name: fault for fault in _ALL}
"""All faults by name."""
