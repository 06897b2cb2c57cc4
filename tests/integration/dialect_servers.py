"""Imitations of the servers that people have: what each takes, refuses, ignores and answers, with the source of it.

All of them show one model that calls the brighter picture better, in the form that it is asked for; how it is told is
the server's. None of them tokenizes as vLLM does.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from openai_server import Call, Fault, OpenAIServer, Raw, Say

THOUGHT = "Let me look at both pictures. The light decides. "


def first_wins(call: Call) -> bool:
    """Whether the picture shown first is the brighter one."""
    first, second = (picture.convert("L").resize((1, 1)).getpixel((0, 0)) for picture in call.pictures())
    return bool(first > second)  # type: ignore[operator]


def answer_to(call: Call) -> str:
    """What the model answers, in the form that it is asked for."""
    if not any(part["type"] == "image_url" for part in call.parts):
        return "Hello! How can I help you?"
    better, sign = ("A", "+") if first_wins(call) else ("B", "-")
    verdict = f"Winner: {better}\nDifference: {sign}2.0"
    if "<rationale>" not in call.text:
        return verdict
    return f"<rationale>\nBrighter. Decisive: light, better in {better}.\n</rationale>\n{verdict}"


def places(text: str, n_top: int) -> list[dict[str, float]]:
    """The likeliest tokens of an answer in the fast form, as servers list them; of others one token for each word."""
    if not text.startswith("Winner: "):
        return [{word: 0.0} for word in text.split(" ")]
    better = text.removeprefix("Winner: ")[0]
    worse = "B" if better == "A" else "A"
    likeliest = {f" {better}": -0.2, f" {worse}": -2.2, " tie": -4.0}
    rest = text.partition("\n")[2].split(" ")
    return [{"Winner": 0.0}, {":": 0.0}, dict(list(likeliest.items())[:n_top]), {"\n": 0.0}, *({w: 0.0} for w in rest)]


def limit_of(call: Call, *names: str) -> float:
    """The limit on tokens, by the first of its names that the server knows."""
    return next((call.body[name] for name in names if name in call.body), math.inf)


class Dialect(ABC):
    """One kind of server."""

    owner: ClassVar[str] = "someone"
    more: ClassVar[Mapping[str, Raw]] = {}
    """What other addresses answer, by path."""
    tokenize: ClassVar[Raw | Fault] = Fault(404)

    def __init__(self, n_thoughts: int = 0, n_top: int = 0) -> None:
        """
        Args:
            n_thoughts: tokens that its model thinks for, unless it is told not to.
            n_top: likeliest tokens that it lists; 0: none.
        """
        self.n_thoughts = n_thoughts
        self.n_top = n_top

    @abstractmethod
    def __call__(self, call: Call) -> Say | Fault:
        """The answer to one request."""

    def said(self, call: Call, text: str, *, limit: float, thinks: bool = True, **message: Any) -> Say:
        """A text, after thoughts, up to the limit; a token is a word."""
        n_thoughts = self.n_thoughts if thinks else 0
        n_text = len(text.split())
        cut = n_thoughts + n_text > limit
        shown = " ".join(text.split(" ")[: max(0, int(limit) - n_thoughts)]) if cut else text
        if n_thoughts >= limit:
            shown = ""
        top = places(text, self.n_top) if self.n_top and call.body.get("logprobs") and shown else None
        n_written = int(min(limit, n_thoughts + n_text)) if limit < math.inf else n_thoughts + n_text
        return Say(shown, top=top, usage=(900, n_written), finish_reason="length" if cut else "stop", message=message)


class Ollama(Dialect):
    """Knows ``max_tokens`` alone (docs.ollama.com/api/openai-compatibility); ignores unknown fields; thoughts are in
    ``reasoning`` (github.com/ollama/ollama/issues/15288) and end with ``reasoning_effort: none``."""

    owner = "library"
    more: ClassVar[Mapping[str, Raw]] = {"/api/version": Raw(b'{"version": "0.13.1"}')}

    def __call__(self, call: Call) -> Say | Fault:
        thinks = call.body.get("reasoning_effort") != "none"
        thought = {"reasoning": THOUGHT} if self.n_thoughts and thinks else {}
        text = answer_to(call)
        if "response_format" in call.body and call.parts[0]["type"] != "image_url":
            text = '{"q7": "zebra"}'
        return self.said(call, text, limit=limit_of(call, "max_tokens"), thinks=thinks, **thought)


class LmStudio(Dialect):
    """Answers unknown addresses with 200 and an error (github.com/lmstudio-ai/lmstudio-bug-tracker); lists no tokens in
    chats; ``response_format`` takes ``json_schema`` or ``text`` (lmstudio.ai/docs/developer/openai-compat)."""

    owner = "organization_owner"
    tokenize = Raw(b'{"error": "Unexpected endpoint or method. (POST /tokenize)"}')

    def __call__(self, call: Call) -> Say | Fault:
        return self.said(call, answer_to(call), limit=limit_of(call, "max_completion_tokens", "max_tokens"))


class LlamaCpp(Dialect):
    """Reads another field than ``prompt`` in ``/tokenize``, and finds it empty; leaves thoughts in
    ``reasoning_content`` and ends them with ``enable_thinking: false`` (tools/server/README.md)."""

    owner = "llamacpp"
    tokenize = Raw(b'{"tokens": []}')
    more: ClassVar[Mapping[str, Raw]] = {"/props": Raw(b'{"build_info": "b7000-0123abc"}')}

    def __call__(self, call: Call) -> Say | Fault:
        thinks = call.body.get("chat_template_kwargs", {}).get("enable_thinking", True)
        thought = {"reasoning_content": THOUGHT} if self.n_thoughts and thinks else {}
        limit = limit_of(call, "max_completion_tokens", "max_tokens")
        return self.said(call, answer_to(call), limit=limit, thinks=thinks, **thought)


class SgLang(LlamaCpp):
    """Leaves thoughts in the text where it was started without a reasoning parser; no ``/tokenize`` of vLLM's form."""

    owner = "sglang"
    tokenize = Fault(404)
    more: ClassVar[Mapping[str, Raw]] = {"/server_info": Raw(b'{"version": "0.5.6"}')}

    def __call__(self, call: Call) -> Say | Fault:
        thinks = bool(self.n_thoughts) and call.body.get("chat_template_kwargs", {}).get("enable_thinking", True)
        found = self.said(call, answer_to(call), limit=limit_of(call, "max_completion_tokens"), thinks=thinks)
        if not thinks:
            return found
        if not found.text:
            return Say(f"<think>\n{THOUGHT}", usage=found.usage, finish_reason="length")
        tokens = [{"<think>": 0.0}, *({f"{word} ": 0.0} for word in THOUGHT.split()), {"</think>": 0.0}, {"\n\n": 0.0}]
        top = None if found.top is None else [*tokens, *found.top]
        return Say(f"<think>\n{THOUGHT}</think>\n\n{found.text}", top=top, usage=found.usage)


