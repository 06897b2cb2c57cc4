"""Servers that speak OpenAI's protocol each in its own way: what is found out, asked once, kept and written down."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from endpoint_requests import BLUE, RED, ask_many, endpoint, own_machine, request  # noqa: F401  # a fixture for all
from openai_server import Call, Fault, OpenAIServer, Say

from redaes.backends.chat_replies import Reply
from redaes.backends.failures import Failure
from redaes.backends.next_token import NextToken

ANSWER = "<rationale>\nA is darker than B. Decisive: light, better in B.\n</rationale>\nWinner: B\nDifference: -3.4"


def gpt5(call: Call) -> Say | Fault:
    """https://github.com/QwenLM/qwen-code/issues/921"""
    if call.body.get("temperature", 1) != 1:
        message = f"'temperature' does not support {call.body['temperature']} with this model"
        return Fault(400, message=f"Unsupported value: {message}. Only the default (1) value is supported.")
    return Say(ANSWER, after_s=0.05)


def mistral(call: Call) -> Say | Fault:
    """https://github.com/editor-code-assistant/eca/issues/231"""
    bad = [name for name in ("max_completion_tokens", "seed", "logprobs", "top_logprobs") if name in call.body]
    if bad:
        return Fault(422, body={"detail": [{"type": "extra_forbidden", "loc": ["body", name]} for name in bad]})
    return Say(ANSWER)


def gemini(call: Call) -> Say | Fault:
    """One field at a time. https://github.com/Vali-98/ChatterUI/issues/227"""
    for name in ("seed", "logprobs", "top_logprobs"):
        if name in call.body:
            words = f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.'
            return Fault(400, body=[{"error": {"code": 400, "message": words}}])
    return Say(ANSWER)


def test_a_refused_field_costs_one_request_however_many_are_under_way(tmp_path: Path) -> None:
    with OpenAIServer(gpt5) as server:
        asked = endpoint(server, cache=tmp_path)
        replies = ask_many(asked, [request(seed) for seed in range(8)])
        replies += ask_many(asked, [request(seed) for seed in range(8, 10)])  # kept over openings
        assert len(server.calls) == 11
        assert server.most_at_once > 1
        again = endpoint(server, cache=tmp_path)
        stored = ask_many(again, [request(0)])[0]
    assert all(isinstance(reply, Reply) and reply.changes == ("temperature=1",) for reply in replies)
    assert {call.body.get("temperature") for call in server.calls[1:]} == {1}
    assert asked.counts == {
        "calls": 11, "ok": 10, "tokens": 1100, "tokens written": 100, "refused: temperature": 1,
        "answered temperature=1": 10,
    }  # fmt: skip
    # What was changed is known of a stored answer as well.
    assert isinstance(stored, Reply)
    assert (stored.cached, stored.changes) == (True, ("temperature=1",))
    assert again.counts == {"cached": 1, "answered temperature=1": 1}


def test_each_kind_of_request_finds_out_its_own() -> None:
    with OpenAIServer(mistral) as server:
        asked = endpoint(server)
        plain = ask_many(asked, [request(seed) for seed in range(3)])
        listed = ask_many(asked, [request(seed, n_logprobs=5) for seed in range(3)])
    assert len(server.calls) == 4 + 4
    assert server.calls[-1].body["max_tokens"] == 256
    assert [reply.changes for reply in plain if isinstance(reply, Reply)] == [("without seed",)] * 3
    changed = ("without logprobs", "without seed", "without top_logprobs")
    assert [reply.changes for reply in listed if isinstance(reply, Reply)] == [changed] * 3


def test_fields_that_are_named_one_after_the_other() -> None:
    with OpenAIServer(gemini) as server:
        asked = endpoint(server, max_calls=4)
        (reply,) = ask_many(asked, [request(n_logprobs=5)])
    assert isinstance(reply, Reply)
    assert asked.counts["calls"] == 3  # top_logprobs goes with logprobs
    assert reply.changes == ("without logprobs", "without seed", "without top_logprobs")


def test_an_extra_request_is_paid_from_the_budget() -> None:
    with OpenAIServer(gpt5) as server:
        (reply,) = ask_many(endpoint(server, max_calls=1), [request()])
    assert isinstance(reply, Failure)
    assert reply.reason == "budget_exhausted"
    assert len(server.calls) == 1


