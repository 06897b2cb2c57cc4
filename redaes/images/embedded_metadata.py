"""The EXIF block and the XMP packets of a picture file, whether or not its pixels can be decoded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from redaes.errors import ImageError
from redaes.images.damage import DAMAGE
from redaes.images.formats import RAW, exif_of, recognise
from redaes.images.jpeg_segments import unwrap_jpeg
from redaes.images.png_chunks import unwrap_png
from redaes.images.raw import read_raw
from redaes.images.tiff_files import unwrap_tiff
from redaes.images.tiff_tags import Tag, first_directory
from redaes.images.webp_chunks import unwrap_webp

_UNWRAP = {"JPEG": unwrap_jpeg, "PNG": unwrap_png, "TIFF": unwrap_tiff, "WebP": unwrap_webp}
_START, _END = b"<x:xmpmeta", b"</x:xmpmeta>"


@dataclass(frozen=True)
class EmbeddedMetadata:
    """The metadata in a picture's file."""

    packets: tuple[bytes, ...]
    """The XMP packets. For formats that are not parsed here (camera raw, HEIF, AVIF, GIF), every packet in the file."""
    exif: bytes
    """The EXIF block from its byte order on; for a TIFF file, the whole file. Empty: none."""


def embedded_metadata(data: bytes, path: Path) -> EmbeddedMetadata:
    """Return the metadata of a picture file, as far as it can be found.

    Args:
        data: the whole file; no pixel of it is decoded.
        path: its ending says whether a TIFF-like file is camera raw.
    """
    try:
        kind = recognise(data, path)
        if kind in _UNWRAP:
            beside = _UNWRAP[kind](data)
            return EmbeddedMetadata((beside.xmp,) if beside.xmp else (), beside.exif)
        if kind == RAW:
            raw = read_raw(data)
            exif = raw.exif or unwrap_jpeg(raw.preview).exif
        else:
            exif = _block(exif_of(data, path))
    except (ImageError, *DAMAGE):
        exif = b""
    return EmbeddedMetadata(tuple(_packets(data)), exif)


def _packets(data: bytes) -> Iterator[bytes]:
    """Yield the packets in a file, found by their beginning and end, as the XMP specification intends."""
    start = data.find(_START)
    while start >= 0:
        end = data.find(_END, start)
        if end < 0:
            return
        end += len(_END)
        yield data[start:end]
        start = data.find(_START, end)


def _block(exif: Image.Exif) -> bytes:
    return exif.tobytes().removeprefix(b"Exif\0\0") if exif else b""


def exif_ratings(beside: EmbeddedMetadata) -> tuple[int, int]:
    """Return EXIF's stars and percent, as cameras and Windows write them (tags 18246 and 18249); 0: not rated."""
    directory = first_directory(beside.exif)
    if directory is None:
        return 0, 0
    return directory.number(Tag.RATING, 0), directory.number(Tag.RATING_PERCENT, 0)


def jpeg_pixels(data: bytes) -> bytes:
    """Return a JPEG file without its metadata, so that the result is equal if the pixels are; empty: not a JPEG
    file."""
    if not data.startswith(b"\xff\xd8\xff"):
        return b""
    return unwrap_jpeg(data).pixels
