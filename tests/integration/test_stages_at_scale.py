"""The benchmark for GPUs, on a tiny Qwen2.5-VL: the second family that the recipes name, through all three doors."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_all_three_stages_are_measured_on_a_qwen2_5_vl(red_folder: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/stages_at_scale.py", "--work", str(tmp_path), "--shape", "tiny", "--steps", "3",
         "--accelerate", "accelerate_configs/cpu.yaml", "--completion", "8", "--data", str(red_folder),
         "--peak_tflops", "0.1"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    rows = re.findall(r"^\| ([123]) \| (.*) \|$", done.stdout, re.MULTILINE)
    assert [stage for stage, _ in rows] == ["1", "2", "3"]
    for _, cells in rows:
        seconds, samples, tokens, tflops, mfu, peak = cells.split(" | ")
        assert min(float(value.replace(",", "")) for value in (seconds, samples, tokens, tflops, peak)) > 0
        assert mfu.endswith("%")


def test_too_few_steps_to_time_are_refused(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/stages_at_scale.py", "--work", str(tmp_path), "--steps", "2"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "give 3 or more" in done.stderr


@pytest.mark.slow
def test_ablations_share_the_stages_that_they_share_and_go_on(red_folder: Path, tmp_path: Path) -> None:
    """The smallest run: what is asked here is whether the stages run and the table is whole, not what it says."""
    command = [
        sys.executable, "benchmarks/ablations.py", "--data", str(red_folder), "--work", str(tmp_path), "--steps", "1",
        "1", "1", "--pairs", "6", "--reasoned", "2", "--variants", "all three stages", "without stage 3",
        "without the factor reward", "--", "--per_device_train_batch_size", "24",
    ]  # fmt: skip
    said = []
    for _ in range(2):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        said.append(done.stdout)
    assert said[0] == said[1]
    assert {path.name for path in (tmp_path / "seed0").iterdir()} == {"1", "1-2", "1-2-3", "1-2-3-factor"}
    record = json.loads((tmp_path / "seed0" / "1-2-3-factor" / "settings.json").read_text())
    assert record["reward_weights"][-1] == 0.0
    rows = re.findall(r"^\| (fast|reasoned): .* \|$", said[0], re.MULTILINE)
    assert rows == (["fast"] * 3 + ["reasoned"] * 3) * 2  # values, then changes
    assert "| change against all three stages | without stage 3 | without the factor reward |" in said[0]
