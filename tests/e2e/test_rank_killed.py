"""``redaes rank`` killed with SIGKILL and started again: nothing lost, nothing asked twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]
CODE = """
import sys, time
import numpy as np
from redaes import cli
from redaes.backends.base import BatchBackend
from redaes.cli import loading

class Brighter(BatchBackend):
    model, revision = "brighter", "1"
    def read(self, requests, choices):
        rows = []
        for request in requests:
            time.sleep(0.02)
            print("asked", file=sys.stderr, flush=True)
            first, second = (float(np.asarray(image).mean()) for image in request.images)
            rows.append([(first - second) / 10, 0.0, -9.0])
        return np.array(rows).reshape(-1, 3)
    def generate(self, requests, sampling):
        return ["Hm."] * len(requests)

loading.load_model = lambda *_, **__: Brighter()
cli.main()
"""


def _launch(folder: Path, out: Path, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-c", CODE, "rank", str(folder), "--out", str(out)],
            cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=file, stderr=file,
        )  # fmt: skip


def _asked(log: Path) -> int:
    return log.read_text().count("asked\n")


def test_a_killed_ranking_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for scene in range(6):
        small = np.random.default_rng(scene).integers(40, 180, (6, 8, 3), dtype=np.uint8)
        picture = np.asarray(Image.fromarray(small).resize((96, 72), Image.Resampling.BICUBIC), dtype=float)
        for shot in range(4):
            Image.fromarray((picture * (0.7 + 0.1 * shot)).clip(0, 255).astype(np.uint8)).save(
                folder / f"{scene}_{shot}.png"
            )
    out, logs = tmp_path / "out", [tmp_path / f"{name}.log" for name in ("killed", "again", "whole")]
    killed = _launch(folder, out, logs[0])
    deadline = time.monotonic() + 120
    while len(list((out / "answers").glob("[!.]*.json"))) < 2:
        assert killed.poll() is None, logs[0].read_text()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (out / "ranking.jsonl").exists()
    assert _launch(folder, out, logs[1]).wait(120) == 0, logs[1].read_text()
    assert _launch(folder, tmp_path / "whole", logs[2]).wait(120) == 0
    again, whole = (
        [json.loads(line) for line in (place / "ranking.jsonl").read_text().splitlines()]
        for place in (out, tmp_path / "whole")
    )
    assert again == whole
    assert len(whole) == 6
    assert _asked(logs[2]) == 6 * 12
    # Two series were kept whole; what was under way when it was killed is at most one series' batch.
    assert _asked(logs[1]) <= _asked(logs[2]) - 2 * 12
