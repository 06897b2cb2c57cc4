"""The embedded model's first warm-up: its vision tower by itself. Only a model with random weights needs it.

    python stages/build_nano.py --data pairs --out runs/nano_random
    accelerate launch stages/warmup_vision.py --model runs/nano_random --data pairs --output_dir runs/nano_vision
    accelerate launch stages/warmup_reading.py --model runs/nano_vision/final --data pairs --output_dir runs/nano_read

Full training of the vision tower with two heads that are thrown away: which edit a picture carries, and which
picture of a pair is better. The paper starts from models that can see; this is ours.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from redaes.cli.running import reporting_errors
from redaes.early_checks import check_stage
from redaes.errors import importing

if TYPE_CHECKING:
    from transformers import TrainingArguments

    from redaes.training.stage_arguments import StageArguments

RECIPE = Path(__file__).with_name("configs") / "warmup_vision_nano.yaml"
CLASSES = (
    "redaes.training.stage_arguments:StageArguments",
    "redaes.training.dry_run.plan:DryRunArguments",
    "transformers:TrainingArguments",
)


def parse_args(argv: list[str]) -> tuple[StageArguments, TrainingArguments]:
    """The stage's and the trainer's arguments; what cannot be right is refused before transformers is imported."""
    check_stage(argv, RECIPE, *CLASSES, about=__doc__)
    with importing("train"):
        from redaes.training.recipes import parse

        # isort: split
        from transformers import TrainingArguments

    return parse(TrainingArguments, RECIPE, argv)


def main(stage: StageArguments, config: TrainingArguments) -> None:
    """Train, and say where the result is."""
    with importing("train"):
        from redaes.training.warmup_vision import run_vision

    result = run_vision(stage, config)
    if stage.plan is None:
        print(f"vision warm-up finished: {result}")


if __name__ == "__main__":
    with reporting_errors():
        main(*parse_args(sys.argv[1:]))
