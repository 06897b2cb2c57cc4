"""Judges behind a real server: order, samples, faults, budget and restart."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from openai_server import Call, Drop, Fault, OpenAIServer, Raw, Say
from PIL import Image

from redaes import answers
from redaes.backends.endpoint import Endpoint
from redaes.backends.pictures import EncodedPicture
from redaes.datagen.consensus import consensus
from redaes.datagen.judges import Judgement, PicturePair, ScorerJudge, VlmJudge, VlmScorer
from redaes.errors import BudgetExhausted, EndpointError, InputError
from redaes.types import Rationale

LEVELS = (40, 90, 140, 210)
PICTURES = [EncodedPicture(Image.new("RGB", (6, 6), (level,) * 3)) for level in LEVELS]
PAIRS = [
    PicturePair("up", PICTURES[3], PICTURES[1]),
    PicturePair("down", PICTURES[0], PICTURES[2]),
    PicturePair("tie", PICTURES[1], PICTURES[1]),
]
TRUE = {"up": 4.0, "down": -10 / 3, "tie": 0.0}
"""Score: brightness, 30 levels to a point."""


@pytest.fixture(autouse=True)
def own_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def brighter(call: Call) -> float:
    """Points by which A is brighter than B."""
    first, second = (picture.getpixel((0, 0))[0] for picture in call.pictures())
    return (first - second) / 30


def reasoned(delta: float) -> Say:
    verdict = answers.stated(delta)
    text = Rationale(
        text="A differs from B.", factors=() if verdict.winner == "tie" else ("light",), better=verdict.winner
    )
    return Say(answers.render_verdict(answers.stated(delta, text)))


def fast(delta: float, log_odds: float) -> Say:
    a = 1 / (1 + math.exp(-log_odds))
    shares = {" A": math.log(a * 0.9), " B": math.log((1 - a) * 0.9), " tie": math.log(0.1)}
    verdict = answers.stated(delta)
    letter = f" {verdict.winner}"
    taken = {letter: shares[letter], **shares}
    rest = f"\nDifference: {'0.0' if verdict.winner == 'tie' else f'{verdict.delta:+.1f}'}"
    return Say(answers.render_verdict(verdict), top=[{"Winner": 0.0}, {":": 0.0}, taken, {rest: 0.0}])


def judge(
    server: OpenAIServer, *, cache: Path | None = None, max_calls: int | None = None, **settings: Any
) -> VlmJudge:
    endpoint = Endpoint(
        server.base_url, "judge", cache=cache, max_calls=max_calls, timeout_s=5, max_retries=2, backoff_s=0.01
    )
    return VlmJudge(endpoint, **settings)


def deltas(judgements: list[Judgement]) -> dict[str, float | None]:
    return {each.pair: consensus([each]).delta for each in judgements}


def test_a_judge_that_favours_a_is_debiased() -> None:
    with OpenAIServer(lambda call: reasoned(brighter(call) + 1.0)) as server:
        judgements = judge(server).judge(PAIRS)
    assert [len(each.forward) + len(each.swapped) for each in judgements] == [4, 4, 4]
    assert judgements[0].forward == (5.0, 5.0)
    assert judgements[0].swapped == (3.0, 3.0)
    found = [consensus([each]) for each in judgements]
    for each in found:
        assert each.delta == pytest.approx(TRUE[each.pair], abs=0.051)  # answers have one decimal
        assert each.bias == pytest.approx(1.0, abs=0.051)
        assert each.spread == pytest.approx(0.0, abs=0.051)


def test_a_judge_that_sees_only_the_position_labels_nothing() -> None:
    with OpenAIServer(lambda call: reasoned(3.0)) as server:
        judgements = judge(server).judge(PAIRS)
    assert {consensus([each]).rejected for each in judgements} == {"order_inconsistent"}


def test_what_is_asked() -> None:
    with OpenAIServer(lambda call: reasoned(brighter(call))) as server:
        judgements = judge(server, samples=3, temperature=0.9, seed=10).judge(PAIRS[:1])
    asked = sorted((call.pictures()[0].getpixel((0, 0))[0], call.body["seed"]) for call in server.calls)
    assert asked == [(90, 10), (90, 11), (90, 12), (210, 10), (210, 11), (210, 12)]
    assert {call.body["temperature"] for call in server.calls} == {0.9}
    (judgement,) = judgements
    assert [each.order for each in judgement.comparisons] == ["forward"] * 3 + ["swapped"] * 3
    assert all(each.prompt_id.startswith("compare/v1@") and each.raw for each in judgement.comparisons)
    assert judgement.comparisons[0].verdict is not None
    assert judgement.comparisons[0].verdict.rationale is not None
    assert judgement.probability is None


def test_probability_of_both_orders_in_the_fast_mode() -> None:
    """Log-odds 3 and -1 as shown: (3 + 1) / 2 for the first picture."""

    def script(call: Call) -> Say:
        return fast(2.0, 3.0) if brighter(call) > 0 else fast(-1.0, -1.0)

    with OpenAIServer(script) as server:
        (judgement,) = judge(server, mode="fast", samples=1, temperature=0).judge(PAIRS[:1])
    assert (judgement.forward, judgement.swapped) == ((2.0,), (1.0,))
    assert judgement.probability == pytest.approx(1 / (1 + math.exp(-2.0)))
    assert [each.log_odds for each in judgement.comparisons] == pytest.approx([3.0, -1.0])
    assert server.calls[0].body["top_logprobs"] == 20


def test_no_probability_where_none_is_offered() -> None:
    with OpenAIServer(lambda call: Say("Winner: A\nDifference: +1.0")) as server:
        (judgement,) = judge(server, mode="fast", samples=1, temperature=0).judge(PAIRS[:1])
    assert judgement.probability is None
    assert judgement.forward == (1.0,)


@pytest.mark.parametrize(
    "fault", [Fault(429, {"Retry-After": "0"}), Fault(500), Fault(503), Raw(b"{"), Raw(b'{"choices": []}'), Drop()]
)
def test_passing_faults_change_no_label(fault: Fault | Raw | Drop) -> None:
    def script(call: Call) -> Say | Fault | Raw | Drop:
        return fault if call.attempt == 0 else reasoned(brighter(call))

    with OpenAIServer(script) as server:
        asked = judge(server)
        found = deltas(asked.judge(PAIRS))
    assert found == {name: pytest.approx(value, abs=0.051) for name, value in TRUE.items()}
    assert sum(n for name, n in asked.endpoint.counts.items() if name.startswith("retried")) >= 8


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (lambda: Fault(400), "http_400"),
        (lambda: Fault(500), "http_500"),
        (lambda: Fault(503), "http_503"),
        (lambda: Say("A is better, by 3 points."), "not_the_form"),
        (lambda: Say(""), "empty"),
        (lambda: Say("<rationale>\nA is dar", finish_reason="length"), "cut_off"),
        (lambda: Say("Winner: A\nDifference: +3.0"), "no_rationale"),
        (lambda: Say(None, refusal="no"), "refused"),
        (lambda: Say("x", after_s=6.0), "timeout"),
    ],
)
def test_lasting_faults_are_counted_and_never_labels(bad: Callable[[], Say | Fault], reason: str) -> None:
    """The first pair's forward order fails for good; the other pair is none the worse for it."""

    def script(call: Call) -> Say | Fault:
        return bad() if brighter(call) == 4 else reasoned(brighter(call))

    with OpenAIServer(script) as server:
        asked = judge(server)
        asked.endpoint.timeout_s, asked.endpoint.max_retries = 1.0, 1
        first, second = asked.judge(PAIRS[:2])
    assert first.failures == (reason, reason)
    assert first.forward == ()
    assert len(first.swapped) == 2
    assert [each.failure for each in first.comparisons] == [reason, reason, None, None]
    found = consensus([first])
    assert (found.delta, found.rejected, found.n_failed) == (None, "too_few_answers", 2)
    assert consensus([second]).delta == pytest.approx(TRUE["down"], abs=0.051)


