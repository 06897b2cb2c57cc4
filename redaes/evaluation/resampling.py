"""Bootstrap intervals of correlations, and of their changes, without sorting each resample.

A resample is a count for each row. Its ranks follow from cumulative sums of the counts in the order of the whole data,
which is sorted once. :func:`redaes.estimates.bootstrap` with :func:`redaes.metrics.srcc` gives the same numbers from
the same draws, but sorts every resample.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from redaes.errors import InputError
from redaes.estimates import Estimate, percentile_interval

Correlation = Literal["srcc", "plcc"]


def correlation_interval(
    x: ArrayLike,
    y: ArrayLike,
    clusters: Sequence[Hashable],
    kind: Correlation = "srcc",
    *,
    n_resamples: int = 1000,
    seed: int = 0,
) -> Estimate:
    """Return a correlation with its 95 % percentile interval, by resampling whole clusters.

    Args:
        x: predictions, shape (n_rows,).
        y: labels, shape (n_rows,).
        clusters: for each row its cluster; rows of one series are drawn together.
        kind: Spearman's or Pearson's.
        n_resamples: number of resamples.
        seed: seed of the resampling; the draws are those of :func:`redaes.estimates.bootstrap`.

    Raises:
        InputError: lengths differ, numbers are not finite, or ``n_resamples`` is below 1.
    """
    drawn = _Draws(clusters, n_resamples, seed)
    correlation = _Weighted(x, y, kind, len(clusters))
    value = correlation(np.ones(len(clusters), dtype=np.int64))
    return percentile_interval(value, [correlation(weights) for weights in drawn] if value is not None else [])


def correlation_change(
    before: ArrayLike,
    after: ArrayLike,
    y: ArrayLike,
    clusters: Sequence[Hashable],
    kind: Correlation = "srcc",
    *,
    n_resamples: int = 1000,
    seed: int = 0,
) -> Estimate:
    """Return the correlation of ``after`` with the labels minus that of ``before``, both on the same resamples.

    Raises:
        InputError: as in :func:`correlation_interval`.
    """
    drawn = _Draws(clusters, n_resamples, seed)
    old, new = (_Weighted(x, y, kind, len(clusters)) for x in (before, after))

    def change(weights: NDArray[np.int64]) -> float | None:
        first, second = old(weights), new(weights)
        return None if first is None or second is None else second - first

    value = change(np.ones(len(clusters), dtype=np.int64))
    return percentile_interval(value, [change(weights) for weights in drawn] if value is not None else [])


class _Draws:
    """Resamples of clusters as counts for each row, made one at a time."""

    def __init__(self, clusters: Sequence[Hashable], n: int, seed: int) -> None:
        if n < 1:
            raise InputError(f"n_resamples is {n}; give at least 1 resample")
        self._codes, self.n_clusters = _codes(clusters)
        # If every row is a cluster of its own, the codes are 0, 1, 2, …, and counts need no lookup.
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


class _Weighted:
    """A correlation of weighted rows."""

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
        # The product of centred values, weighted by how often each row was drawn.
        value = float(np.dot(a * weights, b)) / norm_a / norm_b
        return max(-1.0, min(1.0, value))


class _Ranked:
    """Mean ranks within a resample."""

    def __init__(self, values: NDArray[np.float64]) -> None:
        self._order = np.argsort(values, kind="stable")
        ordered = values[self._order]
        self._starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(values) else np.empty(0, int)
        self._group = np.empty(len(values), dtype=np.intp)  # number of the distinct value of each row
        self._group[self._order] = np.repeat(np.arange(len(self._starts)), np.diff(np.r_[self._starts, len(values)]))
        self._untied = len(self._starts) == len(values)

    def centred(self, weights: NDArray[np.int64], total: int) -> tuple[NDArray[np.float64], float]:
        """Return each row's mean rank minus the mean of all, and the norm of these over the resample."""
        counts = weights[self._order]
        if not self._untied:
            counts = np.add.reduceat(counts, self._starts)
        # Twice the rank minus (total + 1): integers, so nothing is rounded before the last division.
        doubled = 2 * np.cumsum(counts) - counts - total
        squares = float(np.dot(doubled.astype(np.float64) ** 2, counts))
        return doubled[self._group].astype(np.float64), math.sqrt(squares)


class _Plain:
    """The values themselves."""

    def __init__(self, values: NDArray[np.float64]) -> None:
        self._values = values

    def centred(self, weights: NDArray[np.int64], total: int) -> tuple[NDArray[np.float64], float]:
        """Return each row's value minus the mean of the resample, and the norm of these."""
        drawn = self._values[weights > 0]
        if not len(drawn) or (drawn == drawn[0]).all():
            return self._values, 0.0
        centred = self._values - np.dot(self._values, weights) / total
        return centred, math.sqrt(float(np.dot(centred * centred, weights)))


def _codes(clusters: Sequence[Hashable]) -> tuple[NDArray[np.intp], int]:
    """Return clusters as numbers in order of appearance, and their count."""
    known: dict[Hashable, int] = {}
    codes = np.fromiter((known.setdefault(cluster, len(known)) for cluster in clusters), np.intp, len(clusters))
    return codes, len(known)
