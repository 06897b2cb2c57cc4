"""Build the embedded model with random weights, its tokenizer trained on a RED dataset's texts.

    python stages/build_nano.py --data my_pairs --out runs/nano_random

LoRA on random weights learns nothing. So the result is warmed up by full training, vision tower included: first
``stages/warmup_vision.py``, then ``stages/warmup_reading.py`` (docs/training.md).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from redaes.cli.running import reporting_errors
from redaes.early_checks import check_dataset, check_writable


def parse_args() -> argparse.Namespace:
    """The dataset and where to write."""
    parser = argparse.ArgumentParser(description="build the embedded model with random weights")
    parser.add_argument("--data", type=Path, required=True, help="RED dataset folder")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model")
    parser.add_argument("--seed", type=int, default=0, help="of the weights")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    """Build, and say where."""
    check_dataset(args.data)
    check_writable(args.out)
    from redaes.models.nano.builder import build
    from redaes.models.nano.corpus import corpus

    build(args.out, corpus(args.data), seed=args.seed)
    print(f"built: {args.out}")


if __name__ == "__main__":
    with reporting_errors():
        main(parse_args())
