"""A stage in two processes, which the command starts itself, and which accelerate's launcher does."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.numpy import load_file

from tests.e2e.launching import ACCELERATE, REDAES, ROOT, launch


def test_two_processes_keep_ranking_groups_whole_and_resume(red_folder: Path, tmp_path: Path) -> None:
    # The consistency rewards raise when a group is cut, so that the run ends well is the proof.
    stage = ["grpo", "--output_dir", "runs/two", "--max_steps", "4", "--save_steps", "2", "--data", str(red_folder)]
    first = launch([*REDAES, *stage, "--num_processes", "2"], tmp_path)
    assert first.returncode == 0, first.stderr[-3000:]
    assert first.stdout.count("stage 3 finished: runs/two/final") == 1
    final = tmp_path / "runs/two/final"
    weights = (final / "adapter_model.safetensors").read_bytes()
    learned = load_file(final / "adapter_model.safetensors")
    assert any(bool(value.any()) for name, value in learned.items() if "lora_B" in name), "these start at zero"
    for file in final.iterdir():
        file.unlink()
    (tmp_path / "runs/two/checkpoint-4/trainer_state.json").write_text("{cut off")
    ddp = ["--config_file", str(ROOT / "accelerate_configs" / "ddp.yaml"), "--num_processes", "2"]
    command = [*ACCELERATE, *ddp, "--main_process_port", "0", "-m", "redaes", "train", *stage]
    again = launch(command, tmp_path, ACCELERATE_USE_CPU="true")
    assert again.returncode == 0, again.stderr[-3000:]
    assert json.loads((final / "run_record.json").read_text())["resumed_from"].endswith("checkpoint-2")
    assert (final / "adapter_model.safetensors").read_bytes() == weights
