"""Lists of series: orders, ranks, scores, and the decisions that the page saves.

===================  ==================================================================================================
scores               ``image`` with ``score`` or ``gt_score``, best highest
ranks                ``image`` with ``rank``, 1 is the best
decisions            ``name`` (or ``image``) with ``decision``: ``pick``, ``reject`` or nothing; the page's own file
rankings             ``image``, ``rank`` and ``prompt_id``, the columns of ImageRewardDB; or the lists
                     ``image_path`` and ``rank`` of the test split of HPDv2; 1 is the best
orders               JSON: ``order``, a list of pictures, best first, with equal ones in an inner list; or ``images``
                     and ``scores``, as ``redaes data series`` writes them
===================  ===================================================================================================

Columns ``series``, ``source``, ``licence`` and ``split`` are optional; a list without ``series`` is one series.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from redaes.datagen.imported.rows import StatedPicture, UnusableRow, picture_in_cell, split_in_cell
from redaes.datagen.imported.series import StatedSeries
from redaes.datagen.imported.tables import list_rows
from redaes.errors import InputError
from redaes.types import Split

_SCORES = ("score", "gt_score")
_DECIDED = {"pick": 1.0, "": 0.0, "reject": -1.0}
COLUMNS = frozenset(
    {
        "image",
        "name",
        *_SCORES,
        "rank",
        "decision",
        "series",
        "source",
        "licence",
        "license",
        "split",
        "order",
        "images",
        "prompt_id",
        "image_path",
        "scores",
    }
)
"""Columns that are read; the report names all others."""


def holds_series(columns: Sequence[str]) -> bool:
    """Return whether a list with these columns holds series."""
    known = set(columns)
    listed = "decision" in known or bool({*_SCORES, "rank"} & known)
    whole = "order" in known or {"images", "scores"} <= known or {"image_path", "rank"} <= known
    return whole or (bool({"image", "name"} & known) and listed)


def read_series_list(
    file: Path, *, pictures: Path | None = None, encoding: str = "utf-8-sig", unread: set[str] | None = None
) -> Iterator[StatedSeries | UnusableRow]:
    """Yield the series of a list; series with a row for each picture are yielded after all rows are read.

    Args:
        file: a file that ends in one of :data:`redaes.datagen.imported.tables.LISTS`.
        pictures: folder to which picture names are relative; None means that of the list.
        encoding: encoding of text files.
        unread: a set to which the names of columns that are not read are added.

    Raises:
        InputError: the list cannot be read.
        MissingDependency: pyarrow is absent.
    """
    beside = file.parent if pictures is None else pictures
    members: dict[tuple[str, Split | None], list[tuple[StatedPicture, float]]] = {}
    forms: set[str] = set()
    for where, row in list_rows(file, encoding, COLUMNS):
        if not isinstance(row, Mapping):
            yield UnusableRow(where, "row is not readable", str(row))
            continue
        if unread is not None:
            unread.update(str(name) for name in row if name not in COLUMNS)
        try:
            if "order" in row or "images" in row or isinstance(row.get("image_path"), list):
                yield _whole_series(row, where, beside)
                continue
            form, level = _level(row)
            given = row.get("image") or row.get("name") or row.get("image_path")
            decided = form == "decision"
            picture = picture_in_cell(given, "name" if decided else "image", where, beside)
            now = _told(row)
        except InputError as error:
            yield UnusableRow(where, "row says nothing usable", str(error))
            continue
        forms.add(form)
        name = str(row.get("series") or row.get("prompt_id") or file.stem)
        # The split is part of the key, so that no pair is made across the splits that a list states.
        members.setdefault((name, now.split), []).append(
            (replace(picture, source=now.source, licence=now.licence), level)
        )
    if len(forms) > 1:
        raise InputError(f"{file} has {' and '.join(sorted(forms))} in its rows; give one of them")
    for (name, split), found in members.items():
        yield StatedSeries(
            where=f"{file.name} series {name}",
            name=name,
            pictures=tuple(picture for picture, _ in found),
            levels=tuple(level for _, level in found),
            equal_is_tie="decision" not in forms,
            split=split,
        )


class _Told(NamedTuple):
    """What a row says about its series besides the order."""

    source: str = ""
    licence: str = ""
    split: Split | None = None


def _told(row: Mapping[str, Any]) -> _Told:
    licence = str(row.get("licence") or row.get("license") or "")
    return _Told(str(row.get("source") or ""), licence, split_in_cell(row.get("split")))


def _level(row: Mapping[str, Any]) -> tuple[str, float]:
    """Return the kind of value in a row, and the level of its picture by that value; a higher level is better."""
    if "decision" in row:
        decision = str(row["decision"] or "").strip().lower()
        if decision not in _DECIDED:
            raise InputError(f"the decision is {decision!r}; give pick, reject or nothing")
        return "decision", _DECIDED[decision]
    given = [name for name in (*_SCORES, "rank") if row.get(name) not in (None, "")]
    if len(given) != 1:
        raise InputError(f"it has {' and '.join(given) or 'no score and no rank'}; give one of score and rank")
    value = _finite(row[given[0]], given[0])
    return ("rank", -value) if given[0] == "rank" else ("score", value)


def _finite(value: Any, what: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{what} is {value!r}; give a number") from error
    if not math.isfinite(number):
        raise InputError(f"{what} is {value!r}; give a finite number")
    return number


def _whole_series(row: Mapping[str, Any], where: str, beside: Path) -> StatedSeries:
    told = _told(row)
    if "order" in row:
        steps = row["order"]
        if not isinstance(steps, list):
            raise InputError("order is not a list")
        groups = [step if isinstance(step, list) else [step] for step in steps]
        levelled = [(name, float(-place)) for place, group in enumerate(groups) for name in group]
    elif "images" not in row:
        names, ranks = row["image_path"], row.get("rank")
        if not isinstance(ranks, list) or len(names) != len(ranks):
            raise InputError("image_path and rank are not two lists of one length")
        levelled = [(name, -_finite(rank, "a rank")) for name, rank in zip(names, ranks, strict=True)]
    else:
        names, scores = row["images"], row.get("scores")
        if not isinstance(names, list) or not isinstance(scores, list) or len(names) != len(scores):
            raise InputError("images and scores are not two lists of one length")
        levelled = [(name, _finite(score, "a score")) for name, score in zip(names, scores, strict=True)]
    return StatedSeries(
        where=where,
        name=str(row.get("series") or row.get("id") or where),
        pictures=tuple(picture_in_cell(name, "image", where, beside) for name, _ in levelled),
        levels=tuple(level for _, level in levelled),
        equal_is_tie=True,
        source=told.source,
        licence=told.licence,
        split=told.split,
    )
