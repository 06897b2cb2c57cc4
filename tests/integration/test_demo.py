"""The demonstration on a tiny random model: stopped hard in the middle, continued, finished, refused when
something else is wanted in the same folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]

CODE = """
import sys
from pathlib import Path
from redaes.demo import DemoScale, run
from redaes.errors import RedaesError
scale = DemoScale(
    n_groups=8, variants=2, max_side=96, n_evaluated=12, n_reasoned=2, lora_r=4,
    sft_steps=4, sft_batch=2, align_steps=4, align_batch=2, grpo_steps=8, max_completion_length=8,
)
try:
    run(Path(sys.argv[1]), Path(sys.argv[2]), model=sys.argv[3], scale=scale)
except RedaesError as error:
    sys.exit(f"refused: {error}")
"""


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    for number in range(4):
        rng = np.random.default_rng(number)
        coarse = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((200, 150), Image.Resampling.BICUBIC).save(folder / f"{number}.png")
    (folder / "damaged.jpg").write_bytes(b"\xff\xd8\xff cut off")
    return folder


def _start(photographs: Path, out: Path, model: Path) -> subprocess.Popen[str]:
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-c", CODE, str(photographs), str(out), str(model)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )


def _finish(photographs: Path, out: Path, model: Path) -> tuple[int, str, str]:
    with _start(photographs, out, model) as process:
        stdout, stderr = process.communicate(timeout=600)
    return process.returncode, stdout, stderr


def test_stopped_continued_finished(photographs: Path, tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with _start(photographs, out, tiny_model) as process:
        deadline = time.monotonic() + 300
        # When the second checkpoint is begun, the first is whole.
        while not (out / "stage2" / "checkpoint-2").exists() and time.monotonic() < deadline:
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.kill()
    kept = {path: path.read_bytes() for path in (out / "eval").glob("*.json")}
    assert {path.stem for path in kept} == {"before", "stage1"}

    status, said, errors = _finish(photographs, out, tiny_model)
    assert status == 0, errors
    assert {path: path.read_bytes() for path in kept} == kept
    assert "stage 1: imitate reasoning, winner and difference: done before" in said
    assert json.loads((out / "stage2" / "final" / "run_record.json").read_text())["resumed_from"]
    page = (out / "report.html").read_text(encoding="utf-8")
    for part in ("after stage 3", "damaged.jpg", "no usable answer", "Limits"):
        assert part in page
    assert set(json.loads((out / "times.json").read_text())) >= {"build", "stage1", "stage3", "eval_stage3"}

    # Again: nothing is left to do but the report.
    status, said, errors = _finish(photographs, out, tiny_model)
    assert status == 0, errors
    assert said.count("done before") == 8

    # Other photographs in the same folder are refused by the step that notices, and named.
    Image.new("RGB", (200, 150), "red").save(photographs / "new.png")
    status, said, errors = _finish(photographs, out, tiny_model)
    assert status == 1
    assert "refused:" in errors
    assert "other photographs" in errors
    assert "[1/10] make pairs from the photographs: stopped" in said


def test_wrong_input_is_refused_at_once(tmp_path: Path, tiny_model: Path) -> None:
    status, _, errors = _finish(tmp_path / "gone", tmp_path / "out", tiny_model)
    assert (status, "no such folder" in errors) == (1, True)
    (tmp_path / "empty").mkdir()
    status, _, errors = _finish(tmp_path / "empty", tmp_path / "out", tiny_model)
    assert (status, "no pictures found" in errors) == (1, True)
    (tmp_path / "file").write_text("x")
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (200, 150), "red").save(tmp_path / "photos" / "a.png")
    status, _, errors = _finish(tmp_path / "photos", tmp_path / "file", tiny_model)
    assert (status, "cannot be written" in errors) == (1, True)
    status, said, errors = _finish(tmp_path / "photos", tmp_path / "out", tiny_model)
    assert (status, "give at least two" in errors) == (1, True)
    assert "stopped after" in said
