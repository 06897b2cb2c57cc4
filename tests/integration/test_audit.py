"""The audit's page before a server: asked by HTTP as the page asks, by strangers, by several people, across a kill."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from own_pairs import write_own_pairs

from redaes.datagen.audit.answer_files import read_lines
from redaes.datagen.audit.drawn_pairs import drawn_pairs, new_draw, population
from redaes.datagen.audit.given_answers import given_answers

pytest.importorskip("starlette", reason="starlette is absent; pip install 'redaes[audit]'")


@pytest.fixture(scope="module")
def own_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_own_pairs(tmp_path_factory.mktemp("own"), 8, 2)


@contextmanager
def served(folder: Path, keep: Path, port: int = 0) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """``redaes data audit --serve`` in a process of its own, and its address."""
    command = [sys.executable, "-m", "redaes", "data", "audit", str(folder), "--pairs", "12", "--serve", str(port)]
    process = subprocess.Popen(
        [*command, "--keep", str(keep)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        match = re.match(r"(http://127\.0\.0\.1:\d+)/ shows 12 pairs", line)
        assert match, line + (process.communicate()[1] if process.poll() is not None else "")
        yield match[1], process
    finally:
        process.kill()
        process.communicate()


def shown(client: httpx.Client) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """What the page holds, and the showings of its first order, as its script makes them."""
    page = client.get("/")
    assert page.headers["x-frame-options"] == "DENY"
    data = json.loads(page.text.partition('id="audit">')[2].partition("</script>")[0])
    turns = []
    for pair, exchanged, time in data["orders"][0]:
        token, one, other = data["pairs"][pair]
        left, right = (other, one) if exchanged else (one, other)
        turns.append({"showing": f"{token}/{time}", "left": left, "right": right})
    return data, turns


def answer(data: dict[str, Any], turn: dict[str, str], person: str, choice: str = "left") -> dict[str, Any]:
    at = "2026-01-01T00:00:00.000Z"
    return {"draw": data["draw"], "person": person, **turn, "choice": choice, "seconds": 1.5, "at": at}


def test_people_judge_across_a_kill(own_pairs: Path, tmp_path: Path) -> None:
    keep = tmp_path / "answers.jsonl"
    with served(own_pairs, keep) as (address, process), httpx.Client(base_url=address) as client:
        data, turns = shown(client)
        assert len(turns) == 13  # one of twelve comes again
        pictures = {turn[side] for turn in turns for side in ("left", "right")}
        for token in pictures:
            picture = client.get(f"/pictures/{token}")
            assert (picture.headers["content-type"], picture.content[:2]) == ("image/jpeg", b"\xff\xd8")
        assert len(pictures) == 24
        with ThreadPoolExecutor(4) as several:  # at once
            work = [answer(data, turn, person) for turn in turns[:6] for person in ("Ann", "Ben", "Cy", "<Dee>")]
            assert {one.status_code for one in several.map(lambda one: client.post("/answers", json=one), work)} == {
                200
            }
        port = int(address.rpartition(":")[2])
        process.send_signal(signal.SIGKILL)
        process.wait()
    with keep.open("ab") as cut:
        cut.write(b'{"draw": {"version"')
    with served(own_pairs, keep, port) as (address, process), httpx.Client(base_url=address) as client:
        for person in ("Ann", "<Dee>"):
            given = client.get("/answers", params={"person": person}).json()["given"]
            assert given == {turn["showing"]: "left" for turn in turns[:6]}
        assert client.get("/answers", params={"person": "Eve"}).json() == {"given": {}}
        for turn in turns[6:]:
            assert client.post("/answers", json=answer(data, turn, "Ann", "alike")).status_code == 200
        second = subprocess.run(
            [sys.executable, "-m", "redaes", "data", "audit", str(own_pairs), "--serve", "0", "--keep", str(keep)],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert second.returncode == 2
        assert "another audit keeps its answers there" in second.stderr
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        told, warned = process.communicate()
        assert f"--answers {keep}" in told
        assert "is begun" not in warned
        assert "Ann continues after 6 answers" in warned
    found = population(own_pairs)
    given = given_answers(found, [keep])
    assert {kind: note.n for kind, note in given.remarks.items()} == {"lines that are not answers": 1}
    assert len(given.first) + len(given.repeated) == 13 + 3 * 6
    assert sum(1 for _ in read_lines(keep)) == 13 + 3 * 6 + 1


def test_what_is_no_answer_is_refused_and_not_kept(own_pairs: Path, tmp_path: Path) -> None:
    keep = tmp_path / "answers.jsonl"
    with served(own_pairs, keep) as (address, _), httpx.Client(base_url=address) as client:
        data, turns = shown(client)
        good = answer(data, turns[0], "Ann")
        for change, status, said in (
            ({"choice": "A"}, 422, "choice"),
            ({"person": " "}, 422, "person"),
            ({"showing": turns[0]["showing"][:-1] + "7"}, 422, "no pair is shown as"),
            ({"left": turns[1]["left"]}, 422, "does not show these pictures"),
            ({"draw": {**data["draw"], "seed": 1}}, 422, "another audit"),
            ({"person": "x" * 5000}, 413, "4096 bytes"),
        ):
            refused = client.post("/answers", json={**good, **change})
            assert (refused.status_code, said in refused.json()["error"]["message"]) == (status, True), refused.text
        text = json.dumps(good)
        assert client.post("/answers", content=text, headers={"Content-Type": "text/plain"}).status_code == 415
        assert client.post("/answers", content="{", headers={"Content-Type": "application/json"}).status_code == 422
        assert client.get("/pictures/../../etc/passwd").status_code == 404
        assert client.get("/pictures/" + "0" * 20).status_code == 404
        # A page of another site, and a hostile name for this machine.
        for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}, {"Origin": "null"}):
            assert client.post("/answers", json=good, headers=headers).status_code == 403
            assert client.get("/", headers=headers).status_code == 403
        assert client.post("/answers", json=good, headers={"Origin": address}).status_code == 200
    assert len(list(read_lines(keep))) == 1


def test_a_picture_that_is_gone_is_told_here_and_not_there(own_pairs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "red"
    shutil.copytree(own_pairs, folder)
    keep = tmp_path / "new" / "answers.jsonl"
    with served(folder, keep) as (address, process), httpx.Client(base_url=address) as client:
        data, turns = shown(client)
        for shard in (folder / "data").iterdir():
            shard.write_bytes(b"no longer there")
        lost = client.get(f"/pictures/{turns[0]['left']}")
        assert lost.status_code == 404
        assert "parquet" not in lost.text
        assert client.post("/answers", json=answer(data, turns[0], "Ann", "unseen")).status_code == 200
        process.send_signal(signal.SIGINT)
        warned = process.communicate()[1]
        assert "is not readable Parquet" in warned
        assert f"{keep} is a new file without answers" in warned


def test_a_port_that_is_taken(own_pairs: Path, tmp_path: Path) -> None:
    with served(own_pairs, tmp_path / "one.jsonl") as (address, _):
        port = address.rpartition(":")[2]
        second = subprocess.run(
            [sys.executable, "-m", "redaes", "data", "audit", str(own_pairs), "--serve", port, "--keep", "two.jsonl"],
            capture_output=True, text=True, cwd=tmp_path, timeout=120,
        )  # fmt: skip
    assert second.returncode == 2
    assert f"127.0.0.1:{port}: " in second.stderr
    assert "give another --serve PORT" in second.stderr


def test_the_draw_of_the_server_is_that_of_the_report(own_pairs: Path, tmp_path: Path) -> None:
    with served(own_pairs, tmp_path / "answers.jsonl") as (address, _), httpx.Client(base_url=address) as client:
        data, _ = shown(client)
    found = population(own_pairs)
    draw = new_draw(found.dataset, n_pairs=12, seed=0, repeated=0.1)
    assert data["draw"] == draw.as_json()
    assert [pair[0] for pair in data["pairs"]] == [pair.token for pair in drawn_pairs(found, draw)]
