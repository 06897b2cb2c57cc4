"""The cascade: who is judged, what the judge changes, and what a failure leaves."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from redaes.errors import InputError
from redaes.finegrained.cascade import cascade

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


def test_the_closest_rivals_of_the_first_places_are_judged() -> None:
    judge = Judge()
    result = cascade(SERIES, SCORES, judge, share=1 / 3)
    assert judge.asked == [("a", "b"), ("e", "f"), ("e", "g")]
    assert [item.order for item in result.series] == [(1, 0, 2), (3, 2, 1, 0)]
    assert (result.n_calls, result.n_failed, result.n_all) == (3, 0, 9)


def test_without_a_budget_the_scores_decide() -> None:
    judge = Judge()
    result = cascade(SERIES, SCORES, judge, share=0)
    assert [item.order for item in result.series] == [(0, 1, 2), (1, 2, 3, 0)]
    assert (judge.asked, result.n_calls) == ([], 0)


def test_where_the_judge_fails_the_scores_decide_and_it_is_counted() -> None:
    result = cascade(SERIES, SCORES, Judge(fails=True), share=1 / 3)
    assert [item.order for item in result.series] == [(0, 1, 2), (1, 2, 3, 0)]
    assert (result.n_calls, result.n_failed) == (3, 3)
    assert result.series[0].judged == ((0, 1, None),)


@pytest.mark.parametrize(
    ("scores", "share", "message"),
    [(SCORES, 1.5, "share is 1.5"), (SCORES[:1], 0.3, "scores for 1"), ([[1.0], SCORES[1]], 0.3, "one finite number")],
)
def test_wrong_input_is_refused(scores: list[list[float]], share: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        cascade(SERIES, scores, Judge(), share=share)
