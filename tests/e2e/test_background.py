"""``redaes serve --background`` as it is typed, with the embedded model: started twice, used, killed, stopped."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    """Of commands that may use a service, which has a folder of its own; at the end none is left."""
    folder = tempfile.mkdtemp(prefix="r-")  # a socket's path is short
    found = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_RUNTIME_DIR": folder}
    del found["REDAES_SERVICE"]
    yield found
    redaes(found, "serve", "--stop")
    shutil.rmtree(folder)


def begin(environment: dict[str, str], *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", "from redaes.cli import main; main()", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=ROOT,
    )


def redaes(environment: dict[str, str], *words: str) -> tuple[int, str, str]:
    process = begin(environment, *words)
    stdout, stderr = process.communicate(timeout=600)
    return process.returncode, stdout, stderr


def process_in(text: str) -> int:
    found = re.search(r"process (\d+)", text)
    assert found is not None, text
    return int(found[1])


def test_started_twice_used_killed_and_stopped(environment: dict[str, str], photo_folder: Path, tmp_path: Path) -> None:
    socket = Path(environment["XDG_RUNTIME_DIR"]) / "redaes" / "service.sock"
    device = ("--device", "cpu")
    assert redaes(environment, "serve", "--status")[0] == 1

    starts = [begin(environment, "serve", "--background", *device) for _ in range(2)]
    said = [process.communicate(timeout=600) for process in starts]
    assert [process.returncode for process in starts] == [0, 0], said
    pids = {process_in(stdout) for stdout, _ in said}
    status, stdout, _ = redaes(environment, "serve", "--status")
    assert (status, {process_in(stdout)}) == (0, pids), "two starts are one service"
    status, _, stderr = redaes(environment, "serve", "--background", "--device", "cpu", "--model", "redaes/nano-base")
    assert status == 2
    assert "redaes serve --stop" in stderr

    pair = [str(photo_folder / f"photo{n}.png") for n in range(2)]
    for words in (["compare", *pair, "--json"], ["compare", *pair], ["score", pair[0], "--json"]):
        asked = redaes(environment, *words, *device, "--verbose")
        assert asked == redaes(environment, *words, *device, "--no-service")
        assert asked[0] == 0, asked
    for name, options in (("asked", ["--verbose"]), ("alone", ["--no-service"])):
        status, _, stderr = redaes(
            environment, "rank", str(photo_folder), "--out", str(tmp_path / name), *device, *options
        )
        assert (status, "background service is not used" in stderr) == (0, False), stderr
    lines = [(tmp_path / name / "ranking.jsonl").read_text() for name in ("asked", "alone")]
    assert lines[0] == lines[1]

    os.kill(pids.pop(), signal.SIGKILL)
    deadline = time.monotonic() + 60
    while redaes(environment, "serve", "--status")[0] == 4 and time.monotonic() < deadline:
        pass  # the kernel is still taking its lock away
    assert not socket.exists(), "what a killed service left is taken away"
    status, stdout, stderr = redaes(environment, "compare", *pair, *device, "--json", "--mode", "fast", "--verbose")
    assert (status, stderr) == (0, "redaes: the background service is not used: no service is running\n")
    assert json.loads(stdout)["model"] == "redaes/nano"

    status, stdout, stderr = redaes(environment, "serve", "--background", *device)
    assert status == 0, stderr
    assert redaes(environment, "serve", "--stop")[:2] == (0, f"process {process_in(stdout)} has ended\n")
    assert redaes(environment, "serve", "--status")[0] == 1
    assert not socket.exists()
