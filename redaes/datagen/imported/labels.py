"""Convert people's answers about two pictures into a difference in points: Δ = τ Φ⁻¹(p).

Votes become a probability with half a vote added to both sides (the mean of the posterior under Jeffreys' prior), so
that unanimous votes give a finite difference that grows with their number: 1.3 points for one vote, 3.4 for ten.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import NormalDist

from redaes.datagen.series.votes import PSEUDO_COUNT
from redaes.errors import InputError
from redaes.types import MAX_DELTA, TAU, Winner, winner_of

_NORMAL = NormalDist()
_ROUNDED = 0.000_051  # datasets keep four decimals of a difference


@dataclass(frozen=True)
class StatedLabel:
    """The label that one row gives its two pictures: votes, or a difference."""

    votes: tuple[float, float] | None = None
    """Votes for the first and for the second picture; a tie is half a vote for each."""
    delta: float | None = None
    """Score of the first minus score of the second, in points; None if there are votes instead."""
    n_votes: int | None = None
    """Number of votes behind a difference; None if it is not known or ``votes`` has them."""
    counted: bool = True
    """Whether the votes were really counted. A probability of 0 or 1 becomes one vote that was not."""

    def swapped(self) -> StatedLabel:
        """Return the same label for the pictures in the other order."""
        votes = None if self.votes is None else (self.votes[1], self.votes[0])
        return replace(self, votes=votes, delta=None if self.delta is None else 0.0 - self.delta)

    @property
    def winner(self) -> Winner:
        """The picture that is called better; a difference too small to be seen is a tie."""
        if self.votes is None:
            assert self.delta is not None
            return winner_of(self.delta)
        return "tie" if self.sign == 0 else "A" if self.sign > 0 else "B"

    @property
    def sign(self) -> int:
        """1 if the first picture is called better, -1 if the second is, 0 if neither."""
        ahead = self.delta if self.votes is None else self.votes[0] - self.votes[1]
        assert ahead is not None
        return (ahead > 0) - (ahead < 0)


def delta_from_probability(probability: float) -> float:
    """Return the points that correspond to a probability in (0, 1), limited to the scale.

    >>> round(delta_from_probability(0.8413447), 3)
    2.0
    """
    return max(-MAX_DELTA, min(MAX_DELTA, TAU * _NORMAL.inv_cdf(probability)))


def delta_from_votes(n_first: float, n_second: float) -> float:
    """Return the points that correspond to votes; unanimous votes give finite points, too.

    >>> round(delta_from_votes(1, 0), 2), delta_from_votes(3, 3)
    (1.35, 0.0)
    """
    return delta_from_probability((n_first + PSEUDO_COUNT) / (n_first + n_second + 2 * PSEUDO_COUNT))


def votes_from_delta(delta: float, n_votes: int) -> tuple[float, float] | None:
    """Return the votes from which :func:`delta_from_votes` gives these points; None if no whole or half votes do.

    >>> votes_from_delta(round(delta_from_votes(4, 1), 4), 5), votes_from_delta(1.0, 5)
    ((4.0, 1.0), None)
    """
    exact = _NORMAL.cdf(delta / TAU) * (n_votes + 2 * PSEUDO_COUNT) - PSEUDO_COUNT
    n_first = round(2 * exact) / 2
    if not 0 <= n_first <= n_votes or abs(delta_from_votes(n_first, n_votes - n_first) - delta) > _ROUNDED:
        return None
    return n_first, n_votes - n_first


def label_of_votes(n_first: float, n_second: float) -> StatedLabel:
    """Return votes as a label.

    Raises:
        InputError: the votes are not counts; the message says why.
    """
    counts = (n_first, n_second)
    if not all(math.isfinite(count) and count >= 0 for count in counts):
        raise InputError(f"votes are {n_first:g} and {n_second:g}; counts are at least 0")
    if sum(counts) == 0:
        raise InputError("nobody voted: both counts are 0")
    if not (float(2 * n_first).is_integer() and float(sum(counts)).is_integer()):
        raise InputError(
            f"votes are {n_first:g} and {n_second:g}, which are not counts; give shares in the column probability"
        )
    return StatedLabel(votes=counts)


def label_of_probability(probability: float, n_votes: int | None = None) -> StatedLabel:
    """Return the probability that the first picture is preferred, as a label.

    With a known number of votes it is a share of them. With an unknown number, exactly 0 and 1 would give no finite
    difference, so they count as one vote.

    Raises:
        InputError: the number is not a probability.
    """
    if not 0 <= probability <= 1:
        raise InputError(f"the probability is {probability:g}; give a number from 0 to 1")
    if n_votes is not None:
        return StatedLabel(votes=(n_votes * probability, n_votes * (1 - probability)))
    if probability in (0, 1):
        return StatedLabel(votes=(probability, 1 - probability), counted=False)
    return StatedLabel(delta=delta_from_probability(probability))


def label_of_delta(delta: float, n_votes: int | None = None) -> StatedLabel:
    """Return a difference in points as a label, with the number of votes behind it if that is known.

    Raises:
        InputError: the difference is outside the scale.
    """
    if not abs(delta) <= MAX_DELTA:
        raise InputError(f"the delta is {delta:g}; give points from -{MAX_DELTA:g} to {MAX_DELTA:g}")
    return StatedLabel(delta=delta, n_votes=n_votes)


@dataclass(frozen=True)
class PooledLabel:
    """The joint label of all rows about one pair."""

    delta: float
    """The difference, in points."""
    n_votes: int | None
    """Number of votes that were counted; None if there is no count."""
    disputed: bool
    """Whether some called one picture better, and some the other."""


def pooled(labels: list[StatedLabel]) -> PooledLabel:
    """Return the joint label of one pair: votes are added, differences averaged. All labels have one picture order.

    Raises:
        InputError: some labels are votes and some are differences, which cannot be joined.
    """
    given = [label.votes for label in labels if label.votes is not None]
    signs = {label.sign for label in labels}
    disputed = {1, -1} <= signs or any(min(votes) > 0 and votes[0] != votes[1] for votes in given)
    if given and len(given) < len(labels):
        raise InputError("some rows about this pair have votes, others a probability or delta; give one of them")
    if not given:
        known = [label.delta for label in labels if label.delta is not None]
        counts = [label.n_votes for label in labels if label.n_votes is not None]
        n_votes = sum(counts) if len(counts) == len(labels) else None
        return PooledLabel(sum(known) / len(known), n_votes, disputed)
    n_first, n_second = (sum(votes[place] for votes in given) for place in (0, 1))
    total = round(n_first + n_second)
    counted = all(label.counted for label in labels)
    return PooledLabel(delta_from_votes(n_first, n_second), total if counted else None, disputed)
