"""The client of OpenAI-compatible servers against a real server that fails in every way it can be told to."""

from __future__ import annotations

import asyncio
import email.utils
import json
import multiprocessing
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from endpoint_requests import BLUE, RED, ask_many, endpoint, own_machine, request  # noqa: F401  # a fixture for all
from openai_server import Call, Drop, Fault, OpenAIServer, Raw, Say, Script
from PIL import Image

from redaes import prompts
from redaes.backends.chat_replies import Reply
from redaes.backends.chat_requests import ChatRequest
from redaes.backends.endpoint import Endpoint
from redaes.backends.failures import Failure
from redaes.backends.pictures import EncodedPicture
from redaes.errors import (
    BackendError,
    BudgetExhausted,
    EndpointError,
    InputError,
    MissingDependency,
    ParseError,
    RecordError,
)
from redaes.types import Sampling

KEY = "sk-secret-0123456789"


def ask(asked: Endpoint, one: ChatRequest) -> Reply:
    async def run() -> Reply:
        async with asked:
            return await asked.ask(one)

    return asyncio.run(run())


def first_then(fault: Fault | Raw | Drop | Say, times: int = 1) -> Script:
    """The fault for the first tries of every request, then an answer."""
    return lambda call: fault if call.attempt < times else Say("fine")


def test_what_is_sent() -> None:
    with OpenAIServer(lambda call: Say("yes", usage=(7, 2))) as server:
        schema = {"type": "object"}
        reply = ask(endpoint(server, api_key=KEY), request(5, schema=schema, n_logprobs=20))
    assert reply.text == "yes"
    assert reply.finish_reason == "stop"
    assert reply.logprobs is None
    assert reply.usage is not None
    assert reply.usage.total_tokens == 9
    assert not reply.cached
    (call,) = server.calls
    assert call.headers["authorization"] == f"Bearer {KEY}"
    assert {name: value for name, value in call.body.items() if name != "messages"} == {
        "model": "judge",
        "temperature": 0.7,
        "max_completion_tokens": 256,
        "seed": 5,
        "logprobs": True,
        "top_logprobs": 20,
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}},
    }
    assert [part["type"] for part in call.parts] == ["text", "image_url", "text", "image_url", "text"]
    assert [picture.getpixel((0, 0)) for picture in call.pictures()] == [(255, 0, 0), (0, 0, 255)]
    assert call.parts[0]["text"] == "Picture A: "


def test_plain_words_are_sent_as_they_are() -> None:
    asked = ChatRequest([{"role": "user", "content": "hello"}], (), "test/v1@0", Sampling())
    with OpenAIServer(lambda call: Say(call.text.upper())) as server:
        assert ask(endpoint(server), asked).text == "HELLO"
    assert "authorization" not in server.calls[0].headers


def test_the_key_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDAES_API_KEY", KEY)
    with OpenAIServer(lambda call: Say("yes")) as server:
        ask(endpoint(server), request())
    assert server.calls[0].headers["authorization"] == f"Bearer {KEY}"


def test_logprobs_are_read() -> None:
    top = [{"Winner:": -0.1, "The": -3.0}, {" A": -0.2, " B": -2.0}]
    with OpenAIServer(lambda call: Say("Winner: A", top=top)) as server:
        reply = ask(endpoint(server), request(n_logprobs=2))
    assert reply.logprobs is not None
    assert [token.token for token in reply.logprobs] == ["Winner:", " A"]
    assert reply.logprobs[1].top == ((" A", -0.2), (" B", -2.0))


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault(429), "http_429"),
        (Fault(500), "http_500"),
        (Fault(502), "http_502"),
        (Fault(503), "http_503"),
        (Fault(504), "http_504"),
        (Drop(), "connection"),
        (Raw(b"<html>busy</html>"), "not_json"),
        (Raw(b'{"choices": [{"message": {"content": "cut o'), "not_json"),
        (Raw(b'"busy"'), "not_a_completion"),
        (Raw(b'{"object": "error"}'), "not_a_completion"),
        (Raw(b'{"choices": []}'), "no_choices"),
        (Say("too late", after_s=1.5), "timeout"),
    ],
)
def test_what_may_pass_is_tried_again(fault: Fault | Raw | Drop | Say, reason: str) -> None:
    with OpenAIServer(first_then(fault)) as server:
        asked = endpoint(server, timeout_s=0.5)
        assert ask(asked, request()).text == "fine"
    assert asked.counts["calls"] == len(server.calls) == 2
    assert asked.counts[f"retried: {reason}"] == 1
    assert asked.counts["ok"] == 1


