"""As `train_runs.py`, for stage 3 with answers that are given and not drawn, whichever way prompts are read."""

from __future__ import annotations

import hashlib
import json
import random
import sys
from pathlib import Path
from typing import Any

from train_runs import train

from redaes.rewards import trl as rewards
from redaes.training.grpo import RankingGRPOTrainer


def give_answers() -> None:
    """From here on answers follow from step, process and place alone, and earn something by chance."""

    def given(self: RankingGRPOTrainer, prompt_ids: list[Any], *_: Any, **__: Any) -> tuple[list[list[int]], None]:
        draw = random.Random(f"{self.state.global_step} {self.accelerator.process_index}")
        return [[draw.randrange(5, 300) for _ in range(draw.randrange(1, 7))] for _ in prompt_ids], None

    def reward_format(completions: list[Any], **_: Any) -> list[float]:
        texts = (rewards.completion_text(completion) for completion in completions)
        return [hashlib.sha256(text.encode()).digest()[0] / 255 for text in texts]

    RankingGRPOTrainer._generate_single_turn = given  # type: ignore[method-assign]
    rewards.REWARDS["format"] = reward_format


if __name__ == "__main__":
    give_answers()
    for name, arguments in json.loads(Path(sys.argv[1]).read_text()):
        train(name, arguments)
