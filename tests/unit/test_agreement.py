"""Agreement of repeated answers: counted fairly over the orders, apart from probabilities, and told by its name."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from PIL import Image

from redaes import Assessor, InputError
from redaes.assessing.agreement import SampleAgreement
from redaes.assessing.results import answer_of, preference
from redaes.assessing.words import agreement
from redaes.backends.base import Answer, Request
from redaes.backends.failures import Failure
from redaes.errors import ParseError
from redaes.types import Sampling

FIRST, SECOND = Image.new("RGB", (64, 64), "white"), Image.new("RGB", (64, 64), "black")


class Writes:
    """A model without probabilities, whose answers to further draws follow a script: one letter each, "?" for none."""

    model, revision = "m", "r"

    def __init__(self, forward: str, swapped: str) -> None:
        self.draws = {True: list(forward), False: list(swapped)}
        self.n_asked = 0

    def answer(self, requests: Sequence[Request]) -> list[Answer | Failure]:
        return [self._one(request) for request in requests]

    def _one(self, request: Request) -> Answer | Failure:
        if request.sampling is None:
            return Failure("no_logprobs", "none")
        self.n_asked += 1
        is_forward = request.pixels[0].getpixel((0, 0)) == (255, 255, 255)
        letter = "A" if is_forward else "B"
        if request.sampling.temperature:
            letter = self.draws[is_forward].pop(0)
        said = {
            "A": "Winner: A\nDifference: +1.0",
            "B": "Winner: B\nDifference: -1.0",
            "t": "Winner: tie\nDifference: 0.0",
        }
        return Answer(said.get(letter, "Well."))


def told(forward: str, swapped: str) -> SampleAgreement:
    assessor = Assessor(Writes(forward, swapped), mode="fast", agreement=len(forward))
    result = assessor.compare(FIRST, SECOND)
    assert result.winner == "A"
    assert (result.probability, result.log_odds) == (None, None)
    assert result.agreement is not None
    return result.agreement


@pytest.mark.parametrize(
    ("forward", "swapped", "counts", "share"),
    [
        ("AAA", "BBB", (6, 0, 0), 1.0),
        ("AAB", "BBA", (4, 2, 0), 2 / 3),
        ("At", "tB", (2, 0, 2), 0.75),
        ("A???", "BBAA", (3, 2, 0), 0.75),  # one of one, and two of four: the orders have equal say
        ("????", "BBBB", (4, 0, 0), None),  # what is left would carry its lean
    ],
)
def test_the_orders_have_equal_say(
    forward: str, swapped: str, counts: tuple[int, int, int], share: float | None
) -> None:
    found = told(forward, swapped)
    assert (found.n_first, found.n_second, found.n_tie) == counts
    assert found.share == pytest.approx(share)
    assert len(found.failures) == (forward + swapped).count("?")
    assert found.n_asked == len(forward + swapped)


def test_a_ranking_takes_it_for_less_than_certain_and_counts_its_questions() -> None:
    backend = Writes("AAA", "BBB")
    result = Assessor(backend, mode="fast", agreement=3).compare(FIRST, SECOND)
    assert preference(result) == pytest.approx(6.5 / 7)
    answer = answer_of(result)
    assert (answer.n_calls, answer.n_failed) == (8, 0) == (backend.n_asked, 0)


def test_one_order_alone_is_counted_as_such() -> None:
    assessor = Assessor(Writes("AAB", "BBA"), mode="fast", agreement=3)
    (result,) = assessor.compare_many([(FIRST, SECOND)], orders="random")
    assert result.agreement is not None
    assert (result.agreement.share, result.agreement.n_asked) == (pytest.approx(2 / 3), 3)


def test_an_order_without_an_agreement_is_not_said_to_be_for_want_of_asking() -> None:
    with pytest.raises(ParseError, match=r"not_connected") as ended:
        Assessor(Writes("????", "BBBB"), mode="fast", agreement=4).rank([FIRST, SECOND])
    assert "count repeated answers" not in str(ended.value)


def test_a_budget_has_room_for_the_questions_of_an_agreement() -> None:
    pictures = [Image.new("RGB", (64, 64), (shade, shade, shade)) for shade in (255, 200, 100)]
    with pytest.raises(InputError):
        Assessor(Writes("", ""), mode="fast", agreement=3).rank(pictures, max_calls=8)


def test_nothing_is_drawn_unless_asked_for() -> None:
    backend = Writes("", "")
    assert Assessor(backend, mode="fast").compare(FIRST, SECOND).agreement is None
    assert backend.n_asked == 2
    for draws in (-1, 65):
        with pytest.raises(InputError, match="answers in each order"):
            Assessor(backend, agreement=draws)


def test_in_words() -> None:
    one = SampleAgreement(
        share=0.5, n_first=2, n_second=2, n_tie=1, failures=("x",), per_order=3, prompt_id="p", sampling=Sampling()
    )
    assert agreement(one, "a.jpg", "b.jpg") == (
        "2 of 5 answers for either picture, 1 neither; 1 could not be used "
        "(3 drawn in each order; no probability of the model's)"
    )
    assert agreement(one.model_copy(update={"n_second": 4}), "a.jpg", "b.jpg").startswith("4 of 7 answers prefer b.jpg")
    leaning = agreement(told("????", "BBBB"), "a.jpg", "b.jpg")
    assert leaning.startswith("4 of 4 answers prefer a.jpg; 4 could not be used; all in one order, so not debiased (")
    assert "debiased" not in agreement(told("A???", "BBAA"), "a.jpg", "b.jpg")


@pytest.mark.parametrize("draws", [-1, 65, 2.5, float("nan"), "3", None])
def test_a_number_of_answers_that_is_none(draws: int) -> None:
    with pytest.raises(InputError, match="agreement is"):
        Assessor(Writes("", ""), agreement=draws)
