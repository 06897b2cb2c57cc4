"""One scale from what judges agree on, and errors that are as large as they say."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from redaes.datagen.consensus import Consensus, consensus
from redaes.datagen.judges import Judgement
from redaes.datagen.pair_choice import PicturePlaces, choose_pairs
from redaes.datagen.view_scale import view_scale, why_not_inferred


def label(pair: PicturePlaces, answers: list[list[float]]) -> Consensus:
    """Of judges who each say the same in both orders."""
    return consensus(
        [
            Judgement(
                pair=f"{pair}", judge=f"judge-{number}", revision="1", forward=tuple(said), swapped=tuple(said),
                probability=None, failures=(),
            )
            for number, said in enumerate(answers)
        ]
    )  # fmt: skip


def exact(scores: list[float], pairs: list[PicturePlaces], wobble: float = 0.0) -> dict[PicturePlaces, Consensus]:
    return {
        (i, j): label((i, j), [[scores[i] - scores[j] + wobble], [scores[i] - scores[j] - wobble]]) for i, j in pairs
    }


def test_differences_that_agree_are_the_scale() -> None:
    scale = view_scale(4, exact([0.0, -1.0, -2.5, 1.0], [(0, 1), (1, 2), (0, 2), (0, 3)]))
    assert scale.scores == pytest.approx([0.625, -0.375, -1.875, 1.625])
    assert scale.delta((1, 3)) == pytest.approx(-2.0)
    assert scale.noise == pytest.approx(0.0, abs=1e-9)
    assert scale.parts == ((0, 1, 2, 3),)


def test_what_no_answer_joins_has_no_difference() -> None:
    scale = view_scale(5, exact([0.0, -1.0, -2.5, 1.0, 0.0], [(0, 1), (2, 3)], wobble=0.25))
    assert scale.parts == ((0, 1), (2, 3), (4,))
    assert np.isinf(scale.errors[0, 2])
    assert np.isinf(scale.errors[0, 4])
    assert np.isfinite(scale.errors[0, 1])
    assert why_not_inferred(scale, (0, 2), 9.0) == "imprecise"
    nothing = view_scale(2, {})
    assert nothing.parts == ((0,), (1,))
    assert np.isinf(nothing.errors[0, 1])


def test_a_rejected_pair_says_nothing() -> None:
    labels = exact([0.0, -1.0, -2.5], [(0, 1), (1, 2)])
    labels[0, 2] = label((0, 2), [[5.0], [-5.0]])
    assert labels[0, 2].delta is None
    assert view_scale(3, labels).delta((0, 2)) == pytest.approx(2.5)


@pytest.mark.parametrize("n_judges", [2, 4])
def test_errors_are_as_large_as_they_say(n_judges: int) -> None:
    """Of the inferred differences, by simulation: their errors over the stated ones have a variance of one."""
    rng = np.random.default_rng(0)
    n, pairs = 9, list(itertools.combinations(range(9), 2))
    ratios: list[float] = []
    for number in range(60):
        scores = rng.normal(0.0, 1.2, n)
        asked = choose_pairs(n, pairs, 14, str(number))
        labels = {
            (i, j): label((i, j), (scores[i] - scores[j] + rng.normal(0.0, 0.5, (n_judges, 2))).tolist())
            for i, j in asked
        }
        scale = view_scale(n, labels)
        ratios += [(scale.delta((i, j)) - (scores[i] - scores[j])) / scale.errors[i, j] for i, j in pairs]
    assert 0.85 < np.sqrt(np.mean(np.square(ratios))) < 1.15


def test_only_what_is_known_well_and_settled_is_inferred() -> None:
    scale = view_scale(4, exact([0.0, -3.0, -3.1, -1.0], [(0, 1), (0, 2), (0, 3)], wobble=0.2))
    assert why_not_inferred(scale, (1, 3), 1.0) is None
    assert why_not_inferred(scale, (1, 2), 1.0) == "undecided"
    assert why_not_inferred(scale, (1, 3), 0.05) == "imprecise"
    sure = view_scale(3, exact([0.0, -3.0, -3.1], [(0, 1), (0, 2)]))
    assert why_not_inferred(sure, (1, 2), 1.0) == "undecided"  # a tie is judged, or is not there


def test_one_answer_in_each_order_is_not_taken_for_certain() -> None:
    scores, ring = [0.0, -3.0, -5.0, -1.0], [(0, 1), (1, 2), (2, 3), (0, 3)]
    single = {(i, j): label((i, j), [[scores[i] - scores[j]]]) for i, j in ring}
    assert {each.spread for each in single.values()} == {0.0}
    assert view_scale(4, single).errors[0, 2] > 0.5
    twice = {(i, j): label((i, j), [[scores[i] - scores[j]] * 2]) for i, j in ring}
    assert view_scale(4, twice).errors[0, 2] == 0.0
