"""Ranking groups: what must be generated, rewarded and normalised together, and a sampler that keeps it so.

A block is ``pairs_per_group`` pairs of one RED group, each in both orders. The sampler shuffles blocks, never
rows, and a process's generation batch holds whole blocks.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Sampler

from redaes.errors import TrainingError


def blocks_of(pairs: Sequence[str], groups: Sequence[str], pairs_per_group: int) -> tuple[list[list[int]], int]:
    """Rows of each block, drawn from each group by the pairs' ids.

    Args:
        pairs: id of each row's pair.
        groups: group of each row.
        pairs_per_group: pairs in a block.

    Returns:
        One list of row numbers per block, in a fixed order, and how many rows are in no block (of groups
        with a remainder, or with too few pairs).

    Raises:
        TrainingError: no group is large enough.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for row, group in enumerate(groups):
        members[group].append(row)
    blocks: list[list[int]] = []
    for group in sorted(members):
        rows = sorted(members[group], key=lambda row: hashlib.sha256(pairs[row].encode()).digest())
        whole = len(rows) // pairs_per_group * pairs_per_group
        blocks.extend(rows[start : start + pairs_per_group] for start in range(0, whole, pairs_per_group))
    if not blocks:
        raise TrainingError(f"no group of the dataset has {pairs_per_group} pairs; lower pairs_per_group")
    return blocks, len(pairs) - len(blocks) * pairs_per_group


def check_batch(*, local_completions: int, block_rows: int, num_generations: int) -> None:
    """Refuse a batch that would split a ranking group; called before the model loads.

    Args:
        local_completions: completions that one process generates at once
            (``per_device_train_batch_size`` × ``steps_per_generation``).
        block_rows: prompts in a block (pairs × 2 orders).
        num_generations: completions per prompt.

    Raises:
        TrainingError: with the next batch size that fits.
    """
    block = block_rows * num_generations
    if local_completions % block:
        fitting = -(-local_completions // block) * block
        raise TrainingError(
            f"per_device_train_batch_size × steps_per_generation is {local_completions}, but a ranking group takes "
            f"{block_rows} prompts × {num_generations} generations = {block} completions of one process; "
            f"make the product a multiple of {block}, for example {fitting}"
        )


class GroupSampler(Sampler[int]):
    """Rows in blocks, repeated the way TRL's GRPO trainer expects, shuffled by block and epoch.

    Like TRL's ``RepeatSampler`` it yields each row ``num_generations`` times in a row and each generation
    batch ``repeat_count`` times. Unlike it, the order depends on nothing but ``(seed, epoch)``, so a resumed
    run sees the order that the uninterrupted one would have seen.

    Args:
        blocks: row numbers of each block; all blocks are equally long.
        num_generations: repetitions of each row.
        batch_blocks: blocks of one generation batch over all processes.
        repeat_count: how often each generation batch is gone through.
        seed: of the order.

    Raises:
        TrainingError: fewer blocks than one generation batch takes.
    """

    def __init__(
        self, blocks: Sequence[Sequence[int]], *, num_generations: int, batch_blocks: int, repeat_count: int, seed: int
    ) -> None:
        if len(blocks) < batch_blocks:
            raise TrainingError(f"{len(blocks)} ranking groups do not fill one batch of {batch_blocks}; use more data")
        self.blocks = blocks
        self.num_generations = num_generations
        self.batch_blocks = batch_blocks
        self.repeat_count = repeat_count
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the dataloader at the start of each epoch."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(len(self.blocks), generator=generator).tolist()
        for start in range(0, len(self.blocks) - self.batch_blocks + 1, self.batch_blocks):
            batch = [row for block in order[start : start + self.batch_blocks] for row in self.blocks[block]]
            for _ in range(self.repeat_count):
                for row in batch:
                    for _ in range(self.num_generations):
                        yield row

    def __len__(self) -> int:
        batches = len(self.blocks) // self.batch_blocks
        per_batch = self.batch_blocks * len(self.blocks[0]) * self.num_generations * self.repeat_count
        return batches * per_batch


class ShuffledGroups(Sampler[int]):
    """Rows group by group, the groups in an order that depends on nothing but ``(seed, epoch)``.

    Pairs of a group share pictures; side by side in a batch, each picture is looked at once.

    Args:
        groups: group of each row.
        seed: of the order.
    """

    def __init__(self, groups: Sequence[str], *, seed: int) -> None:
        members: dict[str, list[int]] = defaultdict(list)
        for row, group in enumerate(groups):
            members[group].append(row)
        self.groups = [members[group] for group in sorted(members)]
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the dataloader at the start of each epoch."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        for group in torch.randperm(len(self.groups), generator=generator).tolist():
            yield from self.groups[group]

    def __len__(self) -> int:
        return sum(len(group) for group in self.groups)
