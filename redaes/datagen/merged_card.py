"""The card of a merged dataset: what came from where."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from redaes.datagen.card import card_header, table_row
from redaes.file_writing import write_atomically

_BODY = """# RED pairs, merged

Pairs of photographs with a signed aesthetic difference, merged by redaes from the datasets below. Their own cards and
reports are in `merged_from/`; what is said there of labels and their limits holds for the pairs that came from there.

`delta` is the score of `first` minus the score of `second` in points (scores run from 0 to 9): positive means that
`first` is better. Sets may measure it by other means, so differences compare best within one set.

`merged_from` names the dataset that a pair came from. `draw_weight` says how often training draws it in an epoch, on
average; held-out pairs are asked once, whatever their weight.

## What came from where

| dataset | weight | train pairs | test pairs | train photographs | test photographs | moved to test | repeated | \
unreadable | hash of its shards |
|---|---|---|---|---|---|---|---|---|---|
{sets}

*Moved to test*: pairs of a train split whose photograph another set, or the same, holds out: equal bytes, or perceptual
hashes that differ in at most {bits} of 64 bits (crops and mirror images are not found that way). *Repeated*: an earlier
set has the same pair, so it was left out. *Unreadable*: a picture does not decode, so the pair was left out.

| dataset | pairs | groups | sources |
|---|---|---|---|
{renamed}

Ids that an earlier dataset has too, and that got the dataset's name before them.

| dataset | differences come from | pairs |
|---|---|---|
{labels}

## Licences

Each row carries its photograph's licence in the column `licence`; what it asks holds for edited pictures too.

| dataset | licence of the photograph | photographs |
|---|---|---|
{licences}
"""


def write_merged_card(folder: Path, report: Mapping[str, Any]) -> None:
    """Write ``README.md`` of a merged dataset.

    Args:
        folder: folder of the dataset.
        report: report of `redaes.datagen.merged_dataset.merge_datasets`.

    Raises:
        RecordError: the folder cannot be written.
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
