"""Choose which pairs to compare next."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from redaes.errors import InputError
from redaes.points import sigmoid
from redaes.ranking.graph import DECIMALS, Outcome
from redaes.ranking.sparse import SparseFit
from redaes.ranking.strengths import Strengths, fit_strengths

ROUND_ROBIN = 8
"""Largest number of items of which all pairs are compared."""

LONG = 40
"""Number of items above which the pairs of a round are drawn at random instead of being searched among all pairs."""

_N_AHEAD = 16  # number of neighbours by strength among which a partner is searched


class Schedule:
    """Choose which pairs to compare next, so that few comparisons give the order.

    Up to ``ROUND_ROBIN`` items: all pairs at once. Above: first a random chain, which connects all items; then
    rounds, like those of a Swiss tournament, in which each item appears at most once. A round takes the pairs
    whose outcome is expected to tell most: p (1 - p) times the variance of the difference, with both from the fit to
    the outcomes so far. No pair is asked twice, because most judges would only repeat themselves. Above ``LONG`` items,
    where there are too many pairs, a strength is drawn for each item from its posterior, and neighbours in that order
    are compared: they are alike, or little is known of them. The schedule ends when the budget is spent, all pairs were
    asked, or the top k are settled.

    >>> schedule = Schedule(3)
    >>> schedule.next_round()
    [(0, 1), (0, 2), (1, 2)]
    """

    def __init__(self, n: int, *, max_pairs: int | None = None, top_k: int | None = None, seed: int = 0) -> None:
        """
        Args:
            n: number of items.
            max_pairs: largest number of comparisons; None: ``default_pairs(n)``.
            top_k: stop as soon as it is settled which items are the best k; None: go on to the budget.
            seed: seed of the first chain and of the order in which pairs are shown.

        Raises:
            InputError: the budget cannot connect all items, or ``top_k`` is not in 1 .. n - 1.
        """
        if max_pairs is not None and max_pairs < n - 1:
            raise InputError(f"{max_pairs} comparisons cannot connect {n} pictures; allow at least {n - 1}")
        if top_k is not None and not 1 <= top_k < max(2, n):
            raise InputError(f"the best {top_k} of {n} pictures leaves nothing to choose; give 1 to {max(1, n - 1)}")
        self._n = n
        self._top_k = top_k if n > 1 else None
        self._left = min(default_pairs(n) if max_pairs is None else max_pairs, n * (n - 1) // 2)
        self._rng = np.random.default_rng(seed)
        self._open = ~np.eye(n if n <= LONG else 0, dtype=bool)
        self._asked: set[tuple[int, int]] = set()
        self._outcomes: list[Outcome] = []
        self._fit = SparseFit(n)
        self._started = False

    def next_round(self) -> list[tuple[int, int]]:
        """Return the next pairs to compare, sorted; the first item of each is to be shown first. Empty: the schedule
        has ended.
        """
        if not self._left:
            return []
        if not self._started:
            pairs = self._first_round()
        elif self._n > LONG:
            values = self._fit.strengths()
            if self._top_k is not None and self._fit.fitted().settled(self._top_k):
                return []
            pairs = self._drawn(values, self._fit.rough_errors())
        else:
            fitted = fit_strengths(self._n, self._outcomes)
            if self._top_k is not None and fitted.settled(self._top_k):
                return []
            pairs = self._most_telling(fitted)
        self._started = True
        self._left -= len(pairs)
        for i, j in pairs:
            if self._n > LONG:
                self._asked.add((min(i, j), max(i, j)))
            else:
                self._open[i, j] = self._open[j, i] = False
        return sorted(pairs)

    def record(self, i: int, j: int, probability: float | None, weight: float = 1.0) -> None:
        """Record P(i is better than j); None: there is no usable answer. The pair is not asked again."""
        if probability is not None:
            self._outcomes.append((i, j, probability, weight))
            self._fit.add((i, j, probability, weight))

    def _first_round(self) -> list[tuple[int, int]]:
        if self._left == self._n * (self._n - 1) // 2 and self._n <= ROUND_ROBIN:
            return [(i, j) for i in range(self._n) for j in range(i + 1, self._n)]
        chain = [int(item) for item in self._rng.permutation(self._n)]
        return list(itertools.pairwise(chain))

    def _most_telling(self, fitted: Strengths) -> list[tuple[int, int]]:
        expected = sigmoid(fitted.values[:, None] - fitted.values[None, :])
        worth = expected * (1.0 - expected) * fitted.difference_variance
        rows, columns = np.nonzero(np.triu(self._open))
        # Rounded, so that equal pairs keep their order on every machine.
        ranked = np.argsort(-worth[rows, columns].round(DECIMALS), kind="stable")
        busy = np.zeros(self._n, dtype=bool)
        pairs: list[tuple[int, int]] = []
        for at in ranked:
            i, j = int(rows[at]), int(columns[at])
            if busy[i] or busy[j]:
                continue
            busy[i] = busy[j] = True
            pairs.append((i, j) if self._rng.random() < 0.5 else (j, i))
            if len(pairs) == self._left:
                break
        return pairs

    def _drawn(self, values: NDArray[np.float64], errors: NDArray[np.float64]) -> list[tuple[int, int]]:
        """Return a round of a Swiss tournament among strengths drawn from their posterior."""
        order = np.argsort(-(values + errors * self._rng.standard_normal(self._n)), kind="stable").tolist()
        busy = [False] * self._n
        pairs: list[tuple[int, int]] = []
        for place, i in enumerate(order):
            if busy[i] or len(pairs) == self._left:
                continue
            for j in order[place + 1 : place + 1 + _N_AHEAD]:
                if not busy[j] and (min(i, j), max(i, j)) not in self._asked:
                    busy[i] = busy[j] = True
                    pairs.append((i, j) if self._rng.random() < 0.5 else (j, i))
                    break
        if pairs:
            return pairs
        # Few pairs are left and none of them are neighbours: take any that were not asked.
        for i, j in itertools.combinations(range(self._n), 2):
            if not busy[i] and not busy[j] and (i, j) not in self._asked and len(pairs) < self._left:
                busy[i] = busy[j] = True
                pairs.append((i, j))
        return pairs


def default_pairs(n: int) -> int:
    """Return the number of comparisons for ``n`` items: all pairs up to ``ROUND_ROBIN``, above that seven an item.

    >>> default_pairs(8), default_pairs(9), default_pairs(100)
    (28, 36, 700)
    """
    everything = n * (n - 1) // 2
    return everything if n <= ROUND_ROBIN else min(everything, 7 * n)
