"""Rank calibration: from votes on pairs to probabilities, and from those to the order of a series.

Source: Yang et al., arXiv 2603.03907: all pairs of a series are judged, Bradley-Terry gives probabilities, pairs near
0.5 are dropped, and a global order remains. Ours are the margin, the pseudo-count for unanimous votes, and the refusal
of series whose votes give no order: they are named, and their order is never guessed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from redaes.errors import InputError, RecordError
from redaes.ranking import Edge, bradley_terry, components, unconnected
from redaes.series_records import read_csv

MARGIN = 0.05
"""Pairs whose probability is closer to 0.5 than this are dropped."""

PSEUDO_COUNT = 0.5
"""Votes added to both sides of every pair that was voted on, so that unanimous votes give finite strengths."""

Refusal = Literal["disconnected", "one_sided"]
"""Why a series has no order: ``disconnected``: the votes do not connect all its pictures; ``one_sided``: some pictures
never lost to the others (only possible without pseudo-count)."""


@dataclass(frozen=True)
class Votes:
    """The votes on two pictures of a series."""

    series: str
    first: str
    second: str
    n_first: float
    """Votes for the first picture; a tie counts one half for each. Fractions are possible."""
    n_second: float

    def __post_init__(self) -> None:
        if self.first == self.second:
            raise InputError(f"series {self.series}: {self.first!r} is compared with itself; remove that vote")
        counts = (self.n_first, self.n_second)
        if not all(math.isfinite(count) and count >= 0 for count in counts) or sum(counts) == 0:
            raise InputError(
                f"series {self.series}, {self.first} against {self.second}: votes {self.n_first} to {self.n_second}; "
                "give finite counts of at least 0, and at least one vote"
            )


@dataclass(frozen=True)
class CalibratedPair:
    """Two pictures between which people have a preference."""

    first: str
    second: str
    probability: float
    """P(first is preferred) by Bradley-Terry."""


@dataclass(frozen=True)
class CalibratedSeries:
    """A series with its order."""

    series: str
    strengths: dict[str, float]
    """Bradley-Terry strength of each picture, in logits, with zero mean."""
    pairs: tuple[CalibratedPair, ...]
    """All pairs of pictures, voted on or not, whose probability is clear enough; the first is the better one."""
    n_dropped: int
    """Number of pairs that are too close to 0.5."""

    @property
    def order(self) -> tuple[str, ...]:
        """Names of the pictures, best first; equal ones are sorted by name."""
        return tuple(sorted(self.strengths, key=lambda name: (-round(self.strengths[name], 9), name)))


@dataclass(frozen=True)
class RefusedSeries:
    """A series whose votes give no order."""

    series: str
    reason: Refusal
    parts: tuple[tuple[str, ...], ...]
    """The connected sets of pictures (``disconnected``), or all pictures as one set."""


def calibrate(
    votes: Iterable[Votes], *, margin: float = MARGIN, pseudo_count: float = PSEUDO_COUNT
) -> tuple[list[CalibratedSeries], list[RefusedSeries]]:
    """Return the orders of many series.

    Args:
        votes: votes in any order; several entries about one pair are added.
        margin: pairs with ``|P - 0.5|`` below this are dropped, in [0, 0.5).
        pseudo_count: see ``PSEUDO_COUNT``; 0 for the plain maximum-likelihood fit.

    Returns:
        The series that have an order, and those that have none; each sorted by name.

    Raises:
        InputError: margin or pseudo-count is out of range.
    """
    if not 0 <= margin < 0.5 or not math.isfinite(pseudo_count) or pseudo_count < 0:
        raise InputError(f"margin {margin} must be in [0, 0.5), pseudo_count {pseudo_count} at least 0")
    by_series: dict[str, list[Votes]] = {}
    for vote in votes:
        by_series.setdefault(vote.series, []).append(vote)
    done, refused = [], []
    for name in sorted(by_series):
        found = _calibrate_one(name, by_series[name], margin, pseudo_count)
        if isinstance(found, CalibratedSeries):
            done.append(found)
        else:
            refused.append(found)
    return done, refused


def _calibrate_one(
    series: str, votes: Sequence[Votes], margin: float, pseudo_count: float
) -> CalibratedSeries | RefusedSeries:
    names = sorted({name for vote in votes for name in (vote.first, vote.second)})
    place = {name: number for number, name in enumerate(names)}
    wins = np.zeros((len(names), len(names)))
    for vote in votes:
        wins[place[vote.first], place[vote.second]] += vote.n_first
        wins[place[vote.second], place[vote.first]] += vote.n_second
    games = wins + wins.T > 0
    edges: list[Edge] = [(int(i), int(j), 0.0, 1.0) for i, j in zip(*np.nonzero(np.triu(games)), strict=True)]
    parts = components(len(names), edges)
    if len(parts) > 1:
        named = tuple(tuple(names[item] for item in part) for part in parts)
        return RefusedSeries(series, "disconnected", named)
    wins += pseudo_count * games
    if unconnected(wins) is not None:
        return RefusedSeries(series, "one_sided", (tuple(names),))
    strengths = bradley_terry(wins)
    pairs, n_dropped = [], 0
    for i in range(len(names)):
        for j in range(i + 1, len(names)):
            probability = 1 / (1 + math.exp(strengths[j] - strengths[i]))
            if abs(probability - 0.5) < margin or probability == 0.5:
                n_dropped += 1
            elif probability > 0.5:
                pairs.append(CalibratedPair(names[i], names[j], probability))
            else:
                pairs.append(CalibratedPair(names[j], names[i], 1 - probability))
    return CalibratedSeries(
        series=series,
        strengths={name: float(strength) for name, strength in zip(names, strengths, strict=True)},
        pairs=tuple(pairs),
        n_dropped=n_dropped,
    )


def read_votes(path: Path) -> list[Votes]:
    """Return votes from a CSV file with the columns ``series, first, second, n_first, n_second``.

    A pair on which nobody voted has both counts blank, and is skipped.

    Raises:
        RecordError: the file cannot be read, lacks a column, has no votes, or has a line that is not a vote, such as
            one with only one count blank. The message names file and line.
    """
    columns = ("series", "first", "second", "n_first", "n_second")
    votes = []
    for number, row in read_csv(path, columns, may_be_blank=columns[3:]):
        given = [bool(row[name].strip()) for name in columns[3:]]
        if not any(given):
            continue
        if not all(given):
            raise RecordError(
                f"{path}, line {number}: one of n_first and n_second is blank; give both, 0 for nobody, or neither "
                "where nobody voted"
            )
        try:
            counts = float(row["n_first"]), float(row["n_second"])
            votes.append(Votes(row["series"], row["first"], row["second"], *counts))
        except (ValueError, InputError) as error:
            raise RecordError(f"{path}, line {number}: {error}") from error
    if not votes:
        raise RecordError(f"{path} holds no votes; fill in n_first and n_second")
    return votes
