"""The benchmark for GPUs, on a tiny Qwen2.5-VL: the second family that the recipes name, through all three stages."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def gpu_run(red_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[dict[str, Any]]]:
    """All parts on tiny shapes: what the script printed, and its lines."""
    work = tmp_path_factory.mktemp("gpu_run")
    done = subprocess.run(
        ["bash", "benchmarks/gpu_run.sh", "--tiny", "--python", sys.executable, "--work", str(work),
         "--data", str(red_folder), "--peak_tflops", "0.1"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    logs = "".join(file.read_text()[-2000:] for file in sorted(work.glob("*.log")))
    assert done.returncode == 0, done.stdout + done.stderr[-3000:] + logs
    assert (work / "summary.md").read_text() in done.stdout
    return done.stdout, [json.loads(line) for line in (work / "results.jsonl").read_text().splitlines()]


def test_all_three_stages_are_measured_on_a_qwen2_5_vl(gpu_run: tuple[str, list[dict[str, Any]]]) -> None:
    measured = [line["figures"] for line in gpu_run[1] if line["part"].startswith("stage")]
    assert [one["stage"] for one in measured] == ["1", "2", "3"]
    for one in measured:
        for name in ("seconds_per_step", "samples_per_s", "tokens_per_s", "tflops", "mfu", "peak_gib"):
            assert one[name] > 0


def test_every_part_says_what_it_found_or_why_not(gpu_run: tuple[str, list[dict[str, Any]]]) -> None:
    printed, lines = gpu_run
    assert {line["part"]: line["status"] for line in lines} == {
        "stage1": "measured", "stage2": "measured", "stage3": "measured", "warmup": "measured", "editor": "skipped",
        "vllm": "skipped",
    }  # fmt: skip
    assert next(line for line in lines if line["part"] == "warmup")["figures"]["pair_views_per_s"] > 0
    assert "| vllm | 0 | skipped: needs a GPU (--tiny) |" in printed


def test_a_spent_budget_leaves_parts_out_and_a_failure_does_not_stop_the_rest(red_folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "benchmarks/gpu_run.py", "--tiny", "--work", str(tmp_path), "--data"]
    done = subprocess.run(
        [*command, str(red_folder), "--budget", "60", "--spent", "59"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [line["status"] for line in lines] == ["skipped"] * 6
    assert "s of the budget were left" in lines[0]["reason"]

    (tmp_path / "broken" / "data").mkdir(parents=True)
    done = subprocess.run(
        [*command, str(tmp_path / "broken"), "--parts", "warmup", "editor"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    lines = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [line["status"] for line in lines] == ["failed", "skipped"]
    assert "not a RED dataset" in lines[0]["reason"]


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
    weights = dict(zip(record["rewards"], record["reward_weights"], strict=True))
    assert [name for name, weight in weights.items() if not weight] == ["factor"]
    rows = re.findall(r"^\| (fast|reasoned): .* \|$", said[0], re.MULTILINE)
    assert rows == (["fast"] * 3 + ["reasoned"] * 3) * 2  # values, then changes
    assert "| change against all three stages | without stage 3 | without the factor reward |" in said[0]
