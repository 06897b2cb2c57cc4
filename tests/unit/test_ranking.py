"""Rankings from comparisons: exact on known graphs, and refusing where there is no answer."""

from __future__ import annotations

import doctest
import itertools
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redaes import ranking
from redaes.errors import InputError
from redaes.ranking import Edge, bradley_terry, components, count_cycles, fit_potential, rank

scores_lists = st.lists(st.floats(-9, 9), min_size=2, max_size=7)


@given(scores_lists)
@settings(max_examples=60, deadline=None)
def test_consistent_differences_are_recovered(scores: list[float]) -> None:
    pairs = itertools.combinations(range(len(scores)), 2)
    edges = [(i, j, scores[i] - scores[j], 1.0 + i) for i, j in pairs]
    assert fit_potential(len(scores), edges) == pytest.approx(np.array(scores) - np.mean(scores), abs=1e-9)


def test_it_is_the_weighted_least_squares_solution() -> None:
    rng = np.random.default_rng(0)
    n = 6
    edges: list[Edge] = [
        (int(i), int(j), float(rng.normal()), float(rng.uniform(0.1, 5)))
        for i, j in [(0, 1), (1, 2), (2, 0), (3, 4), (4, 3), (1, 0)]
    ]
    design = np.zeros((len(edges), n))
    for row, (i, j, _, _) in enumerate(edges):
        design[row, i], design[row, j] = 1, -1
    root = np.sqrt([weight for *_, weight in edges])
    # The shortest of all solutions has zero mean in every component.
    expected = np.linalg.lstsq(design * root[:, None], root * [delta for _, _, delta, _ in edges], rcond=None)[0]
    found = fit_potential(n, edges)
    assert found == pytest.approx(expected, abs=1e-12)
    assert components(n, edges) == [[0, 1, 2], [3, 4], [5]]
    assert [found[part].sum() for part in components(n, edges)] == pytest.approx([0, 0, 0], abs=1e-12)


def test_a_pure_cycle_has_no_potential() -> None:
    assert fit_potential(3, [(0, 1, 2.0, 1.0), (1, 2, 2.0, 1.0), (2, 0, 2.0, 1.0)]) == pytest.approx([0, 0, 0])


def test_no_items_and_no_edges() -> None:
    assert fit_potential(0, []).shape == (0,)
    assert fit_potential(3, []).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    "edge",
    [(0, 0, 1.0, 1.0), (0, 3, 1.0, 1.0), (-1, 0, 1.0, 1.0), (0, 1, float("nan"), 1.0), (0, 1, 1.0, 0.0),
     (0, 1, 1.0, -1.0), (0, 1, 1.0, float("inf"))],
)  # fmt: skip
def test_unusable_edges(edge: Edge) -> None:
    with pytest.raises(InputError, match=r"edge \("):
        fit_potential(3, [edge])
    with pytest.raises(InputError, match=r"edge \("):
        count_cycles(3, [edge])


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


@given(st.integers(3, 6), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_cycles_are_counted_as_by_hand(n: int, rng: random.Random) -> None:
    sign = {pair: rng.choice([-1.0, 0.0, 1.0]) for pair in itertools.combinations(range(n), 2)}
    edges = [(i, j, delta, 1.0) for (i, j), delta in sign.items()]
    expected = sum(sign[a, b] == sign[b, c] == -sign[a, c] != 0 for a, b, c in itertools.combinations(range(n), 3))
    assert count_cycles(n, edges) == expected


def test_repeated_comparisons_count_by_their_sum() -> None:
    circle = [(0, 1, 1.0, 1.0), (1, 2, 1.0, 1.0), (2, 0, 1.0, 1.0)]
    assert count_cycles(3, circle) == 1
    assert count_cycles(3, [*circle, (0, 2, 3.0, 1.0)]) == 0
    assert count_cycles(3, [*circle, (0, 2, 1.0, 1.0)]) == 0  # a tie closes no cycle


def test_rank_orders_counts_and_keeps_failures_apart() -> None:
    result = rank(["p", "q", "r"], [("p", "q", -2.0), ("q", "r", 3.0), ("r", "p", None), ("p", "r", 1.0)])
    assert result.order == ("q", "p", "r")
    assert result.scores == pytest.approx({"p": -1 / 3, "q": 5 / 3, "r": -4 / 3})
    assert (result.n_comparisons, result.n_failed, result.n_cycles) == (4, 1, 0)


def test_ties_are_ordered_by_id_however_the_pictures_are_listed() -> None:
    comparisons: list[tuple[str, str, float | None]] = [("c", "a", 0.0), ("b", "c", 0.0), ("a", "d", 1.0)]
    for ids in itertools.permutations("abcd"):
        assert rank(ids, comparisons).order == ("a", "b", "c", "d")


def test_rounding_errors_do_not_decide_an_order() -> None:
    # 0.1 + 0.2 - 0.3 is not exactly zero: b and d are equal up to rounding.
    comparisons = [("d", "c", 0.1), ("c", "a", 0.2), ("b", "a", 0.3)]
    assert rank(list("abcd"), comparisons).order[:2] == ("b", "d")


@given(st.permutations(range(6)))
@settings(max_examples=30, deadline=None)
def test_the_order_of_the_comparisons_does_not_matter(order: list[int]) -> None:
    rng = np.random.default_rng(3)
    comparisons = [(a, b, float(rng.normal())) for a, b in itertools.combinations("wxyz", 2)]
    assert rank("wxyz", [comparisons[i] for i in order]).order == rank("wxyz", comparisons).order


def test_swapping_a_comparison_changes_nothing() -> None:
    forward = rank("ab", [("a", "b", 1.5)])
    assert forward == rank("ab", [("b", "a", -1.5)])
    assert forward.order == ("a", "b")


def test_parts_of_a_disconnected_graph_are_named() -> None:
    with pytest.raises(InputError, match=r"2 parts \(a, b; c\), 1 of 2 comparisons failed"):
        rank(["a", "b", "c"], [("a", "b", 1.0), ("b", "c", None)])


def test_one_picture_needs_no_comparison() -> None:
    result = rank(["a"], [])
    assert (result.order, result.scores) == (("a",), {"a": 0.0})


@pytest.mark.parametrize(
    ("ids", "comparison", "message"),
    [
        (["a", "a"], ("a", "a", 1.0), "listed twice: a"),
        (["a", "b"], ("a", "z", 1.0), "names 'z'"),
        (["a", "b"], ("a", "z", None), "names 'z'"),
        (["a", "b"], ("a", "a", 1.0), "compared with itself"),
        (["a", "b"], ("a", "b", float("nan")), "finite"),
    ],
)
def test_malformed_comparisons(ids: list[str], comparison: tuple[str, str, float | None], message: str) -> None:
    with pytest.raises(InputError, match=message):
        rank(ids, [comparison])


def test_doctests() -> None:
    result = doctest.testmod(ranking)
    assert result.failed == 0
    assert result.attempted >= 5
