"""Where servers put an answer, and what was thought before it."""

from __future__ import annotations

import pytest

from redaes.backends.contents import Content, Part, Said, said
from redaes.backends.failures import Failure
from redaes.thinking import split_thinking


@pytest.mark.parametrize(
    ("text", "thinking", "answer"),
    [
        ("Winner: B", "", "Winner: B"),
        ("  Winner: B\n", "", "  Winner: B\n"),
        ("<think>\nhm\n</think>\n\nWinner: B", "hm", "Winner: B"),
        ("\n<think></think>Winner: B", "", "Winner: B"),
        ("<think>a</think>\n<think>b</think>\nWinner: B", "a\nb", "Winner: B"),
        ("hm\n</think>\n\nWinner: B", "hm", "Winner: B"),  # the template wrote the opening tag
        # A tag that is no beginning is the answer's own.
        ("Winner: B <think>hm</think>", "", "Winner: B <think>hm</think>"),
        ("a</think>b</think>Winner: B", "", "a</think>b</think>Winner: B"),
    ],
)
def test_thoughts_are_told_apart(text: str, thinking: str, answer: str) -> None:
    assert split_thinking(text) == (thinking, answer, True)


def test_a_thought_without_end_is_no_answer() -> None:
    assert split_thinking("<think>\nWinner: A") == ("Winner: A", "", False)
    assert split_thinking("<think>a</think><think>b") == ("a\nb", "", False)


THOUGHT = Part(type="thinking", thinking=(Part(text="h"), Part(text="m")))


@pytest.mark.parametrize(
    ("content", "reasoning", "expected"),
    [
        ("Winner: B", "", Said("Winner: B", "", False, 0)),
        ("Winner: B", "hm", Said("Winner: B", "hm", False, 0)),
        # Mistral's reasoning models. https://github.com/simonw/llm-mistral/pull/39
        ((THOUGHT, Part(text="Winner: "), Part(text="B")), "", Said("Winner: B", "hm", False, 0)),
        # vLLM, thinking switched off. https://github.com/vllm-project/vllm/issues/17349
        (None, "Winner: B", Said("Winner: B", "", True, 0)),
        ("", "Winner: B", Said("Winner: B", "", True, 0)),
        ("", "", Said("", "", False, 0)),
    ],
)
def test_where_the_answer_is(content: Content, reasoning: str, expected: Said) -> None:
    assert said(content, reasoning, cut_off=False, tokens=["Winner", ":", " B"]) == expected


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "no_content"), ("<think>\nhm", "unclosed_thinking"), ((Part(type="image_url"),), "unknown_part")],
)
def test_no_answer_is_a_reason(content: Content, reason: str) -> None:
    found = said(content, "", cut_off=False, tokens=[])
    assert isinstance(found, Failure)
    assert found.reason == reason


@pytest.mark.parametrize(("content", "reasoning"), [("<think>\nhm", ""), (None, "hm"), ("", "hm")])
def test_cut_off_within_the_thoughts_there_is_no_answer(content: Content, reasoning: str) -> None:
    found = said(content, reasoning, cut_off=True, tokens=[])
    assert isinstance(found, Said)
    assert (found.text, found.thinking.strip()) == ("", "hm")


def test_tokens_of_thoughts_are_not_the_answers() -> None:
    tokens = ["<think>", "Winner", ":", " A", "</think>", "\n\n", "Winner", ":", " B"]
    found = said("".join(tokens), "", cut_off=False, tokens=tokens)
    assert isinstance(found, Said)
    assert found.first_token == 5
    # A server that took the thoughts out of the text reports their tokens all the same.
    assert said("Winner: B", "Winner: A", cut_off=False, tokens=tokens[1:]) == Said("Winner: B", "Winner: A", False, 4)
    # What cannot be told is not guessed.
    assert said("Winner: B", "hm", cut_off=False, tokens=["h", "m", "Winner"]) == Said("Winner: B", "hm", False, None)
