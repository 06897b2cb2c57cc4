"""Measures of how well predictions agree with labels.

A measure that is undefined for the data, such as the correlation with a constant, is ``None``; that is not an error.
Malformed data (different lengths, numbers that are not finite) raises ``InputError``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from redaes.errors import InputError, MissingDependency
from redaes.estimates import Proportion, check_same_length
from redaes.types import TIE_MARGIN


def plcc(x: ArrayLike, y: ArrayLike) -> float | None:
    """Return Pearson's linear correlation; ``None`` for fewer than two points or a constant side.

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
    if norm_a == 0.0 or norm_b == 0.0:  # the differences underflow
        return None
    return float(np.clip(np.dot(a / norm_a, b / norm_b), -1.0, 1.0))


def srcc(x: ArrayLike, y: ArrayLike) -> float | None:
    """Return Spearman's rank correlation, ties sharing their mean rank; ``None`` as in :func:`plcc`.

    >>> round(srcc([1, 2, 3], [1, 2, 4]), 4)
    1.0

    Raises:
        InputError: different lengths or numbers that are not finite.
    """
    a, b = _columns(x, y)
    return plcc(_mean_ranks(a), _mean_ranks(b))


def krcc(x: ArrayLike, y: ArrayLike) -> float | None:
    """Return Kendall's tau-b, which corrects for ties; ``None`` as in :func:`plcc`.

    >>> round(krcc([1, 2, 2, 3], [1, 2, 3, 4]), 4)
    0.9129

    Raises:
        InputError: different lengths or numbers that are not finite.
        MissingDependency: scipy is absent.
    """
    a, b = _columns(x, y)
    if len(a) < 2 or (a == a[0]).all() or (b == b[0]).all():
        return None
    try:
        from scipy.stats import kendalltau
    except ImportError as error:
        raise MissingDependency("scipy", "eval") from error
    return float(kendalltau(a, b).statistic)


def rmse(x: ArrayLike, y: ArrayLike) -> float | None:
    """Return the root of the mean squared difference, in the unit of the values; ``None`` without values.

    >>> rmse([1, 2], [1, 4]) == 2 ** 0.5
    True

    Raises:
        InputError: different lengths or numbers that are not finite.
    """
    a, b = _columns(x, y)
    return float(np.sqrt(np.mean((a - b) ** 2))) if len(a) else None


def pair_accuracy(
    predicted: Sequence[float | None], labels: Sequence[float], *, tie_margin: float = TIE_MARGIN
) -> Proportion:
    """Return how often the predicted difference has the sign of the labelled one.

    Labels that are ties (zero, or smaller than ``tie_margin`` in size) are excluded and counted. On a decided
    label, a predicted tie (exactly zero) and a failure (``None``) are wrong.

    >>> found = pair_accuracy([1.0, 0.0, None, -2.0], [2.0, 1.0, 1.0, 0.1])
    >>> found.n_right, found.n, found.n_failed, found.n_excluded
    (1, 3, 1, 1)

    Raises:
        InputError: different lengths or numbers that are not finite.
    """
    check_same_length(predicted, labels)
    _finite([*(value for value in predicted if value is not None), *labels])
    decided = [
        (value, label)
        for value, label in zip(predicted, labels, strict=True)
        if label != 0 and abs(label) >= tie_margin
    ]
    return Proportion.counted(
        sum(value is not None and value * label > 0 for value, label in decided),
        len(decided),
        n_failed=sum(value is None for value, _ in decided),
        n_excluded=len(labels) - len(decided),
    )


def pair_f1(
    predicted: Sequence[float | None], labels: Sequence[float], *, tie_margin: float = TIE_MARGIN
) -> float | None:
    """Return the mean of the F1 scores of "the first is better" and "the second is better" (macro F1).

    The mean of both, because F1 of one side depends on which picture happens to be listed first. Ties and failures
    as in :func:`pair_accuracy`: a predicted tie or a failure is found by neither side. A side that is neither
    labelled nor predicted scores 0, as in scikit-learn. ``None`` without decided labels.

    >>> pair_f1([1.0, 1.0, -1.0, None], [1.0, -1.0, -1.0, 1.0])
    0.5833333333333333

    Raises:
        InputError: different lengths or numbers that are not finite.
    """
    check_same_length(predicted, labels)
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


def swap_consistency(forward: Sequence[float | None], swapped: Sequence[float | None]) -> Proportion:
    """Return how often the same picture wins in both orders.

    Both differences are in the letters of the order in which they were asked, so consistent answers have
    opposite signs or are both ties. A failure in either order is inconsistent.

    >>> found = swap_consistency([1.0, 1.0, 0.0, None], [-2.0, 1.0, 0.0, 1.0])
    >>> found.n_right, found.n, found.n_failed
    (2, 4, 1)

    Raises:
        InputError: different lengths or numbers that are not finite.
    """
    check_same_length(forward, swapped)
    _finite([value for value in (*forward, *swapped) if value is not None])
    both = [(a, b) for a, b in zip(forward, swapped, strict=True) if a is not None and b is not None]
    return Proportion.counted(
        sum((a > 0) == (b < 0) and (a < 0) == (b > 0) for a, b in both),
        len(forward),
        n_failed=len(forward) - len(both),
    )


def _mean_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ranks from 1, ties sharing the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2.0)[inverse], dtype=np.float64)


def _columns(x: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if a.ndim != 1 or b.ndim != 1:
        raise InputError(f"the shapes are {a.shape} and {b.shape}; give two flat lists of numbers")
    check_same_length(a, b)
    _finite(a)
    _finite(b)
    return a, b


def _finite(values: ArrayLike) -> None:
    if not np.isfinite(values).all():
        raise InputError("the values hold a number that is not finite; leave out or mark failures first")
