"""Strengths of many items, in time and memory that grow with the comparisons and not with the square of the items.

The posterior is that of :func:`redaes.ranking.strengths.fit_strengths`. Its maximum is found by Newton's method with
conjugate gradients instead of a matrix, and the errors, the diagonal of an inverse that is never formed, are estimated
with vectors of random signs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from redaes.points import sigmoid
from redaes.ranking.graph import Outcome
from redaes.ranking.strengths import PRIOR_SD, Z_SETTLED, dispersion_of

N_PROBES = 64
"""Number of vectors of random signs, which give errors to about a tenth."""

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class SparseStrengths:
    """Bradley-Terry strengths with their errors, without covariances."""

    values: Vector
    """Shape (n,), in logits, zero mean."""
    errors: Vector
    """Standard errors, shape (n,), in logits."""

    def settled(self, k: int) -> bool:
        """Return whether each of the best ``k`` is better than each of the others with at least 95 %.

        Errors are treated as independent, which is safe: what two items have in common only makes their difference more
        certain.
        """
        order = np.argsort(-self.values, kind="stable")
        best, rest = order[:k], order[k:]
        gap = self.values[best][:, None] - self.values[rest][None, :]
        spread = np.hypot(self.errors[best][:, None], self.errors[rest][None, :])
        return bool((gap >= Z_SETTLED * spread).all())


class SparseFit:
    """Outcomes, which can be added, and the strengths that fit them."""

    def __init__(self, n: int) -> None:
        """
        Args:
            n: number of items.
        """
        self._n = n
        self._values = np.zeros(n)
        self._outcomes: list[Outcome] = []

    def add(self, outcome: Outcome) -> None:
        """Add a comparison that :func:`~redaes.ranking.graph.check_edge` accepts."""
        self._outcomes.append(outcome)

    def strengths(self) -> Vector:
        """Return the strengths, shape (n,), in logits, with zero mean; the search starts at those found before."""
        first, second, won, weight = self._columns()
        values = self._values
        for _ in range(100):
            expected = sigmoid(values[first] - values[second])
            residual = weight * (won - expected)
            pulled = np.bincount(first, residual, self._n) - np.bincount(second, residual, self._n)
            gradient = np.asarray(pulled - values / PRIOR_SD**2, dtype=np.float64)
            spread = weight * expected * (1.0 - expected)
            step = self._solved(first, second, spread, gradient[:, None])[:, 0]
            largest = float(np.abs(step).max(initial=0.0))
            values = values + step / max(1.0, largest)  # far from the maximum a full step can overshoot
            if largest < 1e-8:
                break
        self._values = values
        return np.asarray(values - values.mean())

    def rough_errors(self) -> Vector:
        """Return each error as if all other strengths were known: too small, but good enough for choosing questions."""
        first, second, _, weight = self._columns()
        expected = sigmoid(self._values[first] - self._values[second])
        return np.asarray(1.0 / np.sqrt(self._diagonal(first, second, weight * expected * (1.0 - expected))))

    def fitted(self) -> SparseStrengths:
        """Return the strengths with errors that are accurate to about a tenth."""
        values = self.strengths()
        first, second, won, weight = self._columns()
        expected = sigmoid(values[first] - values[second])
        spread = weight * expected * (1.0 - expected)
        signs = np.random.default_rng(0).choice((-1.0, 1.0), (self._n, N_PROBES))
        solved = self._solved(first, second, spread, signs)
        # Only distances from the mean were estimated, so the common shift, which only the prior determines, is removed.
        solved -= solved.mean(axis=0)
        least = (1.0 - 1.0 / self._n) ** 2 / self._diagonal(first, second, spread)
        variance = np.maximum((signs * solved).mean(axis=1), least)
        return SparseStrengths(values, np.sqrt(variance * dispersion_of(self._n, won, expected, weight)))

    def _columns(self) -> tuple[NDArray[np.intp], NDArray[np.intp], Vector, Vector]:
        table = np.array(self._outcomes, dtype=np.float64).reshape(-1, 4)
        return table[:, 0].astype(np.intp), table[:, 1].astype(np.intp), table[:, 2], table[:, 3]

    def _diagonal(self, first: NDArray[np.intp], second: NDArray[np.intp], spread: Vector) -> Vector:
        return np.asarray(
            np.bincount(first, spread, self._n) + np.bincount(second, spread, self._n) + 1.0 / PRIOR_SD**2
        )

    def _solved(self, first: NDArray[np.intp], second: NDArray[np.intp], spread: Vector, right: Vector) -> Vector:
        """Return the curvature's inverse times (n, m) columns, by conjugate gradients, scaled by the diagonal."""
        diagonal = self._diagonal(first, second, spread)[:, None]

        def curvature(columns: Vector) -> Vector:
            product = diagonal * columns
            for column in range(columns.shape[1]):
                one = columns[:, column]
                product[:, column] -= np.bincount(first, spread * one[second], self._n)
                product[:, column] -= np.bincount(second, spread * one[first], self._n)
            return product

        found = np.zeros_like(right)
        rest = right.copy()
        scaled = rest / diagonal
        way = scaled.copy()
        power = (rest * scaled).sum(axis=0)
        enough = 1e-20 * np.maximum((right * right / diagonal).sum(axis=0), 1e-300)
        for _ in range(10 * self._n):
            if (power <= enough).all():
                break
            turned = curvature(way)
            length = power / np.maximum((way * turned).sum(axis=0), 1e-300)
            found += length * way
            rest -= length * turned
            scaled = rest / diagonal
            now = (rest * scaled).sum(axis=0)
            way = scaled + now / np.maximum(power, 1e-300) * way
            power = now
        return found


def fit_sparse(n: int, outcomes: Sequence[Outcome]) -> SparseStrengths:
    """Fit strengths like :func:`redaes.ranking.strengths.fit_strengths`, for many items; errors are accurate to about a
    tenth.

    >>> fit_sparse(2, [(0, 1, 0.75, 400.0)]).values.round(2).tolist()  # 3 to 1: log 3 apart
    [0.55, -0.55]

    Args:
        n: number of items.
        outcomes: comparisons between items ``0 .. n-1``, which must have been checked.
    """
    fit = SparseFit(n)
    for outcome in outcomes:
        fit.add(outcome)
    return fit.fitted()
