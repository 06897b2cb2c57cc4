"""Which pair is asked about next, and how many answers that saves."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from redaes.errors import InputError
from redaes.points import sigmoid
from redaes.ranking import Strengths, fit_strengths
from redaes.taste.questions import (
    PERSON_SD,
    TRUST,
    Aim,
    Teaching,
    after_answers,
    expected_information,
    expected_of_person,
)

AIMS: tuple[Aim, ...] = ("taste", "order")
UNSAID = Strengths(np.zeros(4), np.zeros((4, 4)))
"""Four pictures of which a model said nothing."""


def test_what_is_expected_is_weak_and_keeps_the_uncertainty_of_the_model() -> None:
    model = fit_strengths(3, [(0, 1, 0.9, 4.0), (1, 2, 0.9, 4.0)])
    expected = expected_of_person(model)
    np.testing.assert_allclose(expected.values, TRUST * model.values)
    np.testing.assert_allclose(expected.covariance, TRUST**2 * model.covariance + PERSON_SD**2 * np.eye(3))


def test_answers_agree_with_a_maximum_that_is_searched_for() -> None:
    rng = np.random.default_rng(3)
    spread = rng.normal(size=(3, 3))
    prior = Strengths(rng.normal(size=3), spread @ spread.T + np.eye(3))
    outcomes = [(0, 1, 1.0, 1.0), (1, 2, 0.5, 1.0), (2, 0, 0.0, 3.0)]
    precision = np.linalg.inv(prior.covariance)

    def log_posterior(values: NDArray[np.float64]) -> float:
        said = sum(
            weight * (won * np.log(sigmoid(float(values[i] - values[j]))))
            + weight * (1 - won) * np.log(sigmoid(float(values[j] - values[i])))
            for i, j, won, weight in outcomes
        )
        off = values - prior.values
        return float(said - 0.5 * off @ precision @ off)

    found = after_answers(prior, outcomes)
    step = 1e-3
    basis = step * np.eye(3)
    for one in basis:
        assert log_posterior(found.values) > max(log_posterior(found.values + one), log_posterior(found.values - one))
    bent = [
        [
            -sum(
                sign * log_posterior(found.values + up + side)
                for sign, up, side in ((1, a, b), (-1, a, -b), (-1, -a, b), (1, -a, -b))
            )
            / (4 * step**2)
            for a in basis
        ]
        for b in basis
    ]
    np.testing.assert_allclose(np.linalg.inv(found.covariance), bent, rtol=1e-3, atol=1e-3)


def test_information_agrees_with_drawn_strengths() -> None:
    gap, variance = np.array([0.0, 1.5, -4.0]), np.array([4.0, 1.0, 9.0])
    drawn = np.random.default_rng(0).normal(gap[:, None], np.sqrt(variance)[:, None], (3, 200_000))
    p = sigmoid(drawn)
    mean = p.mean(axis=1)
    whole = -(mean * np.log2(mean) + (1 - mean) * np.log2(1 - mean))
    left = -(p * np.log2(p) + (1 - p) * np.log2(1 - p)).mean(axis=1)
    np.testing.assert_allclose(expected_information(gap, variance), whole - left, atol=3e-3)


def test_what_is_even_but_known_is_not_asked() -> None:
    known = Strengths(np.array([0.0, 0.0, 3.0]), np.diag([0.01, 0.01, 30.0]))
    assert expected_information(np.zeros(1), np.array([0.02])) < 0.01
    teaching = Teaching([UNSAID], aim="order")
    teaching._now[0] = Strengths(np.append(known.values, -3.0), np.diag([0.01, 0.01, 30.0, 0.01]))
    asked = teaching.next_pair()
    assert asked is not None
    assert 2 in (asked.first, asked.second)


@pytest.mark.parametrize("aim", AIMS)
def test_no_pair_is_asked_twice_and_all_are_asked(aim: Aim) -> None:
    teaching = Teaching([UNSAID, UNSAID], aim=aim)
    seen = set()
    while (asked := teaching.next_pair()) is not None:
        seen.add((asked.series, *sorted((asked.first, asked.second))))
        teaching.answer(asked.series, asked.first, asked.second, 0.5)
    assert len(seen) == teaching.n_answers == 12
    assert teaching.n_open == 0


@pytest.mark.parametrize("aim", AIMS)
def test_the_series_take_turns(aim: Aim) -> None:
    teaching = Teaching([UNSAID] * 3, aim=aim)
    turns = []
    for _ in range(9):
        asked = teaching.next_pair()
        assert asked is not None
        turns.append(asked.series)
        teaching.answer(asked.series, asked.first, asked.second, 1.0)
    assert [sorted(turns[start : start + 3]) for start in (0, 3, 6)] == [[0, 1, 2]] * 3


@pytest.mark.parametrize("aim", AIMS)
def test_the_same_is_asked_again_of_the_same_answers_and_seeds_differ(aim: Aim) -> None:
    def first_pairs(seed: int) -> list[tuple[int, int]]:
        teaching = Teaching([Strengths(np.zeros(8), np.zeros((8, 8)))], aim=aim, seed=seed)
        found = []
        for _ in range(5):
            asked = teaching.next_pair()
            assert asked is not None
            found.append((asked.first, asked.second))
            teaching.answer(0, asked.first, asked.second, 1.0)
        return found

    assert first_pairs(0) == first_pairs(0)
    assert len({tuple(first_pairs(seed)) for seed in range(5)}) == 5


def test_a_picture_is_shown_on_either_side() -> None:
    sides = set()
    for seed in range(20):
        asked = Teaching([Strengths(np.zeros(2), np.zeros((2, 2)))], seed=seed).next_pair()
        assert asked is not None
        sides.add(asked.first)
    assert sides == {0, 1}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((1, 0, 1, 1.0), "no series 1"),
        ((0, 0, 4, 1.0), "no pair"),
        ((0, 2, 2, 1.0), "no pair"),
        ((0, 0, 1, 0.7), "an answer is 0.7"),
    ],
)
def test_what_is_no_answer_is_refused(answer: tuple[int, int, int, float], said: str) -> None:
    teaching = Teaching([UNSAID])
    with pytest.raises(InputError, match=said):
        teaching.answer(*answer)
    assert teaching.n_answers == 0


def test_nothing_is_asked_where_there_is_nothing_to_ask() -> None:
    assert Teaching([]).next_pair() is None
    assert Teaching([Strengths(np.zeros(1), np.zeros((1, 1)))]).next_pair() is None


def _answers_until(accuracy: float, *, chosen: bool, seed: int) -> int:
    """Answers after which a series of 12 is in a person's order for that share of its pairs."""
    rng = np.random.default_rng(seed)
    own = rng.normal(0.0, 3.0, 12)
    noise = np.random.default_rng([seed, 1]).random((12, 12))
    teaching = Teaching([Strengths(np.zeros(12), np.zeros((12, 12)))], aim="order", seed=seed)
    i, j = np.triu_indices(12, 1)
    random_order = list(map(int, rng.permutation(len(i))))
    for n in range(len(i)):
        now = teaching.strengths(0).values
        if (np.sign(now[i] - now[j]) == np.sign(own[i] - own[j])).mean() >= accuracy:
            return n
        if chosen:
            asked = teaching.next_pair()
            assert asked is not None
            first, second = sorted((asked.first, asked.second))
        else:
            first, second = int(i[random_order[n]]), int(j[random_order[n]])
        teaching.answer(0, first, second, float(noise[first, second] < sigmoid(float(own[first] - own[second]))))
    return len(i)


