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
`first` is better. Votes became points by Δ = τ Φ⁻¹(p) with τ = {tau:g}, and p the share of votes with {prior:g} added
to both sides, so that unanimous votes are finite; `n_votes` is their number, where they were counted. Where the list
stated points or probabilities, they are as stated. Where it was an order, each two pictures on different places were
one vote, put together by a Bradley-Terry model of the series, and neighbours within 0.05 of even are left out. Which
picture is `first` follows from the pair's id, and says nothing.

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

{disputed} pairs have votes for either picture that are not equal; {circles} triples go round in circles.

| row left out because | rows |
|---|---|
{rejected}

`left_out.csv` names each of them. {written_anew} pictures are stored as JPEG, because they were larger than what is
read of them, or neither JPEG, PNG nor WebP, or because they are crops; the others are as they were given, metadata and
all. What their licences ask holds for this dataset too.

| licence | pairs |
|---|---|
{licences}
"""

_AS_STATED = (
    "The splits are those of the list; what shares a picture, a near copy of one, or a source with anything held out "
    "is held out too."
)
_BY_SET = "Pairs that share a picture, a near copy of one, or a stated source are in one split."
_BY_PHOTOGRAPH = (
    "Nearly all pairs are connected by shared pictures, so photographs were held out, and the pairs between a "
    "held-out photograph and another are left out. No photograph, and no near copy of one, is in both splits."
)


def write_import_card(folder: Path, report: Mapping[str, Any]) -> None:
    """Write ``README.md``.

    Raises:
        RecordError: the folder cannot be written.
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
