"""Recognise a file's format by its first bytes and its header, without decoding a pixel."""

from __future__ import annotations

import importlib
import importlib.util
import io
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from PIL import ExifTags, Image, ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from redaes.errors import ImageError
from redaes.images.damage import DAMAGE
from redaes.images.exif_colours import colours_by_exif
from redaes.images.jpeg_segments import unwrap_jpeg
from redaes.images.media_boxes import unwrap_media
from redaes.images.png_chunks import unwrap_png
from redaes.images.raw import RAW_SUFFIXES, RawFile, is_raw, read_raw
from redaes.images.tiff_files import unwrap_tiff
from redaes.images.tiff_samples import open_tiff
from redaes.images.unwrapped import UnsupportedPixels, Unwrapped
from redaes.images.webp_chunks import unwrap_webp

MAX_FILE_PIXELS = 200_000_000
"""Largest picture that is decoded at all, in pixels; the largest phone sensors stay just below."""

CONVERT = "convert the picture to JPEG or PNG"

RAW = "camera raw"
"""The kind of all files with sensor data, whatever the maker."""

SUFFIXES: dict[str, tuple[str, ...]] = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png", ".apng"),
    "WebP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "AVIF": (".avif", ".avifs"),
    "HEIF": (".heic", ".heif", ".hif"),
    RAW: RAW_SUFFIXES,
}

_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})

# First bytes of files that are often given by mistake; they are named so that the message can help.
_FOREIGN: tuple[tuple[bytes, str], ...] = (
    (b"%PDF", "a PDF document"),
    (b"<svg", "an SVG drawing"),
    (b"<?xml", "an XML or SVG file"),
    (b"<!DOCTYPE", "a web page"),
    (b"<html", "a web page"),
    (b"8BPS", "a Photoshop document"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 picture"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL picture"),
    (b"version https://git-lfs", "a Git LFS pointer, not the picture itself"),
)

_UNWRAP: dict[str, Callable[[bytes], Unwrapped]] = {
    "JPEG": unwrap_jpeg,
    "PNG": unwrap_png,
    "WebP": unwrap_webp,
    "TIFF": unwrap_tiff,
    "AVIF": unwrap_media,
    "HEIF": unwrap_media,
}

# Formats whose reader may be absent: modules, the first of which is taken; class; and what to install. Wheels of
# pillow-heif are under the GPL, for the sake of an encoder that is not needed here; pi-heif is the same without.
_OPTIONAL = {
    "AVIF": (("PIL.AvifImagePlugin",), "AvifImageFile", "pillow>=11.3"),
    "HEIF": (("pi_heif", "pillow_heif"), "HeifImageFile", "redaes[heif]"),
}


def is_raw_name(path: Path) -> bool:
    """Return whether a file's name says that it is camera raw.

    >>> is_raw_name(Path("DSC_0001.NEF")), is_raw_name(Path("DSC_0001.JPG"))
    (True, False)
    """
    return path.suffix.lower() in RAW_SUFFIXES


def recognise(data: bytes, path: Path) -> str:
    """Return the format by its signature: a key of ``SUFFIXES``.

    Raises:
        ImageError: it is no format that can be read.
    """
    head = data[:16]
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if is_raw(data, is_raw_name(path)):
        return RAW
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WebP"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if head.startswith((b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")):
        return "TIFF"
    if head.startswith(b"BM"):
        return "BMP"
    if head[4:8] == b"ftyp":
        # The box holds the main brand, a version, and the compatible brands, four bytes each.
        box = data[8 : min(int.from_bytes(data[:4], "big"), 256)]
        brands = {box[:4]} | {box[at : at + 4] for at in range(8, len(box), 4)}
        if brands & _AVIF_BRANDS:
            return "AVIF"
        if brands & _HEIF_BRANDS:
            return "HEIF"
        raise foreign(path, "a video")
    start = data[:256].removeprefix(b"\xef\xbb\xbf").lstrip()
    for signature, what in _FOREIGN:
        if data.startswith(signature) or start[: len(signature)].lower() == signature.lower():
            raise foreign(path, what)
    raise foreign(path, f"not a known picture format (it begins with {_readable(data[:8])})")


