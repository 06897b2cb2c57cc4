"""Merge a stage's LoRA into its base model: one folder for transformers, vLLM and ``redaes compare --model``.

python stages/merge.py runs/stage3/final --out runs/merged
"""

from __future__ import annotations

import argparse
from pathlib import Path

from redaes.cli.running import reporting_errors
from redaes.early_checks import check_adapter, check_model, check_writable
from redaes.errors import importing


def parse_args() -> argparse.Namespace:
    """The adapter and where to write."""
    parser = argparse.ArgumentParser(description="merge a stage's LoRA into its base model")
    parser.add_argument("adapter", type=Path, help="a stage's final/ folder")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model; must not exist")
    parser.add_argument("--model", help="base model; default: the one that the adapter names")
    parser.add_argument("--float32", action="store_true", help="write float32; default: as the base is stored")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    """Merge, and say where."""
    check_adapter(str(args.adapter))
    check_writable(args.out.parent)
    if args.model is not None:
        check_model(args.model)
    with importing("train"):
        from redaes.training.merging import merge

    print(f"merged: {merge(args.adapter, args.out, model=args.model, in_float32=args.float32)}")


if __name__ == "__main__":
    with reporting_errors():
        main(parse_args())
