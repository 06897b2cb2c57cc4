"""Split JPEG files into their segments, and check whether a file without an end marker is complete."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

from PIL import Image, ImageChops
from PIL.JpegImagePlugin import JpegImageFile

from redaes.images.exif_colours import colours_by_exif
from redaes.images.unwrapped import Unwrapped

_END, _SCAN = 0xD9, 0xDA
_READ_FRAMES = frozenset({0xC0, 0xC1, 0xC2})
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length
_EXIF, _XMP, _PROFILE = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"ICC_PROFILE\0"

_MAX_SEGMENTS = 256

_END_MARK = b"\xff\xd9"
_NOISE = bytes(251 * n * n % 255 for n in range(1, 129))  # without 255, which would begin a marker
_MADE_UP = _NOISE + b"".join(bytes((0xFF, 0xD0 + n % 8)) + _NOISE for n in range(16))
"""Bits that a decoder accepts in place of missing data, with every marker at which it may restart."""


def segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield the segments before the first scan, as (marker, start of its content, end), and last the scan to the file's
    end.

    Bytes outside segments are skipped, as decoders do.
    """
    at = 2
    while at + 1 < len(data):
        if data[at] != 0xFF:
            at = data.find(b"\xff", at)
            if at < 0:
                return
            continue
        marker = data[at + 1]
        if marker in (0x00, 0xFF):
            at += 2 - (marker == 0xFF)
        elif marker in _ALONE:
            yield marker, at + 2, at + 2
            at += 2
        elif marker in (_SCAN, _END):
            yield marker, at + 2, len(data)
            return
        else:
            size = int.from_bytes(data[at + 2 : at + 4], "big")
            if size < 2 or at + 2 + size > len(data):
                yield marker, at + 2, len(data)
                return
            yield marker, at + 4, at + 2 + size
            at += 2 + size


def unwrap_jpeg(data: bytes) -> Unwrapped:
    """Separate a JPEG file's metadata from its pixels; of comments and application segments, the decoder gets only
    those about colours.
    """
    view = memoryview(data)
    kept: list[bytes | memoryview] = [view[:2]]
    xmp = b""
    exif: list[bytes] = []  # data that does not fit into one segment continues in the next
    profile: list[bytes] = []
    for marker, start, end in segments(data):
        if marker in (_SCAN, _END) or end == len(data):
            kept.append(view[start - 2 :])
            break
        content = data[start : min(end, start + 64)]
        if marker == 0xE1 and content.startswith(_EXIF):
            exif.append(data[start + len(_EXIF) : end])
        elif marker == 0xE1 and content.startswith(_XMP):
            xmp = xmp or data[start + len(_XMP) : end]
        elif marker == 0xE2 and content.startswith(_PROFILE):
            profile.append(data[start + len(_PROFILE) : end])
        elif not (0xE0 <= marker <= 0xEF or marker == 0xFE) or _on_colours(marker, content, end - start):
            kept.append(view[start - (2 if marker in _ALONE else 4) : end])
    block = b"".join(exif)
    return Unwrapped(b"".join(kept), exif=block, xmp=xmp, profile=_joined(profile) or colours_by_exif(block))


def jpeg_size(data: bytes, at: int) -> tuple[int, int] | None:
    """Return the width and height of the JPEG picture that begins at a position; None: none that Pillow can read.

    Nothing is skipped here: data that only looks like a beginning is rejected.
    """
    at += 2
    for _ in range(_MAX_SEGMENTS):
        if data[at : at + 1] != b"\xff" or at + 4 > len(data):
            return None
        marker = data[at + 1]
        if marker in _READ_FRAMES:
            bits, height, width, components = struct.unpack_from(">xxxxBHHB", data, at)
            return (width, height) if bits == 8 and components in (1, 3) and width and height else None
        if marker < 0xC0 or marker in _ALONE or marker in (_SCAN, _END) or marker in _FRAMES:
            return None
        at += 2 + max(2, int.from_bytes(data[at + 2 : at + 4], "big"))
    return None


def find_end(data: bytes, at: int) -> int:
    """Return where the picture ends that :func:`jpeg_size` found at a position; if it is cut off, the end of the
    data.
    """
    at += 2
    while data[at : at + 1] == b"\xff" and data[at + 1] != _SCAN:
        at += 2 + max(2, int.from_bytes(data[at + 2 : at + 4], "big"))
    end = data.find(_END_MARK, at)
    return len(data) if end < 0 else end + 2


def with_end(data: bytes) -> bytes | None:
    """Return the file with its end mark; None: it has one, or more than that is missing.

    Args:
        data: an unwrapped file that a decoder found to end too early.

    Whether all of the picture is there cannot be asked of a decoder, which makes up what is missing. But where all of
    it is there, whatever is put in place of the end changes nothing.

    Raises:
        OSError, SyntaxError, ValueError: as Pillow's reader.
    """
    scan = next((start for marker, start, _ in segments(data) if marker == _SCAN), None)
    if scan is None or data.find(_END_MARK, scan) >= 0 or not _all_scans(data, scan):
        return None
    body = data[:-1] if data.endswith(b"\xff") else data
    for scale in (8, 1):  # most of what is cut off shows at an eighth of the size
        made_up = [_decoded(body + tail + _END_MARK, scale) for tail in (b"", _MADE_UP)]
        if ImageChops.difference(*made_up).getbbox(alpha_only=False) is not None:
            return None
    return body + _END_MARK


def _on_colours(marker: int, content: bytes, size: int) -> bool:
    """Return whether libjpeg takes this application segment for what it says of the colours: JFIF's or Adobe's."""
    return (marker == 0xE0 and size >= 14 and content.startswith(b"JFIF\0")) or (
        marker == 0xEE and size >= 12 and content.startswith(b"Adobe")
    )


def _joined(parts: list[bytes]) -> bytes:
    """Return a profile from its numbered parts. With some missing it is still handed on, so that it is named as
    damaged.
    """
    return b"".join(part[2:] for part in sorted(parts))


def _decoded(data: bytes, scale: int) -> Image.Image:
    source = JpegImageFile(io.BytesIO(data))
    source.draft(None, (max(1, source.width // scale), max(1, source.height // scale)))
    source.load()
    return source


def _all_scans(data: bytes, scan: int) -> bool:
    """Return whether a progressive file has all its scans: each coefficient of each component to its last bit."""
    components = 0
    progressive = False
    for marker, start, _ in segments(data):
        if marker in _FRAMES:
            progressive = marker in (0xC2, 0xC6, 0xCA, 0xCE)
            components = data[start + 5]
    missing = {(part, place) for part in range(components) for place in range(64)} if progressive else set()
    names: dict[int, int] = {}
    at = scan - 2
    while missing and at >= 0:
        count = data[at + 4]
        listed = [data[at + 5 + 2 * n] for n in range(count)]
        first, last, bits = data[at + 5 + 2 * count : at + 8 + 2 * count]
        if bits & 15 == 0:
            for name in listed:
                part = names.setdefault(name, len(names))
                missing -= {(part, place) for place in range(first, last + 1)}
        at = data.find(b"\xff\xda", at + 2)
    return not missing
