"""Items placed one by one among references of known strength, each beside the references that tell most about it.

This is adaptive testing with comparisons in place of tasks: what is asked next depends on what was answered (Lord,
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
    """References as a judge knows them."""

    values: Vector
    """Strengths, shape (k,), in logits."""
    variances: Vector
    """Of the strengths, shape (k,), in squared logits; 0: taken as exact."""
    dispersions: Vector
    """Of the answers about each, shape (k,), over that of coin tosses: 1 as these, above 1 less consistent."""
    mean: float
    """Of the strengths of the items that are to be placed, as far as it is known, in logits."""
    deviation: float
    """Their standard deviation, in logits."""


def information(strength: Vector, references: KnownReferences, weight: float) -> Vector:
    """Return what a comparison of ``weight`` usable calls is expected to tell of a strength, in 1 / squared logits.

    A comparison of x with reference j, won with probability p = 1 / (1 + exp(r_j - x)), has the Fisher information
    I = w p (1 - p) (Lord 1980, chapter 5, for the one-parameter model). Two things make it worth less [ours]: answers
    about j spread phi_j times as much as coin tosses, and r_j itself is known up to a variance v_j. So x - r_j is seen
    with the variance phi_j / I, and x with phi_j / I + v_j; the reciprocal is what counts: I / (phi_j + I v_j).

    >>> known = KnownReferences(np.array([0.0, 3.0]), np.zeros(2), np.ones(2), 0.0, 1.0)
    >>> information(np.array([0.0]), known, 2.0).round(3).tolist()
    [[0.5, 0.09]]

    Args:
        strength: any shape.
        references: k of them.
        weight: weight of a comparison.

    Returns:
        The shape of ``strength`` with k behind it.
    """
    expected = sigmoid(strength[..., None] - references.values)
    fisher = weight * expected * (1.0 - expected)
    return np.asarray(fisher / (references.dispersions + fisher * references.variances))


class Placements:
    """Items being placed: what was answered about each so far, and which reference to ask about next.

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
            references: what they are compared with.
            weight: usable calls that a comparison is expected to have.
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
        """Never ask about this pair: it gave no usable answer."""
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
        """For each item the reference, of those not yet asked, whose answer is expected to tell most of it, averaged
        over what the strength may still be; -1: none is left. Equal ones: the first. Shape (n,).
        """
        self._fit()
        nodes = self._values[:, None] + np.sqrt(self._variances)[:, None] * _NODES  # (n, nodes)
        worth = np.einsum("nqk,q->nk", information(nodes, self._references, self._weight), _NODE_WEIGHTS)
        worth = np.where(self._open, worth.round(DECIMALS), -1.0)
        found = worth.argmax(axis=1)
        return np.where(self._open.any(axis=1), found, -1)

    def strengths(self) -> Vector:
        """Return the shape (n,), in logits; the mean of the prior for an item of which nothing is known."""
        self._fit()
        return self._values.copy()

    def errors(self) -> Vector:
        """Return standard errors that the model expects, shape (n,), in logits; the prior is in them."""
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
            # Steps are by the slope of the gradient, which is below 0 everywhere. Where answers surprise, the curvature
            # that is expected is far from it, and steps by that go to and fro for ever.
            surprise = (self._won - expected) ** 2 + self._won * (1.0 - self._won)
            slope = worth / uncertain * spread * (known.dispersions + weights * known.variances * surprise)
            step = np.clip(gradient / (slope.sum(axis=1) + prior), -1.0, 1.0)  # from afar a full step can overshoot
            # Each item stops by itself, so that what becomes of it does not depend on the others.
            self._values = np.where(moving, self._values + step, self._values)
            moving &= np.abs(step) > 1e-10
            if not moving.any():
                break
        self._values = self._values.round(DECIMALS)
        self._variances = (1.0 / curvature).round(DECIMALS)
        self._stale = False
