"""Choose, among many ranked items, those that tell most about other items that are compared with them."""

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
"""Number of residuals of average size that are added to those of each item, so that few answers do not mark an item as
inconsistent [ours].
"""


@dataclass(frozen=True)
class InformativeChoice:
    """Items that were chosen as references."""

    indices: tuple[int, ...]
    """Indices in the order of choice: the first k - 1 are the choice of k - 1."""
    expected_errors: tuple[float, ...]
    """Expected standard error of a placement with the first reference, the first two, and so on, in logits."""


def choose_informative(
    candidates: KnownReferences, k: int, n_comparisons: int, weight: float = 2.0
) -> InformativeChoice:
    """Return the k candidates that are expected to place items like the candidates most precisely.

    The choice minimizes the mean, over the strengths x that an item may have, of its posterior variance
    1 / (1 / sigma^2 + sum of the ``n_comparisons`` largest I_j(x) among the chosen j), with sigma the standard
    deviation of the strengths and I_j from :func:`~redaes.ranking.placements.information`: every item is compared with
    the chosen references that tell most about it. Minimizing the mean posterior variance is the criterion of Bayesian
    designs for estimation (Chaloner and Verdinelli, Bayesian Experimental Design: A Review, Statistical Science 10,
    1995); treating the errors of references as independent, and adding up information at the true strength, is ours.
    Candidates are chosen greedily, each time the one that lowers the mean most; of equal ones, the first.

    >>> variances = np.array([0.1, 0.1, 0.5, 0.1])
    >>> candidates = KnownReferences(np.array([-2.0, 0.0, 0.0, 2.0]), variances, np.ones(4), 0.0, 1.5)
    >>> choose_informative(candidates, 3, 1).indices  # the middle, then both sides; the ill-known one is left out
    (1, 0, 3)

    Args:
        candidates: ranked items.
        k: number of items to choose.
        n_comparisons: number of references that an item will be compared with; more than k: all.
        weight: number of usable answers of a comparison.

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
        # With enough references, a new one replaces the least informative of those that are compared.
        least = best.min(axis=1) if best.shape[1] == n_comparisons else np.zeros(len(told))
        variance = (1.0 / (total[:, None] + np.maximum(told - least[:, None], 0.0))).mean(axis=0)
        taken = int(np.where(open_, variance.round(DECIMALS), np.inf).argmin())
        open_[taken] = False
        indices.append(taken)
        errors.append(float(np.sqrt(variance[taken])))
        best = -np.sort(-np.column_stack([best, told[:, taken]]), axis=1)[:, :n_comparisons]
    return InformativeChoice(tuple(indices), tuple(errors))


def likely_strengths(candidates: KnownReferences) -> Vector:
    """Return strengths that an item may have: those of the candidates, shrunk to the standard deviation without their
    errors.
    """
    off = candidates.values - candidates.values.mean()
    spread = float(off.std())
    return np.asarray(candidates.mean + off * (candidates.deviation / spread if spread > 0 else 0.0))


def population(values: Vector, variances: Vector) -> tuple[float, float]:
    """Return the mean and standard deviation of the true strengths, from estimates with these error variances.

    The variance of the estimates is the variance of the true strengths plus the mean error variance; the true strengths
    get at least a tenth of it [ours].
    """
    seen = float(values.var())
    return float(values.mean()), float(np.sqrt(max(seen - float(variances.mean()), 0.1 * seen, 1e-4)))


def dispersions(values: Vector, outcomes: Sequence[Outcome], leans: Sequence[float | None] = ()) -> Vector:
    """Return the dispersion of the answers about each item, relative to coin tosses with the fitted probabilities;
    shape (n,).

    Two residuals are used. The first is that of an outcome y of weight w, squared, divided by p (1 - p) / w. The
    second, where both orders were read, is how much they disagree beyond the judge's mean lean to one side: the lean of
    a pair minus the mean of all, which is as uncertain as both orders together, squared and multiplied by w p (1 - p).
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
