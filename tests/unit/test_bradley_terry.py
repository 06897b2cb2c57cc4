"""Bradley-Terry strengths of a whole vote table."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redaes.errors import InputError
from redaes.ranking import Strengths, bradley_terry, fit_strengths


@given(st.lists(st.floats(-3, 3), min_size=2, max_size=6))
@settings(max_examples=40, deadline=None)
def test_bradley_terry_recovers_the_strengths_behind_probabilities(strengths: list[float]) -> None:
    s = np.array(strengths)
    wins = 1 / (1 + np.exp(s[None, :] - s[:, None]))
    np.fill_diagonal(wins, 0)
    assert bradley_terry(wins) == pytest.approx(s - s.mean(), abs=1e-8)


def test_bradley_terry_is_the_maximum_of_the_likelihood() -> None:
    from scipy.optimize import minimize

    wins = np.random.default_rng(1).integers(0, 9, (5, 5)).astype(float)
    wins[0, 1], wins[1, 0] = 1000, 1
    np.fill_diagonal(wins, 0)

    def loss(s: np.ndarray) -> float:
        return float((wins * np.logaddexp(0, s[None, :] - s[:, None])).sum() + s.mean() ** 2)

    best = minimize(loss, np.zeros(5), method="BFGS", options={"gtol": 1e-9})
    found = bradley_terry(wins)
    assert found == pytest.approx(best.x - best.x.mean(), abs=1e-5)
    assert loss(found) <= best.fun + 1e-9


def test_bradley_terry_without_a_finite_answer() -> None:
    with pytest.raises(InputError, match="no chain of wins leads from item 1 to item 0"):
        bradley_terry([[0, 2], [0, 0]])
    with pytest.raises(InputError, match="no finite strengths"):  # 0 and 1 always beat 2 and 3
        bradley_terry([[0, 1, 1, 1], [1, 0, 1, 1], [0, 0, 0, 1], [0, 0, 1, 0]])
    # A long circle: each item loses, but only through all the others.
    circle = np.roll(np.eye(9), 1, axis=1)
    assert bradley_terry(circle) == pytest.approx(np.zeros(9), abs=1e-9)


@pytest.mark.parametrize("wins", [[[1, 1], [1, 0]], [[0, -1], [1, 0]], [[0, float("nan")], [1, 0]], [[0, 1]], []])
def test_bradley_terry_refuses_malformed_tables(wins: list[list[float]]) -> None:
    with pytest.raises(InputError, match="wins "):
        bradley_terry(wins)


def test_strengths_are_found_where_a_full_step_would_overshoot() -> None:
    """Weights that differ a millionfold: Newton's method without a limit to its steps ends far from the maximum."""
    outcomes = [(2, 0, 1.0, 1e6), (3, 0, 1.0, 2.0), (1, 2, 0.0, 1e9), (1, 3, 1.0, 1e6), (1, 4, 1.0, 1e3)]
    found = fit_strengths(5, outcomes).values
    assert found == pytest.approx([-10.06468, 2.69643, 22.50326, -10.30239, -4.83263], abs=1e-4)


@pytest.mark.parametrize(("gap", "settled"), [(1.65, True), (1.64, False)])
@pytest.mark.parametrize(("variance", "shared"), [(0.5, 0.0), (1.0, 0.5)])  # of the difference it is 1 in either case
def test_a_difference_is_settled_from_95_percent_on(gap: float, settled: bool, variance: float, shared: float) -> None:
    covariance = np.array([[variance, shared], [shared, variance]])
    assert Strengths(np.array([0.0, gap]), covariance).settled(1) is settled
    assert Strengths(np.array([0.0, gap]), 4 * covariance).settled(1) is False
    assert Strengths(np.array([0.0, 0.0]), np.full((2, 2), 0.5)).settled(1) is True  # the same picture twice


def test_a_probability_above_1_is_refused() -> None:
    with pytest.raises(InputError, match="give one of 0 to 1"):
        fit_strengths(2, [(0, 1, 1.05, 2.0)])


def test_errors_of_strengths_are_those_of_the_curvature_times_the_dispersion() -> None:
    one = fit_strengths(2, [(0, 1, 0.75, 4.0)])  # nothing that could contradict it
    p = 1 / (1 + np.exp(one.values[1] - one.values[0]))
    assert one.difference_variance[0, 1] == pytest.approx(2 / (2 * 4 * p * (1 - p) + 1 / 9))
    circle = [(0, 1, 0.8, 4.0), (1, 2, 0.8, 4.0), (2, 0, 0.8, 4.0)]  # all alike, so 0.5 is fitted to each
    dispersion = (2 + 3 * 4 * 0.3**2 / 0.25) / (2 + 1)  # two differences fitted, one comparison free
    assert fit_strengths(3, circle).difference_variance[0, 1] == pytest.approx(dispersion * 2 / (3 * 4 * 0.25 + 1 / 9))
