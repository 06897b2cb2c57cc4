"""Ranking groups stay whole: in batches, in the sampler's order, over processes, after a resume."""

from __future__ import annotations

import doctest
from collections import Counter
from itertools import combinations

import pytest
from accelerate.data_loader import BatchSamplerShard
from torch.utils.data import BatchSampler

from redaes.errors import TrainingError
from redaes.training import group_batches
from redaes.training.group_batches import GroupPrompts, GroupSampler, check_batch, pack, ranking_groups

# Two views: all pairs among four pictures, and a chain of three.
PICTURES = [*combinations("abcd", 2), ("p", "q"), ("q", "r")]
VIEWS = ["one"] * 6 + ["two"] * 2
DELTAS = [float(row) for row in range(8)]


def test_a_group_is_a_view_with_all_its_pairs() -> None:
    one, two = ranking_groups(VIEWS, PICTURES, DELTAS)
    assert [pair.row for pair in one.pairs] == list(range(6))
    assert one.pictures == ("a", "b", "c", "d")
    assert [(pair.row, pair.delta) for pair in two.pairs] == [(6, 6.0), (7, 7.0)]


@pytest.mark.parametrize("limit", [2, 3, 4, 7])
def test_smaller_groups_cover_every_pair_and_keep_all_pairs_among_their_pictures(limit: int) -> None:
    made = ranking_groups(VIEWS, PICTURES, DELTAS, limit)
    assert {pair.row for group in made for pair in group.pairs} == set(range(8))
    assert len({group.id for group in made}) == len(made)
    for group in made:
        assert len(group.pictures) <= limit
        among = {row for row, both in enumerate(PICTURES) if set(both) <= set(group.pictures)}
        assert {pair.row for pair in group.pairs} == among
    if limit == 3:
        # The four pictures' six pairs come in cycles of three.
        assert max(len(group.pairs) for group in made) == 3


def test_groups_do_not_depend_on_the_order_of_rows() -> None:
    def named(rows: list[int]) -> list[tuple[str, list[tuple[str, str]]]]:
        columns = ([VIEWS[r] for r in rows], [PICTURES[r] for r in rows], [DELTAS[r] for r in rows])
        return [(g.id, [(p.first, p.second) for p in g.pairs]) for g in ranking_groups(*columns, limit=3)]

    assert named(list(range(8))) == named([5, 7, 0, 3, 6, 1, 4, 2])


def test_what_is_no_group_is_refused() -> None:
    with pytest.raises(TrainingError, match="same two pictures"):
        ranking_groups(["v", "v"], [("a", "b"), ("b", "a")], [1.0, -1.0])
    with pytest.raises(TrainingError, match="pictures_per_group is 1"):
        ranking_groups(VIEWS, PICTURES, DELTAS, limit=1)
    with pytest.raises(TrainingError, match="no pairs"):
        ranking_groups([], [], [])


def test_packing_keeps_every_size_once_and_wastes_little() -> None:
    sizes = [9] * 30 + [6] * 50 + [14] * 10 + [4] * 25
    packed = pack(sizes, 20)
    assert Counter(size for batch in packed for size in batch) == Counter(sizes)
    assert all(sum(batch) <= 20 for batch in packed)
    assert len(packed) <= sum(sizes) / 20 * 1.1


def prompts_of(sizes: list[tuple[int, int]]) -> list[GroupPrompts]:
    """Groups with so many pairs and single pictures; the rows of group ``n`` lie in [100 n, 100 n + 100)."""
    return [
        GroupPrompts(
            tuple((100 * n + 2 * pair, 100 * n + 2 * pair + 1) for pair in range(n_pairs)),
            tuple(range(100 * n + 90, 100 * n + 90 + n_singles)),
        )
        for n, (n_pairs, n_singles) in enumerate(sizes)
    ]


MIXED = prompts_of([(3, 3), (6, 4), (1, 2), (3, 3), (2, 3), (5, 4), (1, 2), (3, 3)])