class OpenAiReasoning(Dialect):
    """Takes its own temperature, no log-probabilities, no ``max_tokens``, no unknown field; hides its thoughts and
    answers nothing where they use up the limit (platform.openai.com/docs/guides/reasoning)."""

    owner = "system"
    efforts = ("minimal", "low", "medium", "high")

    def __call__(self, call: Call) -> Say | Fault:
        for name in ("logprobs", "top_logprobs", "max_tokens", "top_p"):
            if name in call.body:
                return self._unsupported("parameter", name, f"'{name}' is not supported with this model.")
        if call.body.get("temperature", 1) != 1:
            words = "'temperature' does not support 0.0 with this model. Only the default (1) value is supported."
            return self._unsupported("value", "temperature", words)
        effort = call.body.get("reasoning_effort", "medium")
        if effort not in self.efforts:
            named = ", ".join(f"'{one}'" for one in self.efforts)
            # https://github.com/Kilo-Org/cloud/pull/3807
            words = f"'reasoning_effort' does not support '{effort}' with this model. Supported values are: {named}."
            return self._unsupported("value", "reasoning_effort", words)
        for name in call.body:
            if name in ("chat_template_kwargs", "grammar", "structured_outputs"):
                return Fault(400, message=f"Unrecognized request argument supplied: {name}")
        thinks = effort != "minimal"
        return self.said(call, answer_to(call), limit=limit_of(call, "max_completion_tokens"), thinks=thinks)

    @staticmethod
    def _unsupported(what: str, name: str, words: str) -> Fault:
        message = f"Unsupported {what}: {words}"
        error = {"message": message, "type": "invalid_request_error", "param": name, "code": f"unsupported_{what}"}
        return Fault(400, body={"error": error})


