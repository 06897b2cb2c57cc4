"""The files of a source (a list, or the lists of a folder or of a dataset on the hub), and which are held out."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from redaes.datagen.imported.crop_lists import SCORES_ENDING
from redaes.datagen.imported.numbered_lists import ENDING
from redaes.datagen.imported.rows import split_in_cell
from redaes.datagen.imported.tables import LISTS
from redaes.errors import InputError
from redaes.hub import dataset_files, on_hub
from redaes.series_records import CATEGORIES, LABEL_SPLITS
from redaes.types import Split

_BY_NAME = ("pairs.csv", "ranking_annotation.json", f"imdb_GAIC1000{SCORES_ENDING}")
_NUMBERED = re.compile(rf"(?:(\w+)_pairlist|({'|'.join(CATEGORIES)})_(?:{'|'.join(LABEL_SPLITS)})){re.escape(ENDING)}")


@dataclass(frozen=True)
class SourceFiles:
    """The files of a source."""

    files: tuple[Path, ...]
    """The lists, or one folder of rated pictures."""
    splits: tuple[Split | None, ...]
    """The split of each file, if their names say which are trained on and which are held out; otherwise None."""
    licence: str = ""
    """Licence in the dataset's card; empty if there is none."""


def find_source(source: Path) -> SourceFiles:
    """Return the files of a source.

    Args:
        source: a list; ``hf:owner/name`` as :func:`redaes.hub.dataset_files` takes it, whose Parquet files, or those
            that a pattern picks, are taken; or a folder of Parquet or Arrow files as datasets saves them, of an export
            by ``redaes data export``, of label files as their owners publish them, or of rated pictures.

    Raises:
        InputError: there is no such source, or a folder has several lists and none can be preferred.
        MissingDependency: huggingface_hub is absent.
    """
    if on_hub(source):
        ending = source.suffix.lower()
        files, licence = dataset_files(source, (ending,) if ending in (*LISTS, ENDING) else (".parquet",))
        return SourceFiles(tuple(files), _splits(files), licence)
    if not source.exists():
        raise InputError(f"{source}: no such file or folder; check the spelling")
    files = _lists_in(source) if source.is_dir() else []
    return SourceFiles(tuple(files or [source]), _splits(files) if files else (None,))


def _lists_in(folder: Path) -> list[Path]:
    for pattern in ("**/*.parquet", "**/data-*.arrow", "*.tar"):
        if found := sorted(folder.glob(pattern)):
            return found
    if found := [file for file in sorted(folder.glob("*.jsonl")) if file.stem in LABEL_SPLITS]:
        return found
    numbered = {file: match for file in sorted(folder.glob(f"*{ENDING}")) if (match := _NUMBERED.fullmatch(file.name))}
    if len({match.group(2) for match in numbered.values()}) > 1:
        raise InputError(
            f"{folder} has lists of several categories, whose pictures have the same names; give each category a folder"
        )
    return list(numbered) or [file for name in _BY_NAME if (file := folder / name).is_file()]


def _splits(files: Iterable[Path]) -> tuple[Split | None, ...]:
    """Return the split of each file, as its name or that of its folder states it, if both splits are stated."""
    parts = [file.parts for file in files]
    common = next((n for n, same in enumerate(zip(*parts, strict=False)) if len(set(same)) > 1), 0)
    splits = [_split_of(names[common:]) for names in parts]
    return tuple(splits) if {"train", "test"} <= set(splits) else (None,) * len(splits)


def _split_of(names: Iterable[str]) -> Split | None:
    found: set[Split] = set()
    for word in (word for name in names for word in re.split(r"[^a-z]+", name.lower())):
        try:
            split = split_in_cell(word)
        except InputError:
            continue
        if split is not None:
            found.add(split)
    return found.pop() if len(found) == 1 else None
