"""Stage 3: GRPO with the ranking-consistency reward.

    accelerate launch stages/stage3_grpo.py                                 # embedded model, sample photographs
    accelerate launch stages/stage3_grpo.py --adapter runs/stage2/final --data my_pairs --output_dir runs/stage3

The paper names a "relative ranking consistency reward" without its formula. Ours has the components format,
preference, difference, swap and group consistency, thurstone (single pictures) and factor (docs/rewards.md); all
prompts of a ranking group are generated and rewarded together in one process. Rollouts by vLLM: docs/training.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

from redaes.errors import importing, run_door
from redaes.samples import ensure_sample_dataset

with importing("train"):
    from redaes.training.grpo import RankingConfig, run_grpo
    from redaes.training.recipes import parse
    from redaes.training.setup import StageArguments

RECIPE = Path(__file__).with_name("configs") / "stage3_nano.yaml"


def parse_args(argv: list[str]) -> tuple[StageArguments, RankingConfig]:
    """The stage's and the trainer's arguments."""
    return parse(RankingConfig, RECIPE, argv)


def main(stage: StageArguments, config: RankingConfig) -> None:
    """Train, and say where the result is."""
    stage.data = stage.data or str(ensure_sample_dataset(Path("runs/sample_pairs")))
    print(f"stage 3 finished: {run_grpo(stage, config)}")


if __name__ == "__main__":
    run_door(lambda: main(*parse_args(sys.argv[1:])))
