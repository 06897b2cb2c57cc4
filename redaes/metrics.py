"""Agreement of predictions with labels, and how sure one may be of it.

A quantity that is undefined for the data at hand, such as the correlation with a constant, is ``None``: it is
neither an error nor a number. Malformed data (different lengths, numbers that are not finite) raises
``InputError``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from redaes.errors import InputError
from redaes.types import TIE_MARGIN, Factor, Rationale

Statistic = Callable[[NDArray[Any]], "float | None"]
"""From rows of data to one number, or to ``None`` where it is undefined."""


@dataclass(frozen=True)
class Share:
    """A proportion with everything that is needed to judge it.

    Attributes:
        n_right: cases in which the prediction is right.
        n: cases that count, including failures, which are wrong.
        n_failed: cases without a usable answer, contained in ``n``.
        n_excluded: cases that cannot be right or wrong, not contained in ``n``.
    """

    n_right: int
    n: int
    n_failed: int
    n_excluded: int

    @property
    def value(self) -> float | None:
        """``n_right / n``; ``None`` without cases."""
        return self.n_right / self.n if self.n else None


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % percentile bootstrap interval.

    Attributes:
        estimate: the statistic of the data; ``None`` where undefined.
        low: 2.5th percentile over the resamples; ``None`` without an estimate or with one cluster only.
        high: 97.5th percentile, likewise.
        n_clusters: what was resampled.
        n_undefined: resamples in which the statistic was undefined; they are left out.
    """

    estimate: float | None
    low: float | None
    high: float | None
    n_clusters: int
    n_undefined: int


def plcc(x: ArrayLike, y: ArrayLike) -> float | None:
    """Pearson's linear correlation; ``None`` for fewer than two points or a constant side.

    >>> round(plcc([1, 2, 3], [1, 2, 4]), 4)
    0.982

    Raises:
        InputError: different lengths or numbers that are not finite.
    """
    a, b = _columns(x, y)
    if len(a) < 2 or (a == a[0]).all() or (b == b[0]).all():
        return None
    a, b = a - a.mean(), b - b.mean()
    norm_a, norm_b = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    if norm_a == 0.0 or norm_b == 0.0:  # differences too small for the arithmetic
        return None
    return float(np.clip(np.dot(a / norm_a, b / norm_b), -1.0, 1.0))


def srcc(x: ArrayLike, y: ArrayLike) -> float | None:
    """Spearman's rank correlation, ties sharing their mean rank; ``None`` as in :func:`plcc`.

    >>> round(srcc([1, 2, 3], [1, 2, 4]), 4)
    1.0

    Raises:
        InputError: different lengths or numbers that are not finite.
    """
    a, b = _columns(x, y)
    return plcc(_mean_ranks(a), _mean_ranks(b))


def krcc(x: ArrayLike, y: ArrayLike) -> float | None:
    """Kendall's tau-b, which corrects for ties; ``None`` as in :func:`plcc`. Time grows as n log n (Knight 1966).

    >>> round(krcc([1, 2, 2, 3], [1, 2, 3, 4]), 4)
    0.9129

    Raises:
        InputError: different lengths or numbers that are not finite.
    """
    a, b = (np.unique(column, return_inverse=True)[1].astype(np.int64) for column in _columns(x, y))
    n = len(a)
    tied_a, tied_b, tied_both = (_tied_pairs(codes) for codes in (a, b, a * (n + 1) + b))
    pairs = n * (n - 1) // 2
    untied_a, untied_b = pairs - tied_a, pairs - tied_b
    if untied_a == 0 or untied_b == 0:
        return None
    # Within equal a the order is that of b, so only pairs that differ in both are counted as turned round.
    discordant = _inversions(b[np.lexsort((b, a))])
    balance = pairs - tied_a - tied_b + tied_both - 2 * discordant
    return max(-1.0, min(1.0, balance / math.sqrt(untied_a) / math.sqrt(untied_b)))


def rmse(x: ArrayLike, y: ArrayLike) -> float | None:
    """Root of the mean squared difference, in the unit of the values; ``None`` without values.

    >>> rmse([1, 2], [1, 4]) == 2 ** 0.5
    True

    Raises:
        InputError: different lengths or numbers that are not finite.
    """
    a, b = _columns(x, y)
    return float(np.sqrt(np.mean((a - b) ** 2))) if len(a) else None


