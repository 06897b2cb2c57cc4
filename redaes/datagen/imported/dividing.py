"""Which pairs are held out, so that no photograph, and no near copy of one, is on both sides."""

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
    """What decides where a pair goes."""

    first: str
    """Id of a picture."""
    second: str
    source: str = ""
    """What was photographed; empty: not stated."""
    split: Split | None = None
    """Where its list has it; None: not stated."""
    series: frozenset[str] = frozenset()
    """The large series of whose parts it is a pair."""


@dataclass(frozen=True)
class Division:
    """The split of each pair and what it belongs to."""

    splits: tuple[Split | None, ...]
    """Per pair; None: its pictures are in two splits, so it is in neither."""
    units: tuple[str, ...]
    """Per pair: what it shares pictures with, and no other split has any of."""
    cut: bool
    """Whether nearly all pairs hang together, so that pictures were held out and the pairs between left out."""
    stated: bool = False
    """Whether the list states the splits."""
    n_moved: int = 0
    """Pairs that their list trains on and that are held out, because they share a picture with held-out ones."""


def divide(
    pairs: Sequence[PlacedPair], near_copies: Iterable[tuple[Hashable, Hashable]], *, test_fraction: float, seed: int
) -> Division:
    """Hold pairs out.

    Pairs that share a picture, a near copy or a stated source are held out together, and so are the parts of a large
    series where that leaves others to be trained on. Where both splits are stated, they decide: what belongs to
    anything that is held out is held out, and the fraction is of pairs that belong to nothing with a stated split.
    Where they are not and the pairs outside the largest such set are fewer than are to be held out, photographs are
    drawn in their place, and the pairs between a held-out photograph and another are left out.

    Args:
        pairs: in any order.
        near_copies: ids of pictures that look alike; also a picture's id with ``("source", name)``, where pictures of
            one pair show different sources.
        test_fraction: share that is held out, in (0, 1): of the pairs; of the photographs, where those are drawn.
        seed: seed of the draw.

    Raises:
        InputError: a fraction out of range, or no split that has pairs on both sides.
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
    """Return whether the pairs outside the largest set are fewer than are to be held out."""
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
    """Return Photographs held out: about the share that is wanted, but so many that a pair is among them."""
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
    """Return items that together have about a share of the whole size, at least one and never all."""
    wanted = fraction * sum(sizes.values())
    drawn: set[Hashable] = set()
    total = 0
    for item in _shuffled(sizes, seed):
        if total and total + sizes[item] / 2 > wanted:
            continue
        if not total and sizes[item] > max(wanted * 2, min(sizes.values())):
            continue  # one of the smaller ones comes
        drawn.add(item)
        total += sizes[item]
        if total >= wanted:
            break
    return drawn if len(drawn) < len(sizes) else set()
