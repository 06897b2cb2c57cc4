"""Which of many ranked items others are best compared with: the ones that tell most about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from redaes.errors import InputError
from redaes.points import sigmoid
from redaes.ranking.graph import DECIMALS, Outcome
from redaes.ranking.placements import KnownReferences, Vector, information
from redaes.ranking.strengths import dispersion_of

PRIOR_RESIDUALS = 8.0
"""Residuals of the usual spread that are added to those of each item, so that few answers brand none [ours]."""


@dataclass(frozen=True)
class InformativeChoice:
    """Items that were chosen to be compared with."""

    indices: tuple[int, ...]
    """In the order in which they were taken: the first k - 1 are the choice of k - 1."""
    expected_errors: tuple[float, ...]
    """Standard error of a placement that is expected with the first, the first two, …, in logits."""


def choose_informative(
    candidates: KnownReferences, k: int, n_comparisons: int, weight: float = 2.0
) -> InformativeChoice:
    """Return the k candidates that are expected to place items like the candidates most precisely.

    What is made small is the mean, over the strengths x that an item may have, of its posterior variance
    1 / (1 / sigma^2 + sum of the ``n_comparisons`` largest I_j(x) among the chosen j), with sigma the standard
    deviation of the strengths and I_j from :func:`~redaes.ranking.placements.information`: every item is compared with
    the chosen references that tell most about it. The mean posterior variance is what Bayesian designs for estimation
    make small (Chaloner and Verdinelli, Bayesian Experimental Design: A Review, Statistical Science 10, 1995); that
    the errors of references are taken for independent, and that information adds up at the true strength, is
    ours. The candidates are taken one after another, each time the one that lowers it most; equal ones: the first.

    >>> variances = np.array([0.1, 0.1, 0.5, 0.1])
    >>> candidates = KnownReferences(np.array([-2.0, 0.0, 0.0, 2.0]), variances, np.ones(4), 0.0, 1.5)
    >>> choose_informative(candidates, 3, 1).indices  # the middle, then both sides; the ill-known one is left out
    (1, 0, 3)

    Args:
        candidates: ranked items.
        k: how many to take.
        n_comparisons: how many references an item is to be compared with; more than k: all.
        weight: usable calls of a comparison.

    Raises:
        InputError: k or ``n_comparisons`` is not above 0, or there are fewer than k candidates.
    """
    m = len(candidates.values)
    if not 1 <= k <= m or n_comparisons < 1:
        raise InputError(f"{k} references of {m} candidates, {n_comparisons} a picture; give 1 to {m}, and at least 1")
    told = information(likely_strengths(candidates), candidates, weight)  # (points, m)
    best = np.zeros((len(told), 0))  # the largest of the chosen ones, at most n_comparisons
    open_ = np.ones(m, dtype=bool)
    prior = 1.0 / candidates.deviation**2
    indices: list[int] = []
    errors: list[float] = []
    for _ in range(k):
        total = prior + best.sum(axis=1)
        # One more takes the place of the least of those that are compared, if there are enough.
        least = best.min(axis=1) if best.shape[1] == n_comparisons else np.zeros(len(told))
        variance = (1.0 / (total[:, None] + np.maximum(told - least[:, None], 0.0))).mean(axis=0)
        taken = int(np.where(open_, variance.round(DECIMALS), np.inf).argmin())
        open_[taken] = False
        indices.append(taken)
        errors.append(float(np.sqrt(variance[taken])))
        best = -np.sort(-np.column_stack([best, told[:, taken]]), axis=1)[:, :n_comparisons]
    return InformativeChoice(tuple(indices), tuple(errors))


def likely_strengths(candidates: KnownReferences) -> Vector:
    """Return strengths that an item may have: those of the candidates, drawn together to the deviation that is left
    when their errors are taken off."""
    off = candidates.values - candidates.values.mean()
    spread = float(off.std())
    return np.asarray(candidates.mean + off * (candidates.deviation / spread if spread > 0 else 0.0))


def population(values: Vector, variances: Vector) -> tuple[float, float]:
    """Return the mean and standard deviation of the true strengths, of which estimates with these errors are at hand.

    The variance of estimates is that of the true ones and the mean of the errors' variances together; at least a tenth
    of it is left to the true ones [ours].
    """
    seen = float(values.var())
    return float(values.mean()), float(np.sqrt(max(seen - float(variances.mean()), 0.1 * seen, 1e-4)))


def dispersions(values: Vector, outcomes: Sequence[Outcome], leans: Sequence[float | None] = ()) -> Vector:
    """Return how far the answers about each item spread, over what coin tosses of the fitted probabilities would; shape
    (n,).

    Two things are looked at. The residual of an outcome y of weight w, squared, over p (1 - p) / w. And, where both
    orders were read, how much they disagree beyond the judge's usual lean to one side: the lean of a pair, less the
    mean of all, is as uncertain as what both orders say together; squared, times w p (1 - p), it is a second residual.
    Each kind is divided by its mean over all outcomes; those of an item are averaged with ``PRIOR_RESIDUALS`` ones, and
    multiplied by the dispersion of all answers [ours].

    Args:
        values: strengths of all items, in logits.
        outcomes: comparisons between them.
        leans: lean of each outcome, as :attr:`redaes.types.PairAnswer.lean`; empty: none is known.
    """
    n = len(values)
    table = np.array(outcomes, dtype=np.float64).reshape(-1, 4)
    first, second = table[:, 0].astype(np.intp), table[:, 1].astype(np.intp)
    won, weight = table[:, 2], table[:, 3]
    expected = sigmoid(values[first] - values[second])
    spread = np.maximum(expected * (1.0 - expected), 1e-6)
    kinds: list[tuple[NDArray[np.intp], Vector]] = [
        (np.arange(len(table), dtype=np.intp), weight * (won - expected) ** 2 / spread)
    ]
    known = np.array([place for place, lean in enumerate(leans) if lean is not None], dtype=np.intp)
    if len(known) > 1:
        lean = np.array([one for one in leans if one is not None])
        kinds.append((known, weight[known] * spread[known] * (lean - lean.mean()) ** 2))
    total, count = np.full(n, PRIOR_RESIDUALS), np.full(n, PRIOR_RESIDUALS)
    for places, squares in kinds:
        mean = float(squares.mean()) if len(squares) else 0.0
        if mean > 0.0:
            for ends in (first[places], second[places]):
                total += np.bincount(ends, squares / mean, n)
                count += np.bincount(ends, minlength=n)
    return np.asarray(dispersion_of(n, won, expected, weight) * total / count)
