"""Statistics of a dataset, from all columns except the pictures."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from redaes.errors import RecordError
from redaes.records import shards, stream_rows
from redaes.types import SPLITS, TIE_MARGIN, Agreement, Split, winner_of

LIGHT = ("id", "delta", "factors", "group", "source", "licence", "agreement")
"""Columns that are read."""

TIE = "tie"
NOT_STATED = "not stated"
"""Text in place of the deciding factors if only the better side of a pair is known."""
MOSTLY = 0.75


@dataclass(frozen=True)
class Row:
    """A row without its pictures."""

    file: Path
    number: int
    """Number of the row, from 0, within the file."""
    split: Split
    values: Mapping[str, Any]

    @property
    def decided_by(self) -> str:
        """The deciding factors, ``tie``, or that the factors are not stated."""
        tie = winner_of(self.values["delta"] or 0.0) == "tie"
        return ", ".join(self.values["factors"] or ()) or (TIE if tie else NOT_STATED)


@dataclass(frozen=True)
class Sizes:
    """Differences of some pairs, by size."""

    pairs: int
    labelled: int
    tied: int
    first_better: int
    """Number of pairs, ties aside, whose first picture is better."""
    quantiles: tuple[float, float, float] | None
    """10 %, 50 % and 90 % quantiles of the size of the difference in points, ties aside; None if there are none."""


@dataclass(frozen=True)
class PanelAgreement:
    """How far the judges of the judged pairs agree."""

    judges: tuple[str, ...]
    """Names of all judges that judged any pair."""
    pairs: int
    unanimous: int
    """Number of pairs on whose better side all judges agree."""
    mostly: int
    """Number of other pairs on which less than a quarter of the judges disagree with the majority."""
    spread: float
    """Median distance of the answers from their common difference, in points."""
    failed: int
    """Number of unusable answers."""


@dataclass(frozen=True)
class Statistics:
    """Statistics of a dataset."""

    by_split: Mapping[Split, Sizes]
    by_factor: Mapping[str, Sizes]
    deltas: Mapping[Split, tuple[float, ...]]
    """Labelled differences in points."""
    licences: Mapping[str, int]
    """Number of photographs for each licence."""
    judged: PanelAgreement | None
    """Agreement of the panel; None if no pair was judged, because all were measured."""


def light_rows(folder: Path, columns: Sequence[str] = LIGHT) -> Iterator[Row]:
    """Yield all rows without pictures, split by split.

    Args:
        folder: the dataset.
        columns: names of the columns that are read.

    Raises:
        RecordError: the folder is not a RED dataset, or a shard cannot be read.
    """
    for split in SPLITS:
        for file in shards(folder, split):
            for number, values in enumerate(stream_rows(file, columns)):
                yield Row(file, number, split, values)


def statistics(folder: Path) -> Statistics:
    """Return the statistics of a dataset.

    Raises:
        RecordError: the folder is not a RED dataset, or a shard cannot be read.
    """
    by_split: dict[Split, list[float | None]] = {split: [] for split in SPLITS}
    by_factor: defaultdict[str, list[float | None]] = defaultdict(list)
    licences: dict[str, str] = {}
    agreements: list[Agreement] = []
    for row in light_rows(folder):
        delta = row.values["delta"]
        by_split[row.split].append(delta)
        by_factor[row.decided_by].append(delta)
        licences[row.values["source"]] = row.values["licence"] or "not stated"
        if row.values["agreement"] is not None:
            try:
                agreements.append(Agreement.model_validate(row.values["agreement"]))
            except ValidationError as error:
                raise RecordError(f"row {row.values['id']!r} breaks the schema: {error}; see validate") from error
    return Statistics(
        by_split={split: _sizes(deltas) for split, deltas in by_split.items()},
        by_factor={name: _sizes(by_factor[name]) for name in sorted(by_factor)},
        deltas={split: tuple(d for d in deltas if d is not None) for split, deltas in by_split.items()},
        licences=dict(sorted(Counter(licences.values()).items())),
        judged=_judged(agreements) if agreements else None,
    )


def _judged(agreements: Sequence[Agreement]) -> PanelAgreement:
    """Return the panel's agreement over at least one pair."""
    shares = [agreement.sign_agreement for agreement in agreements]
    return PanelAgreement(
        judges=tuple(sorted({judge for agreement in agreements for judge in agreement.judges})),
        pairs=len(agreements),
        unanimous=sum(share == 1.0 for share in shares),
        mostly=sum(MOSTLY < share < 1.0 for share in shares),
        spread=float(np.median([agreement.spread for agreement in agreements])),
        failed=sum(agreement.n_failed for agreement in agreements),
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
