"""Batches of answers of similar length. A fast answer is a tenth as long as a reasoned one, so batches of both would be
mostly padding. Where rows are packed (`redaes.training.shared_rows`), both answers about two pictures are in one batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import Sampler
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from redaes.training.weighted_draws import WeightedRows, weights_of_parts

BATCHES_SORTED_TOGETHER = 50


def rows_of_a_step(arguments: TrainingArguments) -> int:
    """Return the number of rows of one optimizer step, over all processes."""
    rows: int = arguments.train_batch_size * arguments.gradient_accumulation_steps * arguments.world_size
    return rows


class LikeLengths(Sampler[int]):
    """Draw rows in batches of similar length, in an order that depends only on ``(seed, epoch)``.

    Rows are shuffled, runs of several batches are sorted by length and cut into batches, and the batches are shuffled.
    A resumed run sees the order of an uninterrupted one (a sampler with one generator would start again with the first
    epoch's), and several processes share the batches that one process would have had.

    Args:
        lengths: length of each row, in any unit.
        batch_size: number of rows of one optimizer step, over all processes.
        seed: seed of the order.
        together: parts of equal size whose rows stay together; a part counts as long as its longest row. A batch must
            hold whole parts. None: each row is by itself.
        weights: weight of each row, how often it is drawn in an epoch; None: once.

    Raises:
        ValueError: parts differ in size, or the batch size is not a multiple of their size.
        TrainingError: rows of a part have several weights.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        *,
        batch_size: int,
        seed: int,
        together: Sequence[Sequence[int]] | None = None,
        weights: Sequence[float] | None = None,
    ) -> None:
        parts = [[row] for row in range(len(lengths))] if together is None else together
        sizes = {len(part) for part in parts}
        if len(sizes) > 1 or any(batch_size % size for size in sizes):
            raise ValueError(f"batches of {batch_size} rows do not hold whole parts of {sorted(sizes)} rows")
        self.lengths = lengths
        self.batch_size = batch_size
        self.seed = seed
        self.together = parts
        self.epoch = 0
        of_parts = weights_of_parts(parts, weights)
        numbers = [[number] for number in range(len(parts))]
        self.draws = None if of_parts is None else WeightedRows(numbers, of_parts, seed=seed)

    @classmethod
    def of_run(
        cls,
        lengths: Sequence[int],
        arguments: TrainingArguments,
        together: Sequence[Sequence[int]] | None = None,
        weights: Sequence[float] | None = None,
    ) -> LikeLengths:
        """Return the sampler for a trainer's arguments."""
        size = rows_of_a_step(arguments)
        return cls(lengths, batch_size=size, seed=arguments.seed, together=together, weights=weights)

    def set_epoch(self, epoch: int) -> None:
        """Called by the dataloader at the start of each epoch."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        parts = self.together
        size = self.batch_size // max(1, len(parts[0]) if parts else 1)  # parts in a batch
        longest = [max(self.lengths[row] for row in part) for part in parts]
        if self.draws is None:
            order = torch.randperm(len(parts), generator=generator).tolist()
        else:
            drawn = [number for piece in self.draws.of_epoch(self.epoch) for number in piece]
            order = [drawn[place] for place in torch.randperm(len(drawn), generator=generator).tolist()]
        sorted_at_once = size * min(BATCHES_SORTED_TOGETHER, max(1, len(order) // (4 * size)))
        batches: list[list[int]] = []
        for start in range(0, len(order), sorted_at_once):
            alike = sorted(order[start : start + sorted_at_once], key=lambda part: longest[part])
            batches.extend(alike[first : first + size] for first in range(0, len(alike), size))
        # A short batch comes last, because it would shift all that follow.
        whole = [batch for batch in batches if len(batch) == size]
        short = [batch for batch in batches if len(batch) < size]
        shuffled = [whole[place] for place in torch.randperm(len(whole), generator=generator).tolist()]
        for batch in [*shuffled, *short]:
            for part in batch:
                yield from parts[part]

    def __len__(self) -> int:
        if self.draws is None:
            return sum(map(len, self.together))
        return len(self.draws) * len(self.together[0])


class OrderOfEpochs(TrainerCallback):
    """Tell samplers the epoch, so that their order depends on seed and epoch alone also after a resume.

    A dataloader that skips the batches that a resumed run has seen passes the epoch down two levels, but with several
    processes the sampler is three levels below. After the first epoch, each process would see the rows of the first one
    again.
    """

    def on_epoch_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        train_dataloader: Any = None,
        **_: Any,
    ) -> None:
        """Tell the samplers the epoch; the trainer calls this before it asks for an epoch's batches."""
        place = getattr(train_dataloader, "batch_sampler", None)
        while place is not None:
            set_epoch = getattr(getattr(place, "sampler", None), "set_epoch", None)
            if set_epoch is not None:
                set_epoch(int(state.epoch or 0))
            place = getattr(place, "batch_sampler", None)
