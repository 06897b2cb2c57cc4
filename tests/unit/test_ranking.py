"""Rankings from comparisons: exact on known graphs, and refusing where there is no answer."""

from __future__ import annotations

import doctest
import itertools
import random
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from redaes.errors import InputError, ParseError
from redaes.ranking import (
    Edge,
    Outcome,
    Schedule,
    components,
    count_cycles,
    default_pairs,
    fit_one,
    fit_strengths,
    graph,
    order,
    rank,
    schedule,
    strengths,
)
from redaes.types import PairAnswer

scores_lists = st.lists(st.floats(-9, 9), min_size=2, max_size=7)


@pytest.mark.parametrize(
    "edge",
    [(0, 0, 1.0, 1.0), (0, 3, 1.0, 1.0), (-1, 0, 1.0, 1.0), (0, 1, float("nan"), 1.0), (0, 1, 1.0, 0.0),
     (0, 1, 1.0, -1.0), (0, 1, 1.0, float("inf"))],
)  # fmt: skip
def test_unusable_edges(edge: Edge) -> None:
    with pytest.raises(InputError, match=r"edge \("):
        count_cycles(3, [edge])


@given(st.lists(st.floats(-2, 2), min_size=2, max_size=6))
@settings(max_examples=40, deadline=None)
def test_strengths_behind_probabilities_are_recovered(strengths: list[float]) -> None:
    s = np.array(strengths)
    pairs = itertools.combinations(range(len(s)), 2)
    outcomes = [(i, j, float(1 / (1 + np.exp(s[j] - s[i]))), 1e6) for i, j in pairs]  # so many that no prior counts
    assert fit_strengths(len(s), outcomes).values == pytest.approx(s - s.mean(), abs=1e-4)


def test_strengths_agree_with_choix() -> None:
    import choix

    rng = np.random.default_rng(1)
    votes = [tuple(int(item) for item in rng.choice(7, 2, replace=False)) for _ in range(120)]
    # choix adds alpha times the sum of squares to the loss.
    expected = choix.opt_pairwise(7, votes, alpha=1 / (2 * strengths.PRIOR_SD**2), tol=1e-12)
    found = fit_strengths(7, [(winner, loser, 1.0, 1.0) for winner, loser in votes])
    assert found.values == pytest.approx(expected - expected.mean(), abs=1e-5)
    whole = [(i, j, votes.count((i, j)) / n, float(n)) for i, j in itertools.combinations(range(7), 2)
             if (n := votes.count((i, j)) + votes.count((j, i)))]  # fmt: skip
    assert fit_strengths(7, whole).values == pytest.approx(found.values, abs=1e-8)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("n", [0, 1])
def test_pictures_that_cannot_be_compared_have_no_spread(n: int) -> None:
    assert strengths.fit_strengths(n, []).values.tolist() == [0.0] * n


def test_a_picture_that_never_loses_stays_finite() -> None:
    found = fit_strengths(3, [(0, 1, 1.0, 50.0), (1, 2, 1.0, 50.0)])
    assert found.values[0] > found.values[1] > found.values[2]
    assert np.abs(found.values).max() < 20
    assert np.isfinite(found.errors).all()


def test_errors_shrink_with_answers_and_grow_with_contradictions() -> None:
    strengths = np.array([1.0, 0.5, 0.0, -0.5, -1.0])
    pairs = list(itertools.combinations(range(5), 2))
    p = {(i, j): float(1 / (1 + np.exp(strengths[j] - strengths[i]))) for i, j in pairs}
    few = fit_strengths(5, [(i, j, p[i, j], 2.0) for i, j in pairs])
    many = fit_strengths(5, [(i, j, p[i, j], 20.0) for i, j in pairs])
    torn = fit_strengths(5, [(i, j, float(n % 2), 2.0) for n, (i, j) in enumerate(pairs)])
    assert (many.errors < few.errors).all()
    assert (torn.errors > few.errors).all()
    assert few.covariance.sum(axis=1) == pytest.approx(np.zeros(5), abs=1e-9)  # the mean is fixed, not estimated


def test_errors_cover_the_truth_about_as_often_as_they_say() -> None:
    inside = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        truth = rng.normal(size=12)
        truth -= truth.mean()
        pairs = [(i, j) for i, j in itertools.combinations(range(12), 2)]
        chances = {(i, j): float(1 / (1 + np.exp(truth[j] - truth[i]))) for i, j in pairs}
        found = fit_strengths(12, [(i, j, rng.binomial(4, chances[i, j]) / 4, 4.0) for i, j in pairs])
        inside += list(np.abs(found.values - truth) < 1.96 * found.errors)
    assert 0.92 < np.mean(inside) < 0.98


