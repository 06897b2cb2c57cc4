"""Choose which two pictures to ask a person about next, to learn the person's taste or order of these pictures.

A model's strengths of the pictures, with their uncertainty, are weak evidence of the person's; an answer of the person
is strong evidence. Both together give a normal distribution of the person's strengths. For the order of these pictures,
the next question is the pair whose answer is expected to tell most about them.

For a taste, which applies to other pictures, it is the pair of a pool that tells most about all others
(:mod:`redaes.taste.pair_pool`) if a model has read one; otherwise it is drawn, series by series in turn. The pairs
whose order is least certain have the smallest differences, and teach least: with them, the taste of simulated persons
was learnt much later than with random pairs (docs/own-data.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from redaes.errors import InputError
from redaes.points import sigmoid
from redaes.ranking import Z_SETTLED, Outcome, Strengths
from redaes.taste.pair_pool import PairPool

Aim = Literal["taste", "order"]
"""The aim of the questions: what the person likes in pictures of any kind, or the order of these pictures."""

TRUST = 0.5
"""Expected difference of a person's strengths for a difference of one logit in the model's [our decision]."""

PERSON_SD = 2.0
"""Standard deviation of a person's strengths around the expected ones, in logits [our decision]; a person's preference
that the model does not know then shows in about four of five answers.
"""

NEARLY_BEST = 0.5
"""Pairs with at least this share of the best pair's information are good enough for the series whose turn it is [our
decision].
"""

_DECIMALS = 9
"""Informations that agree to this many decimals are equal, because rounding errors must not decide a question."""

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(24)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


@dataclass(frozen=True)
class AskedPair:
    """Two pictures of one series, to be shown in this order."""

    series: int
    first: int
    second: int
    information: float
    """Expected information of the answer about the order of the series, in bits; at most 1."""


class Teaching:
    """Series of pictures, a model's strengths of them, and a person's answers so far.

    The same series, answers and seed give the same next question.

    >>> from redaes.ranking import fit_strengths
    >>> said = fit_strengths(3, [(0, 1, 0.9, 2.0), (1, 2, 0.5, 2.0), (0, 2, 0.9, 2.0)])
    >>> teaching = Teaching([said], aim="order")
    >>> asked = teaching.next_pair()
    >>> sorted((asked.first, asked.second))  # the two between which the model sees no difference
    [1, 2]
    >>> teaching.answer(0, 1, 2, 1.0)
    >>> teaching.strengths(0).values.argsort()[::-1].tolist()
    [0, 1, 2]
    """

    def __init__(
        self, series: Sequence[Strengths], *, aim: Aim = "taste", pool: PairPool | None = None, seed: int = 0
    ) -> None:
        """
        Args:
            series: the model's strengths of each series; zeros, also in the covariance, if there are none.
            aim: the aim of the questions.
            pool: pairs of these series that a model has read; None: questions about a taste are drawn.
            seed: seed of the choice among equal pairs, and of which picture is shown first.
        """
        self._prior = [expected_of_person(model) for model in series]
        self._now = list(self._prior)
        self._outcomes: list[list[Outcome]] = [[] for _ in series]
        self._open = [np.triu(np.ones((len(model.values),) * 2, dtype=bool), 1) for model in series]
        self._fresh = [True] * len(self._prior)
        self._aim = aim
        self._pool = pool
        self._places: list[int] = []
        self._said: list[float] = []
        self._seed = seed
        self.n_answers = 0

    def answer(self, series: int, first: int, second: int, won: float) -> None:
        """Record an answer; the pair is not asked again.

        Args:
            series: number of the series, from 0.
            first: number of a picture in it, from 0.
            second: number of another picture.
            won: 1: the first is better; 0: the second; 0.5: neither.

        Raises:
            InputError: there are no such pictures, or ``won`` is another number.
        """
        if not 0 <= series < len(self._prior):
            raise InputError(f"there is no series {series}; there are {len(self._prior)}, counted from 0")
        n = len(self._prior[series].values)
        if not (0 <= first < n and 0 <= second < n) or first == second:
            raise InputError(f"series {series} has no pair ({first}, {second}); it has {n} pictures, counted from 0")
        if won not in (0.0, 0.5, 1.0):
            raise InputError(f"an answer is {won}; give 1 (the first), 0 (the second) or 0.5 (neither)")
        self._outcomes[series].append((first, second, won, 1.0))
        self._open[series][min(first, second), max(first, second)] = False
        self._fresh[series] = False
        self.n_answers += 1
        place = None if self._pool is None else self._pool.place_of(series, first, second)
        if place is not None:
            self._places.append(place)
            self._said.append(won if first < second else 1.0 - won)

    def strengths(self, series: int) -> Strengths:
        """Return the person's estimated strengths in a series."""
        if not self._fresh[series]:
            self._now[series] = after_answers(self._prior[series], self._outcomes[series])
            self._fresh[series] = True
        return self._now[series]

    @property
    def n_open(self) -> int:
        """Number of pairs that were not answered and whose better picture is not settled with 95 %."""
        total = 0
        for series, left in enumerate(self._open):
            now = self.strengths(series)
            gap = np.abs(now.values[:, None] - now.values[None, :])
            total += int((left & (gap < Z_SETTLED * np.sqrt(now.difference_variance))).sum())
        return total

    def next_pair(self) -> AskedPair | None:
        """Return the pair to ask about; None: every pair of every series was answered.

        For a taste it is the pair of the pool that tells most about the others; without a pool, or when it is used up,
        any pair of the series with the fewest answers for its size. For the order it is the best pair of that series
        with at least :data:`NEARLY_BEST` of the best pair's information, if there is one.
        """
        rng = np.random.default_rng([self._seed, self.n_answers])
        told = self._most_telling(rng) if self._aim == "taste" else None
        if told is not None:
            return told
        rows: list[NDArray[np.float64]] = []
        for series, left in enumerate(self._open):
            first, second = np.nonzero(left)
            now = self.strengths(series)
            gap = now.values[first] - now.values[second]
            worth = expected_information(gap, now.difference_variance[first, second])
            had = np.full(len(first), len(self._outcomes[series]) / max(1, len(now.values) - 1))
            rows.append(np.stack([np.full(len(first), float(series)), first, second, worth, had]))
        table = np.concatenate(rows, axis=1) if rows else np.empty((5, 0))
        if not table.shape[1]:
            return None
        good = table[:, table[3] >= NEARLY_BEST * table[3].max()] if self._aim == "order" else table
        worth = good[3].round(_DECIMALS) if self._aim == "order" else np.zeros((good.shape[1],))
        # By turn, then by worth, then by lot.
        order = np.lexsort((rng.random((good.shape[1],)), -worth, good[4]))
        place, one, other, information, _ = good[:, order[0]].tolist()
        if rng.random() < 0.5:
            one, other = other, one
        return AskedPair(int(place), int(one), int(other), information)

    def _most_telling(self, rng: np.random.Generator) -> AskedPair | None:
        """Return the open pair of the pool that tells most about the others; None: there is none."""
        if self._pool is None or len(set(self._places)) == len(self._pool.pairs):
            return None
        worth = self._pool.worth(self._places, self._said).round(_DECIMALS)
        worth[self._places] = -np.inf
        best = np.flatnonzero(worth == worth.max())
        series, first, second = self._pool.pairs[int(rng.choice(best))]
        now = self.strengths(series)
        gap, variance = now.values[first] - now.values[second], now.difference_variance[first, second]
        information = expected_information(np.array([gap]), np.array([variance]))
        if rng.random() < 0.5:
            first, second = second, first
        return AskedPair(series, first, second, float(information[0]))


