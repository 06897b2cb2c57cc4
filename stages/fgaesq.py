"""FGAesQ: train the fine-grained series ranker.

    accelerate launch stages/fgaesq.py                             # a tiny CLIP on series made from sample photographs
    accelerate launch stages/fgaesq.py --config stages/configs/fgaesq_vit_b_16.yaml --clip DIR --series S --coarse C

The paper released no training code. Losses, weights, epochs and rates are from its text; what it leaves open is
ours and listed in docs/fgaesq.md.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from redaes.cli.running import reporting_errors
from redaes.datagen.sample_data import ensure_sample_series
from redaes.early_checks import check_stage
from redaes.errors import importing

if TYPE_CHECKING:
    from transformers import TrainingArguments

    from redaes.training.fgaesq import FGAesQArguments

CLASSES = ("redaes.training.fgaesq:FGAesQArguments", "transformers:TrainingArguments")
RECIPE = Path(__file__).with_name("configs") / "fgaesq_tiny.yaml"


def parse_args(argv: list[str]) -> tuple[FGAesQArguments, TrainingArguments]:
    """The door's and the trainer's arguments; what cannot be right is refused before transformers is imported."""
    check_stage(argv, RECIPE, *CLASSES, about=__doc__)
    with importing("train"):
        from redaes.training.fgaesq import FGAesQArguments
        from redaes.training.recipes import parse_with

        # isort: split
        from transformers import TrainingArguments

    return parse_with(FGAesQArguments, TrainingArguments, RECIPE, argv)


def main(arguments: FGAesQArguments, config: TrainingArguments) -> None:
    """Train, and say where the result is."""
    with importing("train"):
        from redaes.training.fgaesq import run_fgaesq

    if arguments.series is None:
        with config.main_process_first(local=False):
            series, coarse = ensure_sample_series(Path(str(config.output_dir)) / "sample_series")
        arguments.series, arguments.coarse = str(series), arguments.coarse or str(coarse)
    print(f"FGAesQ finished: {run_fgaesq(arguments, config)}")


if __name__ == "__main__":
    with reporting_errors():
        main(*parse_args(sys.argv[1:]))
