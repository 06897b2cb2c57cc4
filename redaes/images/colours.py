"""Convert colours from a profile to sRGB, deciding by the profile's effect and not by its name."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

from redaes.images.damage import DAMAGE

_KINDS = {"RGB": ("RGB",), "L": ("GRAY", "RGB"), "CMYK": ("CMYK",)}
"""Colour spaces of profiles that fit a picture, by its mode. An RGB profile also fits a grey picture."""

_SAME = 2
"""Largest difference, of 255, up to which a profile counts as sRGB. Different makers' sRGB profiles differ by this much
because of rounded primaries and tabulated curves, and a conversion would only add rounding errors."""


@dataclass(frozen=True)
class _Conversion:
    """The effect of a profile on pictures of one mode."""

    transform: ImageCms.ImageCmsTransform | None
    """The conversion; None: the colours are sRGB already."""
    name: str


def to_srgb(image: Image.Image, profile: bytes, notes: list[str]) -> Image.Image:
    """Return the picture converted from its colour profile, if it has one, to sRGB; keeps alpha.

    Args:
        image: image of mode L, LA, RGB, RGBA or CMYK.
        profile: ICC; empty: sRGB.
        notes: list to which a conversion, or a profile that cannot be used, is added in words.
    """
    if not profile:
        return image
    alpha = image.getchannel("A") if "A" in image.getbands() else None
    opaque = image.convert({"LA": "L", "RGBA": "RGB"}[image.mode]) if alpha is not None else image
    try:
        conversion = _conversion(profile, opaque.mode)
        if conversion.transform is None:
            return image
        if opaque.mode == "L" and conversion.transform.input_mode == "RGB":
            opaque = opaque.convert("RGB")
        converted = ImageCms.applyTransform(opaque, conversion.transform)
    except (ImageCms.PyCMSError, *DAMAGE) as error:
        notes.append(f"the embedded colour profile cannot be used ({error}); colours are read as sRGB")
        return image
    if converted is None:  # only with inPlace=True
        raise AssertionError("applyTransform returned nothing")
    notes.append(f"colours were converted to sRGB from the embedded profile {conversion.name!r}")
    if alpha is not None:
        converted.putalpha(alpha)
    return converted


@lru_cache(maxsize=8)  # the pictures of one camera share theirs
def _conversion(profile: bytes, mode: str) -> _Conversion:
    """Return the effect of a profile on pictures of a mode, determined by applying it to test colours.

    Raises:
        ValueError: it belongs to another kind of picture.
        ImageCms.PyCMSError, OSError, TypeError: it is damaged.
    """
    embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    space = embedded.profile.xcolor_space.strip()
    if space not in _KINDS[mode]:
        raise ValueError(f"it describes {space}, and the picture is {'grey' if mode == 'L' else mode}")
    name = ImageCms.getProfileDescription(embedded).strip()
    given = {"GRAY": "L"}.get(space, space)
    transform = ImageCms.buildTransform(
        embedded,
        ImageCms.createProfile("sRGB"),
        given,
        "RGB",
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    if given != "CMYK":
        tried = _tried(given)
        found = ImageCms.applyTransform(tried, transform)
        if found is None:
            raise AssertionError("applyTransform returned nothing")
        difference = np.asarray(found).astype(int) - np.asarray(tried.convert("RGB"))
        if np.abs(difference).max() <= _SAME:
            return _Conversion(None, name)
    return _Conversion(transform, name)


def _tried(mode: str) -> Image.Image:
    """Return a picture of test colours: all greys, and for RGB also colours of all kinds."""
    grey = np.arange(256, dtype=np.uint8)
    if mode == "L":
        return Image.fromarray(grey[None])
    steps = np.arange(0, 256, 51, dtype=np.uint8)
    mixed = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
    return Image.fromarray(np.concatenate([np.repeat(grey[:, None], 3, axis=1), mixed])[None])
