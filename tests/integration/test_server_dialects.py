"""The server backend before servers that are not vLLM: what is read of them, and what stays a verdict alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from openai_server import Call, Drop, Fault, OpenAIServer, Raw, Say
from PIL import Image

from redaes import prompts
from redaes.answers import WINNER_PREFIX
from redaes.assessor import Assessor, answer_of
from redaes.backends.base import Request
from redaes.backends.endpoint import Endpoint
from redaes.backends.failures import Failure
from redaes.backends.server import ServerBackend
from redaes.images import LoadedImage
from redaes.types import ImageRef, Sampling

CHOICES = (" A", " B", " tie")
FAST, REASONED = prompts.load("compare_fast/v1"), prompts.load("compare/v1")
RED, BLUE = (Image.new("RGB", (8, 6), colour) for colour in ("red", "blue"))
PAIR = tuple(
    LoadedImage(image, ImageRef(id=name, path=Path(name)), ()) for image, name in ((RED, "red"), (BLUE, "blue"))
)
REASONS = "<rationale>\nSeen. Decisive: light, better in A.\n</rationale>\nWinner: A\nDifference: +2.0"


def asked(*images: Image.Image) -> Request:
    return Request(FAST, images, WINNER_PREFIX, CHOICES, None)


@pytest.fixture(autouse=True)
def own_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("REDAES_API_KEY", raising=False)


class NoTokenizer(OpenAIServer):
    """A server without vLLM's ``/tokenize``."""

    def __init__(self, script: Any, tokenize: Fault | Raw | Drop) -> None:
        super().__init__(script)
        self.tokenize = tokenize
        self.n_tokenize = 0

    def __enter__(self) -> NoTokenizer:
        super().__enter__()
        return self

    def _answer(self, path: str, headers: Any, data: bytes) -> Any:
        if path == "/tokenize":
            self.n_tokenize += 1
            return self.tokenize
        return super()._answer(path, headers, data)


TOKENIZE: dict[str, Fault | Raw] = {
    "ollama": Fault(404, body={"error": "404 page not found"}),
    # https://github.com/lmstudio-ai/lmstudio-bug-tracker/issues/307: status 200 for addresses that it does not know
    "lm studio": Raw(json.dumps({"error": "Unexpected endpoint or method. (POST /tokenize)"}).encode()),
    # https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md: reads "content", which is not sent
    "llama.cpp": Raw(b'{"tokens": []}'),
}

Making = Callable[[OpenAIServer], ServerBackend]


@pytest.fixture
def make() -> Iterator[Making]:
    made: list[ServerBackend] = []

    def one(server: OpenAIServer) -> ServerBackend:
        made.append(ServerBackend(Endpoint(server.base_url, "judge", backoff_s=0.01, timeout_s=10.0, max_retries=1)))
        return made[-1]

    yield one
    for backend in made:
        backend.close()


def goes_on(call: Call) -> Say:
    """A server that goes on with a begun answer, and lists the likeliest tokens."""
    if call.body["messages"][-1]["role"] == "assistant":
        return Say(" A", top=[{" A": -0.3, " B": -1.7, "\n": -4.0}])
    return Say(REASONS)


def begins_anew(call: Call) -> Say:
    """A server that takes a begun answer for a turn that is over."""
    if call.body["messages"][-1]["role"] == "assistant":
        return Say("A", top=[{"A": -0.1, "B": -3.0}])
    return Say(REASONS if "<rationale>" in call.text else "Winner: A\nDifference: +1.5")


@pytest.mark.parametrize("tokenize", TOKENIZE.values(), ids=TOKENIZE)
def test_without_a_tokenizer_the_listed_tokens_are_read(make: Making, tokenize: Fault | Raw) -> None:
    with NoTokenizer(goes_on, tokenize) as server:
        backend = make(server)
        found = [backend.answer([asked(RED, BLUE)])[0] for _ in range(3)]
        n_asked = server.n_tokenize
        result = Assessor(backend, mode="reasoned").compare_many([PAIR])[0]  # type: ignore[list-item]
    # The tie is not listed: at most as likely as the last token that is.
    assert [(list(one.read.log_probs.values()), one.read.least) for one in found] == [([-0.3, -1.7], -4.0)] * 3
    assert n_asked <= 2  # found out once
    assert {one.read.source for one in found} == {"listed"}
    assert [one.probability_from for one in result.comparisons] == ["listed"] * 2
    assert result.probability == pytest.approx(0.5)  # the first in both orders
    assert any("lists" in note for note in result.notes)


