"""Stage 3: GRPO with the ranking-consistency reward.

    accelerate launch stages/stage3_grpo.py                                 # embedded model, sample photographs
    accelerate launch stages/stage3_grpo.py --adapter runs/stage2/final --data my_pairs --output_dir runs/stage3

The paper names a "relative ranking consistency reward" without its formula. Ours has the components format,
preference, verdict, difference, swap and group consistency, thurstone (single pictures), factor, and symptom and
evidence, which hold the reasoning against the pixels (docs/rewards.md); all prompts of a ranking group are generated
and rewarded together in one process. Rollouts by vLLM: docs/training.md.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from redaes.cli.running import reporting_errors
from redaes.datagen.sample_data import ensure_sample_dataset
from redaes.early_checks import check_stage
from redaes.errors import importing

if TYPE_CHECKING:
    from redaes.training.grpo import RankingGRPOConfig
    from redaes.training.stage_arguments import StageArguments

RECIPE = Path(__file__).with_name("configs") / "stage3_nano.yaml"
CLASSES = (
    "redaes.training.stage_arguments:StageArguments",
    "redaes.training.dry_run.plan:DryRunArguments",
    "redaes.training.grpo:RankingGRPOConfig",
)


def parse_args(argv: list[str]) -> tuple[StageArguments, RankingGRPOConfig]:
    """The stage's and the trainer's arguments; what cannot be right is refused before TRL is imported."""
    check_stage(argv, RECIPE, *CLASSES, about=__doc__)
    with importing("train"):
        from redaes.training.grpo import RankingGRPOConfig
        from redaes.training.recipes import parse

    return parse(RankingGRPOConfig, RECIPE, argv)


def main(stage: StageArguments, config: RankingGRPOConfig) -> None:
    """Train, and say where the result is."""
    with importing("train"):
        from redaes.training.grpo import run_grpo

    stage.data = stage.data or str(ensure_sample_dataset(Path("runs/sample_pairs")))
    result = run_grpo(stage, config)
    if stage.plan is None:
        print(f"stage 3 finished: {result}")


if __name__ == "__main__":
    with reporting_errors():
        main(*parse_args(sys.argv[1:]))