def test_half_a_character_in_an_answer_is_kept_as_what_it_is(tmp_path: Path) -> None:
    """As it stays where a token ends within a character; it is no text, and would end the run that stores it."""
    answer = Raw(rb'{"choices": [{"message": {"content": "Fine \ud83d"}, "finish_reason": "stop"}]}')
    with OpenAIServer(lambda call: answer) as server:
        first, again = (ask(endpoint(server, cache=tmp_path), request()) for _ in range(2))
    assert first.text == again.text == "Fine \ufffd"
    assert len(server.calls) == 1


@pytest.mark.parametrize(
    ("answer", "reason", "calls"),
    [
        (Fault(400), "http_400", 1),
        (Fault(401), "http_401", 1),
        (Fault(404), "http_404", 1),
        (Fault(307, {"Location": "http://127.0.0.1:9/"}), "http_307", 1),
        (Fault(500), "http_500", 2),
        (Raw(b"\xff\xfe"), "not_json", 2),
        (Raw(b"[" * 100_000), "not_json", 2),
        (Raw(b'{"choices": []}'), "no_choices", 2),
        (Raw(b'{"choices": [{"message": {"content": 5}}]}'), "not_a_completion", 2),
        (Say("a", top=[{"a": float("nan")}]), "not_a_completion", 2),
        (Fault(503), "http_503", 4),
        (Drop(), "connection", 4),
        (Say(None), "no_content", 1),
        (Say(None, refusal="I do not judge people"), "refused", 1),
        (Fault(429, {"Retry-After": "86400"}), "retry_after_too_long", 1),
    ],
)  # fmt: skip
def test_what_does_not_pass_is_a_counted_reason(answer: Fault | Raw | Drop | Say, reason: str, calls: int) -> None:
    with OpenAIServer(lambda call: answer) as server:
        asked = endpoint(server, max_retries=3)
        (failure,) = ask_many(asked, [request()])
    assert isinstance(failure, Failure)
    assert failure.reason == reason
    assert len(server.calls) == calls == asked.counts["calls"]
    assert asked.counts[f"failed: {reason}"] == 1
    assert asked.counts["ok"] == 0


def test_ask_raises_what_ask_many_returns() -> None:
    server = OpenAIServer(lambda call: Fault(400, message="too many pictures"))
    with server, pytest.raises(EndpointError, match="too many pictures") as caught:
        ask(endpoint(server), request())
    assert caught.value.reason == "http_400"


def test_a_server_that_is_not_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        asked = Endpoint(address, "judge", max_retries=1, backoff_s=0.01)
        with pytest.raises(EndpointError) as caught:
            ask(asked, request())
    assert caught.value.reason == "connection"


@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_is_honoured(as_date: bool) -> None:
    def script(call: Call) -> Say | Fault:
        if call.attempt:
            return Say("fine")
        # A date has whole seconds: two ahead is at least one.
        return Fault(429, {"Retry-After": email.utils.formatdate(time.time() + 2, usegmt=True) if as_date else "1"})

    with OpenAIServer(script) as server:
        ask(endpoint(server), request())
    first, second = server.calls
    assert second.arrived_s - first.arrived_s >= 0.95


