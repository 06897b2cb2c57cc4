"""How well a perfect assessor can agree with labels that are means of a few votes.

The votes of every picture are split at random into two halves. The correlation of the halves' means is the reliability
of half the votes. Spearman and Brown's formula gives the reliability of all votes, and its root is the highest
correlation that a predictor can be expected to reach (Spearman 1904). For rank correlations these are approximations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from redaes import metrics
from redaes.errors import InputError


@dataclass(frozen=True)
class Ceiling:
    """Agreement of votes with themselves.

    Attributes:
        split_half: SRCC of the means of two halves, averaged over the splits.
        reliability: reliability of all votes, by Spearman and Brown: 2r / (1 + r).
        ceiling: root of the reliability.
        n: number of pictures.
        n_splits: number of random splits.
    """

    split_half: float
    reliability: float
    ceiling: float
    n: int
    n_splits: int


def vote_ceiling(histograms: ArrayLike, *, n_splits: int = 10, seed: int = 0) -> Ceiling:
    """Return the ceiling that vote noise puts on SRCC.

    Args:
        histograms: counts of the ratings 1, 2, …, shape (n_pictures, n_ratings); at least two votes each.
        n_splits: number of random splits, over which results are averaged.
        seed: seed of the splits.

    Raises:
        InputError: counts are malformed, there are fewer than two pictures, or the halves' means have no correlation.
    """
    counts = np.asarray(histograms)
    if counts.ndim != 2 or not np.issubdtype(counts.dtype, np.integer) or (counts < 0).any():
        raise InputError("histograms must hold whole counts of at least 0, one row per picture")
    if n_splits < 1:
        raise InputError(f"n_splits is {n_splits}; give at least 1")
    if len(counts) < 2 or (counts.sum(axis=1) < 2).any():
        raise InputError("give at least two pictures, each with at least two votes")
    ratings = np.arange(1, counts.shape[1] + 1)
    halves = counts.sum(axis=1) // 2
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n_splits):
        first = np.array([rng.multivariate_hypergeometric(row, half) for row, half in zip(counts, halves, strict=True)])
        second = counts - first
        value = metrics.srcc(*((half @ ratings) / half.sum(axis=1) for half in (first, second)))
        if value is None or value <= 0:
            raise InputError("the halves of the votes do not agree at all; there is no ceiling to speak of")
        found.append(value)
    half_srcc = sum(found) / len(found)
    reliability = 2 * half_srcc / (1 + half_srcc)
    return Ceiling(half_srcc, reliability, math.sqrt(reliability), len(counts), n_splits)
