"""Model servers of this machine, imitated on the loopback: what each lists, as its documentation has it."""

from __future__ import annotations

import json
import shlex
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from typer.testing import CliRunner

from redaes import doctor, local_servers
from redaes.cli.app import app
from redaes.local_servers import OfferedName, RunningServer, find_servers

Answers = Mapping[str, Any]
"""Path, or ``POST path name``, to what is answered: JSON, or a status with a text."""


class Imitation(ThreadingHTTPServer):
    """A server that answers what it was given, and remembers what it was asked with which headers."""

    daemon_threads = True

    def __init__(self, answers: Answers) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = answers
        self.asked: list[tuple[str, dict[str, str]]] = []


class _Handler(BaseHTTPRequestHandler):
    server: Imitation

    def do_GET(self) -> None:
        self._answer(self.path)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(f"POST {self.path} {body['model']}")

    def _answer(self, question: str) -> None:
        self.server.asked.append((question, {name.lower(): value for name, value in self.headers.items()}))
        found = self.server.answers.get(question, (404, "not found"))
        if callable(found):
            found(self)
            return
        status, text = found if isinstance(found, tuple) else (200, json.dumps(found))
        self.send_response(status)
        if status == 302:
            self.send_header("Location", text)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def running() -> Iterator[Callable[[Answers], Imitation]]:
    servers = []

    def start(answers: Answers) -> Imitation:
        servers.append(Imitation(answers))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def listed(*names: str, owner: str | None = None, **more: Any) -> dict[str, Any]:
    return {"object": "list", "data": [{"id": name, "object": "model", "owned_by": owner, **more} for name in names]}


def only(server: Imitation, expected: str) -> RunningServer | None:
    found = find_servers({server.server_port: expected})
    return found[0] if found else None


OLLAMA = {
    "/v1/models": listed("qwen3-vl:2b", "llama3.2:1b", owner="library"),
    "/api/tags": {"models": [{"name": "qwen3-vl:2b", "model": "qwen3-vl:2b"}, {"name": "llama3.2:1b"}]},
    "POST /api/show qwen3-vl:2b": {"capabilities": ["completion", "vision", "tools"]},
    "POST /api/show llama3.2:1b": {"capabilities": ["completion"]},
}
OLLAMA_2026 = {
    "/v1/models": listed("gemma3", "nomic"),
    "/api/tags": {"models": [{"name": "gemma3", "capabilities": ["completion", "vision"]},
                             {"name": "nomic", "capabilities": ["embedding"]}]},
}  # fmt: skip
LM_STUDIO = {
    "/v1/models": listed("qwen2-vl-7b-instruct", owner="organization_owner"),
    "/api/v1/models": {"models": [
        {"type": "llm", "key": "qwen/qwen3-vl-4b", "capabilities": {"vision": True, "trained_for_tool_use": True}},
        {"type": "llm", "key": "llama", "capabilities": {"vision": False}}, {"type": "embedding", "key": "nomic"}]},
}  # fmt: skip
LM_STUDIO_0 = {
    "/v1/models": listed("qwen2-vl-7b-instruct"),
    "/api/v0/models": {"data": [{"id": "qwen2-vl-7b-instruct", "type": "vlm"}, {"id": "llama", "type": "llm"},
                                {"id": "nomic", "type": "embeddings"}]},
}  # fmt: skip
LLAMA_CPP = {"/v1/models": listed("m.gguf", owner="llamacpp", architecture={"input_modalities": ["text", "image"]})}
LLAMA_CPP_OLD = {
    "/v1/models": listed("../models/gemma 3.gguf", owner="llamacpp"),
    "/props": {"modalities": {"vision": True, "audio": False}},
}
LLAMA_CPP_BLIND = {"/v1/models": listed("m", owner="llamacpp"), "/props": {"modalities": {"vision": False}}}


