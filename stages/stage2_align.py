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

import sys
from pathlib import Path

from redaes.errors import importing, run_door
from redaes.samples import ensure_sample_dataset

with importing("train"):
    from redaes.training.alignment import AlignmentConfig, run_align
    from redaes.training.preferences import PreferenceConfig, run_preferences
    from redaes.training.recipes import chosen, parse
    from redaes.training.setup import StageArguments

OBJECTIVES = {
    "relative": (AlignmentConfig, run_align, "stage2_nano.yaml"),
    "dpo": (PreferenceConfig, run_preferences, "stage2_dpo_nano.yaml"),
}
"""Name to the trainer's arguments, the training and the recipe that is taken when none is named."""


def parse_args(argv: list[str]) -> tuple[StageArguments, AlignmentConfig | PreferenceConfig]:
    """The stage's and the trainer's arguments."""
    config_class, _, recipe = OBJECTIVES[chosen("objective", OBJECTIVES, argv)]
    return parse(config_class, Path(__file__).with_name("configs") / recipe, argv)


def main(stage: StageArguments, config: AlignmentConfig | PreferenceConfig) -> None:
    """Train, and say where the result is."""
    stage.data = stage.data or str(ensure_sample_dataset(Path("runs/sample_pairs")))
    train = OBJECTIVES[config.objective][1]
    print(f"stage 2 finished: {train(stage, config)}")


if __name__ == "__main__":
    run_door(lambda: main(*parse_args(sys.argv[1:])))
