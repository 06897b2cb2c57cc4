"""Split PNG files into their chunks."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from redaes.images.matrix_profiles import SRGB_PRIMARIES, xy_chromaticities
from redaes.images.stated_colours import numbered_profile, stated_profile
from redaes.images.unwrapped import Unwrapped

_MAX_PROFILE_BYTES = 16_777_216
_MAX_EXIF_BYTES = 4_194_304
_XMP_KEY = b"XML:com.adobe.xmp\0"
_RAW_KEYS = (b"Raw profile type exif\0", b"Raw profile type APP1\0")
_OF_COLOURS = (b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"cICP")
"""Chunks that define the colours; by the PNG specification they are ignored after the palette or the pixels."""
_SRGB_GAMMA = 1 / 2.2
_GAMMA_TOLERANCE = 0.05
"""Relative deviation from which a gamma differs from sRGB's, as in libpng (PNG_GAMMA_THRESHOLD)."""


def chunks(data: bytes) -> Iterator[tuple[bytes, int, int, bool]]:
    """Yield the chunks as (name, start of the content, its end, whether the checksum holds), up to the first that is
    cut.
    """
    view = memoryview(data)
    at = 8
    while at + 12 <= len(data):
        start, name = at + 8, data[at + 4 : at + 8]
        end = start + int.from_bytes(data[at : at + 4], "big")
        if not name.isalpha() or end + 4 > len(data):
            return
        yield name, start, end, zlib.crc32(view[at + 4 : end]) == int.from_bytes(data[end : end + 4], "big")
        at = end + 4


def unwrap_png(data: bytes) -> Unwrapped:
    """Return a PNG file taken apart; the decoder gets header, palette, transparency and pixels.

    Raises:
        ValueError: the pixels do not fit their checksums.
        UnsupportedPixels: the colours are HDR.
    """
    if len(data) < 33:  # signature and header
        raise ValueError("the header is cut off")
    view = memoryview(data)
    kept: list[bytes | memoryview] = [view[:8]]
    beside: dict[bytes, bytes] = {}
    texts: list[bytes] = []
    notes: list[str] = []
    pixels_hold, end_found, colours_done, done = True, False, False, 8
    for name, start, end, holds in chunks(data):
        done = end + 4
        if name in (b"IHDR", b"PLTE", b"IDAT"):
            if not holds and name != b"IDAT":
                raise ValueError(f"the checksum of {name.decode()} is wrong")
            pixels_hold = pixels_hold and holds
            colours_done = name != b"IHDR"
            kept.append(view[start - 8 : end + 4])
        elif name == b"tRNS":
            if holds and end - start >= {0: 2, 2: 6}.get(data[25], 1):
                kept.append(_transparent(data[start:end], data[24], data[25]))
            else:
                notes.append("the list of transparent colours is damaged; all are shown")
        elif name == b"IEND":
            end_found = True
            break
        elif holds and name in (b"iTXt", b"zTXt", b"tEXt"):
            if data.startswith((_XMP_KEY, *_RAW_KEYS), start):
                texts.append(data[start:end])
        elif holds and (name in (b"eXIf", b"acTL") or (name in _OF_COLOURS and not colours_done)):
            beside.setdefault(name, data[start:end])
    if not pixels_hold:
        _check_pixels(data)
    if end_found:
        kept.append(b"\0\0\0\0IEND\xaeB`\x82")
    else:
        kept.append(view[done:])  # cut off: the decoder says whether pixels are missing
    exif, xmp = beside.get(b"eXIf", b"").removeprefix(b"Exif\0\0"), b""
    for text in texts:
        if text.startswith(_XMP_KEY):
            xmp = xmp or _international(text[len(_XMP_KEY) :])
        else:
            exif = exif or _raw_profile(text)
    n_frames = int.from_bytes(beside.get(b"acTL", b"")[:4], "big")
    profile = _profile(beside, data[25] in (0, 4), notes)
    return Unwrapped(b"".join(kept), exif, xmp, profile, n_frames > 1, tuple(notes))


