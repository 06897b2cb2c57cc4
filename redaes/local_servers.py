"""Find model servers that run on this machine, by asking the usual ports which models they offer.

Only the loopback address is asked, all ports at once and with a short timeout. No proxy is used, no key or picture is
sent, and no redirection is followed.
"""

from __future__ import annotations

import http.client
import json
import os
import shlex
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

HOST = "127.0.0.1"
PORTS: Mapping[int, str] = {
    11434: "Ollama",
    1234: "LM Studio",
    8080: "llama.cpp",
    9931: "llama.cpp",  # the default of llama.cpp since 2026
    8000: "vLLM or transformers serve",
}
"""Ports to ask, and the program that listens there by default."""
ENDPOINT_VARIABLE = "REDAES_ENDPOINT"
"""Environment variable with the server that commands ask by default."""

TIMEOUT_S = 1.0
"""Timeout of one request. A busy server may be slower; it is then reported as not answering."""
DEADLINE_S = 4.0
"""Time limit for all requests to one server."""
MOST_BYTES = 4_000_000
MOST_ASKED = 40
"""Most models of an older Ollama that are asked about one by one."""

OWNERS = {"vllm": "vLLM", "sglang": "SGLang", "llamacpp": "llama.cpp", "library": "Ollama", "redaes": "redaes serve"}
"""Programs, by the name that they give as the owner of their models."""


@dataclass(frozen=True)
class OfferedName:
    """A model that a server offers."""

    name: str
    takes_pictures: bool | None
    """Whether the model takes pictures; None: the server does not say."""


@dataclass(frozen=True)
class RunningServer:
    """A server that answers on this machine."""

    kind: str
    """The program, as far as it identifies itself."""
    url: str
    """Base URL of its OpenAI protocol, for ``--endpoint``."""
    models: tuple[OfferedName, ...] = ()
    problem: str | None = None
    """Why its models are not known; None: they are known."""

    def command(self, model: OfferedName) -> str:
        """Return the command that compares two pictures with this model.

        >>> RunningServer("Ollama", "http://127.0.0.1:11434/v1").command(OfferedName("qwen3-vl:2b", True))
        'redaes compare a.jpg b.jpg --endpoint http://127.0.0.1:11434/v1 --model qwen3-vl:2b'
        """
        return f"redaes compare a.jpg b.jpg --endpoint {self.url} --model {shlex.quote(model.name)}"


class _Refused(Exception):
    """The server is there but refuses to list its models; the message says why."""


class _NoModelServer(Exception):
    """The program that listens there does not offer models."""


def ports_to_ask() -> dict[int, str]:
    """Return :data:`PORTS` and the port of :data:`ENDPOINT_VARIABLE`, if that is a server on this machine."""
    try:
        parts = urlsplit(os.environ.get(ENDPOINT_VARIABLE, "").strip())
        own = parts.port if parts.hostname in (HOST, "localhost") else None
    except ValueError:
        own = None  # not an address: the commands that use it report that
    return dict(PORTS) if own is None else {own: PORTS.get(own, ENDPOINT_VARIABLE), **PORTS}


def find_servers(ports: Mapping[int, str] = PORTS) -> tuple[RunningServer, ...]:
    """Return the servers that answer, in the order of the ports.

    Args:
        ports: ports to ask, and the program that is expected at each.
    """
    found: dict[int, RunningServer | None] = {}

    def look(port: int, expected: str) -> None:
        found[port] = _look(port, expected)

    # Daemon threads: a server that sends a byte now and then must not keep the command from ending.
    threads = [threading.Thread(target=look, args=item, daemon=True) for item in ports.items()]
    for thread in threads:
        thread.start()
    end = time.monotonic() + DEADLINE_S + TIMEOUT_S
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    late = {
        port: RunningServer(_usually(expected), _url(port), problem="The server did not answer in time.")
        for port, expected in ports.items()
        if port not in found
    }
    answers = {**found, **late}
    return tuple(server for port in ports if (server := answers[port]) is not None)


def _url(port: int) -> str:
    return f"http://{HOST}:{port}/v1"


def _look(port: int, expected: str) -> RunningServer | None:
    """Return the server at a port with its models; None: nothing listens there, or it offers no models."""
    ask = _Questions(port)
    try:
        listed = _entries(ask("/v1/models"), "data")
        owners = {str(entry.get("owned_by")) for entry in listed}
        says = next((name for owner, name in OWNERS.items() if owner in owners), None)
        kind, models = _models(ask, listed, says or expected)
    except (ConnectionRefusedError, _NoModelServer):
        return None
    except _Refused as error:
        return RunningServer(_usually(expected), _url(port), problem=str(error))
    except TimeoutError:
        return RunningServer(
            _usually(expected), _url(port), problem=f"The server did not answer within {TIMEOUT_S:g} s."
        )
    except (OSError, http.client.HTTPException):  # the connection was cut off, or the program does not speak HTTP
        return None
    return RunningServer(says or kind or "a server", _url(port), models)


def _usually(expected: str) -> str:
    return f"a server (usually {expected})"


def _models(ask: _Questions, listed: list[dict[str, Any]], expected: str) -> tuple[str | None, tuple[OfferedName, ...]]:
    """Return the program's name and its models, from its own interface if it has one, otherwise from OpenAI's."""
    own = _OWN.get(expected)
    if own is not None:
        try:
            return expected, own(ask)
        except _NoModelServer:
            pass
    if expected == "llama.cpp":
        return None, _llama_cpp_models(ask, listed)
    return None, _openai_models(listed)


