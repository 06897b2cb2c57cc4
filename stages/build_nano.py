"""Build the embedded model with random weights, its tokenizer trained on a RED dataset's texts.

    python stages/build_nano.py --data my_pairs --out runs/nano_random
    accelerate launch stages/stage1_sft.py --config stages/configs/warmup_nano.yaml \\
        --model runs/nano_random --data my_pairs --output_dir runs/nano_warm

The second command is the warm-up: LoRA on random weights learns nothing, so the embedded model is first trained
in full, vision tower included, on the data and with the loss of stage 1. Its result in ``runs/nano_warm/final``
is what ships in ``redaes/nano/weights``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from redaes.nano.builder import build
from redaes.nano.corpus import corpus
from redaes.training.recipes import run_door


def parse_args() -> argparse.Namespace:
    """The dataset and where to write."""
    parser = argparse.ArgumentParser(description="build the embedded model with random weights")
    parser.add_argument("--data", type=Path, required=True, help="RED dataset folder")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model")
    parser.add_argument("--seed", type=int, default=0, help="of the weights")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    """Build, and say where."""
    build(args.out, corpus(args.data), seed=args.seed)
    print(f"built: {args.out}")


if __name__ == "__main__":
    run_door(lambda: main(parse_args()))
