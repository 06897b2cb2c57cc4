"""Split WebP files into their chunks."""

from __future__ import annotations

from collections.abc import Iterator

from redaes.images.unwrapped import Unwrapped

_OF_PIXELS = frozenset({b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF"})
_BESIDE_FLAGS = 0x20 | 0x08 | 0x04  # in VP8X: there is a profile, EXIF, XMP


def webp_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the chunks as (name, start of the content, its end by what it says), up to one that is cut off."""
    at = 12
    while at + 8 <= len(data):
        start = at + 8
        end = start + int.from_bytes(data[at + 4 : start], "little")
        yield data[at : at + 4], start, end
        at = end + end % 2


def unwrap_webp(data: bytes) -> Unwrapped:
    """Separate a WebP file's metadata from its pixels; the decoder gets the chunks of pixels."""
    kept: list[bytes] = []
    beside: dict[bytes, bytes] = {}
    n_frames = size = 0
    for name, start, end in webp_chunks(data):
        if name in _OF_PIXELS:
            chunk = bytearray(data[start - 8 : end + end % 2])
            chunk += bytes(end - start + 8 + end % 2 - len(chunk)) if end <= len(data) else b""
            if name == b"VP8X" and len(chunk) > 8:
                chunk[8] &= ~_BESIDE_FLAGS & 0xFF
            n_frames += name == b"ANMF"
            size += end - start + 8 + end % 2  # the stated length, so that a decoder notices missing data
            kept.append(bytes(chunk))
        elif end <= len(data):
            beside.setdefault(name, data[start:end])
    head = b"RIFF" + (4 + size & 0xFFFFFFFF).to_bytes(4, "little") + b"WEBP"
    return Unwrapped(
        b"".join((head, *kept)),
        exif=beside.get(b"EXIF", b"").removeprefix(b"Exif\0\0"),
        xmp=beside.get(b"XMP ", b""),
        profile=beside.get(b"ICCP", b""),
        is_several=n_frames > 1,
    )
