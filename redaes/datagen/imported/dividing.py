"""Which pairs are held out, so that no photograph or near copy of one is in both splits."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from redaes.datagen.linked_names import LinkedNames
from redaes.errors import InputError
from redaes.types import Split


@dataclass(frozen=True)
class PlacedPair:
    """What determines the split of a pair."""

    first: str
    """Id of the first picture."""
    second: str
    source: str = ""
    """Id of the photographed scene; empty if it is not stated."""
    split: Split | None = None
    """The split that the pair's list states; None if it states none."""
    series: frozenset[str] = frozenset()
    """The large series whose pictures this pair compares."""


@dataclass(frozen=True)
class Division:
    """The split and the group of each pair."""

    splits: tuple[Split | None, ...]
    """The split of each pair; None for a pair in neither split, because its pictures are in two splits."""
    units: tuple[str, ...]
    """For each pair, the name of its group: pairs of different groups share no pictures, and no group is in two splits.
    """
    cut: bool
    """Whether nearly all pairs are connected, so that pictures were held out and the pairs in between left out."""
    stated: bool = False
    """Whether the list states the splits."""
    n_moved: int = 0
    """Number of pairs that the list trains on but that are held out, because they share pictures with held-out ones."""


def divide(
    pairs: Sequence[PlacedPair], near_copies: Iterable[tuple[Hashable, Hashable]], *, test_fraction: float, seed: int
) -> Division:
    """Decide which pairs are held out.

    Pairs that share a picture, a near copy or a stated source are held out together, and so are the parts of a large
    series, if other pairs are then left for training. If the list states both splits, they decide: pairs connected to
    anything held out are held out, and the fraction applies to pairs that are connected to no stated split.
    If it does not, and the pairs outside the largest connected set are fewer than are to be held out, photographs are
    drawn instead of pairs, and the pairs between a held-out photograph and another are left out.

    Args:
        pairs: in any order.
        near_copies: ids of pictures that look alike; also a picture's id with ``("source", name)``, where pictures of
            one pair show different sources.
        test_fraction: share that is held out, in (0, 1): of the pairs, or of the photographs if those are drawn.
        seed: seed of the draw.

    Raises:
        InputError: the fraction is out of range, or no division has pairs in both splits.
    """
    if not 0 < test_fraction < 1:
        raise InputError(f"test fraction {test_fraction} is not between 0 and 1")
    same = list(near_copies)
    photographs, sets, whole = LinkedNames(same), LinkedNames(same), LinkedNames(same)
    for pair in pairs:
        sets.link(pair.first, pair.second)
        whole.link(pair.first, pair.second)
        for series in sorted(pair.series):
            whole.link(pair.first, ("series", series))
        if pair.source:
            for links in (photographs, sets, whole):
                links.link(pair.first, ("source", pair.source))
                links.link(pair.second, ("source", pair.source))
    roots = [sets.root(pair.first) for pair in pairs]
    as_stated = {"train", "test"} <= {pair.split for pair in pairs}
    if as_stated:
        splits, cut = _as_stated(pairs, roots, test_fraction, seed), False
    else:
        in_series = [whole.root(pair.first) for pair in pairs]
        if not _hang_together(in_series, test_fraction):
            roots = in_series
        sizes = Counter(roots)
        cut = _hang_together(roots, test_fraction)
        if cut:
            splits = _between_photographs(pairs, photographs, test_fraction, seed)
        else:
            drawn = _draw(sizes, test_fraction, seed)
            splits = ["test" if root in drawn else "train" for root in roots]
    if {"train", "test"} - set(splits):
        raise InputError(
            f"{len(pairs)} pairs can be used, and they share pictures or sources so that none can be held out without "
            "its pictures being trained on; add pairs of other pictures"
            + (", or draw other splits than those that the list states (--test-fraction 0.2)" if as_stated else "")
        )
    units = [f"{root} {split if cut else ''}" for root, split in zip(roots, splits, strict=True)]
    return Division(
        tuple(splits),
        tuple(hashlib.sha256(unit.encode()).hexdigest()[:16] for unit in units),
        cut,
        as_stated,
        sum(pair.split == "train" and split == "test" for pair, split in zip(pairs, splits, strict=True)),
    )


def _hang_together(roots: Sequence[Hashable], test_fraction: float) -> bool:
    """Return whether the pairs outside the largest connected set are fewer than are to be held out."""
    others = len(roots) - max(Counter(roots).values(), default=0)
    return others < min(test_fraction * len(roots), len(roots) / 2)


def _as_stated(
    pairs: Sequence[PlacedPair], roots: Sequence[Hashable], test_fraction: float, seed: int
) -> list[Split | None]:
    known: dict[Hashable, Split] = {}
    for pair, root in zip(pairs, roots, strict=True):
        if pair.split is not None and known.get(root) != "test":
            known[root] = pair.split
    free = Counter(root for root in roots if root not in known)
    drawn = _draw(free, test_fraction, seed)
    return [known.get(root, "test" if root in drawn else "train") for root in roots]


def _between_photographs(
    pairs: Sequence[PlacedPair], photographs: LinkedNames, test_fraction: float, seed: int
) -> list[Split | None]:
    """Hold photographs out: about the wanted share of them, but enough that at least one pair is held out."""
    names = [(photographs.root(pair.first), photographs.root(pair.second)) for pair in pairs]
    order = _shuffled({one for both in names for one in both}, seed)
    splits: list[Split | None] = []
    for n_drawn in range(max(1, round(test_fraction * len(order))), len(order)):
        drawn = set(order[:n_drawn])
        sides = [(first in drawn, second in drawn) for first, second in names]
        splits = [None if first != second else "test" if first else "train" for first, second in sides]
        if "test" in splits:
            break
    return splits


def _shuffled(items: Iterable[Hashable], seed: int) -> list[Hashable]:
    return sorted(items, key=lambda item: hashlib.sha256(f"{seed}:{item}".encode()).digest())


def _draw(sizes: Counter[Hashable], fraction: float, seed: int) -> set[Hashable]:
    """Return items that together have about the given share of the total size, at least one and never all."""
    wanted = fraction * sum(sizes.values())
    drawn: set[Hashable] = set()
    total = 0
    for item in _shuffled(sizes, seed):
        if total and total + sizes[item] / 2 > wanted:
            continue
        if not total and sizes[item] > max(wanted * 2, min(sizes.values())):
            continue  # a smaller item may still fit
        drawn.add(item)
        total += sizes[item]
        if total >= wanted:
            break
    return drawn if len(drawn) < len(sizes) else set()
