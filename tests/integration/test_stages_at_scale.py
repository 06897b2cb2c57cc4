"""The benchmark for GPUs, on a tiny Qwen2.5-VL: the second family that the recipes name, through all three doors."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

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
