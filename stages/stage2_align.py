"""Stage 2: relative-pair alignment.

    accelerate launch stages/stage2_align.py                                # embedded model, sample photographs
    accelerate launch stages/stage2_align.py --adapter runs/stage1/final --data my_pairs --output_dir runs/stage2

The paper names "contrastive" pre-training without its loss. Ours is relative only: the verdict token in both
orders against p* = Phi(delta / tau), agreement of the orders, and Thurstone's law on two single-picture
scores; a small token likelihood keeps the language (docs/training.md). Nothing is generated, no score is fitted.
"""

from __future__ import annotations

import sys
from pathlib import Path

from redaes.samples import ensure_sample_dataset
from redaes.training.alignment import AlignmentConfig, run_align
from redaes.training.recipes import parse, run_door
from redaes.training.setup import StageArguments

RECIPE = Path(__file__).with_name("configs") / "stage2_nano.yaml"


def parse_args(argv: list[str]) -> tuple[StageArguments, AlignmentConfig]:
    """The stage's and the trainer's arguments."""
    return parse(AlignmentConfig, RECIPE, argv)


def main(stage: StageArguments, config: AlignmentConfig) -> None:
    """Train, and say where the result is."""
    stage.data = stage.data or str(ensure_sample_dataset(Path("runs/sample_pairs")))
    print(f"stage 2 finished: {run_align(stage, config)}")


if __name__ == "__main__":
    run_door(lambda: main(*parse_args(sys.argv[1:])))
