"""A model behind any chat server as a backend: what it wrote is read, and replicas share the requests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from openai_server import Call, Fault, OpenAIServer, Say
from PIL import Image

from redaes import prompts
from redaes.answers import WINNER_PREFIX
from redaes.assessor import Assessor
from redaes.backends.base import Answer, Request, read_of
from redaes.backends.chat import ChatBackend
from redaes.backends.endpoint import Endpoint
from redaes.backends.failures import Failure
from redaes.backends.next_token import verdict_log_odds
from redaes.errors import InputError
from redaes.images import LoadedImage
from redaes.types import ImageRef, Sampling

FAST = prompts.load("compare_fast/v1")
LEVELS = (10, 60, 110, 160, 210)
GREYS = [Image.new("RGB", (8, 6), (level,) * 3) for level in LEVELS]


@pytest.fixture(autouse=True)
def own_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("REDAES_API_KEY", raising=False)


def level(call: Call) -> int:
    return call.pictures()[0].getpixel((0, 0))[0]  # type: ignore[index, return-value]


def brighter(call: Call) -> Say:
    first, second = (picture.getpixel((0, 0))[0] for picture in call.pictures())
    a, b = (-0.1, -2.6) if first > second else (-2.6, -0.1)
    winner, sign = ("A", "+") if first > second else ("B", "-")
    place = {f" {winner}": -0.1, " A": a, " B": b}
    return Say(f"Winner: {winner}\nDifference: {sign}1.0", top=[{"Winner": 0.0}, {":": 0.0}, place, {"\n": 0.0}])


def backend(*servers: OpenAIServer, **settings: Any) -> ChatBackend:
    settings = {"backoff_s": 0.01, "timeout_s": 10.0, "max_retries": 0, **settings}
    return ChatBackend([Endpoint(server.base_url, "judge", **settings) for server in servers])


def asked(first: int, second: int, sampling: Sampling | None) -> Request:
    return Request(FAST, (GREYS[first], GREYS[second]), WINNER_PREFIX, (" A", " B"), sampling)


def test_what_follows_the_prefix_is_read_in_what_the_model_writes() -> None:
    with OpenAIServer(brighter) as server:
        written, read = backend(server).answer([asked(1, 0, Sampling()), asked(0, 1, None)])
    assert isinstance(written, Answer)
    assert (written.text, written.tokens) == ("Winner: A\nDifference: +1.0", 110)
    assert verdict_log_odds(read_of(written)) == pytest.approx(2.5)
    assert isinstance(read, Answer)
    assert (read.text, verdict_log_odds(read_of(read))) == (None, pytest.approx(-2.5))
    assert all("continue_final_message" not in call.body for call in server.calls)


def test_where_nothing_can_be_read_the_text_stays_and_a_reading_fails() -> None:
    with OpenAIServer(lambda call: Say("Winner: A\nDifference: +1.0")) as server:
        written, read = backend(server).answer([asked(1, 0, Sampling()), asked(0, 1, None)])
    assert isinstance(written, Answer)
    assert isinstance(written.read, Failure)
    assert isinstance(read, Failure)
    assert written.read.reason == read.reason == "no_logprobs"


def test_replicas_share_the_requests_and_answers_keep_their_order() -> None:
    def script(call: Call) -> Say | Fault:
        return Fault(400) if level(call) == LEVELS[3] else Say(str(level(call)))

    requests = [Request(FAST, (grey, GREYS[0])) for grey in GREYS]
    with OpenAIServer(script) as one, OpenAIServer(script) as other:
        found = backend(one, other).answer(requests)
        assert (len(one.calls), len(other.calls)) == (3, 2)
    assert [one.reason if isinstance(one, Failure) else one.text for one in found] == [
        "10", "60", "110", "http_400", "210"
    ]  # fmt: skip
    with pytest.raises(InputError, match="no server is named"):
        ChatBackend([])


def test_the_assessor_stands_on_it() -> None:
    dark, light = (LoadedImage(GREYS[n], ImageRef(id=str(n), path=Path(str(n))), ()) for n in (0, 4))
    with OpenAIServer(brighter) as server:
        (result,) = Assessor(backend(server), mode="fast").compare_many([(light, dark)])
    assert (result.winner, result.order_consistent, result.log_odds) == ("A", True, pytest.approx(2.5))
    assert {one.probability_from for one in result.comparisons} == {"listed"}
