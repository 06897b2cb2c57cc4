"""A RED dataset whose training draws the groups with edits of one factor more often than the others.

    python benchmarks/draw_more_often.py red --factor composition --weight 2.5 --out red_weighted

A group is drawn as a whole, so all pairs of a group that holds such an edit get this ``draw_weight``. The pairs and
what is held out stay as they are, and so do the weights of other groups, where a merged dataset has some.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from redaes.records import OPTIONAL_COLUMNS, PairRecord, load_pairs, record_of, shards, stream_rows, write_shard
from redaes.types import SPLITS, Factor, Split


def groups_with(data: Path, factor: str) -> set[str]:
    """Names of the training groups in which a picture carries an edit of ``factor``."""
    found = set()
    for file in shards(data, "train"):
        for row in stream_rows(file, ["group", "edit_first", "edit_second"]):
            if any(edit and edit["factor"] == factor for edit in (row["edit_first"], row["edit_second"])):
                found.add(row["group"])
    return found


def weighted(file: Path, split: Split, chosen: set[str], weight: float) -> Iterator[PairRecord]:
    """The records of a shard; those of the groups ``chosen`` with the weight."""
    for row in stream_rows(file):
        record = record_of(row, split)
        yield record.model_copy(update={"draw_weight": weight}) if record.pair.group in chosen else record


def main() -> int:
    """Write the dataset and say how many groups are drawn more often."""
    parser = argparse.ArgumentParser(description="a RED dataset that draws groups of one factor more often")
    parser.add_argument("data", type=Path, help="RED dataset folder")
    parser.add_argument("--factor", choices=get_args(Factor), required=True)
    parser.add_argument("--weight", type=float, required=True, help="how often in an epoch, on average")
    parser.add_argument("--out", type=Path, required=True, help="a new folder for the dataset")
    args = parser.parse_args()
    if not 0 < args.weight < float("inf"):
        parser.error(f"--weight is {args.weight}; give a finite number above 0")
    if args.out.exists():
        parser.error(f"{args.out} exists already; give a new folder")
    columns = {*load_pairs(args.data, "train").column_names, "draw_weight"}
    optional = [column for column in OPTIONAL_COLUMNS if column in columns]
    chosen = groups_with(args.data, args.factor)
    part = args.out.with_name(args.out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for other in args.data.iterdir():
        if other.is_file():
            shutil.copy(other, part / other.name)
    for split in SPLITS:
        for file in shards(args.data, split):
            copy = part / file.relative_to(args.data)
            copy.parent.mkdir(parents=True, exist_ok=True)
            more = chosen if split == "train" else set()
            write_shard(copy, weighted(file, split, more, args.weight), optional=optional)
    part.rename(args.out)
    print(f"{len(chosen)} groups with edits of {args.factor} are drawn {args.weight:g} times in an epoch: {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
