"""Pictures from disk: recognised by content, bounded before decoding, upright, 8-bit sRGB.

What happens to each kind of picture is listed in docs/images.md.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import io
import math
import os
import re
import stat
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageFile, ImageOps
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from redaes.errors import ImageError, InputError
from redaes.types import ImageRef

MAX_PIXELS = 1_048_576
"""Default area, in pixels, to which larger pictures are shrunk on loading."""

MAX_FILE_PIXELS = 200_000_000
"""Largest picture that is decoded at all, in pixels; the largest phone sensors stay just below."""

MAX_FILE_BYTES = 1_500_000_000
"""Largest file that is read; an uncompressed 16-bit picture of ``MAX_FILE_PIXELS`` fits."""

MAX_ASPECT = 200
"""Longest side over shortest that Qwen's image processors accept."""

IN_MEMORY = Path("(in memory)")
"""Path of a picture that came without a file."""

_CONVERT = "convert the picture to JPEG or PNG"

_SUFFIXES: dict[str, tuple[str, ...]] = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png", ".apng"),
    "WebP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "AVIF": (".avif", ".avifs"),
    "HEIF": (".heic", ".heif", ".hif"),
}

IMAGE_SUFFIXES: tuple[str, ...] = tuple(suffix for known in _SUFFIXES.values() for suffix in known)
"""File name endings, in lower case, that :func:`list_images` takes for pictures."""

# They sit on C decoders and hand-written parsers, which report damage in their own ways; found by mutating files of
# every kind.
DAMAGE = (
    OSError,  # truncated data, decoder errors; includes PIL.UnidentifiedImageError
    SyntaxError,  # how Pillow says "not this format"
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    ArithmeticError,
    RuntimeError,
    struct.error,
)
"""What Pillow's readers raise on damaged data."""

_LITERAL_URL = re.compile(r"(?:[a-z][a-z0-9+.-]+:/|data:)", re.IGNORECASE)

_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})

# Beginnings of files that are often handed over by mistake; named so that the message can help.
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
    (b"FUJIFILMCCD-RAW", "a camera raw file"),
    (b"IIRO", "a camera raw file"),
    (b"IIU\x00", "a camera raw file"),
    (b"version https://git-lfs", "a Git LFS pointer, not the picture itself"),
)

_TAG_SUBFILE, _TAG_BITS, _TAG_PHOTOMETRIC, _TAG_DNG_VERSION = 254, 258, 262, 50706


# Formats whose reader may be absent: module, class, and what to install.
_OPTIONAL = {
    "AVIF": ("PIL.AvifImagePlugin", "AvifImageFile", "pillow>=11.3"),
    "HEIF": ("pillow_heif", "HeifImageFile", "pillow-heif"),
}

# Pillow's modes with 8 bits or less, and the one in which each is treated further. Absent: 32-bit integers
# and floats, which have no defined white, and Lab.
_MODES = {
    "1": "L", "L": "L", "La": "LA", "LA": "LA", "P": "RGB", "PA": "RGBA", "RGB": "RGB", "RGBX": "RGB",
    "RGBa": "RGBA", "RGBA": "RGBA", "YCbCr": "RGB", "CMYK": "CMYK",
}  # fmt: skip


@dataclass(frozen=True)
class LoadedImage:
    """A picture that is ready for use.

    Attributes:
        image: upright 8-bit RGB in sRGB, at most ``max_pixels`` in area.
        ref: content hash and path.
        notes: what the user may want to know about the treatment, as sentences; usually empty.
    """

    image: Image.Image
    ref: ImageRef
    notes: tuple[str, ...]


def content_id(data: bytes) -> str:
    """The name of a picture: SHA-256 of the file's bytes, in hex.

    >>> content_id(b"")[:8]
    'e3b0c442'
    """
    return hashlib.sha256(data).hexdigest()


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


