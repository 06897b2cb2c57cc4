"""What a server can do: asked once, known to the next command, and found out anew where what is known proves wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from openai_server import Call, Fault, OpenAIServer, Raw, Say

from redaes.backends.abilities import Structured
from redaes.backends.connecting import ConnectedModel, connect
from redaes.errors import EndpointError

KEY = "sk-very-secret-0123456789"
HELD = '{"q7": "zebra"}'


@pytest.fixture(autouse=True)
def own_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("REDAES_API_KEY", KEY)


def kept_files() -> list[Path]:
    return sorted((Path(os.environ["REDAES_CACHE"]) / "servers").glob("*"))


class Chat(OpenAIServer):
    """A server without vLLM's tokenizer."""

    def __init__(self, script: Any) -> None:
        super().__init__(script)
        self.n_tokenize = 0

    def _answer(self, path: str, headers: Any, data: bytes) -> Any:
        if path == "/tokenize":
            self.n_tokenize += 1
            return Fault(404)
        return super()._answer(path, headers, data)


def minding(*fields: str) -> Any:
    """A server that holds answers to a form by these fields, and ignores all others."""

    def script(call: Call) -> Say:
        return Say(HELD if any(field in call.body for field in fields) else "Hello! How can I help you today?")

    return script


def refusing(call: Call) -> Say | Fault:
    """A server with validation, which knows no field for forms (Mistral's words for such fields)."""
    for name in ("response_format", "structured_outputs", "grammar"):
        if name in call.body:
            return Fault(422, body={"detail": [{"type": "extra_forbidden", "loc": ["body", name]}]})
    return Say("Hello!")


@pytest.mark.parametrize(
    ("script", "spelling", "n"),
    [
        (minding("response_format"), "json_schema", 1),
        (minding("structured_outputs"), "structured_outputs", 2),
        (minding("grammar"), "grammar", 3),
        # Anthropic's layer ignores response_format: platform.claude.com, "OpenAI SDK compatibility".
        (minding(), "none", 3),
        (refusing, "none", 6),
    ],
    ids=["json_schema", "structured_outputs", "grammar", "ignores", "refuses"],
)
def test_the_form_of_an_answer_is_asked_for_in_the_servers_spelling(script: Any, spelling: Structured, n: int) -> None:
    with Chat(script) as server:
        assert connect(server.base_url).structured() == spelling
        assert len(server.calls) == n
        assert connect(server.base_url).structured() == spelling
        assert (len(server.calls), server.n_tokenize) == (n, 1)


@pytest.mark.parametrize(
    ("fields", "spelling", "n"),
    [(("response_format", "grammar"), "grammar", 1), (("response_format",), "json_schema", 2)],
    ids=["both", "thoughts of a template take the grammar"],
)
def test_llama_cpp_is_asked_for_the_grammar_first(fields: tuple[str, ...], spelling: Structured, n: int) -> None:
    with Chat(minding(*fields)) as server:
        server.models = Raw(b'{"data": [{"id": "judge", "owned_by": "llamacpp"}]}')
        assert connect(server.base_url).structured() == spelling
        assert len(server.calls) == n


def test_a_server_that_is_busy_is_not_said_to_hold_to_no_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("redaes.backends.connecting.MAX_RETRIES", 0)
    busy = [True]
    with Chat(lambda call: Fault(503) if busy[0] else Say(HELD)) as server:
        model = connect(server.base_url)
        with pytest.raises(EndpointError, match="503"):
            model.structured()
        busy[0] = False
        assert model.structured() == "json_schema"


def test_refused_fields_are_known_to_the_next_command() -> None:
    def script(call: Call) -> Say | Fault:
        if "seed" in call.body:
            return Fault(400, message="Unrecognized request argument supplied: seed")
        return Say(HELD)

    with Chat(script) as server:
        first = connect(server.base_url)
        first.structured()
        assert [("seed" in call.body) for call in server.calls] == [True, False]
        again = connect(server.base_url)
        again._structured = None  # asked as for the first time
        assert again.structured() == "json_schema"
        assert "seed" not in server.calls[-1].body
        assert (len(server.calls), again.abilities.left_out) == (3, ("seed",))
    (file,) = kept_files()
    assert KEY not in file.read_text()
    assert json.loads(file.read_text())["identity"]["url"] == server.base_url


@pytest.mark.parametrize(
    ("owner", "path", "answer"),
    [
        ("vllm", "/version", {"version": "0.31.0"}),
        ("sglang", "/server_info", {"version": "0.5.6"}),
        ("llamacpp", "/props", {"build_info": "b7000-abc"}),
        ("library", "/api/version", {"version": "0.13.1"}),
    ],
)
def test_another_version_of_the_server_is_looked_at_anew(
    owner: str, path: str, answer: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ((field, version),) = answer.items()
    n = 2 if owner == "llamacpp" else 1  # its grammar is tried first
    with Chat(minding("response_format")) as server:
        server.models = Raw(json.dumps({"data": [{"id": "judge", "owned_by": owner}]}).encode())
        server.more[path] = Raw(json.dumps(answer).encode())
        connect(server.base_url).structured()
        connect(server.base_url).structured()
        assert len(server.calls) == n
        server.more[path] = Raw(json.dumps({field: f"{version}.1"}).encode())
        connect(server.base_url).structured()
        assert len(server.calls) == 2 * n
    assert len(kept_files()) == 2


def test_a_version_that_is_none_is_no_obstacle() -> None:
    with Chat(minding("response_format")) as server:
        server.models = Raw(b'{"data": [{"id": "judge", "owned_by": "vllm"}]}')
        for answer in (Fault(401), Raw(b"[]"), Raw(b"<html>"), Raw(b'{"version": 3}')):
            server.more["/version"] = answer
            assert isinstance(connect(server.base_url), ConnectedModel)


def test_what_is_wrong_of_what_was_kept_is_forgotten_and_said_so() -> None:
    def script(call: Call) -> Say | Fault:
        return Fault(400, message="continue_final_message is unknown") if begun in call.body else Say("Winner: A")

    begun = "continue_final_message"
    with Chat(script) as server:
        connect(server.base_url).greet()
        (file,) = kept_files()
        kept = json.loads(file.read_text())
        file.write_text(json.dumps({**kept, "abilities": {"begins": True, "reads": "exact"}}))
        with pytest.raises(EndpointError, match="forgotten now, in case it has changed: give the command again"):
            connect(server.base_url).greet()
        assert not kept_files()
        connect(server.base_url).greet()
