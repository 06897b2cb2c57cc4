"""Read directories of tags, as in TIFF files and EXIF blocks, without trusting their content.

An entry that cannot be right is left out; the rest is read. Values are looked up only on request.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of a value by its type."""

_WHOLE = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
"""Types that are whole numbers, as :mod:`struct` writes them."""

_MAGICS = {b"*\0": False, b"+\0": True, b"RO": False, b"RS": False, b"U\0": False}
"""Bytes after the byte order, in little-endian order, and whether they mean BigTIFF: TIFF, BigTIFF, Olympus (two),
Panasonic."""

_MAX_DIRECTORIES = 64
_MAX_ENTRIES = 4096
"""Most entries of one directory; TIFF, EXIF and DNG define fewer tags."""


class Tag(IntEnum):
    """Numbers of the tags that are read here, by their names in TIFF 6.0, DNG 1.6 and EXIF 2.32."""

    SUBFILE = 254
    WIDTH = 256
    HEIGHT = 257
    BITS = 258
    COMPRESSION = 259
    PHOTOMETRIC = 262
    STRIP_OFFSETS = 273
    ORIENTATION = 274
    SAMPLES = 277
    STRIP_BYTES = 279
    PLANAR = 284
    PREDICTOR = 317
    TILE_WIDTH = 322
    TILE_OFFSETS = 324
    TILE_BYTES = 325
    SUB_DIRECTORIES = 330
    EXTRA_SAMPLES = 338
    SAMPLE_FORMAT = 339
    JPEG_OFFSET = 513
    JPEG_BYTES = 514
    XMP = 700
    RATING = 18246
    RATING_PERCENT = 18249
    PROFILE = 34675
    EXIF = 34665
    COLOUR_SPACE = 40961
    INTEROPERABILITY = 40965
    DNG_VERSION = 50706


@dataclass(frozen=True)
class Entry:
    """One entry of a directory."""

    kind: int
    """Type of the values."""
    count: int
    field: bytes
    """The values themselves if they fit into 4 bytes (BigTIFF: 8), otherwise their offset."""


@dataclass(frozen=True)
class Directory:
    """The entries of one directory."""

    block: bytes
    """The data that offsets refer to: a TIFF file or an EXIF block."""
    order: str
    """``<`` or ``>``, as :mod:`struct` writes it."""
    is_big: bool
    """Whether it is BigTIFF, with 8 bytes where TIFF has 4."""
    entries: Mapping[int, Entry]
    next: int
    """Offset of the directory that follows; 0: none."""

    def data(self, tag: int, most: int | None = None) -> bytes:
        """Return the bytes of a tag's values; empty: it is missing, or they lie outside the block.

        Args:
            tag: its number.
            most: how many bytes are wanted; None: all.
        """
        entry = self.entries.get(tag)
        if entry is None:
            return b""
        size = _SIZES.get(entry.kind, 0) * entry.count
        if size <= len(entry.field):
            return entry.field[:size][:most]
        at = int.from_bytes(entry.field, "little" if self.order == "<" else "big")
        if at + size > len(self.block):
            return b""
        return self.block[at : at + (size if most is None else min(most, size))]

    def numbers(self, tag: int) -> tuple[int, ...]:
        """Return the whole numbers of a tag; empty: it is missing, or holds others."""
        return self._whole(tag, None)

    def number(self, tag: int, default: int) -> int:
        """Return the first whole number of a tag. The others are not read, as a file can have as many as it has
        bytes."""
        return (*self._whole(tag, 1), default)[0]

    def below(self, tag: int) -> Directory | None:
        """Return the directory that a tag points to; None: there is none."""
        return _directory(self.block, self.order, self.is_big, self.number(tag, 0))

    def _whole(self, tag: int, most: int | None) -> tuple[int, ...]:
        letter = _WHOLE.get(self.entries[tag].kind) if tag in self.entries else None
        if letter is None:
            return ()
        size = struct.calcsize(f"<{letter}")
        data = self.data(tag, None if most is None else most * size)
        return struct.unpack(f"{self.order}{len(data) // size}{letter}", data)


def first_directory(block: bytes) -> Directory | None:
    """Return the first directory of a TIFF file or EXIF block; None: there is none."""
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    magic = block[2:4] if order == "<" else block[3:1:-1]
    if order is None or magic not in _MAGICS or len(block) < 16:
        return None
    is_big = _MAGICS[magic]
    at = struct.unpack_from(f"{order}{'Q' if is_big else 'I'}", block, 8 if is_big else 4)[0]
    return _directory(block, order, is_big, at)


def directories(block: bytes) -> list[Directory]:
    """Return all directories of pictures: the first, those that follow, and those below them. Each is read once."""
    first = first_directory(block)
    found = [] if first is None else [first]
    waiting: list[int] = []
    seen: set[int] = set()
    for directory in found:  # which grows meanwhile
        waiting += (*directory.numbers(Tag.SUB_DIRECTORIES)[:_MAX_DIRECTORIES], directory.next)
        while waiting and len(found) < _MAX_DIRECTORIES:
            at = waiting.pop(0)
            another = None if at in seen else _directory(block, directory.order, directory.is_big, at)
            seen.add(at)
            found += [] if another is None else [another]
    return found


def with_directory(directory: Directory, entries: Mapping[int, Entry], tail: bytes = b"") -> bytes:
    """Return the directory's file with these entries, and no others, in its first directory.

    Args:
        directory: the one that is replaced.
        entries: the entries; values that do not fit stay at their offsets, or are in the tail.
        tail: bytes that are appended to the file, at :func:`tail_at`.
    """
    block, order = directory.block, directory.order
    offset, head = ("Q", 16) if directory.is_big else ("I", 8)
    before = tail_at(block) + len(tail) + len(tail) % 2
    start = block[: head - struct.calcsize(f"<{offset}")] + struct.pack(f"{order}{offset}", before)
    table = struct.pack(f"{order}{'Q' if directory.is_big else 'H'}", len(entries))
    for tag, entry in sorted(entries.items()):
        table += struct.pack(f"{order}HH{offset}", tag, entry.kind, entry.count) + entry.field
    return b"".join(
        (
            start,
            memoryview(block)[head:],
            bytes(len(block) % 2),
            tail,
            bytes(len(tail) % 2),
            table,
            bytes(struct.calcsize(f"<{offset}")),
        )
    )


def tail_at(block: bytes) -> int:
    """Return the even offset at which bytes appended to a file begin."""
    return len(block) + len(block) % 2


def _directory(block: bytes, order: str, is_big: bool, at: int) -> Directory | None:
    count, entry, offset = ("Q", "HHQ8s", "Q") if is_big else ("H", "HHI4s", "I")
    body = at + struct.calcsize(f"<{count}")
    if at < 8 or body > len(block):
        return None
    size = struct.calcsize(f"<{entry}")
    stated = struct.unpack_from(order + count, block, at)[0]
    n_entries = min(stated, (len(block) - body) // size, _MAX_ENTRIES)
    found = {}
    for place in range(n_entries):
        tag, kind, n_values, field = struct.unpack_from(order + entry, block, body + place * size)
        found[tag] = Entry(kind, n_values, field)
    end = body + n_entries * size
    is_whole = n_entries == stated and end + struct.calcsize(f"<{offset}") <= len(block)
    return Directory(block, order, is_big, found, struct.unpack_from(order + offset, block, end)[0] if is_whole else 0)
