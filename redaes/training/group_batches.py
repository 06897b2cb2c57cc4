"""Ranking groups, whose completions are generated, rewarded and normalised together, and a sampler that keeps them
together.

A group is a view of a photograph: its pictures, all pairs among them in both orders, and, if single pictures are scored
too, each picture by itself. Groups differ in size but the generation batches of a process do not, so batches are packed
from whole groups, and the free places repeat prompts of the groups in them.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.utils.data import Sampler

from redaes.errors import TrainingError
from redaes.training.weighted_draws import WeightedGroups, WeightedRows, weights_of_parts


@dataclass(frozen=True)
class PairOfGroup:
    """The data of a pair that grouping needs."""

    row: int
    """Number of its row in the dataset."""
    first: str
    """Id of the first picture."""
    second: str
    delta: float | None
    """Score of ``first`` minus score of ``second``, in points; None: not labelled."""


@dataclass(frozen=True)
class RankingGroup:
    """Pairs that are rewarded together, in a fixed order."""

    id: str
    pairs: tuple[PairOfGroup, ...]

    @property
    def pictures(self) -> tuple[str, ...]:
        """Ids of the pictures, each once, sorted."""
        return tuple(sorted({picture for pair in self.pairs for picture in (pair.first, pair.second)}))


def ranking_groups(
    views: Sequence[str], pictures: Sequence[tuple[str, str]], deltas: Sequence[float | None], limit: int = 0
) -> list[RankingGroup]:
    """Return the ranking groups of a dataset.

    Args:
        views: view of each row's pair.
        pictures: ids of each row's two pictures.
        deltas: label of each row, in points; None: not labelled.
        limit: most pictures in a group; 0: no limit. A larger view is covered by several groups, each with all pairs
            among its pictures, so that no pair is left out; a pair can be in two groups.

    Returns:
        The groups, in an order that depends on the ids alone.

    Raises:
        TrainingError: there are no rows, the limit is 1 or negative, or two rows of a view show the same two pictures.
    """
    if limit == 1 or limit < 0:
        raise TrainingError(f"pictures_per_group is {limit}; give 2 or more, or 0 for all pictures of a view")
    members: dict[str, list[PairOfGroup]] = defaultdict(list)
    for row, (view, (first, second), delta) in enumerate(zip(views, pictures, deltas, strict=True)):
        members[view].append(PairOfGroup(row, first, second, delta))
    if not members:
        raise TrainingError("the dataset has no pairs to train on")
    groups: list[RankingGroup] = []
    for view in sorted(members):
        pairs = sorted(members[view], key=lambda pair: (pair.first, pair.second))
        shown = Counter(frozenset((pair.first, pair.second)) for pair in pairs)
        twice = [sorted(both) for both, count in shown.items() if count > 1]
        if twice:
            raise TrainingError(f"two rows of group {view} show the same two pictures, {twice[0]}; remove one of them")
        parts = [pairs] if not limit else _cover(pairs, limit)
        groups.extend(RankingGroup(f"{view}/{number}", tuple(part)) for number, part in enumerate(parts))
    return groups


def _cover(pairs: list[PairOfGroup], limit: int) -> list[list[PairOfGroup]]:
    """Return parts of at most ``limit`` pictures that together contain every pair; greedy, so not always the fewest."""
    uncovered = {pair.row for pair in pairs}
    # Sorted by content and not by name, so that alphabetical neighbours play no role.
    order = sorted(pairs, key=lambda pair: hashlib.sha256(f"{pair.first}|{pair.second}".encode()).digest())
    parts: list[list[PairOfGroup]] = []
    for start in order:
        if start.row not in uncovered:
            continue
        chosen = {start.first, start.second}
        while len(chosen) < limit:
            gain: Counter[str] = Counter()
            for pair in pairs:
                if len({pair.first, pair.second} & chosen) == 1:
                    new = pair.second if pair.first in chosen else pair.first
                    gain[new] += len(pairs) + 1 if pair.row in uncovered else 1  # new pairs first, then cycles
            worth = [picture for picture, value in gain.items() if value > len(pairs)]
            if not worth:
                break
            chosen.add(min(worth, key=lambda picture: (-gain[picture], picture)))
        part = [pair for pair in pairs if pair.first in chosen and pair.second in chosen]
        uncovered -= {pair.row for pair in part}
        parts.append(part)
    return parts


@dataclass(frozen=True)
class GroupPrompts:
    """Row numbers of a group's prompts."""

    pairs: tuple[tuple[int, int], ...]
    """Prompts for each pair, forward and swapped."""
    singles: tuple[int, ...]
    """Prompts for each picture by itself; empty: single pictures are not scored."""

    @property
    def size(self) -> int:
        """Number of prompts of the group."""
        return 2 * len(self.pairs) + len(self.singles)


