"""Rollouts by vLLM inside the trainer, for real: what vLLM says of its answers is what the trainer says of them.

These run only where vLLM is installed (docs/training.md says how), on a CPU or a GPU.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

needs_vllm = pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed here")

CODE = """
import sys
import torch
from redaes.errors import TrainingError
from redaes.training import vllm_rollouts
from redaes.training.grpo import RankingGRPOConfig, run_grpo
from redaes.training.recipes import parse
from pathlib import Path
how, recipe, *argv = sys.argv[1:]
if how == "expanded":
    vllm_rollouts.collapse = lambda ids, image_token: ids
if how == "never_synced":
    vllm_rollouts.merged_weights = lambda generation: iter(())
stage, config = parse(RankingGRPOConfig, Path(recipe), argv)
try:
    run_grpo(stage, config)
except TrainingError as error:
    sys.exit(f"refused: {error}")
"""


def train(how: str, data: Path, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_NO_USAGE_STATS": "1",
    }
    return subprocess.run(
        [sys.executable, "-c", CODE, how, str(ROOT / "stages/configs/stage3_nano.yaml"), "--data", str(data),
         "--output_dir", str(out), "--use_vllm", "true", "--vllm_max_model_length", "1024", "--bf16", "false",
         "--steps_per_generation", "1", "--num_generations", "2", "--per_device_train_batch_size", "18",
         "--max_completion_length", "40", "--max_steps", "4", "--save_steps", "2", "--learning_rate", "5e-3",
         "--disable_tqdm", "true", "--rewards", "format", "difference", "thurstone", "--reward_weights", "1", "1", "1",
         *more],
        env=environment, capture_output=True, text=True, timeout=1800, check=False,
    )  # fmt: skip


def logged(out: Path) -> list[dict[str, Any]]:
    history = json.loads((out / "final" / "trainer_state.json").read_text())["log_history"]
    return [entry for entry in history if "loss" in entry]


@pytest.fixture(scope="module")
def run(red_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("vllm") / "run"
    done = train("as_it_is", red_folder, out)
    assert done.returncode == 0, done.stderr[-3000:]
    return out


@needs_vllm
@pytest.mark.slow
def test_rollout_log_probabilities_are_the_trainers_own_while_the_weights_move(run: Path) -> None:
    steps = logged(run)
    assert len(steps) == 4
    record = json.loads((run / "final" / "run_record.json").read_text())
    assert record["metrics"]["shares_prompts"]  # the trainer's own are of packed rows, each prompt read once
    assert all(step["grad_norm"] > 0 for step in steps[:2])
    # What remains is the share of the picture tokens, which vLLM must not sample and the trainer does not exclude.
    assert max(step["sampling/sampling_logp_difference/mean"] for step in steps) < 2e-3
    assert max(step["sampling/sampling_logp_difference/max"] for step in steps) < 0.1


@needs_vllm
@pytest.mark.slow
def test_weights_that_are_not_synced_show_up_as_a_difference(red_folder: Path, tmp_path: Path) -> None:
    done = train("never_synced", red_folder, tmp_path / "run")
    assert done.returncode == 0, done.stderr[-3000:]
    steps = logged(tmp_path / "run")
    assert steps[0]["sampling/sampling_logp_difference/mean"] < 2e-3
    assert steps[-1]["sampling/sampling_logp_difference/mean"] > 2e-2


@needs_vllm
@pytest.mark.slow
def test_a_prompt_that_vllm_reads_otherwise_ends_the_run(red_folder: Path, tmp_path: Path) -> None:
    # TRL's own way: picture tokens that are expanded already.
    done = train("expanded", red_folder, tmp_path / "run")
    assert done.returncode != 0
    assert "refused: vLLM reads a prompt of" in done.stderr


@needs_vllm
@pytest.mark.slow
def test_a_resumed_run_samples_what_the_uninterrupted_one_did(run: Path, red_folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    out = tmp_path / "run"
    shutil.copytree(run, out)
    shutil.rmtree(out / "final")
    shutil.rmtree(out / "checkpoint-4")
    done = train("as_it_is", red_folder, out)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads((out / "final" / "run_record.json").read_text())["resumed_from"].endswith("checkpoint-2")
    for figure in ("entropy", "completions/mean_length", "sampling/sampling_logp_difference/mean"):
        assert [step[figure] for step in logged(out)] == [step[figure] for step in logged(run)], figure
    one, other = (load_file(folder / "final" / "adapter_model.safetensors") for folder in (run, out))
    assert all((one[name] == other[name]).all() for name in one)


def test_runs_of_picture_tokens_are_collapsed() -> None:
    from redaes.training.vllm_rollouts import collapse

    assert collapse([9, 9, 1, 9, 9, 9, 2, 3, 3, 9], 9) == [9, 1, 9, 2, 3, 3, 9]
    assert collapse([1, 2, 2, 3], 9) == [1, 2, 2, 3]
    assert collapse([], 9) == []


def test_merged_weights_are_sums_and_leave_the_model_alone(tiny_model: Path) -> None:
    import torch

    from redaes.training.stage_arguments import StageArguments
    from redaes.training.stage_model import load_model
    from redaes.training.vllm_rollouts import merged_weights

    class Generation:
        """What of TRL's class is used: the model, and a gathering that one process has no need of."""

        class _dist:
            @staticmethod
            def gather_params(params: Any) -> Any:
                from contextlib import nullcontext

                return nullcontext()

    Generation.model = load_model(StageArguments(model=str(tiny_model), lora_r=4), torch.bfloat16)
    generator = torch.Generator().manual_seed(0)
    for name, value in Generation.model.named_parameters():
        if "lora_B" in name:
            value.data = torch.randn(value.shape, generator=generator).to(value.dtype) / 8
    before = {name: value.clone() for name, value in Generation.model.named_parameters()}
    merged = {name: value.clone() for name, value in merged_weights(Generation)}
    assert all(torch.equal(before[name], value) for name, value in Generation.model.named_parameters())
    plain = load_model(StageArguments(model=str(tiny_model), full_training=True), torch.bfloat16)
    names = dict(plain.named_parameters())
    assert merged.keys() == names.keys()
    expected = Generation.model.merge_and_unload()
    assert all(torch.equal(merged[name], value) for name, value in expected.named_parameters())
    moved = [name for name, value in names.items() if not torch.equal(value, merged[name])]
    assert moved
    assert all("language_model" in name for name in moved)
