"""Find near copies among many pictures by their perceptual hashes (:func:`redaes.images.phash`)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from redaes.errors import InputError

COPY_BITS = 6
"""Largest number of bits, of 64, in which the hashes of two copies of a picture may differ."""

HASHED_PIXELS = 128 * 128
"""Area, in pixels, at which a picture is decoded to be hashed."""

_BLOCK = 1024


def near_copies(hashes: Sequence[int], max_distance: int = COPY_BITS) -> Iterator[tuple[int, int]]:
    """Yield the positions of all pairs of hashes that are near each other.

    If two hashes differ in at most ``max_distance`` bits, at least one of ``max_distance + 1`` parts is equal; so only
    hashes that share a part are compared. Flat pictures share the hash 0, which is therefore near no other hash.

    Args:
        hashes: 64 bits each.
        max_distance: bits.

    Yields:
        Two places, the lower one first; some come several times, in an order that depends on the hashes alone.

    Raises:
        InputError: ``max_distance`` is not in 0 .. 63.

    >>> sorted(set(near_copies([0b1111, 0, 0b1110, 1 << 60 | 1 << 40, 0], max_distance=2)))
    [(0, 2)]
    """
    if not 0 <= max_distance < 64:
        raise InputError(f"max_distance is {max_distance}; give 0 to 63 bits")
    values = np.array(hashes, dtype=np.uint64)
    looks = np.flatnonzero(values)
    n_parts = max_distance + 1
    for low, high in itertools.pairwise(64 * part // n_parts for part in range(n_parts + 1)):
        part = values[looks] >> np.uint64(low) & np.uint64((1 << high - low) - 1)
        order = np.argsort(part, kind="stable")
        starts = np.flatnonzero(np.diff(part[order])) + 1
        for sharing in np.split(looks[order], starts):
            yield from _near_within(values, sharing, max_distance)


def _near_within(values: NDArray[np.uint64], places: NDArray[np.intp], max_distance: int) -> Iterator[tuple[int, int]]:
    """Yield those of ``places``, which ascend, that are near each other."""
    for start in range(0, len(places), _BLOCK):
        block = places[start : start + _BLOCK]
        apart = np.bitwise_count(values[block][:, None] ^ values[places[start:]][None, :])
        for row, column in np.argwhere(apart <= max_distance):
            if row < column:
                yield int(block[row]), int(places[start + column])


def look_alikes(looks: Mapping[str, int], max_distance: int = COPY_BITS) -> Iterator[tuple[str, str]]:
    """Yield the names of pictures that look alike, by which all that look alike hang together.

    Args:
        looks: hashes by name; 0 says nothing.
        max_distance: bits.

    Yields:
        The name that comes first in ``looks``, and the other; of many with one hash, the first and each other.

    >>> list(look_alikes({"a": 0b1111, "flat": 0, "b": 0b1110, "c": 0b1111, "d": 0xFFFF << 40}))
    [('a', 'c'), ('a', 'b')]
    """
    first_of: dict[int, str] = {}
    for name, look in looks.items():
        if look and first_of.setdefault(look, name) != name:
            yield first_of[look], name
    names = list(first_of.values())
    for one, other in sorted(set(near_copies(list(first_of), max_distance))):
        yield names[one], names[other]