class OpenRouter(Dialect):
    """Thoughts in ``reasoning``; routes to whoever has the model, and leaves out what that one does not take
    (openrouter.ai/docs/api-reference/parameters)."""

    def __call__(self, call: Call) -> Say | Fault:
        thinks = call.body.get("reasoning_effort") != "none"
        thought = {"reasoning": THOUGHT} if self.n_thoughts and thinks else {}
        limit = limit_of(call, "max_completion_tokens", "max_tokens")
        return self.said(call, answer_to(call), limit=limit, thinks=thinks, **thought)


class Gemini(Dialect):
    """Refuses unknown names, in a list (github.com/zed-industries/zed/issues/49738, and others); leaves ``content`` out
    where thoughts used up the limit; ``reasoning_effort: none`` ends them (ai.google.dev/gemini-api/docs/openai)."""

    owner = "google"

    def __call__(self, call: Call) -> Say | Fault:
        for name in ("seed", "logprobs", "top_logprobs", "chat_template_kwargs", "grammar", "structured_outputs"):
            if name in call.body:
                words = f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.'
                return Fault(400, body=[{"error": {"code": 400, "message": words, "status": "INVALID_ARGUMENT"}}])
        thinks = call.body.get("reasoning_effort") != "none"
        found = self.said(call, answer_to(call), limit=limit_of(call, "max_completion_tokens"), thinks=thinks)
        return found if found.text else Say(None, usage=(900, 0), finish_reason="length")


class Anthropic(Dialect):
    """Ignores ``seed``, log-probabilities, ``response_format`` and ``reasoning_effort``
    (platform.claude.com, "OpenAI SDK compatibility")."""

    owner = "anthropic"

    def __call__(self, call: Call) -> Say | Fault:
        return self.said(call, answer_to(call), limit=limit_of(call, "max_completion_tokens", "max_tokens"))


DIALECTS: dict[str, Dialect] = {
    "ollama": Ollama(),
    "ollama, listing": Ollama(n_top=3),
    "ollama, thinking": Ollama(n_thoughts=300, n_top=3),
    "lm studio": LmStudio(),
    "llama.cpp": LlamaCpp(n_top=3),
    "llama.cpp, thinking": LlamaCpp(n_thoughts=300, n_top=3),
    "sglang": SgLang(n_top=3),
    "sglang, thinking": SgLang(n_thoughts=300, n_top=3),
    "openai, reasoning": OpenAiReasoning(n_thoughts=300),
    "openrouter": OpenRouter(n_top=3),
    "openrouter, thinking": OpenRouter(n_thoughts=300),
    "gemini": Gemini(),
    "gemini, thinking": Gemini(n_thoughts=300),
    "anthropic": Anthropic(),
}


class DialectServer(OpenAIServer):
    """A server of one kind."""

    def __init__(self, dialect: Dialect) -> None:
        super().__init__(dialect)
        self.dialect = dialect
        self.models = Raw(json.dumps({"data": [{"id": "judge", "owned_by": dialect.owner}]}).encode())
        self.more = dict(dialect.more)

    def __enter__(self) -> DialectServer:
        super().__enter__()
        return self

    def _answer(self, path: str, headers: Any, data: bytes) -> Any:
        return self.dialect.tokenize if path == "/tokenize" else super()._answer(path, headers, data)