@pytest.mark.parametrize(
    ("answers", "expected", "kind", "models"),
    [
        (OLLAMA, "Ollama", "Ollama", {"qwen3-vl:2b": True, "llama3.2:1b": False}),
        (OLLAMA_2026, "Ollama", "Ollama", {"gemma3": True, "nomic": False}),
        (OLLAMA, "llama.cpp", "Ollama", {"qwen3-vl:2b": True, "llama3.2:1b": False}),
        (LM_STUDIO, "LM Studio", "LM Studio", {"qwen/qwen3-vl-4b": True, "llama": False}),
        (LM_STUDIO_0, "LM Studio", "LM Studio", {"qwen2-vl-7b-instruct": True, "llama": False}),
        (LLAMA_CPP, "llama.cpp", "llama.cpp", {"m.gguf": True}),
        (LLAMA_CPP_OLD, "llama.cpp", "llama.cpp", {"../models/gemma 3.gguf": True}),
        (LLAMA_CPP_BLIND, "llama.cpp", "llama.cpp", {"m": False}),
        ({"/v1/models": listed("Q/Qwen3-VL", owner="vllm")}, "llama.cpp", "vLLM", {"Q/Qwen3-VL": None}),
        # transformers serve: the owner is whose the model is on the hub.
        ({"/v1/models": listed("Qwen/Q", owner="Qwen")}, "vLLM or transformers serve", "a server", {"Qwen/Q": None}),
        ({"/v1/models": listed("m", owner="me")}, "Ollama", "a server", {"m": None}),
        ({"/v1/models": listed("m", owner="me")}, "LM Studio", "a server", {"m": None}),
        ({"/v1/models": {"data": []}}, "vLLM or transformers serve", "a server", {}),
        ({"/v1/models": {"data": ["x", {"id": 3}, {"id": ""}, {"id": "m"}]}}, "vLLM", "a server", {"m": None}),
        ({**OLLAMA, "POST /api/show llama3.2:1b": (500, "")}, "Ollama", "Ollama",
         {"qwen3-vl:2b": True, "llama3.2:1b": None}),
    ],
)  # fmt: skip
def test_what_each_server_lists(
    running: Callable[[Answers], Imitation], answers: Answers, expected: str, kind: str, models: dict[str, bool | None]
) -> None:
    server = running(answers)
    assert only(server, expected) == RunningServer(
        kind, f"http://127.0.0.1:{server.server_port}/v1", tuple(OfferedName(*one) for one in models.items())
    )


@pytest.mark.parametrize(
    "answers",
    [
        {},
        {"/v1/models": (200, "<html>a page</html>")},
        {"/v1/models": ["m"]},
        {"/v1/models": {"data": "m"}},
        {"/v1/models": (302, "http://example.org/v1/models")},
        {"/v1/models": (200, "[" * 100_000)},
        {"/v1/models": (200, "0" * 5_000_000)},
    ],
    ids=["no such page", "html", "list", "text", "elsewhere", "deep", "long"],
)
def test_what_offers_no_models_is_no_model_server(running: Callable[[Answers], Imitation], answers: Answers) -> None:
    assert only(running(answers), "llama.cpp") is None


@pytest.mark.parametrize(("status", "words"), [(401, "requires a key"), (403, "requires a key"), (503, "not ready")])
def test_a_server_that_does_not_tell_is_named_with_its_reason(
    running: Callable[[Answers], Imitation], status: int, words: str
) -> None:
    found = only(running({"/v1/models": (status, "")}), "vLLM")
    assert found is not None
    assert found.kind == "a server (usually vLLM)"
    assert words in (found.problem or "")


