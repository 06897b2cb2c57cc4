"""``redaes data explain`` with a model behind a server: what it writes is checked, counted, and paid for once."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from openai_server import Call, Fault, OpenAIServer, Say
from PIL import ImageEnhance
from typer.testing import CliRunner

from redaes.cli.app import app
from redaes.datagen.validation import validate
from redaes.file_writing import read_json
from redaes.records import PairRecord, read_records
from redaes.types import SPLITS
from tests.conftest import synthetic_photograph

N = 8
"""Pairs; the darker one lost in the first half, and a copy with one other pixel in the second."""


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An imported set without reasoning."""
    place = tmp_path_factory.mktemp("votes")
    lines = ["first,second,winner,source"]
    for number in range(N):
        photograph = ImageEnhance.Color(synthetic_photograph(80 + number, 96, 72)).enhance(0.3)
        photograph.save(place / f"{number}.png")
        if number < N // 2:
            other = ImageEnhance.Brightness(photograph).enhance(0.4)
        else:
            other = photograph.copy()
            other.putpixel((0, 0), (9, 9, 9))
        other.save(place / f"{number}-other.png")
        lines.append(f"{number}.png,{number}-other.png,first,p{number}")
    (place / "votes.csv").write_text("\n".join(lines))
    run("data", "import", place / "votes.csv", "--out", place / "set")
    return place / "set"


def run(*words: str | Path, code: int = 0) -> str:
    done = CliRunner().invoke(app, list(map(str, words)))
    assert done.exit_code == code, done.output
    return done.output


def recipe(server: OpenAIServer, folder: Path, more: str = "") -> Path:
    file = folder / "writer.yaml"
    file.write_text(f"endpoint: {server.base_url}\nwriter: scribe\nmax_rewrites: 1\nconcurrency: 2\n{more}")
    return file


def records_of(folder: Path) -> dict[str, PairRecord]:
    return {record.pair.id: record for split in SPLITS for record in read_records(folder, split)}


def prompt_of(call: Call) -> str:
    """The first message, whatever was said since."""
    content = call.body["messages"][0]["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def composed(call: Call) -> Say:
    """A text about the framing, which nothing that is measured can contradict, with the factors that are asked for."""
    (named, better) = re.findall(r"Decisive: (\w+), better in ([AB])\.", prompt_of(call))[-1]
    other = "B" if better == "A" else "A"
    return Say(
        f"{better} is framed with care: its composition leaves room around what matters, and the eye is led through "
        f"the frame. In {other} the framing is a little tighter, and the composition feels less settled beside it. "
        f"Decisive: {'composition' if named == 'FACTORS' else named}, better in {better}."
    )


def test_a_model_says_what_decides_and_argues_so_in_both_orders(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with OpenAIServer(composed) as server:
        said = run("data", "explain", plain, "--out", tmp_path / "set", "--writer", recipe(server, tmp_path))
        assert len(server.calls) == 2 * N
        free = ["Decisive: FACTORS," in prompt_of(call) for call in server.calls]
    assert sum(free) == N  # the other order is told what the first one found
    found = records_of(tmp_path / "set")
    assert {record.writer for record in found.values()} == {"scribe"}
    assert {record.pair.factors for record in found.values()} == {("composition",)}
    assert all(record.rationale and record.rationale_swapped for record in found.values())
    assert re.search(rf"│ written +│ {N} ", said)
    assert "scribe: rationale/v2: ok: 16" in said
    assert not validate(tmp_path / "set").wrong
    assert read_json(tmp_path / "set" / "report.json")["explained"]["writer: scribe"] == N


def test_what_is_rejected_or_not_answered_is_counted(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The embedded writer steps in where measurements speak, and nobody where they do not."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def refuses(call: Call) -> Say | Fault:
        return Say("I would rather talk about the score.") if call.index % 5 else Fault(400)

    with OpenAIServer(refuses) as server:
        run("data", "explain", plain, "--out", tmp_path / "set", "--writer", recipe(server, tmp_path))
    counts = read_json(tmp_path / "set" / "report.json")["explained"]
    assert counts["written"] == counts["writer: embedded"] == N // 2
    assert sum(n for name, n in counts.items() if name.startswith("without:")) == N // 2
    assert counts["requests_and_texts"]["text: not_decisive"] > 0
    assert any(name.startswith("scribe: failed") for name in counts["requests_and_texts"])
    for record in records_of(tmp_path / "set").values():
        assert (record.rationale is None) == (record.writer == "")


def test_a_budget_that_is_spent_ends_the_run_which_can_be_gone_on_with(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with OpenAIServer(composed) as server:
        few = recipe(server, tmp_path, "max_calls: 5\n")
        said = run("data", "explain", plain, "--out", tmp_path / "set", "--writer", few, code=4)
        assert "max_calls 5 is spent; run again to go on" in " ".join(said.split())
        assert not (tmp_path / "set").exists()
        run("data", "explain", plain, "--out", tmp_path / "set", "--writer", recipe(server, tmp_path))
        assert len(server.calls) == 2 * N
    assert len(records_of(tmp_path / "set")) == N


def test_a_killed_run_pays_for_no_answer_twice(plain: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "NO_PROXY": "127.0.0.1", "PYTHONPATH": os.pathsep.join(sys.path)}
    with OpenAIServer(lambda call: Say(composed(call).text, after_s=0.15)) as server:
        words = ["data", "explain", plain, "--out", tmp_path / "set", "--writer", recipe(server, tmp_path)]
        command = [sys.executable, "-m", "redaes", *map(str, words)]
        begun = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            while len(server.calls) < 6:
                assert begun.poll() is None
                time.sleep(0.02)
        finally:
            begun.send_signal(signal.SIGKILL)
            begun.wait()
        assert not (tmp_path / "set").exists()
        subprocess.run(command, env=environment, check=True, capture_output=True)
        times = Counter(json.dumps(call.body, sort_keys=True) for call in server.calls)
    assert len(times) == 2 * N
    assert sum(n - 1 for n in times.values()) <= 2  # those that were under way when it was killed
    assert len(records_of(tmp_path / "set")) == N