def test_the_number_of_listed_tokens_is_what_the_server_allows() -> None:
    def capped(call: Call) -> Say | Fault:
        if call.body["top_logprobs"] > 5:
            return Fault(400, message="top_logprobs must be between 0 and 5")
        return Say("Score: 6")

    with OpenAIServer(capped) as server:
        (reply,) = ask_many(endpoint(server), [request(n_logprobs=20)])
    assert isinstance(reply, Reply)
    assert [call.body["top_logprobs"] for call in server.calls] == [20, 5]
    assert reply.changes == ("top_logprobs=5",)


@pytest.mark.parametrize("words", ["max_tokens is too large: 8192", "Unrecognized request argument supplied: tools"])
def test_an_unknown_complaint_stays_an_error_in_the_servers_words(words: str) -> None:
    with OpenAIServer(lambda call: Fault(400, message=words)) as server:
        asked = endpoint(server)
        (reply,) = ask_many(asked, [request()])
    assert isinstance(reply, Failure)
    assert reply.reason == "http_400"
    assert words in reply.detail
    assert asked.counts == {"calls": 1, "failed: http_400": 1}


def test_a_server_that_refuses_a_field_that_was_left_out_is_not_asked_for_ever() -> None:
    values = iter(range(1, 1000))

    def never(call: Call) -> Fault:
        words = f"'temperature' does not support {call.body['temperature']} with this model"
        return Fault(400, message=f"{words}. Only the default ({next(values)}) value is supported.")

    with OpenAIServer(never) as server:
        (reply,) = ask_many(endpoint(server), [request()])
    assert isinstance(reply, Failure)
    assert reply.reason == "http_400"
    assert len(server.calls) < 30


@pytest.mark.parametrize(
    ("answer", "thinking", "from_thinking"),
    [
        (Say(f"<think>\nhm\n</think>\n\n{ANSWER}"), "hm", False),
        (Say(f"hm\n</think>\n\n{ANSWER}"), "hm", False),
        (Say(ANSWER, message={"reasoning_content": "hm"}), "hm", False),
        (Say(None, message={"reasoning_content": ANSWER, "reasoning": ANSWER}), "", True),
        (Say(None, message={"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                                        {"type": "text", "text": ANSWER}]}), "hm", False),
    ],
)  # fmt: skip
def test_the_answer_is_found_where_the_server_puts_it(answer: Say, thinking: str, from_thinking: bool) -> None:
    with OpenAIServer(lambda call: answer) as server:
        (reply,) = ask_many(endpoint(server), [request()])
    assert isinstance(reply, Reply)
    assert (reply.text, reply.thinking, reply.from_thinking) == (ANSWER, thinking, from_thinking)


def test_a_thought_without_end() -> None:
    with OpenAIServer(lambda call: Say("<think>\nhm")) as server:
        (reply,) = ask_many(endpoint(server), [request()])
    assert isinstance(reply, Failure)
    assert reply.reason == "unclosed_thinking"
    assert "max_new_tokens" in reply.detail
    with OpenAIServer(lambda call: Say("<think>\nhm", finish_reason="length")) as server:
        (cut,) = ask_many(endpoint(server), [request()])
    assert isinstance(cut, Reply)
    assert (cut.text, cut.finish_reason) == ("", "length")


def test_a_stored_answer_from_before_is_read_alike(tmp_path: Path) -> None:
    with OpenAIServer(lambda call: Say(ANSWER)) as server:
        asked = endpoint(server, cache=tmp_path)
        ask_many(asked, [request()])
        (file,) = tmp_path.rglob("*.json")
        stored = {"text": f"<think>hm</think>{ANSWER}", "finish_reason": "stop", "logprobs": None, "usage": None}
        file.write_text(json.dumps(stored))
        (reply,) = ask_many(asked, [request()])
    assert isinstance(reply, Reply)
    assert (reply.text, reply.thinking, reply.cached, reply.changes) == (ANSWER, "hm", True, ())


def test_listed_tokens_begin_with_the_answer() -> None:
    words = ["<think>", "Winner", ":", " A", "</think>", "\n\n", "Winner", ":", " B"]
    with OpenAIServer(lambda call: Say("".join(words), top=[{word: -0.5} for word in words])) as server:
        (reply,) = ask_many(endpoint(server), [request(n_logprobs=5)])
    assert isinstance(reply, Reply)
    token = reply.read_after("Winner:")
    assert isinstance(token, NextToken)
    assert token.likeliest == " B"
