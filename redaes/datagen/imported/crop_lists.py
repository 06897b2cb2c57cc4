"""Pairs of crops of one photograph, as FCDB publishes them: ``ranking_annotation.json``, a list of photographs with
``url`` and ``crops``, each of these with ``crop_0``, ``crop_1`` (left, top, width, height in pixels), ``vote_for_0``
and ``vote_for_1``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from redaes.datagen.imported.labels import label_of_votes
from redaes.datagen.imported.rows import StatedPair, StatedPicture, UnusableRow
from redaes.datagen.imported.tables import list_rows
from redaes.errors import InputError


def holds_crops(columns: Collection[str]) -> bool:
    """Whether a list with these columns is one of pairs of crops."""
    return {"url", "crops"} <= set(columns)


def read_crop_list(
    file: Path, *, pictures: Path | None = None, encoding: str = "utf-8-sig"
) -> Iterator[StatedPair | UnusableRow]:
    """The pairs of a list; crops of one photograph are of one source.

    Args:
        file: the list.
        pictures: folder of the photographs, named as the end of their ``url``; None: that of the list.
        encoding: of the list.

    Raises:
        InputError: it cannot be read.
    """
    folder = file.parent if pictures is None else pictures
    for where, row in list_rows(file, encoding):
        pairs = row.get("crops") if isinstance(row, Mapping) else None
        if not isinstance(pairs, list) or not isinstance(row.get("url"), str):
            yield UnusableRow(where, "row is not readable", "it has no url with a list of crops")
            continue
        name = row["url"].rsplit("/", 1)[-1]
        for number, pair in enumerate(pairs, 1):
            place = f"{where} pair {number}"
            try:
                yield StatedPair(
                    where=place,
                    first=_crop(pair["crop_0"], name, folder),
                    second=_crop(pair["crop_1"], name, folder),
                    label=label_of_votes(float(pair["vote_for_0"]), float(pair["vote_for_1"])),
                    group=name,
                    source=name,
                )
            except (InputError, KeyError, TypeError, ValueError) as error:
                yield UnusableRow(place, "row says nothing usable", f"{type(error).__name__}: {error}")


def _crop(box: Any, name: str, folder: Path) -> StatedPicture:
    left, top, width, height = (int(side) for side in box)
    if min(left, top) < 0 or min(width, height) < 1:
        raise InputError(f"the crop {box} is no left, top, width and height")
    window = (left, top, left + width, top + height)
    return StatedPicture(f"{name}#{','.join(map(str, window))}", path=folder / name, box=window)
