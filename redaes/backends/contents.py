"""Find the text of an answer wherever a server puts it: in a string, in parts, after thoughts, or in the field for
thoughts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from redaes.backends.failures import Failure
from redaes.thinking import CLOSING, split_thinking


class Part(BaseModel):
    """One part of an answer whose content is a list."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=False)

    type: str = "text"
    text: str | None = None
    thinking: str | tuple[Part, ...] | None = None


_SPECIAL = re.compile(r"<\|[^<>]*\|>")
"""A token of a chat template, such as ``<|return|>``."""

Content = str | tuple[Part, ...] | None
"""``content`` of a message: text, parts (Mistral's reasoning models), or nothing."""


@dataclass(frozen=True)
class Said:
    """What a message says."""

    text: str
    """The answer; empty if the limit on tokens was reached within the thoughts."""
    thinking: str
    from_thinking: bool
    """Whether the server put the answer into the field for thoughts."""
    first_token: int | None
    """Index of the answer's first token among those reported; None: not known."""


def said(content: Content, reasoning: str, *, cut_off: bool, tokens: Sequence[str]) -> Said | Failure:
    """Return the answer and the thoughts of a message.

    Args:
        content: content of the message.
        reasoning: its ``reasoning_content`` or ``reasoning``; empty: none.
        cut_off: whether the answer ended at the limit on tokens.
        tokens: those whose log-probabilities the server reports, thoughts included.

    Returns:
        A failure where there is no answer: ``no_content``, ``unknown_part``, ``unclosed_thinking``.
    """
    if isinstance(content, tuple):
        unknown = [part.type for part in content if part.type not in ("text", "output_text", "thinking", "reasoning")]
        if unknown:
            return Failure("unknown_part", f"the answer has a part of type {unknown[0]!r}")
        reasoning = "".join([reasoning, *(_thought(part) for part in content)])
        content = "".join(part.text or "" for part in content if part.type in ("text", "output_text"))
    if content is None and not reasoning:
        # Gemini's layer sends no text if hidden thoughts have used up the limit.
        return Said("", "", False, None) if cut_off else Failure("no_content", "the answer has no text")
    text, from_thinking = content or "", False
    if not text.strip() and reasoning:
        if cut_off:
            return Said("", reasoning, False, None)
        # Some servers put every answer of a model into the field for thoughts (vLLM, if thinking was switched off).
        text, reasoning, from_thinking = reasoning, "", True
    split = split_thinking(text)
    if not split.closed and not cut_off:
        return Failure(
            "unclosed_thinking", "the answer ends within <think>; raise max_new_tokens, or use another model"
        )
    thinking = "\n".join(part for part in (reasoning, split.thinking) if part)
    return Said(split.answer, thinking, from_thinking, _first_token(tokens, bool(thinking), split.answer))


def _thought(part: Part) -> str:
    if part.type not in ("thinking", "reasoning"):
        return ""
    if isinstance(part.thinking, tuple):
        return "".join(inner.text or "" for inner in part.thinking)
    return part.thinking or part.text or ""


def _first_token(tokens: Sequence[str], thought: bool, answer: str) -> int | None:
    """Return where the answer begins among the tokens of the whole."""
    if not thought:
        return 0
    whole = "".join(tokens)
    if CLOSING not in whole:  # the server left the thoughts out here as well, or they end with another mark
        return 0 if whole.strip().startswith(answer.strip()) else _last(tokens, answer.strip())
    text = ""
    for index, token in enumerate(tokens):
        text += token
        if CLOSING in text:
            return index + 1
    return None


def _last(tokens: Sequence[str], answer: str) -> int | None:
    """Return the index of the token at which an answer begins that the tokens end with, apart from special tokens:
    gpt-oss writes its thoughts into a channel of their own. None: the answer does not begin at a token."""
    whole = "".join(tokens)
    begin = whole.rfind(answer) if answer else -1
    if begin < 0 or _SPECIAL.sub("", whole[begin + len(answer) :]).strip():
        return None
    place = 0
    for index, token in enumerate(tokens):
        if place == begin or (place < begin and not whole[place:begin].strip()):
            return index
        place += len(token)
    return None
