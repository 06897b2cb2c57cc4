"""Two pictures compared by every kind of server: no verdict is lost, and a second command repeats no experiment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dialect_servers import DIALECTS, DialectServer, Gemini, LlamaCpp, OpenAiReasoning, SgLang
from openai_server import Fault
from PIL import Image
from typer.testing import CliRunner

from redaes.backends.connecting import connect
from redaes.backends.thoughts import THINKING_ROOM
from redaes.cli.app import app

LISTED = {
    "ollama, listing", "ollama, thinking", "llama.cpp", "llama.cpp, thinking", "sglang", "sglang, thinking",
    "openrouter",
}  # fmt: skip
WAYS = {
    "ollama, thinking": "none",
    "llama.cpp, thinking": "enable_thinking",
    "sglang, thinking": "enable_thinking",
    "openai, reasoning": "minimal",
    "openrouter, thinking": "none",
    "gemini, thinking": "none",
}


@pytest.fixture
def pair(tmp_path: Path) -> list[str]:
    """A bright picture and a dark one."""
    grain = np.random.default_rng(0).integers(0, 60, (6, 8), dtype=np.uint8)
    files = []
    for number, level in enumerate((210, 50)):
        files.append(str(tmp_path / f"{number}.png"))
        Image.fromarray(grain + np.uint8(level - 30)).resize((64, 48)).convert("RGB").save(files[-1])
    return files


def compared(server: DialectServer, pair: list[str], mode: str) -> dict[str, Any]:
    done = CliRunner().invoke(
        app, ["compare", *pair, "--endpoint", server.base_url, "--mode", mode, "--json", "--no-check"]
    )
    assert done.exit_code == 0, done.output
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize("mode", ["fast", "reasoned"])
@pytest.mark.parametrize("name", DIALECTS)
def test_each_server_answers(name: str, mode: str, pair: list[str]) -> None:
    with DialectServer(DIALECTS[name]) as server:
        result = compared(server, pair, mode)
        n_first = len(server.calls)
        again = compared(server, pair, mode)
        known = connect(server.base_url).abilities
    assert (result["winner"], result["failure"]) == ("A", None)
    assert result == again
    assert {one["probability_from"] for one in result["comparisons"]} == ({"listed"} if name in LISTED else {None})
    if name in LISTED:
        assert 0.8 < result["probability"] < 0.95
    else:
        assert (result["probability"], result["delta"]) == (None, 2.0)
        assert all(one["probability_failure"] for one in result["comparisons"])
    # Both orders are asked, read and written at most; whatever else was asked, was asked to find something out.
    n_again = len(server.calls) - n_first
    assert n_again == (2 if name not in LISTED or mode == "fast" else 4) <= n_first
    assert (known.thinks, known.way) == (name in WAYS, WAYS.get(name))


@pytest.mark.parametrize("name", WAYS)
def test_thoughts_are_waited_for_where_reasons_are_wanted(name: str, pair: list[str]) -> None:
    with DialectServer(DIALECTS[name]) as server:
        result = compared(server, pair, "reasoned")
    written = [one for one in result["comparisons"] if "<rationale>" in one["raw"]]
    assert len(written) == 2
    assert all(f"{THINKING_ROOM} tokens for thoughts" in one["changes"] for one in written)


def test_a_model_that_cannot_be_kept_from_thinking_has_room_for_it(pair: list[str]) -> None:
    class AlwaysThinking(SgLang):
        def __call__(self, call: Any) -> Any:
            call.body.pop("chat_template_kwargs", None)  # ignored without a word
            return super().__call__(call)

    with DialectServer(AlwaysThinking(n_thoughts=200, n_top=3)) as server:
        result = compared(server, pair, "fast")
        known = connect(server.base_url).abilities
    # The first token after the thoughts is read, though they are in the text, and their tokens in the list.
    assert 0.8 < result["probability"] < 0.95
    assert known.way == "low"


def test_a_switch_that_the_server_refuses_is_not_said_to_have_been_used(pair: list[str]) -> None:
    class Unsteady(SgLang):
        """Thinks at length about the first question alone."""

        n_asked = 0

        def __call__(self, call: Any) -> Any:
            if "chat_template_kwargs" in call.body:
                return Fault(400, message="Unknown parameter: 'chat_template_kwargs'.")
            self.n_asked += 1
            self.n_thoughts = 200 if self.n_asked == 1 else 0
            return super().__call__(call)

    with DialectServer(Unsteady()) as server:
        result = compared(server, pair, "fast")
        known = connect(server.base_url).abilities
    assert result["winner"] == "A"
    assert {tuple(one["changes"]) for one in result["comparisons"]} == {("reasoning_effort=none",)}
    assert (known.way, known.left_out) == ("none", ("chat_template_kwargs",))


def test_thoughts_without_end_are_a_failure_with_its_name(pair: list[str]) -> None:
    with DialectServer(SgLang(n_thoughts=10**9, n_top=3)) as server:
        done = CliRunner().invoke(
            app, ["compare", *pair, "--endpoint", server.base_url, "--mode", "reasoned", "--json", "--no-check"]
        )
    assert done.exit_code == 3
    assert "cut_off" in json.loads(done.stdout)["failure"]


def test_a_limit_that_thoughts_alone_would_reach(pair: list[str]) -> None:
    class Older(OpenAiReasoning):
        efforts = ("low", "medium", "high")

        def __call__(self, call: Any) -> Any:
            found = super().__call__(call)
            if isinstance(found, Fault) or found.text:
                return found
            words = "Could not finish the message because max_tokens or model output limit was reached."
            return Fault(400, message=f"{words} Please try again with higher max_tokens.")

    with DialectServer(Older(n_thoughts=300)) as server:
        assert compared(server, pair, "fast")["winner"] == "A"
        assert connect(server.base_url).abilities.way == "low"


def test_a_way_that_no_longer_works_is_found_anew(pair: list[str]) -> None:
    with DialectServer(LlamaCpp(n_thoughts=200, n_top=3)) as server:
        compared(server, pair, "fast")
        server.script = Gemini(n_thoughts=200)  # another program behind the same address
        assert compared(server, pair, "fast")["winner"] == "A"
        assert connect(server.base_url).abilities.way == "none"


def test_a_limit_that_is_ignored_is_sent_by_its_older_name(pair: list[str]) -> None:
    class Unnamed(LlamaCpp):
        owner = "nobody"

        def __call__(self, call: Any) -> Any:
            text = "Winner: A\nDifference: +2.0\n\n" + "It is brighter. " * 100
            limit = call.body.get("max_tokens", 10**6)
            return self.said(call, text, limit=limit)

    with DialectServer(Unnamed()) as server:
        model = connect(server.base_url)
        compared(server, pair, "fast")
        assert "max_tokens" in server.calls[-1].body
        assert model.abilities.left_out == ()
        assert connect(server.base_url).abilities.left_out == ("max_completion_tokens",)


class Small(LlamaCpp):
    """Takes pictures up to a side, in the words of Anthropic's (anthropics/claude-code#9375)."""

    side = 48
    most = 9

    def __call__(self, call: Any) -> Any:
        if len(call.pictures()) > self.most:
            return Fault(400, message=f"At most {self.most} image(s) may be provided in one prompt.")
        if any(max(picture.size) > self.side for picture in call.pictures()):
            words = f"image dimensions exceed max allowed size for many-image requests: {self.side} pixels"
            return Fault(400, message=f"messages.0.content.1.image.source.base64.data: {words}")
        return super().__call__(call)


def test_pictures_are_shrunk_to_a_limit_that_is_named_and_that_is_remembered(pair: list[str]) -> None:
    with DialectServer(Small(n_top=3)) as server:
        result = compared(server, pair, "fast")
        n_first = len(server.calls)
        again = compared(server, pair, "fast")
        assert connect(server.base_url).abilities.pictures.side == 48
    assert result["winner"] == "A"
    assert 0.8 < result["probability"] < 0.95
    assert again == result
    assert (len(server.calls) - n_first, n_first) == (2, 4)
    assert {picture.size for call in server.calls[-2:] for picture in call.pictures()} == {(48, 36)}


def test_a_server_that_takes_one_picture_is_named_with_the_remedy(pair: list[str]) -> None:
    class One(Small):
        most = 1

    with DialectServer(One()) as server:
        done = CliRunner().invoke(app, ["compare", *pair, "--endpoint", server.base_url])
        assert done.exit_code == 4
        assert "takes at most 1 pictures of a request" in done.stderr
        assert "--limit-mm-per-prompt" in done.stderr
        server.script = LlamaCpp(n_top=3)  # started anew with another limit
        assert compared(server, pair, "fast")["winner"] == "A"