def test_a_server_that_ignores_the_ids_is_read_by_its_list(make: Making) -> None:
    with OpenAIServer(goes_on) as server:
        backend = make(server)
        (found,) = backend.answer([asked(RED, BLUE)])
        assert (list(found.read.log_probs.values()), found.read.least) == ([-0.3, -1.7], -4.0)
        assert [("logprob_token_ids" in call.body, call.body["top_logprobs"]) for call in server.calls] == [
            (True, 1), (False, 20)
        ]  # fmt: skip
        backend.answer([asked(BLUE, RED)])
        assert len(server.calls) == 3


def test_a_new_turn_is_not_taken_for_the_answers_continuation(make: Making) -> None:
    with NoTokenizer(begins_anew, TOKENIZE["ollama"]) as server:
        (failure,) = make(server).answer([asked(RED, BLUE)])
    assert isinstance(failure, Failure)
    assert failure.reason == "no_logprob"
    assert "does not continue" in failure.detail


@pytest.mark.parametrize(("mode", "delta"), [("reasoned", 2.0), ("fast", 1.5)])
def test_a_verdict_stands_without_its_probability(make: Making, mode: Any, delta: float) -> None:
    def first_is_red(call: Call) -> Say:
        red_first = (
            call.pictures()[0].getpixel((0, 0)) == (255, 0, 0) if call.body["messages"][-1]["role"] == "user" else True
        )
        answer = begins_anew(call)
        text = answer.text or ""
        return Say(text if red_first else text.replace("A", "B").replace("+", "-"))  # no log-probabilities at all

    with NoTokenizer(first_is_red, TOKENIZE["lm studio"]) as server:
        backend = make(server)
        result = Assessor(backend, mode=mode).compare_many([PAIR])[0]  # type: ignore[list-item]
        before = len(server.calls)
        Assessor(backend, mode=mode).compare_many([PAIR])  # type: ignore[list-item]
        assert len(server.calls) == before + 2  # that there are none was found out once
    assert (result.winner, result.delta, result.probability, result.failure) == ("A", delta, None, None)
    assert [one.probability_failure for one in result.comparisons] == ["no_logprob"] * 2
    assert [one.probability_from for one in result.comparisons] == [None] * 2
    assert any("no probability" in note for note in result.notes)
    # A ranking is made of probabilities: to it, the questions have failed.
    assert answer_of(result).n_failed == 2


def test_a_model_that_was_not_trained_on_the_form(make: Making) -> None:
    def chatty(call: Call) -> Say:
        if call.body["messages"][-1]["role"] == "assistant":
            return goes_on(call)
        return Say("<think>\nhm\n</think>\n" + REASONS.replace("Winner: A", "**Winner: Picture A**"))

    with NoTokenizer(chatty, TOKENIZE["ollama"]) as server:
        backend = make(server)
        strict = Assessor(backend).compare_many([PAIR])[0]  # type: ignore[list-item]
        lenient = Assessor(backend, reader="lenient").compare_many([PAIR])[0]  # type: ignore[list-item]
    assert strict.failure == "forward: not_the_form; swapped: not_the_form"
    assert [one.reader for one in lenient.comparisons] == ["lenient/v2"] * 2
    assert [one.probability_from for one in lenient.comparisons] == ["listed"] * 2
    assert (lenient.delta, lenient.undecided) == (0.0, "orders")  # A in both orders
    assert any("lenient/v2" in note for note in lenient.notes)


def test_what_the_server_could_not_use_stands_in_the_comparison(make: Making) -> None:
    def refusing(call: Call) -> Say | Fault:
        bad = [name for name in ("top_k", "min_p", "repetition_penalty") if name in call.body]
        if bad:
            return Fault(400, message=f"Unrecognized request arguments supplied: {', '.join(bad)}")
        return goes_on(call)

    with NoTokenizer(refusing, TOKENIZE["ollama"]) as server:
        result = Assessor(make(server)).compare_many([PAIR])[0]  # type: ignore[list-item]
    changes = ("without min_p", "without repetition_penalty", "without top_k")
    assert [one.changes for one in result.comparisons] == [changes] * 2


def test_thoughts_without_end_have_a_reason(make: Making) -> None:
    with OpenAIServer(lambda call: Say("<think>\nhm", finish_reason="length")) as server:
        (failure,) = make(server).answer([Request(REASONED, (RED, BLUE), sampling=Sampling(max_new_tokens=9))])
    assert failure == Failure("cut_off", "the model still thinks after 9 tokens; raise max_new_tokens")


def test_a_server_that_drops_what_it_cannot_tokenize_is_asked_all_the_same(make: Making) -> None:
    with NoTokenizer(lambda call: Say(REASONS), Drop()) as server:
        (answer,) = make(server).answer([Request(REASONED, (RED, BLUE), sampling=Sampling(max_new_tokens=99))])
    assert answer.text == REASONS
    assert server.n_tokenize