def test_chosen_questions_take_fewer_answers_than_random_ones() -> None:
    seeds = range(12)
    chosen = sum(_answers_until(0.85, chosen=True, seed=seed) for seed in seeds)
    drawn = sum(_answers_until(0.85, chosen=False, seed=seed) for seed in seeds)
    assert drawn > 1.2 * chosen


def test_uncertainty_falls_with_each_answer() -> None:
    teaching = Teaching([UNSAID])
    sizes = [np.trace(teaching.strengths(0).covariance)]
    for pair in ((0, 1), (2, 3), (1, 2)):
        teaching.answer(0, *pair, 1.0)
        sizes.append(np.trace(teaching.strengths(0).covariance))
    assert all(later < earlier for earlier, later in pairwise(sizes))


def test_a_taste_is_asked_of_pairs_far_apart_too() -> None:
    """Where the model is certain of all pairs but one, that one is the first for the order, and any for a taste."""
    model = fit_strengths(4, [(0, 1, 0.999, 40.0), (1, 2, 0.999, 40.0), (2, 3, 0.5, 40.0)])
    firsts: dict[Aim, set[tuple[int, ...]]] = {aim: set() for aim in AIMS}
    for aim in AIMS:
        for seed in range(30):
            asked = Teaching([model], aim=aim, seed=seed).next_pair()
            assert asked is not None
            firsts[aim].add(tuple(sorted((asked.first, asked.second))))
    assert firsts["order"] == {(2, 3)}
    assert len(firsts["taste"]) == 6
