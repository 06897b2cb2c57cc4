"""Read existing pairs from CSV, JSON lines, JSON or Parquet: one row for each time that two pictures were compared.

===================================  ==================================================================================
``first``, ``second``                pictures: files, relative to the list; in Parquet also the bytes themselves
``winner``                           ``first``, ``second``, ``tie`` (or ``A``, ``B``), or the name of one of the two
``votes_first``, ``votes_second``    number of people who preferred the first and the second
``probability``                      share of people, or of other judges, that preferred the first
``delta``                            score of the first minus that of the second, in points
``n_votes``                          optional, beside a probability or delta: the number of votes behind it
``rationale``, ``rationale_swapped``  optional: the reasoning, with the first as A; with the second as A
``factors``                          optional: names of the deciding factors, separated by ``;``
``group``, ``source``, ``licence``   optional: the view, the photograph, and the photograph's licence
``series``                           optional: the subject; it replaces the source if that is not given
``split``                            optional: ``train``, or ``test`` (also ``val``, ``validation``), which is held out
===================================  ==================================================================================

One of ``winner``, votes, ``probability`` and ``delta`` is given in each row.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from redaes.datagen.imported.labels import (
    StatedLabel,
    label_of_delta,
    label_of_probability,
    label_of_votes,
)
from redaes.datagen.imported.published import PUBLISHED_COLUMNS, published_layout
from redaes.datagen.imported.tables import list_columns, list_rows
from redaes.errors import InputError
from redaes.types import FACTORS, Factor, Split

_LABELS = ("winner", "votes_first", "votes_second", "probability", "delta")
COLUMNS = frozenset(
    {"first", "second", *_LABELS, "rationale", "rationale_swapped", "factors", "group", "source", "licence", "license"}
    | {"series", "split", "n_votes", "label_source", "writer"}
)
"""Columns that are read; the report names all others."""

_SPLITS: dict[str, Split] = {"train": "train", "test": "test", "val": "test", "valid": "test", "validation": "test"}
_WINNERS = {"first": (1.0, 0.0), "a": (1.0, 0.0), "second": (0.0, 1.0), "b": (0.0, 1.0), "tie": (0.5, 0.5)}


@dataclass(frozen=True)
class StatedPicture:
    """A picture as a list names it."""

    name: str
    """Name of the picture in messages."""
    path: Path | None = None
    """File of the picture; None if ``data`` has its bytes."""
    data: bytes | None = field(default=None, repr=False)
    box: tuple[int, int, int, int] | None = None
    """Left, top, right, bottom of the crop of the file that is meant, in pixels; None means the whole picture."""
    source: str = ""
    """The photographed scene, in lists that state it for each picture; empty if it is not stated."""
    licence: str = ""
    """Licence, in lists that state it for each picture; empty if it is not stated."""


@dataclass(frozen=True)
class StatedPair:
    """One row of a source, about two pictures."""

    where: str
    """Name of the row in messages."""
    first: StatedPicture
    second: StatedPicture
    label: StatedLabel
    factors: tuple[Factor, ...] = ()
    rationale: str = ""
    """The reasoning, with the first picture as A; empty if there is none."""
    rationale_swapped: str = ""
    writer: str = ""
    """Writer of the rationales; empty if it is not stated."""
    group: str = ""
    """Name of the group to which the pair belongs, such as a view; empty if it is not stated."""
    source: str = ""
    """The photographed scene; empty if it is not stated."""
    licence: str = ""
    series: str = ""
    """Name of the large series to whose part this pair belongs; empty if there is none."""
    split: Split | None = None
    """The split that the list states; None if it states none."""
    from_people: bool = True
    """False if the list says that the difference comes from something else, such as edits or models."""


@dataclass(frozen=True)
class UnusableRow:
    """A row from which no pair is made."""

    where: str
    reason: str
    """The reason in a few words; equal reasons are counted."""
    detail: str = ""


def read_pair_list(
    file: Path, *, pictures: Path | None = None, encoding: str = "utf-8-sig", unread: set[str] | None = None
) -> Iterator[StatedPair | UnusableRow]:
    """Yield the rows of a list, one by one.

    Args:
        file: a file that ends in one of :data:`redaes.datagen.imported.tables.LISTS`.
        pictures: folder to which picture names are relative; None means that of the list.
        encoding: encoding of text files.
        unread: a set to which the names of columns that are not read are added.

    Raises:
        InputError: the list cannot be read, its kind is unknown, or the columns ``first`` and ``second`` or a label are
            missing.
        MissingDependency: pyarrow is absent.
    """
    names = list_columns(file, encoding)
    ours = None if {"first", "second"} <= set(names) and set(_LABELS) & set(names) else published_layout(names)
    known = COLUMNS if ours is None else COLUMNS | PUBLISHED_COLUMNS
    if ours is None:
        _check_names(names, file)
    if unread is not None:
        unread.update(set(names) - known)
    for where, row in list_rows(file, encoding, known):
        if not isinstance(row, Mapping):
            yield UnusableRow(where, "row is not readable", str(row))
            continue
        if unread is not None:
            unread.update(str(name) for name in row if name not in known)
        try:
            stated = row if ours is None else ours(row)
            yield _stated_pair(stated, where, file.parent if pictures is None else pictures)
        except (InputError, KeyError) as error:
            yield UnusableRow(where, "row says nothing usable", str(error))


def _check_names(names: Sequence[str], file: Path) -> None:
    known = set(names)
    addresses = [name for name in names if re.fullmatch(r"(.*_)?urls?(_.*)?", name.lower())]
    if addresses and not {"first", "second"} & known:
        raise InputError(
            f"{file} has the columns {', '.join(names)}: addresses of pictures ({addresses[0]}), and no pictures; take "
            "the version of the set that has them, or fetch them and name the files in first and second"
        )
    if not {"first", "second"} <= known:
        raise InputError(f"{file} has the columns {', '.join(names)}; it needs first and second")
    if not ({"winner", "probability", "delta"} & known or {"votes_first", "votes_second"} <= known):
        raise InputError(
            f"{file} has the columns {', '.join(names)}; it needs one of winner, votes_first and votes_second, "
            "probability, delta"
        )


def _stated_pair(row: Mapping[str, Any], where: str, beside: Path) -> StatedPair:
    pictures = [picture_in_cell(row.get(side), side, where, beside) for side in ("first", "second")]
    return StatedPair(
        where=where,
        first=pictures[0],
        second=pictures[1],
        label=_label(row),
        factors=_factors(row.get("factors")),
        rationale=_reasoning(row.get("rationale")),
        rationale_swapped=_reasoning(row.get("rationale_swapped")),
        writer=_text(row, "writer"),
        group=_text(row, "group"),
        source=_text(row, "source") or _text(row, "series"),
        licence=_text(row, "licence") or _text(row, "license"),
        split=split_in_cell(row.get("split")),
        from_people=_text(row, "label_source") in ("", "people"),
    )


def split_in_cell(value: Any) -> Split | None:
    """Return the split that a cell names (``val`` and ``validation`` are the test split); None if it is empty.

    Raises:
        InputError: the cell names something else.
    """
    name = str(value or "").strip().lower()
    if name and name not in _SPLITS:
        raise InputError(f"the split is {name!r}; give train or test, or rename the column")
    return _SPLITS.get(name)


def picture_in_cell(value: Any, side: str, where: str, beside: Path) -> StatedPicture:
    """Return the picture in a cell: a name relative to a folder, bytes, or a struct of ``bytes`` and ``path``.

    Raises:
        InputError: the cell holds none; the message names the ``side``.
    """
    if isinstance(value, Mapping):
        name, value = value.get("path"), value.get("bytes") or value.get("path")
        if isinstance(value, bytes):
            return StatedPicture(str(name or f"{where}, {side}"), data=value)
    if isinstance(value, bytes):
        return StatedPicture(f"{where}, {side}", data=value)
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{side} names no picture")
    name = value.strip()
    if name[:1] == "'" and name[1:2] in tuple("=+-@") and not _file_named(name, beside).is_file():
        name = name[1:]  # the page adds this character so that spreadsheets do not run the name as a formula
    return StatedPicture(name, path=_file_named(name, beside))


def _file_named(name: str, beside: Path) -> Path:
    """Return the file of that name. If there is none, look for the same name as other systems write it: Windows
    separates folders by a backslash, and macOS stores an accent as a separate character."""
    path = beside / name
    try:
        if path.is_file():
            return path
        slashed = name.replace("\\", "/")
        for form in ("NFC", "NFD"):
            other = beside / unicodedata.normalize(form, slashed)
            if other.is_file():
                return other
    except OSError:  # such as a name that is too long; reading the picture will report it
        return path
    return path


def _label(row: Mapping[str, Any]) -> StatedLabel:
    given = {name: row[name] for name in _LABELS if row.get(name) not in (None, "")}
    forms = sorted({"votes" if name.startswith("votes") else name for name in given})
    if len(forms) != 1:
        raise InputError(
            f"it has {' and '.join(forms) or 'no label'}; give one of winner, votes_first and votes_second, "
            "probability, delta"
        )
    if forms == ["votes"]:
        if len(given) == 1:
            raise InputError(f"it has {next(iter(given))} alone; give both counts, 0 for nobody")
        return label_of_votes(_number(given, "votes_first"), _number(given, "votes_second"))
    if forms == ["probability"]:
        return label_of_probability(_number(given, "probability"), _n_votes(row))
    if forms == ["delta"]:
        return label_of_delta(_number(given, "delta"), _n_votes(row))
    return _won(str(given["winner"]).strip(), row)


def _won(winner: str, row: Mapping[str, Any]) -> StatedLabel:
    named = [side for side in ("first", "second") if isinstance(row[side], str) and row[side].strip() == winner]
    if len(named) == 2:
        raise InputError(f"first and second are both {winner!r}")
    votes = _WINNERS.get(named[0] if named else winner.lower())
    if votes is None:
        raise InputError(f"the winner is {winner!r}; give first, second, tie, or the name of one of the two pictures")
    return StatedLabel(votes=votes)


def _n_votes(row: Mapping[str, Any]) -> int | None:
    if row.get("n_votes") in (None, ""):
        return None
    number = _number(row, "n_votes")
    if not (number.is_integer() and number >= 1):
        raise InputError(f"n_votes is {row['n_votes']!r}; give a whole number from 1, or nothing")
    return int(number)


def _number(given: Mapping[str, Any], name: str) -> float:
    try:
        return float(given[name])
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} is {given[name]!r}; give a number") from error


def _factors(value: Any) -> tuple[Factor, ...]:
    names = value if isinstance(value, list) else str(value or "").replace(",", ";").split(";")
    wanted = [str(name).strip() for name in names if str(name).strip()]
    if unknown := [name for name in wanted if name not in FACTORS]:
        raise InputError(f"the factor {unknown[0]!r} is unknown; there are {', '.join(FACTORS)}")
    return tuple(cast("Factor", name) for name in dict.fromkeys(wanted))


def _reasoning(value: Any) -> str:
    """Return the text of a cell, which may be that of our own export, with factors and winner beside the text."""
    return str((value.get("text") if isinstance(value, Mapping) else value) or "").strip()


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    return "" if value is None else str(value).strip()
