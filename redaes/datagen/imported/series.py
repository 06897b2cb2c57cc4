"""Turn series that somebody put in order, wholly or in part, into pairs.

Every two pictures whose places in the order differ count as one vote, and
:func:`~redaes.datagen.series.votes.calibrate` turns these votes into a probability for each pair. Pairs whose
probability is too close to 0.5, such as neighbours in a long order, are left out: they would read as ties, and nobody
called them ties. Of scores and ranks only the order counts: a distance on somebody's scale says nothing about ours.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from redaes.datagen.imported.labels import StatedLabel, delta_from_probability
from redaes.datagen.imported.rows import StatedPair, StatedPicture, UnusableRow
from redaes.datagen.series.votes import MARGIN, Votes, calibrate
from redaes.types import Split

PART = 16
"""Largest number of pictures of which all pairs are made; a larger series is divided at random into such parts."""


@dataclass(frozen=True)
class StatedSeries:
    """Several pictures, and somebody's opinion of each relative to the others."""

    where: str
    """Name of the series in messages."""
    name: str
    pictures: tuple[StatedPicture, ...]
    levels: tuple[float, ...]
    """A number for each picture; a higher one is better."""
    equal_is_tie: bool
    """Whether equal levels mean equally good pictures (ranks and scores), or nothing (picks, stars)."""
    source: str = ""
    licence: str = ""
    split: Split | None = None
    """The split that the list states; None if it states none."""
    part_of: str = ""
    """Name of the large series of which this is a part; empty if this is a whole series."""


def pairs_of_series(
    series: Iterable[StatedSeries | UnusableRow], *, most: int = PART, seed: int = 0
) -> Iterator[StatedPair | UnusableRow]:
    """Yield the pairs of many series, one group for each series, or for each part of a large one.

    Args:
        series: in any order.
        most: largest number of pictures of which all pairs are made; at least 2.
        seed: seed of the division into parts.
    """
    for one in series:
        if isinstance(one, UnusableRow):
            yield one
            continue
        kept, twice = _without_repeats(one)
        for name in twice:
            yield UnusableRow(one.where, "picture twice in a series", f"{name} has two places; keep one")
        if len(set(kept.levels)) < 2 and not (one.equal_is_tie and len(kept.pictures) > 1):
            yield UnusableRow(
                one.where, "series without an order", f"{len(kept.pictures)} pictures, none above another"
            )
            continue
        for part in _parts(kept, most, seed):
            yield from _pairs(part)


def _without_repeats(series: StatedSeries) -> tuple[StatedSeries, list[str]]:
    """Return the series without the pictures that occur in two places, and their names; the others keep their order.

    Pictures without a file cannot be recognised by a name, so they are all kept.
    """
    named = ["" if picture.path is None else picture.name for picture in series.pictures]
    levels: dict[str, set[float]] = {}
    for name, level in zip(named, series.levels, strict=True):
        levels.setdefault(name, set()).add(level)
    first = {name: place for place, name in reversed(list(enumerate(named)))}
    kept = [place for place, name in enumerate(named) if not name or (len(levels[name]) == 1 and first[name] == place)]
    return (
        replace(
            series,
            pictures=tuple(series.pictures[place] for place in kept),
            levels=tuple(series.levels[place] for place in kept),
        ),
        [name for name, its in levels.items() if name and len(its) > 1],
    )


def _parts(series: StatedSeries, most: int, seed: int) -> Iterator[StatedSeries]:
    """Yield parts of nearly equal size; names and the seed decide at random which picture belongs to which part."""
    n = len(series.pictures)
    if n <= most:
        yield series
        return

    def drawn(place: int) -> bytes:
        return hashlib.sha256(f"{seed}:{series.name}:{series.pictures[place].name}".encode()).digest()

    order = sorted(range(n), key=drawn)
    n_parts = math.ceil(n / most)
    for number in range(n_parts):
        places = sorted(order[n * number // n_parts : n * (number + 1) // n_parts])
        yield replace(
            series,
            name=f"{series.name} part {number + 1}",
            part_of=series.where,
            pictures=tuple(series.pictures[place] for place in places),
            levels=tuple(series.levels[place] for place in places),
        )


def _pairs(series: StatedSeries) -> Iterator[StatedPair | UnusableRow]:
    votes = []
    for one, other in itertools.combinations(range(len(series.pictures)), 2):
        ahead = series.levels[one] - series.levels[other]
        if not ahead and not series.equal_is_tie:
            continue
        n_first = 0.5 if not ahead else float(ahead > 0)
        votes.append(Votes(series.name, str(one), str(other), n_first, 1 - n_first))
    if not votes:
        shown = f"{len(series.pictures)} pictures of one level were drawn into one part: {series.pictures[0].name} …"
        yield UnusableRow(series.where, "part of a series without an order", shown)
        return
    found, refused = calibrate(votes)
    for lost in refused:
        yield UnusableRow(series.where, "series without an order", f"{lost.reason}: {len(lost.parts)} parts")
    for done in found:
        for vote in votes:
            first, second = (series.pictures[int(name)] for name in (vote.first, vote.second))
            probability = 1 / (1 + math.exp(done.strengths[vote.second] - done.strengths[vote.first]))
            if vote.n_first != vote.n_second and abs(probability - 0.5) < MARGIN:
                yield UnusableRow(series.where, "too close in a long order", f"{first.name}, {second.name}")
                continue
            yield StatedPair(
                where=series.where,
                first=first,
                second=second,
                label=StatedLabel(delta=delta_from_probability(probability)),
                group=series.name,
                series=series.part_of,
                source=series.source,
                licence=series.licence,
                split=series.split,
            )
