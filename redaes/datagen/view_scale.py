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
"""Standard deviation of an answer, in points, where answers to one question cannot show any."""


@dataclass(frozen=True)
class ViewScale:
    """Consistent scores of a view's pictures."""

    parts: tuple[tuple[int, ...], ...]
    """Pictures that labelled pairs join, even by way of others; a picture in no labelled pair is a part of its own."""
    scores: NDArray[np.float64]
    """Shape (n,), in points, with zero mean in each part; between parts differences mean nothing."""
    errors: NDArray[np.float64]
    """Standard errors of all differences, shape (n, n), in points; infinite between parts."""
    noise: float
    """Standard deviation of a single answer around the scale, in points, as :func:`view_scale` estimates it."""

    def delta(self, pair: PicturePlaces) -> float:
        """Return the score of the first less score of the second."""
        return float(self.scores[pair[0]] - self.scores[pair[1]])


def view_scale(n: int, labels: Mapping[PicturePlaces, Consensus], names: Sequence[str] = ()) -> ViewScale:
    """Fit a potential to the labelled pairs; each answer counts.

    How much answers scatter is taken from what the potential leaves unexplained (which counts once for each pair beyond
    those that a tree needs) together with how far the judges' answers about a pair lie apart (which counts once for
    each picture but one): a few pairs alone would say little about it. Of one judge that answers once in each order
    nothing is known beforehand, and :data:`ASSUMED_NOISE` takes the place of the latter.

    Args:
        n: pictures.
        labels: by pair; rejected ones do not count.
        names: names of the pictures, so that scores do not depend on their order, not even in how they are rounded;
            none: their places are.
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
    unit[np.isfinite(unit)] *= variance  # infinity times no noise is no number
    return ViewScale(
        parts=tuple(map(tuple, parts)),
        scores=scores,
        errors=np.sqrt(unit),
        noise=math.sqrt(variance),
    )


def _variance(label: Consensus) -> float | None:
    """Return the variance of a label around the mean of infinitely many such judges, estimated from its answers, in
    squared points; None: one answer in each order shows nothing, for what sets them apart may be the order.
    """
    if label.disagreement is None or label.spread is None:
        return None
    if label.n_judges > 1:
        return label.disagreement**2 / (label.n_judges - 1)
    return label.spread**2 / (label.n_answers - 2) if label.n_answers > 2 else None


def why_not_inferred(scale: ViewScale, pair: PicturePlaces, max_error: float) -> str | None:
    """Return why a pair that nobody was asked about gets no label from the scale, or None: it gets one.

    Nobody has looked at these two pictures side by side, so more is wanted than of judged pairs: the difference has to
    be known well (else ``imprecise``), and which picture is better has to be settled (else ``undecided``). So a tie is
    never inferred.

    Args:
        scale: scale of the view.
        pair: two of its pictures.
        max_error: largest standard error, in points.
    """
    error = float(scale.errors[pair])
    if error > max_error:
        return "imprecise"
    return "undecided" if abs(scale.delta(pair)) < max(TIE_MARGIN, Z_SETTLED * error) else None
