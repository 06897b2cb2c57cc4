"""Stage 2: relative-pair alignment.

    accelerate launch stages/stage2_align.py                                # embedded model, sample photographs
    accelerate launch stages/stage2_align.py --adapter runs/stage1/final --data my_pairs --output_dir runs/stage2
    accelerate launch stages/stage2_align.py --objective dpo --adapter runs/stage1/final --data my_pairs

The paper names "contrastive" pre-training without its loss. Ours is relative only: the verdict token in both
orders against p* = Phi(delta / tau), agreement of the orders, and Thurstone's law on two single-picture
scores; a small token likelihood keeps the language (docs/training.md). Nothing is generated, no score is fitted.
``--objective dpo`` instead prefers the right answer, reasoning and verdict, to the one for the other order.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from redaes.cli.running import reporting_errors
from redaes.datagen.sample_data import ensure_sample_dataset
from redaes.early_checks import check_stage, chosen
from redaes.errors import importing

if TYPE_CHECKING:
    from redaes.training.alignment import AlignmentConfig
    from redaes.training.dpo import PairDPOConfig
    from redaes.training.stage_arguments import StageArguments

OBJECTIVES = {
    "relative": ("redaes.training.alignment", "AlignmentConfig", "run_align", "stage2_nano.yaml"),
    "dpo": ("redaes.training.dpo", "PairDPOConfig", "run_dpo", "stage2_dpo_nano.yaml"),
}
"""Name to a module, its arguments and its training, and the recipe that is taken when none is named."""

CLASSES = ("redaes.training.stage_arguments:StageArguments", "redaes.training.dry_run.plan:DryRunArguments")


def parse_args(argv: list[str]) -> tuple[StageArguments, AlignmentConfig | PairDPOConfig]:
    """The stage's and the trainer's arguments; what cannot be right is refused before TRL is imported."""
    module, config_class, _, recipe = OBJECTIVES[chosen("objective", OBJECTIVES, argv)]
    file = Path(__file__).with_name("configs") / recipe
    check_stage(argv, file, *CLASSES, f"{module}:{config_class}", about=__doc__)
    with importing("train"):
        from redaes.training.recipes import parse

        options = getattr(importlib.import_module(module), config_class)
    return parse(options, file, argv)


def main(stage: StageArguments, config: AlignmentConfig | PairDPOConfig) -> None:
    """Train, and say where the result is."""
    module, _, train, _ = OBJECTIVES[config.objective]
    stage.data = stage.data or str(ensure_sample_dataset(Path("runs/sample_pairs")))
    result = getattr(importlib.import_module(module), train)(stage, config)
    if stage.plan is None:
        print(f"stage 2 finished: {result}")


if __name__ == "__main__":
    with reporting_errors():
        main(*parse_args(sys.argv[1:]))