def _readable(data: bytes) -> str:
    """Return the first bytes of a file for a message: as text if they are printable, else in hexadecimal.

    >>> _readable(b"hello"), _readable(bytes([0, 255]))
    ("'hello'", 'the bytes 00 ff')
    """
    text = data.decode("ascii", "replace")
    return f"'{text}'" if text.isascii() and text.isprintable() else f"the bytes {data.hex(' ')}"


def foreign(path: Path, what: str) -> ImageError:
    """Return the error that says what a file is instead of a readable picture."""
    return ImageError(f"{path}: {what}; readable are {', '.join(SUFFIXES)}: {CONVERT}")


def damaged(kind: str, path: Path, error: Exception) -> ImageError:
    """Return the error for a file of a known format that its reader gives up on."""
    other, remedy = (", or one of a kind that is not read", f", or {CONVERT}") if kind == "TIFF" else ("", "")
    reason = re.sub(r"\bb(?=['\"])", "", str(error))  # readers write bytes as Python does: b'IHDR'
    return ImageError(f"{path}: damaged or truncated {kind}{other} ({reason}); copy or download it again{remedy}")


@dataclass(frozen=True)
class Opened:
    """A picture of which only the header was read."""

    header: ImageFile.ImageFile
    """The opened picture, with undecoded pixels."""
    beside: Unwrapped
    """The metadata of the file."""


def open_header(kind: str, data: bytes, path: Path) -> Opened:
    """Return the picture with only its header read, of an admissible size.

    The reader is called directly instead of ``Image.open``: that would apply Pillow's own, lower and
    globally adjustable, limit of pixels.

    Args:
        kind: as :func:`recognise` gives it.
        data: the whole file.
        path: names it in messages.

    Raises:
        ImageError: a reader that is not installed, a damaged header, pixels of a kind that is not read, or too many.
    """
    readers: dict[str, Callable[[io.BytesIO], ImageFile.ImageFile]] = {
        "JPEG": JpegImageFile,
        "PNG": PngImageFile,
        "WebP": WebPImageFile,
        "TIFF": open_tiff,
        "GIF": GifImageFile,
        "BMP": BmpImageFile,
    }
    reader = JpegImageFile if kind == RAW else readers.get(kind) or _optional_reader(kind, path)
    try:
        if kind == RAW:
            image, beside = _open_raw(data, path)
        else:
            beside = _UNWRAP.get(kind, Unwrapped)(data)
            image = reader(io.BytesIO(beside.pixels))
        width, height = image.size
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path}: {error}; shrink the picture before use") from error
    except UnsupportedPixels as error:
        raise ImageError(f"{path}: {error}") from error
    except DAMAGE as error:
        raise damaged(kind, path, error) from error
    if width * height > MAX_FILE_PIXELS:
        raise ImageError(
            f"{path}: {width} x {height} pixels exceed the limit of {MAX_FILE_PIXELS:,}; shrink the picture"
        )
    if kind in ("AVIF", "HEIF", "GIF"):  # their readers give the rest; GIF and HEIF state no orientation
        info = image.info
        exif = info.get("exif", b"") if kind == "AVIF" else b""
        beside = replace(beside, exif=exif.removeprefix(b"Exif\0\0"), profile=info.get("icc_profile") or beside.profile)
    return Opened(image, beside)


def _open_raw(data: bytes, path: Path) -> tuple[ImageFile.ImageFile, Unwrapped]:
    """Return a raw file's preview, or the raw file itself if the preview is too small."""
    raw = read_raw(data)
    width, height = raw.preview_size
    if raw.is_enough:
        beside = unwrap_jpeg(raw.preview)
        note = f"camera raw is judged by its preview of {width} x {height} pixels"
        beside = replace(
            beside,
            exif=raw.exif or beside.exif,
            profile=beside.profile or colours_by_exif(raw.exif),
            notes=(*beside.notes, note),
        )
        return JpegImageFile(io.BytesIO(beside.pixels)), beside
    try:
        from redaes.images.raw_development import DevelopedRaw
    except ImportError as error:
        largest = f"whose largest preview has {width} x {height} pixels" if raw.preview else "without a preview"
        raise ImageError(
            f"{path}: a camera raw file {largest}, so it has to be developed; run: pip install 'redaes[raw]', "
            f"or {CONVERT}"
        ) from error
    note = "camera raw was developed by LibRaw, with the camera's white balance and without automatic brightness"
    return DevelopedRaw(io.BytesIO(data)), Unwrapped(data, notes=(note,))


