"""From comparisons of two to an order of several.

Throughout, an edge ``(i, j, delta, weight)`` says that item ``i`` was found ``delta`` points better than item
``j``, and an outcome ``(i, j, probability, weight)`` that it was found better with that probability; weights are
positive. What was measured is in docs/ranking.md.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from redaes.errors import InputError, ParseError
from redaes.points import sigmoid
from redaes.types import PairAnswer, Ranking

Edge = tuple[int, int, float, float]
"""First item, second item, score of the first minus score of the second, weight."""

Outcome = tuple[int, int, float, float]
"""First item, second item, P(the first is better), weight: the usable calls behind it."""

ROUND_ROBIN = 8
"""Largest number of items of which all pairs are compared."""

PRIOR_SD = 3.0
"""Standard deviation of the prior of a strength, in logits [our decision]."""

Z_SETTLED = 1.6449
"""Standard errors of a difference from which it counts as settled: 95 %, one-sided."""

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


@dataclass(frozen=True)
class Strengths:
    """Bradley-Terry strengths with their uncertainty."""

    values: NDArray[np.float64]
    """Shape (n,), in logits, zero mean."""
    covariance: NDArray[np.float64]
    """Shape (n, n), of the values around the true ones, in squared logits."""

    @property
    def errors(self) -> NDArray[np.float64]:
        """Standard errors, shape (n,), in logits."""
        return np.sqrt(np.diag(self.covariance))

    def settled(self, k: int) -> bool:
        """Whether each of the best ``k`` is better than each of the others with at least 95 %."""
        order = np.argsort(-self.values, kind="stable")
        best, rest = order[:k], order[k:]
        gap = self.values[best][:, None] - self.values[rest][None, :]
        return bool((gap >= Z_SETTLED * np.sqrt(_difference_variance(self.covariance)[np.ix_(best, rest)])).all())


def fit_strengths(n: int, outcomes: Sequence[Outcome]) -> Strengths:
    """Bradley-Terry strengths from probabilities: P(i beats j) = 1 / (1 + exp(strength_j - strength_i)).

    The maximum of the likelihood in which an outcome with probability p and weight w counts as w p wins and
    w (1 - p) losses, under a normal prior of mean 0 and standard deviation ``PRIOR_SD`` [ours], which keeps
    the strength of a picture that never lost finite. The covariance is the inverse curvature (Laplace) times
    the dispersion of the residuals (quasi-likelihood: McCullagh and Nelder, Generalized Linear Models,
    section 9.2): answers that agree better than coin tosses of the same probability give narrower errors,
    answers that contradict each other wider ones. With few residuals the dispersion is drawn towards 1.

    >>> fit_strengths(2, [(0, 1, 0.75, 400.0)]).values.round(2).tolist()  # 3 to 1: log 3 apart
    [0.55, -0.55]

    Args:
        n: number of items.
        outcomes: comparisons between items ``0 .. n-1``.

    Raises:
        InputError: an outcome leaves the range, joins an item with itself, or holds an unusable number.
    """
    for i, j, probability, n_calls in outcomes:
        _check_edge(n, i, j, probability, n_calls)
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
    n_free, n_fitted = max(0, len(table) - (n - 1)), max(1, n - 1)
    dispersion = 1.0
    if n_free:
        # Mean squares of whole comparisons: the two calls of one pair are not taken for independent.
        observed = float((weight * (won - expected) ** 2).sum()) / n_free
        dispersion = (n_fitted + n_free * observed / float((spread / weight).mean())) / (n_fitted + n_free)
    # What was estimated is the distance from the mean, so the common shift, which only the prior knows, goes.
    centre = np.eye(n) - 1.0 / max(1, n)
    return Strengths(centre @ strength, dispersion * (centre @ covariance @ centre))


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


def fit_one(outcomes: Sequence[tuple[float, float, float]]) -> tuple[float, float]:
    """The strength of one item that was compared with others of known strength, and its standard error.

    As :func:`fit_strengths`, with the others held fixed.

    >>> [round(value, 2) for value in fit_one([(0.0, 0.75, 100.0), (0.0, 0.75, 100.0)])]
    [1.1, 0.12]

    Args:
        outcomes: (strength of the other in logits, P(this one is better), weight), at least one.

    Returns:
        In logits.
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
    dispersion = (1.0 + observed) / len(outcomes)  # of n - 1 residuals that are free, and 1 that is expected
    return strength, math.sqrt(dispersion / curvature)


