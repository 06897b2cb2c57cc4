"""Stars, picks, rejections and labels that a photographer gave in other programs, read from a folder of pictures.

Each folder of pictures is a series. If any picture in it has stars, stars decide, and pictures without stars are
ignored. Otherwise picks rank above, and rejections below, pictures with neither. Marks that redaes itself has written
are nobody's judgement and are ignored.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from redaes.culling.decisions import REMOVED, GivenMark, is_rejected
from redaes.culling.sidecar_names import SidecarNames
from redaes.culling.xmp import marks_of_others
from redaes.datagen.imported.rows import StatedPicture, UnusableRow
from redaes.datagen.imported.series import StatedSeries
from redaes.errors import RecordError
from redaes.images import find_pictures

_PICKED = frozenset({("PickLabel", "3"), ("pick", "1")})
_REJECTED = -1.0
_OF_WINDOWS = frozenset({25.0, 50.0, 75.0, 99.0})
"""Percentages that Windows writes for two to five stars; for one star it writes 1."""


def read_rated_folder(folder: Path, labels: Sequence[str] = ()) -> Iterator[StatedSeries | UnusableRow]:
    """Yield the series of the folder and of its subfolders.

    Args:
        folder: folder of pictures, with sidecars beside them or metadata inside.
        labels: names of ``xmp:Label``, best first; they replace stars and picks. If empty, labels are not read, because
            everybody gives them another meaning.

    Raises:
        InputError: there is no such folder, or no picture in it.
    """
    names = SidecarNames()
    by_folder: dict[Path, list[tuple[Path, list[GivenMark]]]] = {}
    for picture in find_pictures(folder).pictures:
        try:
            marks = marks_of_others(picture, names)
            if not labels:
                _stars(marks)  # raises an error if the rating is not a number of stars
        except RecordError as error:
            yield UnusableRow(str(picture.relative_to(folder)), "marks unreadable", str(error))
            continue
        by_folder.setdefault(picture.parent, []).append((picture, marks))
    for place, pictures in by_folder.items():
        levelled: list[tuple[Path, float]] = []
        with_stars = any(level > 0 for _, marks in pictures for level in _stars(marks))
        for picture, marks in pictures:
            levels = _by_label(marks, labels) if labels else _stars(marks) if with_stars else _by_pick(marks)
            if len(levels) > 1:
                what = ", ".join(sorted({f"{mark.name} {mark.value} in {mark.place.name}" for mark in marks}))
                yield UnusableRow(str(picture.relative_to(folder)), "marks contradict each other", what)
            elif levels:
                levelled.append((picture, levels.pop()))
        name = str(place.relative_to(folder))
        if len(levelled) > 1:
            yield StatedSeries(
                where=f"folder {name}",
                name=name,
                pictures=tuple(StatedPicture(str(path.relative_to(folder)), path=path) for path, _ in levelled),
                levels=tuple(level for _, level in levelled),
                equal_is_tie=False,
            )
        else:
            yield UnusableRow(f"folder {name}", "folder without two marked pictures", f"{len(pictures)} pictures")


def _stars(marks: Sequence[GivenMark]) -> set[float]:
    """Return all numbers of stars among the marks; a rejection is a lower number than any star.

    Raises:
        RecordError: a rating is not a number of stars.
    """
    found: set[float] = set()
    for mark in marks:
        if is_rejected(mark):
            found.add(_REJECTED)
        elif mark.name.lower() == "rating" and mark.value != REMOVED:
            percent = mark.value.endswith("%")
            try:
                number = float(mark.value.removesuffix("%"))
            except ValueError:
                number = math.nan
            if not (
                number == _REJECTED or 0 <= number <= 5 or (percent and 0 < number <= 100) or number in _OF_WINDOWS
            ):
                raise RecordError(
                    f"{mark.place}: the rating is {mark.value!r}, which is not a number of stars; correct it"
                )
            found.add(1 + round((number - 1) / 24.5) if percent or number > 5 else number)
    return found


def _by_pick(marks: Sequence[GivenMark]) -> set[float]:
    found = {_REJECTED for mark in marks if is_rejected(mark)}
    found |= {1.0 for mark in marks if (mark.name, mark.value) in _PICKED}
    return found or {0.0}


def _by_label(marks: Sequence[GivenMark], labels: Sequence[str]) -> set[float]:
    places = {label.lower(): float(-place) for place, label in enumerate(labels)}
    return {places[mark.value.lower()] for mark in marks if mark.name == "Label" and mark.value.lower() in places}
