"""A door launched with two processes."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.numpy import load_file

from tests.e2e.launching import TORCHRUN, door, launch


def test_two_processes_keep_ranking_groups_whole_and_resume(red_folder: Path, tmp_path: Path) -> None:
    # The consistency rewards raise when a group is cut, so that the run ends well is the proof.
    command = [*TORCHRUN, door("stage3"), "--output_dir", "runs/two", "--max_steps", "4", "--save_steps", "2"]
    command += ["--data", str(red_folder)]
    first = launch(command, tmp_path, ACCELERATE_USE_CPU="true")
    assert first.returncode == 0, first.stderr[-3000:]
    final = tmp_path / "runs/two/final"
    weights = (final / "adapter_model.safetensors").read_bytes()
    learned = load_file(final / "adapter_model.safetensors")
    assert any(bool(value.any()) for name, value in learned.items() if "lora_B" in name), "these start at zero"
    for file in final.iterdir():
        file.unlink()
    (tmp_path / "runs/two/checkpoint-4/trainer_state.json").write_text("{cut off")
    again = launch(command, tmp_path, ACCELERATE_USE_CPU="true")
    assert again.returncode == 0, again.stderr[-3000:]
    assert json.loads((final / "run_record.json").read_text())["resumed_from"].endswith("checkpoint-2")
    assert (final / "adapter_model.safetensors").read_bytes() == weights
