"""The pool of pairs for questions about a taste, and the choice of the pair whose answer tells most about all others.

A taste is learned as one direction in a model's readings of pairs (:mod:`redaes.taste.direction`), so the knowledge of
it is a normal distribution of the changes of all verdicts. The model's own verdicts are not used, because they are no
evidence of what this person likes. The next question is the one whose answer is expected to lower the variance of all
verdicts most (I-optimal design), not the least certain one: toss-ups tell little about a direction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from redaes.errors import InputError
from redaes.points import sigmoid

MAX_POOL = 1000
"""Largest number of pairs in the pool; if there are more, this many are drawn."""

PLAIN_RIDGE = 0.03
"""Precision of the direction, if readings have a mean square of 1; the default when a taste is learned."""

_LEAST_CURVE = 0.02

PoolPair = tuple[int, int, int]
"""Series and two pictures of it, the smaller first, counted from 0."""


@dataclass(frozen=True)
class PairPool:
    """Pairs, and the covariance of the changes of their verdicts."""

    pairs: tuple[PoolPair, ...]
    kernel: NDArray[np.float64]
    """Prior covariance of the changes of the log-odds that the first is better, shape (P, P)."""
    _places: dict[PoolPair, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.kernel.shape != (len(self.pairs),) * 2:
            raise InputError(f"{len(self.pairs)} pairs have a kernel of the shape {self.kernel.shape}")
        object.__setattr__(self, "_places", {pair: place for place, pair in enumerate(self.pairs)})

    @classmethod
    def of_readings(cls, pairs: Sequence[PoolPair], apart: NDArray[np.float64]) -> PairPool:
        """Return the pool of some pairs that a model has read.

        Args:
            pairs: the P pairs.
            apart: for each pair half of its reading minus half of its reading in the other order, shape (P, d), on any
                scale.
        """
        size = float(np.sqrt((apart**2).sum(axis=1).mean())) if len(apart) else 0.0
        rows = apart / size if size > 0 else apart
        # Twice, because an answer counts in both orders.
        return cls(tuple(pairs), 2.0 / PLAIN_RIDGE * rows @ rows.T)

    def place_of(self, series: int, first: int, second: int) -> int | None:
        """Return the place of a pair, given in either order; None: it is not in the pool."""
        return self._places.get((series, min(first, second), max(first, second)))

    def worth(self, places: Sequence[int], said: Sequence[float]) -> NDArray[np.float64]:
        """Return how much an answer about each pair is expected to lower the variance of all verdicts, shape (P,).

        Args:
            places: places of the pairs that were answered.
            said: the answers: 1: the first of the pair is preferred; 0: the second; 0.5: neither.
        """
        mean, covariance = self._known(places, said)
        variance = np.maximum(covariance.diagonal(), 1e-12)
        likely = sigmoid(mean / np.sqrt(1.0 + np.pi * variance / 8.0))
        curve = np.maximum(likely * (1.0 - likely), _LEAST_CURVE)
        return np.asarray((covariance**2).sum(axis=0) / (variance + 1.0 / curve))

    def _known(self, places: Sequence[int], said: Sequence[float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the means and covariance of all changes after answers (Laplace's approximation)."""
        if not places:
            return np.zeros(len(self.pairs)), self.kernel
        at = np.array(places, dtype=np.intp)
        inner, across = self.kernel[np.ix_(at, at)], self.kernel[:, at]
        wanted = np.array(said, dtype=np.float64)
        weights = np.zeros(len(at))
        for _ in range(50):
            share = sigmoid(inner @ weights)
            curve = np.maximum(share * (1.0 - share), 1e-3)
            target = np.linalg.solve(inner + np.diag(1.0 / curve), inner @ weights + (wanted - share) / curve)
            reach = float(np.abs(inner @ (target - weights)).max())
            weights = weights + (target - weights) * min(1.0, 3.0 / max(reach, 1e-9))
            if reach < 1e-4:
                break
        curve = np.maximum(share * (1.0 - share), 1e-3)
        known = np.linalg.solve(inner + np.diag(1.0 / curve), across.T)
        return across @ weights, np.asarray(self.kernel - across @ known)


def pool_pairs(sizes: Sequence[int], *, seed: int = 0, most: int = MAX_POOL) -> list[PoolPair]:
    """Return all pairs within series, or ``most`` of them, drawn at random.

    >>> pool_pairs([2, 3])
    [(0, 0, 1), (1, 0, 1), (1, 0, 2), (1, 1, 2)]

    Args:
        sizes: number of pictures of each series.
        seed: seed of the draw.
        most: largest number of pairs.
    """
    ends = np.cumsum([n * (n - 1) // 2 for n in sizes])
    total = int(ends[-1]) if len(ends) else 0
    chosen = np.arange(total)
    if total > most:
        chosen = np.sort(np.random.default_rng(seed).choice(total, most, replace=False))
    found: list[PoolPair] = []
    for number in chosen.tolist():
        series = int(np.searchsorted(ends, number, side="right"))
        n = sizes[series]
        left = int(ends[series]) - number  # number of pairs from this one to the end of its series, inclusive
        i = n - 2 - int((np.sqrt(8 * left - 7) - 1) // 2)
        before = n * (n - 1) // 2 - (n - i) * (n - i - 1) // 2
        j = number - (int(ends[series]) - n * (n - 1) // 2) - before + i + 1
        found.append((series, i, j))
    return found
