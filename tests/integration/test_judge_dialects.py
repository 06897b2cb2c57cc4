"""Judges behind servers of other dialects, and judges that answer nothing."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from openai_server import Call, Fault, OpenAIServer, Say
from PIL import Image

from redaes.backends.endpoint import Endpoint
from redaes.backends.pictures import EncodedPicture
from redaes.datagen.judges import Judgement, PicturePair, ScorerJudge, VlmJudge, VlmScorer
from redaes.datagen.judges.silence import REFUSED_AFTER, UNREADABLE_AFTER
from redaes.errors import EndpointError, InputError
from redaes.evaluation.assessors.base import Question, QuestionAnswer, QuestionPicture
from redaes.evaluation.assessors.servers import EndpointPairs, EndpointScores
from redaes.images import LoadedImage
from redaes.types import ImageRef

PICTURES = [EncodedPicture(Image.new("RGB", (6, 6), (level,) * 3)) for level in range(0, 240, 30)]
PAIRS = [PicturePair(f"{n}", *two) for n, two in enumerate(itertools.combinations(PICTURES, 2))]
ANSWER = "<rationale>\nA is darker than B. Decisive: light, better in B.\n</rationale>\nWinner: B\nDifference: -3.4"
CHATTY = ANSWER.replace("Winner: B", "**Winner: Picture B**").replace("-3.4", "\u22123.4")
GPT5 = "Unsupported value: 'temperature' does not support 0.7 with this model. Only the default (1) value is supported."


@pytest.fixture(autouse=True)
def own_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("REDAES_API_KEY", raising=False)


def endpoint(server: OpenAIServer) -> Endpoint:
    return Endpoint(server.base_url, "m", timeout_s=10, max_retries=1, backoff_s=0.01)


def shown(picture: EncodedPicture) -> QuestionPicture:
    path = Path("x.png")
    return QuestionPicture(picture.id, path, LoadedImage(picture.image, ImageRef(id=picture.id, path=path), ()))


def judged(
    script: Callable[[Call], Say | Fault], pairs: Sequence[PicturePair] = PAIRS[:1], **settings: Any
) -> Judgement:
    with OpenAIServer(script) as server:
        return VlmJudge(endpoint(server), **settings).judge(pairs)[0]


def test_a_judge_whose_server_refuses_its_temperature_judges_and_says_so() -> None:
    judgement = judged(lambda call: Say(ANSWER) if call.body["temperature"] == 1 else Fault(400, message=GPT5))
    assert (judgement.forward, judgement.swapped, judgement.failures) == ((-3.4, -3.4), (3.4, 3.4), ())
    assert {one.changes for one in judgement.comparisons} == {("temperature=1",)}


def test_a_judge_that_thinks_aloud() -> None:
    judgement = judged(lambda call: Say(f"The user wants ...\n</think>\n\n{ANSWER}"))
    assert judgement.forward == (-3.4, -3.4)
    assert judgement.comparisons[0].raw == ANSWER


def test_a_judge_that_thinks_past_its_limit_is_cut_off() -> None:
    assert judged(lambda call: Say("<think>\nhm", finish_reason="length")).failures == ("cut_off",) * 4
    # https://platform.openai.com/docs/guides/reasoning: nothing visible, all tokens spent
    assert judged(lambda call: Say("", finish_reason="length")).failures == ("cut_off",) * 4
    assert judged(lambda call: Say("<think>\nhm")).failures == ("unclosed_thinking",) * 4


def test_variants_of_the_form_are_read_where_that_is_asked_for() -> None:
    with OpenAIServer(lambda call: Say(CHATTY if call.index else ANSWER)) as server:
        strict, lenient = VlmJudge(endpoint(server)), VlmJudge(endpoint(server), reader="lenient")
        refused, read = strict.judge(PAIRS[:1])[0], lenient.judge(PAIRS[:1])[0]
    assert (len(refused.forward), refused.failures) == (1, ("not_the_form",) * 3)
    assert strict.counts == {"read: strict": 1, "unreadable: not_the_form": 3}
    assert (read.forward, read.failures) == ((-3.4, -3.4), ())
    assert lenient.counts == {"read: lenient/v2": 4}
    assert {one.reader for one in read.comparisons} == {"lenient/v2"}
    with pytest.raises(InputError, match="unknown reader"):
        VlmJudge(endpoint(server), reader="generous")  # type: ignore[arg-type]


def test_where_a_probability_comes_from() -> None:
    top = [{"Winner": 0.0}, {":": 0.0}, {" A": -0.2, " B": -2.0}, {"\n": 0.0}]
    listed = judged(lambda call: Say("Winner: A\nDifference: +1.0", top=top), mode="fast")
    assert [one.probability_from for one in listed.comparisons] == ["listed"] * 4

    def refusing(call: Call) -> Say | Fault:
        if "logprobs" in call.body:
            return Fault(403, message="You are not allowed to request logprobs from this model")
        return Say("Winner: A\nDifference: +1.0")

    none = judged(refusing, mode="fast")
    assert none.forward == (1.0, 1.0)  # the verdict is not lost with its probability
    assert [(one.probability, one.probability_from) for one in none.comparisons] == [(None, None)] * 4


# --- judges that answer nothing ---------------------------------------------------------------------------------


def silent(
    script: Callable[[Call], Say | Fault], judge: Callable[[Endpoint], Any] = VlmJudge
) -> tuple[EndpointError, int]:
    """How a run ends, one pair after the other, and what it has asked by then."""
    with OpenAIServer(script) as server:
        asked = judge(endpoint(server))
        for pair in PAIRS:
            try:
                asked.judge([pair])
            except EndpointError as error:
                return error, len(server.calls)
    raise AssertionError("the run did not end")


@pytest.mark.parametrize(
    ("answer", "reason", "words", "n"),
    [
        (Fault(400, message="This model does not see pictures."), "http_400", "does not see pictures", REFUSED_AFTER),
        (Say("<think>\nhm", finish_reason="length"), "cut_off", "raise max_new_tokens, now 512", REFUSED_AFTER),
        (Say("B is better."), "not_the_form", "reader: lenient", UNREADABLE_AFTER),
    ],
)
def test_a_judge_that_answers_nothing_ends_the_run(answer: Say | Fault, reason: str, words: str, n: int) -> None:
    error, asked = silent(lambda call: answer)
    assert error.reason == reason
    for part in ("judge m (model m at http://127.0.0.1:", "answers nothing", f"its first {n} requests", words):
        assert part in str(error)
    assert asked == n


@pytest.mark.parametrize(("status", "remedy"), [(400, "another model"), (401, "REDAES_API_KEY"), (404, "model's name")])
def test_it_ends_within_one_batch(status: int, remedy: str) -> None:
    with OpenAIServer(lambda call: Fault(status, message="no such thing")) as server:
        with pytest.raises(EndpointError, match=f"answers nothing.*no such thing.*{remedy}"):
            VlmJudge(endpoint(server)).judge(PAIRS)
        assert len(server.calls) == REFUSED_AFTER


def test_a_scorer_that_scores_nothing_ends_the_run() -> None:
    error, asked = silent(lambda call: Say("Score: 6"), lambda one: ScorerJudge(VlmScorer(one)))
    assert error.reason == "no_logprobs"
    assert "judge m (score)" in str(error)
    assert asked == UNREADABLE_AFTER


@pytest.mark.parametrize(
    "script",
    [
        lambda call: Say(ANSWER) if call.index == 5 else Fault(400, message="no"),  # one answer
        lambda call: Say("B.") if call.index == 5 else Fault(400, message="no"),  # not always in the same way
        lambda call: Fault(400, message="The response was filtered: content_filter"),  # of the picture
        lambda call: Say(None, refusal="I cannot look at this."),
    ],
)
def test_a_judge_that_fails_in_another_way_goes_on(script: Callable[[Call], Say | Fault]) -> None:
    with OpenAIServer(script) as server:
        judgements = VlmJudge(endpoint(server)).judge(PAIRS)
        assert len(server.calls) == 4 * len(PAIRS)
    assert len(judgements) == len(PAIRS)


# --- scores from what is listed ---------------------------------------------------------------------------------


def scoring(**shares: float) -> Say:
    top = {name.removeprefix("_"): math.log(share) for name, share in shares.items()}
    return Say(f"Score: {next(iter(top))}", top=[{"Score": 0.0}, {":": 0.0}, {" ": 0.0}, top])


@pytest.mark.parametrize("judge", [lambda one: ScorerJudge(VlmScorer(one))])
def test_five_listed_tokens_are_enough_where_they_hold_the_mass(judge: Callable[[Endpoint], ScorerJudge]) -> None:
    def script(call: Call) -> Say | Fault:
        if call.body["top_logprobs"] > 5:
            return Fault(400, message="top_logprobs must be between 0 and 5")
        if call.pictures()[0].getpixel((0, 0)) == (0, 0, 0):
            return scoring(_6=0.7, _7=0.2, _5=0.08, _8=0.015, _4=0.003)
        return scoring(_2=0.9, _3=0.0999)

    with OpenAIServer(script) as server:
        (judgement,) = judge(endpoint(server)).judge(PAIRS[:1])
    first = (6 * 0.7 + 7 * 0.2 + 5 * 0.08 + 8 * 0.015 + 4 * 0.003) / 0.998
    assert judgement.forward == pytest.approx((first - (2 * 0.9 + 3 * 0.0999) / 0.9999,))


def test_a_score_of_half_the_mass_is_a_failure_with_its_reason() -> None:
    with OpenAIServer(lambda call: scoring(_6=0.3, _7=0.2, _5=0.08)) as server:
        (judgement,) = ScorerJudge(VlmScorer(endpoint(server))).judge(PAIRS[:1])
        (answer,) = EndpointScores([endpoint(server)]).answer([Question("q", (shown(PICTURES[0]),))])
    assert (judgement.forward, judgement.failures) == ((), ("score_uncertain",) * 2)
    assert (answer.value, answer.failure) == (None, "score_uncertain")
    assert "0.58" in (answer.detail or "")


def test_pairs_of_an_evaluation() -> None:
    first, second = map(shown, PICTURES[:2])

    def script(call: Call) -> Say | Fault:
        if "seed" in call.body:
            return Fault(400, message="Unrecognized request argument supplied: seed")
        return Say(CHATTY)

    def asked(**settings: Any) -> QuestionAnswer:
        return EndpointPairs([endpoint(server)], **settings).answer([Question("q", (first, second))])[0]

    with OpenAIServer(script) as server:
        strict, lenient = asked(), asked(reader="lenient")
        identities = [EndpointPairs([endpoint(server)], reader=name).identity for name in ("strict", "lenient")]
    assert strict.failure == "forward: not_the_form; swapped: not_the_form"
    assert (strict.reader, strict.changes) == (None, ("without seed",))
    assert (lenient.value, lenient.reader, lenient.changes) == (0.0, "lenient/v2", ("without seed",))
    assert ["reader" in identity for identity in identities] == [False, True]