def test_a_server_that_is_down_rejects_no_pair() -> None:
    with OpenAIServer(lambda call: Fault(503)) as server, pytest.raises(EndpointError, match="none of 12") as caught:
        judge(server).judge(PAIRS)
    assert caught.value.reason == "http_503"


def test_the_budget_stops_the_run_and_the_cache_resumes_it(tmp_path: Path) -> None:
    with OpenAIServer(lambda call: reasoned(brighter(call))) as server:
        with pytest.raises(BudgetExhausted):
            judge(server, cache=tmp_path, max_calls=7).judge(PAIRS)
        assert len(server.calls) == 7
        # The tie shows one picture twice, so that its two orders are one question.
        again = judge(server, cache=tmp_path)
        found = deltas(again.judge(PAIRS))
        n = len(server.calls)
        assert again.endpoint.counts["calls"] == n - 7
        assert judge(server, cache=tmp_path, max_calls=0).judge(PAIRS)
    assert len(server.calls) == n
    assert found == {name: pytest.approx(value, abs=0.051) for name, value in TRUE.items()}


def test_samples_that_would_be_one_answer() -> None:
    endpoint = Endpoint("http://127.0.0.1:1/v1", "judge")
    with pytest.raises(InputError, match="temperature 0"):
        VlmJudge(endpoint, samples=2, temperature=0)
    with pytest.raises(InputError, match="at least 1"):
        VlmJudge(endpoint, samples=0)


def test_a_model_read_at_its_score_token() -> None:
    def script(call: Call) -> Say:
        (picture,) = call.pictures()
        score = picture.getpixel((0, 0))[0] / 30
        low = int(score)
        digits = {str(low): math.log(max(1e-9, 1 - score + low)), str(low + 1): math.log(max(1e-9, score - low))}
        return Say(f"Score: {low}", top=[{"Score": 0.0}, {":": 0.0}, {" ": 0.0}, digits])

    with OpenAIServer(script) as server:
        judgements = ScorerJudge(VlmScorer(Endpoint(server.base_url, "judge"))).judge(PAIRS)
    assert len(server.calls) == len(PICTURES)  # each once
    for each in judgements:
        assert each.judge == "judge (score)"
        assert each.forward == each.swapped == pytest.approx((TRUE[each.pair],), abs=1e-6)


def test_a_model_without_token_probabilities_scores_nothing() -> None:
    with OpenAIServer(lambda call: Say("Score: 6")) as server:
        (judgement,) = ScorerJudge(VlmScorer(Endpoint(server.base_url, "judge"))).judge(PAIRS[:1])
    assert judgement.forward == ()
    assert judgement.failures == ("no_logprobs", "no_logprobs")
