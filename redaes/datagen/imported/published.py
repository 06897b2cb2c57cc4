"""Published formats of preferences, recognised by their columns and converted to rows of our own format.

=======================  ===============================================================================================
Pick-a-Pic               ``jpg_0``, ``jpg_1`` (bytes), ``label_0``, ``label_1`` (1, 0, or 0.5 for either), ``has_label``
HPDv2, training          ``file_path`` and ``human_preference``, lists of two; 1 is the preferred one
HPDv3                    ``path1``, ``path2``: the first is the preferred one; ``choice_dist``: votes for either
votes on series          ``series``, ``first``, ``second``, ``n_first``, ``n_second``, of ``redaes data series``
own pairs                ``first``, ``second`` and ``p``, of ``redaes eval pairs``
preferences of TRL       ``images`` (A, then B) and ``chosen``, an answer in redaes's form, as ``redaes data export``
                         writes it
=======================  ===============================================================================================

Sources: the cards of yuvalkirstain/pickapic_v2 and ymhao/HPDv2 on the hub; for HPDv3, other projects' readers, which
take ``path1`` for the preferred picture.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from redaes.answers import parse
from redaes.errors import InputError, ParseError

Row = Mapping[str, Any]


def _pick_a_pic(row: Row) -> dict[str, Any]:
    if row.get("has_label") is False:
        raise InputError("has_label is false: nobody has chosen")
    votes = {"votes_first": row["label_0"], "votes_second": row.get("label_1")}
    if votes["votes_second"] is None:
        votes["votes_second"] = 1 - float(row["label_0"])
    return {"first": row["jpg_0"], "second": row["jpg_1"], **votes}


def _hpd_v2(row: Row) -> dict[str, Any]:
    paths, chosen = row["file_path"], row["human_preference"]
    if not (isinstance(paths, list) and isinstance(chosen, list) and len(paths) == len(chosen) == 2):
        raise InputError("file_path and human_preference are not two lists of two")
    return {"first": paths[0], "second": paths[1], "votes_first": chosen[0], "votes_second": chosen[1]}


def _hpd_v3(row: Row) -> dict[str, Any]:
    votes = row.get("choice_dist") or [1, 0]
    if not isinstance(votes, list) or len(votes) != 2:
        raise InputError(f"choice_dist is {votes!r}; two numbers of votes are expected")
    return {"first": row["path1"], "second": row["path2"], "votes_first": votes[0], "votes_second": votes[1]}


def _preference(row: Row) -> dict[str, Any]:
    images = row["images"]
    if not isinstance(images, list) or len(images) != 2:
        n_images = len(images) if isinstance(images, list) else "no"
        raise InputError(f"{n_images} images; a comparison has two")
    try:
        verdict = parse(_said(row["chosen"]), "reasoned")
    except ParseError as error:
        raise InputError(f"chosen is not an answer in the form of redaes ({' '.join(str(error).split())})") from error
    found: dict[str, Any] = {"first": images[0], "second": images[1], "delta": verdict.delta}
    if verdict.rationale is not None:
        found |= {"rationale": verdict.rationale.text, "factors": list(verdict.rationale.factors)}
    return found


def _series_votes(row: Row) -> dict[str, Any]:
    if row["n_first"] in (None, "") and row["n_second"] in (None, ""):
        raise InputError("nobody voted: both counts are blank")
    series = {name: row.get("series") for name in ("series", "group")}
    votes = {"votes_first": row["n_first"], "votes_second": row["n_second"]}
    return {"first": row["first"], "second": row["second"], **votes, **series}


def _own_pairs(row: Row) -> dict[str, Any]:
    return {"first": row["first"], "second": row["second"], "probability": row["p"]}


def _said(chosen: Any) -> str:
    """Return the text of an answer, which may be a message, or a list of messages with the answer last."""
    if isinstance(chosen, list) and chosen:
        return _said(chosen[-1])
    if isinstance(chosen, Mapping):
        return _said(chosen.get("content", chosen.get("text")))
    return str(chosen or "")


_LAYOUTS: tuple[tuple[frozenset[str], Callable[[Row], dict[str, Any]]], ...] = (
    (frozenset({"jpg_0", "jpg_1", "label_0"}), _pick_a_pic),
    (frozenset({"file_path", "human_preference"}), _hpd_v2),
    (frozenset({"path1", "path2"}), _hpd_v3),
    (frozenset({"images", "chosen"}), _preference),
    (frozenset({"first", "second", "n_first", "n_second"}), _series_votes),
    (frozenset({"first", "second", "p"}), _own_pairs),
)
_MORE = {"label_1", "has_label", "choice_dist", "series"}
PUBLISHED_COLUMNS = frozenset().union(*(needed for needed, _ in _LAYOUTS), _MORE)
"""Columns of these formats that are read, besides those with the same name in ours (``source``, ``licence``)."""

_SAME = ("source", "group", "licence", "license", "split")


def published_layout(columns: Collection[str]) -> Callable[[Row], dict[str, Any]] | None:
    """Return a function that converts rows with these columns to ours; None if they fit no known format.

    The function raises ``InputError`` for a row that cannot be converted.
    """
    for needed, read in _LAYOUTS:
        if needed <= set(columns):

            def ours(row: Row, read: Callable[[Row], dict[str, Any]] = read) -> dict[str, Any]:
                return read(row) | {name: row[name] for name in _SAME if row.get(name)}

            return ours
    return None
