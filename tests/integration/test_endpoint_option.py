"""``--endpoint``: pictures compared, ranked and scored by whatever server there is, from the command line."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from openai_server import Call, Fault, OpenAIServer, Raw, Say
from PIL import Image
from typer.testing import CliRunner, Result

from redaes import Assessor
from redaes.backends.chat import ChatBackend
from redaes.backends.connecting import ConnectedModel, connect, versioned_url
from redaes.backends.endpoint import Endpoint
from redaes.backends.server import ServerBackend
from redaes.cli.app import app
from redaes.errors import EndpointError, InputError
from redaes.serving.vllm import served_models

KEY = "sk-very-secret-0123456789"

Script = Callable[[Call], Say | Fault | Raw]


@pytest.fixture
def pictures(tmp_path: Path) -> list[str]:
    """From bright to dark, of one thing: a series."""
    grain = np.random.default_rng(0).integers(0, 60, (6, 8), dtype=np.uint8)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, level in enumerate((210, 130, 50)):
        Image.fromarray(grain + np.uint8(level - 30)).resize((64, 48)).convert("RGB").save(folder / f"{number}.png")
    return sorted(map(str, folder.iterdir()))


def first_wins(call: Call) -> bool:
    if not call.pictures():
        return True
    first, second = (picture.convert("L").resize((1, 1)).getpixel((0, 0)) for picture in call.pictures())
    return bool(first > second)  # type: ignore[operator]


def said(call: Call) -> str:
    """What a model that was not trained on the form says of the brighter picture."""
    better, sign = ("A", "+") if first_wins(call) else ("B", "\u2212")
    verdict = f"**Winner: {better}**\n**Difference: {sign}2**"
    if "<rationale>" not in call.text:
        return verdict
    return f"<rationale>\nBrighter. Decisive: light, better in {better}.\n</rationale>\n\n{verdict}"


def listing(call: Call) -> Say:
    """A server that lists the likeliest tokens (llama.cpp): in the form, where the fast question is asked."""
    if "<rationale>" in call.text:
        return Say(said(call))
    better, worse = ("A", "B") if first_wins(call) else ("B", "A")
    place = {f" {better}": -0.2, f" {worse}": -2.2, " tie": -4.0}
    return Say(
        f"Winner: {better}\nDifference: {'+' if better == 'A' else '-'}2.0",
        top=[{"Winner": 0.0}, {":": 0.0}, place, {"\n": 0.0}] if call.body.get("logprobs") else None,
    )


def listing_in_bold(call: Call) -> Say:
    """The same with a model that writes its verdict in bold, whatever it is asked for."""
    if "<rationale>" in call.text:
        return Say(said(call))
    better, worse = ("A", "B") if first_wins(call) else ("B", "A")
    place = {f" {better}": -0.2, f" {worse}": -2.2, " tie": -4.0}
    return Say(said(call), top=[{"**": 0.0}, {"Winner": 0.0}, {":": 0.0}, {"**": 0.0}, place, {"**": 0.0}])


def listing_one(call: Call) -> Say:
    """A server that tells the probability of what it wrote, and of nothing beside it."""
    better = "A" if first_wins(call) else "B"
    place = {f" {better}": -0.1}
    return Say(said(call).replace("*", ""), top=[{"Winner": 0.0}, {":": 0.0}, place, {"\n": 0.0}])


def vllm(call: Call) -> Say:
    """A server that goes on with a begun answer and reports the tokens that it is asked for."""
    if call.body["messages"][-1]["role"] != "assistant":
        return Say(said(call))
    bodies = [message for message in call.body["messages"] if message["role"] == "user"]
    a, b, tie = call.body["logprob_token_ids"]
    better, worse = (a, b) if first_wins(_with(call, bodies)) else (b, a)
    return Say("x", top=[{f"token_id:{better}": -0.2, f"token_id:{worse}": -2.2, f"token_id:{tie}": -4.0}])


def _with(call: Call, messages: list[Any]) -> Call:
    return Call(call.index, call.attempt, call.headers, {**call.body, "messages": messages}, call.arrived_s)


def hosted(call: Call) -> Say | Fault:
    """A hosted model that takes neither a temperature, a seed nor log-probabilities, and answers in parts."""
    for name in ("temperature", "seed", "logprobs"):
        if name in call.body:
            error = {"message": f"Unsupported parameter: '{name}'", "param": name, "code": "unsupported_parameter"}
            return Fault(400, body={"error": error})
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": said(call)}]
    return Say(None, message={"content": parts})


class Server(OpenAIServer):
    """One of the servers that people have."""

    def __init__(self, script: Script, tokenize: Fault | Raw | None) -> None:
        super().__init__(script)  # type: ignore[arg-type]
        self.tokenize = tokenize

    def __enter__(self) -> Server:
        super().__enter__()
        return self

    def _answer(self, path: str, headers: Any, data: bytes) -> Any:
        if path == "/tokenize" and self.tokenize is not None:
            return self.tokenize
        return super()._answer(path, headers, data)


SERVERS: dict[str, tuple[Script, Fault | Raw | None, type, str | None]] = {
    "vllm": (vllm, None, ServerBackend, "exact"),
    "llama.cpp": (listing, Raw(b'{"tokens": []}'), ChatBackend, "listed"),
    "llama.cpp, bold": (listing_in_bold, Raw(b'{"tokens": []}'), ChatBackend, "listed"),
    "one token": (listing_one, Fault(404), ChatBackend, None),
    "ollama": (lambda call: Say(said(call)), Fault(404, body={"error": "not found"}), ChatBackend, None),
    "lm studio": (lambda call: Say(said(call)), Raw(b'{"error": "Unexpected endpoint"}'), ChatBackend, None),
    "hosted": (hosted, Fault(404), ChatBackend, None),
}
"""Script, answer to ``/tokenize`` (None: vLLM's), who asks it, and where the probability comes from."""


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.mark.parametrize("mode", ["reasoned", "fast"])
@pytest.mark.parametrize("name", SERVERS)
def test_two_pictures_are_compared_by_any_server(name: str, mode: str, pictures: list[str]) -> None:
    script, tokenize, asked_by, source = SERVERS[name]
    with Server(script, tokenize) as server:
        with connect(server.base_url) as served:
            assert (type(served.backend), served.model) == (asked_by, "judge")
        done = run("compare", *pictures[:2], "--endpoint", server.base_url, "--mode", mode, "--json", "--no-check")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert (result["winner"], result["model"], result["failure"]) == ("A", "judge", None)
    assert {one["probability_from"] for one in result["comparisons"]} == {source}
    if source is None:
        assert (result["probability"], result["delta"]) == (None, 2.0)
        assert all(one["probability_failure"] for one in result["comparisons"])
        assert name == "one token" or {one["reader"] for one in result["comparisons"]} == {"lenient/v2"}
    else:
        assert 0.8 < result["probability"] < 0.95


def test_the_reader_is_strict_where_that_is_asked_for(pictures: list[str]) -> None:
    with Server(lambda call: Say(said(call)), Fault(404)) as server:
        done = run("compare", *pictures[:2], "--endpoint", server.base_url, "--reader", "strict", "--json")
    assert done.exit_code == 3
    assert json.loads(done.stdout)["failure"].startswith("forward: ")


@pytest.mark.parametrize("name", ["vllm", "llama.cpp", "llama.cpp, bold"])
def test_a_folder_is_ranked_and_pictures_are_scored(name: str, pictures: list[str], tmp_path: Path) -> None:
    script, tokenize, *_ = SERVERS[name]
    folder = str(Path(pictures[0]).parent)
    with Server(script, tokenize) as server:
        ranked = run("rank", folder, "--out", str(tmp_path / "out"), "--endpoint", server.base_url, "--json")
        scored = run("score", *pictures, "--references", folder, "--endpoint", server.base_url, "--json")
    assert ranked.exit_code == 0, ranked.output
    (series,) = map(json.loads, ranked.stdout.splitlines())
    assert (series["model"], series["n_failed"]) == ("judge", 0)
    assert [Path(one["path"]).name for one in series["pictures"]] == ["0.png", "1.png", "2.png"]
    assert scored.exit_code == 0, scored.output
    scores = [json.loads(line)["score"] for line in scored.stdout.splitlines()]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == 3


def test_where_neither_letter_is_listed_the_verdict_is_the_written_one(pictures: list[str]) -> None:
    top = [{"Winner": 0.0}, {":": 0.0}, {" tie": -0.1, " Tie": -3.0}, {"\n": 0.0}]
    with Server(lambda call: Say("Winner: tie\nDifference: 0.0", top=top), Fault(404)) as server:
        done = run("compare", *pictures[:2], "--endpoint", server.base_url, "--mode", "fast", "--json")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert (result["winner"], result["probability"], result["delta"]) == ("tie", None, 0.0)
    assert {one["probability_failure"] for one in result["comparisons"]} == {"no_logprob"}


@pytest.mark.parametrize("server_name", ["ollama", "one token"])
@pytest.mark.parametrize("command", ["rank", "score"])
def test_without_probabilities_rankings_and_scores_are_made_of_agreement_or_refused(
    command: str, server_name: str, pictures: list[str], tmp_path: Path
) -> None:
    folder = str(Path(pictures[0]).parent)
    more = [folder, "--out", str(tmp_path / "out")] if command == "rank" else [*pictures, "--references", folder]
    with Server(*SERVERS[server_name][:2]) as server:
        refused = run(command, *more, "--endpoint", server.base_url, "--agreement", "0")
        n_asked = len(server.calls)
        done = run(command, *more, "--endpoint", server.base_url, "--json")
        drawn = [call.body for call in server.calls if call.body.get("temperature") == 0.7]
    assert (refused.exit_code, n_asked) == (4, 1)
    assert "reports no token probabilities of judge" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert done.exit_code == 0, done.output
    assert "is based on the agreement of 3 answers, sampled in each order" in done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {body["seed"] for body in drawn} == {0, 1, 2}
    if command == "rank":
        assert [Path(one["path"]).name for one in lines[0]["pictures"]] == ["0.png", "1.png", "2.png"]
        # Three pairs in both orders: written once, and drawn three times.
        assert (lines[0]["n_calls"], lines[0]["n_failed"]) == (24, 0)
        assert "6 of 6 answers prefer the best" in (tmp_path / "out" / "contact_sheet.html").read_text()
    else:
        scores = [line["score"] for line in lines]
        assert scores == sorted(scores, reverse=True)
        assert len(set(scores)) == 3


def test_agreement_is_told_beside_the_verdict_and_is_no_probability(pictures: list[str]) -> None:
    def wavering(call: Call) -> Say:
        """Says the opposite at one seed, something else at another."""
        seed = call.body["seed"] if call.body["temperature"] else 0
        better = "A" if first_wins(call) == (seed != 1) else "B"
        return Say(
            "I cannot say." if seed == 2 else f"Winner: {better}\nDifference: {'+' if better == 'A' else '-'}2.0"
        )

    asked = ["compare", *pictures[:2], "--mode", "fast", "--agreement", "4"]
    with Server(wavering, Fault(404)) as server:
        done = run(*asked, "--endpoint", server.base_url, "--json")
        shown = run(*asked, "--endpoint", server.base_url)
        refused = run(*asked)
    result = json.loads(done.stdout)
    assert (result["winner"], result["probability"], result["log_odds"], result["calibration"]) == (
        "A",
        None,
        None,
        None,
    )
    told = result["agreement"]
    assert (told["n_first"], told["n_second"], told["n_tie"], told["per_order"]) == (4, 2, 0, 4)
    assert told["share"] == pytest.approx(2 / 3)
    assert told["failures"] == ["not_the_form"] * 2
    assert told["sampling"] == {"temperature": 0.7, "max_new_tokens": 32, "seed": 0}
    assert "4 of 6 answers prefer 0.png; 2 could not be used (4 drawn in each order; no probability" in shown.output
    assert "probability  " not in shown.output
    assert (refused.exit_code, "--agreement works only together with --endpoint" in refused.stderr) == (2, True)


def test_where_probabilities_are_reported_nothing_is_drawn(pictures: list[str]) -> None:
    with Server(listing, Fault(404)) as server:
        done = run("compare", *pictures[:2], "--endpoint", server.base_url, "--json", "--agreement", "5", "--no-check")
        assert {call.body["temperature"] for call in server.calls} == {0.0}
    result = json.loads(done.stdout)
    assert result["probability"] is not None
    assert result["agreement"] is None


def test_scores_by_agreement_and_by_probabilities_are_not_mixed(pictures: list[str], tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    folder = str(Path(pictures[0]).parent)
    with Server(SERVERS["ollama"][0], Fault(404)) as server:
        args = ["score", pictures[0], "--endpoint", server.base_url]
        assert run(*args, "--references", folder, "--save", str(kept)).exit_code == 0
        assert run(*args, "--references", str(kept)).exit_code == 0
        other = run(*args, "--references", str(kept), "--agreement", "5")
    assert other.exit_code == 2
    assert "the agreement of 3 answers in each order" in other.stderr


def test_several_models_are_listed_and_a_named_one_is_asked(pictures: list[str]) -> None:
    with Server(lambda call: Say(said(call)), Fault(404)) as server:
        server.models = Raw(b'{"data": [{"id": "small"}, {"id": "large", "revision": "r7"}]}')
        unnamed = run("compare", *pictures[:2], "--endpoint", server.base_url)
        named = run("compare", *pictures[:2], "--endpoint", server.base_url, "--model", "large", "--json", "--no-check")
    assert unnamed.exit_code == 2
    assert "small, large" in unnamed.stderr
    result = json.loads(named.stdout)
    assert (result["model"], result["revision"]) == ("large", "r7")
    assert {call.body["model"] for call in server.calls} == {"large"}


def test_a_name_that_the_server_does_not_list_is_told_which_it_does(pictures: list[str]) -> None:
    with Server(lambda call: Fault(404, message="The model `typo` does not exist."), Fault(404)) as server:
        server.models = Raw(b'{"data": [{"id": "small"}, {"id": "large"}]}')
        done = run("compare", *pictures[:2], "--endpoint", server.base_url, "--model", "typo")
    assert done.exit_code == 4
    assert "does not exist" in done.stderr
    assert "the models that it lists: small, large" in done.stderr


@pytest.mark.parametrize("owner", ["llamacpp", "me"])
def test_a_server_that_answers_under_any_name_is_asked_under_its_own(owner: str, pictures: list[str]) -> None:
    with Server(lambda call: Say(said(call)), Fault(404)) as server:
        model = {"id": "qwen.gguf", "owned_by": owner, "aliases": ["qwen"]}
        server.models = Raw(json.dumps({"data": [model]}).encode())
        other = run("compare", *pictures[:2], "--endpoint", server.base_url, "--model", "redaes/nano")
        assert not server.calls
        alias = run("compare", *pictures[:2], "--endpoint", server.base_url, "--model", "qwen", "--json", "--no-check")
        model["owned_by"] = "library"  # others know more names than they list
        server.models = Raw(json.dumps({"data": [model]}).encode())
        more = run("compare", *pictures[:2], "--endpoint", server.base_url, "--model", "qwen:latest", "--no-check")
    assert other.exit_code == 2
    assert "has the model qwen.gguf" in other.stderr
    assert json.loads(alias.stdout)["model"] == "qwen.gguf"
    assert more.exit_code == 0, more.output


def test_the_environment_names_server_and_key(pictures: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(lambda call: Say(said(call)), Fault(404)) as server:
        monkeypatch.setenv("REDAES_ENDPOINT", server.base_url.removesuffix("/v1"))
        monkeypatch.setenv("REDAES_API_KEY", f"{KEY}\n")
        first = run("compare", *pictures[:2], "--json")
        n_first = len(server.calls)
        monkeypatch.setenv("OTHER_KEY", "sk-other")
        second = run("compare", *pictures[:2], "--json", "--api-key-env", "OTHER_KEY")
    assert (first.exit_code, second.exit_code) == (0, 0)
    keys = [call.headers["authorization"] for call in server.calls]
    assert set(keys[:n_first]) == {f"Bearer {KEY}"}
    assert set(keys[n_first:]) == {"Bearer sk-other"}
    assert KEY not in first.output
    assert "sk-other" not in second.output


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_named_model_needs_no_list(status: int, pictures: list[str]) -> None:
    with Server(lambda call: Say(said(call)), Fault(404)) as server:
        server.models = Fault(status, message="no list for you")
        named = run("compare", *pictures[:2], "--endpoint", server.base_url, "--model", "judge", "--mode", "fast")
        unnamed = run("compare", *pictures[:2], "--endpoint", server.base_url)
    assert named.exit_code == 0, named.output
    assert unnamed.exit_code == 4
    assert "no list for you" in unnamed.stderr


def test_a_refused_key_is_told_in_the_servers_words_without_the_key(
    pictures: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDAES_API_KEY", KEY)
    with Server(lambda call: Say("x"), Fault(404)) as server:
        server.models = Fault(401, message=f"Incorrect API key provided: {KEY}.")
        done = run("compare", *pictures[:2], "--endpoint", server.base_url, "--model", "judge")
    assert done.exit_code == 4
    assert "Incorrect API key provided: ***" in done.stderr
    assert KEY not in done.output
    assert done.stderr.count("\n") == 1


def test_a_server_that_is_not_there(pictures: list[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        done = run("compare", *pictures[:2], "--endpoint", f"http://127.0.0.1:{port}/v1", "--model", "judge")
    assert done.exit_code == 4
    assert done.stderr.startswith("redaes: connection: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Fault(400, message="this model does not support image input"), "does not support image input"),
        (Fault(401, message="No auth credentials found"), "No auth credentials found"),
        (Say(""), "the server answers with an empty text"),
        (Say(None), "the answer has no text"),
    ],
    ids=["no pictures", "no key", "empty", "no text"],
)
def test_a_server_that_answers_nothing(answer: Say | Fault, words: str, pictures: list[str]) -> None:
    with Server(lambda call: answer, Fault(404)) as server:
        done = run("compare", *pictures[:2], "--endpoint", server.base_url)
    assert done.exit_code == 4, done.output
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_from_server_also_where_an_event_loop_runs(pictures: list[str]) -> None:
    async def in_a_notebook(url: str) -> str | None:
        return Assessor.from_server(url, mode="fast").compare(*pictures[:2]).winner

    with Server(lambda call: Say(said(call)), Fault(404)) as server:
        assert asyncio.run(in_a_notebook(server.base_url)) == "A"
        assessor = Assessor.from_server(server.base_url, "judge")
    assert isinstance(assessor.backend, ConnectedModel)
    assert assessor.reader == "lenient"


@pytest.mark.parametrize(
    "url",
    [
        "localhost:11434",
        "http://127.0.0.1/v1?key=sk-1",
        "http://sk-1:sk-1@127.0.0.1/v1",
        "sk-1:sk-1@127.0.0.1/v1",
        "//sk-1@127.0.0.1/v1",
        "http://127.0.0.1:sk-1/v1",
    ],
)
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(InputError) as caught:
        connect(url)
    assert "sk-1" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ("http://h/v1/chat/completions", "http://h/v1"),
        ("http://h:80/v1/models/", "http://h:80/v1"),
        ("http://h/chat/completions", "http://h/v1"),
        ("http://h/openai/v2/", "http://h/openai/v2"),
        (" http://h// ", "http://h/v1"),
        ("http://h/models.example/v1", "http://h/models.example/v1"),
    ],
)
def test_addresses_as_people_have_them(given: str, base: str) -> None:
    assert versioned_url(given) == base


def test_a_key_that_cannot_be_sent_is_in_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("sk-1\nsk-1", "sk-1\u201d", "sk-1 sk-1"):
        monkeypatch.setenv("REDAES_API_KEY", key)
        for refused in (lambda: Endpoint("http://127.0.0.1/v1", "m"), lambda: served_models("http://127.0.0.1/v1")):
            with pytest.raises(InputError, match="copy it again") as caught:
                refused()
            assert "sk-1" not in str(caught.value)
    with pytest.raises(InputError, match="is of type int"):
        connect("http://127.0.0.1/v1", api_key=5)  # type: ignore[arg-type]


def test_what_was_found_out_at_first_is_not_asked_again() -> None:
    with Server(vllm, None) as server, connect(server.base_url) as served:
        n_asked = len(server.calls)
        assert served.reports_probabilities()
        assert (n_asked, len(server.calls)) == (1, 1)


def test_a_vllm_that_is_busy_is_not_taken_for_another_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("redaes.backends.connecting.MAX_RETRIES", 0)
    with (
        Server(lambda call: Fault(503, message="too busy"), None) as server,
        pytest.raises(EndpointError, match="too busy"),
    ):
        connect(server.base_url)


def test_answers_of_two_servers_are_kept_apart(pictures: list[str], tmp_path: Path) -> None:
    folder = str(Path(pictures[0]).parent)
    n_asked, revisions = [], set()
    for _ in range(2):
        with Server(vllm, None) as server:
            for _ in range(2):
                done = run("rank", folder, "--out", str(tmp_path / "out"), "--endpoint", server.base_url, "--json")
                assert done.exit_code == 0, done.output
                n_asked.append(len(server.calls))
            revisions.add(json.loads(done.stdout.splitlines()[0])["revision"])
            assert f"at {server.base_url}" in revisions
    assert len(revisions) == 2
    # Again at the same server: nothing, and how it is asked is known as well. At another one: everything anew.
    assert n_asked[0] == n_asked[1] == n_asked[2] == n_asked[3] > 4
