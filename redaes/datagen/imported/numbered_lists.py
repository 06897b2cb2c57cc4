"""Lists of six numbers a line, as PhotoTriage and FGAesthetics publish them: series, a, b, P(a is preferred), and a
value for either, which is not needed here.

A picture is ``000007-01.jpg``, beside the others or in a folder of its series; PhotoTriage writes ``JPG``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from redaes.datagen.imported.labels import label_of_probability
from redaes.datagen.imported.rows import StatedPair, StatedPicture, UnusableRow
from redaes.errors import InputError
from redaes.series_records import in_folders

ENDING = ".txt"
_ENDINGS = ("jpg", "JPG")


def read_numbered_list(
    file: Path, *, pictures: Path | None = None, encoding: str = "utf-8-sig"
) -> Iterator[StatedPair | UnusableRow]:
    """The pairs of a list; its series are groups, and their pictures are of one source.

    Args:
        file: the list.
        pictures: folder of the pictures; None: that of the list.
        encoding: of the list.

    Raises:
        InputError: it cannot be read.
    """
    try:
        lines = file.read_text(encoding=encoding).splitlines()
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}; check the path") from error
    except (UnicodeDecodeError, LookupError) as error:
        raise InputError(f"{file} is no text in {encoding} ({error}); copy it again") from error
    folder = file.parent if pictures is None else pictures
    for number, line in enumerate(lines, 1):
        where = f"{file.name} line {number}"
        if not line.strip():
            continue
        try:
            series, one, other, probability = _numbers(line)
            yield StatedPair(
                where=where,
                first=_numbered(folder, series, one),
                second=_numbered(folder, series, other),
                label=label_of_probability(probability),
                group=f"{series:06d}",
                source=f"{file.stem} {series:06d}",
            )
        except InputError as error:
            yield UnusableRow(where, "row says nothing usable", str(error))


def _numbers(line: str) -> tuple[int, int, int, float]:
    try:
        found = [float(part) for part in line.replace(",", " ").split()]
    except ValueError as error:
        raise InputError(f"{error}; six numbers are expected") from error
    if len(found) != 6 or not all(map(math.isfinite, found)) or any(value != int(value) for value in found[:3]):
        raise InputError(f"{line.strip()!r} is not series, two pictures, a probability and two values")
    return int(found[0]), int(found[1]), int(found[2]), found[3]


def _numbered(folder: Path, series: int, index: int) -> StatedPicture:
    names = [f"{series:06d}-{index:02d}.{ending}" for ending in _ENDINGS]
    places = [place for name in names for place in (name, *in_folders(name))]
    found = next((place for place in places if (folder / place).is_file()), names[0])
    return StatedPicture(found, path=folder / found)
