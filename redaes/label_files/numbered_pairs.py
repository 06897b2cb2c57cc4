"""Lines of six numbers, as PhotoTriage and FGAesthetics publish them: series, picture a, picture b, P(a is preferred),
a value for a, a value for b; separated by blanks or commas.

The values of PhotoTriage are ranks, where 1 is the best. Those of FGAesthetics are not documented; its readers check
them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from redaes.errors import RecordError
from redaes.label_files.contents import LabelFault, read_text

_COLUMNS = 6
_ENDINGS = ("jpg", "JPG")


@dataclass(frozen=True, slots=True)
class NumberedPair:
    """One line of a list."""

    line: int
    """Number of the line, from 1."""
    series: int
    first: int
    """Number of picture a in its series."""
    second: int
    probability: float
    """P(a is preferred), in [0, 1]."""
    value_first: float
    value_second: float

    @property
    def where(self) -> str:
        """The place of the pair in the file."""
        return f"line {self.line}"

    @property
    def series_name(self) -> str:
        """The name of the series in the names of its pictures."""
        return f"{self.series:06d}"


def numbered_pairs(file: Path) -> Iterator[NumberedPair | LabelFault]:
    """Yield the lines of a list; blank lines are skipped.

    Raises:
        RecordError: the file cannot be read, or is empty.
    """
    n_lines = 0
    for number, line in enumerate(read_text(file).splitlines(), start=1):
        if line.strip():
            n_lines += 1
            try:
                yield _numbered(number, line)
            except ValueError as error:
                yield LabelFault(f"line {number}", str(error))
    if not n_lines:
        raise RecordError(f"{file} is empty; copy it again")


def _numbered(number: int, line: str) -> NumberedPair:
    parts = line.replace(",", " ").split()
    if len(parts) != _COLUMNS:
        raise ValueError(f"{len(parts)} numbers instead of {_COLUMNS}")
    try:
        values = [float(part) for part in parts]
    except ValueError as error:
        raise ValueError(f"{error}; six numbers are expected") from error
    ids = [int(value) if math.isfinite(value) else -1 for value in values[:3]]
    if ids != values[:3] or min(ids) < 0 or ids[1] == ids[2] or not 0 <= values[3] <= 1:
        raise ValueError(f"{line.strip()!r} is not series, two different indices, P in [0, 1], two values")
    if not all(map(math.isfinite, values)):
        raise ValueError(f"{line.strip()!r} has a value that is not finite")
    return NumberedPair(number, *ids, *values[3:])


def numbered_name(series: int, index: int, ending: str = "jpg") -> str:
    """Return the name of a picture's file.

    >>> numbered_name(7, 1)
    '000007-01.jpg'
    """
    return f"{series:06d}-{index:02d}.{ending}"


def in_folders(file: str) -> tuple[str, ...]:
    """Return the possible paths of a picture, given by its plain name, if every series has a folder.

    >>> in_folders("000007-01.jpg")
    ('000007/000007-01.jpg', '000007/01.jpg')
    """
    series, _, rest = file.partition("-")
    return f"{series}/{file}", f"{series}/{rest}"


def numbered_file(pictures: Path, series: int, index: int) -> Path:
    """Return the file of a picture: directly in the folder or in a folder of its series, with its ending in small or
    capital letters. If there is none, return where it should be.
    """
    names = [numbered_name(series, index, ending) for ending in _ENDINGS]
    places = [pictures / place for name in names for place in (name, *in_folders(name))]
    return next((place for place in places if place.is_file()), places[0])