def pair_accuracy(
    predicted: Sequence[float | None], labels: Sequence[float], *, tie_margin: float = TIE_MARGIN
) -> Share:
    """How often the predicted difference has the sign of the labelled one.

    Labels that are ties (zero, or smaller than ``tie_margin`` in size) are excluded and counted. On a decided
    label, a predicted tie (exactly zero) and a failure (``None``) are wrong.

    >>> pair_accuracy([1.0, 0.0, None, -2.0], [2.0, 1.0, 1.0, 0.1])
    Share(n_right=1, n=3, n_failed=1, n_excluded=1)

    Raises:
        InputError: different lengths or numbers that are not finite.
    """
    _same_length(predicted, labels)
    _finite([*(value for value in predicted if value is not None), *labels])
    decided = [
        (value, label)
        for value, label in zip(predicted, labels, strict=True)
        if label != 0 and abs(label) >= tie_margin
    ]
    return Share(
        n_right=sum(value is not None and value * label > 0 for value, label in decided),
        n=len(decided),
        n_failed=sum(value is None for value, _ in decided),
        n_excluded=len(labels) - len(decided),
    )


def pair_f1(
    predicted: Sequence[float | None], labels: Sequence[float], *, tie_margin: float = TIE_MARGIN
) -> float | None:
    """The mean of the F1 scores of "the first is better" and "the second is better" (macro F1).

    The mean of both, because F1 of one side depends on which picture happens to be listed first. Ties and failures
    as in :func:`pair_accuracy`: a predicted tie or a failure is found by neither side. A side that is neither
    labelled nor predicted scores 0, as in scikit-learn. ``None`` without decided labels.

    >>> pair_f1([1.0, 1.0, -1.0, None], [1.0, -1.0, -1.0, 1.0])
    0.5833333333333333

    Raises:
        InputError: different lengths or numbers that are not finite.
    """
    _same_length(predicted, labels)
    _finite([*(value for value in predicted if value is not None), *labels])
    said = np.sign([0.0 if value is None else value for value in predicted])
    true = np.sign([0.0 if abs(label) < tie_margin else label for label in labels])
    decided = true != 0
    if not decided.any():
        return None
    scores = []
    for side in (1.0, -1.0):
        named, labelled = (said == side) & decided, true == side
        both = int(np.count_nonzero(named & labelled))
        scores.append(2 * both / max(1, int(np.count_nonzero(named) + np.count_nonzero(labelled))))
    return sum(scores) / 2


def swap_consistency(forward: Sequence[float | None], swapped: Sequence[float | None]) -> Share:
    """How often the same picture wins in both orders.

    Both differences are in the letters of the order in which they were asked, so consistent answers have
    opposite signs or are both ties. A failure in either order is inconsistent.

    >>> swap_consistency([1.0, 1.0, 0.0, None], [-2.0, 1.0, 0.0, 1.0])
    Share(n_right=2, n=4, n_failed=1, n_excluded=0)

    Raises:
        InputError: different lengths or numbers that are not finite.
    """
    _same_length(forward, swapped)
    _finite([value for value in (*forward, *swapped) if value is not None])
    both = [(a, b) for a, b in zip(forward, swapped, strict=True) if a is not None and b is not None]
    return Share(
        n_right=sum((a > 0) == (b < 0) and (a < 0) == (b > 0) for a, b in both),
        n=len(forward),
        n_failed=len(forward) - len(both),
        n_excluded=0,
    )


def parse_rate(answers: Sequence[object | None]) -> Share:
    """How many answers could be parsed; ``None`` stands for one that could not.

    >>> parse_rate([1.0, None]).value
    0.5
    """
    n_failed = sum(answer is None for answer in answers)
    return Share(n_right=len(answers) - n_failed, n=len(answers), n_failed=n_failed, n_excluded=0)


def factor_accuracy(rationales: Sequence[Rationale | None], factors: Sequence[tuple[Factor, ...]]) -> Share:
    """How often a rationale names exactly the factors that decide the pair, in any order.

    For a tie, whose factors are empty, naming none is right. A failure (``None``) is wrong.

    >>> said = Rationale(text="B is blurred.", factors=("focus",), better="A")
    >>> factor_accuracy([said, said, None], [("focus",), ("light",), ("light",)])
    Share(n_right=1, n=3, n_failed=1, n_excluded=0)

    Raises:
        InputError: different lengths.
    """
    _same_length(rationales, factors)
    return Share(
        n_right=sum(
            said is not None and set(said.factors) == set(true) for said, true in zip(rationales, factors, strict=True)
        ),
        n=len(factors),
        n_failed=sum(said is None for said in rationales),
        n_excluded=0,
    )


def bootstrap(
    values: ArrayLike, clusters: Sequence[Hashable], statistic: Statistic, *, n: int = 2000, seed: int = 0
) -> Interval:
    """A statistic with its interval, by resampling whole clusters with replacement.

    Pairs of one photograph are not independent, so they are drawn together: pass the photograph or group of
    each row as its cluster.

    >>> bootstrap([1.0, 1.0, 0.0, 0.0], ["a", "a", "b", "b"], np.mean).high
    1.0

    Args:
        values: rows of data, shape (n_rows, ...); the first axis is resampled.
        clusters: for each row, what it belongs to.
        statistic: from rows of the shape of ``values`` to a number or ``None``.
        n: number of resamples.
        seed: of the resampling.

    Raises:
        InputError: ``values`` and ``clusters`` differ in length, or ``n`` is below 1.
    """
    rows = np.asarray(values)
    _same_length(rows, clusters)
    return _bootstrap(lambda index: statistic(rows[index]), clusters, n, seed)


