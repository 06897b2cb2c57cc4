"""From comparisons of two to an order of several.

Throughout, an edge ``(i, j, delta, weight)`` says that item ``i`` was found ``delta`` points better than item
``j``, with a positive weight.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from redaes.errors import InputError
from redaes.types import Ranking

Edge = tuple[int, int, float, float]
"""First item, second item, score of the first minus score of the second, weight."""

_DECIMALS = 9  # scores that agree to this many decimals are ties: rounding errors must not decide an order


def fit_potential(n: int, edges: Sequence[Edge]) -> NDArray[np.float64]:
    """Scores whose differences fit the edges best: weighted least squares on the comparison graph.

    Cycles cannot be fitted, so what they contribute is the residual.

    >>> fit_potential(3, [(0, 1, 1.0, 1.0), (1, 2, 1.0, 1.0)]).round(6).tolist()
    [1.0, 0.0, -1.0]

    Args:
        n: number of items.
        edges: comparisons between items ``0 .. n-1``; an item without any gets 0.

    Returns:
        Scores of shape (n,), in the unit of the deltas, with zero mean in every connected component; scores
        of different components cannot be compared.

    Raises:
        InputError: an edge leaves the range, joins an item with itself, or holds an unusable number.
    """
    laplacian = np.zeros((n, n))
    right = np.zeros(n)
    for i, j, delta, weight in edges:
        _check_edge(n, i, j, delta, weight)
        laplacian[i, i] += weight
        laplacian[j, j] += weight
        laplacian[i, j] -= weight
        laplacian[j, i] -= weight
        right[i] += weight * delta
        right[j] -= weight * delta
    for part in components(n, edges):
        # The equations leave each component's mean open; this fixes it at zero and makes them regular.
        # On the scale of the weights, to keep the system well conditioned; an item on its own has none.
        scale = float(laplacian[part, part].mean()) or 1.0
        laplacian[np.ix_(part, part)] += scale / len(part)
    return np.linalg.solve(laplacian, right).astype(np.float64)


def components(n: int, edges: Sequence[Edge]) -> list[list[int]]:
    """The connected components of the comparison graph, each sorted, in order of their smallest item.

    >>> components(4, [(3, 1, 0.5, 1.0)])
    [[0], [1, 3], [2]]
    """
    neighbours: list[list[int]] = [[] for _ in range(n)]
    for i, j, _, _ in edges:
        neighbours[i].append(j)
        neighbours[j].append(i)
    parts: list[list[int]] = []
    seen: set[int] = set()
    for start in range(n):
        if start in seen:
            continue
        seen.add(start)
        part = [start]
        for item in part:  # grows while it is walked
            for neighbour in neighbours[item]:
                if neighbour not in seen:
                    seen.add(neighbour)
                    part.append(neighbour)
        parts.append(sorted(part))
    return parts


def bradley_terry(wins: ArrayLike) -> NDArray[np.float64]:
    """Maximum-likelihood Bradley-Terry strengths: P(i beats j) = 1 / (1 + exp(strength_j - strength_i)).

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
        hessian = np.diag(curvature.sum(axis=1)) - curvature + 1.0 / n  # 1/n fixes the mean at zero
        step = np.linalg.solve(hessian, gradient)
        # Far from the maximum a full step can overshoot; one logit at a time cannot run away.
        strength = strength + step / max(1.0, np.abs(step).max())
        if np.abs(step).max() < 1e-12:
            break
    centred: NDArray[np.float64] = strength - strength.mean()
    return centred


def unconnected(wins: NDArray[np.float64]) -> tuple[int, int] | None:
    """Two items such that no chain of wins leads from the first to the second, or None.

    Bradley-Terry strengths are finite exactly if there are none (Ford 1957).

    Args:
        wins: shape (n, n), as in :func:`bradley_terry`.
    """
    n = len(wins)
    reach = (wins > 0) | np.eye(n, dtype=bool)
    for _ in range(n.bit_length()):
        reach = reach @ reach  # of booleans: is there an intermediate item
    if reach.all():
        return None
    start, end = np.argwhere(~reach)[0]
    return int(start), int(end)


def count_cycles(n: int, edges: Sequence[Edge]) -> int:
    """The number of circular triples A > B > C > A.

    Several edges between the same two items count by the sign of their weighted sum; zero is a tie, and a
    tie closes no cycle.

    >>> count_cycles(3, [(0, 1, 1.0, 1.0), (1, 2, 0.5, 1.0), (2, 0, 2.0, 1.0)])
    1

    Raises:
        InputError: as in :func:`fit_potential`.
    """
    net = np.zeros((n, n))
    for i, j, delta, weight in edges:
        _check_edge(n, i, j, delta, weight)
        net[i, j] += weight * delta
        net[j, i] -= weight * delta
    beats = (net > 0).astype(np.int64)
    return int(np.trace(beats @ beats @ beats)) // 3


def rank(ids: Sequence[str], comparisons: Sequence[tuple[str, str, float | None]]) -> Ranking:
    """Order pictures by the scores that fit their comparisons best.

    >>> ranking = rank(["x", "y", "z"], [("x", "y", -2.0), ("y", "z", 1.0), ("x", "z", None)])
    >>> ranking.order, ranking.n_failed
    (('y', 'z', 'x'), 1)

    Args:
        ids: the pictures, each once.
        comparisons: (picture a, picture b, score of a minus score of b in points); ``None`` for a comparison
            that gave no usable answer: it is counted and otherwise ignored.

    Returns:
        The ranking. Ties are ordered by id. ``n_comparisons`` includes the failed ones.

    Raises:
        InputError: an id is repeated or unknown, a picture is compared with itself, or the usable comparisons
            do not connect all pictures (the message names the parts).
    """
    index = {picture: position for position, picture in enumerate(ids)}
    if len(index) < len(ids):
        repeated = sorted({picture for picture in ids if list(ids).count(picture) > 1})
        raise InputError(f"pictures are listed twice: {', '.join(repeated)}; list each once")
    edges: list[Edge] = []
    for first, second, delta in comparisons:
        for picture in (first, second):
            if picture not in index:
                raise InputError(f"a comparison names {picture!r}, which is not among the pictures")
        if first == second:
            raise InputError(f"{first!r} is compared with itself; remove that comparison")
        if delta is not None:
            edges.append((index[first], index[second], delta, 1.0))
    n_failed = len(comparisons) - len(edges)
    parts = components(len(ids), edges)
    if len(parts) > 1:
        named = "; ".join(", ".join(ids[item] for item in part) for part in parts)
        raise InputError(
            f"the comparisons do not connect all pictures, so there is no common order: {len(parts)} parts "
            f"({named}), {n_failed} of {len(comparisons)} comparisons failed; compare pictures of "
            "different parts"
        )
    scores = [float(score) for score in fit_potential(len(ids), edges)]
    order = sorted(ids, key=lambda picture: (-round(scores[index[picture]], _DECIMALS), picture))
    return Ranking(
        order=tuple(order),
        scores=dict(zip(ids, scores, strict=True)),
        n_comparisons=len(comparisons),
        n_failed=n_failed,
        n_cycles=count_cycles(len(ids), edges),
    )


def _check_edge(n: int, i: int, j: int, delta: float, weight: float) -> None:
    if not (0 <= i < n and 0 <= j < n) or i == j:
        raise InputError(f"edge ({i}, {j}) does not join two different items of 0 .. {n - 1}")
    if not math.isfinite(delta) or not math.isfinite(weight) or weight <= 0:
        raise InputError(
            f"edge ({i}, {j}) has delta {delta} and weight {weight}; give finite numbers and a weight above 0"
        )