def load_image(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> LoadedImage:
    """Read a picture as upright 8-bit sRGB, shrunk to at most ``max_pixels``.

    The format is recognised from the content; the size is checked from the header, before any pixel is
    decoded. Pillow's global settings are neither changed nor relied upon, except that a program which sets
    ``ImageFile.LOAD_TRUNCATED_IMAGES`` gets what it asked for.

    Args:
        path: a file on disk.
        max_pixels: largest area of the result, in pixels.

    Raises:
        ImageError: the file cannot be used; the message names the file, what is wrong, and the remedy.
        InputError: ``max_pixels`` is below 1.
    """
    fit_area((1, 1), max_pixels)  # a wrong setting is reported as such, not as a fault of the picture
    path, data = _read(path)
    return decode_image(data, path, max_pixels=max_pixels)


def read_image_file(path: str | Path) -> bytes:
    """The bytes of a picture file, as :func:`load_image` reads them before it decodes.

    Raises:
        ImageError: the path names no regular, readable file of admissible size.
    """
    return _read(path)[1]


def image_size(data: bytes, path: Path) -> tuple[int, int]:
    """Width and height in pixels by the header alone, before EXIF rotation.

    Args:
        data: the whole file; no pixel of it is decoded.
        path: names it in messages.

    Raises:
        ImageError: no readable format, a damaged header, or too many pixels.
    """
    size: tuple[int, int] = _header(_recognise(data, path), data, path).size
    return size


def decode_image(data: bytes, path: Path, *, max_pixels: int = MAX_PIXELS) -> LoadedImage:
    """As :func:`load_image`, for a picture that was read from wherever it lies.

    Args:
        data: the bytes of a picture file.
        path: names it in messages and in the result; need not exist.
        max_pixels: largest area of the result, in pixels. A small value makes JPEG quick: its decoder leaves out
            what the result would not show.

    Raises:
        ImageError: the picture cannot be used.
        InputError: ``max_pixels`` is below 1.
    """
    fit_area((1, 1), max_pixels)
    if not data:
        raise ImageError(f"{path}: the file is empty (0 bytes); copy or download it again")
    kind = _recognise(data, path)
    notes: list[str] = []
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES[kind]:
        notes.append(f"the content is {kind} although the name ends in {suffix!r}; read as {kind}")
    header = _header(kind, data, path)
    try:
        image = _decode(header, max_pixels, notes, path)
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path}: {error}; shrink the picture before use") from error
    except DAMAGE as error:
        raise _damaged(kind, path, error) from error
    return LoadedImage(image=image, ref=ImageRef(id=content_id(data), path=path), notes=tuple(notes))


def check_usable(data: bytes, path: Path) -> None:
    """Refuse a picture that a model could not be shown. It is decoded only where its format does not say that it ends.

    Args:
        data: the whole file.
        path: names it in messages.

    Raises:
        ImageError: as for :func:`image_size`; too thin for a model; or cut off.
    """
    width, height = image_size(data, path)
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise ImageError(f"{path}: {width} x {height} pixels are too thin for the model")
    ends = _ENDS.get(_recognise(data, path))
    if ends is None or not ends(data):
        decode_image(data, path, max_pixels=4096)


