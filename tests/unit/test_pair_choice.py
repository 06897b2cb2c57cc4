"""Choosing pairs: the same for the same view, joined up, and nearly as telling as so few pairs can be."""

from __future__ import annotations

import doctest
import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from redaes.datagen import pair_choice
from redaes.datagen.pair_choice import PicturePlaces, choose_pairs, n_questions
from redaes.errors import InputError
from redaes.ranking import components, difference_variance


def every(n: int) -> list[PicturePlaces]:
    return list(itertools.combinations(range(n), 2))


def mean_variance(n: int, pairs: list[PicturePlaces]) -> float:
    """Of all differences, if an answer has variance 1."""
    found = difference_variance(n, [(i, j, 0.0, 1.0) for i, j in pairs])
    return float(found[np.triu_indices(n, 1)].mean())


def test_examples() -> None:
    assert doctest.testmod(pair_choice).failed == 0


@given(st.integers(2, 14), st.floats(0.01, 1.0), st.text(max_size=5))
def test_all_pictures_are_joined_evenly(n: int, share: float, seed: str) -> None:
    chosen = choose_pairs(n, every(n), n_questions(n, share), seed)
    assert len(set(chosen)) == n_questions(n, share) >= min(n, len(every(n)), share * len(every(n)))
    assert len(components(n, [(i, j, 0.0, 1.0) for i, j in chosen])) == 1
    degrees = [sum(place in pair for pair in chosen) for place in range(n)]
    # No picture hangs on a single answer, and none is shown far more often than others.
    assert min(degrees) >= min(2, n - 1)
    assert max(degrees) - min(degrees) <= 2


@pytest.mark.parametrize(("share", "bound"), [(1 / 2, 1.05), (1 / 3, 1.12), (1 / 4, 1.25)])
def test_differences_are_known_nearly_as_well_as_so_few_answers_permit(share: float, bound: float) -> None:
    n = 11
    wanted = n_questions(n, share)
    # The sum of the variances is least where the answers' information is spread evenly, as among all pairs.
    least = mean_variance(n, every(n)) * len(every(n)) / wanted
    found = [mean_variance(n, choose_pairs(n, every(n), wanted, str(seed))) for seed in range(10)]
    assert max(math.sqrt(each / least) for each in found) < bound
    rng, drawn = random.Random(0), []
    for _ in range(50):
        chain = rng.sample(range(n), n)
        some = {(min(i, j), max(i, j)) for i, j in itertools.pairwise(chain)}
        rest = [pair for pair in every(n) if pair not in some]
        drawn.append(mean_variance(n, [*some, *rng.sample(rest, wanted - len(some))]))
    assert max(found) < np.mean(drawn) * 0.95


def test_the_group_decides_and_the_order_of_pairs_does_not() -> None:
    pairs = every(9)
    chosen = choose_pairs(9, pairs, 12, "view-a")
    assert chosen == choose_pairs(9, pairs[::-1], 12, "view-a") == sorted(chosen)
    assert len({tuple(choose_pairs(9, pairs, 12, f"view-{number}")) for number in range(20)}) > 10


def test_further_pairs_join_what_answers_left_apart() -> None:
    answered = [(0, 1), (1, 2), (0, 2), (3, 4), (5, 6)]
    rest = [pair for pair in every(7) if pair not in answered]
    more = choose_pairs(7, rest, 2, "view", answered=answered)
    assert len(components(7, [(i, j, 0.0, 1.0) for i, j in [*answered, *more]])) == 1


def test_pairs_that_cannot_be_asked_are_not_chosen() -> None:
    pairs = [pair for pair in every(6) if pair != (2, 4)]
    for seed in range(20):
        assert (2, 4) not in choose_pairs(6, pairs, 8, str(seed))
    assert n_questions(6, 1.0, len(pairs)) == 14


@pytest.mark.parametrize(
    ("pairs", "wanted", "answered", "words"),
    [
        ([(0, 1)], 2, [], "2 of 1 pairs are wanted"),
        ([(0, 1)], -1, [], "-1 of 1 pairs are wanted"),
        ([(1, 0)], 1, [], "the smaller of its two places first"),
        ([(0, 3)], 1, [], "of 3 pictures"),
        ([(0, 1), (0, 1)], 1, [], "give each once"),
        ([(0, 1)], 1, [(0, 1)], "give each once"),
    ],
)
def test_what_is_no_choice(pairs: list[PicturePlaces], wanted: int, answered: list[PicturePlaces], words: str) -> None:
    with pytest.raises(InputError, match=words):
        choose_pairs(3, pairs, wanted, "view", answered=answered)
