"""``redaes eval … --endpoint``: benchmarks answered by whatever server there is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from dialect_servers import DIALECTS, Dialect, DialectServer
from openai_server import Call, Fault, Say
from PIL import Image
from typer.testing import CliRunner, Result

from redaes.cli.app import app
from redaes.evaluation.assessors.servers import UNANSWERED
from redaes.lenient import LENIENT


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Ten pairs of one bright and one dark picture, the bright one better."""
    lines = ["first,second,p"]
    for number in range(10):
        for name, shade in (("bright", 150 + 10 * number), ("dark", 20 + 10 * number)):
            Image.new("RGB", (32, 24), (shade, shade, shade)).save(tmp_path / f"{name}{number}.png")
        named = (f"bright{number}.png", f"dark{number}.png", 1)
        lines.append(",".join(map(str, named if number % 2 else (named[1], named[0], 0))))
    (tmp_path / "pairs.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "pairs.csv"


def evaluate(pairs: Path, out: str, *options: str) -> Result:
    return CliRunner().invoke(
        app, ["eval", "run", "pairs", "--data", str(pairs), "--out", str(pairs.parent / out), *options]
    )


def summary(pairs: Path, out: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((pairs.parent / out / "results.json").read_text())
    return found


@pytest.mark.parametrize("name", ["ollama", "llama.cpp", "openai, reasoning"])
def test_pairs_are_judged(name: str, pairs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with DialectServer(DIALECTS[name]) as server:
        done = evaluate(pairs, "flag", "--endpoint", server.base_url, "--assessor", "vlm_pairs")
        monkeypatch.setenv("REDAES_ENDPOINT", server.base_url)
        other = evaluate(pairs, "variable", "--assessor", "vlm_pairs", "--model", "judge")
        stated = evaluate(pairs, "stated", "--assessor", "endpoint_pairs", "--model", "judge", "--option", "mode=fast")
        csv = evaluate(pairs, "csv", "--assessor", "baseline", "--option", "measure=sharpness")
    for run, out in ((done, "flag"), (other, "variable"), (stated, "stated")):
        if name == "openai, reasoning" and out == "stated":
            continue  # its thoughts count for what it may write, so it is cut off: as docs/judges.md has it
        assert run.exit_code == 0, run.output
        found = summary(pairs, out)
        assert (found["run"]["identity"]["model"], found["summary"]["n_failed"]) == ("judge", 0)
        assert found["summary"]["metrics"]["pair_accuracy"]["value"] == 1.0
    assert summary(pairs, "flag")["run"]["identity"]["reader"] == LENIENT
    assert csv.exit_code == 0, csv.output


def test_pictures_are_scored_only_where_probabilities_are_reported(pairs: Path) -> None:
    with DialectServer(DIALECTS["ollama"]) as server:
        done = evaluate(pairs, "scored", "--endpoint", server.base_url, "--assessor", "vlm")
    assert done.exit_code == 4
    assert "--assessor vlm_pairs" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(("name", "draws"), [("ollama", 3), ("llama.cpp", 0)])
def test_pictures_are_placed_by_any_server(name: str, draws: int, tmp_path: Path) -> None:
    """From the command line: references are chosen, the others placed, by agreement where there is no probability."""
    lines = ["image,score"]
    for shade in range(30, 230, 20):
        Image.new("RGB", (32, 24), (shade, shade, shade)).save(tmp_path / f"{shade}.png")
        lines.append(f"{shade}.png,{shade}")
    (tmp_path / "scores.csv").write_text("\n".join(lines) + "\n")
    given = ["--references", "informative", "--candidates", "5", "--n-references", "4", "--option", "comparisons=3"]
    with DialectServer(DIALECTS[name]) as server:
        where = ["--out", str(tmp_path / "out"), "--endpoint", server.base_url, "--assessor", "vlm_placed"]
        done = CliRunner().invoke(app, ["eval", "run", "scores", "--data", str(tmp_path), *where, *given])
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    assert found["run"]["identity"].get("agreement", 0) == draws
    assert found["run"]["reference_set"]["n_calls"] == 10 * 2 * (1 + draws)
    assert (found["summary"]["n_questions"], found["summary"]["n_failed"]) == (6, 0)
    assert found["summary"]["n_calls"] == 6 * 3 * 2 * (1 + draws)
    assert found["summary"]["metrics"]["srcc"]["value"] > 0.8
    assert f"{6 * 3 * 2 * (1 + draws)} questions to the model" in done.output


@pytest.mark.parametrize(("name", "given", "draws"), [("ollama", None, 3), ("ollama", 2, 2), ("llama.cpp", None, 0)])
def test_a_tournament_counts_answers_where_no_probability_is_reported(
    name: str, given: int | None, draws: int, tmp_path: Path
) -> None:
    lines = ["image,score"]
    for shade in (200, 140, 60):
        Image.new("RGB", (32, 24), (shade, shade, shade)).save(tmp_path / f"{shade}.png")
        lines.append(f"{shade}.png,{shade}")
    (tmp_path / "scores.csv").write_text("\n".join(lines) + "\n")
    option = [] if given is None else ["--option", f"agreement={given}"]
    with DialectServer(DIALECTS[name]) as server:
        told = ["--out", str(tmp_path / "out"), "--endpoint", server.base_url, "--assessor", "vlm_tournament", *option]
        done = CliRunner().invoke(app, ["eval", "run", "scores", "--data", str(tmp_path / "scores.csv"), *told])
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    assert found["run"]["identity"].get("agreement", 0) == draws
    assert found["summary"]["metrics"]["srcc"]["value"] == pytest.approx(1.0)


@pytest.mark.parametrize("assessor", ["vlm_pairs", "endpoint_pairs"])
def test_a_model_that_answers_nothing_ends_the_run_early(assessor: str, pairs: Path) -> None:
    class Blind(Dialect):
        def __call__(self, call: Call) -> Say | Fault:
            return Fault(400, message="this model does not support image input")

    with DialectServer(Blind()) as server:
        done = evaluate(pairs, "blind", "--endpoint", server.base_url, "--assessor", assessor, "--model", "judge")
        n_asked = len(server.calls)
    assert done.exit_code == 4
    assert "does not support image input" in done.stderr
    assert n_asked <= 20
    assert n_asked >= (UNANSWERED if assessor == "endpoint_pairs" else 1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--assessor", "baseline", "--endpoint", "http://127.0.0.1:1/v1"], "assessor baseline asks none"),
        (["--assessor", "vlm_pairs", "--endpoint", "http://127.0.0.1:1/v1", "--option", "device=cpu"], "device"),
        (["--assessor", "vlm_pairs", "--option", "max_calls=3"], "works only together with endpoint"),
        (["--assessor", "vlm_pairs", "--option", "agreement=3"], "no option agreement"),
        (["--assessor", "vlm_pairs", "--model", "a", "--option", "model=b"], "give only one of them"),
    ],
)
def test_options_that_do_not_go_together(options: list[str], words: str, pairs: Path) -> None:
    done = evaluate(pairs, "none", *options)
    assert done.exit_code == 2, done.output
    assert words in done.stderr
