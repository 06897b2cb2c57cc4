"""Reliability of probabilities, and the usual logistic map before PLCC is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import FiniteFloat

from redaes.errors import InputError, MissingDependency
from redaes.metrics import plcc
from redaes.types import Record


class ReliabilityBin(Record):
    """One bin of the reliability diagram: answers of similar probability."""

    n: int
    predicted: FiniteFloat
    """Mean probability given to "the first is better"."""
    observed: FiniteFloat
    """Share of them in which the first is better."""


def reliability(probabilities: Sequence[float], outcomes: Sequence[float], n_bins: int = 10) -> list[ReliabilityBin]:
    """Return the bins of a reliability diagram, of equal width in [0, 1]; empty ones are left out.

    >>> reliability([0.1, 0.9, 0.9], [0.0, 1.0, 0.0], n_bins=2)
    [ReliabilityBin(n=1, predicted=0.1, observed=0.0), ReliabilityBin(n=2, predicted=0.9, observed=0.5)]

    Args:
        probabilities: P(first is better), in [0, 1].
        outcomes: whether it is: 1 or 0, or the share of people who say so.
        n_bins: number of bins; each includes its upper edge, the first one also its lower edge.

    Raises:
        InputError: different lengths, numbers outside [0, 1], or no bins.
    """
    p, y = np.asarray(probabilities, dtype=np.float64), np.asarray(outcomes, dtype=np.float64)
    if p.shape != y.shape or p.ndim != 1:
        raise InputError(f"the shapes are {p.shape} and {y.shape}; give two lists of one length")
    if n_bins < 1:
        raise InputError(f"n_bins is {n_bins}; give at least 1")
    for name, values in (("probabilities", p), ("outcomes", y)):
        if not ((values >= 0) & (values <= 1)).all():  # also False for NaN
            raise InputError(f"the {name} hold a number outside [0, 1]")
    places = np.clip(np.ceil(p * n_bins).astype(int) - 1, 0, n_bins - 1)
    return [
        ReliabilityBin(n=int(inside.sum()), predicted=float(p[inside].mean()), observed=float(y[inside].mean()))
        for place in range(n_bins)
        if (inside := places == place).any()
    ]


def expected_calibration_error(bins: Sequence[ReliabilityBin]) -> float | None:
    """Return the mean distance of predicted and observed over the bins, weighted by their size; ``None`` without
    answers.

    Both sides of a pair are one question here, so each pair is binned by P(first is better) rather than by the
    confidence in the winner.
    """
    n = sum(one.n for one in bins)
    return sum(one.n * abs(one.predicted - one.observed) for one in bins) / n if n else None


@dataclass(frozen=True)
class Logistic:
    """The monotone map of VQEG (2000): ``low + (high - low) / (1 + exp(-(x - centre) / width))``."""

    high: float
    low: float
    centre: float
    width: float

    def __call__(self, x: ArrayLike) -> NDArray[np.float64]:
        """Return predictions on the scale of the labels, of the shape of ``x``."""
        return _logistic(np.asarray(x, dtype=np.float64), self.high, self.low, self.centre, self.width)


def fit_logistic(x: ArrayLike, y: ArrayLike) -> Logistic | None:
    """Return the logistic map that brings predictions closest to labels, by least squares.

    The starting values are VQEG's: extremes of the labels, mean of the predictions, their spread / 4.

    Args:
        x: predictions, shape (n,).
        y: labels, shape (n,).

    Returns:
        The map; ``None`` for fewer than four points, a constant side, or a fit that does not converge.

    Raises:
        InputError: different lengths or numbers that are not finite.
        MissingDependency: scipy is absent.
    """
    if plcc(x, y) is None:
        return None
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if len(a) < 4:
        return None
    try:
        from scipy.optimize import least_squares
    except ImportError as error:
        raise MissingDependency("scipy", "eval") from error
    # In units of their spread, so that the search works for any scale of scores.
    centre, width = float(a.mean()), float(a.std())
    low, high = float(b.min()), float(b.max())
    scaled, aim = (a - centre) / width, (b - low) / (high - low)
    found = least_squares(lambda p: _logistic(scaled, *p) - aim, (1.0, 0.0, 0.0, 0.25), method="lm", max_nfev=20_000)
    if not found.success:
        return None
    top, bottom, at, steep = (float(value) for value in found.x)
    return Logistic(
        high=low + top * (high - low), low=low + bottom * (high - low), centre=centre + at * width, width=steep * width
    )


def _logistic(x: NDArray[np.float64], high: float, low: float, centre: float, width: float) -> NDArray[np.float64]:
    # |width|, because a negative width would swap the two ends; tanh cannot overflow.
    scale = max(abs(width), 1e-12)
    return low + (high - low) * 0.5 * (1.0 + np.tanh(0.5 * (x - centre) / scale))
