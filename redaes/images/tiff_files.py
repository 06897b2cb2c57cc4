"""TIFF files taken apart: what decides the pixels, and what stands beside it."""

from __future__ import annotations

import struct
from collections.abc import Mapping

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
        317,  # predictor
        320,  # palette
        322, 323,  # size of tiles
        332, 334,  # inks
        347,  # tables of JPEG
        512, 515, 517, 518, 519, 520, 521,  # JPEG as TIFF 6.0 had it
        529, 530, 531, 532,  # YCbCr
    }
)  # fmt: skip
"""Tags on which the pixels depend; all others are kept from the decoder."""

_MAX_SAMPLES = 6


def unwrap_tiff(data: bytes) -> Unwrapped:
    """A TIFF file taken apart; the decoder gets the first page without what stands beside its pixels.

    Raises:
        UnsupportedPixels: they have no defined white.
    """
    directory = first_directory(data)
    if directory is None:
        return Unwrapped(data)
    _check_samples(directory)
    entries = {tag: entry for tag, entry in directory.entries.items() if tag in _OF_PIXELS}
    return Unwrapped(
        with_directory(directory, entries),
        exif=data,
        xmp=directory.data(Tag.XMP),
        profile=directory.data(Tag.PROFILE),
        is_several=directory.next != 0,
    )


def planes(data: bytes) -> list[bytes] | None:
    """The channels of an unwrapped file as one grey file each; None: its decoder can be trusted with all at once.

    Pillow reads uncompressed samples that lie channel by channel as if they had 8 bits.
    """
    directory = first_directory(data)
    if directory is None:
        return None
    n_samples = directory.number(Tag.SAMPLES, 1)
    if (
        directory.number(Tag.PLANAR, 1) != 2
        or directory.number(Tag.COMPRESSION, 1) != 1
        or directory.number(Tag.BITS, 1) == 8
        or not 2 <= n_samples <= _MAX_SAMPLES
    ):
        return None
    shared = {tag: entry for tag, entry in directory.entries.items() if tag != Tag.EXTRA_SAMPLES}
    shared |= {
        Tag.BITS: _whole(directory, directory.number(Tag.BITS, 1)),
        Tag.PHOTOMETRIC: _whole(directory, 1),
        Tag.SAMPLES: _whole(directory, 1),
        Tag.PLANAR: _whole(directory, 1),
    }
    return [_plane(directory, shared, n, n_samples) for n in range(n_samples)]


def _plane(directory: Directory, shared: Mapping[int, Entry], number: int, n_samples: int) -> bytes:
    entries = dict(shared)
    tail = b""
    letter, kind, size = ("Q", 16, 8) if directory.is_big else ("I", 4, 4)
    for tag in (Tag.STRIP_OFFSETS, Tag.STRIP_BYTES, Tag.TILE_OFFSETS, Tag.TILE_BYTES):
        values = directory.numbers(tag)
        n_own = len(values) // n_samples
        if not n_own:
            continue
        body = struct.pack(f"{directory.order}{n_own}{letter}", *values[n_own * number : n_own * (number + 1)])
        field = body
        if n_own > 1:
            field = struct.pack(directory.order + letter, tail_at(directory.block) + len(tail))
            tail += body
        entries[tag] = Entry(kind, n_own, field.ljust(size, b"\0"))
    return with_directory(directory, entries, tail)


def _whole(directory: Directory, value: int) -> Entry:
    """An entry of one small number."""
    return Entry(3, 1, struct.pack(directory.order + "H", value).ljust(8 if directory.is_big else 4, b"\0"))


def _check_samples(directory: Directory) -> None:
    """Refuse numbers without a defined white.

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