class Schedule:
    """Which pairs to compare next, so that few comparisons give the order.

    Up to ``ROUND_ROBIN`` items: all pairs at once. Above: first a random chain, which connects all items; then
    rounds, like those of a Swiss tournament, in which each item appears at most once. A round takes the pairs
    whose outcome is expected to tell most: p (1 - p) times the variance of the difference, with both from the
    fit to the outcomes so far. No pair is asked twice, because most judges would only repeat themselves. Ends
    when the budget is spent, all pairs were asked, or the top k are settled.

    >>> schedule = Schedule(3)
    >>> schedule.next_round()
    [(0, 1), (0, 2), (1, 2)]
    """

    def __init__(self, n: int, *, max_pairs: int | None = None, top_k: int | None = None, seed: int = 0) -> None:
        """
        Args:
            n: number of items.
            max_pairs: budget of comparisons; None: ``default_pairs(n)``.
            top_k: stop as soon as it is settled which items are the best k; None: go on to the budget.
            seed: of the first chain and of the order in which pairs are shown.

        Raises:
            InputError: the budget cannot connect all items, or ``top_k`` is not in 1 .. n - 1.
        """
        if max_pairs is not None and max_pairs < n - 1:
            raise InputError(f"{max_pairs} comparisons cannot connect {n} pictures; allow at least {n - 1}")
        if top_k is not None and not 1 <= top_k < max(2, n):
            raise InputError(f"the best {top_k} of {n} pictures is no choice; give 1 to {max(1, n - 1)}")
        self._n = n
        self._top_k = top_k if n > 1 else None
        self._left = min(default_pairs(n) if max_pairs is None else max_pairs, n * (n - 1) // 2)
        self._rng = np.random.default_rng(seed)
        self._open = ~np.eye(n, dtype=bool)
        self._outcomes: list[Outcome] = []
        self._started = False

    def next_round(self) -> list[tuple[int, int]]:
        """Pairs to compare, sorted; the first of each is to be shown first. Empty: done."""
        if not self._left:
            return []
        if not self._started:
            pairs = self._first_round()
        else:
            fitted = fit_strengths(self._n, self._outcomes)
            if self._top_k is not None and fitted.settled(self._top_k):
                return []
            pairs = self._most_telling(fitted)
        self._started = True
        self._left -= len(pairs)
        for i, j in pairs:
            self._open[i, j] = self._open[j, i] = False
        return sorted(pairs)

    def record(self, i: int, j: int, probability: float | None, weight: float = 1.0) -> None:
        """Take in P(i is better than j); None: no usable answer, and the pair is not asked again."""
        if probability is not None:
            self._outcomes.append((i, j, probability, weight))

    def _first_round(self) -> list[tuple[int, int]]:
        if self._left == self._n * (self._n - 1) // 2 and self._n <= ROUND_ROBIN:
            return [(i, j) for i in range(self._n) for j in range(i + 1, self._n)]
        chain = [int(item) for item in self._rng.permutation(self._n)]
        return list(itertools.pairwise(chain))

    def _most_telling(self, fitted: Strengths) -> list[tuple[int, int]]:
        expected = sigmoid(fitted.values[:, None] - fitted.values[None, :])
        worth = expected * (1.0 - expected) * _difference_variance(fitted.covariance)
        rows, columns = np.nonzero(np.triu(self._open))
        # Rounded, so that equal pairs keep their order on every machine.
        ranked = np.argsort(-worth[rows, columns].round(_DECIMALS), kind="stable")
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


def default_pairs(n: int) -> int:
    """The number of comparisons for ``n`` items: all pairs up to ``ROUND_ROBIN``, above that seven an item.

    >>> default_pairs(8), default_pairs(9), default_pairs(100)
    (28, 36, 700)
    """
    everything = n * (n - 1) // 2
    return everything if n <= ROUND_ROBIN else min(everything, 7 * n)


def rank(ids: Sequence[str], answers: Sequence[PairAnswer], top_k: int | None = None) -> Ranking:
    """Order pictures by the Bradley-Terry strengths that fit the answers best.

    >>> said = [("x", "y", 0.2), ("y", "z", 0.6), ("x", "z", 0.3)]
    >>> ranking = rank(["x", "y", "z"], [PairAnswer(first=a, second=b, probability=p) for a, b, p in said])
    >>> ranking.order, ranking.n_calls, ranking.n_failed
    (('y', 'z', 'x'), 6, 0)

    Args:
        ids: the pictures, each once.
        answers: each weighs as much as it has usable calls; one without any is counted and otherwise ignored.
        top_k: say whether it is settled which pictures are the best k.

    Returns:
        The ranking. Ties are ordered by id. All counts include what failed.

    Raises:
        InputError: an id is repeated or unknown, or a picture is compared with itself.
        ParseError: the usable answers do not connect all pictures (the message names the parts).
    """
    index = {picture: position for position, picture in enumerate(ids)}
    if len(index) < len(ids):
        repeated = sorted({picture for picture in ids if list(ids).count(picture) > 1})
        raise InputError(f"pictures are listed twice: {', '.join(repeated)}; list each once")
    outcomes: list[Outcome] = []
    for answer in answers:
        for picture in (answer.first, answer.second):
            if picture not in index:
                raise InputError(f"a comparison names {picture!r}, which is not among the pictures")
        if answer.first == answer.second:
            raise InputError(f"{answer.first!r} is compared with itself; remove that comparison")
        if answer.probability is not None:
            weight = float(answer.n_calls - answer.n_failed)
            outcomes.append((index[answer.first], index[answer.second], answer.probability, weight))
    parts = components(len(ids), outcomes)
    if len(parts) > 1:
        named = "; ".join(", ".join(ids[item] for item in part) for part in parts)
        raise ParseError(
            "not_connected",
            f"the usable answers do not connect all pictures, so there is no common order: {len(parts)} parts "
            f"({named}), {len(answers) - len(outcomes)} of {len(answers)} comparisons failed",
        )
    fitted = fit_strengths(len(ids), outcomes)
    scores = dict(zip(ids, map(float, fitted.values), strict=True))
    return Ranking(
        order=tuple(sorted(ids, key=lambda picture: (-round(scores[picture], _DECIMALS), picture))),
        scores=scores,
        errors=dict(zip(ids, map(float, fitted.errors), strict=True)),
        n_comparisons=len(answers),
        n_calls=sum(answer.n_calls for answer in answers),
        n_failed=sum(answer.n_failed for answer in answers),
        n_cycles=count_cycles(len(ids), [(i, j, p - 0.5, weight) for i, j, p, weight in outcomes]),
        settled=None if top_k is None or top_k >= len(ids) else fitted.settled(top_k),
    )


def _curvature(
    n: int, first: NDArray[np.intp], second: NDArray[np.intp], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Minus the second derivative of the logarithm of the posterior, shape (n, n)."""
    between = np.bincount(first * n + second, weight, n * n).reshape(n, n)
    between += between.T
    return np.diag(between.sum(axis=1) + 1.0 / PRIOR_SD**2) - between


def _difference_variance(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Variances of the differences of any two strengths, shape (n, n)."""
    own = np.diag(covariance)
    return np.maximum(own[:, None] + own[None, :] - 2.0 * covariance, 0.0)


def _check_edge(n: int, i: int, j: int, delta: float, weight: float) -> None:
    if not (0 <= i < n and 0 <= j < n) or i == j:
        raise InputError(f"edge ({i}, {j}) does not join two different items of 0 .. {n - 1}")
    if not math.isfinite(delta) or not math.isfinite(weight) or weight <= 0:
        raise InputError(
            f"edge ({i}, {j}) has delta {delta} and weight {weight}; give finite numbers and a weight above 0"
        )
