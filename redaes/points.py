"""Conversions between log-odds, probabilities and points (docs/reading.md)."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import overload

import numpy as np
from numpy.typing import NDArray

from redaes.types import MAX_DELTA, TAU


def delta_of(log_odds: float) -> float:
    """Return the difference, in points, for log-odds of a preference: TAU times the probit of its probability.

    >>> delta_of(0.0), round(delta_of(1.6684), 2), delta_of(1000.0)
    (0.0, 2.0, 9.0)
    """
    return points_of(sigmoid(log_odds))


def points_of(probability: float) -> float:
    """Return the difference, in points, for the probability of a preference.

    >>> points_of(0.5), round(points_of(0.8413), 2), points_of(0.0)
    (0.0, 2.0, -9.0)
    """
    probit = NormalDist()
    limit = probit.cdf(MAX_DELTA / TAU)
    # The limits are compared before the probit is taken, because it is infinite for 0 and 1.
    if probability >= limit:
        return MAX_DELTA
    if probability <= 1.0 - limit:
        return -MAX_DELTA
    return TAU * probit.inv_cdf(probability)


def believed(log_odds: float, temperature: float, ceiling: float) -> float:
    """Return the calibrated probability of log-odds, kept between ``1 - ceiling`` and ``ceiling``.

    >>> believed(9.0, 1.0, 0.95), believed(0.0, 2.0, 0.95)
    (0.95, 0.5)
    """
    return min(ceiling, max(1.0 - ceiling, sigmoid(log_odds / temperature)))


@overload
def sigmoid(log_odds: float) -> float: ...
@overload
def sigmoid(log_odds: NDArray[np.float64]) -> NDArray[np.float64]: ...
def sigmoid(log_odds: float | NDArray[np.float64]) -> float | NDArray[np.float64]:
    """Return 1 / (1 + exp(-x)) of a number or of each in an array, in the form that does not overflow.

    >>> sigmoid(0.0), sigmoid(-1e6)
    (0.5, 0.0)
    """
    if isinstance(log_odds, np.ndarray):
        return 0.5 * (1.0 + np.tanh(0.5 * log_odds))
    return 0.5 * (1.0 + math.tanh(0.5 * log_odds))
