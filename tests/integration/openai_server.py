"""A real HTTP server on this machine that speaks the OpenAI chat protocol and does what a script says.

    with OpenAIServer(lambda call: Say("Winner: A\\nDifference: +1.0")) as server:
        Endpoint(server.base_url, "judge")

The script is called with each :class:`Call`, in a thread of its own, and returns one of :class:`Say`,
:class:`Fault`, :class:`Raw` and :class:`Drop`. Standard library only: the point is what goes over the wire.
Beside the chat it has, like vLLM, ``/health``, ``/v1/models`` and a ``/tokenize`` whose tokens are :func:`tokens`.
"""

from __future__ import annotations

import base64
import io
import json
import re
import socket
import threading
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from PIL import Image


@dataclass(frozen=True)
class Call:
    """One request as it arrived."""

    index: int
    """From 0, over all requests."""
    attempt: int
    """From 0, over requests with this very body."""
    headers: Mapping[str, str]
    """Names in lower case."""
    body: Mapping[str, Any]
    arrived_s: float
    """``time.monotonic()``."""

    @property
    def parts(self) -> list[dict[str, Any]]:
        """The content parts of the last message."""
        content = self.body["messages"][-1]["content"]
        return [{"type": "text", "text": content}] if isinstance(content, str) else content

    @property
    def text(self) -> str:
        """The text parts of the last message, joined."""
        return "".join(part["text"] for part in self.parts if part["type"] == "text")

    def pictures(self) -> list[Image.Image]:
        """The pictures of the last message, decoded."""
        urls = [part["image_url"]["url"] for part in self.parts if part["type"] == "image_url"]
        return [Image.open(io.BytesIO(base64.b64decode(url.split(",", 1)[1]))) for url in urls]


@dataclass(frozen=True)
class Say:
    """A complete answer."""

    text: str | None
    top: Sequence[Mapping[str, float]] | None = None
    """Per token, the log-probabilities of the likeliest; the first of each is the token that was taken."""
    usage: tuple[int, int] | None = (100, 10)
    finish_reason: str = "stop"
    refusal: str | None = None
    after_s: float = 0.0
    message: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the message, and its content where it is no string."""


@dataclass(frozen=True)
class Fault:
    """An HTTP status other than 200."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    message: str = "out of order"
    body: Any = None
    """The answer as JSON, where a server has a form of its own; None: OpenAI's, around the message."""


@dataclass(frozen=True)
class Raw:
    """Status 200 with these bytes."""

    data: bytes


@dataclass(frozen=True)
class Drop:
    """The connection is cut before a word of answer."""


def tokens(text: str) -> list[int]:
    """A tokenizer of words with the white space before them; a word's number is the same everywhere."""
    return [zlib.crc32(word.encode()) % 100_000 for word in re.findall(r"\s*\S+|\s+$", text)]


Script = Callable[[Call], "Say | Fault | Raw | Drop"]


class OpenAIServer:
    """The server; a context manager."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.chat_end = "<|im_start|>assistantĊ"
        """What its chat template ends a prompt with, spelt as vLLM spells tokens."""
        self.trims = False
        """Whether its chat template cuts white space around a message."""
        self.models: Raw | Fault = Raw(b'{"data": [{"id": "judge"}]}')
        """What it answers when asked for its models."""
        self.more: dict[str, Raw | Fault] = {}
        """What it answers when other addresses are read, by path."""
        self.calls: list[Call] = []
        """All requests so far."""
        self.most_at_once = 0
        self._now = 0
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def n_under_way(self) -> int:
        """Chats that are being answered."""
        return self._now

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> OpenAIServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, path: str, headers: Mapping[str, str], data: bytes) -> Say | Fault | Raw | Drop:
        if path == "/tokenize":
            asked = json.loads(data)
            if "messages" in asked:
                begun = asked["messages"][-1]["content"] if asked.get("continue_final_message") else ""
                spelt = (begun.strip() if self.trims else begun).replace(" ", "Ġ")
                return Raw(json.dumps({"tokens": [1, 2], "token_strs": [self.chat_end, spelt]}).encode())
            return Raw(json.dumps({"tokens": tokens(asked["prompt"])}).encode())
        if path != "/v1/chat/completions":
            return Fault(404, message=f"no {path}")
        body = json.loads(data)
        with self._lock:
            attempt = sum(call.body == body for call in self.calls)
            lower = {name.lower(): value for name, value in headers.items()}
            call = Call(len(self.calls), attempt, lower, body, time.monotonic())
            self.calls.append(call)
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        try:
            answer = self.script(call)
            if isinstance(answer, Say) and answer.after_s:
                time.sleep(answer.after_s)
            return answer
        finally:
            with self._lock:
                self._now -= 1

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                known = {"/health": Raw(b""), "/v1/models": owner.models, **owner.more}
                self._send(known[self.path] if self.path in known else Fault(404, message=f"no {self.path}"))

            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["Content-Length"]))
                self._send(owner._answer(self.path, dict(self.headers), data))

            def _send(self, answer: Say | Fault | Raw | Drop) -> None:
                if isinstance(answer, Drop):
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                status, headers, content = _rendered(answer)
                try:
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)
                except ConnectionError:  # whoever asked has stopped waiting
                    self.close_connection = True

            def log_message(self, format: str, *args: Any) -> None:
                """Silent: the requests are in ``calls``."""

        return Handler


def _rendered(answer: Say | Fault | Raw) -> tuple[int, Mapping[str, str], bytes]:
    if isinstance(answer, Raw):
        return 200, {"Content-Type": "application/json"}, answer.data
    if isinstance(answer, Fault):
        body = {"error": {"message": answer.message}} if answer.body is None else answer.body
        return answer.status, answer.headers, json.dumps(body).encode()
    message: dict[str, Any] = {"role": "assistant", "content": answer.text, **answer.message}
    if answer.refusal is not None:
        message["refusal"] = answer.refusal
    choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": answer.finish_reason, "logprobs": None}
    if answer.top is not None:
        choice["logprobs"] = {
            "content": [
                {
                    "token": next(iter(row)),
                    "logprob": next(iter(row.values())),
                    "bytes": None,
                    "top_logprobs": [{"token": token, "logprob": value, "bytes": None} for token, value in row.items()],
                }
                for row in answer.top
            ]
        }
    completion: dict[str, Any] = {
        "id": "chatcmpl-0",
        "object": "chat.completion",
        "model": "judge",
        "choices": [choice],
    }
    if answer.usage is not None:
        prompt, completion_tokens = answer.usage
        completion["usage"] = {
            "prompt_tokens": prompt,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt + completion_tokens,
        }
    return 200, {"Content-Type": "application/json"}, json.dumps(completion).encode()


def always_the_first(call: Call) -> Say:
    """The script of a model that prefers the first picture in both modes, whatever it is shown."""
    verdict = "Winner: A\nDifference: +1.0"
    reasons = "<rationale>\nA is sharper. decisive: focus; better in picture A\n</rationale>\n"
    return Say(reasons + verdict if "rationale" in call.text else verdict)
