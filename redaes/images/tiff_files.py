"""Separate the tags of TIFF files that decide the pixels from metadata."""

from __future__ import annotations

import struct
from dataclasses import replace

from redaes.images.tiff_tags import Directory, Entry, Tag, first_directory, tail_at, with_directory
from redaes.images.unwrapped import UnsupportedPixels, Unwrapped

_OF_PIXELS = frozenset(
    {
        Tag.WIDTH, Tag.HEIGHT, Tag.BITS, Tag.COMPRESSION, Tag.PHOTOMETRIC, Tag.STRIP_OFFSETS, Tag.SAMPLES,
        Tag.STRIP_BYTES, Tag.PLANAR, Tag.TILE_OFFSETS, Tag.TILE_BYTES, Tag.EXTRA_SAMPLES, Tag.JPEG_OFFSET,
        Tag.JPEG_BYTES,
        266,  # order of bits
        278,  # rows in a strip
        292, 293,  # options of fax
        Tag.PREDICTOR,
        320,  # palette
        Tag.TILE_WIDTH, 323,  # and their height
        332, 334,  # inks
        347,  # tables of JPEG
        512, 515, 517, 518, 519, 520, 521,  # JPEG as TIFF 6.0 had it
        529, 530, 531, 532,  # YCbCr
    }
)  # fmt: skip
"""Tags on which the pixels depend; all others are withheld from the decoder."""


def unwrap_tiff(data: bytes) -> Unwrapped:
    """Separate a TIFF file's metadata from its pixels; the decoder gets the first page without metadata.

    Raises:
        UnsupportedPixels: they have no defined white.
    """
    directory = first_directory(data)
    if directory is None:
        return Unwrapped(data)
    _check_samples(directory)
    entries = {tag: entry for tag, entry in directory.entries.items() if tag in _OF_PIXELS}
    needed = replace(directory, entries=entries)
    return Unwrapped(
        _classic(needed) if directory.is_big else with_directory(directory, entries),
        exif=data,
        xmp=directory.data(Tag.XMP),
        profile=directory.data(Tag.PROFILE),
        is_several=directory.next != 0,
    )


def _classic(directory: Directory) -> bytes:
    """Return a BigTIFF file as a TIFF file: Pillow reads BigTIFF only in little-endian order.

    Offsets fit into 4 bytes, because files of 4 GB are not read.
    """
    entries: dict[int, Entry] = {}
    tail = b""
    for tag, entry in directory.entries.items():
        data, kind, count = directory.data(tag), entry.kind, entry.count
        if kind in (16, 18):
            kind, values = 4, directory.numbers(tag)
            data = struct.pack(f"{directory.order}{len(values)}I", *values)
        field = data
        if len(data) > 4:
            field = struct.pack(directory.order + "I", tail_at(directory.block) + len(tail))
            tail += data + bytes(len(data) % 2)
        entries[tag] = Entry(kind, count, field.ljust(4, b"\0"))
    head = directory.block[:2] + struct.pack(directory.order + "H", 42)
    small = replace(directory, block=head + directory.block[4:], is_big=False)
    return with_directory(small, entries, tail)


def _check_samples(directory: Directory) -> None:
    """Refuse samples without a defined white.

    Raises:
        UnsupportedPixels: says which.
    """
    kind = max({*directory.numbers(Tag.SAMPLE_FORMAT), 1})
    bits = max({*directory.numbers(Tag.BITS), 1})
    found = _KINDS_OF_NUMBERS.get(kind) or (f"whole numbers of {bits} bits" if bits > 16 else None)
    if found is not None:
        raise UnsupportedPixels(
            f"its pixels are {found}, which have no defined white; export it with 8 or 16 bits a channel"
        )


_KINDS_OF_NUMBERS = {2: "signed numbers", 3: "floating-point numbers", 5: "complex numbers", 6: "complex numbers"}
