"""The potential of a group: scores whose differences cannot contradict each other.

Comparisons two by two need not agree: A over B by 2, B over C by 1, A over C by 1. The scores that minimise
``sum of w * (s_first - s_second - delta)^2`` are their potential; its differences are consistent by construction. What
no potential explains (the residuals) measures how much the answers contradict each other: it is exactly the cyclic part
of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from redaes.ranking.graph import Edge, check_edge, components


@dataclass(frozen=True)
class Potential:
    """Scores of a group's items, and how well they explain the measured differences."""

    values: NDArray[np.float64]
    """Scores, shape (n,), in the unit of the deltas, with zero mean in every connected component; only differences
    within a component are meaningful.
    """
    residuals: NDArray[np.float64]
    """Measured minus fitted difference of every edge."""
    inconsistency: float
    """Weighted share of the squared measured differences that no scores explain: 0: consistent, 1: entirely cyclic."""


def fit_potential(n: int, edges: Sequence[Edge]) -> Potential:
    """Return scores whose differences fit the edges best: weighted least squares on the comparison graph.

    >>> found = fit_potential(3, [(0, 1, 2.0, 1.0), (1, 2, 1.0, 1.0), (0, 2, 1.0, 1.0)])
    >>> found.values.round(3).tolist(), found.residuals.round(3).tolist(), round(found.inconsistency, 3)
    ([1.0, -0.333, -0.667], [0.667, 0.667, -0.667], 0.222)

    Args:
        n: number of items.
        edges: comparisons between items ``0 .. n-1``, in any order; several of the same two items are fine, and an item
            without any gets 0.

    Raises:
        InputError: as in :func:`~redaes.ranking.graph.check_edge`.
    """
    for edge in edges:
        check_edge(n, *edge)
    # In a fixed order, because sums of floats depend on the order and the result must not.
    rows = sorted(edges)
    design = np.zeros((len(rows), n))
    root_weight = np.sqrt([weight for *_, weight in rows])
    for number, (i, j, _, _) in enumerate(rows):
        design[number, i] = root_weight[number]
        design[number, j] = -root_weight[number]
    target = root_weight * np.array([delta for _, _, delta, _ in rows])
    # The solution of least norm: adding a constant to a component's scores changes no difference, so their mean is
    # zero, up to rounding.
    scores = np.linalg.lstsq(design, target, rcond=None)[0]
    for part in components(n, edges):
        scores[part] -= scores[part].mean()
    total = float(target @ target)
    unexplained = target - design @ scores
    return Potential(
        values=scores,
        residuals=np.array([delta - (scores[i] - scores[j]) for i, j, delta, _ in edges]),
        # Rounding can give slightly more than 1 if everything is cyclic.
        inconsistency=min(1.0, float(unexplained @ unexplained) / total) if total > 0 else 0.0,
    )


def difference_variance(n: int, edges: Sequence[Edge]) -> NDArray[np.float64]:
    """Return the variance of each difference in :func:`fit_potential`, if an edge of weight 1 has variance 1.

    >>> difference_variance(3, [(0, 1, 2.0, 1.0), (1, 2, 1.0, 2.0)]).round(3).tolist()
    [[0.0, 1.0, 1.5], [1.0, 0.0, 0.5], [1.5, 0.5, 0.0]]

    Args:
        n: number of items.
        edges: comparisons between items ``0 .. n-1``; their deltas do not matter.

    Returns:
        Variances, shape (n, n); infinite between items that no chain of comparisons connects.

    Raises:
        InputError: as in :func:`~redaes.ranking.graph.check_edge`.
    """
    for edge in edges:
        check_edge(n, *edge)
    found = np.full((n, n), np.inf)
    np.fill_diagonal(found, 0.0)
    laplacian = np.zeros((n, n))
    for i, j, _, weight in sorted(edges):  # sums of floats depend on the order, and the result must not
        laplacian[[i, j], [i, j]] += weight
        laplacian[[i, j], [j, i]] -= weight
    for part in components(n, edges):
        within = np.ix_(part, part)
        # Adding ones makes the component's matrix invertible, and cancels in every difference.
        inverse = np.linalg.inv(laplacian[within] + 1.0)
        own = np.diag(inverse)
        found[within] = np.maximum(own[:, None] + own[None, :] - 2.0 * inverse, 0.0)
        found[part, part] = 0.0
    return found