def _jpeg_ends(data: bytes) -> bool:
    """Whether the mark of the end follows the first scan; a preview before it has one of its own."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xDA:
            return data.find(b"\xff\xd9", at) >= 0
        at += 1 if marker == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return False


def _png_ends(data: bytes) -> bool:
    """Whether all chunks up to the last are there, as they were written."""
    at = 8
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if zlib.crc32(data[at + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            return False
        if data[at + 4 : at + 8] == b"IEND":
            return True
        at = end + 4
    return False


def _webp_ends(data: bytes) -> bool:
    return 8 + int.from_bytes(data[4:8], "little") <= len(data)


_ENDS: dict[str, Callable[[bytes], bool]] = {"JPEG": _jpeg_ends, "PNG": _png_ends, "WebP": _webp_ends}
"""Formats that tell by their structure that a file is whole."""


def picture_in_memory(image: Image.Image, *, max_pixels: int = MAX_PIXELS) -> LoadedImage:
    """An RGB or grey picture that came without a file: named by its pixels, then shrunk to at most ``max_pixels``.

    Raises:
        ImageError: another mode, or no pixels.
        InputError: ``max_pixels`` is below 1.
    """
    if image.mode not in ("RGB", "L"):
        # Transparency, palettes and colour profiles are treated by load_image alone.
        raise ImageError(f"a picture in memory has mode {image.mode}; hand over RGB, or the path of its file")
    if 0 in image.size:
        raise ImageError(f"a picture in memory has no pixels (size {image.size}); hand over another")
    image = image.convert("RGB")
    width, height = image.size
    name = content_id(f"RGB {width}x{height}\n".encode() + image.tobytes())
    image = image.resize(fit_area(image.size, max_pixels), Image.Resampling.LANCZOS)
    return LoadedImage(image=image, ref=ImageRef(id=name, path=IN_MEMORY), notes=())


def capture_time(data: bytes, path: Path) -> datetime | None:
    """When a picture was taken, by the camera's clock: EXIF DateTimeOriginal with its fraction of a second.

    Args:
        data: the whole file, in a readable format; no pixel of it is decoded.
        path: names it in messages.

    Returns:
        Without a time zone; None: not recorded, or not in the form that EXIF prescribes.

    Raises:
        ImageError: as for :func:`image_size`.
    """
    header = _header(_recognise(data, path), data, path)
    try:
        details = header.getexif().get_ifd(ExifTags.IFD.Exif)
        stated = str(details.get(ExifTags.Base.DateTimeOriginal, "")).strip(" \0")
        fraction = str(details.get(ExifTags.Base.SubsecTimeOriginal, "")).strip(" \0")
        taken = datetime.strptime(stated, "%Y:%m:%d %H:%M:%S")
        return taken + timedelta(seconds=float(f"0.{fraction}") if fraction.isdecimal() else 0.0)
    except DAMAGE:  # the picture is whole; what stands beside it is not
        return None


def list_images(folder: str | Path, suffixes: Sequence[str] = IMAGE_SUFFIXES, *, recursive: bool = False) -> list[Path]:
    """The pictures in a folder, sorted by path, found by their ending; hidden files and folders are left out.

    Args:
        folder: where to look.
        suffixes: the endings to look for, in lower case.
        recursive: look in its folders too; links to folders are not followed.

    Raises:
        InputError: the folder is missing, is not a folder, cannot be read, or holds no picture.
    """
    folder = Path(folder)
    found: list[Path] = []
    try:
        for place, inner, names in os.walk(folder, onerror=_raise):
            inner[:] = [name for name in inner if recursive and not name.startswith(".")]
            entries = (Path(place, name) for name in names if not name.startswith("."))
            found += [entry for entry in entries if entry.suffix.lower() in suffixes and entry.is_file()]
    except FileNotFoundError as error:
        raise InputError(f"{folder}: no such folder; check the spelling") from error
    except NotADirectoryError as error:
        raise InputError(f"{folder}: not a folder; give the folder that holds the pictures") from error
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read ({error.strerror}); check its permissions") from error
    if not found:
        endings = ", ".join(suffixes)
        deeper = None if recursive else _first_below(folder, suffixes)
        remedy = "" if deeper is None else f". Its folders are not searched; {deeper} holds some: give that one"
        raise InputError(f"{folder}: no pictures found; looked for files ending in {endings}{remedy}")
    return sorted(found)


def _first_below(folder: Path, suffixes: Sequence[str]) -> Path | None:
    """The first folder below this one that holds pictures; what cannot be read is passed over."""
    for place, inner, names in os.walk(folder):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        if any(Path(name).suffix.lower() in suffixes and not name.startswith(".") for name in names):
            return Path(place)
    return None


def _raise(error: OSError) -> None:
    raise error


def data_url(image: Image.Image) -> str:
    """The picture as a ``data:`` URL in PNG, so that a remote model sees the same pixels as a local one.

    >>> data_url(Image.new("RGB", (1, 1)))[:30]
    'data:image/png;base64,iVBORw0K'
    """
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)  # speed matters more than size on the way to a server
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def phash(image: Image.Image) -> int:
    """A 64-bit perceptual hash: which low-frequency DCT coefficients of the grey picture exceed their median.

    Survives scaling, recompression and changes of brightness or contrast; serves to find copies of a
    photograph, not to compare quality. All flat pictures share the hash 0.

    >>> phash(Image.new("RGB", (64, 48), "white"))
    0
    """
    side, kept = 32, 8
    grey = np.asarray(image.convert("L").resize((side, side), Image.Resampling.LANCZOS), dtype=np.float64)
    frequency = np.arange(1, kept + 1)[:, None]  # from 1: the constant terms carry brightness only
    basis = np.cos(np.pi * frequency * (2 * np.arange(side) + 1) / (2 * side))  # (kept, side)
    # Rounded so that coefficients that are zero up to rounding errors do not produce random bits.
    coefficients = np.round(basis @ grey @ basis.T, 6).ravel()
    bits = coefficients > np.median(coefficients)
    return int("".join("1" if bit else "0" for bit in bits), 2)


def hamming(a: int, b: int) -> int:
    """The number of bits in which two hashes differ.

    >>> hamming(0b1100, 0b1010)
    2
    """
    return (a ^ b).bit_count()


def _read(path: str | Path) -> tuple[Path, bytes]:
    """The path and the file's bytes."""
    text = str(path)
    shown = text if len(text) <= 120 else text[:117] + "..."
    if _LITERAL_URL.match(text):
        raise ImageError(f"{shown}: URLs are not fetched; download the picture first and give its path")
    path = Path(path)
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise ImageError(f"{path}: is a folder; give a picture file")
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(f"{path}: is a pipe or device; give a regular file")
        if status.st_size > MAX_FILE_BYTES:
            raise ImageError(
                f"{path}: {status.st_size:,} bytes exceed the limit of {MAX_FILE_BYTES:,}; shrink the picture"
            )
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES)
    except FileNotFoundError as error:
        raise ImageError(f"{shown}: no such file; check the spelling and the current folder") from error
    except PermissionError as error:
        raise ImageError(f"{path}: permission denied; make the file readable") from error
    except OSError as error:
        raise ImageError(f"{shown}: cannot be read ({error.strerror}); check the path") from error
    except ValueError as error:
        raise ImageError(f"{shown!r}: not a file name ({error})") from error
    return path, data


