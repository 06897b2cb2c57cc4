"""Models behind servers that were not trained on the text form: asked for JSON, in whatever way the server has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from openai_server import Call, Fault, OpenAIServer, Say
from PIL import Image
from typer.testing import CliRunner

from redaes import Assessor
from redaes.answer_grammars import JSON
from redaes.backends.chat import ChatBackend
from redaes.backends.endpoint import Endpoint
from redaes.backends.server import ServerBackend
from redaes.cli.app import app
from redaes.evaluation.assessors.base import Question, QuestionPicture
from redaes.evaluation.assessors.servers import EndpointPairs
from redaes.images import load_image

FIELDS = ("response_format", "structured_outputs", "grammar")


@pytest.fixture
def pictures(tmp_path: Path) -> list[str]:
    for name, level in (("bright", 200), ("dark", 40)):
        Image.linear_gradient("L").point(lambda value, level=level: level + value // 8).save(tmp_path / f"{name}.png")
    return [str(tmp_path / "bright.png"), str(tmp_path / "dark.png")]


def verdict(call: Call) -> str:
    """The brighter picture wins, as JSON."""
    first, second = (picture.convert("L").resize((1, 1)).getpixel((0, 0)) for picture in call.pictures())
    return json.dumps(
        {
            "observations_a": "The whole frame is bright." if first > second else "Too dark.",
            "observations_b": "Too dark." if first > second else "The whole frame is bright.",
            "factors": ["light"],
            "winner": "A" if first > second else "B",
            "difference": 2.5,
        }
    )


class Chatty:
    """A model with no idea of the text form, on a server that holds answers to a schema by one field, if by any."""

    def __init__(self, field: str | None, *, refuses: bool = False, fence: bool = False) -> None:
        self.field, self.refuses, self.fence = field, refuses, fence

    def __call__(self, call: Call) -> Say | Fault:
        unknown = [name for name in FIELDS if name in call.body and name != self.field]
        if self.refuses and unknown:
            return Fault(422, body={"detail": [{"type": "extra_forbidden", "loc": ["body", unknown[0]]}]})
        held = self.field is not None and self.field in call.body
        if not call.pictures():
            return Say('{"q7": "zebra"}' if held else "Hello! How can I help you today?")
        if "JSON" in call.text:
            return Say(f"```json\n{verdict(call)}\n```" if self.fence and not held else verdict(call))
        return Say("Both are nice, but I like the brighter one more.")


class Plain(OpenAIServer):
    """Without vLLM's tokenizer."""

    def _answer(self, path: str, headers: Any, data: bytes) -> Any:
        return Fault(404) if path == "/tokenize" else super()._answer(path, headers, data)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


@pytest.mark.parametrize(
    ("script", "held", "reader"),
    [
        (Chatty("response_format"), "response_format", "strict"),
        (Chatty("structured_outputs"), "structured_outputs", "strict"),
        (Chatty("grammar"), "grammar", "strict"),
        (Chatty("grammar", refuses=True), "grammar", "strict"),
        (Chatty(None), None, "strict"),
        (Chatty(None, refuses=True, fence=True), None, "lenient/v2"),
    ],
    ids=["json_schema", "structured_outputs", "grammar", "grammar alone", "ignores", "refuses"],
)
def test_the_answer_is_held_in_the_servers_spelling(
    script: Chatty, held: str | None, reader: str, pictures: list[str]
) -> None:
    with Plain(script) as server:
        done = run("compare", *pictures, "--endpoint", server.base_url, "--json", "--no-check")
        asked = [call for call in server.calls if "JSON" in call.text]
        again = run("compare", *pictures, "--endpoint", server.base_url, "--json", "--no-check")
        n_text = sum("<rationale>" in call.text for call in server.calls)
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert (result["winner"], result["delta"], result["form"], result["probability"]) == ("A", 2.5, "json", None)
    assert result["rationale"] == "A: The whole frame is bright. B: Too dark."
    assert {(one["held_by"], one["reader"]) for one in result["comparisons"]} == {(held, reader)}
    assert {name for call in asked for name in FIELDS if name in call.body} == ({held} if held else set())
    assert json.loads(again.stdout) == result
    assert n_text == 1  # which form suits is asked once, and kept


def test_the_fields_carry_the_form(pictures: list[str]) -> None:
    def body(field: str) -> dict[str, Any]:
        with Plain(Chatty(field)) as server:
            run("compare", *pictures, "--endpoint", server.base_url, "--no-check", "--form", "json")
            (one, _) = [call.body for call in server.calls if "JSON" in call.text]
            assert not any("<rationale>" in call.text for call in server.calls)
            return dict(one)

    schema = body("response_format")["response_format"]["json_schema"]
    assert (schema["schema"], schema["strict"]) == (JSON.schema, True)
    assert body("structured_outputs")["structured_outputs"] == {"json": JSON.schema}
    assert body("grammar")["grammar"] == JSON.gbnf


def test_a_user_chooses_the_form(pictures: list[str]) -> None:
    with Plain(Chatty("response_format")) as server:
        done = run("compare", *pictures, "--endpoint", server.base_url, "--form", "text", "--json", "--no-check")
        assert not any("JSON" in call.text or "response_format" in call.body for call in server.calls)
        wrong = run("compare", *pictures, "--endpoint", server.base_url, "--form", "xml")
    assert done.exit_code != 0
    assert json.loads(done.stdout)["failure"] == "forward: no_rationale; swapped: no_rationale"
    assert wrong.exit_code == 2
    assert "known: auto, text, json" in wrong.stderr


def test_vllm_holds_json_to_the_letter(pictures: list[str]) -> None:
    with (
        OpenAIServer(Chatty("structured_outputs")) as server,
        ServerBackend(Endpoint(server.base_url, "judge")) as asked,
    ):
        assert Assessor(asked).form == "text"
        asked.ask_in("json")
        result = Assessor(asked).compare(*pictures, check=False)
        bodies = [call.body for call in server.calls if "JSON" in call.text]
    assert (result.winner, result.form) == ("A", "json")
    assert {one.held_by for one in result.comparisons} == {"structured_outputs"}
    assert [body["structured_outputs"] for body in bodies] == [{"regex": JSON.pattern}] * 2


def test_without_knowing_the_server_the_protocols_own_field_is_tried(pictures: list[str]) -> None:
    for script, held in ((Chatty("response_format"), "response_format"), (Chatty(None, refuses=True), None)):
        with Plain(script) as server:
            backend = ChatBackend([Endpoint(server.base_url, "judge")])
            result = Assessor(backend, form="json").compare(*pictures, check=False)
        assert result.winner == "A"
        assert {one.held_by for one in result.comparisons} == {held}


@pytest.mark.parametrize(("form", "found"), [("json", "json"), ("auto", "json"), ("text", None)])
def test_benchmarks_ask_in_either_form(form: str, found: str | None, pictures: list[str]) -> None:
    shown = tuple(QuestionPicture(name, Path(name), load_image(name)) for name in pictures)
    with Plain(Chatty("response_format")) as server:
        judge = EndpointPairs([Endpoint(server.base_url, "judge")], form=form)
        (answer,) = judge.answer([Question("q", shown)])
    assert judge.identity.get("form") == found
    assert answer.value == (2.5 if found else None)
