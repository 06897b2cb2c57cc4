"""Prompts that are read once, in several processes and under DeepSpeed: the steps are those of TRL's own way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from own_pairs import write_own_pairs
from safetensors.torch import load_file

HERE = Path(__file__).parent
CONFIGS = HERE.parents[1] / "accelerate_configs"
BIN = Path(sys.executable).parent
ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "OMP_NUM_THREADS": "1",
               "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")])}  # fmt: skip
CURVE = ("loss", "grad_norm", "kl", "entropy", "fast/antisymmetry", "fast/preference", "fast/agreement")
N_PROCESSES = {"ddp": 2, "zero2": 1, "zero2 of two": 2, "zero3": 2}


def arguments(model: Path, data: Path, out: Path, *more: str) -> list[str]:
    return ["--model", str(model), "--data", str(data), "--output_dir", str(out), "--max_steps", "3",
            "--learning_rate", "1e-2", "--warmup_steps", "0", "--bf16", "false", "--disable_tqdm", "true",
            "--beta", "0.1", "--lora_r", "4", "--lora_targets", "language", "--rewards", "format", "thurstone",
            "--reward_weights", "1", "1", "--pictures_per_group", "3", "--num_generations", "4",
            "--per_device_train_batch_size", "36", "--steps_per_generation", "1", "--max_completion_length", "6",
            "--gradient_accumulation_steps", "1", "--save_strategy", "no", "--completion_page_steps", "0",
            "--fast_antisymmetry_weight", "3", "--fast_preference_weight", "0.5", *more]  # fmt: skip


@pytest.mark.parametrize("how", ["ddp", *(pytest.param(name, marks=pytest.mark.slow) for name in [*N_PROCESSES][1:])])
def test_steps_are_those_of_whole_rows(how: str, tiny_model: Path, tmp_path: Path) -> None:
    data = write_own_pairs(tmp_path / "pairs", 4)
    environment = {**ENVIRONMENT, "ACCELERATE_USE_CPU": "true"}
    launcher = [str(BIN / "torchrun"), "--nproc_per_node", "2"]
    more = ["--gradient_checkpointing", "true"] if how == "ddp" else []
    if how != "ddp":
        environment = {**ENVIRONMENT, "DS_ACCELERATOR": "cpu"}
        recipe = CONFIGS / f"{how.removesuffix(' of two')}.yaml"
        launcher = [str(BIN / "accelerate"), "launch", "--config_file", str(recipe),
                    "--num_processes", str(N_PROCESSES[how]), "--main_process_port", "0"]  # fmt: skip
        more = ["--use_cpu", "false", "--ddp_backend", "gloo"]
    runs = [
        ("stage3", arguments(tiny_model, data, tmp_path / share, "--share_prompts", share, *more))
        for share in ("true", "false")
    ]
    (tmp_path / "runs.json").write_text(json.dumps(runs))
    command = [*launcher, str(HERE / "given_answers_runs.py"), str(tmp_path / "runs.json")]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stderr[-4000:]
    found = {}
    for share in ("true", "false"):
        final = tmp_path / share / "final"
        assert json.loads((final / "run_record.json").read_text())["metrics"]["shares_prompts"] is (share == "true")
        entries = json.loads((final / "trainer_state.json").read_text())["log_history"]
        curve = [[entry[name] for name in CURVE] for entry in entries if "kl" in entry]
        assert len(curve) == 3
        found[share] = torch.tensor(curve), load_file(final / "adapter_model.safetensors")
    assert found["true"][0][:, 2].max() > 0.001  # the policy leaves its reference
    torch.testing.assert_close(found["true"][0], found["false"][0], atol=1e-5, rtol=2e-3)
    for name, weight in found["false"][1].items():
        torch.testing.assert_close(found["true"][1][name], weight, atol=2e-4, rtol=2e-2)
