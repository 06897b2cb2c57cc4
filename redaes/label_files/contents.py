"""Read the contents of label files (text, rows, JSON lists, MATLAB variables, numbers), with errors that name the file
and the place in it.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from redaes.errors import MissingDependency, RecordError

Box = tuple[int, int, int, int]
"""Left, top, right, bottom, in pixels of the picture at full size."""


@dataclass(frozen=True, slots=True)
class LabelFault:
    """An entry of a label file that states nothing usable."""

    where: str
    """The place of the entry in the file."""
    problem: str


def read_text(file: Path) -> str:
    """Return the text of a label file.

    Raises:
        RecordError: it cannot be read or is not UTF-8.
    """
    try:
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise RecordError(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RecordError(f"{file} is not UTF-8 text ({error}); copy it again") from error


def read_rows(file: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Return the rows of a CSV file that has these columns, and perhaps others.

    Raises:
        RecordError: the file cannot be read, a column is missing, or a row is incomplete.
    """
    reader = csv.DictReader(io.StringIO(read_text(file)))
    missing = [name for name in columns if name not in (reader.fieldnames or ())]
    if missing:
        raise RecordError(
            f"{file} has no column {', '.join(missing)}; its columns are {', '.join(reader.fieldnames or ())}"
        )
    rows = []
    for number, row in enumerate(reader, start=2):
        if any(row[name] is None for name in columns):
            raise RecordError(f"{file}, line {number}: the row is incomplete; copy the file again")
        rows.append(row)
    return rows


def read_json_list(file: Path, keys: Sequence[str]) -> list[dict[str, Any]]:
    """Return a JSON list of objects that each have these keys.

    Raises:
        RecordError: the file is something else; the message names the entry.
    """
    try:
        entries = json.loads(read_text(file))
    except (json.JSONDecodeError, RecursionError) as error:
        raise RecordError(f"{file} is not JSON: {error}; copy it again") from error
    if not isinstance(entries, list):
        raise RecordError(f"{file} is not a JSON list")
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or any(key not in entry for key in keys):
            raise RecordError(f"{file}, entry {number}: expected an object with {', '.join(keys)}")
    return entries


def read_mat(file: Path) -> dict[str, Any]:
    """Return the variables of a MATLAB file (version 5), with superfluous dimensions of cells and structures removed.

    Raises:
        RecordError: the file is something else.
        MissingDependency: scipy is absent.
    """
    try:
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError
    except ImportError as error:
        raise MissingDependency("scipy", "eval") from error
    try:
        content: dict[str, Any] = loadmat(file, squeeze_me=True, struct_as_record=False)
    except (OSError, ValueError, TypeError, NotImplementedError, MatReadError) as error:
        raise RecordError(f"{file} is not a readable MATLAB file ({error}); copy it again") from error
    return content


def finite(value: Any) -> float:
    """Return a finite number.

    Raises:
        ValueError: the value is not one; the message says what it is.
    """
    try:
        found = float(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{value!r} is not a number") from error
    if isinstance(value, bool) or not math.isfinite(found):
        raise ValueError(f"{value!r} is not a finite number")
    return found


def integer(value: Any) -> int:
    """Return a whole number.

    Raises:
        ValueError: the value is not one; the message says what it is.
    """
    found = finite(value)
    if found != int(found):
        raise ValueError(f"{value!r} is not a whole number")
    return int(found)


def number(value: Any, file: Path, where: object) -> float:
    """Return a finite number from a label file.

    Raises:
        RecordError: the value is not one; the message names file and place.
    """
    try:
        return finite(value)
    except ValueError as error:
        raise RecordError(f"{file}, {where}: {error}") from error


def whole(value: Any, file: Path, where: object) -> int:
    """Return a whole number from a label file.

    Raises:
        RecordError: the value is not one; the message names file and place.
    """
    try:
        return integer(value)
    except ValueError as error:
        raise RecordError(f"{file}, {where}: {error}") from error


def share(value: Any, file: Path, where: object) -> float:
    """Return a number in [0, 1] from a label file.

    Raises:
        RecordError: the value is not one; the message names file and place.
    """
    found = number(value, file, where)
    if not 0.0 <= found <= 1.0:
        raise RecordError(f"{file}, {where}: {value!r} lies outside [0, 1]")
    return found


def refuse_fault(file: Path, fault: LabelFault) -> NoReturn:
    """Refuse a file because of one of its entries.

    Raises:
        RecordError: always; the message names file, place and problem.
    """
    raise RecordError(f"{file}, {fault.where}: {fault.problem}")