@pytest.mark.parametrize("nonsense", ["soon", "-5", "1e3", "Mon, 99 Foo 2026 25:00:00 GMT"])
def test_a_retry_after_that_says_nothing_is_not_waited_for(nonsense: str) -> None:
    with OpenAIServer(first_then(Fault(429, {"Retry-After": nonsense}))) as server:
        assert ask(endpoint(server), request()).text == "fine"


def test_one_failure_loses_only_itself_and_order_is_kept() -> None:
    def script(call: Call) -> Say | Fault:
        seed = call.body["seed"]
        # Early requests answer late.
        return Fault(400) if seed == 2 else Say(str(seed), after_s=0.02 * (5 - seed))

    with OpenAIServer(script) as server:
        answers = ask_many(endpoint(server), [request(seed) for seed in range(5)])
    assert [answer.text if isinstance(answer, Reply) else answer.reason for answer in answers] == [
        "0", "1", "http_400", "3", "4",
    ]  # fmt: skip


def test_concurrency_is_bounded() -> None:
    with OpenAIServer(lambda call: Say("yes", after_s=0.03)) as server:
        ask_many(endpoint(server, concurrency=3), [request(seed) for seed in range(12)])
    assert server.most_at_once == 3


def test_the_budget_of_calls_is_never_passed() -> None:
    with OpenAIServer(first_then(Fault(503))) as server:
        asked = endpoint(server, max_calls=5)
        answers = ask_many(asked, [request(seed) for seed in range(6)])
    assert len(server.calls) == asked.counts["calls"] == 5
    failed = [answer.reason for answer in answers if isinstance(answer, Failure)]
    assert failed == ["budget_exhausted"] * asked.counts["failed: budget_exhausted"]
    assert len(failed) + asked.counts["ok"] == 6


def test_the_budget_of_tokens_stops_the_next_call() -> None:
    with OpenAIServer(lambda call: Say("yes", usage=(90, 10))) as server:
        asked = endpoint(server, max_tokens=250, concurrency=1)
        answers = ask_many(asked, [request(seed) for seed in range(5)])
    assert [isinstance(answer, Reply) for answer in answers] == [True, True, True, False, False]
    assert asked.counts["tokens"] == 300
    with pytest.raises(BudgetExhausted):
        ask(asked, request(9))


def test_a_budget_of_tokens_needs_a_server_that_counts() -> None:
    with OpenAIServer(lambda call: Say("yes", usage=None)) as server:
        assert ask(endpoint(server), request()).usage is None
        with pytest.raises(EndpointError, match="max_calls") as caught:
            ask(endpoint(server, max_tokens=10), request())
    assert caught.value.reason == "no_usage"


def test_a_stored_answer_is_not_asked_for_again(tmp_path: Path) -> None:
    with OpenAIServer(lambda call: Say(f"answer {call.index}", top=[{"a": -0.5}])) as server:
        before = ask(endpoint(server, cache=tmp_path), request(n_logprobs=1))
        again = endpoint(server, cache=tmp_path, max_calls=0, api_key=KEY)
        after = ask(again, request(n_logprobs=1))
    assert len(server.calls) == 1
    assert after == before.model_copy(update={"cached": True})
    assert again.counts == {"cached": 1}


def test_failures_are_not_stored(tmp_path: Path) -> None:
    with OpenAIServer(first_then(Fault(400))) as server:
        asked = endpoint(server, cache=tmp_path)
        (failure,) = ask_many(asked, [request()])
        assert isinstance(failure, Failure)
        assert not list(tmp_path.rglob("*"))
        assert ask(asked, request()).text == "fine"


