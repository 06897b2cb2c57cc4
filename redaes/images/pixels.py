"""The pixels of an opened picture: upright, 8-bit sRGB, no larger than asked for."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile

from redaes.errors import ImageError, InputError
from redaes.images.colours import to_srgb
from redaes.images.damage import DAMAGE
from redaes.images.formats import Opened, foreign
from redaes.images.jpeg_segments import with_end
from redaes.images.tiff_tags import Tag, first_directory

MAX_ASPECT = 200
"""Longest side over shortest that Qwen's image processors accept."""

_TAG_BITS, _TAG_PHOTOMETRIC = 258, 262

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The operation that makes a picture upright, by its EXIF orientation."""

# Pillow's modes with 8 bits or less, and the one in which each is treated further. Absent: 32-bit integers
# and floats, which have no defined white, and Lab.
_MODES = {
    "1": "L", "L": "L", "La": "LA", "LA": "LA", "P": "RGB", "PA": "RGBA", "RGB": "RGB", "RGBX": "RGB",
    "RGBa": "RGBA", "RGBA": "RGBA", "YCbCr": "RGB", "CMYK": "CMYK",
}  # fmt: skip


def fit_area(size: tuple[int, int], max_pixels: int) -> tuple[int, int]:
    """Return the width and height, in pixels, shrunk in proportion to at most ``max_pixels``; never enlarged.

    What is not thinner than ``MAX_ASPECT`` does not become so by rounding.

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
    new_width = min(new_width, max_pixels // new_height)
    if max(size) <= MAX_ASPECT * min(size):
        new_width, new_height = min(new_width, MAX_ASPECT * new_height), min(new_height, MAX_ASPECT * new_width)
    return new_width, new_height


def upright_srgb(opened: Opened, max_pixels: int, notes: list[str], path: Path) -> Image.Image:
    """Return pixels of an opened picture as upright 8-bit sRGB, shrunk; appends to ``notes``."""
    source, beside = opened.header, opened.beside
    notes += beside.notes
    if source.format == "TIFF":
        _refuse_preview(beside.exif, path)
    if beside.is_several or _is_animated(source):
        notes.append("the file holds several frames or pages; only the first is used")
    image = _eight_bit(_loaded(source, beside.pixels, max_pixels, notes), path)
    turn = _UPRIGHT.get(beside.orientation)
    image = image if turn is None else image.transpose(turn)
    size = fit_area(image.size, max_pixels)
    if image.size != size:  # copies cost more than small pictures take to decode
        image = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    if image.mode == "CMYK":
        notes.append("CMYK was converted to RGB")
    image = to_srgb(image, beside.profile, notes)
    if "A" in image.getbands():
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema() != (255, 255):
            notes.append("transparent parts were laid on white")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if image.mode != "RGB" or isinstance(image, ImageFile.ImageFile):
        image = image.convert("RGB")
    image.info = {}  # what it says is true of the file; a profile would be saved with pixels that are sRGB now
    return image


def _is_animated(source: ImageFile.ImageFile) -> bool:
    try:
        return bool(getattr(source, "is_animated", False))
    except DAMAGE:  # GIF looks for its next frame, and that one is damaged
        return True


def _loaded(source: ImageFile.ImageFile, data: bytes, max_pixels: int, notes: list[str]) -> ImageFile.ImageFile:
    """Return the picture with its pixels decoded."""
    width, height = fit_area(source.size, max_pixels)
    # Lets the decoder skip detail that shrinking would discard; twice the target keeps the result sharp.
    source.draft(None, (2 * width, 2 * height))
    try:
        source.load()
    except OSError:
        if not isinstance(source, JpegImageFile):
            raise
        ended = with_end(data)
        if ended is None:
            raise
        source = JpegImageFile(io.BytesIO(ended))
        source.draft(None, (2 * width, 2 * height))
        source.load()
        notes.append("the file lacks its last bytes; the picture in it is whole")
    return source


def _refuse_preview(data: bytes, path: Path) -> None:
    """Refuse a TIFF file whose first page is a small preview and not the photograph."""
    directory = first_directory(data)
    if directory is not None and directory.number(Tag.SUBFILE, 0) & 1:
        raise foreign(path, "a TIFF that begins with a preview, as some camera raw files do")


def _eight_bit(source: ImageFile.ImageFile, path: Path) -> Image.Image:
    """Return the decoded picture, not yet upright, in one of the modes L, LA, RGB, RGBA, CMYK."""
    image: Image.Image = source
    if image.mode.startswith("I;16"):
        tags = source.tag_v2 if isinstance(source, TiffImageFile) else {}
        bits = tags.get(_TAG_BITS, (16,))[0]
        # Scaled by hand: Pillow's own conversion clips everything above 255 to white. Through a table: as
        # floating-point numbers the largest pictures would take gigabytes.
        table = np.clip(np.arange(65536) / (2**bits - 1), 0.0, 1.0)
        if tags.get(_TAG_PHOTOMETRIC, 1) == 0:  # WhiteIsZero, which Pillow leaves alone at this depth
            table = 1.0 - table
        values = np.asarray(image)
        grey = Image.fromarray(np.round(table * 255.0).astype(np.uint8)[values])
        transparent = image.info.get("transparency")
        if transparent is None:
            return grey
        return Image.merge("LA", (grey, Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8))))
    if image.mode in ("1", "L", "RGB", "P") and image.has_transparency_data:
        return image.convert("RGBA")
    if image.mode not in _MODES:
        raise ImageError(
            f"{path}: pixels of kind {image.mode!r} are not supported; export it with 8 or 16 bits a channel"
        )
    mode = _MODES[image.mode]
    return image if image.mode == mode else image.convert(mode)
