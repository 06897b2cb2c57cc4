"""Train several runs one after the other in the process group that a launcher made: ``train_runs.py RUNS.json``.

The file holds ``[[stage, [argument, …]], …]``; a stage is named by its recipe. Starting Python and its libraries is
most of the time of a tiny run, so tests of several processes share one launch. With ``kill`` as a second argument the
process kills itself with signal 9, as soon as the first checkpoint is written.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from redaes.training.alignment import AlignmentConfig, run_align
from redaes.training.dpo import PairDPOConfig, run_dpo
from redaes.training.grpo import RankingGRPOConfig, run_grpo
from redaes.training.recipes import parse
from redaes.training.sft import PairSFTConfig, run_sft

RECIPES = Path(__file__).parents[2] / "stages" / "configs"
STAGES = {
    "stage1": (PairSFTConfig, run_sft),
    "stage2": (AlignmentConfig, run_align),
    "stage2_dpo": (PairDPOConfig, run_dpo),
}
"""Stages whose batches can be dealt out to processes in any way."""
GROUPED = {"stage3": (RankingGRPOConfig, run_grpo)}

POLICY = [
    "--model", "redaes/nano", "--mode", "fast", "--rewards", "format", "preference", "verdict", "difference",
    "--reward_weights", "0.2", "1", "1", "1", "--beta", "0.05", "--pictures_per_group", "2", "--num_generations", "4",
    "--per_device_train_batch_size", "8", "--steps_per_generation", "1", "--gradient_accumulation_steps", "1",
    "--max_completion_length", "14", "--completion_page_steps", "0", "--lora_r", "4", "--lora_alpha", "8",
    "--fast_antisymmetry_weight", "0", "--fast_preference_weight", "0",
]  # fmt: skip
"""A stage 3 with a reference, as every recipe of a real model has it. Its answers are of the fast form, which the
embedded model knows: they are cheap, and they earn different rewards."""


def configured(stage: str, argv: list[str]) -> tuple[Any, Any]:
    """A stage's arguments and its trainer's."""
    return parse({**STAGES, **GROUPED}[stage][0], RECIPES / f"{stage}_nano.yaml", argv)


def train(stage: str, argv: list[str]) -> Path:
    return {**STAGES, **GROUPED}[stage][1](*configured(stage, argv))


def die_after_a_checkpoint() -> None:
    from transformers import Trainer

    save = Trainer._save_checkpoint

    def save_and_die(self: Trainer, *args: Any, **kwargs: Any) -> None:
        save(self, *args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

    Trainer._save_checkpoint = save_and_die


if __name__ == "__main__":
    if sys.argv[2:] == ["kill"]:
        die_after_a_checkpoint()
    for name, arguments in json.loads(Path(sys.argv[1]).read_text()):
        train(name, arguments)
