"""The card of an imported dataset."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from redaes.datagen.card import card_header, table_rows
from redaes.datagen.series.votes import PSEUDO_COUNT
from redaes.file_writing import write_atomically
from redaes.types import TAU

_BODY = """# Pairs judged by people

Pairs of pictures with a signed difference, imported by redaes from `{origin}`.

`delta` is the score of `first` minus the score of `second` in points (scores run from 0 to 9): positive means that
`first` is better. Votes were converted to points by Δ = τ Φ⁻¹(p) with τ = {tau:g}, where p is the share of votes with
{prior:g} added to both sides, so that unanimous votes are finite. `n_votes` is the number of votes, where they were
counted. Points or probabilities that the list stated are as stated. Where the list was an order, every two pictures at
different places counted as one vote; a Bradley-Terry model of the series combined these votes, and neighbours within
0.05 of even are left out. Which picture is `first` follows from the pair's id, and says nothing about the pictures.

{split_rule}

| split | photographs or sets of them | pairs |
|---|---|---|
{splits}

| decided by | pairs |
|---|---|
{kept}

| reasoning | pairs |
|---|---|
{rationales}

{disputed} pairs have unequal votes for both pictures; {circles} triples of pictures are preferred in a circle.

| row left out because | rows |
|---|---|
{rejected}

`left_out.csv` names each of these rows. {written_anew} pictures were stored anew as JPEG, because they were larger than
the size at which redaes reads pictures, were neither JPEG, PNG nor WebP, or are crops. The others are stored as they
were given, with their metadata. What their licences require applies to this dataset too.

| licence | pairs |
|---|---|
{licences}
"""

_AS_STATED = (
    "The splits are those of the list; but every pair that shares a picture, a near copy of one, or a source with a "
    "held-out pair is held out too."
)
_BY_SET = "Pairs that share a picture, a near copy of one, or a stated source are in one split."
_BY_PHOTOGRAPH = (
    "Nearly all pairs are connected with each other, so photographs were held out instead of pairs, and the pairs of a "
    "held-out photograph and another are left out. No photograph, and no near copy of one, is in both splits."
)


def write_import_card(folder: Path, report: Mapping[str, Any]) -> None:
    """Write the ``README.md`` of an imported dataset.

    Raises:
        RecordError: the folder cannot be written to.
    """
    body = _BODY.format(
        origin=report["origin"],
        tau=TAU,
        prior=PSEUDO_COUNT,
        split_rule=_AS_STATED
        if report["splits_stated"]
        else _BY_PHOTOGRAPH
        if report["photographs_divided"]
        else _BY_SET,
        splits="\n".join(f"| {split} | {report['photographs'][split]} | {n} |" for split, n in report["pairs"].items()),
        kept=table_rows(report["kept_by_factor"]),
        rationales=table_rows(report["rationales"]),
        disputed=report["votes"]["disputed_pairs"],
        circles=report["votes"]["circular_triples"],
        rejected=table_rows(report["rejected_pairs"]),
        written_anew=report["pictures"]["written_anew"],
        licences=table_rows(report["licences"]),
    )
    write_atomically(folder / "README.md", (card_header("data/{split}-*.parquet") + body).encode())