def sampler(made: list[GroupPrompts] = MIXED, **changes: int) -> GroupSampler:
    settings = {"capacity": 18, "num_generations": 3, "n_processes": 2, "repeat_count": 2, "seed": 0, **changes}
    return GroupSampler(made, **settings)


def test_each_row_is_repeated_and_each_batch_gone_through_again() -> None:
    one = sampler(n_processes=1)
    rows = list(one)
    size = 18 * 3
    assert len(rows) == len(one) == len(one.batches) * size * 2
    for start in range(0, len(rows), 2 * size):
        batch = rows[start : start + size]
        assert batch == rows[start + size : start + 2 * size]  # repeat_count
        assert all(len(set(batch[i : i + 3])) == 1 for i in range(0, size, 3))  # num_generations


@pytest.mark.parametrize("epoch", [0, 1, 5])
def test_every_process_gets_whole_groups(epoch: int) -> None:
    made = sampler()
    made.set_epoch(epoch)
    shards = [
        list(BatchSamplerShard(BatchSampler(made, batch_size=18 * 3, drop_last=True), num_processes=2, process_index=i))
        for i in range(2)
    ]
    seen: Counter[int] = Counter()
    for batch in shards[0] + shards[1]:
        rows = Counter(batch[::3])
        for number in {row // 100 for row in rows}:
            group = MIXED[number]
            everything = {row for pair in group.pairs for row in pair} | set(group.singles)
            assert {row for row in rows if row // 100 == number} == everything
            assert all(rows[forward] == rows[swapped] for forward, swapped in group.pairs)
            seen[number] += 1
    # Every generation batch comes twice (repeat_count), and a batch without a partner waits for another epoch.
    left_out = len(made.batches) % 2
    assert set(seen.values()) == {2}
    assert len(seen) >= len(MIXED) - 3 * left_out


def test_the_order_follows_from_seed_and_epoch_alone() -> None:
    one, other = sampler(), sampler()
    first = list(one)
    one.set_epoch(1)
    second = list(one)
    other.set_epoch(1)
    assert list(other) == second != first
    assert len(second) == len(first)
    assert list(sampler(seed=1)) != first


def test_groups_meet_others_in_other_epochs() -> None:
    made = sampler(prompts_of([(3, 3)] * 12), n_processes=1)
    company = set()
    for epoch in range(6):
        made.set_epoch(epoch)
        rows = list(made)
        company |= {frozenset(row // 100 for row in rows[start : start + 54]) for start in range(0, len(rows), 54)}
    assert len(company) > 6


def test_the_share_of_repeated_prompts_is_counted() -> None:
    assert sampler(prompts_of([(3, 3)] * 4), n_processes=1).share_repeated == 0
    assert sampler(prompts_of([(3, 2)] * 4), n_processes=1).share_repeated == pytest.approx(2 / 18)


def test_a_batch_that_would_cut_a_prompt_or_a_pair_is_refused_with_the_remedy() -> None:
    check_batch(local_completions=36, num_generations=4, with_singles=True)
    with pytest.raises(TrainingError, match="multiple of 4, for example 40"):
        check_batch(local_completions=38, num_generations=4, with_singles=True)
    with pytest.raises(TrainingError, match="multiple of 8, for example 40"):
        check_batch(local_completions=36, num_generations=4, with_singles=False)


def test_a_group_that_does_not_fit_is_refused_with_the_remedy() -> None:
    with pytest.raises(TrainingError, match=r"largest ranking group has 16; .* 16 prompts × 3 generations = 48"):
        sampler(capacity=12)


def test_too_few_groups_for_the_processes() -> None:
    with pytest.raises(TrainingError, match="too few for 9 processes"):
        sampler(n_processes=9)


def test_doctests() -> None:
    result = doctest.testmod(group_batches)
    assert result.failed == 0
    assert result.attempted >= 2
