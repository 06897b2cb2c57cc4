"""The cascade: who is judged, what the judge changes, and what a failure leaves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from redaes.errors import InputError
from redaes.ranking.cascade import cascade

SERIES = [["a", "b", "c"], ["d", "e", "f", "g"]]
SCORES = [[5.0, 4.9, 1.0], [2.0, 9.0, 8.8, 8.7]]


class Judge:
    """Prefers the later letter by the distance of the letters, and keeps what it was asked."""

    def __init__(self, fails: bool = False) -> None:
        self.asked: list[tuple[str, str]] = []
        self.fails = fails

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[float | None]:
        self.asked += pairs
        return [None if self.fails else float(ord(first) - ord(second)) for first, second in pairs]


def test_the_closest_first_place_is_judged_first() -> None:
    judge = Judge()
    result = cascade(SERIES, SCORES, judge, share=1 / 9)
    assert judge.asked == [("a", "b")]
    assert (result.series[1].order, result.series[1].judged) == ((1, 2, 3, 0), ())
    assert (result.n_calls, result.n_failed, result.n_all) == (1, 0, 9)


def test_a_clear_answer_overturns_a_close_score() -> None:
    judge = Judge()
    result = cascade([["a", "f"], ["c", "d", "e"]], [[5.0, 4.9], [9.0, 5.0, 1.0]], judge, share=1 / 4)
    assert judge.asked == [("a", "f")]
    assert [item.order for item in result.series] == [(1, 0), (0, 1, 2)]


def test_no_pair_is_asked_twice_and_the_budget_is_kept() -> None:
    for share in (0.3, 0.6, 1.0):
        judge = Judge()
        result = cascade(SERIES, SCORES, judge, share=share)
        assert len({frozenset(pair) for pair in judge.asked}) == len(judge.asked) == result.n_calls
        assert result.n_calls <= share * result.n_all
        assert [(first, second) for item in result.series for first, second, _ in item.judged] == [
            (letters.index(first), letters.index(second))
            for letters in SERIES
            for first, second in judge.asked
            if first in letters
        ]


def test_without_a_budget_the_scores_decide() -> None:
    judge = Judge()
    result = cascade(SERIES, SCORES, judge, share=0)
    assert [item.order for item in result.series] == [(0, 1, 2), (1, 2, 3, 0)]
    assert (judge.asked, result.n_calls) == ([], 0)


def test_where_the_judge_fails_the_scores_decide_and_it_is_counted() -> None:
    result = cascade(SERIES, SCORES, Judge(fails=True), share=1 / 3)
    assert [item.order for item in result.series] == [(0, 1, 2), (1, 2, 3, 0)]
    assert (result.n_calls, result.n_failed) == (3, 3)
    assert all(answer is None for item in result.series for _, _, answer in item.judged)


class Truth:
    """Knows the quality of every picture, up to noise that belongs to the pair."""

    def __init__(self, noise: float) -> None:
        self.noise = noise
        self.drawn: dict[tuple[float, float], float] = {}
        self.rng = np.random.default_rng(1)

    def __call__(self, pairs: Sequence[tuple[float, float]]) -> list[float | None]:
        answers: list[float | None] = []
        for first, second in pairs:
            key = (min(first, second), max(first, second))
            error = self.drawn.setdefault(key, self.noise * self.rng.standard_normal())
            answers.append(first - second + (error if first < second else -error))
        return answers


@pytest.mark.parametrize(
    ("ranker_noise", "judge_noise", "least"), [(0.5, 0.3, 0.99), (1.0, 0.3, 0.97), (50.0, 0.3, 0.85)]
)
def test_a_third_of_the_questions_finds_the_best(ranker_noise: float, judge_noise: float, least: float) -> None:
    """From a good ranker down to one that knows nothing; shares of 300 series whose best picture comes first."""
    rng = np.random.default_rng(0)
    series = [list(np.arange(n) + rng.random(n) / 2) for n in rng.integers(3, 7, 300)]
    for pictures in series:
        rng.shuffle(pictures)
    scores = [np.array(pictures) + ranker_noise * rng.standard_normal(len(pictures)) for pictures in series]
    alone = np.mean([np.argmax(table) == np.argmax(pictures) for table, pictures in zip(scores, series, strict=True)])
    result = cascade(series, scores, Truth(0.3), share=1 / 3)
    found = np.mean(
        [item.order[0] == np.argmax(pictures) for item, pictures in zip(result.series, series, strict=True)]
    )
    assert result.n_calls <= result.n_all / 3
    assert found >= least > alone


class Specialist(Truth):
    """Knows the quality of some pictures, and of the others (below 0) nothing, without being any quieter about it."""

    def __call__(self, pairs: Sequence[tuple[float, float]]) -> list[float | None]:
        known = super().__call__(pairs)
        return [
            answer if first >= 0 else 0.5 * self.rng.standard_normal()
            for (first, _), answer in zip(pairs, known, strict=True)
        ]


def test_questions_go_where_the_judge_knows_something() -> None:
    """Half of the series are of a kind that the judge knows nothing of; the ranker is weak everywhere."""
    rng = np.random.default_rng(0)
    series = [list(np.arange(4) + rng.random(4) / 2 - (100 if number % 2 else 0)) for number in range(300)]
    for pictures in series:
        rng.shuffle(pictures)
    scores = [np.array(pictures) % 100 + 2.0 * rng.standard_normal(4) for pictures in series]
    kinds = ["blind" if number % 2 else "seeing" for number in range(300)]
    found, asked = {}, {}
    for name, given in (("told", kinds), ("not told", None)):
        result = cascade(series, scores, Specialist(0.3), share=0.3, kinds=given)
        right = [item.order[0] == np.argmax(pictures) for item, pictures in zip(result.series, series, strict=True)]
        found[name] = float(np.mean(right[::2]))
        asked[name] = sum(len(item.judged) for item in result.series[::2]) / result.n_calls
    assert asked["told"] > asked["not told"] + 0.1
    assert found["told"] > found["not told"] + 0.05


def test_kinds_that_are_not_one_for_each_series_are_refused() -> None:
    with pytest.raises(InputError, match="2 series and kinds of 1"):
        cascade(SERIES, SCORES, Judge(), kinds=["burst"])


@pytest.mark.parametrize(
    ("scores", "share", "message"),
    [(SCORES, 1.5, "share is 1.5"), (SCORES[:1], 0.3, "scores for 1"), ([[1.0], SCORES[1]], 0.3, "one finite number")],
)
def test_wrong_input_is_refused(scores: list[list[float]], share: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        cascade(SERIES, scores, Judge(), share=share)


def test_an_impossible_noise_is_refused() -> None:
    with pytest.raises(InputError, match="noise is 0"):
        cascade(SERIES, SCORES, Judge(), noise=0)
