"""``redaes taste teach``: the questions about a folder, answered over HTTP, across a kill."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import shlex
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from colours import Colours
from PIL import Image
from typer.testing import CliRunner

from redaes.assessor import Assessor
from redaes.cli.app import app
from redaes.cli.loading import ModelChoice
from redaes.cli.taste.teach import what_next
from redaes.culling.grouping import GroupingLimits
from redaes.culling.series_answers import find_series, said_of
from redaes.serving.teach_folder import MAX_ANSWER_BYTES, FolderSeries, TeachDesk, teach_app


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for sub, reds in (("june", (20, 120, 220)), ("may <1>", (60, 180))):
        (folder / sub).mkdir(parents=True)
        for red in reds:
            Image.new("RGB", (64, 48), (red, 30, 60)).save(folder / sub / f"={red}.png")
    Image.new("RGB", (64, 48), "teal").save(folder / "alone.png")
    (folder / "june" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnonsense")
    return folder


def desk_of(photos: Path, keep: Path, model: Colours | None = None) -> TeachDesk:
    found = find_series(photos, limits=GroupingLimits(by="folder"))
    assert ([len(one) for one in found.series], found.n_alone, len(found.unreadable)) == ([3, 2], 1, 1)
    assessor = Assessor(model or Colours(), mode="fast")
    series = [FolderSeries(one, said_of(assessor, one, keep.parent / "said")[0]) for one in found.series]
    return TeachDesk(found.root, series, keep, asked_by="colours @ 1")


@pytest.fixture
def desk(photos: Path, tmp_path: Path) -> Iterator[TeachDesk]:
    made = desk_of(photos, tmp_path / "answers.csv")
    yield made
    made.close()


def ask(desk: TeachDesk, method: str, path: str, **settings: Any) -> httpx.Response:
    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(teach_app(desk))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, path, **settings)

    return asyncio.run(run())


def answer_of(state: dict[str, Any], winner: str = "first") -> dict[str, Any]:
    asked = state["next"]
    return {"series": asked["series"], "first": asked["first"], "second": asked["second"], "winner": winner}


def test_from_the_first_question_to_the_last(desk: TeachDesk, photos: Path, tmp_path: Path) -> None:
    about = ask(desk, "GET", "/about").json()
    assert sorted(about["names"].values()) == sorted(
        path.relative_to(photos).as_posix() for path in photos.glob("*/=*.png")
    )
    state = about["state"]
    while state["next"] is not None:
        state = ask(desk, "POST", "/answers", json=answer_of(state)).json()
    assert (state["n_answers"], state["n_pairs"]) == (4, 4)
    with (tmp_path / "answers.csv").open(newline="") as text:
        rows = list(csv.DictReader(text))
    assert {row["series"] for row in rows} == {"june/=120.png and 2 more", "may <1>/=180.png and 1 more"}
    back = ask(desk, "POST", "/undo", json={}).json()
    assert back["n_answers"] == 3
    assert {back["next"]["first"], back["next"]["second"]} == {
        picture for picture, name in about["names"].items() if name in (rows[-1]["first"], rows[-1]["second"])
    }
    result = CliRunner().invoke(
        app,
        ["data", "import", str(tmp_path / "answers.csv"), "--pictures", str(photos), "--out", str(tmp_path / "mine")],
    )
    assert result.exit_code == 0, result.output
    assert sum(json.loads((tmp_path / "mine" / "report.json").read_text())["pairs"].values()) == 3


def test_a_second_start_goes_on_and_asks_the_model_nothing(photos: Path, tmp_path: Path) -> None:
    keep = tmp_path / "answers.csv"
    first = desk_of(photos, keep)
    state = ask(first, "POST", "/answers", json=answer_of(ask(first, "GET", "/about").json()["state"])).json()
    first.close()
    with keep.open("ab") as file:
        file.write(b"elsewhere.png,other.png,first,s\r\nhalf a r")
    model = Colours()
    second = desk_of(photos, keep, model)
    assert model.n_read == 0
    assert (second.n_answers, second.n_others) == (1, 2)
    assert ask(second, "GET", "/about").json()["state"] == state
    assert ask(second, "POST", "/undo", json={}).status_code == 422  # it would take back what others wrote
    assert ask(second, "POST", "/answers", json=answer_of(state)).json()["n_answers"] == 2
    assert ask(second, "POST", "/undo", json={}).json() == state
    second.close()


def test_pictures_and_files_of_the_page(desk: TeachDesk) -> None:
    for path in ("/", "/teach.js", "/folder.js", "/teach.css", "/page.css", "/viewer.js", "/viewer.css"):
        answer = ask(desk, "GET", path)
        assert answer.status_code == 200
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    picture = next(iter(ask(desk, "GET", "/about").json()["names"]))
    for path in (f"/pictures/{picture}", f"/small/{picture}"):
        answer = ask(desk, "GET", path)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
        assert answer.content.startswith(b"\xff\xd8")
    for path in ("/pictures/0", "/pictures/..%2Falone.png", "/taught.js", "/index.html", "/small/..%2F..%2Fetc"):
        assert ask(desk, "GET", path).status_code == 404


def test_strangers_and_nonsense_are_refused(desk: TeachDesk, tmp_path: Path) -> None:
    state = ask(desk, "GET", "/about").json()["state"]
    good = answer_of(state)
    for path in ("/", "/about", "/pictures/0"):
        assert ask(desk, "GET", path, headers={"Host": "evil.example"}).status_code == 403
    assert ask(desk, "POST", "/answers", json=good, headers={"Origin": "http://evil.example"}).status_code == 403
    assert ask(desk, "POST", "/answers", content=json.dumps(good)).status_code == 415
    assert ask(desk, "POST", "/undo").status_code == 415
    wrong: tuple[Any, ...] = (
        {**good, "series": 7},
        {**good, "series": 1 - good["series"]},
        {**good, "first": "x"},
        {**good, "second": good["first"]},
        {**good, "winner": "left"},
        [],
    )
    for bad in wrong:
        assert ask(desk, "POST", "/answers", json=bad).status_code == 422
    long = json.dumps({**good, "winner": "x" * MAX_ANSWER_BYTES})
    assert ask(desk, "POST", "/answers", content=long, headers={"Content-Type": "application/json"}).status_code == 413
    assert ask(desk, "POST", "/undo", json={}).status_code == 422
    assert len((tmp_path / "answers.csv").read_bytes().splitlines()) == 1


def run(*words: str) -> str:
    result = CliRunner().invoke(app, ["taste", "teach", *words])
    assert result.exit_code not in (0, 1), result.output
    return result.output


def test_what_cannot_be_taught_is_refused_before_a_model_is_loaded(photos: Path, tmp_path: Path) -> None:
    assert "is not a folder" in run(str(tmp_path / "missing"))
    assert "give taste or order" in run(str(photos), "--aim", "fame")
    assert "contradict" in run(str(photos), "--one-series", "--by-folder")
    other = tmp_path / "decisions.csv"
    other.write_text("rank,name\n")
    assert "nothing of it is changed" in run(str(photos), "--keep", str(other))
    keep = tmp_path / "answers.csv"
    common = ("--keep", str(keep), "--out", str(tmp_path / "out"))
    desk = desk_of(photos, keep)
    assert "another process keeps answers there" in run(str(photos), *common)
    desk.close()
    single = tmp_path / "single"
    single.mkdir()
    Image.new("RGB", (64, 48), "teal").save(single / "alone.png")
    assert "--by-folder or --one-series" in run(str(single), *common)


def test_answers_survive_a_kill(photos: Path, tmp_path: Path) -> None:
    keep = tmp_path / "answers.csv"
    command = [
        sys.executable, "-m", "redaes", "taste", "teach", str(photos), "--keep", str(keep),
        "--out", str(tmp_path / "out"), "--by-folder", "--device", "cpu",
    ]  # fmt: skip

    def started() -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        return process, process.stdout.readline().split()[1]  # "Open http://… to answer."

    def get(address: str, path: str, body: Any = None) -> dict[str, Any]:
        request = urllib.request.Request(address + path, headers={"Content-Type": "application/json"})
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(request, data, timeout=60) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    process, address = started()
    try:
        state = get(address, "about")["state"]
        for _ in range(2):
            state = get(address, "answers", answer_of(state))
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    process, address = started()
    try:
        assert get(address, "about")["state"] == state
    finally:
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate()
    assert "2 answers about these pictures" in output
    assert shlex.join(["redaes", "taste", "learn", str(keep), "--pictures", str(photos), "--out", "taste"]) in output


def test_the_next_command_can_be_typed_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taste").mkdir()
    (tmp_path / "taste2").write_text("")
    words = ["redaes", "taste", "learn", "my answers.csv", "--pictures", "it's", "--out", "taste3"]
    files = Path("my answers.csv"), Path("it's")
    for model, endpoint, more in (
        (None, None, []),
        ("my model", None, ["--model", "my model"]),
        ("theirs", "http://localhost:1/v1", []),
    ):
        said = what_next(*files, ModelChoice(model, None, None, endpoint, None))
        assert shlex.split(said.partition(": ")[2]) == [*words, *more]
