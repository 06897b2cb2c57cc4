"""Pointwise scorers and redaes itself as judges; no server."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from redaes.answers import SCORE_PREFIX, WINNER_PREFIX
from redaes.assessor import Assessor
from redaes.backends.chat_replies import Reply, TokenLogprob
from redaes.backends.failures import Failure
from redaes.backends.next_token import MAX_SCORE_ERROR, expected_score, verdict_log_odds
from redaes.backends.pictures import EncodedPicture
from redaes.backends.scripted import ScriptedBackend
from redaes.datagen.judges import AssessorJudge, PicturePair, PyiqaScorer, ScorerJudge
from redaes.errors import BackendError, InputError, MissingDependency

DARK, GREY, LIGHT = (EncodedPicture(Image.new("RGB", (4, 4), (level,) * 3)) for level in (0, 100, 200))
PAIRS = [PicturePair("1", LIGHT, DARK), PicturePair("2", GREY, LIGHT), PicturePair("3", GREY, GREY)]


class Brightness:
    """Scores by the first pixel."""

    name = "brightness"
    revision = "1"

    def __init__(self, worst: float = 0.0, best: float = 250.0) -> None:
        self.worst, self.best = worst, best
        self.asked: list[str] = []

    def score(self, pictures: Sequence[EncodedPicture]) -> list[float | Failure]:
        self.asked += [picture.id for picture in pictures]
        return [float(picture.image.getpixel((0, 0))[0]) for picture in pictures]  # type: ignore[index]


def test_scores_become_points() -> None:
    scorer = Brightness()
    judgements = ScorerJudge(scorer).judge(PAIRS)
    assert [each.forward for each in judgements] == [each.swapped for each in judgements]
    assert [each.forward[0] for each in judgements] == pytest.approx([200 * 9 / 250, -100 * 9 / 250, 0.0])
    assert len(scorer.asked) == 3  # each picture once


def test_lower_may_be_better_and_the_range_may_be_left() -> None:
    judge = ScorerJudge(Brightness(worst=100.0, best=0.0))
    assert judge.points_per_unit == -0.09
    assert judge.judge(PAIRS[:1])[0].forward == (-9.0,)


@pytest.mark.parametrize("best", [0.0, math.inf, math.nan])
def test_a_range_without_extent(best: float) -> None:
    with pytest.raises(InputError, match="brightness"):
        ScorerJudge(Brightness(best=best))


def test_a_failed_score_is_no_difference() -> None:
    class Failing(Brightness):
        def score(self, pictures: Sequence[EncodedPicture]) -> list[float | Failure]:
            return [Failure("timeout", ""), math.nan, 1.0][: len(pictures)]

    (judgement,) = ScorerJudge(Failing()).judge(PAIRS[:1])
    assert judgement.forward == judgement.swapped == ()
    assert judgement.failures == ("timeout", "not_finite")


def test_a_scorer_that_drops_a_picture() -> None:
    class Dropping(Brightness):
        def score(self, pictures: Sequence[EncodedPicture]) -> list[float | Failure]:
            return [1.0]

    with pytest.raises(BackendError, match="1 scores for 2 pictures"):
        ScorerJudge(Dropping()).judge(PAIRS[:1])


def score_of(reply: Reply) -> float | Failure:
    return expected_score(reply.read_after(SCORE_PREFIX))


def reply(*tokens: tuple[str, dict[str, float]], text: str | None = None) -> Reply:
    """An answer whose tokens have these probabilities for what could stand there."""
    return Reply(
        text="".join(token for token, _ in tokens) if text is None else text,
        finish_reason="stop",
        logprobs=tuple(
            TokenLogprob(
                token=token,
                logprob=math.log(top.get(token, 0.01)),
                top=tuple((other, math.log(share)) for other, share in top.items()),
            )
            for token, top in tokens
        ),
        usage=None,
    )


SCORE = [("Score", {"Score": 1.0}), (":", {":": 1.0})]


@pytest.mark.parametrize(
    "rest",
    [
        [(" ", {" ": 1.0}), ("6", {"6": 0.5, "7": 0.3, "x": 0.2})],
        [(" 6", {" 6": 0.4, "6": 0.1, " 7": 0.3, " x": 0.2})],
    ],
)
def test_the_score_of(rest: list[tuple[str, dict[str, float]]]) -> None:
    assert score_of(reply(*SCORE, *rest)) == pytest.approx((6 * 0.5 + 7 * 0.3) / 0.8)


@given(st.lists(st.floats(0.001, 1.0), min_size=13, max_size=13), st.integers(1, 12))
def test_the_expected_score_is_as_near_as_it_says(weights: list[float], n: int) -> None:
    """Over the whole vocabulary of ten digits and three words, of which the n likeliest are listed."""
    names = [*(str(digit) for digit in range(10)), "x", "y", "z"]
    shares = {name: weight**4 for name, weight in zip(names, weights, strict=True)}
    total = sum(shares.values())
    listed = sorted(shares, key=lambda name: -shares[name])[:n]
    digits = {int(name): share for name, share in shares.items() if name.isdecimal()}
    whole = sum(digit * share for digit, share in digits.items()) / sum(digits.values())
    found = score_of(reply(*SCORE, (listed[0], {name: shares[name] / total for name in listed})))
    if not isinstance(found, Failure):
        assert abs(found - whole) <= MAX_SCORE_ERROR + 1e-9


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (reply(*SCORE, ("6", {"6": 0.3, "7": 0.25, "5": 0.05})), "score_uncertain"),
        (reply(*SCORE, (" good", {" good": 0.7, " 6": 0.1})), "no_score"),
        (reply(("It", {"It": 1.0}), (" is 6", {" is 6": 1.0})), "not_the_form"),
        (reply(*SCORE), "not_the_form"),
        (reply(), "not_the_form"),
        (Reply(text="Score: 6", finish_reason="stop", logprobs=None, usage=None), "no_logprobs"),
    ],
)
def test_no_score_is_a_reason(answer: Reply, reason: str) -> None:
    found = score_of(answer)
    assert isinstance(found, Failure)
    assert found.reason == reason


WINNER = [("Winner", {"Winner": 1.0}), (":", {":": 1.0})]


def test_the_verdict_is_read_where_it_stands() -> None:
    answer = reply(*WINNER, (" B", {" B": 0.6, "B": 0.1, " A": 0.2, " tie": 0.1}), ("\n", {"\n": 1.0}))
    assert verdict_log_odds(answer.read_after(WINNER_PREFIX)) == pytest.approx(math.log(0.2 / 0.7))
    split = reply(*WINNER, (" t", {" t": 0.5, " A": 0.3, " B": 0.1}), ("ie", {"ie": 1.0}))
    assert verdict_log_odds(split.read_after(WINNER_PREFIX)) == pytest.approx(math.log(3))


def test_a_letter_that_is_not_listed_is_bounded() -> None:
    answer = reply(*WINNER, (" A", {" A": 0.99, " tie": 0.004, " a": 0.001}))
    assert verdict_log_odds(answer.read_after(WINNER_PREFIX)) == pytest.approx(math.log(0.99 / 0.001))
    assert verdict_log_odds(reply(*WINNER, (" A", {" A": 0.9})).read_after(WINNER_PREFIX)) is None
    assert verdict_log_odds(reply(*WINNER, (" B", {" tie": 0.9, " B": 0.1})).read_after(WINNER_PREFIX)) is None
    assert verdict_log_odds(reply(*WINNER, (" tie", {" tie": 1.0})).read_after(WINNER_PREFIX)) is None
    assert verdict_log_odds(reply(("A wins", {"A wins": 1.0})).read_after(WINNER_PREFIX)) is None


ANSWER = "<rationale>\nA is darker. Decisive: light, better in {}.\n</rationale>\nWinner: {}\nDifference: {}"


def test_redaes_as_a_judge() -> None:
    backend = ScriptedBackend(
        [ANSWER.format("A", "A", "+3.0"), ANSWER.format("B", "B", "-1.0"), "no idea", ANSWER.format("B", "B", "-2.0")],
        [{" A": -0.1, " B": -2.0, " tie": -5.0}, {" A": -2.0, " B": -0.1, " tie": -5.0}] * 2,
    )
    debiased, half, same = AssessorJudge(Assessor(backend)).judge(PAIRS)
    assert (debiased.forward, debiased.swapped) == ((3.0,), (1.0,))
    assert debiased.probability is not None
    assert debiased.probability > 0.5
    assert (half.forward, half.swapped, half.probability) == ((), (2.0,), None)
    assert half.failures == ("not_the_form",)
    assert (same.forward, same.swapped, same.probability) == ((0.0,), (0.0,), 0.5)
    assert len(debiased.comparisons) == 2


def test_pyiqa_is_a_plug_in(monkeypatch: pytest.MonkeyPatch) -> None:
    made = {}

    def create_metric(name: str, device: str) -> Any:
        made[name] = device
        return lambda pixels: pixels.mean()

    package = ModuleType("pyiqa")
    package.__version__ = "0.1"  # type: ignore[attr-defined]
    package.create_metric = create_metric  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pyiqa", package)
    scorer = PyiqaScorer("musiq", worst=0.0, best=1.0)
    assert made == {"musiq": "cpu"}
    assert scorer.non_commercial
    assert scorer.score([DARK, LIGHT]) == pytest.approx([0.0, 200 / 255])
    monkeypatch.setitem(sys.modules, "pyiqa", None)
    with pytest.raises(MissingDependency, match="pip install pyiqa"):
        PyiqaScorer("musiq", worst=0.0, best=100.0)
