"""The pixels of an opened picture: upright, 8-bit sRGB, no larger than asked for."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageFile, ImageOps
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile

from redaes.errors import ImageError, InputError
from redaes.images.formats import foreign

_TAG_SUBFILE, _TAG_BITS, _TAG_PHOTOMETRIC, _TAG_DNG_VERSION = 254, 258, 262, 50706

# Pillow's modes with 8 bits or less, and the one in which each is treated further. Absent: 32-bit integers
# and floats, which have no defined white, and Lab.
_MODES = {
    "1": "L", "L": "L", "La": "LA", "LA": "LA", "P": "RGB", "PA": "RGBA", "RGB": "RGB", "RGBX": "RGB",
    "RGBa": "RGBA", "RGBA": "RGBA", "YCbCr": "RGB", "CMYK": "CMYK",
}  # fmt: skip


def fit_area(size: tuple[int, int], max_pixels: int) -> tuple[int, int]:
    """Width and height, in pixels, shrunk in proportion to at most ``max_pixels``; never enlarged.

    >>> fit_area((4000, 3000), 1_000_000), fit_area((40, 30), 1_000_000)
    ((1154, 866), (40, 30))

    Raises:
        InputError: ``max_pixels`` is below 1.
    """
    if max_pixels < 1:
        raise InputError(f"max_pixels is {max_pixels}; give at least 1")
    width, height = size
    if width * height <= max_pixels:
        return size
    scale = math.sqrt(max_pixels / (width * height))
    # A very thin picture keeps one pixel of width, so its length has to carry the whole limit.
    new_width = max(1, int(width * scale))
    new_height = max(1, min(int(height * scale), max_pixels // new_width))
    return min(new_width, max_pixels // new_height), new_height


def upright_srgb(source: ImageFile.ImageFile, max_pixels: int, notes: list[str], path: Path) -> Image.Image:
    """Pixels of an opened picture as upright 8-bit sRGB, shrunk; appends to ``notes``."""
    if isinstance(source, TiffImageFile):
        _refuse_raw(source, path)
    if getattr(source, "is_animated", False):
        notes.append("the file holds several frames or pages; only the first is used")
    width, height = fit_area(source.size, max_pixels)
    if isinstance(source, JpegImageFile):
        # Lets the decoder skip detail that shrinking would discard; twice the target keeps the result sharp.
        source.draft(None, (2 * width, 2 * height))
    source.load()
    profile = source.info.get("icc_profile")
    image = _eight_bit(source, path)
    image = image.resize(fit_area(image.size, max_pixels), Image.Resampling.LANCZOS, reducing_gap=3.0)
    if image.mode == "CMYK":
        notes.append("CMYK was converted to RGB")
    image = _to_srgb(image, profile, notes)
    if "A" in image.getbands():
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema() != (255, 255):
            notes.append("transparent parts were laid on white")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _refuse_raw(source: TiffImageFile, path: Path) -> None:
    """Camera raw files are TIFF files whose first page is a small preview; that is not the photograph."""
    tags = source.tag_v2
    if tags.get(_TAG_DNG_VERSION) is not None or int(tags.get(_TAG_SUBFILE, 0)) & 1:
        raise foreign(path, "a camera raw file, or a TIFF that begins with a preview")


def _eight_bit(source: ImageFile.ImageFile, path: Path) -> Image.Image:
    """The decoded picture, upright, in one of the modes L, LA, RGB, RGBA, CMYK."""
    image = ImageOps.exif_transpose(source)
    if image.mode.startswith("I;16"):
        tags = source.tag_v2 if isinstance(source, TiffImageFile) else {}
        bits = tags.get(_TAG_BITS, (16,))[0]
        # Scaled by hand: Pillow's own conversion clips everything above 255 to white. Through a table: as
        # floating-point numbers the largest pictures would take gigabytes.
        table = np.clip(np.arange(65536) / (2**bits - 1), 0.0, 1.0)
        if tags.get(_TAG_PHOTOMETRIC, 1) == 0:  # WhiteIsZero, which Pillow leaves alone at this depth
            table = 1.0 - table
        return Image.fromarray(np.round(table * 255.0).astype(np.uint8)[np.asarray(image)])
    if image.mode in ("L", "RGB", "P") and image.has_transparency_data:
        return image.convert("RGBA")
    if image.mode not in _MODES:
        raise ImageError(
            f"{path}: pixels of kind {image.mode!r} are not supported; export it with 8 or 16 bits a channel"
        )
    return image.convert(_MODES[image.mode])


def _to_srgb(image: Image.Image, profile: bytes | None, notes: list[str]) -> Image.Image:
    """The picture converted from its embedded colour profile, if it has one, to sRGB; keeps alpha."""
    if not profile:
        return image
    alpha = image.getchannel("A") if "A" in image.getbands() else None
    opaque = image.convert({"LA": "L", "RGBA": "RGB"}[image.mode]) if alpha is not None else image
    try:
        embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        name = ImageCms.getProfileDescription(embedded).strip()
        if "sRGB" in name and opaque.mode == "RGB":
            return image  # already there; a conversion would only add rounding
        converted = ImageCms.profileToProfile(
            opaque,
            embedded,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        notes.append(f"the embedded colour profile cannot be used ({error}); colours are read as sRGB")
        return image
    if converted is None:  # only with inPlace=True
        raise AssertionError("profileToProfile returned nothing")
    notes.append(f"colours were converted to sRGB from the embedded profile {name!r}")
    if alpha is not None:
        converted.putalpha(alpha)
    return converted
