"""How well a system picks from a series, or from the crops of a picture.

A series is a sequence of labels (larger is better) with a sequence of predictions of the same length, ``None`` where
there is no usable answer. Equal predictions never count as right, whatever the order of the pictures.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from redaes.errors import InputError
from redaes.estimates import Proportion
from redaes.metrics import srcc
from redaes.ranking import Edge

Predicted = Sequence["float | None"]
Labels = Sequence[float]


def best_found(predicted: Predicted, labels: Labels, k: int = 1) -> bool | None:
    """Return whether a best picture is among the ``k`` that are predicted best; ``None``: all labels are equal.

    Pictures that tie with it in the prediction count as ranked before it, unless they are best as well. A failure
    anywhere in the series means that the series was not ranked. The share of series in which it holds is s-Acc, which
    FGAesthetics names without defining it; this is our reading of it.

    >>> best_found([0.2, 0.9, 0.4], [1.0, 3.0, 2.0]), best_found([0.5, 0.5], [1.0, 3.0])
    (True, False)

    Raises:
        InputError: different lengths, an empty series, or ``k`` below 1.
    """
    _check(predicted, labels)
    if k < 1:
        raise InputError(f"k is {k}; give at least 1")
    top = max(labels)
    if min(labels) == top:
        return None
    answered = [value for value in predicted if value is not None]
    if len(answered) < len(labels):
        return False
    best = max(value for value, label in zip(answered, labels, strict=True) if label == top)
    ahead = sum(value >= best and label < top for value, label in zip(answered, labels, strict=True))
    return ahead < k


def chance_series_accuracy(labels: Sequence[Labels], k: int = 1) -> float | None:
    """Return the s-Acc of an order drawn at random, over the series that count; ``None`` without any.

    >>> chance_series_accuracy([[1.0, 2.0], [1.0, 2.0, 3.0, 4.0]])
    0.375
    """
    chances = []
    for one in labels:
        top = max(one)
        n, worse = len(one), sum(label < top for label in one)
        if worse == 0:
            continue
        missed = 1.0
        for place in range(min(k, n)):  # probability that none of the first k is a best one
            missed *= max(0, worse - place) / (n - place)
        chances.append(1.0 - missed)
    return sum(chances) / len(chances) if chances else None


def series_srcc(predicted: Predicted, labels: Labels) -> float | None:
    """Return Spearman's correlation within one series; ``None``: the labels have no order.

    A series with a failure, or with equal predictions for all pictures, was not ranked: 0.

    >>> round(series_srcc([0.1, 0.3, 0.2], [1.0, 2.0, 3.0]), 3), series_srcc([0.1, 0.1], [1.0, 2.0])
    (0.5, 0.0)

    Raises:
        InputError: different lengths or an empty series.
    """
    _check(predicted, labels)
    if min(labels) == max(labels):
        return None
    answered = [value for value in predicted if value is not None]
    if len(answered) < len(labels):
        return 0.0
    return srcc(answered, labels) or 0.0


def top_crops_accuracy(predicted: Predicted, labels: Labels, k: int, n: int) -> float | None:
    """Return Acc_k/n: which share of the ``k`` crops predicted best is among the ``n`` with the best labels.

    As in the evaluation code of Zeng et al., CVPR 2019 (Grid Anchor based Image Cropping): crops that tie with the
    n-th best label are among the best. Ties in the prediction count as ranked in the least favourable order, and a
    failure anywhere gives 0. ``None``: there are fewer than ``n`` crops.

    >>> top_crops_accuracy([9.0, 8.0, 1.0], [5.0, 1.0, 4.0], k=2, n=2)
    0.5

    Raises:
        InputError: different lengths, no crops, or ``k`` above ``n``.
    """
    _check(predicted, labels)
    if not 1 <= k <= n:
        raise InputError(f"k is {k} and n is {n}; give 1 <= k <= n")
    if len(labels) < n:
        return None
    answered = [value for value in predicted if value is not None]
    if len(answered) < len(labels):
        return 0.0
    needed = sorted(labels, reverse=True)[n - 1]
    order = sorted(zip(answered, labels, strict=True), key=lambda crop: (-crop[0], crop[1]))
    return sum(label >= needed for _, label in order[:k]) / k


def acyclic_triples(n: int, edges: Sequence[Edge]) -> Proportion:
    """Return the share of triples without a cycle, among the triples whose three pairs were all compared and are not
    ties.

    The cycle rate is 1 minus its value. Several edges of one pair count by the sign of their weighted sum.

    >>> acyclic_triples(3, [(0, 1, 1.0, 1.0), (1, 2, 0.5, 1.0), (2, 0, 2.0, 1.0)]).value
    0.0

    Raises:
        InputError: an edge is out of range.
    """
    net = np.zeros((n, n))
    for i, j, delta, weight in edges:
        if not (0 <= i < n and 0 <= j < n):
            raise InputError(f"edge ({i}, {j}) leaves the items 0 .. {n - 1}")
        net[i, j] += weight * delta
        net[j, i] -= weight * delta
    beats = (net > 0).astype(np.int64)
    decided = beats + beats.T
    complete = int(np.trace(decided @ decided @ decided)) // 6
    cycles = int(np.trace(beats @ beats @ beats)) // 3
    return Proportion.counted(complete - cycles, complete, n_excluded=n * (n - 1) * (n - 2) // 6 - complete)


def _check(predicted: Predicted, labels: Labels) -> None:
    if len(predicted) != len(labels):
        raise InputError(f"the lengths differ: {len(predicted)} predictions and {len(labels)} labels")
    if not labels:
        raise InputError("a series has no pictures")
