"""Draw the rows of an epoch if rows have weights (``draw_weight`` of a merged dataset).

A weight is how often a row occurs in an epoch, on average: 1: once, 2: twice, 0.5: in every other epoch. Draws depend
on ``(seed, epoch)`` alone, so a resumed run draws the same rows as an uninterrupted one, and every epoch has the same
length. No row is drawn again before all others of the same weight have been drawn as often.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import datasets
import torch

from redaes.errors import TrainingError
from redaes.records import current_shard, shards, stream_rows

COLUMN = "draw_weight"


def draw_weights(rows: datasets.Dataset) -> list[float] | None:
    """Return the weight of each row; None: each row is drawn once in an epoch, as in datasets that were not merged.

    Raises:
        TrainingError: a weight is not above 0.
    """
    if COLUMN not in rows.column_names:
        return None
    weights = [1.0 if weight is None else float(weight) for weight in rows.with_format(None)[COLUMN]]
    wrong = next((weight for weight in weights if not 0 < weight < float("inf")), None)
    if wrong is not None:
        raise TrainingError(f"a row has {COLUMN} {wrong}; give a finite number above 0, or leave the row out")
    return None if all(weight == 1.0 for weight in weights) else weights


def weights_of_parts(parts: Sequence[Sequence[int]], weights: Sequence[float] | None) -> list[float] | None:
    """Return the weight of each part, whose rows are drawn together.

    Raises:
        TrainingError: rows of a part have several weights.
    """
    if weights is None:
        return None
    found: list[float] = []
    for part in parts:
        its = {weights[row] for row in part}
        if len(its) > 1:
            raise TrainingError(
                f"rows that are drawn together have the {COLUMN}s {', '.join(map(str, sorted(its)))}; give the pairs "
                "of a group one weight"
            )
        found.extend(its)
    return found


def _shuffled(n: int, *key: int) -> list[int]:
    """Return the numbers below ``n`` in a random order that depends on the key alone."""
    mixed = 0
    for number in key:
        mixed = (mixed * 1_000_003 + number + 1) % (1 << 63)
    return torch.randperm(n, generator=torch.Generator().manual_seed(mixed)).tolist()


class WeightedRows:
    """Draw rows; those of a part stay together.

    The rows of one weight form a stream in which all occur once, part by part in random order, and then again in
    another order. Each epoch continues the stream where the previous one ended, and takes as many rows as the weight
    says. So a part is split if an epoch ends within it.

    Args:
        parts: row numbers; each row is in one part.
        weights: weight of each part.
        seed: seed of the orders.
    """

    def __init__(self, parts: Sequence[Sequence[int]], weights: Sequence[float], *, seed: int) -> None:
        by_weight: dict[float, list[Sequence[int]]] = defaultdict(list)
        for part, weight in zip(parts, weights, strict=True):
            by_weight[weight].append(part)
        self._classes = [by_weight[weight] for weight in sorted(by_weight)]
        self._quotas = [max(1, round(weight * sum(map(len, by_weight[weight])))) for weight in sorted(by_weight)]
        self._seed = seed

    def __len__(self) -> int:
        """Return the number of rows of an epoch."""
        return sum(self._quotas)

    def of_epoch(self, epoch: int) -> list[Sequence[int]]:
        """Return the parts, or pieces of them, that an epoch draws, in an arbitrary order."""
        found: list[Sequence[int]] = []
        for place, (parts, quota) in enumerate(zip(self._classes, self._quotas, strict=True)):
            found.extend(self._from_stream(place, parts, epoch * quota, quota))
        return found

    def _from_stream(self, place: int, parts: Sequence[Sequence[int]], start: int, n: int) -> Iterator[Sequence[int]]:
        n_rows = sum(map(len, parts))
        cycle, skipped = divmod(start, n_rows)
        while n > 0:
            for number in _shuffled(len(parts), self._seed, place, cycle):
                part = parts[number]
                piece = part[skipped : skipped + n]
                skipped = max(0, skipped - len(part))
                if piece:
                    n -= len(piece)
                    yield piece
                if n <= 0:
                    return
            cycle += 1


@dataclass(frozen=True)
class _Slot:
    """A place in every epoch that its members take in turn."""

    members: tuple[int, ...]
    """Numbers of groups, the largest first."""
    place: int


class WeightedGroups:
    """Draw whole groups of unequal size into slots whose sizes are the same in every epoch.

    A weight of 2.4 gives every group two slots of its own, and every ten groups four further slots, in which they take
    turns. Groups of similar size share a slot, which is as large as the largest of them.

    Args:
        sizes: size of each group.
        weights: weight of each group.
        seed: seed of the turns.
    """

    def __init__(self, sizes: Sequence[int], weights: Sequence[float], *, seed: int) -> None:
        by_weight: dict[float, list[int]] = defaultdict(list)
        for number, weight in enumerate(weights):
            by_weight[weight].append(number)
        slots: list[tuple[int, ...]] = []
        for weight in sorted(by_weight):
            numbers = sorted(by_weight[weight], key=lambda number: (-sizes[number], number))
            n, n_slots = len(numbers), max(1, round(weight * len(by_weight[weight])))
            slots.extend((number,) for _ in range(n_slots // n) for number in numbers)
            rest = n_slots % n
            slots.extend(tuple(numbers[n * i // rest : n * (i + 1) // rest]) for i in range(rest))
        self._slots = [_Slot(members, place) for place, members in enumerate(slots)]
        self._seed = seed
        self.sizes = [sizes[slot.members[0]] for slot in self._slots]
        """Size of each slot."""
        self.filled = sum(sum(sizes[number] for number in slot.members) / len(slot.members) for slot in self._slots)
        """Mean number of places in the slots that groups use in an epoch."""

    def of_epoch(self, epoch: int) -> list[int]:
        """Return the group in each slot."""
        found = []
        for slot in self._slots:
            cycle, turn = divmod(epoch, len(slot.members))
            found.append(slot.members[_shuffled(len(slot.members), self._seed, slot.place, cycle)[turn]])
        return found


def weighted_sets(folder: Path) -> dict[str, dict[str, float]]:
    """Return the pairs and weight of each set in the train split of a merged dataset; empty: it was not merged.

    Raises:
        RecordError: a shard that cannot be read.
    """
    import pyarrow.parquet as pq

    found: dict[str, dict[str, float]] = {}
    for file in shards(folder, "train"):
        if not {"merged_from", COLUMN} <= set(pq.read_schema(current_shard(file)).names):
            return {}
        for row in stream_rows(file, ("merged_from", COLUMN)):
            weight = 1.0 if row[COLUMN] is None else row[COLUMN]
            one = found.setdefault(row["merged_from"] or "", {"pairs": 0, "weight": weight})
            one["pairs"] += 1
    return found