def test_everything_that_decides_an_answer_is_in_its_key() -> None:
    asked = Endpoint("http://127.0.0.1:1/v1", "judge")
    prompt = prompts.load("compare/v1")
    base = request()
    others = [
        ChatRequest.of(prompt, (BLUE, RED), base.sampling),
        ChatRequest.of(prompt, (RED, RED), base.sampling),
        ChatRequest.of(prompts.load("compare_fast/v1"), (RED, BLUE), base.sampling),
        ChatRequest(prompt.messages(), (RED, BLUE), "compare/v2@0", base.sampling),
        request(1),
        request(schema={}),
        request(n_logprobs=1),
        ChatRequest.of(prompt, (RED, BLUE), Sampling(temperature=0.8)),
        ChatRequest.of(prompt, (RED, BLUE), Sampling(temperature=0.7, max_new_tokens=5)),
    ]
    keys = [asked.key(other) for other in [base, *others]]
    keys += [Endpoint("http://127.0.0.1:1/v1", "other").key(base)]
    keys += [Endpoint("http://127.0.0.1:1/v1", "judge", revision="2").key(base)]
    assert len(set(keys)) == len(keys)
    elsewhere = Endpoint("http://127.0.0.1:2/v1", "judge", api_key=KEY, timeout_s=1, max_calls=1)
    twin = EncodedPicture(Image.new("RGB", (8, 6), "red"))
    assert elsewhere.key(ChatRequest.of(prompt, (twin, BLUE), base.sampling)) == keys[0]


def test_a_stored_answer_that_was_altered_is_named(tmp_path: Path) -> None:
    with OpenAIServer(lambda call: Say("yes")) as server:
        ask(endpoint(server, cache=tmp_path), request())
        (stored,) = tmp_path.rglob("*.json")
        stored.write_text('{"text": 5}')
        with pytest.raises(RecordError, match=stored.name):
            ask(endpoint(server, cache=tmp_path), request())
    assert len(server.calls) == 1


def test_the_first_stored_answer_counts(tmp_path: Path) -> None:
    """Two processes that ask the same at the same time go on with the same answer."""
    with OpenAIServer(lambda call: Say(f"answer {call.index}", after_s=0.2)) as server:
        one, two = endpoint(server, cache=tmp_path), endpoint(server, cache=tmp_path)

        async def run() -> list[Reply]:
            async with one, two:
                return list(await asyncio.gather(one.ask(request()), two.ask(request())))

        first, second = asyncio.run(run())
    assert len(server.calls) == 2
    assert first.text == second.text
    assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == [".json"]


def test_equal_requests_at_once_are_paid_for_once_where_answers_are_kept(tmp_path: Path) -> None:
    with OpenAIServer(lambda call: Say(f"answer {call.index}", after_s=0.05)) as server:
        kept = endpoint(server, cache=tmp_path)
        replies = ask_many(kept, [request(seed % 2) for seed in range(8)])
        assert len(server.calls) == 2
        assert kept.counts["cached"] == 6
        told = [reply.text for reply in replies if isinstance(reply, Reply)]
        assert told == told[:2] * 4
    with OpenAIServer(lambda call: Say("yes", after_s=0.5)) as server:
        ask_many(endpoint(server), [request() for _ in range(3)])
    # Nothing is there to be found: none waits but for the first, which shows what the server takes.
    assert (len(server.calls), server.most_at_once) == (3, 2)


def test_of_equal_requests_the_next_is_sent_where_the_first_fails(tmp_path: Path) -> None:
    with OpenAIServer(lambda call: Say("fine") if call.index else Fault(400)) as server:
        first, *rest = ask_many(endpoint(server, cache=tmp_path), [request() for _ in range(3)])
    assert isinstance(first, Failure)
    assert [reply.text for reply in rest if isinstance(reply, Reply)] == ["fine", "fine"]
    assert len(server.calls) == 2


