"""Stage 3's rows: prompts of ranking groups with the data that the rewards need, made when they are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import datasets

from redaes import prompts
from redaes.errors import RecordError
from redaes.evidence.measurements import PairEvidence
from redaes.measured_pairs import MeasuredPairs
from redaes.prompts import Mode
from redaes.records import record_of
from redaes.rewards.reasoning import faults_shown
from redaes.training.formatting import ORDERS, decode, ordered_images
from redaes.training.group_batches import GroupPrompts, RankingGroup, ranking_groups
from redaes.types import SIDES, Order, Pair


def groups_of(pairs: datasets.Dataset, limit: int) -> list[RankingGroup]:
    """Return the ranking groups of a split with undecoded pictures; see :func:`ranking_groups`."""
    pictures = list(zip(pairs["first_id"], pairs["second_id"], strict=True))
    return ranking_groups(pairs["group"], pictures, pairs["delta"], limit)


@dataclass(frozen=True)
class _PromptRows:
    """Make prompts from their numbers. It is not a local function, because spawned workers find it by its name."""

    pairs: datasets.Dataset
    """The pairs, with undecoded pictures."""
    groups: tuple[RankingGroup, ...]
    mode: Mode
    measured: MeasuredPairs | None
    """None: no reward asks for it."""

    def __call__(self, batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        """Turn the columns ``group``, ``pair`` and ``show`` into the columns that TRL and the rewards take."""
        asked = list(zip(batch["group"], batch["pair"], batch["show"], strict=True))
        made = {row: self._row(*row) for row in dict.fromkeys(asked)}  # a prompt occurs once for each of its answers
        rows = [dict(made[row]) for row in asked]
        return {name: [row[name] for row in rows] for name in rows[0]}

    def _row(self, number: int, index: int, show: str) -> dict[str, Any]:
        group = self.groups[number]
        pair = group.pairs[index]
        record = record_of(self.pairs[pair.row], "train")
        edges = [{"first": p.first, "second": p.second, "delta": p.delta} for p in group.pairs]
        row: dict[str, Any] = {"group": group.id, "edges": edges, "pair": record.pair.id}
        row["factors"] = list(record.pair.factors)
        if show in SIDES:
            row["prompt"] = prompts.load(prompts.SCORE).messages()
            row["images"] = [decode(record, "first" if show == "first" else "second")]
            alone = {"mode": "score", "shown": [getattr(pair, show)], "delta": None, "faults": None, "evidence": None}
            return {**row, **alone}
        order: Order = "forward" if show == "forward" else "swapped"
        row["prompt"] = prompts.load(prompts.COMPARE[self.mode]).messages()
        row["images"] = ordered_images(record, order)
        asked = record.pair if order == "forward" else record.pair.swapped()
        row["faults"] = list(faults_shown(asked.edit_first, asked.edit_second))
        row["evidence"] = None if self.measured is None else self._evidence(self.measured, record.pair, order)
        shown = [asked.first.id, asked.second.id]
        return {**row, "mode": self.mode, "shown": shown, "delta": asked.delta}

    def _evidence(self, measured: MeasuredPairs, pair: Pair, order: Order) -> PairEvidence:
        """Return the measurements of a pair, in the letters of the order.

        Raises:
            RecordError: the pair was not measured.
        """
        found = measured.evidence(pair)
        if found is None:
            raise RecordError(
                f"row {pair.id!r} was not measured; run again, or leave symptom and evidence out of rewards"
            )
        return found if order == "forward" else found.swapped()


def ranking_dataset(
    pairs: datasets.Dataset,
    groups: Sequence[RankingGroup],
    mode: Mode,
    *,
    with_scores: bool,
    measured: MeasuredPairs | None = None,
) -> tuple[datasets.Dataset, list[GroupPrompts]]:
    """Return the prompts for stage 3, made when they are read.

    Args:
        pairs: the pairs of the split, with undecoded pictures.
        groups: groups of these pairs.
        mode: form of the answers.
        with_scores: whether each picture is also asked about by itself.
        measured: measurements of the pairs; None: no reward needs them.

    Returns:
        The prompts, and for each group the numbers of its prompts.
    """
    table: dict[str, list[Any]] = {"group": [], "pair": [], "show": []}
    numbers: list[GroupPrompts] = []

    def add(group: int, pair: int, show: str) -> int:
        for column, value in zip(table.values(), (group, pair, show), strict=True):
            column.append(value)
        return len(table["show"]) - 1

    for number, group in enumerate(groups):
        ways = tuple(tuple(add(number, pair, order) for order in ORDERS) for pair in range(len(group.pairs)))
        shown_in = {getattr(pair, side): (index, side) for index, pair in enumerate(group.pairs) for side in SIDES}
        singles = tuple(add(number, *shown_in[picture]) for picture in group.pictures) if with_scores else ()
        numbers.append(GroupPrompts(ways, singles))  # type: ignore[arg-type]  # two orders each
    rows = datasets.Dataset.from_dict(table).with_transform(_PromptRows(pairs, tuple(groups), mode, measured))
    return rows, numbers