@pytest.mark.parametrize("outcome", [(0, 1, 1.5, 1.0), (0, 1, -0.1, 1.0), (0, 0, 0.5, 1.0), (0, 1, 0.5, 0.0)])
def test_unusable_outcomes(outcome: Edge) -> None:
    with pytest.raises(InputError, match=r"edge \("):
        fit_strengths(2, [outcome])


def test_one_picture_against_known_ones() -> None:
    references = np.linspace(-2, 2, 9)
    outcomes = [(float(r), float(1 / (1 + np.exp(r - 0.8))), 1e6) for r in references]
    assert fit_one(outcomes)[0] == pytest.approx(0.8, abs=1e-4)
    _, agreeing = fit_one([(float(r), float(1 / (1 + np.exp(r - 0.8))), 2.0) for r in references])
    strength, torn = fit_one([(0.0, float(n % 2), 2.0) for n in range(10)])
    assert strength == pytest.approx(0.0, abs=1e-9)
    assert torn > agreeing


# --- which pairs to ask ---------------------------------------------------------------------------------------


def _run(schedule: Schedule, truth: np.ndarray, seed: int = 0, noise: float = 0.0) -> list[Outcome]:
    """Every pair that a schedule asks, with the answers of a Thurstone judge."""
    rng = np.random.default_rng(seed)
    outcomes: list[Outcome] = []
    while pairs := schedule.next_round():
        for i, j in pairs:
            p = float(1 / (1 + np.exp(-1.7 * (truth[i] - truth[j] + noise * rng.normal()))))
            outcomes.append((i, j, p, 1.0))
            schedule.record(*outcomes[-1])
    return outcomes


@pytest.mark.parametrize("n", [0, 1, 2, 8])
def test_few_pictures_are_compared_all_with_all_in_one_round(n: int) -> None:
    schedule = Schedule(n)
    assert schedule.next_round() == list(itertools.combinations(range(n), 2))
    assert schedule.next_round() == []