def pack(sizes: Sequence[int], capacity: int) -> list[list[int]]:
    """Pack sizes into batches of at most ``capacity`` prompts: best fit, the largest first.

    >>> pack([6, 9, 3, 6], 12)
    [[9, 3], [6, 6]]
    """
    batches: list[list[int]] = []
    by_free: dict[int, list[int]] = defaultdict(list)  # batches by their number of free places
    for size in sorted(sizes, reverse=True):
        free = next((free for free in range(size, capacity) if by_free[free]), capacity)
        if free == capacity:
            batches.append([])
            by_free[free].append(len(batches) - 1)
        number = by_free[free].pop()
        batches[number].append(size)
        by_free[free - size].append(number)
    return batches


def fill(groups: Sequence[GroupPrompts], capacity: int) -> list[int]:
    """Return the prompts of whole groups, filled up to ``capacity`` with some of the same prompts again.

    Pairs are repeated in both orders. Groups stay whole: they get more completions, none of other groups.

    >>> fill([GroupPrompts(pairs=((0, 1),), singles=(2, 3))], 7)
    [0, 1, 2, 3, 2, 0, 1]
    """
    rows = [row for group in groups for row in (*(row for pair in group.pairs for row in pair), *group.singles)]
    free = capacity - len(rows)
    if free % 2:  # only if single pictures are scored: pairs come in twos, and so does the capacity
        rows.append(groups[0].singles[0])
    pairs = [pair for group in groups for pair in group.pairs]
    for number in range(free // 2):
        rows.extend(pairs[number % len(pairs)])
    return rows


def check_batch(*, local_completions: int, num_generations: int, with_singles: bool) -> None:
    """Refuse a batch size that would split the completions of a prompt, or a pair; called before anything is loaded.

    Args:
        local_completions: completions that one process generates at once (``per_device_train_batch_size`` ×
            ``steps_per_generation``).
        num_generations: completions per prompt.
        with_singles: whether single pictures are scored too.

    Raises:
        TrainingError: the size does not fit; the message names the next one that does.
    """
    unit = num_generations if with_singles else 2 * num_generations
    if local_completions % unit:
        raise TrainingError(
            f"per_device_train_batch_size × steps_per_generation is {local_completions}, but one process holds "
            f"{'a prompt' if with_singles else 'both orders of a pair'} with {num_generations} generations each; "
            f"make the product a multiple of {unit}, for example {-(-local_completions // unit) * unit}"
        )


class GroupSampler(Sampler[int]):
    """Draw whole groups in batches, shuffled by epoch and repeated the way TRL's GRPO trainer expects.

    Like TRL's ``RepeatSampler`` it yields each row ``num_generations`` times in a row and each generation
    batch ``repeat_count`` times. Unlike it, the order depends on nothing but ``(seed, epoch)``, so a resumed
    run sees the order that the uninterrupted one would have seen. Sizes are packed in the same way in every epoch,
    because its length must not change; which group of a size goes where, and the order of the batches, differ.

    Args:
        groups: prompts of each group.
        capacity: prompts in one process's generation batch.
        num_generations: repetitions of each row.
        n_processes: processes that share a generation batch; each gets whole groups.
        repeat_count: how often each generation batch is repeated.
        seed: seed of the order.
        weights: weight of each group, how often it is drawn in an epoch; None: once.

    Raises:
        TrainingError: a group does not fit into a batch, or too few batches for the processes.
    """

    def __init__(
        self,
        groups: Sequence[GroupPrompts],
        *,
        capacity: int,
        num_generations: int,
        n_processes: int,
        repeat_count: int,
        seed: int,
        weights: Sequence[float] | None = None,
    ) -> None:
        largest = max(group.size for group in groups)
        if largest > capacity:
            raise TrainingError(
                f"a process generates for {capacity} prompts at once, but the largest ranking group has {largest}; "
                f"make per_device_train_batch_size × steps_per_generation at least {largest} prompts × "
                f"{num_generations} generations = {largest * num_generations}, or set pictures_per_group lower"
            )
        self.groups = groups
        self.capacity = capacity
        self.num_generations = num_generations
        self.n_processes = n_processes
        self.repeat_count = repeat_count
        self.seed = seed
        self.epoch = 0
        self.draws = None
        self.sizes = [group.size for group in groups]
        """Sizes of the groups that an epoch draws."""
        if weights is not None:
            self.draws = WeightedGroups(self.sizes, weights, seed=seed)
            self.sizes = self.draws.sizes
        self.batches = pack(self.sizes, capacity)
        if len(self.batches) < n_processes:
            raise TrainingError(
                f"{len(self.sizes)} ranking groups fill {len(self.batches)} generation batches, too few for "
                f"{n_processes} processes; use more data, smaller batches or fewer processes"
            )

    @property
    def share_repeated(self) -> float:
        """Share of a batch's prompts that are repeated to fill it."""
        filled = sum(self.sizes) if self.draws is None else self.draws.filled
        return 1 - filled / (len(self.batches) * self.capacity)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; the dataloader calls this at the start of each epoch."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        drawn = self.groups
        if self.draws is not None:
            drawn = [self.groups[number] for number in self.draws.of_epoch(self.epoch)]
        by_size: dict[int, list[GroupPrompts]] = defaultdict(list)
        for number in torch.randperm(len(drawn), generator=generator).tolist():
            by_size[self.sizes[number]].append(drawn[number])
        batches = [fill([by_size[size].pop() for size in batch], self.capacity) for batch in self.batches]
        order = torch.randperm(len(batches), generator=generator).tolist()
        for start in range(0, len(order) - self.n_processes + 1, self.n_processes):
            rows = [row for number in order[start : start + self.n_processes] for row in batches[number]]
            for _ in range(self.repeat_count):
                for row in rows:
                    for _ in range(self.num_generations):
                        yield row

    def __len__(self) -> int:
        whole = len(self.batches) // self.n_processes * self.n_processes
        return whole * self.capacity * self.num_generations * self.repeat_count


class ShuffledGroups(Sampler[int]):
    """Draw rows group by group, the groups in an order that depends only on ``(seed, epoch)``.

    Pairs of a group share pictures; when they are neighbours in a batch, each picture passes the vision tower once.

    Args:
        groups: group of each row.
        seed: seed of the order.
        weights: weight of each row, how often it is drawn in an epoch; None: once.

    Raises:
        TrainingError: rows of a group have several weights.
    """

    def __init__(self, groups: Sequence[str], *, seed: int, weights: Sequence[float] | None = None) -> None:
        members: dict[str, list[int]] = defaultdict(list)
        for row, group in enumerate(groups):
            members[group].append(row)
        self.groups = [members[group] for group in sorted(members)]
        self.seed = seed
        self.epoch = 0
        of_groups = weights_of_parts(self.groups, weights)
        self.draws = None if of_groups is None else WeightedRows(self.groups, of_groups, seed=seed)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; the dataloader calls this at the start of each epoch."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        drawn = self.groups if self.draws is None else self.draws.of_epoch(self.epoch)
        for group in torch.randperm(len(drawn), generator=generator).tolist():
            yield from drawn[group]

    def __len__(self) -> int:
        return sum(map(len, self.groups)) if self.draws is None else len(self.draws)