def paired_bootstrap(
    before: ArrayLike,
    after: ArrayLike,
    clusters: Sequence[Hashable],
    statistic: Statistic,
    *,
    n: int = 2000,
    seed: int = 0,
) -> Interval:
    """The change ``statistic(after) - statistic(before)`` on the same rows, with its interval.

    Both sides of a resample hold the same rows, so what the rows have in common cancels.

    >>> change = paired_bootstrap([0.0, 0.0, 1.0], [1.0, 1.0, 1.0], ["a", "b", "c"], np.mean)
    >>> round(change.estimate, 3), change.low
    (0.667, 0.0)

    Args:
        before: rows of data, shape (n_rows, ...).
        after: the same rows from the other system, of the same length.
        clusters: as in :func:`bootstrap`.
        statistic: as in :func:`bootstrap`; undefined on either side means undefined.
        n: number of resamples.
        seed: of the resampling.

    Raises:
        InputError: the lengths differ, or ``n`` is below 1.
    """
    old, new = np.asarray(before), np.asarray(after)
    _same_length(old, new)
    _same_length(new, clusters)

    def change(index: NDArray[np.intp]) -> float | None:
        value_old, value_new = statistic(old[index]), statistic(new[index])
        return None if value_old is None or value_new is None else value_new - value_old

    return _bootstrap(change, clusters, n, seed)


def _bootstrap(
    statistic: Callable[[NDArray[np.intp]], float | None], clusters: Sequence[Hashable], n: int, seed: int
) -> Interval:
    """The interval of a statistic of row indices."""
    if n < 1:
        raise InputError(f"n is {n}; give at least 1 resample")
    members: dict[Hashable, list[int]] = {}
    for row, cluster in enumerate(clusters):
        members.setdefault(cluster, []).append(row)
    groups = [np.array(rows, dtype=np.intp) for rows in members.values()]
    estimate = statistic(np.arange(len(clusters))) if groups else None
    if estimate is None or len(groups) < 2:
        return Interval(None if estimate is None else float(estimate), None, None, len(groups), 0)
    rng = np.random.default_rng(seed)
    drawn = [
        statistic(np.concatenate([groups[k] for k in rng.integers(len(groups), size=len(groups))])) for _ in range(n)
    ]
    defined = [value for value in drawn if value is not None]
    low, high = np.percentile(defined, [2.5, 97.5]) if defined else (None, None)
    return Interval(
        estimate=float(estimate),
        low=None if low is None else float(low),
        high=None if high is None else float(high),
        n_clusters=len(groups),
        n_undefined=n - len(defined),
    )


def _tied_pairs(codes: NDArray[np.int64]) -> int:
    """Pairs of equal values."""
    counts = np.unique(codes, return_counts=True)[1]
    return int((counts * (counts - 1) // 2).sum())


def _inversions(codes: NDArray[np.int64]) -> int:
    """Pairs of which the earlier value is the larger; values are at least 0.

    Two values are compared at the highest bit in which they differ: bit by bit, the values that agree in all higher
    bits stand together, in their first order, and a 1 before a 0 among them is an inversion.
    """
    n, found = len(codes), 0
    position = np.arange(n)
    for bit in reversed(range(int(codes.max(initial=0)).bit_length())):
        group, ones = codes >> (bit + 1), (codes >> bit) & 1
        before = np.cumsum(ones) - ones  # ones ahead of each place, over all groups
        start = np.maximum.accumulate(np.where(np.diff(group, prepend=-1) != 0, position, 0))
        found += int((before - before[start])[ones == 0].sum())
        codes = codes[np.argsort(codes >> bit, kind="stable")]
    return found


def _mean_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1, ties sharing the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2.0)[inverse], dtype=np.float64)


def _columns(x: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if a.ndim != 1 or b.ndim != 1:
        raise InputError(f"the shapes are {a.shape} and {b.shape}; give two flat lists of numbers")
    _same_length(a, b)
    _finite(a)
    _finite(b)
    return a, b


def _same_length(x: Sequence[Any] | NDArray[Any], y: Sequence[Any] | NDArray[Any]) -> None:
    if len(x) != len(y):
        raise InputError(f"the lengths differ: {len(x)} and {len(y)}")


def _finite(values: ArrayLike) -> None:
    if not np.isfinite(values).all():
        raise InputError("the values hold a number that is not finite; leave out or mark failures first")
