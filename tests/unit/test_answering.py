"""What a backend is asked and answers, and what becomes of it: texts, readings, failures, both orders together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from redaes import prompts
from redaes.answers import SCORE_CHOICES, WINNER_PREFIX
from redaes.assessing.asking import Questions, in_orders, parsed
from redaes.assessing.orders import ORDERS, fair_log_odds
from redaes.assessing.scores import expected_scores
from redaes.backends.base import Answer, Request, joined, read_of
from redaes.backends.failures import Failure
from redaes.backends.next_token import NextToken, expected_score, verdict_log_odds
from redaes.backends.pictures import EncodedPicture
from redaes.backends.scripted import ScriptedBackend
from redaes.errors import BackendError, BudgetExhausted, EndpointError, InputError
from redaes.points import sigmoid
from redaes.types import Comparison, Order, Sampling

FAST = prompts.load("compare_fast/v1")
RED, BLUE = (Image.new("RGB", (8, 6), colour) for colour in ("red", "blue"))
READ = Request(FAST, (RED, BLUE), WINNER_PREFIX, (" A", " B"), None)
LOST = Failure("timeout", "no answer")


def test_a_request_asks_for_something() -> None:
    with pytest.raises(InputError, match="asked for nothing"):
        Request(FAST, (RED, BLUE), sampling=None)


def test_pictures_may_be_encoded_or_not() -> None:
    pixels = replace(READ, images=(RED, EncodedPicture(BLUE))).pixels
    assert [image.getpixel((0, 0)) for image in pixels] == [(255, 0, 0), (0, 0, 255)]


def test_texts_and_readings_stay_with_their_requests() -> None:
    backend = ScriptedBackend(["one", "two", "three"], [{" tie": -3.0}, {" A": -1.0, " B": -2.0}])
    warm = Sampling(temperature=1.0)
    requests = [
        Request(FAST, (RED, BLUE)),
        replace(READ, choices=(" tie",)),
        Request(FAST, (RED, BLUE), sampling=warm),
        READ,
        replace(READ, prefix="Winner: ", choices=(), sampling=Sampling()),
    ]
    # Requests with equal samplings are asked together, and those with equal choices.
    found = backend.answer(requests)
    assert [one.text for one in found if isinstance(one, Answer)] == ["one", None, "three", None, "Winner: two"]
    readings = [None if isinstance(one, Failure) or one.read is None else read_of(one) for one in found]
    assert [None if one is None else getattr(one, "log_probs", None) for one in readings] == [
        None, {" tie": -3.0}, None, {" A": -1.0, " B": -2.0}, None
    ]  # fmt: skip


def test_a_lost_text_is_a_failure_and_a_lost_reading_stays_beside_its_text() -> None:
    token = NextToken.exactly({" A": -1.0, " B": -2.0})
    found = joined([Answer("x"), LOST, None, None], [LOST, token, LOST, token])
    assert found == [Answer("x", LOST), LOST, LOST, Answer(None, token)]


def test_equal_tokens_are_joined_and_the_first_of_equals_is_the_likeliest() -> None:
    token = NextToken({" A": math.log(0.2), "A": math.log(0.1), " B": math.log(0.3)}, -9.0, "listed")
    assert verdict_log_odds(token) == pytest.approx(0.0)
    assert token.likeliest == " B"
    assert NextToken.exactly({" A": -1.0, " B": -1.0}).likeliest == " A"
    assert verdict_log_odds(LOST) is None
    assert expected_score(LOST) == LOST


class Lost(ScriptedBackend):
    """Loses what it is told to."""

    def __init__(self, *reasons: str | None) -> None:
        super().__init__()
        self.reasons = reasons

    def answer(self, requests: Sequence[Request]) -> list[Answer | Failure]:
        said = Answer("Winner: A\nDifference: +1.0")
        return [said if reason is None else Failure(reason, "lost") for reason in self.reasons]


def asked() -> list[tuple[Order, Request]]:
    return in_orders({"forward": FAST, "swapped": FAST}, RED, BLUE, Sampling())


def test_one_that_is_lost_loses_only_itself_and_all_are_an_error() -> None:
    kept, lost = Questions(Lost(None, "timeout"), "strict").written(asked(), "fast")
    assert (kept.failure, lost.failure, lost.verdict) == (None, "timeout", None)
    with pytest.raises(EndpointError, match="timeout: none of 2 questions"):
        Questions(Lost("timeout", "timeout"), "strict").written(asked(), "fast")
    with pytest.raises(BudgetExhausted):
        Questions(Lost(None, "budget_exhausted"), "strict").written(asked(), "fast")


def test_the_pictures_change_places_and_nothing_else() -> None:
    (order, forward), (other, swapped) = asked()
    assert (order, other) == ORDERS
    assert forward.images == (RED, BLUE)
    assert swapped == replace(forward, images=(BLUE, RED))


def test_a_text_that_ends_at_the_limit_says_so_where_it_cannot_be_read() -> None:
    found = parsed(Answer("Winner", cut_off=True), "fast", "strict", FAST)
    assert isinstance(found, Failure)
    assert found.reason == "cut_off"
    whole = parsed(Answer("Winner: A\nDifference: +1.0", cut_off=True), "fast", "strict", FAST)
    assert not isinstance(whole, Failure)


def comparison(order: Order, log_odds: float | None) -> Comparison:
    return Comparison(
        order=order, verdict=None, failure="empty", raw="", probability=None, model="m", revision="", prompt_id="p",
        sampling=Sampling(), log_odds=log_odds,
    )  # fmt: skip


def test_orders_have_equal_say_however_many_answers_they_gave() -> None:
    several = [comparison("forward", 3.0), comparison("forward", 1.0), comparison("swapped", 1.0)]
    assert fair_log_odds(several) == 0.5  # (2 - 1) / 2
    assert fair_log_odds([*several, comparison("swapped", None)]) == 0.5
    assert fair_log_odds(several[:2]) is None
    assert fair_log_odds([*several[:2], comparison("swapped", None)]) is None


def test_a_score_of_damaged_weights_is_an_error() -> None:
    damaged = {digit: math.nan for digit in SCORE_CHOICES}
    with pytest.raises(BackendError, match="not numbers"):
        expected_scores(ScriptedBackend(log_probs=[damaged]), [RED])


def test_the_sigmoid_of_an_array_is_that_of_its_numbers() -> None:
    numbers = np.array([-1e6, -2.0, 0.0, 1.5, 800.0])
    assert sigmoid(numbers).tolist() == pytest.approx([sigmoid(float(one)) for one in numbers], abs=1e-15)
