"""Stage 1: supervised fine-tuning on edit-induced pairs.

    accelerate launch stages/stage1_sft.py                                  # embedded model, sample photographs
    accelerate launch stages/stage1_sft.py --config stages/configs/stage1_nano.yaml --data my_pairs

The paper does not publish its first stage. Ours imitates, for two pictures in both orders, the rationale, the
winner and the signed difference, and in a second form the answer alone; the loss falls on the answer only.
``full_training: true`` trains all weights instead of a LoRA: the embedded model's warm-up.
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
    from redaes.training.sft import PairSFTConfig
    from redaes.training.stage_arguments import StageArguments

RECIPE = Path(__file__).with_name("configs") / "stage1_nano.yaml"
CLASSES = (
    "redaes.training.stage_arguments:StageArguments",
    "redaes.training.dry_run.plan:DryRunArguments",
    "redaes.training.sft:PairSFTConfig",
)


def parse_args(argv: list[str]) -> tuple[StageArguments, PairSFTConfig]:
    """The stage's and the trainer's arguments; what cannot be right is refused before TRL is imported."""
    check_stage(argv, RECIPE, *CLASSES, about=__doc__)
    with importing("train"):
        from redaes.training.recipes import parse
        from redaes.training.sft import PairSFTConfig

    return parse(PairSFTConfig, RECIPE, argv)


def main(stage: StageArguments, config: PairSFTConfig) -> None:
    """Train, and say where the result is."""
    with importing("train"):
        from redaes.training.sft import run_sft

    stage.data = stage.data or str(ensure_sample_dataset(Path("runs/sample_pairs")))
    result = run_sft(stage, config)
    if stage.plan is None:
        print(f"stage 1 finished: {result}")


if __name__ == "__main__":
    with reporting_errors():
        main(*parse_args(sys.argv[1:]))
