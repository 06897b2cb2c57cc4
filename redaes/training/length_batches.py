"""Batches of answers of like length. A fast answer is a tenth of a reasoned one: mixed batches are mostly padding, and
packing is not to be had for vision models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import Sampler
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

BATCHES_SORTED_TOGETHER = 50


class LikeLengths(Sampler[int]):
    """Rows in batches of like length, in an order that depends on nothing but ``(seed, epoch)``.

    Rows are shuffled, some batches' worth of them sorted by length, cut into batches, and the batches shuffled. So a
    resumed run sees the order of an uninterrupted one (a sampler that draws from one generator would begin again with
    the first epoch's), and several processes share the batches that one would have had.

    Args:
        lengths: of each row, in any unit.
        batch_size: rows of one optimizer step, over all processes.
        seed: of the order.
    """

    def __init__(self, lengths: Sequence[int], *, batch_size: int, seed: int) -> None:
        self.lengths = lengths
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    @classmethod
    def of_run(cls, lengths: Sequence[int], arguments: TrainingArguments) -> LikeLengths:
        """The sampler for a trainer's arguments."""
        batch_size = arguments.train_batch_size * arguments.gradient_accumulation_steps * arguments.world_size
        return cls(lengths, batch_size=batch_size, seed=arguments.seed)

    def set_epoch(self, epoch: int) -> None:
        """Called by the dataloader at the start of each epoch."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(len(self.lengths), generator=generator).tolist()
        together = self.batch_size * min(BATCHES_SORTED_TOGETHER, max(1, len(order) // (4 * self.batch_size)))
        batches: list[list[int]] = []
        for start in range(0, len(order), together):
            alike = sorted(order[start : start + together], key=lambda row: self.lengths[row])
            batches.extend(alike[first : first + self.batch_size] for first in range(0, len(alike), self.batch_size))
        # A short batch would shift all that follow: it comes last.
        whole = [batch for batch in batches if len(batch) == self.batch_size]
        for place in torch.randperm(len(whole), generator=generator).tolist():
            yield from whole[place]
        for batch in batches:
            if len(batch) < self.batch_size:
                yield from batch

    def __len__(self) -> int:
        return len(self.lengths)


class OrderOfEpochs(TrainerCallback):
    """Tells samplers which epoch it is, so that their order depends on seed and epoch alone after a resume too.

    A dataloader that skips the batches that a resumed run has seen hands the epoch down two levels, and with several
    processes the sampler lies three levels below: past the first epoch, each of them would see the rows of the first
    one again.
    """

    def on_epoch_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        train_dataloader: Any = None,
        **_: Any,
    ) -> None:
        """Called by the trainer before it asks for an epoch's batches."""
        place = getattr(train_dataloader, "batch_sampler", None)
        while place is not None:
            set_epoch = getattr(getattr(place, "sampler", None), "set_epoch", None)
            if set_epoch is not None:
                set_epoch(int(state.epoch or 0))
            place = getattr(place, "batch_sampler", None)