def expected_of_person(model: Strengths) -> Strengths:
    """Return a person's expected strengths before any answer.

    Args:
        model: a model's strengths of the same pictures, with their uncertainty.
    """
    own = PERSON_SD**2 * np.eye(len(model.values))
    return Strengths(TRUST * model.values, TRUST**2 * model.covariance + own)


def after_answers(prior: Strengths, outcomes: Sequence[Outcome]) -> Strengths:
    """Return the strengths after answers: P(i is preferred to j) = 1 / (1 + exp(strength_j - strength_i)).

    They are the maximum of the posterior and its inverse curvature there (Laplace's approximation).

    >>> two = Strengths(np.zeros(2), np.eye(2))
    >>> after_answers(two, [(0, 1, 1.0, 1.0)]).values.round(2).tolist()
    [0.34, -0.34]

    Args:
        prior: prior strengths, whose covariance must be invertible.
        outcomes: outcomes of pictures ``0 .. n-1``; a tie is half a win on either side.
    """
    table = np.array(outcomes, dtype=np.float64).reshape(-1, 4)
    first, second = table[:, 0].astype(np.intp), table[:, 1].astype(np.intp)
    won, weight = table[:, 2], table[:, 3]
    n = len(prior.values)
    precision = np.linalg.inv(prior.covariance)
    values = prior.values
    for _ in range(100):  # Newton's method; the logarithm of the posterior is concave
        expected = sigmoid(values[first] - values[second])
        residual = weight * (won - expected)
        pulled = np.bincount(first, residual, n) - np.bincount(second, residual, n)
        gradient = pulled - precision @ (values - prior.values)
        step = np.linalg.solve(precision + _known(n, first, second, weight * expected * (1.0 - expected)), gradient)
        largest = float(np.abs(step).max(initial=0.0))
        values = values + step / max(1.0, largest)  # far from the maximum a full step can overshoot
        if largest < 1e-10:
            break
    expected = sigmoid(values[first] - values[second])
    curvature = precision + _known(n, first, second, weight * expected * (1.0 - expected))
    return Strengths(values, np.asarray(np.linalg.inv(curvature), dtype=np.float64))


def expected_information(gap: NDArray[np.float64], variance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the expected information of an answer about the strengths, in bits.

    It is the entropy of the answer minus the entropy that would remain if the strengths were known (Houlsby et al.
    2011, Bayesian active learning by disagreement): a pair that is known to be a toss-up tells nothing.

    >>> expected_information(np.array([0.0, 0.0, 9.0]), np.array([0.01, 9.0, 1.0])).round(2).tolist()
    [0.0, 0.48, 0.0]

    Args:
        gap: means of the differences of strengths, in logits, shape (k,).
        variance: variances of the differences, shape (k,).
    """
    likely = sigmoid(gap[:, None] + np.sqrt(variance)[:, None] * _NODES)
    return np.asarray(_entropy(likely @ _WEIGHTS) - _entropy(likely) @ _WEIGHTS)


def _known(
    n: int, first: NDArray[np.intp], second: NDArray[np.intp], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the precision that answers add, shape (n, n)."""
    between = np.bincount(first * n + second, weight, n * n).reshape(n, n)
    between += between.T
    return np.asarray(np.diag(between.sum(axis=1)) - between)


def _entropy(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the entropy of an answer with this probability, in bits."""
    p = np.clip(probability, 1e-300, 1.0)
    q = np.clip(1.0 - probability, 1e-300, 1.0)
    return np.asarray(-(p * np.log2(p) + q * np.log2(q)))