def _optional_reader(kind: str, path: Path) -> Callable[[io.BytesIO], ImageFile.ImageFile]:
    """Return the reader of a format that not every installation supports."""
    modules, name, requirement = _OPTIONAL[kind]
    for module in modules:
        try:
            found = getattr(importlib.import_module(module), name)
            break
        except ImportError as error:
            missing = error
    else:
        raise ImageError(
            f"{path}: {kind} needs another package; run: pip install '{requirement}', or {CONVERT}"
        ) from missing
    return cast("Callable[[io.BytesIO], ImageFile.ImageFile]", found)


def missing_requirement(kind: str) -> str | None:
    """Return what to install for pictures of a kind; None: nothing is missing.

    Args:
        kind: a key of ``SUFFIXES``.
    """
    modules, _, requirement = _OPTIONAL.get(kind, ((), "", ""))
    return None if not modules or any(map(_is_installed, modules)) else requirement


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the package around it is absent
        return False


def image_size(data: bytes, path: Path) -> tuple[int, int]:
    """Return the width and height in pixels by the header alone, before EXIF rotation.

    Args:
        data: the whole file; no pixel of it is decoded.
        path: names it in messages.

    Raises:
        ImageError: no readable format, a damaged header, or too many pixels.
    """
    size: tuple[int, int] = open_header(recognise(data, path), data, path).header.size
    return size


def exif_of(data: bytes, path: Path) -> Image.Exif:
    """Return a picture's EXIF data, as far as it can be read; empty: none.

    Values are looked up when they are asked for, and may then raise what ``DAMAGE`` lists.

    Args:
        data: the whole file, in a readable format; no pixel of it is decoded.
        path: names it in messages.

    Raises:
        ImageError: as for :func:`image_size`.
    """
    return exif_and_xmp(data, path)[0]


def exif_and_xmp(data: bytes, path: Path) -> tuple[Image.Exif, bytes]:
    """Return the EXIF data as :func:`exif_of` does, and the file's XMP packet; empty: there is none that can be read.

    The file is parsed once for both.

    Raises:
        ImageError: as for :func:`image_size`.
    """
    kind = recognise(data, path)
    found, packet = Image.Exif(), b""
    try:
        if kind == RAW:
            raw = read_raw(data)
            beside = unwrap_jpeg(raw.preview)
            packet = beside.xmp
            return _raw_exif(raw, beside), packet
        if kind in ("AVIF", "HEIF"):
            info = _optional_reader(kind, path)(io.BytesIO(data)).info
            block, told = info.get("exif", b""), info.get("xmp", b"")
            packet = told if isinstance(told, bytes) else b""
        else:
            beside = open_header(kind, data, path).beside
            block, packet = beside.exif, beside.xmp
        found.load(block)
    except DAMAGE:
        return Image.Exif(), packet
    return found, packet


def _raw_exif(raw: RawFile, preview: Unwrapped) -> Image.Exif:
    """Return the raw file's own EXIF data; if there is none, that of its preview."""
    found = Image.Exif()
    block = raw.exif or preview.exif
    if block[:2] in (b"II", b"MM"):  # Olympus and Panasonic write other signs for TIFF
        block = block[:2] + (b"*\0" if block[:2] == b"II" else b"\0*") + block[4:]
    found.load(block)
    if raw.details:
        shot = Image.Exif()
        shot.load(raw.details)
        found.get_ifd(ExifTags.IFD.Exif).update(shot)
    return found