def _ask_all(base_url: str, cache: Path, n: int) -> None:
    """What the killed process runs."""
    asked = Endpoint(base_url, "judge", cache=cache, concurrency=2)
    ask_many(asked, [request(seed) for seed in range(n)])


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is a POSIX matter")
def test_a_killed_run_goes_on_without_asking_twice(tmp_path: Path) -> None:
    n = 40
    with OpenAIServer(lambda call: Say(str(call.body["seed"]), after_s=0.03)) as server:
        run = multiprocessing.get_context("spawn").Process(target=_ask_all, args=(server.base_url, tmp_path, n))
        run.start()
        while len(server.calls) < n // 2 and run.is_alive():
            time.sleep(0.01)
        assert run.pid is not None
        os.kill(run.pid, signal.SIGKILL)
        run.join()
        time.sleep(0.2)  # the server finishes what it has begun
        before = len(server.calls)
        stored = len(list(tmp_path.rglob("*.json")))
        assert n // 2 - 4 <= stored < n
        answers = ask_many(endpoint(server, cache=tmp_path), [request(seed) for seed in range(n)])
    assert [answer.text for answer in answers if isinstance(answer, Reply)] == [str(seed) for seed in range(n)]
    assert len(server.calls) - before == n - stored


def test_the_key_is_in_no_message_no_file_and_no_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def script(call: Call) -> Say | Fault:
        return Fault(401, message=f"{call.headers['authorization']} is no key") if call.body["seed"] else Say("yes")

    caplog.set_level("DEBUG")
    with OpenAIServer(script) as server:
        asked = endpoint(server, api_key=KEY, cache=tmp_path)
        reply, failure = ask_many(asked, [request(0), request(1)])
    assert isinstance(reply, Reply)
    assert isinstance(failure, Failure)
    assert "is no key" in failure.detail
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*.json")).decode()
    for text in (failure.detail, repr(failure), repr(asked), repr(asked.counts), caplog.text, written):
        assert KEY not in text


def test_it_may_be_opened_again_and_not_twice() -> None:
    with OpenAIServer(lambda call: Say("yes")) as server:
        asked = endpoint(server)
        assert ask(asked, request(0)).text == ask(asked, request(1)).text

        async def twice() -> None:
            async with asked, asked:
                pass

        with pytest.raises(BackendError, match="open already"):
            asyncio.run(twice())
        with pytest.raises(BackendError, match="not open"):
            asyncio.run(asked.ask(request()))
    assert asked.counts["calls"] == 2


def test_a_structured_answer_is_checked() -> None:
    with OpenAIServer(lambda call: Say(['{"a": 1}', "Sure! {", '{"a"'][call.index],
                                       finish_reason=["stop", "stop", "length"][call.index])) as server:  # fmt: skip
        asked = endpoint(server, concurrency=1)
        good, bad, cut = (ask(asked, request(seed, schema={"type": "object"})) for seed in range(3))
    assert good.decoded() == {"a": 1}
    for reply, reason in ((bad, "not_json"), (cut, "cut_off")):
        with pytest.raises(ParseError) as caught:
            reply.decoded()
        assert caught.value.reason == reason


@pytest.mark.parametrize(
    "settings",
    [
        {"base_url": "127.0.0.1:8000"},
        {"base_url": "file:///etc/passwd"},
        {"base_url": "http://user:word@127.0.0.1/v1"},
        {"concurrency": 0},
        {"timeout_s": 0.0},
        {"timeout_s": float("nan")},
        {"max_retries": -1},
        {"max_calls": -1},
        {"max_tokens": -1},
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Endpoint(**{"base_url": "http://127.0.0.1/v1", "model": "judge", **settings})


def test_pictures_that_do_not_fit() -> None:
    with pytest.raises(InputError, match="2 places"):
        ChatRequest.of(prompts.load("compare/v1"), (RED,), Sampling())
    with pytest.raises(InputError, match="RGBA"):
        EncodedPicture(Image.new("RGBA", (1, 1)))


def test_without_httpx_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    asked = Endpoint("http://127.0.0.1:1/v1", "judge")
    with pytest.raises(MissingDependency, match=r"redaes\[serve\]"):
        ask(asked, request())


def test_requests_are_plain_json() -> None:
    """A log of requests can be read without this package."""
    with OpenAIServer(lambda call: Say("yes")) as server:
        ask(endpoint(server), request())
    assert json.loads(json.dumps(server.calls[0].body)) == server.calls[0].body
