"""Estimates: a value with its confidence interval and its number of cases, and the functions that compute them.

Intervals are 95 % percentile bootstrap intervals that resample whole clusters: pairs of one photograph are not
independent, so they are drawn together. A value that is undefined for the data is ``None``; that is not an error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, FiniteFloat, SerializerFunctionWrapHandler, model_serializer

from redaes.errors import InputError
from redaes.types import Record

Statistic = Callable[[NDArray[Any]], "float | None"]
"""A function of rows of data that returns one number, or ``None`` where it is undefined."""


class Estimate(Record):
    """A number with its interval."""

    value: FiniteFloat | None
    """The value for the data; None where it is undefined."""
    low: FiniteFloat | None = None
    """2.5th percentile over the resamples; None without a value, with one cluster only, or where no interval is
    computed.
    """
    high: FiniteFloat | None = None
    """97.5th percentile over the resamples; None as for ``low``."""
    n: int | None = None
    """Number of cases, failures included; None: not stated, and then omitted from JSON."""

    def over(self, n: int) -> Estimate:
        """Return the same estimate with ``n`` as its number of cases."""
        return self.model_copy(update={"n": n})

    @model_serializer(mode="wrap")
    def _without_what_is_not_told(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        found: dict[str, Any] = serialize(self)
        if self.n is None:
            found.pop("n", None)
        return found


class Proportion(Estimate):
    """A share of cases, with the counts behind it."""

    n_right: int
    """Number of cases in which the prediction is right."""
    n: int
    """Number of cases that count, including failures, which count as wrong."""
    n_failed: int = 0
    """Number of cases without a usable answer; part of ``n``."""
    n_excluded: int = 0
    """Number of cases that can be neither right nor wrong; not part of ``n``."""

    @classmethod
    def counted(cls, n_right: int, n: int, *, n_failed: int = 0, n_excluded: int = 0) -> Proportion:
        """``n_right / n``, undefined without cases; no interval."""
        value = n_right / n if n else None
        return cls(value=value, n_right=n_right, n=n, n_failed=n_failed, n_excluded=n_excluded)


class MeasureChange(Estimate):
    """The change of a measure between two systems on the same cases: the second system's value minus the first's."""

    measure: str
    n: int
    p: FiniteFloat | None = None
    """p-value of McNemar's exact test, for shares of right answers; it treats the cases as independent."""
    n_gained: int | None = Field(default=None, exclude=True)
    """Number of cases that were wrong before and are right after, for shares of right answers."""
    n_lost: int | None = Field(default=None, exclude=True)
    """Number of cases that were right before and are wrong after, for shares of right answers."""


def mean(rows: ArrayLike) -> float | None:
    """Return the mean of all values; None: there are none."""
    values = np.asarray(rows, dtype=np.float64)
    return float(values.mean()) if values.size else None


def bootstrap(
    values: ArrayLike, clusters: Sequence[Hashable], statistic: Statistic, *, n_resamples: int = 2000, seed: int = 0
) -> Estimate:
    """Return a statistic with its interval, by resampling whole clusters with replacement.

    >>> bootstrap([1.0, 1.0, 0.0, 0.0], ["a", "a", "b", "b"], mean)
    Estimate(value=0.5, low=0.0, high=1.0, n=None)

    Args:
        values: rows of data, shape (n_rows, ...); the first axis is resampled.
        clusters: for each row the cluster that it belongs to, such as its photograph.
        statistic: function of rows of the shape of ``values``; resamples in which it is undefined are left out.
        n_resamples: number of resamples.
        seed: seed of the resampling.

    Raises:
        InputError: ``values`` and ``clusters`` differ in length, or ``n_resamples`` is below 1.
    """
    rows = np.asarray(values)
    check_same_length(rows, clusters)
    return _bootstrap(lambda index: statistic(rows[index]), clusters, n_resamples, seed)


def bootstrap_mean(rows: Sequence[tuple[float, Hashable]], *, n_resamples: int = 2000, seed: int = 0) -> Estimate:
    """Return the mean of values that come with their clusters, with its interval as in :func:`bootstrap`.

    >>> bootstrap_mean([(True, "a"), (False, "b")]).value, bootstrap_mean([]).value
    (0.5, None)
    """
    values = np.array([value for value, _ in rows], dtype=np.float64)
    return bootstrap(values, [cluster for _, cluster in rows], mean, n_resamples=n_resamples, seed=seed)


