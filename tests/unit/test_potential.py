"""Potentials: recovered when the answers agree, the best compromise when they do not."""

from __future__ import annotations

import doctest
import itertools
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from redaes.errors import InputError
from redaes.ranking import Edge, components, fit_potential, potential

POINTS = st.floats(-9, 9, allow_nan=False)
WEIGHTS = st.floats(0.1, 10)

Group = tuple[int, list[Edge]]


@st.composite
def groups(draw: st.DrawFn) -> Group:
    """Differences that need not agree, of a connected group of 2 to 6."""
    n = draw(st.integers(2, 6))
    more = draw(st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=10))
    pairs = [*itertools.pairwise(range(n)), *((i, j) for i, j in more if i != j)]
    return n, [(i, j, draw(POINTS), draw(WEIGHTS)) for i, j in pairs]


@given(groups(), st.lists(POINTS, min_size=6, max_size=6))
def test_exact_scores_are_recovered(group: Group, scores: list[float]) -> None:
    n, measured = group
    exact = [(i, j, scores[i] - scores[j], weight) for i, j, _, weight in measured]
    fitted = fit_potential(n, exact)
    assert fitted.values == pytest.approx(np.array(scores[:n]) - np.mean(scores[:n]), abs=1e-8)
    assert fitted.residuals == pytest.approx([0.0] * len(exact), abs=1e-8)
    if any(abs(delta) > 1e-3 for _, _, delta, _ in exact):
        assert fitted.inconsistency < 1e-9


@given(groups())
def test_values_residuals_and_inconsistency_belong_together(group: Group) -> None:
    n, measured = group
    fitted = fit_potential(n, measured)
    assert fitted.values.sum() == pytest.approx(0.0, abs=1e-8)
    assert fitted.residuals == pytest.approx([d - (fitted.values[i] - fitted.values[j]) for i, j, d, _ in measured])
    total = sum(weight * delta**2 for _, _, delta, weight in measured)
    left = sum(weight * float(r) ** 2 for (*_, weight), r in zip(measured, fitted.residuals, strict=True))
    assert 0.0 <= fitted.inconsistency <= 1.0
    assert fitted.inconsistency * total == pytest.approx(left, abs=1e-8)


@given(groups(), st.randoms(use_true_random=False))
def test_the_order_of_edges_and_of_items_in_an_edge_does_not_matter(group: Group, rng: random.Random) -> None:
    n, measured = group
    fitted = fit_potential(n, measured)
    assert fit_potential(n, rng.sample(measured, len(measured))).values.tolist() == fitted.values.tolist()
    turned = [(j, i, -delta, weight) for i, j, delta, weight in measured]
    assert fit_potential(n, turned).values == pytest.approx(fitted.values, abs=1e-8)


@given(groups())
def test_no_nearby_scores_explain_more(group: Group) -> None:
    n, measured = group
    fitted = fit_potential(n, measured).values

    def cost(scores: np.ndarray) -> float:
        return sum(weight * (scores[i] - scores[j] - delta) ** 2 for i, j, delta, weight in measured)

    for item, step in itertools.product(range(n), (-0.1, 0.1)):
        assert cost(fitted + step * np.eye(n)[item]) >= cost(fitted) - 1e-7


def test_parts_that_were_never_compared_have_a_scale_each() -> None:
    edges: list[Edge] = [(0, 1, 2.0, 1.0), (1, 2, 1.0, 3.0), (2, 0, -2.0, 0.5), (3, 4, 2.0, 1.0), (4, 3, -1.0, 4.0)]
    whole = fit_potential(6, edges).values
    assert components(6, edges) == [[0, 1, 2], [3, 4], [5]]
    assert whole[:3] == pytest.approx(fit_potential(3, edges[:3]).values, abs=1e-12)
    assert whole[3:5] == pytest.approx([0.6, -0.6], abs=1e-12)
    assert whole[5] == 0.0


def test_a_pure_cycle_is_all_inconsistency() -> None:
    fitted = fit_potential(3, [(0, 1, 2.0, 1.0), (1, 2, 2.0, 1.0), (2, 0, 2.0, 1.0)])
    assert fitted.values == pytest.approx([0, 0, 0], abs=1e-12)
    assert fitted.inconsistency == pytest.approx(1.0)
    assert fitted.residuals == pytest.approx((2.0, 2.0, 2.0))


def test_the_example_of_the_module() -> None:
    fitted = fit_potential(3, [(0, 1, 2.0, 1.0), (1, 2, 1.0, 1.0), (0, 2, 1.0, 1.0)])
    assert fitted.values[0] - fitted.values[2] == pytest.approx(5 / 3)
    # One cycle of three edges, that misses closing by 2: a third of it on each edge.
    assert fitted.residuals == pytest.approx((2 / 3, 2 / 3, -2 / 3))
    assert fitted.inconsistency == pytest.approx(3 * (2 / 3) ** 2 / 6)


def test_weight_decides_between_two_answers() -> None:
    high, low = fit_potential(2, [(0, 1, 4.0, 3.0), (1, 0, 0.0, 1.0)]).values
    assert high - low == pytest.approx(3.0)


def test_ties_everywhere_are_consistent() -> None:
    assert fit_potential(2, [(0, 1, 0.0, 1.0)]).inconsistency == 0.0


def test_no_items_and_no_edges() -> None:
    assert fit_potential(0, []).values.shape == (0,)
    assert fit_potential(3, []).values.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    "edge",
    [(0, 0, 1.0, 1.0), (0, 3, 1.0, 1.0), (-1, 0, 1.0, 1.0), (0, 1, float("nan"), 1.0), (0, 1, 1.0, 0.0),
     (0, 1, 1.0, -1.0), (0, 1, 1.0, float("inf"))],
)  # fmt: skip
def test_unusable_edges(edge: Edge) -> None:
    with pytest.raises(InputError, match=r"edge \("):
        fit_potential(3, [edge])


def test_the_examples() -> None:
    found = doctest.testmod(potential)
    assert found.failed == 0
    assert found.attempted