@pytest.mark.parametrize(
    ("endpoint", "asked"),
    [
        ("http://localhost:8399/v1", 8399),
        ("http://127.0.0.1:11434", 11434),
        ("https://models.example.org:8399/v1", None),
        ("http://localhost:none", None),
    ],
)
def test_the_server_of_the_environment_is_looked_for(
    endpoint: str, asked: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDAES_ENDPOINT", endpoint)
    ports = local_servers.ports_to_ask()
    assert set(ports) == {*local_servers.PORTS, *([] if asked is None else [asked])}
    assert ports[11434] == "Ollama"


def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert find_servers({port: "Ollama"}) == ()


def test_what_does_not_speak_http_is_no_model_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            taken, _ = server.accept()
            taken.sendall(b"SSH-2.0-OpenSSH\r\n")
            taken.close()

        threading.Thread(target=answer, daemon=True).start()
        assert find_servers({server.getsockname()[1]: "Ollama"}) == ()


def test_one_that_never_ends_does_not_hold_up_the_others(
    running: Callable[[Answers], Imitation], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_servers, "TIMEOUT_S", 0.3)
    monkeypatch.setattr(local_servers, "DEADLINE_S", 0.6)
    over = threading.Event()

    def trickle(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not over.wait(0.05):
            handler.wfile.write(b" ")

    slow, good = running({"/v1/models": trickle}), running(LLAMA_CPP)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and says nothing
        ports = {slow.server_port: "vLLM", silent.getsockname()[1]: "Ollama", good.server_port: "llama.cpp"}
        found = find_servers(ports)
    over.set()
    assert [(one.kind, one.problem is None) for one in found] == [
        ("a server (usually vLLM)", False), ("a server (usually Ollama)", False), ("llama.cpp", True),
    ]  # fmt: skip


def test_they_are_asked_at_once(running: Callable[[Answers], Imitation]) -> None:
    together = threading.Barrier(3, timeout=30)

    def wait(handler: BaseHTTPRequestHandler) -> None:
        together.wait()  # passes when all three have been asked
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(json.dumps(listed("m")).encode())

    servers = [running({"/v1/models": wait}) for _ in range(3)]
    assert len(find_servers({server.server_port: "vLLM" for server in servers})) == 3
    assert not together.broken


def test_no_key_no_proxy_and_no_more_than_needed(
    running: Callable[[Answers], Imitation], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = running({})
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.server_port}")
    for name in ("REDAES_API_KEY", "OPENAI_API_KEY", "OLLAMA_API_KEY"):
        monkeypatch.setenv(name, "secret")
    server = running(OLLAMA)
    assert only(server, "Ollama") is not None
    assert proxy.asked == []
    assert [question for question, _ in server.asked] == [
        "/v1/models", "/api/tags", "POST /api/show qwen3-vl:2b", "POST /api/show llama3.2:1b",
    ]  # fmt: skip
    for _, headers in server.asked:
        assert "authorization" not in headers
        assert "secret" not in str(headers)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """What the doctor says where these servers run."""

    def run(servers: tuple[RunningServer, ...], *options: str) -> Any:
        monkeypatch.setattr(doctor, "find_servers", lambda _ports: servers)
        return CliRunner().invoke(app, ["doctor", *options])

    return run


def test_the_doctor_prints_the_exact_line(running: Callable[[Answers], Imitation], shown: Callable[..., Any]) -> None:
    servers = find_servers({running(OLLAMA).server_port: "Ollama", running(LLAMA_CPP_OLD).server_port: "llama.cpp"})
    said = shown(servers).stdout
    assert f"Ollama answers at {servers[0].url}\n" in said
    assert f"  redaes compare a.jpg b.jpg --endpoint {servers[0].url} --model qwen3-vl:2b\n" in said
    assert "  These models accept no pictures: llama3.2:1b\n" in said
    line = next(line for line in said.splitlines() if servers[1].url in line and "compare" in line)
    assert shlex.split(line)[-1] == "../models/gemma 3.gguf"
    report = json.loads(shown(servers, "--json").stdout)
    first, second = report["servers"][0]["models"]
    assert first["command"].endswith("--model qwen3-vl:2b")
    assert second["command"] is None


def test_the_doctor_says_what_it_does_not_know(shown: Callable[..., Any]) -> None:
    url = "http://127.0.0.1:8000/v1"
    said = shown((RunningServer("vLLM", url, (OfferedName("m\x1b[31m", None),)),)).stdout
    assert "# works only if the model accepts pictures, which the server does not report" in said
    assert "\x1b" not in said
    said = shown((RunningServer("a server (usually vLLM)", url, problem="The server did not answer in time."),)).stdout
    assert f"a server (usually vLLM) at {url}\n  The server did not answer in time.\n" in said
    assert "No model server answers on this machine" in shown(()).stdout
