"""Place items among references of known strength, comparing each with the references that tell most about it.

This is adaptive testing with comparisons as tasks: the next question depends on the answers so far (Lord,
Applications of Item Response Theory, 1980, chapters 5 and 10; van der Linden and Glas, Elements of Adaptive Testing,
2010, chapter 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from redaes.points import sigmoid
from redaes.ranking.graph import DECIMALS

Vector = NDArray[np.float64]

_NODES, _NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(7)
_NODE_WEIGHTS = _NODE_WEIGHTS / _NODE_WEIGHTS.sum()


@dataclass(frozen=True)
class KnownReferences:
    """References with the strengths that a judge gave them."""

    values: Vector
    """Strengths, shape (k,), in logits."""
    variances: Vector
    """Variances of the strengths, shape (k,), in squared logits; 0: the strength is exact."""
    dispersions: Vector
    """Dispersion of the answers about each, shape (k,), relative to coin tosses: 1: equal, above 1: less consistent."""
    mean: float
    """Prior mean of the strengths of the items to be placed, in logits."""
    deviation: float
    """Prior standard deviation of the strengths of the items to be placed, in logits."""


def information(strength: Vector, references: KnownReferences, weight: float) -> Vector:
    """Return the expected information of a comparison with ``weight`` usable calls about a strength, in 1 / squared
    logits.

    A comparison of x with reference j, won with probability p = 1 / (1 + exp(r_j - x)), has the Fisher information
    I = w p (1 - p) (Lord 1980, chapter 5, for the one-parameter model). Two things make it worth less [ours]: answers
    about j spread phi_j times as much as coin tosses, and r_j itself is known up to a variance v_j. So x - r_j is seen
    with the variance phi_j / I, and x with phi_j / I + v_j; the reciprocal is what counts: I / (phi_j + I v_j).

    >>> known = KnownReferences(np.array([0.0, 3.0]), np.zeros(2), np.ones(2), 0.0, 1.0)
    >>> information(np.array([0.0]), known, 2.0).round(3).tolist()
    [[0.5, 0.09]]

    Args:
        strength: strengths, of any shape.
        references: k references.
        weight: weight of a comparison.

    Returns:
        An array of the shape of ``strength`` with a last axis of length k.
    """
    expected = sigmoid(strength[..., None] - references.values)
    fisher = weight * expected * (1.0 - expected)
    return np.asarray(fisher / (references.dispersions + fisher * references.variances))


class Placements:
    """The state of placing items: the answers about each so far, and the reference to ask about next.

    The strength of an item is the maximum of its posterior under the normal prior of the references; an outcome y
    of weight w about reference j has the variance phi p (1 - p) / w + v (p (1 - p))^2, which on the scale of strengths
    is the reciprocal of :func:`information` (quasi-likelihood: McCullagh and Nelder, Generalized Linear Models, 1989,
    chapter 9).

    >>> known = KnownReferences(np.array([-1.0, 0.0, 2.0]), np.zeros(3), np.ones(3), 0.0, 2.0)
    >>> placements = Placements(1, known)
    >>> placements.next_references().tolist()
    [1]
    >>> placements.record(0, 1, 0.9, 2.0)
    >>> placements.next_references().tolist()
    [2]
    """

    def __init__(self, n: int, references: KnownReferences, *, weight: float = 2.0) -> None:
        """
        Args:
            n: number of items.
            references: the references that they are compared with.
            weight: expected number of usable calls of a comparison.
        """
        k = len(references.values)
        self._references = references
        self._weight = weight
        self._won = np.full((n, k), 0.5)
        self._weights = np.zeros((n, k))
        self._open = np.ones((n, k), dtype=bool)
        self._values = np.full(n, references.mean)
        self._variances = np.full(n, references.deviation**2)
        self._stale = False

    def close(self, item: int, reference: int) -> None:
        """Mark a pair that gave no usable answer, so that it is never asked again."""
        self._open[item, reference] = False

    def record(self, item: int, reference: int, probability: float, weight: float) -> None:
        """Take in P(item is better than reference), from ``weight`` usable calls."""
        self.record_many(np.array([item]), np.array([reference]), np.array([probability]), np.array([weight]))

    def record_many(
        self, items: NDArray[np.intp], references: NDArray[np.intp], probabilities: Vector, weights: Vector
    ) -> None:
        """Take in several outcomes, each of another pair."""
        self._won[items, references] = probabilities
        self._weights[items, references] = weights
        self._open[items, references] = False
        self._stale = True

    def next_references(self) -> NDArray[np.intp]:
        """Return for each item the reference, among those not yet asked, whose answer is expected to tell most about
        it, averaged over the posterior of its strength; of equal ones the first; -1: none is left. Shape (n,).
        """
        self._fit()
        nodes = self._values[:, None] + np.sqrt(self._variances)[:, None] * _NODES  # (n, nodes)
        worth = np.einsum("nqk,q->nk", information(nodes, self._references, self._weight), _NODE_WEIGHTS)
        worth = np.where(self._open, worth.round(DECIMALS), -1.0)
        found = worth.argmax(axis=1)
        return np.where(self._open.any(axis=1), found, -1)

    def strengths(self) -> Vector:
        """Return the strengths, shape (n,), in logits; the prior's mean for an item without answers."""
        self._fit()
        return self._values.copy()

    def errors(self) -> Vector:
        """Return the posterior standard errors, shape (n,), in logits."""
        self._fit()
        return np.sqrt(self._variances)

    def _fit(self) -> None:
        if not self._stale:
            return
        known, weights = self._references, self._weights
        prior = 1.0 / known.deviation**2
        moving = np.ones(len(self._values), dtype=bool)
        for _ in range(100):
            expected = sigmoid(self._values[:, None] - known.values)
            spread = expected * (1.0 - expected)
            uncertain = known.dispersions + weights * spread * known.variances
            worth = weights / uncertain
            curvature = (worth * spread).sum(axis=1) + prior
            gradient = (worth * (self._won - expected)).sum(axis=1) - (self._values - known.mean) * prior
            # Steps use the derivative of the gradient, which is negative everywhere. With surprising answers the
            # expected
            # curvature is far from it, and steps with that would oscillate for ever.
            surprise = (self._won - expected) ** 2 + self._won * (1.0 - self._won)
            slope = worth / uncertain * spread * (known.dispersions + weights * known.variances * surprise)
            step = np.clip(
                gradient / (slope.sum(axis=1) + prior), -1.0, 1.0
            )  # far from the solution a full step can overshoot
            # Each item stops by itself, so that its result does not depend on the others.
            self._values = np.where(moving, self._values + step, self._values)
            moving &= np.abs(step) > 1e-10
            if not moving.any():
                break
        self._values = self._values.round(DECIMALS)
        self._variances = (1.0 / curvature).round(DECIMALS)
        self._stale = False
