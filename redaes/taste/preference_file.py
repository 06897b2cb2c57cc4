"""A CSV file of answers about pairs, as ``redaes data import`` takes it; each row is written to disk at once.

A row is written in one piece, and the last one can be taken back. All other rows stay, also unreadable ones.
"""

from __future__ import annotations

import csv
import errno
import io
import os
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import IO, Literal, cast

from redaes.errors import InputError, RecordError
from redaes.file_locks import lock_file

PREFERENCE_COLUMNS = ("first", "second", "winner", "series")

PreferredSide = Literal["first", "second", "tie"]
_SIDES = ("first", "second", "tie")
_FORMULA = tuple("=+-@\t\r")


@dataclass(frozen=True)
class Preference:
    """A person's answer about two pictures."""

    first: str
    """Name of the first picture, relative to a folder."""
    second: str
    winner: PreferredSide
    series: str


class PreferenceFile:
    """A file of preferences, to which one process at a time adds."""

    def __init__(self, path: Path) -> None:
        """Open a file to add to it, or create it.

        Raises:
            RecordError: the file cannot be written, or another process adds to it.
            InputError: the file has other content.
        """
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = path.open("a+b", buffering=0)
        except OSError as error:
            raise RecordError(f"{path} cannot be written: {error.strerror}; give another --keep") from error
        lock_file(self._file, f"{path}: another process keeps answers there; give another --keep")
        try:
            self._read()
        except BaseException:
            self._file.close()
            raise

    def _read(self) -> None:
        try:
            self._file.seek(0)
            data = self._file.read()
        except OSError as error:
            raise RecordError(f"{self.path} cannot be read: {error.strerror}; give another --keep") from error
        head, *rows = _rows(data) or [(0, b"")]
        if head[1] and _fields(head[1]) != list(PREFERENCE_COLUMNS):
            raise InputError(
                f"{self.path} begins with {head[1][:60].decode(errors='replace').strip()!r}, not with "
                f"{','.join(PREFERENCE_COLUMNS)}; give another --keep, nothing of it is changed"
            )
        self._places = [(start, preference_of(row)) for start, row in rows if row.strip()]
        self._size = len(data)
        self._is_cut = bool(data) and not data.endswith(b"\n")
        """Whether the last line was cut off by a kill or a full disk; it stays a line of its own."""
        if not head[1]:
            self._append(",".join(PREFERENCE_COLUMNS).encode() + b"\r\n")

    @property
    def preferences(self) -> list[Preference]:
        """All preferences in the file, in the order in which they were given."""
        return [one for _, one in self._places if one is not None]

    @property
    def n_unreadable(self) -> int:
        """Number of unreadable rows, which stay as they are."""
        return sum(one is None for _, one in self._places)

    def add(self, preference: Preference) -> None:
        """Add a preference; it is on the disk when this returns.

        Raises:
            RecordError: it cannot be written.
        """
        text = io.StringIO()
        csv.writer(text).writerow(_guarded(one) for one in astuple(preference))
        start = self._append((b"\r\n" if self._is_cut else b"") + text.getvalue().encode("utf-8", "surrogateescape"))
        self._places.append((start, preference))

    def take_back(self) -> Preference:
        """Remove the last row, and return its preference.

        Raises:
            InputError: there is no row, or it is not a preference.
            RecordError: the file cannot be changed.
        """
        if not self._places or self._places[-1][1] is None:
            raise InputError(f"{self.path} does not end with an answer, so none can be taken back")
        start, last = self._places[-1]
        self._cut(start)
        self._places.pop()
        self._is_cut = False
        return cast("Preference", last)

    def _append(self, data: bytes) -> int:
        start = self._size
        try:
            written = self._file.write(data)
            if written != len(data):
                raise OSError(errno.ENOSPC, "only a part of the row found room")
            os.fsync(self._file.fileno())
        except OSError as error:
            self._cut(start)
            raise RecordError(f"{self.path} cannot be written: {error.strerror}; make room and answer again") from error
        self._size += len(data)
        self._is_cut = False
        return start

    def _cut(self, size: int) -> None:
        try:
            os.ftruncate(self._file.fileno(), size)
            os.fsync(self._file.fileno())
        except OSError as error:
            raise RecordError(f"{self.path} cannot be changed: {error.strerror}; start again") from error
        self._size = size

    def close(self) -> None:
        """Close the file, so that another process can use it."""
        self._file.close()


def preference_of(row: bytes) -> Preference | None:
    """Return the preference of a row; None: the row is unreadable.

    >>> preference_of(b"a.jpg,'=b.jpg,tie,1\\n")
    Preference(first='a.jpg', second='=b.jpg', winner='tie', series='1')
    """
    fields = _fields(row)
    if fields is None or len(fields) != len(PREFERENCE_COLUMNS) or fields[2] not in _SIDES:
        return None
    first, second, winner, series = (
        one[1:] if one[:1] == "'" and one[1:2] in _FORMULA and one[1:2] else one for one in fields
    )
    return Preference(first, second, cast("PreferredSide", winner), series)


def _guarded(field: str) -> str:
    """Return the field with an apostrophe before text that spreadsheets would run as a formula."""
    return f"'{field}" if field[:1] in _FORMULA and field else field


def _fields(row: bytes) -> list[str] | None:
    try:
        found = list(csv.reader(io.StringIO(row.decode("utf-8-sig", "surrogateescape"), newline=""), strict=True))
    except csv.Error:
        return None
    return found[0] if len(found) == 1 else None


def _rows(data: bytes) -> list[tuple[int, bytes]]:
    """Return the rows with the bytes at which they begin; a row with open quotes continues in the next line."""
    return list(_joined(data))


def _joined(data: bytes) -> Iterator[tuple[int, bytes]]:
    start = at = 0
    row = b""
    for line in data.splitlines(keepends=True):
        row += line
        at += len(line)
        if row.count(b'"') % 2 == 0:
            yield start, row
            start, row = at, b""
    if row:
        yield start, row
