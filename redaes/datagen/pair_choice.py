"""Choose the pairs of a view to ask about, so that few answers settle every difference nearly as well as all would.

Differences of a view come from one potential (:mod:`redaes.ranking.potential`), so an answer about A and B also tells
something about A and C by way of B and C. How well a difference is known does not depend on the answers, only on which
pairs were asked about. Its variance is the resistance between its two pictures, if every answer is a wire between them.
Pairs are taken one by one, each time the one whose difference is known least (greedy D-optimality). docs/data.md
compares this with other ways of choosing.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from redaes.errors import InputError

PicturePlaces = tuple[int, int]
"""Two pictures of a view, by their places, the smaller one first."""

_LOOSENESS = 1e3
"""Variance of a picture's score before there are answers, in units of an answer's variance. It is so large that the
first pairs are those that connect all pictures."""
_DECIMALS = 6
"""Variances that agree to so many decimals count as equal, so that rounding does not decide but the seed."""


def n_questions(n: int, share: float, n_pairs: int | None = None) -> int:
    """Return how many pairs of ``n`` pictures to ask about: the share of all, rounded up, but at least a ring.

    A ring of ``n`` pairs is the smallest set that settles all differences and shows whether answers contradict each
    other.

    >>> n_questions(11, 1 / 3), n_questions(4, 1 / 3), n_questions(3, 0.1), n_questions(2, 0.1)
    (19, 4, 3, 1)

    Args:
        n: number of pictures.
        share: share of their pairs, above 0, at most 1.
        n_pairs: number of pairs that can be asked about; None means all.
    """
    every = n * (n - 1) // 2 if n_pairs is None else n_pairs
    return min(every, max(n, math.ceil(share * every - 1e-9)))


def choose_pairs(
    n: int,
    pairs: Sequence[PicturePlaces],
    wanted: int,
    seed: str,
    *,
    answered: Collection[PicturePlaces] = (),
) -> list[PicturePlaces]:
    """Return the pairs whose answers tell most about all differences.

    >>> choose_pairs(4, [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)], 4, "view")  # a ring
    [(0, 1), (0, 3), (1, 2), (2, 3)]

    Args:
        n: number of pictures.
        pairs: the pairs that can be asked about, each once.
        wanted: number of pairs to ask about.
        seed: a text that decides between pairs that are worth the same, such as the group's id.
        answered: pairs that already have answers; they are not among ``pairs``.

    Returns:
        ``wanted`` of ``pairs``, sorted; they connect all pictures if so many pairs can.

    Raises:
        InputError: more are wanted than there are, or a pair is not one of two of the ``n`` pictures, or occurs twice.
    """
    known = [*pairs, *answered]
    if len(set(known)) != len(known) or not all(0 <= i < j < n for i, j in known):
        raise InputError(f"pairs {known} of {n} pictures: give each once, the smaller of its two places first")
    if not 0 <= wanted <= len(pairs):
        raise InputError(f"{wanted} of {len(pairs)} pairs are wanted; give 0 to {len(pairs)}")
    if wanted in (0, len(pairs)):
        return sorted(pairs)[:wanted]
    # The seed decides the order; of pairs with equal variance the first is taken.
    order = sorted(pairs, key=lambda pair: hashlib.sha256(f"{seed}:{pair[0]}:{pair[1]}".encode()).digest())
    first, second = np.array(order).T
    covariance: NDArray[np.float64] = np.eye(n) * _LOOSENESS
    for pair in sorted(answered):
        _take_in(covariance, pair)
    chosen: list[PicturePlaces] = []
    open_ = np.ones(len(order), dtype=bool)
    for _ in range(wanted):
        own = np.diag(covariance)
        variance = own[first] + own[second] - 2.0 * covariance[first, second]
        at = int(np.argmax(np.where(open_, variance.round(_DECIMALS), -1.0)))
        open_[at] = False
        chosen.append(order[at])
        _take_in(covariance, order[at])
    return sorted(chosen)


def _take_in(covariance: NDArray[np.float64], pair: PicturePlaces) -> None:
    """Update the covariance by an answer about a pair, of variance 1 (formula of Sherman and Morrison)."""
    i, j = pair
    moved = covariance[:, i] - covariance[:, j]
    covariance -= np.outer(moved, moved) / (1.0 + moved[i] - moved[j])
