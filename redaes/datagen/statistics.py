"""What a dataset holds, in numbers; reads every column but the pictures."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from redaes.records import check_shard, shards, stream_rows
from redaes.types import SPLITS, TIE_MARGIN, Split

LIGHT = ("id", "delta", "factors", "group", "source", "licence")
"""Columns that are read."""

JUDGE_PREFIX = "judge_"
"""Further columns with a number and a name that begins so hold one judge's signed difference, in points."""

TIE = "tie"


@dataclass(frozen=True)
class Row:
    """A row without its pictures."""

    file: Path
    number: int
    """From 0, within the file."""
    split: Split
    values: Mapping[str, Any]

    @property
    def decided_by(self) -> str:
        """The factors, or ``tie``."""
        return ", ".join(self.values["factors"] or ()) or TIE


@dataclass(frozen=True)
class Sizes:
    """Differences of some pairs, by size."""

    pairs: int
    labelled: int
    tied: int
    first_better: int
    """Pairs, ties aside, whose first picture is better."""
    quantiles: tuple[float, float, float] | None
    """10 %, 50 % and 90 % of the size of the difference in points, ties aside; None: there are none."""


@dataclass(frozen=True)
class Agreement:
    """How far one judge agrees with the label."""

    judge: str
    pairs: int
    """Labelled pairs, ties aside, on which the judge has a number."""
    same_sign: float | None
    """Share of them with the label's sign; None: there are none."""


@dataclass(frozen=True)
class Statistics:
    """What a dataset holds."""

    by_split: Mapping[Split, Sizes]
    by_factor: Mapping[str, Sizes]
    deltas: Mapping[Split, tuple[float, ...]]
    """Labelled differences in points."""
    licences: Mapping[str, int]
    """Photographs per licence."""
    agreement: tuple[Agreement, ...]


def light_rows(folder: Path) -> Iterator[Row]:
    """All rows without pictures, split by split.

    Raises:
        RecordError: no RED dataset, or a shard that cannot be read.
    """
    for split in SPLITS:
        for file in shards(folder, split):
            judges = [name for name in check_shard(file).names if name.startswith(JUDGE_PREFIX)]
            for number, values in enumerate(stream_rows(file, [*LIGHT, *judges])):
                yield Row(file, number, split, values)


def statistics(folder: Path) -> Statistics:
    """Count a dataset.

    Raises:
        RecordError: no RED dataset, or a shard that cannot be read.
    """
    by_split: dict[Split, list[float | None]] = {split: [] for split in SPLITS}
    by_factor: defaultdict[str, list[float | None]] = defaultdict(list)
    licences: dict[str, str] = {}
    votes: defaultdict[str, list[bool]] = defaultdict(list)
    for row in light_rows(folder):
        delta = row.values["delta"]
        by_split[row.split].append(delta)
        by_factor[row.decided_by].append(delta)
        licences[row.values["source"]] = row.values["licence"] or "not stated"
        for name, vote in row.values.items():
            if not name.startswith(JUDGE_PREFIX):
                continue
            judge = votes[name.removeprefix(JUDGE_PREFIX)]
            if isinstance(vote, int | float) and delta is not None and abs(delta) >= TIE_MARGIN:
                judge.append(vote * delta > 0)
    return Statistics(
        by_split={split: _sizes(deltas) for split, deltas in by_split.items()},
        by_factor={name: _sizes(by_factor[name]) for name in sorted(by_factor)},
        deltas={split: tuple(d for d in deltas if d is not None) for split, deltas in by_split.items()},
        licences=dict(sorted(Counter(licences.values()).items())),
        agreement=tuple(
            Agreement(name, len(found), sum(found) / len(found) if found else None)
            for name, found in sorted(votes.items())
        ),
    )


def _sizes(deltas: Sequence[float | None]) -> Sizes:
    labelled = [delta for delta in deltas if delta is not None and math.isfinite(delta)]
    decided = [delta for delta in labelled if abs(delta) >= TIE_MARGIN]
    low, middle, high = np.quantile(np.abs(decided), (0.1, 0.5, 0.9)) if decided else (0.0, 0.0, 0.0)
    return Sizes(
        pairs=len(deltas),
        labelled=len(labelled),
        tied=len(labelled) - len(decided),
        first_better=sum(delta > 0 for delta in decided),
        quantiles=(float(low), float(middle), float(high)) if decided else None,
    )
