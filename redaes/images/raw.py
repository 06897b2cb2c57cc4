"""Read camera raw files: find the camera's preview and the metadata, and decide whether the preview is large enough.

Makers embed previews in a dozen ways, but each is a complete JPEG somewhere in the file and is found as such. Parts of
the raw data may be compressed as JPEG too; the file's directories distinguish these.
"""

from __future__ import annotations

from dataclasses import dataclass

from redaes.images.jpeg_segments import find_end, jpeg_size
from redaes.images.media_boxes import boxes
from redaes.images.tiff_tags import Directory, Tag, directories

RAW_SUFFIXES = (
    ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".gpr", ".iiq", ".kdc", ".mef", ".mos",
    ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f",
)  # fmt: skip
"""File name endings of camera raw, in lower case."""

MIN_PREVIEW_PIXELS = 1_000_000
"""Smallest area, in pixels, at which a preview is judged in place of the raw data: about the size that models are shown
[ours]."""

_LARGE_SHARE = 0.9  # of the raw data: a small camera's preview may be all that there is
_RAW_PHOTOMETRIC = (32803, 34892)  # a mosaic of colours; the same with all colours at each pixel
_BEGINNINGS = (
    b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb", b"\0MRM", b"II\x1a\0\0\0HEAPCCDR",
    b"IIII", b"MMMM",
)  # fmt: skip
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_CANON_BOX = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")  # where CR3 has its EXIF, as blocks of TIFF


@dataclass(frozen=True)
class RawFile:
    """The contents of a camera raw file that need no development."""

    preview: bytes
    """Its largest JPEG; empty: it has none."""
    preview_size: tuple[int, int]
    exif: bytes
    """The EXIF block with the orientation; for a TIFF-like file, the whole file. Empty: only the preview may have
    one."""
    details: bytes
    """CR3's second block, which has the capture time; else empty."""
    is_enough: bool
    """Whether the preview is large enough to be judged."""


def is_raw(data: bytes, has_raw_name: bool) -> bool:
    """Return whether a file is camera raw, by its content.

    Args:
        data: the whole file.
        has_raw_name: whether its name is that of a raw file; this decides for a TIFF file whose first page is a
            preview and which nothing else identifies.
    """
    if data.startswith(_BEGINNINGS) or (data[4:8] == b"ftyp" and data[8:12] == b"crx "):
        return True
    if not data.startswith(_TIFF):
        return False
    found = directories(data)
    return (
        data[8:10] == b"CR"
        or any(Tag.DNG_VERSION in one.entries or one.number(Tag.PHOTOMETRIC, 0) in _RAW_PHOTOMETRIC for one in found)
        or (has_raw_name and bool(found) and bool(found[0].number(Tag.SUBFILE, 0) & 1))
    )


def read_raw(data: bytes) -> RawFile:
    """Parse a camera raw file without decoding any picture."""
    found = directories(data)
    not_whole = {at for one in found for at in _parts(one)}
    best, size = -1, (0, 0)
    at = data.find(b"\xff\xd8\xff")
    while at >= 0:
        shape = None if at in not_whole else jpeg_size(data, at)
        if shape is not None and shape[0] * shape[1] > size[0] * size[1]:
            best, size = at, shape
        at = data.find(b"\xff\xd8\xff", at + 2)
    area = size[0] * size[1]
    raw_areas = [
        one.number(Tag.WIDTH, 0) * one.number(Tag.HEIGHT, 0)
        for one in found
        if one.number(Tag.PHOTOMETRIC, 0) in _RAW_PHOTOMETRIC
    ]
    exif, details = (data, b"") if found else _canon_blocks(data)
    return RawFile(
        preview=data[best : find_end(data, best)] if best >= 0 else b"",
        preview_size=size,
        exif=exif,
        details=details,
        is_enough=area >= MIN_PREVIEW_PIXELS or (bool(raw_areas) and area >= _LARGE_SHARE * max(raw_areas)),
    )


def _parts(directory: Directory) -> tuple[int, ...]:
    """Return the positions of JPEG data that is not a picture by itself: raw data, and parts of divided pictures."""
    offsets = directory.numbers(Tag.STRIP_OFFSETS) + directory.numbers(Tag.TILE_OFFSETS)
    is_raw_data = directory.number(Tag.PHOTOMETRIC, 0) in _RAW_PHOTOMETRIC
    return offsets if is_raw_data or len(offsets) > 1 else ()


def _canon_blocks(data: bytes) -> tuple[bytes, bytes]:
    """Return CR3's first two EXIF blocks: of the file, and of the shot."""
    found = {b"CMT1": b"", b"CMT2": b""}
    for name, start, end in boxes(data, 0, len(data)):
        for inner, inner_start, inner_end in boxes(data, start, end) if name == b"moov" else ():
            if inner == b"uuid" and data[inner_start : inner_start + 16] == _CANON_BOX:
                for block, block_start, block_end in boxes(data, inner_start + 16, inner_end):
                    if block in found:
                        found[block] = data[block_start:block_end]
    return found[b"CMT1"], found[b"CMT2"]