def paired_bootstrap(
    before: ArrayLike,
    after: ArrayLike,
    clusters: Sequence[Hashable],
    statistic: Statistic,
    *,
    n_resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Return the change ``statistic(after) - statistic(before)`` on the same rows, with its interval.

    Both sides of a resample contain the same rows, so what the rows have in common cancels out.

    >>> change = paired_bootstrap([0.0, 0.0, 1.0], [1.0, 1.0, 1.0], ["a", "b", "c"], mean)
    >>> round(change.value, 3), change.low
    (0.667, 0.0)

    Args:
        before: rows of data, shape (n_rows, ...).
        after: the same rows from the other system, of the same length.
        clusters: as in :func:`bootstrap`.
        statistic: as in :func:`bootstrap`; undefined on either side means undefined.
        n_resamples: number of resamples.
        seed: seed of the resampling.

    Raises:
        InputError: the lengths differ, or ``n_resamples`` is below 1.
    """
    old, new = np.asarray(before), np.asarray(after)
    check_same_length(old, new)
    check_same_length(new, clusters)

    def change(index: NDArray[np.intp]) -> float | None:
        value_old, value_new = statistic(old[index]), statistic(new[index])
        return None if value_old is None or value_new is None else value_new - value_old

    return _bootstrap(change, clusters, n_resamples, seed)


def proportion(
    right: Sequence[bool],
    clusters: Sequence[Hashable],
    *,
    n_failed: int = 0,
    n_excluded: int = 0,
    n_resamples: int = 2000,
    seed: int = 0,
) -> Proportion:
    """Return the share of right answers with its interval; ``right`` has one entry for each case that counts."""
    found = bootstrap([float(one) for one in right], clusters, mean, n_resamples=n_resamples, seed=seed)
    return Proportion.counted(sum(right), len(right), n_failed=n_failed, n_excluded=n_excluded).model_copy(
        update={"low": found.low, "high": found.high}
    )


def mean_change(
    measure: str,
    before: Sequence[float],
    after: Sequence[float],
    clusters: Sequence[Hashable],
    *,
    n_resamples: int = 2000,
    seed: int = 0,
) -> MeasureChange:
    """Return the change of a mean over the same cases, with McNemar's exact test where all values are 0 or 1.

    With several cases per cluster, trust the interval rather than the test.

    >>> mean_change("accuracy", [1, 0, 0, 0], [1, 1, 1, 1], "aabb").p
    0.25

    Raises:
        InputError: as :func:`paired_bootstrap`.
    """
    found = paired_bootstrap(before, after, clusters, mean, n_resamples=n_resamples, seed=seed)
    change = MeasureChange(value=found.value, low=found.low, high=found.high, measure=measure, n=len(before))
    if not set(before) | set(after) <= {0.0, 1.0}:
        return change
    gained = sum(new > old for old, new in zip(before, after, strict=True))
    lost = sum(old > new for old, new in zip(before, after, strict=True))
    tail = sum(math.comb(gained + lost, k) for k in range(min(gained, lost) + 1))
    p = min(1.0, 2 * tail / 2 ** (gained + lost))
    return change.model_copy(update={"p": p, "n_gained": gained, "n_lost": lost})


def percentile_interval(value: float | None, drawn: Sequence[float | None]) -> Estimate:
    """Return a value with the interval that its resamples span; those that are undefined are left out."""
    defined = [one for one in drawn if one is not None]
    if value is None or not defined:
        return Estimate(value=None if value is None else float(value))
    low, high = np.percentile(defined, [2.5, 97.5])
    return Estimate(value=float(value), low=float(low), high=float(high))


def _bootstrap(
    statistic: Callable[[NDArray[np.intp]], float | None], clusters: Sequence[Hashable], n_resamples: int, seed: int
) -> Estimate:
    """Return the interval of a statistic of row indices."""
    if n_resamples < 1:
        raise InputError(f"n_resamples is {n_resamples}; give at least 1 resample")
    members: dict[Hashable, list[int]] = {}
    for row, cluster in enumerate(clusters):
        members.setdefault(cluster, []).append(row)
    groups = [np.array(rows, dtype=np.intp) for rows in members.values()]
    value = statistic(np.arange(len(clusters))) if groups else None
    if value is None or len(groups) < 2:
        return percentile_interval(value, ())
    rng = np.random.default_rng(seed)
    return percentile_interval(
        value,
        [
            statistic(np.concatenate([groups[k] for k in rng.integers(len(groups), size=len(groups))]))
            for _ in range(n_resamples)
        ],
    )


def check_same_length(x: Sequence[Any] | NDArray[Any], y: Sequence[Any] | NDArray[Any]) -> None:
    """Refuse columns of different lengths.

    Raises:
        InputError: they differ in length.
    """
    if len(x) != len(y):
        raise InputError(f"the lengths differ: {len(x)} and {len(y)}")
