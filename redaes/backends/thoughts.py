"""Reasoning models: detect whether a model thinks before it answers, switch its thoughts off, or leave room for them.

A question with a limit of a few tokens, such as a verdict, leaves no room for thoughts. If an answer ends within them,
the ways of :data:`WAYS` are tried in turn with that question; the first that gives an answer is used from then on.

===================  ==============================================================================================
way                  taken by
===================  ==============================================================================================
``enable_thinking``  vLLM, SGLang and llama.cpp, where the model's chat template knows the switch (Qwen3, GLM)
``none``             ``reasoning_effort``: Ollama, OpenRouter, Gemini 2.5 Flash, OpenAI from GPT-5.1 on
``minimal``          ``reasoning_effort``: OpenAI's GPT-5
``low``              ``reasoning_effort``: OpenAI's o-series, Gemini 2.5 Pro, gpt-oss; it thinks, so it has room too
``room``             all: the thoughts are waited for
===================  ==============================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from redaes.backends.chat_replies import Reply
from redaes.backends.failures import Failure

THINKING_ROOM = 4096
"""Tokens that thoughts may take beside the answer [ours]."""

WayName = Literal["enable_thinking", "none", "minimal", "low", "room"]

_NO_ROOM = re.compile(r"max_tokens or model output limit was reached|max_completion_tokens must be at least", re.I)
"""Messages with which OpenAI's o-series refuses a limit that is too small for its thoughts."""


@dataclass(frozen=True)
class Way:
    """One way of asking a reasoning model."""

    name: WayName
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the request."""
    room: int = 0
    """Additional tokens for thoughts."""

    def done(self, changes: Sequence[str]) -> tuple[str, ...]:
        """Return what it did to a request, for the record, beside what of the request the server could not use.

        >>> WAYS["low"].done(()), WAYS["low"].done(("without reasoning_effort",))
        (('reasoning_effort=low, 4096 tokens for thoughts',), ('4096 tokens for thoughts',))

        Args:
            changes: what it could not use.
        """
        said = []
        for name, value in self.fields.items():
            if f"without {name}" not in changes:
                given = value if isinstance(value, Mapping) else {name: value}
                said += [f"{key}={str(one).lower()}" for key, one in given.items()]
        if self.room:
            said.append(f"{self.room} tokens for thoughts")
        return (", ".join(said),) if said else ()


WAYS: dict[WayName, Way] = {
    way.name: way
    for way in (
        Way("enable_thinking", {"chat_template_kwargs": {"enable_thinking": False}}),
        Way("none", {"reasoning_effort": "none"}),
        Way("minimal", {"reasoning_effort": "minimal"}),
        Way("low", {"reasoning_effort": "low"}, THINKING_ROOM),
        Way("room", room=THINKING_ROOM),
    )
}
"""All ways, in the order in which they are tried."""


def lost_in_thoughts(reply: Reply | Failure) -> bool:
    """Return whether the limit on tokens was reached before the answer began."""
    if isinstance(reply, Failure):
        return reply.reason == "http_400" and _NO_ROOM.search(reply.detail) is not None
    return reply.cut_off and not reply.text.strip()
