"""Ranking groups stay whole: in blocks, in the sampler's order, over processes, after a resume."""

from __future__ import annotations

from collections import Counter

import pytest
from accelerate.data_loader import BatchSamplerShard
from torch.utils.data import BatchSampler

from redaes.errors import TrainingError
from redaes.training.groups import GroupSampler, blocks_of, check_batch

PAIRS = [f"pair{i}" for i in range(11)]
GROUPS = ["a"] * 4 + ["b"] * 5 + ["c"] * 2


def sampler(**changes: int) -> GroupSampler:
    blocks = [[2 * i, 2 * i + 1] for i in range(6)]
    settings = {"num_generations": 3, "batch_blocks": 2, "repeat_count": 2, "seed": 0, **changes}
    return GroupSampler(blocks, **settings)


def test_a_block_holds_pairs_of_one_group_only() -> None:
    blocks, left_out = blocks_of(PAIRS, GROUPS, 2)
    assert all(len({GROUPS[row] for row in block}) == 1 for block in blocks)
    assert Counter(GROUPS[block[0]] for block in blocks) == {"a": 2, "b": 2, "c": 1}
    assert left_out == 1
    assert len({row for block in blocks for row in block}) == 10


def test_blocks_do_not_depend_on_the_order_of_rows() -> None:
    def named(pairs: list[str], groups: list[str]) -> set[tuple[str, ...]]:
        return {tuple(pairs[row] for row in block) for block in blocks_of(pairs, groups, 2)[0]}

    assert named(PAIRS, GROUPS) == named(PAIRS[::-1], GROUPS[::-1])


def test_no_group_is_large_enough() -> None:
    with pytest.raises(TrainingError, match="lower pairs_per_group"):
        blocks_of(PAIRS, GROUPS, 6)


def test_each_row_is_repeated_and_each_batch_gone_through_again() -> None:
    rows = list(sampler())
    assert len(rows) == len(sampler()) == 6 * 2 * 3 * 2
    batch = rows[:12]
    assert batch == rows[12:24]  # repeat_count
    assert all(len(set(batch[i : i + 3])) == 1 for i in range(0, 12, 3))  # num_generations
    assert Counter(rows) == {row: 6 for row in range(12)}


def test_the_order_follows_from_seed_and_epoch_alone() -> None:
    one, other = sampler(), sampler()
    first = list(one)
    one.set_epoch(1)
    second = list(one)
    other.set_epoch(1)
    assert list(other) == second != first
    assert list(sampler(seed=1)) != first


def test_every_process_gets_whole_blocks() -> None:
    # Two processes, one block of 2 rows x 3 generations each.
    shards = [
        list(BatchSamplerShard(BatchSampler(sampler(), batch_size=6, drop_last=True), num_processes=2, process_index=i))
        for i in range(2)
    ]
    for batch in shards[0] + shards[1]:
        rows = Counter(batch)
        assert sorted(rows.values()) == [3, 3]
        assert min(rows) // 2 == max(rows) // 2  # both rows of one block


def test_a_batch_that_would_split_a_group_is_refused_with_the_remedy() -> None:
    check_batch(local_completions=32, block_rows=4, num_generations=4)
    with pytest.raises(TrainingError, match="multiple of 16, for example 32"):
        check_batch(local_completions=24, block_rows=4, num_generations=4)


def test_too_few_groups_for_one_batch() -> None:
    with pytest.raises(TrainingError, match="do not fill one batch"):
        sampler(batch_blocks=7)
