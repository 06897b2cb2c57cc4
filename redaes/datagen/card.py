"""The dataset card, for the viewer of the Hugging Face hub and for readers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from redaes.datagen.statistics import Sizes, statistics
from redaes.file_writing import write_atomically
from redaes.records import data_hash
from redaes.types import SPLITS, Split

_HEADER = """---
language:
- en
license: other
license_name: per-photograph
configs:
- config_name: default
  data_files:
  - split: train
    path: {train}
  - split: test
    path: {test}
task_categories:
- image-text-to-text
tags:
- image-aesthetics
- preference
---
"""

_BODY = """# RED pairs

Pairs of photographs that differ by an edit, with a signed aesthetic difference and the reasoning for it.
Made by redaes with the editor `{editor}`.

`delta` is the score of `first` minus the score of `second` in points (scores run from 0 to 9): positive means
that `first` is better. With the embedded editor it comes from what people said about such distortions (KADID-10k)
and from how much each picture changed, or from an argument where no people were asked. Pairs whose order this does not
settle are left out. No person has judged these pictures: `delta` is **not calibrated to human scores** of them.

All pairs of one photograph are in one split. A `group` is one view of a photograph with all its edits.
In `rationale` the picture `first` is A, in `rationale_swapped` the picture `second` is A.

## What it holds

| split | photographs | pairs | ties | `first` better | size of `delta`: 10 % | median | 90 % |
|---|---|---|---|---|---|---|---|
{splits}

The sizes are in points; ties are left out.

| decided by | pairs | size of `delta`: 10 % | median | 90 % |
|---|---|---|---|---|
{kept}

| rejected because | count |
|---|---|
{rejected}

## Licences

The column `licence` of each row has its photograph's licence. The edited pictures are derived works: what the licence
requires (attribution, share alike, no derivatives) applies to them too.

| licence of the photograph | photographs |
|---|---|
{licences}

{limits}

The dataset was built with these settings: {settings}
"""

_LIMITS = """## Known limits

* The labels come from known edits and a measured distance. No person judged these pairs.
* Every fault is one that the editor can make, and the same editor made both splits. A model that does well on the
  held-out photographs may fail on other kinds of faults, which it has not seen.
* Differences can be compared best within one operation, less well between operations, and hardly between photographs.
* The reasoning is written by templates, from measurements and the known edit. It is true, but its language is poor.
* A photograph's own faults are not labelled: the reference of a group is used as it is."""

_FORMS = {
    "preference": (
        "data/{split}-*.parquet",
        "The files hold TRL's preference view: `prompt` (a chat with two picture slots), `images` (A, then B), "
        "`chosen` (the right answer), `rejected` (the same pair's answer for the other order, which is wrong here). "
        "Ties are left out.",
    ),
    "jsonl": (
        "{split}.jsonl",
        "The files have one JSON object per pair. `first` and `second` are paths of pictures, each stored once under "
        "its SHA-256.",
    ),
    "csv": (
        "pairs.csv",
        "The file is one table for `redaes data import` and spreadsheets. `first` and `second` are paths of pictures, "
        "each stored once under its SHA-256. Rows whose votes by people were counted have `votes_first` and "
        "`votes_second`; the others have `delta`.",
    ),
    "webdataset": (
        "{split}-*.tar",
        "The files are WebDataset shards with `ID.first.jpg`, `ID.second.jpg` and `ID.json` for each pair.",
    ),
}

_EXPORT = """# RED pairs, exported as {kind}

{about}

`delta` is the score of the first picture minus that of the second in points; positive means that the first is better.
It is **not calibrated to human scores**. Made by redaes from a dataset whose shards hash to `{data}`.

| split | examples |
|---|---|
{splits}

## Licences

Each example has its photograph's licence; what it requires applies to the edited pictures too.

| licence of the photograph | photographs |
|---|---|
{licences}

{limits}
"""


def table_rows(table: Mapping[Any, Any]) -> str:
    """Return the rows of a Markdown table with two columns."""
    return "\n".join(map(table_row, table.items())) or "| – | 0 |"


def table_row(cells: Iterable[Any]) -> str:
    """Return a row of a Markdown table; characters in its cells that would break the table are replaced.

    >>> print(table_row(["CC-BY | mine\\n# all of it", 3]))
    | CC-BY \\| mine # all of it | 3 |
    """
    return f"| {' | '.join(' '.join(str(cell).replace('|', chr(92) + '|').split()) for cell in cells)} |"


def _quantiles(sizes: Sizes) -> str:
    return " | ".join("–" if sizes.quantiles is None else f"{value:.2f}" for value in sizes.quantiles or (0.0,) * 3)


def card_header(pattern: str) -> str:
    """Return the metadata of a card, which names the files of each split.

    Args:
        pattern: pattern of the files' names, in which ``{split}`` stands for the split.
    """
    return _HEADER.format(**{split: pattern.format(split=split) for split in SPLITS})


def write_card(folder: Path, report: dict[str, Any], *, settings: dict[str, Any], editor: str) -> None:
    """Write the ``README.md`` of a dataset whose shards are already written.

    Raises:
        RecordError: a shard cannot be read, or the folder cannot be written to.
    """
    found = statistics(folder)
    splits = "\n".join(
        f"| {split} | {report['photographs'][split]} | {sizes.pairs} | {sizes.tied} "
        f"| {sizes.first_better} | {_quantiles(sizes)} |"
        for split, sizes in found.by_split.items()
    )
    kept = "\n".join(f"| {name} | {sizes.pairs} | {_quantiles(sizes)} |" for name, sizes in found.by_factor.items())
    body = _BODY.format(
        editor=editor,
        splits=splits,
        kept=kept,
        rejected=table_rows(report["rejected_pairs"]),
        licences=table_rows(report["licences"]),
        limits=_LIMITS,
        settings=", ".join(f"{name} = {value}" for name, value in settings.items()),
    )
    write_atomically(folder / "README.md", (card_header("data/{split}-*.parquet") + body).encode())


def write_export_card(out: Path, folder: Path, kind: str, written: Mapping[Split, int]) -> None:
    """Write the ``README.md`` of an export.

    Args:
        out: folder of the export.
        folder: the dataset from which it was made.
        kind: format of the export, a key of ``redaes.datagen.export.WRITERS``.
        written: number of examples in each split.

    Raises:
        RecordError: ``out`` cannot be written to.
    """
    pattern, about = _FORMS[kind]
    body = _EXPORT.format(
        kind=kind,
        about=about,
        data=data_hash(folder),
        splits=table_rows(written),
        licences=table_rows(statistics(folder).licences),
        limits=_LIMITS,
    )
    write_atomically(out / "README.md", (card_header(pattern) + body).encode())