@given(st.integers(9, 24), st.integers(0, 40), st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_a_schedule_keeps_its_budget_asks_no_pair_twice_and_connects_all(n: int, more: int, seed: int) -> None:
    truth = np.random.default_rng(seed).normal(size=n)
    outcomes = _run(Schedule(n, max_pairs=n - 1 + more, seed=seed), truth, seed, 1.0)
    assert len(outcomes) == min(n - 1 + more, n * (n - 1) // 2)
    assert len({frozenset(outcome[:2]) for outcome in outcomes}) == len(outcomes)
    assert components(n, outcomes) == [list(range(n))]
    assert outcomes == _run(Schedule(n, max_pairs=n - 1 + more, seed=seed), truth, seed, 1.0)


def test_a_round_asks_about_each_picture_at_most_once() -> None:
    schedule = Schedule(20)
    schedule.next_round()
    for _ in range(5):
        asked = [item for pair in schedule.next_round() for item in pair]
        assert len(asked) == len(set(asked)) >= 16


def test_the_best_are_settled_with_fewer_questions() -> None:
    truth = np.array([9.0, *np.linspace(1, -1, 29)])
    within = _run(Schedule(30, top_k=1), truth, noise=0.3)
    assert fit_strengths(30, within).settled(1)
    assert len(within) < default_pairs(30) / 2
    level = _run(Schedule(30, top_k=1), np.zeros(30), noise=0.3)
    assert len(level) == default_pairs(30)  # nothing to settle: the budget ends it


def test_active_rounds_need_fewer_questions_than_random_pairs() -> None:
    from redaes.metrics import srcc

    active, at_random = [], []
    for seed in range(4):
        truth = np.random.default_rng(100 + seed).normal(size=40)
        outcomes = _run(Schedule(40, max_pairs=160, seed=seed), truth, seed, 0.8)
        active.append(srcc(fit_strengths(40, outcomes).values, truth))
        rng = np.random.default_rng(seed)
        pairs = [list(itertools.combinations(range(40), 2))[at] for at in rng.permutation(780)[:160]]
        drawn = [(i, j, float(1 / (1 + np.exp(-1.7 * (truth[i] - truth[j] + 0.8 * rng.normal())))), 1.0)
                 for i, j in pairs]  # fmt: skip
        at_random.append(srcc(fit_strengths(40, drawn).values, truth))
    assert np.mean(active) > np.mean(at_random)
    assert np.mean(active) > 0.9


def test_a_failed_question_is_not_asked_again() -> None:
    schedule = Schedule(10, max_pairs=45)
    asked = []
    while pairs := schedule.next_round():
        asked += [frozenset(pair) for pair in pairs]
        for i, j in pairs:
            schedule.record(i, j, None if i == 0 or j == 0 else 0.5)
    assert len(asked) == len(set(asked)) == 45


@pytest.mark.parametrize(
    ("options", "message"),
    [({"max_pairs": 8}, "cannot connect 10"), ({"top_k": 0}, "best 0 of 10"), ({"top_k": 10}, "best 10 of 10")],
)
def test_unusable_schedules(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Schedule(10, **options)


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


def _said(a: str, b: str, probability: float | None, n_calls: int = 2, n_failed: int = 0) -> PairAnswer:
    if probability is None:
        n_failed = n_calls
    return PairAnswer(first=a, second=b, probability=probability, n_calls=n_calls, n_failed=n_failed)


def test_rank_orders_counts_and_keeps_failures_apart() -> None:
    answers = [_said("p", "q", 0.1), _said("q", "r", 0.9), _said("r", "p", None), _said("p", "r", 0.7, n_failed=1)]
    result = rank(["p", "q", "r"], answers)
    assert result.order == ("q", "p", "r")
    assert sum(result.scores.values()) == pytest.approx(0.0)
    assert set(result.errors) == {"p", "q", "r"}
    assert (result.n_comparisons, result.n_calls, result.n_failed, result.n_cycles) == (4, 8, 3, 0)
    assert result.settled is None


def test_rank_counts_cycles() -> None:
    assert rank("abc", [_said("a", "b", 0.9), _said("b", "c", 0.9), _said("c", "a", 0.9)]).n_cycles == 1


def test_rank_says_whether_the_best_are_settled() -> None:
    assert rank("ab", [_said("a", "b", 0.999, n_calls=200)], top_k=1).settled is True
    assert rank("ab", [_said("a", "b", 0.51)], top_k=1).settled is False


def test_ties_are_ordered_by_id_however_the_pictures_are_listed() -> None:
    answers = [_said(a, b, 0.5) for a, b in [("c", "a"), ("b", "c"), ("a", "d"), ("d", "b")]]
    for ids in itertools.permutations("abcd"):
        assert rank(ids, answers).order == ("a", "b", "c", "d")


@given(st.permutations(range(6)))
@settings(max_examples=30, deadline=None)
def test_the_order_of_the_answers_does_not_matter(order: list[int]) -> None:
    rng = np.random.default_rng(3)
    answers = [_said(a, b, float(rng.uniform())) for a, b in itertools.combinations("wxyz", 2)]
    assert rank("wxyz", [answers[i] for i in order]).order == rank("wxyz", answers).order


def test_swapping_an_answer_changes_nothing() -> None:
    forward, swapped = rank("ab", [_said("a", "b", 0.8)]), rank("ab", [_said("b", "a", 0.2)])
    assert forward.order == swapped.order == ("a", "b")
    assert forward.scores == pytest.approx(swapped.scores)


def test_parts_of_a_disconnected_graph_are_named() -> None:
    with pytest.raises(ParseError, match=r"2 parts \(a, b; c\), 1 of 2 comparisons failed"):
        rank(["a", "b", "c"], [_said("a", "b", 0.6), _said("b", "c", None)])


def test_one_picture_needs_no_comparison() -> None:
    result = rank(["a"], [])
    assert (result.order, result.scores) == (("a",), {"a": 0.0})


@pytest.mark.parametrize(
    ("ids", "answer", "message"),
    [
        (["a", "a"], ("a", "a", 0.5), "listed twice: a"),
        (["a", "b"], ("a", "z", 0.5), "names 'z'"),
        (["a", "b"], ("a", "z", None), "names 'z'"),
        (["a", "b"], ("a", "a", 0.5), "compared with itself"),
    ],
)
def test_malformed_answers(ids: list[str], answer: tuple[str, str, float | None], message: str) -> None:
    with pytest.raises(InputError, match=message):
        rank(ids, [_said(*answer)])


def test_an_answer_has_a_probability_or_failed() -> None:
    for probability, n_failed in ((None, 1), (0.5, 2)):
        with pytest.raises(ValidationError, match="unusable"):
            PairAnswer(first="a", second="b", probability=probability, n_failed=n_failed)


@pytest.mark.parametrize("module", [graph, order, schedule, strengths])
def test_doctests(module: ModuleType) -> None:
    result = doctest.testmod(module)
    assert result.failed == 0
    assert result.attempted
