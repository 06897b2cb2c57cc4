"""Separate what a model thought before it answered from the answer.

Reasoning models write ``<think>…</think>`` before the answer. A server that knows the model removes it; others leave it
in the text, and where the chat template has written the opening tag, only the closing tag arrives.
"""

from __future__ import annotations

from typing import NamedTuple

OPENING = "<think>"
CLOSING = "</think>"


class Split(NamedTuple):
    """A text split into thoughts and answer."""

    thinking: str
    """The thoughts; empty: there were none."""
    answer: str
    closed: bool
    """Whether the thoughts have ended; if not, ``answer`` is empty."""


def split_thinking(text: str) -> Split:
    """Return the thoughts at the beginning of a text, and the rest.

    Blocks are recognised at the very beginning only: a tag within the answer belongs to it and stays. A closing tag
    without an opening tag counts if it is the only tag.

    >>> split_thinking("<think>\\nA is darker.\\n</think>\\n\\nWinner: B")
    Split(thinking='A is darker.', answer='Winner: B', closed=True)
    >>> split_thinking("A is darker.\\n</think>\\n\\nWinner: B").answer
    'Winner: B'
    >>> split_thinking("<think>\\nA is dar").closed
    False
    """
    thoughts = []
    rest = text
    if OPENING not in text and text.count(CLOSING) == 1:
        thought, _, rest = text.partition(CLOSING)
        thoughts.append(thought.strip())
        return Split(thoughts[0], rest.lstrip(), True)
    while rest.lstrip().startswith(OPENING):
        thought, end, rest = rest.lstrip().removeprefix(OPENING).partition(CLOSING)
        thoughts.append(thought.strip())
        if not end:
            return Split("\n".join(thoughts), "", False)
    if not thoughts:
        return Split("", text, True)
    return Split("\n".join(thoughts), rest.lstrip(), True)
