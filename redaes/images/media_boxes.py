"""Remove the EXIF block from HEIF and AVIF files, as a wrong one could make their readers fail.

The orientation of such a picture is stated in separate boxes (``irot``, ``imir``), which the readers apply; EXIF's
orientation is to be ignored (ISO/IEC 23008-12).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from redaes.images.stated_colours import numbered_profile
from redaes.images.unwrapped import Unwrapped

# Size, name, version and flags, the item's number, how it is protected, its type.
_EXIF_ITEM = re.compile(rb"(infe(?:\x02.{7}|\x03.{9}))Exif", re.DOTALL)


def boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the boxes of a part of a file as (name, start of the content, its end)."""
    while at + 8 <= end:
        size, start = int.from_bytes(data[at : at + 4], "big"), at + 8
        if size == 1:
            size, start = int.from_bytes(data[start : start + 8], "big"), at + 16
        elif size == 0:
            size = end - at
        if size < start - at:
            return
        yield data[at + 4 : at + 8], start, min(at + size, end)
        at += size


def unwrap_media(data: bytes) -> Unwrapped:
    """Return a HEIF or AVIF file whose EXIF block its reader does not find; profile and XMP are left to the reader.

    Raises:
        UnsupportedPixels: HDR.
    """
    for name, start, end in boxes(data, 0, len(data)):
        if name == b"meta":
            profile = _numbered_colours(data, start + 4, end)
            if _EXIF_ITEM.search(data, start, end) is None:
                return Unwrapped(data, profile=profile)
            hidden = _EXIF_ITEM.sub(rb"\1skip", data[start:end])
            return Unwrapped(b"".join((memoryview(data)[:start], hidden, memoryview(data)[end:])), profile=profile)
    return Unwrapped(data)


def _numbered_colours(data: bytes, start: int, end: int) -> bytes:
    """Return the profile of the first colours stated by numbers; empty if the file has an ICC profile."""
    properties = [
        data[at : at + 11]
        for name, inner, inner_end in boxes(data, start, end)
        if name == b"iprp"
        for held, first, last in boxes(data, inner, inner_end)
        if held == b"ipco"
        for kind, at, _ in boxes(data, first, last)
        if kind == b"colr"
    ]
    if any(one[:4] in (b"prof", b"rICC") for one in properties):
        return b""
    for one in properties:
        if one[:4] == b"nclx" and len(one) == 11:
            primaries, transfer = struct.unpack_from(">HH", one, 4)
            return numbered_profile(primaries, transfer, is_grey=False) or b""
    return b""
