"""Which pairs are held out, so that no photograph, and no near copy of one, is on both sides."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from redaes.errors import InputError
from redaes.types import Split


class Belonging:
    """What belongs together, told piece by piece (union and find)."""

    def __init__(self, joined: Iterable[tuple[Hashable, Hashable]] = ()) -> None:
        """
        Args:
            joined: what belongs together from the start.
        """
        self._above: dict[Hashable, Hashable] = {}
        for one, other in joined:
            self.join(one, other)

    def root(self, item: Hashable) -> Hashable:
        """What stands for everything that an item belongs to."""
        path = []
        while (above := self._above.get(item, item)) != item:
            path.append(item)
            item = above
        for passed in path:
            self._above[passed] = item
        return item

    def join(self, one: Hashable, other: Hashable) -> None:
        """Two items belong together."""
        first, second = sorted((self.root(one), self.root(other)), key=str)
        if first != second:
            self._above[second] = first


@dataclass(frozen=True)
class Division:
    """The split of each pair and what it belongs to."""

    splits: tuple[Split | None, ...]
    """Per pair; None: its pictures are in two splits, so it is in neither."""
    units: tuple[str, ...]
    """Per pair: what it shares pictures with, and no other split has any of."""
    cut: bool
    """Whether nearly all pairs hang together, so that pictures were held out and the pairs between left out."""


def divide(
    pairs: Sequence[tuple[str, str, str]],
    near_copies: Iterable[tuple[str, str]],
    *,
    test_fraction: float,
    seed: int,
) -> Division:
    """Hold pairs out.

    Pairs that share a picture, a near copy or a stated source are held out together. Where the pairs outside the
    largest such set are fewer than are to be held out, photographs are drawn in their place, and the pairs between a
    held-out photograph and another are left out.

    Args:
        pairs: ids of both pictures, and the stated source or "".
        near_copies: ids of pictures that look alike.
        test_fraction: share that is held out, in (0, 1): of the pairs; of the photographs, where those are drawn.
        seed: of the draw.

    Raises:
        InputError: a fraction out of range, or no split that has pairs on both sides.
    """
    if not 0 < test_fraction < 1:
        raise InputError(f"test fraction {test_fraction} is not between 0 and 1")
    same = list(near_copies)
    photographs, sets = Belonging(same), Belonging(same)
    for first, second, source in pairs:
        sets.join(first, second)
        if source:
            for belonging in (photographs, sets):
                belonging.join(first, ("source", source))
                belonging.join(second, ("source", source))
    sizes = Counter(sets.root(first) for first, _, _ in pairs)
    wanted = test_fraction * len(pairs)
    cut = len(pairs) - max(sizes.values(), default=0) < min(wanted, len(pairs) / 2)
    if cut:
        drawn = _draw(Counter({photographs.root(one): 1 for pair in pairs for one in pair[:2]}), test_fraction, seed)
        sides = [tuple(photographs.root(one) in drawn for one in pair[:2]) for pair in pairs]
        splits: list[Split | None] = [None if side[0] != side[1] else "test" if side[0] else "train" for side in sides]
    else:
        drawn = _draw(sizes, test_fraction, seed)
        splits = ["test" if sets.root(first) in drawn else "train" for first, _, _ in pairs]
    if {"train", "test"} - set(splits):
        raise InputError(
            f"of {len(pairs)} pairs that share pictures or sources with each other, none can be held out without its "
            "pictures being trained on; add pairs of other pictures"
        )
    roots = [f"{sets.root(first)} {split if cut else ''}" for (first, _, _), split in zip(pairs, splits, strict=True)]
    return Division(tuple(splits), tuple(hashlib.sha256(root.encode()).hexdigest()[:16] for root in roots), cut)


def _draw(sizes: Counter[Hashable], fraction: float, seed: int) -> set[Hashable]:
    """Items that together have about a share of the whole size, at least one and never all."""
    wanted = fraction * sum(sizes.values())
    drawn: set[Hashable] = set()
    total = 0
    for item in sorted(sizes, key=lambda item: hashlib.sha256(f"{seed}:{item}".encode()).digest()):
        if total and total + sizes[item] / 2 > wanted:
            continue
        if not total and sizes[item] > max(wanted * 2, min(sizes.values())):
            continue  # one of the smaller ones comes
        drawn.add(item)
        total += sizes[item]
        if total >= wanted:
            break
    return drawn if len(drawn) < len(sizes) else set()
