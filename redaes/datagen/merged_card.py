"""The card of a merged dataset, which says what came from where."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from redaes.datagen.card import card_header, table_row
from redaes.file_writing import write_atomically

_BODY = """# RED pairs, merged

Pairs of photographs with a signed aesthetic difference, merged by redaes from the datasets below. Their own cards and
reports are in `merged_from/`; what they say about labels and their limits applies to the pairs of that dataset.

`delta` is the score of `first` minus the score of `second` in points (scores run from 0 to 9): positive means that
`first` is better. Datasets may measure it in different ways, so differences can be compared best within one dataset.

`merged_from` names the dataset that a pair came from. `draw_weight` says how often training draws it in an epoch, on
average. A validation asks about held-out pairs once, whatever their weight.

## What came from where

| dataset | weight | train pairs | test pairs | train photographs | test photographs | moved to test | repeated | \
unreadable | hash of its shards |
|---|---|---|---|---|---|---|---|---|---|
{sets}

*Moved to test* counts pairs of a train split whose photograph is held out by one of the sets: the pictures have equal
bytes, or perceptual hashes that differ in at most {bits} of 64 bits (crops and mirror images are not found that way).
*Repeated* counts pairs that were left out because an earlier set has the same pair, and *unreadable* pairs that were
left out because a picture does not decode.

| dataset | pairs | groups | sources |
|---|---|---|---|
{renamed}

The table counts ids that an earlier dataset has too; they got the dataset's name as a prefix.

| dataset | differences come from | pairs |
|---|---|---|
{labels}

## Licences

The column `licence` of each row has its photograph's licence; what it requires applies to edited pictures too.

| dataset | licence of the photograph | photographs |
|---|---|---|
{licences}
"""


def write_merged_card(folder: Path, report: Mapping[str, Any]) -> None:
    """Write ``README.md`` of a merged dataset.

    Args:
        folder: folder of the dataset.
        report: the report by `redaes.datagen.merged_dataset.merge_datasets`.

    Raises:
        RecordError: the folder cannot be written to.
    """
    parts = report["merged"]
    sets = [
        (
            part["name"], f"{part['weight']:g}", *part["pairs"].values(), *part["photographs"].values(),
            part["moved_to_test"], part["already_in_an_earlier_set"], part["unreadable"]["n"],
            f"`{part['data_hash'][:16]}`",
        )
        for part in parts
    ]  # fmt: skip
    body = _BODY.format(
        bits=report["copy_bits"],
        sets=_table(sets),
        renamed=_table([(part["name"], *part["renamed"].values()) for part in parts]),
        labels=_table([(part["name"], *item) for part in parts for item in part["label_sources"].items()]),
        licences=_table([(part["name"], *item) for part in parts for item in part["licences"].items()]),
    )
    write_atomically(folder / "README.md", (card_header("data/{split}-*.parquet") + body).encode())


def _table(rows: list[tuple[Any, ...]]) -> str:
    return "\n".join(map(table_row, rows))
