"""Fit one scale to the pictures of a view, from the differences on which its judges agree, with its uncertainty."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from redaes.datagen.consensus import Consensus
from redaes.datagen.pair_choice import PicturePlaces
from redaes.ranking import Z_SETTLED, components, difference_variance, fit_potential
from redaes.types import TIE_MARGIN

ASSUMED_NOISE = 1.0
"""Assumed standard deviation of an answer, in points, if answers to one question cannot show it."""


@dataclass(frozen=True)
class ViewScale:
    """Consistent scores of a view's pictures."""

    parts: tuple[tuple[int, ...], ...]
    """Pictures connected by labelled pairs, even by way of others; one in no labelled pair is a part of its own."""
    scores: NDArray[np.float64]
    """Shape (n,), in points, with zero mean in each part; differences between parts have no meaning."""
    errors: NDArray[np.float64]
    """Standard errors of all differences, shape (n, n), in points; infinite between parts."""
    noise: float
    """Standard deviation of a single answer around the scale, in points, as :func:`view_scale` estimates it."""

    def delta(self, pair: PicturePlaces) -> float:
        """Return the score of the first picture minus the score of the second."""
        return float(self.scores[pair[0]] - self.scores[pair[1]])


def view_scale(n: int, labels: Mapping[PicturePlaces, Consensus], names: Sequence[str] = ()) -> ViewScale:
    """Fit a potential to the labelled pairs; each answer counts.

    The scatter of answers is estimated from what the potential leaves unexplained (weighted by the number of pairs
    beyond those that a tree needs) and from how far the judges' answers about a pair differ (weighted by the number of
    pictures minus one): a few pairs alone would say little about it. One judge that answers once in each order gives no
    such differences, and :data:`ASSUMED_NOISE` is used in their place.

    Args:
        n: number of pictures.
        labels: labels by pair; rejected ones do not count.
        names: names of the pictures, so that scores do not depend on the pictures' order, not even by rounding; if
            empty, their places are used.
    """
    kept = {pair: label for pair, label in sorted(labels.items()) if label.delta is not None}
    edges = [(i, j, label.delta or 0.0, float(label.n_answers)) for (i, j), label in kept.items()]
    parts = components(n, edges)
    scores = np.zeros(n)
    for part in parts:
        order = sorted(part, key=lambda place: names[place]) if names else part
        within = {place: number for number, place in enumerate(order)}
        mine = [(within[i], within[j], delta, weight) for i, j, delta, weight in edges if i in within]
        scores[order] = fit_potential(len(order), mine).values
    variance = 0.0
    if edges:
        unexplained = sum(weight * (delta - float(scores[i] - scores[j])) ** 2 for i, j, delta, weight in edges)
        shown = [label.n_answers * each for label in kept.values() if (each := _variance(label)) is not None]
        stated = fmean(shown) if shown else ASSUMED_NOISE**2
        n_beyond, n_fitted = len(edges) - (n - len(parts)), max(1, n - len(parts))
        variance = (unexplained + n_fitted * stated) / (n_beyond + n_fitted)
    unit = difference_variance(n, edges)
    unit[np.isfinite(unit)] *= variance  # infinity times zero would be NaN
    return ViewScale(
        parts=tuple(map(tuple, parts)),
        scores=scores,
        errors=np.sqrt(unit),
        noise=math.sqrt(variance),
    )


def _variance(label: Consensus) -> float | None:
    """Return the variance of a label around the mean of infinitely many such judges, estimated from its answers, in
    squared points. None if there is only one answer in each order, whose difference may be due to the order.
    """
    if label.disagreement is None or label.spread is None:
        return None
    if label.n_judges > 1:
        return label.disagreement**2 / (label.n_judges - 1)
    return label.spread**2 / (label.n_answers - 2) if label.n_answers > 2 else None


def why_not_inferred(scale: ViewScale, pair: PicturePlaces, max_error: float) -> str | None:
    """Return why a pair that nobody was asked about gets no label from the scale; None if it gets one.

    Nobody has looked at these two pictures side by side, so the conditions are stricter than for judged pairs: the
    difference must be known well (else ``imprecise``), and it must be clear which picture is better (else
    ``undecided``). So a tie is never inferred.

    Args:
        scale: scale of the view.
        pair: two of its pictures.
        max_error: largest standard error, in points.
    """
    error = float(scale.errors[pair])
    if error > max_error:
        return "imprecise"
    return "undecided" if abs(scale.delta(pair)) < max(TIE_MARGIN, Z_SETTLED * error) else None
