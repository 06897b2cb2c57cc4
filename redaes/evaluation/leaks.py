"""Find pictures of a benchmark in a training set: by equal bytes, or by similar perceptual hashes.

This finds copies that were scaled, recompressed or brightened (:func:`redaes.images.phash`). A crop, a mirror image or
a picture in a collage has another hash and is not found. Flat pictures share one hash and are only compared byte by
byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from redaes.errors import ImageError, InputError
from redaes.images import content_id, decode_image, list_images, phash, read_image_file
from redaes.images.near_copies import COPY_BITS, HASHED_PIXELS
from redaes.records import shards, stream_rows
from redaes.types import SIDES, SPLITS, Record

MAX_DISTANCE = COPY_BITS
"""Largest number of bits, of 64, in which the hashes of two copies may differ."""

_BLOCK = 1024


class Leak(Record):
    """A picture of a benchmark that training may have seen."""

    benchmark: str
    training: str
    distance: int
    """Number of bits, of 64, in which the hashes differ."""
    same_bytes: bool


class LeakReport(Record):
    """The numbers of compared pictures, and the leaks."""

    n_benchmark: int
    n_training: int
    max_distance: int
    leaks: tuple[Leak, ...]
    unreadable: tuple[str, ...]
    """Pictures that could not be compared."""


def find_leaks(
    benchmark: Iterable[tuple[str, bytes | Path]],
    training: Iterable[tuple[str, bytes | Path]],
    *,
    max_distance: int = MAX_DISTANCE,
    progress: Callable[[int], None] = lambda done: None,
) -> LeakReport:
    """Compare every picture of a benchmark with every picture of a training set.

    Args:
        benchmark: names of the benchmark's pictures, with bytes or files.
        training: names of the training pictures, with bytes or files.
        max_distance: largest number of different bits, of 64.
        progress: called with the number of pictures hashed so far.

    Raises:
        InputError: ``max_distance`` is not in 0 .. 63.
    """
    if not 0 <= max_distance < 64:
        raise InputError(f"max_distance is {max_distance}; give 0 to 63 bits")
    unreadable: list[str] = []
    done = 0

    def hashed(pictures: Iterable[tuple[str, bytes | Path]]) -> tuple[list[str], list[str], NDArray[np.uint64]]:
        nonlocal done
        names, contents, looks = [], [], []
        for name, source in pictures:
            try:
                data = source if isinstance(source, bytes) else read_image_file(source)
                image = decode_image(data, Path(name), max_pixels=HASHED_PIXELS).image
            except ImageError as error:
                unreadable.append(f"{name}: {error}")
                continue
            names.append(name)
            contents.append(content_id(data))
            looks.append(phash(image))
            done += 1
            progress(done)
        return names, contents, np.array(looks, dtype=np.uint64)

    names, contents, looks = hashed(benchmark)
    others, other_contents, other_looks = hashed(training)
    leaks = []
    for start in range(0, len(names), _BLOCK):
        block = looks[start : start + _BLOCK]
        apart = np.bitwise_count(block[:, None] ^ other_looks[None, :]) if len(others) else np.empty((len(block), 0))
        near = (apart <= max_distance) & (block != 0)[:, None] & (other_looks != 0)[None, :]
        for row, column in np.argwhere(near):
            same = contents[start + row] == other_contents[column]
            leaks.append(_leak(names[start + row], others[column], int(apart[row, column]), same))
    flat: dict[str, list[str]] = {}
    for name, content, look in zip(others, other_contents, other_looks, strict=True):
        if look == 0:
            flat.setdefault(content, []).append(name)
    for name, content, look in zip(names, contents, looks, strict=True):
        if look == 0:
            leaks += [_leak(name, other, 0, True) for other in flat.get(content, ())]
    return LeakReport(
        n_benchmark=len(names),
        n_training=len(others),
        max_distance=max_distance,
        leaks=tuple(sorted(leaks, key=lambda leak: (leak.benchmark, leak.training))),
        unreadable=tuple(unreadable),
    )


def training_pictures(place: Path) -> Iterator[tuple[str, bytes | Path]]:
    """Yield the pictures of a RED dataset (all splits), or of a folder and the folders in it.

    Raises:
        InputError: the folder is missing or contains no picture.
        RecordError: a shard cannot be read.
    """
    if (place / "data").is_dir() and any((place / "data").glob("*.parquet")):
        seen: set[str] = set()
        for split in SPLITS:
            if not any((place / "data").glob(f"{split}-*.parquet")):
                continue
            for file in shards(place, split):
                for row in stream_rows(file, ("id", *SIDES)):
                    for side in SIDES:
                        data = row[side]["bytes"]
                        identity = content_id(data)  # not the stored id, because a wrong id must not hide a leak
                        if identity not in seen:
                            seen.add(identity)
                            yield f"{place}/{split}/{row['id']}/{side}", data
        return
    folders = [place, *sorted(path for path in place.rglob("*") if path.is_dir())] if place.is_dir() else [place]
    found = False
    for folder in folders:
        try:
            files = list_images(folder)
        except InputError:
            if folder == place and not place.is_dir():
                raise
            continue  # the folder itself contains no pictures
        found = True
        yield from ((str(path), path) for path in files)
    if not found:
        raise InputError(f"{place}: no pictures found in it or below; give a folder of photographs or a RED dataset")


def _leak(benchmark: str, training: str, distance: int, same: bool) -> Leak:
    return Leak(benchmark=benchmark, training=training, distance=distance, same_bytes=bool(same))
