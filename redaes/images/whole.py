"""Check whether a picture can be shown to a model, as far as possible without decoding it."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

from redaes.images.formats import image_size, recognise
from redaes.images.loading import check_shape, decode_image


def check_usable(data: bytes, path: Path) -> None:
    """Refuse a picture that could not be shown to a model. It is decoded only if its structure does not show its end.

    Args:
        data: the whole file.
        path: names it in messages.

    Raises:
        ImageError: as for :func:`image_size`; too thin for a model; or cut off.
    """
    check_shape(image_size(data, path), path)
    ends = _ENDS.get(recognise(data, path))
    if ends is None or not ends(data):
        decode_image(data, path, max_pixels=4096)


def _jpeg_ends(data: bytes) -> bool:
    """Return whether an end marker follows the first scan; a preview before it has its own."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xDA:
            return data.find(b"\xff\xd9", at) >= 0
        at += 1 if marker == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return False


def _png_ends(data: bytes) -> bool:
    """Return whether all chunks up to the last are present and undamaged."""
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
"""Formats whose structure shows that a file is complete."""
