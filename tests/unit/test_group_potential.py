"""Potentials: recovered when the answers agree, the best compromise when they do not."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redaes.datagen.group_potential import Difference, components, fit_potential
from redaes.errors import InputError

POINTS = st.floats(-9, 9, allow_nan=False)
WEIGHTS = st.floats(0.1, 10)


@st.composite
def rows(draw: st.DrawFn) -> list[Difference]:
    """Differences that need not agree, of a connected group of 2 to 6."""
    names = [f"m{index}" for index in range(draw(st.integers(2, 6)))]
    chain = list(itertools.pairwise(names))
    more = draw(st.lists(st.tuples(st.sampled_from(names), st.sampled_from(names)), max_size=10))
    pairs = chain + [(a, b) for a, b in more if a != b]
    return [Difference(a, b, draw(POINTS), draw(WEIGHTS)) for a, b in pairs]


@given(rows(), st.lists(POINTS, min_size=6, max_size=6))
def test_exact_scores_are_recovered(measured: list[Difference], scores: list[float]) -> None:
    true = {f"m{index}": score for index, score in enumerate(scores)}
    exact = [Difference(row.first, row.second, true[row.first] - true[row.second], row.weight) for row in measured]
    fitted = fit_potential(exact)
    for a, b in itertools.permutations(fitted.scores, 2):
        assert math.isclose(fitted.delta(a, b), true[a] - true[b], abs_tol=1e-8)
    assert fitted.residuals == pytest.approx([0.0] * len(exact), abs=1e-8)
    if any(abs(row.delta) > 1e-3 for row in exact):
        assert fitted.inconsistency < 1e-9


@given(rows())
def test_the_result_is_consistent_and_antisymmetric(measured: list[Difference]) -> None:
    fitted = fit_potential(measured)
    for a, b, c in itertools.product(fitted.scores, repeat=3):
        assert fitted.delta(a, b) == -fitted.delta(b, a)
        assert math.isclose(fitted.delta(a, b) + fitted.delta(b, c), fitted.delta(a, c), abs_tol=1e-9)
    assert 0.0 <= fitted.inconsistency <= 1.0
    assert math.isclose(sum(fitted.scores.values()), 0.0, abs_tol=1e-8)


@given(rows(), st.randoms(use_true_random=False))
def test_the_order_of_rows_and_of_names_in_a_row_does_not_matter(
    measured: list[Difference], rng: random.Random
) -> None:
    fitted = fit_potential(measured)
    shuffled = rng.sample(measured, len(measured))
    assert fit_potential(shuffled).scores == fitted.scores
    turned = [Difference(row.second, row.first, -row.delta, row.weight) for row in measured]
    assert fit_potential(turned).scores == pytest.approx(fitted.scores, abs=1e-8)


@given(rows())
def test_no_nearby_scores_explain_more(measured: list[Difference]) -> None:
    fitted = fit_potential(measured)

    def cost(scores: dict[str, float]) -> float:
        return sum(row.weight * (scores[row.first] - scores[row.second] - row.delta) ** 2 for row in measured)

    best = cost(dict(fitted.scores))
    for name, step in itertools.product(fitted.scores, (-0.1, 0.1)):
        assert cost({**fitted.scores, name: fitted.scores[name] + step}) >= best - 1e-7


@given(rows())
def test_a_reference_is_zero_and_changes_no_difference(measured: list[Difference]) -> None:
    free, anchored = fit_potential(measured), fit_potential(measured, reference="m1")
    assert anchored.scores["m1"] == 0.0
    for a, b in itertools.permutations(free.scores, 2):
        assert math.isclose(free.delta(a, b), anchored.delta(a, b), abs_tol=1e-9)


def test_a_pure_cycle_is_all_inconsistency() -> None:
    fitted = fit_potential([Difference("a", "b", 2.0), Difference("b", "c", 2.0), Difference("c", "a", 2.0)])
    assert fitted.scores == pytest.approx({"a": 0.0, "b": 0.0, "c": 0.0}, abs=1e-12)
    assert fitted.inconsistency == pytest.approx(1.0)
    assert fitted.residuals == pytest.approx((2.0, 2.0, 2.0))


def test_the_example_of_the_module() -> None:
    fitted = fit_potential([Difference("a", "b", 2.0), Difference("b", "c", 1.0), Difference("a", "c", 1.0)])
    assert fitted.delta("a", "c") == pytest.approx(5 / 3)
    # One cycle of three edges, that misses closing by 2: a third of it on each edge.
    assert fitted.residuals == pytest.approx((2 / 3, 2 / 3, -2 / 3))
    assert fitted.inconsistency == pytest.approx(3 * (2 / 3) ** 2 / 6)


def test_weight_decides_between_two_answers() -> None:
    fitted = fit_potential([Difference("a", "b", 4.0, weight=3.0), Difference("b", "a", 0.0, weight=1.0)])
    assert fitted.delta("a", "b") == pytest.approx(3.0)


def test_ties_everywhere_are_consistent() -> None:
    assert fit_potential([Difference("a", "b", 0.0)]).inconsistency == 0.0


def test_parts_that_were_never_compared_are_named() -> None:
    apart = [Difference("a", "b", 1.0), Difference("c", "d", 2.0), Difference("b", "e", 1.0)]
    with pytest.raises(InputError, match=r"2 parts .*: a, b, e; c, d"):
        fit_potential(apart)
    parts = components(apart)
    assert parts == [[apart[0], apart[2]], [apart[1]]]
    assert fit_potential(parts[1]).delta("c", "d") == pytest.approx(2.0)


@pytest.mark.parametrize(
    "row", [("a", "a", 1.0, 1.0), ("a", "b", math.nan, 1.0), ("a", "b", 1.0, 0.0), ("a", "b", 1.0, math.inf)]
)
def test_rows_that_mean_nothing_are_refused(row: tuple[str, str, float, float]) -> None:
    with pytest.raises(InputError, match="'a'"):
        Difference(*row)


def test_no_rows_unknown_reference_unknown_member() -> None:
    with pytest.raises(InputError, match="no differences"):
        fit_potential([])
    with pytest.raises(InputError, match="reference 'z'"):
        fit_potential([Difference("a", "b", 1.0)], reference="z")
    with pytest.raises(InputError, match="'z' is not in this group; its members: a, b"):
        fit_potential([Difference("a", "b", 1.0)]).delta("a", "z")
