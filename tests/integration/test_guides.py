"""README and the guides as they are typed: every command that does not say what it needs, on a few pictures.

A page's blocks are run in order, in one folder that has what the page names. The guide at the head of docs/own-data.md
belongs to the quick tier, the other pages to the slow one.
"""

from __future__ import annotations

import csv
import glob
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from openai_server import OpenAIServer, always_the_first
from PIL import Image, ImageEnhance, ImageFilter
from typer.testing import CliRunner

from redaes.cli.app import app
from redaes.file_writing import read_json
from redaes.reference_photographs import reference_photographs
from tests.command_blocks import GUIDES, PYTHON_RUN_BY, RUN_BY, Block, blocks_of
from tests.conftest import synthetic_photograph

STEPS = {
    "sft": ["--max_steps", "4"],
    "align": ["--max_steps", "4"],
    "grpo": ["--max_steps", "2"],
    "fgaesq": ["--max_steps", "2"],
}
"""What is added to a line, for time: the recipe's steps are minutes."""
SMALL = ["--max-side", "64", "--views", "1", "--variants", "2", "--workers", "1"]
SERVER = re.compile(r"http://localhost:11434(/v1)?")
NOT_LEARNT = 6
"""How `redaes taste learn` ends where nothing was learnt."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the pages name: pictures, folders of pictures, lists."""
    shipped = {one.path.name: one.path for one in reference_photographs()}
    for name, source in {"a.jpg": "coffee.jpg", "b.jpg": "coffee-dark.jpg", "c.jpg": "chelsea-noisy.jpg"}.items():
        shutil.copy(shipped[source], tmp_path / name)
    for name in ("rocket.jpg", "rocket-tinted.jpg"):
        shutil.copy(shipped[name], tmp_path / name)
    rows = ["first,second,winner,source"]
    for number, scene in enumerate(("harbour", "garden", *(f"scene{n}" for n in range(6)))):
        (tmp_path / scene).mkdir()
        photograph = synthetic_photograph(number, 96, 72)
        for picture, light in (("01", 1.0), ("02", 0.5), ("03", 1.5)):
            ImageEnhance.Brightness(photograph).enhance(light).save(tmp_path / scene / f"{picture}.jpg")
        rows += [f"{scene}/01.jpg,{scene}/0{other}.jpg,first,{scene}" for other in (2, 3)] if number > 1 else []
    (tmp_path / "pairs.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    for folder, count in (("photographs", 6), ("PHOTOS", 6), ("FOLDER", 34)):
        (tmp_path / folder).mkdir()
        for number in range(count):
            synthetic_photograph(100 + number, 200, 150).save(tmp_path / folder / f"{number}.png")
    for folder in ("DIR", "shoot"):
        (tmp_path / folder).mkdir()
        with Image.open(shipped["coffee.jpg"]) as image:
            series = (
                image.copy(),
                ImageEnhance.Brightness(image).enhance(0.5),
                image.filter(ImageFilter.GaussianBlur(2)),
                ImageEnhance.Color(image).enhance(0.4),
            )
        for number, shot in enumerate(series):  # two of them are rejects
            shot.save(tmp_path / folder / f"{number}.jpg", quality=95)
        shutil.copy(shipped["chelsea.jpg"], tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def server() -> Iterator[str]:
    """The address of a model that answers every question alike."""
    with OpenAIServer(always_the_first) as running:
        yield running.base_url


def typed(words: list[str], server: str = "") -> str:
    """Give a command as it stands on the page, with fewer steps and smaller pictures.

    Returns:
        What it printed.
    """
    given = [SERVER.sub(server, word) for word in words[1:]]
    given = [name for word in given for name in (sorted(glob.glob(word)) if "*" in word else [word])]
    if words[1] == "train":
        given += STEPS.get(words[2], [])
    elif words[1:3] == ["data", "build"]:
        given += SMALL
    done = CliRunner().invoke(app, given)
    usual = {0, NOT_LEARNT} if words[1:3] == ["taste", "learn"] else {0}
    assert done.exit_code in usual, f"{shlex.join(words)}\n{done.output}"
    return done.output


def is_service(words: list[str]) -> bool:
    """Whether a command answers until it is stopped."""
    return words[1:2] == ["serve"] and not {"--background", "--stop", "--status"} & set(words)


def ask_health(words: list[str]) -> dict[str, str]:
    """Start a service as it is typed, on any free port, and return what it says of its health."""
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


def run_block(block: Block, server: str) -> None:
    """Run the commands of a block; what installs, and what make does, others test."""
    for words in block.commands():
        if words[0] == "redaes" and is_service(words):
            assert ask_health(words)["status"] == "ok", block.name
        elif words[0] == "redaes":
            typed(words, server)


def blocks_to_run(page: str) -> list[Block]:
    """Blocks of commands that do not say that they need something."""
    return [block for block in blocks_of(page) if block.language == "bash" and block.needs is None]


def write_lists(page: str) -> None:
    """Lists that a page shows, with more rows: what it shows is too little to learn from."""
    for block in blocks_of(page):
        if block.language == "csv":
            head = block.text.splitlines()[0].split(",")
            with Path("pairs.csv").open(encoding="utf-8", newline="") as file:
                rows = [{**row, "p": "1"} for row in csv.DictReader(file)]
            lines = [",".join(row[name] for name in head) for row in rows]
            Path("pairs.csv").write_text("\n".join([block.text.strip(), *lines]) + "\n", encoding="utf-8")


def test_every_command_of_the_guide_runs_as_it_is_typed(place: Path) -> None:
    write_lists("docs/own-data.md")
    blocks = blocks_to_run("docs/own-data.md")
    assert len([words for block in blocks for words in block.commands()]) >= 15
    for block in blocks:
        run_block(block, "")
    report = read_json(Path("mine/report.json"))
    assert report["rejected_pairs"] == {}
    assert report["explained"]["written"] > 0
    assert Path("mine.html").is_file()
    record = read_json(Path("runs/mine/stage3/final/run_record.json"))
    assert record["stage"] == "stage3_grpo"
    assert Path("runs/mine/compared/report.html").is_file()
    assert Path("ranked/ranking.jsonl").is_file()
    assert {part["weight"] for part in read_json(Path("both/report.json"))["merged"]} == {1.0, 2.0}


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in GUIDES if page not in {*RUN_BY, "docs/own-data.md"}])
def test_every_command_of_a_page_runs_as_it_is_typed(page: str, place: Path, server: str) -> None:
    if page in {"docs/evaluate.md", "docs/gpus.md"}:
        typed(["redaes", "data", "build", "PHOTOS", "--out", "pairs"])
    if page == "docs/cull.md":
        Path("answers.csv").write_text(Path("pairs.csv").read_text(encoding="utf-8"), encoding="utf-8")
    write_lists(page)
    for block in blocks_to_run(page):
        run_block(block, server)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page, test in PYTHON_RUN_BY.items() if test.endswith("test_guides.py")])
def test_the_python_of_a_page_runs(page: str, place: Path) -> None:
    """The component of docs/rewards.md, among others."""
    names: dict[str, object] = {}
    for block in blocks_of(page):
        if block.language == "python" and block.needs is None:
            exec(compile(block.text, block.name, "exec"), names)
    assert len(names) > 1


@pytest.mark.slow
def test_the_answer_that_the_results_show_is_given(place: Path) -> None:
    """Figures may differ by the processor in their last digit; verdict and statements may not."""
    (shown,) = [block.text for block in blocks_of("docs/results.md") if block.language == "text"]
    said = typed(["redaes", "compare", "rocket.jpg", "rocket-tinted.jpg"])
    assert said.splitlines()[0] == shown.splitlines()[0]
    for line in shown.splitlines():
        if line.startswith(("decided by", "consistency", "held against")):
            assert " ".join(line.partition(" (")[0].split()) in " ".join(said.split())