def _transparent(content: bytes, depth: int, colour: int) -> bytes:
    """Return the chunk of transparent colours; a grey of 2 or 4 bits in 8, in which Pillow looks for it."""
    if colour == 0 and depth in (2, 4):
        grey = int.from_bytes(content[:2], "big") & (1 << depth) - 1
        content = (grey * 255 // ((1 << depth) - 1)).to_bytes(2, "big")
    body = b"tRNS" + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def _check_pixels(data: bytes) -> None:
    """Refuse pixels of which neither the chunks' checksums hold nor the one of the whole.

    Raises:
        ValueError: says so.
    """
    inflating = zlib.decompressobj()
    try:
        for name, start, end, _ in chunks(data):
            waiting = data[start:end] if name == b"IDAT" else b""
            while waiting:
                inflating.decompress(waiting, 1 << 20)
                waiting = inflating.unconsumed_tail
    except zlib.error as error:
        raise ValueError(f"the pixels are damaged: {error}") from error
    if not inflating.eof:
        raise ValueError("the pixels do not fit their checksum")


def _inflated(data: bytes, limit: int) -> bytes:
    """Return what is packed; empty: it is damaged, or more than the limit."""
    inflating = zlib.decompressobj()
    try:
        found = inflating.decompress(data, limit)
    except zlib.error:
        return b""
    return found if inflating.eof else b""


def _international(text: bytes) -> bytes:
    """Return the words of an iTXt chunk behind its key."""
    parts = text[2:].split(b"\0", 2)
    if len(text) < 2 or len(parts) < 3:
        return b""
    return _inflated(parts[2], _MAX_EXIF_BYTES) if text[0] else parts[2]


def _raw_profile(text: bytes) -> bytes:
    """Return an EXIF block as ImageMagick writes it: in hexadecimal digits behind its name and length."""
    body = text.split(b"\0", 1)[1]
    if body.startswith(b"\0"):  # a zTXt chunk: the packing's number, and what is packed
        body = _inflated(body[1:], 2 * _MAX_EXIF_BYTES)
    try:
        return bytes.fromhex("".join(body.decode("ascii").split()[2:])).removeprefix(b"Exif\0\0")
    except ValueError:
        return b""


def _profile(beside: dict[bytes, bytes], is_grey: bool, notes: list[str]) -> bytes:
    """Return what colours mean: by cICP, else iCCP, else sRGB, else gAMA with cHRM, in the order of the PNG
    specification.

    Raises:
        UnsupportedPixels: HDR.
    """
    if len(beside.get(b"cICP", b"")) >= 4:
        primaries, transfer = beside[b"cICP"][:2]
        found = numbered_profile(primaries, transfer, is_grey)
        if found is not None:
            return found
    if b"iCCP" in beside:
        _, _, packed = beside[b"iCCP"].partition(b"\0")
        profile = _inflated(packed[1:], _MAX_PROFILE_BYTES)
        if profile:
            return profile
        notes.append("the embedded colour profile is damaged and was not used")
    if b"sRGB" in beside or len(beside.get(b"gAMA", b"")) != 4:
        return b""
    gamma = int.from_bytes(beside[b"gAMA"], "big") / 100_000
    if not 0.1 <= gamma <= 10:
        return b""
    curve = None if abs(gamma / _SRGB_GAMMA - 1) <= _GAMMA_TOLERANCE else 1 / gamma
    stated = beside.get(b"cHRM", b"")
    given = tuple(value / 100_000 for value in struct.unpack(">8I", stated)) if len(stated) == 32 else ()
    if given and xy_chromaticities(given):
        return stated_profile(given, curve, "gAMA and cHRM", is_grey)
    return stated_profile(SRGB_PRIMARIES, curve, "gAMA", is_grey)
