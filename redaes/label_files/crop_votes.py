"""FCDB (Chen et al.: WACV 2017): pairs of crops of 3,362 photographs, each judged by five people.

``ranking_annotation.json`` is a list of photographs with ``url``, ``flickr_photo_id`` and ``crops``, ten pairs of
``crop_0`` and ``crop_1`` (left, top, width, height in pixels) with ``vote_for_0`` and ``vote_for_1``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redaes.label_files.contents import Box, LabelFault, integer, read_json_list

_KEYS = ("url", "crops")


@dataclass(frozen=True, slots=True)
class VotedCrops:
    """Two crops of one photograph."""

    where: str
    """The place of the pair in the file."""
    photograph: str
    """The last part of the photograph's address, which is the name of its file."""
    first: Box
    second: Box
    votes: tuple[int, int]
    """Votes for the first and for the second crop; there is at least one."""


def holds_crop_votes(columns: Collection[str]) -> bool:
    """Return whether a list of objects with these keys is such a list."""
    return set(_KEYS) <= set(columns)


def crop_name(photograph: str, box: Box) -> str:
    """Return the name of a crop.

    >>> crop_name("1_c.jpg", (0, 10, 300, 410))
    '1_c.jpg#0,10,300,410'
    """
    return f"{photograph}#{','.join(map(str, box))}"


def crop_votes(file: Path) -> Iterator[VotedCrops | LabelFault]:
    """Yield the pairs of a list.

    Raises:
        RecordError: the file cannot be read, or is not a list of photographs with their crops.
    """
    for entry in read_json_list(file, _KEYS):
        name = str(entry["url"]).rsplit("/", 1)[-1]
        if not isinstance(entry["crops"], list):
            yield LabelFault(name, "crops is not a list")
            continue
        for number, pair in enumerate(entry["crops"], 1):
            where = f"{name} pair {number}"
            try:
                yield _voted(pair, name, where)
            except ValueError as error:
                yield LabelFault(where, str(error))
            except (KeyError, TypeError) as error:
                yield LabelFault(where, f"a pair lacks {error}")


def _voted(pair: Any, name: str, where: str) -> VotedCrops:
    boxes = [_box(pair[f"crop_{side}"]) for side in (0, 1)]
    votes = integer(pair["vote_for_0"]), integer(pair["vote_for_1"])
    if min(votes) < 0 or sum(votes) < 1:
        raise ValueError(f"votes {votes[0]} and {votes[1]}")
    if boxes[0] == boxes[1]:
        raise ValueError(f"a pair of equal crops {pair['crop_0']}")
    return VotedCrops(where, name, boxes[0], boxes[1], votes)


def _box(given: Any) -> Box:
    if not isinstance(given, list) or len(given) != 4:
        raise ValueError(f"{given!r} is not [left, top, width, height]")
    left, top, width, height = map(integer, given)
    if min(left, top) < 0 or min(width, height) < 1:
        raise ValueError(f"{given!r} is not [left, top, width, height]")
    return (left, top, left + width, top + height)
