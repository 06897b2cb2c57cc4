"""Bootstrap intervals of correlations without sorting anew, and tests of two systems on the same data.

A resample of rows is a count for each row. Ranks of the resample follow from running sums of those counts over the
order of the whole data, which is found once; :func:`redaes.metrics.bootstrap` with :func:`redaes.metrics.srcc` gives
the same numbers from the same draws, and sorts every resample.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from redaes.errors import InputError
from redaes.metrics import Interval, Statistic

Correlation = Literal["srcc", "plcc"]


def correlation_interval(
    x: ArrayLike,
    y: ArrayLike,
    clusters: Sequence[Hashable],
    kind: Correlation = "srcc",
    *,
    n: int = 1000,
    seed: int = 0,
) -> Interval:
    """A correlation with its 95 % percentile interval, by resampling whole clusters.

    Args:
        x: predictions, shape (n_rows,).
        y: labels, shape (n_rows,).
        clusters: for each row, what it belongs to; rows of one series are drawn together.
        kind: Spearman's or Pearson's.
        n: number of resamples.
        seed: of the resampling; the draws are those of :func:`redaes.metrics.bootstrap`.

    Raises:
        InputError: lengths that differ, numbers that are not finite, or ``n`` below 1.
    """
    drawn = _Draws(clusters, n, seed)
    correlation = _Weighted(x, y, kind, len(clusters))
    estimate = correlation(np.ones(len(clusters), dtype=np.int64))
    return drawn.interval(estimate, [correlation(weights) for weights in drawn] if estimate is not None else [])


def correlation_change(
    before: ArrayLike,
    after: ArrayLike,
    y: ArrayLike,
    clusters: Sequence[Hashable],
    kind: Correlation = "srcc",
    *,
    n: int = 1000,
    seed: int = 0,
) -> Interval:
    """The correlation of ``after`` with the labels less that of ``before``, both on the same resamples.

    Raises:
        InputError: as in :func:`correlation_interval`.
    """
    drawn = _Draws(clusters, n, seed)
    old, new = (_Weighted(x, y, kind, len(clusters)) for x in (before, after))

    def change(weights: NDArray[np.int64]) -> float | None:
        first, second = old(weights), new(weights)
        return None if first is None or second is None else second - first

    estimate = change(np.ones(len(clusters), dtype=np.int64))
    return drawn.interval(estimate, [change(weights) for weights in drawn] if estimate is not None else [])


@dataclass(frozen=True)
class McNemar:
    """Two systems on the same cases, by McNemar's exact test.

    Attributes:
        n_gained: cases wrong before and right after.
        n_lost: cases right before and wrong after.
        p: probability of a split at least as uneven if neither system were better (two-sided).
    """

    n_gained: int
    n_lost: int
    p: float


def mcnemar(before: Sequence[bool], after: Sequence[bool]) -> McNemar:
    """McNemar's exact test. It takes the cases for independent: with several per source, trust the interval instead.

    >>> mcnemar([True, False, False, False], [True, True, True, True]).p
    0.25

    Raises:
        InputError: different lengths.
    """
    if len(before) != len(after):
        raise InputError(f"the lengths differ: {len(before)} and {len(after)}")
    gained = sum(new and not old for old, new in zip(before, after, strict=True))
    lost = sum(old and not new for old, new in zip(before, after, strict=True))
    total, least = gained + lost, min(gained, lost)
    tail = sum(math.comb(total, k) for k in range(least + 1))
    return McNemar(gained, lost, min(1.0, 2 * tail / 2**total))


def permutation_p(
    before: ArrayLike, after: ArrayLike, clusters: Sequence[Hashable], statistic: Statistic, *, n: int = 2000, seed: int
) -> float | None:
    """Two-sided p of ``statistic(after) - statistic(before)``, exchanging the systems cluster by cluster.

    The share of ``n`` random exchanges whose change is at least as large, the observed one counted among them
    (Phipson & Smyth 2010), so it is never 0. ``None`` where the statistic is undefined.

    Args:
        before: rows of data, shape (n_rows, ...).
        after: the same rows from the other system.
        clusters: for each row, what it belongs to.
        statistic: from rows to a number or ``None``; an exchange in which it is undefined counts as extreme.
        n: number of exchanges.
        seed: of the exchanges.

    Raises:
        InputError: lengths that differ, or ``n`` below 1.
    """
    old, new = np.asarray(before), np.asarray(after)
    if old.shape != new.shape or len(old) != len(clusters):
        raise InputError(f"the shapes differ: {old.shape}, {new.shape} and {len(clusters)} clusters")
    if n < 1:
        raise InputError(f"n is {n}; give at least 1 exchange")
    codes, n_clusters = _codes(clusters)

    def change(exchanged: NDArray[np.bool_]) -> float | None:
        mask = exchanged.reshape(-1, *[1] * (old.ndim - 1))
        first, second = statistic(np.where(mask, new, old)), statistic(np.where(mask, old, new))
        return None if first is None or second is None else float(second - first)

    observed = change(np.zeros(len(codes), dtype=bool))
    if observed is None:
        return None
    rng = np.random.default_rng(seed)
    as_large = 1
    for _ in range(n):
        value = change((rng.random(n_clusters) < 0.5)[codes])
        # Sums in another order may differ in the last digits; an equal change must count as equal.
        as_large += value is None or abs(value) >= abs(observed) - 1e-12
    return as_large / (n + 1)


class _Draws:
    """Resamples of clusters as counts for each row, made one at a time."""

    def __init__(self, clusters: Sequence[Hashable], n: int, seed: int) -> None:
        if n < 1:
            raise InputError(f"n is {n}; give at least 1 resample")
        self._codes, self.n_clusters = _codes(clusters)
        # Where every row is a cluster of its own, the codes are 0, 1, 2 …, and counts need not be looked up.
        self._plain = self.n_clusters == len(self._codes)
        self._n, self._seed = n, seed

    def __iter__(self) -> _Draws:
        self._rng, self._left = np.random.default_rng(self._seed), self._n
        return self

    def __next__(self) -> NDArray[np.int64]:
        if self.n_clusters < 2 or not self._left:
            raise StopIteration
        self._left -= 1
        counts = np.bincount(self._rng.integers(self.n_clusters, size=self.n_clusters), minlength=self.n_clusters)
        return counts if self._plain else counts[self._codes]

    def interval(self, estimate: float | None, values: Sequence[float | None]) -> Interval:
        defined = [value for value in values if value is not None]
        low, high = np.percentile(defined, [2.5, 97.5]) if defined else (None, None)
        return Interval(
            estimate=estimate,
            low=None if low is None else float(low),
            high=None if high is None else float(high),
            n_clusters=self.n_clusters,
            n_undefined=len(values) - len(defined),
        )


class _Weighted:
    """A correlation of rows that count several times or not at all."""

    def __init__(self, x: ArrayLike, y: ArrayLike, kind: Correlation, n_rows: int) -> None:
        columns = [np.asarray(values, dtype=np.float64) for values in (x, y)]
        for column in columns:
            if column.shape != (n_rows,):
                raise InputError(f"the shape is {column.shape}; give one number for each of {n_rows} rows")
            if not np.isfinite(column).all():
                raise InputError("the values hold a number that is not finite; leave out or mark failures first")
        self._columns = [_Ranked(column) if kind == "srcc" else _Plain(column) for column in columns]

    def __call__(self, weights: NDArray[np.int64]) -> float | None:
        total = int(weights.sum())
        (a, norm_a), (b, norm_b) = (column.centred(weights, total) for column in self._columns)
        if norm_a == 0.0 or norm_b == 0.0:
            return None
        # The product of centred values, each row as often as it was drawn.
        value = float(np.dot(a * weights, b)) / norm_a / norm_b
        return max(-1.0, min(1.0, value))


class _Ranked:
    """Mean ranks within a resample."""

    def __init__(self, values: NDArray[np.float64]) -> None:
        self._order = np.argsort(values, kind="stable")
        ordered = values[self._order]
        self._starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(values) else np.empty(0, int)
        self._group = np.empty(len(values), dtype=np.intp)  # of each row: which distinct value it has
        self._group[self._order] = np.repeat(np.arange(len(self._starts)), np.diff(np.r_[self._starts, len(values)]))
        self._untied = len(self._starts) == len(values)

    def centred(self, weights: NDArray[np.int64], total: int) -> tuple[NDArray[np.float64], float]:
        """For each row its mean rank less the mean of all, and the norm of those over the resample."""
        counts = weights[self._order]
        if not self._untied:
            counts = np.add.reduceat(counts, self._starts)
        # Twice the rank less (total + 1): whole numbers, so nothing is rounded before the last division.
        doubled = 2 * np.cumsum(counts) - counts - total
        squares = float(np.dot(doubled.astype(np.float64) ** 2, counts))
        return doubled[self._group].astype(np.float64), math.sqrt(squares)


class _Plain:
    """The values themselves."""

    def __init__(self, values: NDArray[np.float64]) -> None:
        self._values = values

    def centred(self, weights: NDArray[np.int64], total: int) -> tuple[NDArray[np.float64], float]:
        """For each row its value less the mean of the resample, and the norm of those."""
        drawn = self._values[weights > 0]
        if not len(drawn) or (drawn == drawn[0]).all():
            return self._values, 0.0
        centred = self._values - np.dot(self._values, weights) / total
        return centred, math.sqrt(float(np.dot(centred * centred, weights)))


def _codes(clusters: Sequence[Hashable]) -> tuple[NDArray[np.intp], int]:
    """Clusters as numbers in order of appearance, and how many there are."""
    known: dict[Hashable, int] = {}
    codes = np.fromiter((known.setdefault(cluster, len(known)) for cluster in clusters), np.intp, len(clusters))
    return codes, len(known)
