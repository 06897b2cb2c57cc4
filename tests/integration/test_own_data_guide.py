"""The guide at the head of docs/own-data.md as it is typed: every command, on a few pictures, with few steps."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import ImageEnhance
from typer.testing import CliRunner

from redaes.cli.app import app
from redaes.file_writing import read_json
from tests.conftest import synthetic_photograph

PAGE = (Path(__file__).parents[2] / "docs" / "own-data.md").read_text(encoding="utf-8")
GUIDE = PAGE[PAGE.index("## From a CSV to a served model") : PAGE.index("\n## Pairs")]
STEPS = {"sft": ["--max_steps", "4"], "align": ["--max_steps", "4"], "grpo": ["--max_steps", "2"]}
"""What is added to a line, for time: the recipe's steps are minutes."""
SMALL = ["--max-side", "64", "--views", "1", "--variants", "2", "--workers", "1"]


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


COMMANDS = [shlex.split(line) for block in blocks("bash") for line in block.splitlines() if line.startswith("redaes ")]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where somebody with such pictures and such a list types the commands."""
    folder = tmp_path_factory.mktemp("guide")
    (listed,) = blocks("csv")
    lines = listed.splitlines()
    for number, scene in enumerate(("harbour", "garden", *(f"scene{n}" for n in range(6)))):
        (folder / scene).mkdir()
        photograph = synthetic_photograph(number, 96, 72)
        for picture, light in (("01", 1.0), ("02", 0.5), ("03", 1.5)):
            ImageEnhance.Brightness(photograph).enhance(light).save(folder / scene / f"{picture}.jpg")
        lines += [f"{scene}/01.jpg,{scene}/0{other}.jpg,first,{scene}" for other in (2, 3)] if number > 1 else []
    (folder / "pairs.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "photographs").mkdir()
    for number in range(6):
        synthetic_photograph(100 + number, 200, 150).save(folder / "photographs" / f"{number}.png")
    before = Path.cwd()
    os.chdir(folder)
    yield folder
    os.chdir(before)


def typed(words: list[str]) -> str:
    more = STEPS.get(words[2], []) if words[1] == "train" else SMALL if words[1:3] == ["data", "build"] else []
    done = CliRunner().invoke(app, [*words[1:], *more])
    assert done.exit_code == 0, f"{shlex.join(words)}\n{done.output}"
    return done.output


def test_every_command_of_the_guide_runs_as_it_is_typed(place: Path) -> None:
    served = [words for words in COMMANDS if words[1] == "serve"]
    others = [words for words in COMMANDS if words[1] != "serve"]
    assert len(served) == 1
    assert len(others) >= 14
    for words in others:
        typed(words)
    report = read_json(Path("mine/report.json"))
    assert report["rejected_pairs"] == {}
    assert report["explained"]["written"] > 0
    assert Path("mine.html").is_file()
    record = read_json(Path("runs/mine/stage3/final/run_record.json"))
    assert record["stage"] == "stage3_grpo"
    assert Path("runs/mine/compared/report.html").is_file()
    assert Path("ranked/ranking.jsonl").is_file()
    assert {part["weight"] for part in read_json(Path("both/report.json"))["merged"]} == {1.0, 2.0}
    answers = _served(served[0])
    assert answers["status"] == "ok"


def _served(words: list[str]) -> dict[str, str]:
    """What the service says of its health."""
    environment = {**os.environ, "NO_PROXY": "127.0.0.1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", *words, "--port", "0"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{address}/health", timeout=60) as answer:
            found: dict[str, str] = json.load(answer)
        return found
    finally:
        process.terminate()
        process.wait(timeout=60)


def test_the_recipes_that_it_names_are_there() -> None:
    said = CliRunner().invoke(app, ["train", "--list"]).output
    named = re.findall(r"--config (\w+)", GUIDE)
    assert named
    assert all(re.search(rf"^  {name}\b", said, re.MULTILINE) for name in named)
