"""Bradley-Terry strengths from outcomes or from a table of wins, with their uncertainty."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from redaes.errors import InputError
from redaes.points import sigmoid
from redaes.ranking.graph import Outcome, check_edge

PRIOR_SD = 3.0
"""Standard deviation of the prior of a strength, in logits [our decision]."""

Z_SETTLED = 1.6449
"""Number of standard errors from which a difference counts as settled: 95 %, one-sided."""


@dataclass(frozen=True)
class Strengths:
    """Bradley-Terry strengths with their uncertainty."""

    values: NDArray[np.float64]
    """Strengths, shape (n,), in logits, with zero mean."""
    covariance: NDArray[np.float64]
    """Covariance of the errors of the values, shape (n, n), in squared logits."""

    @property
    def errors(self) -> NDArray[np.float64]:
        """Standard errors, shape (n,), in logits."""
        return np.sqrt(np.diag(self.covariance))

    @property
    def difference_variance(self) -> NDArray[np.float64]:
        """Variances of the differences of any two strengths, shape (n, n), in squared logits."""
        own = np.diag(self.covariance)
        return np.maximum(own[:, None] + own[None, :] - 2.0 * self.covariance, 0.0)

    def settled(self, k: int) -> bool:
        """Return whether each of the best ``k`` is better than each of the others with at least 95 %."""
        order = np.argsort(-self.values, kind="stable")
        best, rest = order[:k], order[k:]
        gap = self.values[best][:, None] - self.values[rest][None, :]
        return bool((gap >= Z_SETTLED * np.sqrt(self.difference_variance[np.ix_(best, rest)])).all())


def fit_strengths(n: int, outcomes: Sequence[Outcome]) -> Strengths:
    """Return Bradley-Terry strengths from probabilities: P(i beats j) = 1 / (1 + exp(strength_j - strength_i)).

    They maximize the likelihood in which an outcome with probability p and weight w counts as w p wins and w (1 - p)
    losses, under a normal prior of mean 0 and standard deviation ``PRIOR_SD`` [ours], which keeps the strength of a
    picture that never lost finite. The covariance is the inverse curvature (Laplace) times the dispersion of the
    residuals (quasi-likelihood: McCullagh and Nelder, Generalized Linear Models, section 9.2): answers that agree
    better than coin tosses of the same probability give narrower errors, answers that contradict each other wider ones.
    With few residuals the dispersion is drawn towards 1.

    >>> fit_strengths(2, [(0, 1, 0.75, 400.0)]).values.round(2).tolist()  # 3 to 1: log 3 apart
    [0.55, -0.55]

    Args:
        n: number of items.
        outcomes: comparisons between items ``0 .. n-1``.

    Raises:
        InputError: an item is out of range or compared with itself, or a number is unusable.
    """
    for i, j, probability, n_calls in outcomes:
        check_edge(n, i, j, probability, n_calls)
        if not 0.0 <= probability <= 1.0:
            raise InputError(f"edge ({i}, {j}) has probability {probability}; give one of 0 to 1")
    table = np.array(outcomes, dtype=np.float64).reshape(-1, 4)
    first, second = table[:, 0].astype(np.intp), table[:, 1].astype(np.intp)
    won, weight = table[:, 2], table[:, 3]
    strength: NDArray[np.float64] = np.zeros(n)
    for _ in range(100):  # Newton's method; the logarithm of the posterior is concave
        expected = sigmoid(strength[first] - strength[second])
        residual = weight * (won - expected)
        gradient = np.bincount(first, residual, n) - np.bincount(second, residual, n) - strength / PRIOR_SD**2
        step = np.linalg.solve(_curvature(n, first, second, weight * expected * (1.0 - expected)), gradient)
        largest = float(np.abs(step).max(initial=0.0))
        strength = strength + step / max(1.0, largest)  # far from the maximum a full step can overshoot
        if largest < 1e-10:
            break
    expected = sigmoid(strength[first] - strength[second])
    spread = weight * expected * (1.0 - expected)
    covariance = np.linalg.inv(_curvature(n, first, second, spread))
    dispersion = dispersion_of(n, won, expected, weight)
    # Only distances from the mean were estimated, so the common shift, which only the prior determines, is removed.
    centre = np.eye(n) - 1.0 / max(1, n)
    return Strengths(centre @ strength, dispersion * (centre @ covariance @ centre))


def dispersion_of(
    n: int, won: NDArray[np.float64], expected: NDArray[np.float64], weight: NDArray[np.float64]
) -> float:
    """Return the dispersion of the residuals, relative to coin tosses with the expected probabilities.

    Args:
        n: number of items.
        won: stated probability that the first of each comparison is better.
        expected: the same probability according to the strengths.
        weight: weight of each comparison.
    """
    n_free, n_fitted = max(0, len(won) - max(0, n - 1)), max(1, n - 1)
    if not n_free:
        return 1.0
    # Mean squares of whole comparisons, because the two calls of one pair are not independent.
    observed = float((weight * (won - expected) ** 2).sum()) / n_free
    return (n_fitted + n_free * observed / float((expected * (1.0 - expected)).mean())) / (n_fitted + n_free)


def fit_one(outcomes: Sequence[tuple[float, float, float]]) -> tuple[float, float]:
    """Return the strength of one item that was compared with others of known strength, and its standard error.

    The estimate is that of :func:`fit_strengths` with the others held fixed.

    >>> [round(value, 2) for value in fit_one([(0.0, 0.75, 100.0), (0.0, 0.75, 100.0)])]
    [1.1, 0.12]

    Args:
        outcomes: (strength of the other in logits, P(this one is better), weight), at least one.

    Returns:
        The strength and its standard error, in logits.
    """
    other, won, weight = np.array(outcomes, dtype=np.float64).T
    strength = 0.0
    for _ in range(100):
        expected = sigmoid(np.asarray(strength - other))
        spread = weight * expected * (1.0 - expected)
        curvature = float(spread.sum()) + 1.0 / PRIOR_SD**2
        step = (float((weight * (won - expected)).sum()) - strength / PRIOR_SD**2) / curvature
        strength += max(-1.0, min(1.0, step))
        if abs(step) < 1e-10:
            break
    observed = float((weight * (won - expected) ** 2).sum()) / float((spread / weight).mean())
    dispersion = (1.0 + observed) / len(outcomes)  # over n - 1 free residuals and 1 of expected size
    return strength, math.sqrt(dispersion / curvature)


def bradley_terry(wins: ArrayLike) -> NDArray[np.float64]:
    """Return the maximum-likelihood Bradley-Terry strengths: P(i beats j) = 1 / (1 + exp(strength_j - strength_i)).

    >>> bradley_terry([[0, 3], [1, 0]]).round(4).tolist()  # 3 to 1: the logits differ by log 3
    [0.5493, -0.5493]

    Args:
        wins: shape (n, n); ``wins[i, j]`` is how often, or with which probability, ``i`` was preferred to
            ``j``. A tie counts one half on either side. The diagonal must be zero.

    Returns:
        Strengths of shape (n,), in logits, zero mean.

    Raises:
        InputError: the table is malformed, or no finite maximum exists because some items never lost to the
            rest (add a small count to both sides of every pair in that case).
    """
    table = np.asarray(wins, dtype=np.float64)
    if table.ndim != 2 or table.shape[0] != table.shape[1] or not table.size:
        raise InputError(f"wins has the shape {table.shape}; give a square table of at least one item")
    if not np.isfinite(table).all() or (table < 0).any() or np.diag(table).any():
        raise InputError("wins must hold finite counts of at least 0, with a diagonal of zeros")
    n = len(table)
    gap = unconnected(table)
    if gap is not None:
        beaten, unbeaten = gap
        raise InputError(
            f"no finite strengths exist: no chain of wins leads from item {beaten} to item {unbeaten}; "
            "compare more pairs or add a small count, such as 0.5, to both sides of every pair"
        )
    games = table + table.T
    won = table.sum(axis=1)
    strength: NDArray[np.float64] = np.zeros(n)
    for _ in range(200):  # Newton's method; the log-likelihood is concave
        p = 1.0 / (1.0 + np.exp(strength[None, :] - strength[:, None]))
        gradient = won - (games * p).sum(axis=1)
        curvature = games * p * p.T
        hessian = np.diag(curvature.sum(axis=1)) - curvature + 1.0 / n  # adding 1/n fixes the mean at zero
        step = np.linalg.solve(hessian, gradient)
        # Far from the maximum a full step can overshoot; one logit at a time cannot run away.
        strength = strength + step / max(1.0, np.abs(step).max())
        if np.abs(step).max() < 1e-12:
            break
    centred: NDArray[np.float64] = strength - strength.mean()
    return centred


def unconnected(wins: NDArray[np.float64]) -> tuple[int, int] | None:
    """Return two items such that no chain of wins leads from the first to the second, or None.

    Bradley-Terry strengths are finite exactly if there are none (Ford 1957).

    Args:
        wins: shape (n, n), as in :func:`bradley_terry`.
    """
    n = len(wins)
    reach = (wins > 0) | np.eye(n, dtype=bool)
    for _ in range(n.bit_length()):
        reach = reach @ reach  # a product of booleans: is there an intermediate item
    if reach.all():
        return None
    start, end = np.argwhere(~reach)[0]
    return int(start), int(end)


def _curvature(
    n: int, first: NDArray[np.intp], second: NDArray[np.intp], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return minus the second derivative of the logarithm of the posterior, shape (n, n)."""
    between = np.bincount(first * n + second, weight, n * n).reshape(n, n)
    between += between.T
    return np.diag(between.sum(axis=1) + 1.0 / PRIOR_SD**2) - between
