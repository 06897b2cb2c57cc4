"""Merge RED datasets into one, in two passes over their shards, with one row group of pictures in memory at a time.

The first pass finds rows that show the same photograph (:mod:`redaes.datagen.merged_photographs`). The second writes
each row with its new names, its dataset of origin and its weight; each shard that was read becomes one shard. A
photograph that any of the sets holds out is held out in the merged one, so the held-out pairs of every set stay held
out.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from redaes.datagen.merged_card import write_merged_card
from redaes.datagen.merged_photographs import MergePlan, RowNames, SetAccount
from redaes.datagen.merged_sets import MergedSet, check_not_there
from redaes.datagen.statistics import NOT_STATED, light_rows
from redaes.datagen.whole_folders import whole_folder
from redaes.file_writing import write_json
from redaes.images.near_copies import COPY_BITS
from redaes.records import PairRecord, record_of, stream_rows, write_shard
from redaes.types import SPLITS, Split

ACCOUNTS = "merged_from"
"""Folder in a merged dataset with the card and the report of each set that was merged."""

N_NAMED = 20
"""Number of pairs with unreadable pictures that the report lists for each set; the others are counted."""


def merge_datasets(
    sets: Sequence[MergedSet],
    out: Path,
    *,
    progress: Callable[[str, int, int], None] = lambda step, done, total: None,
) -> dict[str, Any]:
    """Merge datasets; ``out`` appears whole or not at all.

    Args:
        sets: the result of :func:`redaes.datagen.merged_sets.sets_to_merge`.
        out: a folder that does not exist yet.
        progress: called with the step, the number of shards done, and the number of all shards.

    Returns:
        The content of ``report.json`` of the merged dataset.

    Raises:
        RecordError: as for `MergePlan`; or ``out`` exists, is inside a set, or cannot be written to.
        MissingDependency: pyarrow or datasets is absent.
    """
    check_not_there(out, sets)
    plan = MergePlan(sets, lambda done, total: progress("reading shards", done, total))
    optional = ("merged_from", "draw_weight", *(("delta_error",) if plan.has_delta_error else ()))
    jobs = [
        (split, one, file)
        for split in SPLITS
        for one in sets
        for source_split in SPLITS
        for file in one.files(source_split)
        if split in plan.splits_of(file)
    ]
    numbers: Counter[Split] = Counter()
    with whole_folder(out) as making:
        for done, (split, one, file) in enumerate(jobs):
            progress("writing shards", done, len(jobs))
            target = making / "data" / f"{split}-{numbers[split]:05d}.parquet"
            write_shard(target, _records(one, file, split, plan), optional=optional)
            numbers[split] += 1
        progress("writing shards", len(jobs), len(jobs))
        for one in sets:
            for name in ("README.md", "report.json"):
                if (one.folder / name).is_file():
                    target = making / ACCOUNTS / one.name / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(one.folder / name, target)
        report = _report(making, sets, plan)
        write_json(making / "report.json", report)
        write_merged_card(making, report)
    return report


def _records(one: MergedSet, file: Path, split: Split, plan: MergePlan) -> Iterator[PairRecord]:
    """Yield the rows of a shard that belong to a split, as the merged dataset stores them."""
    source_split: Split = "train" if file.name.startswith("train-") else "test"
    for number, row in enumerate(stream_rows(file)):
        names = plan.names_of(file, number)
        if names is not None and names.split == split:
            yield _renamed(record_of(row, source_split), names, one)


def _renamed(record: PairRecord, names: RowNames, one: MergedSet) -> PairRecord:
    """Return the record with its new names, origin and weight; rows of a merged set keep their origin."""
    pair = record.pair.model_copy(
        update={"id": names.id, "group": names.group, "source": names.source, "split": names.split}
    )
    part = one.name if record.merged_from is None else f"{one.name}/{record.merged_from}"
    weight = one.weight * (1.0 if record.draw_weight is None else record.draw_weight)
    return record.model_copy(update={"pair": pair, "merged_from": part, "draw_weight": weight})


def _report(folder: Path, sets: Sequence[MergedSet], plan: MergePlan) -> dict[str, Any]:
    """Return the report: what came from where, counted in the shards that were written."""
    pairs: Counter[Split] = Counter()
    sources: dict[Split, set[str]] = {split: set() for split in SPLITS}
    of_set: dict[str, dict[str, dict[str, str]]] = {one.name: {"train": {}, "test": {}} for one in sets}
    labels: dict[str, Counter[str]] = {one.name: Counter() for one in sets}
    columns = ("id", "source", "licence", "label_source", "merged_from")
    for row in light_rows(folder, columns):
        name = row.values["merged_from"].partition("/")[0]
        licence = row.values["licence"] or NOT_STATED
        pairs[row.split] += 1
        sources[row.split].add(row.values["source"])
        of_set[name][row.split][row.values["source"]] = licence
        labels[name][row.values["label_source"]] += 1
    licences = {source: licence for its in of_set.values() for part in its.values() for source, licence in part.items()}
    rejected = {
        "already_in_an_earlier_set": sum(account.repeated for account in plan.accounts),
        "unreadable": sum(len(account.unreadable) for account in plan.accounts),
    }
    return {
        "pairs": {split: pairs[split] for split in SPLITS},
        "photographs": {split: len(sources[split]) for split in SPLITS},
        "rejected_photographs": [],
        "rejected_pairs": {reason: count for reason, count in rejected.items() if count},
        "licences": _counted(licences.values()),
        "merged": [
            _part(one, account, of_set[one.name], labels[one.name])
            for one, account in zip(sets, plan.accounts, strict=True)
        ],
        "copy_bits": COPY_BITS,
    }


def _part(
    one: MergedSet, account: SetAccount, sources: dict[str, dict[str, str]], labels: Counter[str]
) -> dict[str, Any]:
    """Return the report's entry for one set."""
    return {
        "name": one.name,
        "weight": one.weight,
        "data_hash": one.data_hash,
        "pairs_read": {split: account.read[split] for split in SPLITS},
        "pairs": {split: account.written[split] for split in SPLITS},
        "photographs": {split: len(sources[split]) for split in SPLITS},
        "moved_to_test": account.moved_to_test,
        "already_in_an_earlier_set": account.repeated,
        "unreadable": {"n": len(account.unreadable), "first": account.unreadable[:N_NAMED]},
        "renamed": {kind: account.renamed[kind] for kind in ("pairs", "groups", "sources")},
        "label_sources": dict(sorted(labels.items())),
        "licences": _counted([licence for part in sources.values() for licence in part.values()]),
    }


def _counted(values: Any) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))
