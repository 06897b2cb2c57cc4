"""Which question tells most of a direction, and the pool of pairs among which it is chosen."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from redaes.errors import InputError
from redaes.points import sigmoid
from redaes.ranking import Strengths
from redaes.taste.pair_pool import MAX_POOL, PairPool, pool_pairs
from redaes.taste.questions import Teaching


@pytest.mark.parametrize("sizes", [[2], [2, 3, 7], [16, 2, 9], [40], []])
def test_all_pairs_are_in_a_small_pool(sizes: list[int]) -> None:
    expected = [(at, i, j) for at, n in enumerate(sizes) for i, j in itertools.combinations(range(n), 2)]
    assert pool_pairs(sizes) == expected


def test_of_many_pairs_so_many_are_drawn() -> None:
    found = pool_pairs([300, 4, 60], seed=3)
    assert len(set(found)) == len(found) == MAX_POOL
    assert all(0 <= i < j < (300, 4, 60)[at] for at, i, j in found)
    assert found == pool_pairs([300, 4, 60], seed=3) != pool_pairs([300, 4, 60], seed=4)


def test_what_is_known_is_what_a_direction_would_make_known() -> None:
    """The dual form agrees with logistic regression on the readings themselves."""
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(6, 3))
    pool = PairPool(((0, 0, 1), (0, 0, 2), (0, 1, 2), (1, 0, 1), (1, 0, 2), (1, 1, 2)), rows @ rows.T)
    mean, covariance = pool._known([0, 3], [1.0, 0.0])
    direction = np.zeros(3)
    for _ in range(100):
        share = sigmoid(rows[[0, 3]] @ direction)
        gradient = rows[[0, 3]].T @ (np.array([1.0, 0.0]) - share) - direction
        curvature = rows[[0, 3]].T @ np.diag(share * (1 - share)) @ rows[[0, 3]] + np.eye(3)
        direction = direction + np.linalg.solve(curvature, gradient)
    np.testing.assert_allclose(mean, rows @ direction, atol=1e-3)
    np.testing.assert_allclose(covariance, rows @ np.linalg.inv(curvature) @ rows.T, atol=1e-3)


def test_a_pair_like_one_that_was_answered_tells_less() -> None:
    rows = np.array([[1.0, 0.0], [0.98, 0.1], [0.0, 1.0]])
    pool = PairPool.of_readings([(0, 0, 1), (0, 0, 2), (0, 1, 2)], rows)
    worth = pool.worth([0], [1.0])
    assert worth[2] > 2 * worth[1]


def test_a_kernel_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match="1 pairs have a kernel of the shape"):
        PairPool(((0, 0, 1),), np.eye(2))


def _understood(*, chosen: bool, seed: int, n_answers: int = 5) -> float:
    """Share of other pairs on which a person is understood after some answers."""
    rng = np.random.default_rng(seed)
    # A few things that differ much between pictures, and many that differ little.
    scales = np.array([3.0, 2.0, 1.5, *np.full(27, 0.3)])
    likes = rng.normal(size=30) * (scales > 1.0)
    pictures = rng.normal(size=(30, 5, 30)) * scales
    pictures *= rng.choice([0.1, 1.0], size=(30, 1, 1), p=[0.6, 0.4])  # most series are of near copies
    pairs = pool_pairs([5] * 30)
    rows = np.array([pictures[at, i] - pictures[at, j] for at, i, j in pairs])
    pool = PairPool.of_readings(pairs, rows)
    teaching = Teaching([Strengths(np.zeros(5), np.zeros((5, 5)))] * 30, pool=pool if chosen else None, seed=seed)
    places: list[int] = []
    said: list[float] = []
    for _ in range(n_answers):
        asked = teaching.next_pair()
        assert asked is not None
        own = pictures[asked.series]
        gap = float((own[asked.first] - own[asked.second]) @ likes)
        won = 0.5 if abs(gap) < 1.0 else float(gap > 0)
        teaching.answer(asked.series, asked.first, asked.second, won)
        place = pool.place_of(asked.series, asked.first, asked.second)
        assert place is not None
        places.append(place)
        said.append(won if asked.first < asked.second else 1.0 - won)
    mean, _ = pool._known(places, said)
    rest = np.setdiff1d(np.arange(len(pairs)), places)
    return float((np.sign(mean[rest]) == np.sign(rows[rest] @ likes)).mean())


def test_chosen_questions_understand_a_person_sooner_than_drawn_ones() -> None:
    chosen = np.mean([_understood(chosen=True, seed=seed) for seed in range(12)])
    drawn = np.mean([_understood(chosen=False, seed=seed) for seed in range(12)])
    assert chosen > drawn + 0.05


def test_a_pool_that_is_used_up_goes_on_by_lot() -> None:
    pool = PairPool.of_readings([(0, 0, 1)], np.ones((1, 2)))
    teaching = Teaching([Strengths(np.zeros(3), np.zeros((3, 3)))], pool=pool)
    seen = []
    while (asked := teaching.next_pair()) is not None:
        seen.append(tuple(sorted((asked.first, asked.second))))
        teaching.answer(0, asked.first, asked.second, 0.5)
    assert seen[0] == (0, 1)
    assert len(set(seen)) == 3