class _Questions:
    """Send requests to one server until its time limit is reached."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._end = time.monotonic() + DEADLINE_S

    def __call__(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Return the server's answer, as JSON.

        Raises:
            OSError, http.client.HTTPException: the server cannot be reached, or does not answer in time.
            _Refused: the server wants a key, or cannot answer now.
            _NoModelServer: the server has no such page, or its answer is not JSON.
        """
        connection = http.client.HTTPConnection(HOST, self._port, timeout=TIMEOUT_S)
        try:
            headers = {"Accept": "application/json", "Connection": "close"}
            if body is None:
                connection.request("GET", path, headers=headers)
            else:
                headers["Content-Type"] = "application/json"
                connection.request("POST", path, json.dumps(body), headers)
            answer = connection.getresponse()
            text = self._read(answer)
        finally:
            connection.close()
        if answer.status in (401, 403):
            raise _Refused(
                "The server requires a key: put it into the environment variable REDAES_API_KEY, and give the server "
                "as --endpoint."
            )
        if answer.status == 503:
            raise _Refused("The server is not ready yet (status 503).")
        if answer.status != 200:
            raise _NoModelServer
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise _NoModelServer from error

    def _read(self, answer: http.client.HTTPResponse) -> bytes:
        parts: list[bytes] = []
        while part := answer.read1(65536):
            parts.append(part)
            if sum(map(len, parts)) > MOST_BYTES:
                raise _NoModelServer
            if time.monotonic() > self._end:
                raise TimeoutError
        return b"".join(parts)

    @property
    def time_is_up(self) -> bool:
        """Whether nothing more should be asked."""
        return time.monotonic() > self._end


def _entries(answer: Any, name: str) -> list[dict[str, Any]]:
    """Return the objects of a list in an answer.

    Raises:
        _NoModelServer: there is no such list.
    """
    entries = answer.get(name) if isinstance(answer, dict) else None
    if not isinstance(entries, list):
        raise _NoModelServer
    return [entry for entry in entries if isinstance(entry, dict)]


def _named(entries: list[dict[str, Any]], key: str) -> list[tuple[str, dict[str, Any]]]:
    return [(entry[key], entry) for entry in entries if isinstance(entry.get(key), str) and entry[key]]


def _openai_models(listed: list[dict[str, Any]]) -> tuple[OfferedName, ...]:
    """Return the models as OpenAI's protocol lists them: names alone."""
    return tuple(OfferedName(name, None) for name, _ in _named(listed, "id"))


def _ollama_models(ask: _Questions) -> tuple[OfferedName, ...]:
    """Return Ollama's models. Since 2026 ``/api/tags`` lists what models can do; an older Ollama is asked about each
    one (``/api/show``).
    """
    found = []
    for number, (name, entry) in enumerate(_named(_entries(ask("/api/tags"), "models"), "name")):
        can = entry.get("capabilities")
        if not isinstance(can, list) and number < MOST_ASKED and not ask.time_is_up:
            try:
                shown = ask("/api/show", {"model": name})
            except (_NoModelServer, _Refused, OSError, http.client.HTTPException):
                shown = None  # this model's abilities stay unknown
            can = shown.get("capabilities") if isinstance(shown, dict) else None
        found.append(OfferedName(name, "vision" in can if isinstance(can, list) else None))
    return tuple(found)


def _lm_studio_models(ask: _Questions) -> tuple[OfferedName, ...]:
    """Return LM Studio's models, from its own interface: version 1 since LM Studio 0.4, version 0 since 0.3.6."""
    try:
        entries = [one for one in _entries(ask("/api/v1/models"), "models") if one.get("type") != "embedding"]
        return tuple(OfferedName(name, _vision_of(entry.get("capabilities"))) for name, entry in _named(entries, "key"))
    except _NoModelServer:
        pass
    entries = [one for one in _entries(ask("/api/v0/models"), "data") if one.get("type") != "embeddings"]
    return tuple(OfferedName(name, entry.get("type") == "vlm") for name, entry in _named(entries, "id"))


def _vision_of(capabilities: Any) -> bool | None:
    return bool(capabilities["vision"]) if isinstance(capabilities, dict) and "vision" in capabilities else None


def _llama_cpp_models(ask: _Questions, listed: list[dict[str, Any]]) -> tuple[OfferedName, ...]:
    """Return its list says what models read since 2026; before, ``/props`` said it of the one that was loaded."""
    found = []
    for name, entry in _named(listed, "id"):
        architecture = entry.get("architecture")
        reads = architecture.get("input_modalities") if isinstance(architecture, dict) else None
        if isinstance(reads, list):
            found.append(OfferedName(name, "image" in reads))
        else:
            found.append(OfferedName(name, _props_vision(ask) if len(listed) == 1 else None))
    return tuple(found)


def _props_vision(ask: _Questions) -> bool | None:
    try:
        answer = ask("/props")
    except (_NoModelServer, _Refused, OSError, http.client.HTTPException):
        return None
    return _vision_of(answer.get("modalities")) if isinstance(answer, dict) else None


_OWN: Mapping[str, Callable[[_Questions], tuple[OfferedName, ...]]] = {
    "Ollama": _ollama_models,
    "LM Studio": _lm_studio_models,
}
