"""Which datasets are merged, under which names and with which weights. Datasets that cannot be merged are refused."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from redaes.errors import InputError, RecordError
from redaes.records import check_columns, data_hash, shards
from redaes.types import SPLITS, Split


@dataclass(frozen=True)
class MergedSet:
    """One of the datasets that are merged."""

    name: str
    """Name of its folder, with characters replaced that ids cannot hold; a number distinguishes equal names."""
    folder: Path
    weight: float
    """How often each of its pairs is drawn in an epoch, on average."""
    data_hash: str

    def files(self, split: Split) -> list[Path]:
        """Return the shards of a split, in order."""
        return shards(self.folder, split)


def weights_of(given: Sequence[str | float], n_sets: int) -> list[float]:
    """Return the weights, one for each set; if none are given, each is 1.

    Raises:
        InputError: there is not one weight for each set, or a weight is not a finite number above 0.
    """
    if not given:
        return [1.0] * n_sets
    found = []
    for value in given:
        try:
            number = float(value)
        except ValueError as error:
            raise InputError(
                f"weight {value!r} is not a number; give one number for each dataset, such as 2 or 0.5"
            ) from error
        if not math.isfinite(number) or number <= 0:
            raise InputError(f"weight {value} must be a finite number above 0; leave out a dataset that is not wanted")
        found.append(number)
    if len(found) != n_sets:
        raise InputError(f"{len(found)} weights for {n_sets} datasets; give one for each, in their order")
    return found


def sets_to_merge(folders: Sequence[Path], weights: Sequence[str | float] = ()) -> list[MergedSet]:
    """Return the datasets with their names and weights, in the order given.

    Args:
        folders: RED datasets, two or more.
        weights: one for each; if empty, each is 1.

    Raises:
        InputError: there are fewer than two sets, a set is given twice, or a weight is wrong (:func:`weights_of`).
        RecordError: a folder is not a RED dataset, lacks a split, or has a shard that cannot be read or differs in
            schema.
        MissingDependency: pyarrow is absent.
    """
    if len(folders) < 2:
        raise InputError(f"{len(folders)} dataset cannot be merged; give two or more")
    numbers = weights_of(weights, len(folders))
    places: dict[Path, Path] = {}
    contents: dict[str, Path] = {}
    names: set[str] = set()
    found = []
    for folder, weight in zip(folders, numbers, strict=True):
        place = folder.resolve()
        if place in places:
            raise InputError(f"{folder} is given twice (as {places[place]}); raise its weight to draw it more often")
        places[place] = folder
        for split in SPLITS:
            for file in shards(folder, split):
                check_columns(file)
        digest = data_hash(folder)
        if digest in contents:
            raise InputError(
                f"{folder} holds the same pairs as {contents[digest]}; give one of them, with a higher weight"
            )
        contents[digest] = folder
        name = _free_name(folder.resolve().name, names)
        names.add(name)
        found.append(MergedSet(name, folder, weight, digest))
    return found


def _free_name(wanted: str, taken: set[str]) -> str:
    """Return the name without characters that ids and archive members cannot hold, with a number if it is taken."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", wanted).strip("-") or "set"
    name, number = plain, 1
    while name in taken:
        number += 1
        name = f"{plain}-{number}"
    return name


def check_not_there(out: Path, sets: Sequence[MergedSet]) -> None:
    """Refuse an output folder that exists or is inside one of the sets.

    Raises:
        RecordError: the output folder cannot be used; the message names it.
    """
    if out.exists() or out.is_symlink():
        raise RecordError(f"{out} exists; choose another --out, nothing is overwritten")
    for one in sets:
        if one.folder.resolve() in out.resolve().parents:
            raise RecordError(f"{out} lies in {one.folder}, which is merged; choose another --out")
