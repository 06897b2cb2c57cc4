"""``redaes serve --endpoint``: the page and the HTTP API, answered by whatever server there is behind them."""

from __future__ import annotations

import asyncio
import base64
import io
from typing import Any

import httpx
import pytest
from dialect_servers import DIALECTS, Dialect, DialectServer
from openai_server import Call, Fault, OpenAIServer, Say
from PIL import Image
from typer.testing import CliRunner, Result

from redaes.cli.app import app
from redaes.serving import run
from redaes.serving.app import create_app


def url(shade: int) -> str:
    out = io.BytesIO()
    Image.new("RGB", (32, 24), (shade, shade, shade)).save(out, "PNG")
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"


class Visits:
    """In place of the HTTP server: one client, which sends these requests all at once, and then leaves."""

    def __init__(self, *requests: tuple[str, dict[str, Any] | None]) -> None:
        self.requests = requests
        self.answers: list[httpx.Response] = []

    def __call__(self, backend: Any, address: Any, limits: Any, *, announce: Any, **settings: Any) -> None:
        async def visit() -> None:
            service = create_app(backend, limits=limits, hosts=("door",), **settings)
            transport = httpx.ASGITransport(service)
            async with httpx.AsyncClient(transport=transport, base_url="http://door") as client:
                self.answers = await asyncio.gather(
                    *(
                        client.get(path) if body is None else client.post(path, json=body)
                        for path, body in self.requests
                    )
                )

        asyncio.run(visit())


PAIR = {"first": url(200), "second": url(60)}


def serve(monkeypatch: pytest.MonkeyPatch, visits: Visits, *options: str) -> Result:
    monkeypatch.setattr(run, "serve", visits)
    return CliRunner().invoke(app, ["serve", *options])


@pytest.mark.parametrize("name", ["ollama", "llama.cpp", "openai, reasoning"])
def test_pairs_are_compared_and_pictures_ranked(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rank = {"pictures": [url(60), url(200), url(120)]}
    visits = Visits(
        ("/v1/compare", {**PAIR, "mode": "fast"}), ("/v1/compare", {**PAIR, "mode": "reasoned"}), ("/v1/rank", rank),
        ("/health", None), ("/v1/models", None),
    )  # fmt: skip
    with DialectServer(DIALECTS[name]) as server:
        done = serve(monkeypatch, visits, "--endpoint", server.base_url)
    assert done.exit_code == 0, done.output
    assert [answer.status_code for answer in visits.answers] == [200] * 5
    fast, reasoned, ranked, _, models = (answer.json() for answer in visits.answers)
    listing = name == "llama.cpp"
    for result in (fast, reasoned):
        assert (result["winner"], result["model"]) == ("A", "judge")
        assert (result["probability"] is None, result["agreement"] is None) == (not listing, listing)
    assert "Brighter." in reasoned["rationale"]
    assert ranked["ranking"]["order"] == [ranked["ids"][place] for place in (1, 2, 0)]
    assert models["data"][0]["id"] == "judge"
    assert ("3 answers, sampled in each order" in done.stderr) == (not listing)


def test_a_server_that_answers_nothing_ends_the_command_in_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    class Blind(Dialect):
        def __call__(self, call: Call) -> Say | Fault:
            return Fault(400, message="this model does not support image input")

    visits = Visits()
    with DialectServer(Blind()) as server:
        done = serve(monkeypatch, visits, "--endpoint", server.base_url)
    assert done.exit_code == 4
    assert "does not support image input" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_server_that_is_gone_is_no_health(monkeypatch: pytest.MonkeyPatch) -> None:
    class Leaving(Visits):
        def __call__(self, *args: Any, **settings: Any) -> None:
            server.__exit__(None, None, None)
            super().__call__(*args, **settings)

    visits = Leaving(("/health", None), ("/v1/compare", {**PAIR, "mode": "fast"}))
    server = DialectServer(DIALECTS["llama.cpp"])
    server.__enter__()
    monkeypatch.setattr("redaes.backends.connecting.MAX_RETRIES", 0)
    done = serve(monkeypatch, visits, "--endpoint", server.base_url, "--model", "judge")
    assert done.exit_code == 0, done.output
    assert [answer.status_code for answer in visits.answers] == [503, 503]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--endpoint", "http://127.0.0.1:1/v1", "--vllm", "python"], "--vllm cannot be combined with --endpoint"),
        (
            ["--endpoint", "http://127.0.0.1:1/v1", "--attach", "http://x/v1"],
            "--attach cannot be combined with --endpoint",
        ),
        (["--endpoint", "http://127.0.0.1:1/v1", "--device", "cpu"], "--device is only for a model"),
        (["--endpoint", "http://127.0.0.1:1/v1", "--structured"], "--structured cannot be combined with --endpoint"),
        (["--attach", "http://127.0.0.1:1/v1", "--api-key-env", "HOME"], "work only with --endpoint"),
        (["--api-key-env", "HOME"], "--api-key-env works only together with --endpoint"),
    ],
)
def test_options_that_do_not_go_together(options: list[str], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    done = serve(monkeypatch, Visits(), *options)
    assert done.exit_code == 2
    assert words in done.stderr


def test_a_vllm_is_asked_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def vllm(call: Call) -> Say:
        if "logprob_token_ids" not in call.body:
            return Say("Winner: A\nDifference: +1.0")  # asked in which form it answers
        a, b, tie = call.body["logprob_token_ids"]
        return Say("x", top=[{f"token_id:{a}": -0.2, f"token_id:{b}": -2.2, f"token_id:{tie}": -4.0}])

    visits = Visits(("/v1/compare", {**PAIR, "mode": "fast"}), ("/openapi.json", None))
    with OpenAIServer(vllm) as server:
        done = serve(monkeypatch, visits, "--endpoint", server.base_url)
    assert done.exit_code == 0, done.output
    compared, api = (answer.json() for answer in visits.answers)
    assert {one["probability_from"] for one in compared["comparisons"]} == {"exact"}
    assert "/v1/chat/completions" in api["paths"]