def _recognise(data: bytes, path: Path) -> str:
    """The format by its signature: a key of ``_SUFFIXES``."""
    head = data[:16]
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WebP"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if head.startswith((b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")):
        if head[8:10] == b"CR":
            raise _foreign(path, "a camera raw file")
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
        raise _foreign(path, "a camera raw file" if box[:4] == b"crx " else "a video")
    start = data[:256].removeprefix(b"\xef\xbb\xbf").lstrip()
    for signature, what in _FOREIGN:
        if data.startswith(signature) or start[: len(signature)].lower() == signature.lower():
            raise _foreign(path, what)
    raise _foreign(path, f"not a known picture format (it begins with {data[:8]!r})")


def _foreign(path: Path, what: str) -> ImageError:
    return ImageError(f"{path}: {what}; readable are {', '.join(_SUFFIXES)}: {_CONVERT}")


def _damaged(kind: str, path: Path, error: Exception) -> ImageError:
    return ImageError(f"{path}: damaged or truncated {kind} ({error}); copy or download it again")


def _header(kind: str, data: bytes, path: Path) -> ImageFile.ImageFile:
    """The picture with only its header read, of an admissible size.

    The reader is called directly instead of ``Image.open``: that would apply Pillow's own, lower and
    globally adjustable, limit of pixels.
    """
    readers: dict[str, Callable[[io.BytesIO], ImageFile.ImageFile]] = {
        "JPEG": JpegImageFile,
        "PNG": PngImageFile,
        "WebP": WebPImageFile,
        "TIFF": TiffImageFile,
        "GIF": GifImageFile,
        "BMP": BmpImageFile,
    }
    reader = readers.get(kind) or _optional_reader(kind, path)
    try:
        image = reader(io.BytesIO(data))
        width, height = image.size
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path}: {error}; shrink the picture before use") from error
    except DAMAGE as error:
        raise _damaged(kind, path, error) from error
    if width * height > MAX_FILE_PIXELS:
        raise ImageError(
            f"{path}: {width} x {height} pixels exceed the limit of {MAX_FILE_PIXELS:,}; shrink the picture"
        )
    return image


def _optional_reader(kind: str, path: Path) -> Callable[[io.BytesIO], ImageFile.ImageFile]:
    """The reader of a format that not every installation has."""
    module, name, requirement = _OPTIONAL[kind]
    try:
        found = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise ImageError(
            f"{path}: {kind} needs another package; run: pip install '{requirement}', or {_CONVERT}"
        ) from error
    return cast("Callable[[io.BytesIO], ImageFile.ImageFile]", found)


def _decode(source: ImageFile.ImageFile, max_pixels: int, notes: list[str], path: Path) -> Image.Image:
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
        raise _foreign(path, "a camera raw file, or a TIFF that begins with a preview")


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
