"""Check a stage's result: it loads as it was trained, merges without change, and still has language.

    python stages/check.py runs/stage2/final --data my_pairs
    python stages/check.py runs/stage3/final --data my_pairs --merged runs/merged

Ends with 2 when a check fails.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from redaes.cli.running import reporting_errors
from redaes.early_checks import check_dataset, check_exists, check_result_folder
from redaes.errors import importing


def parse_args() -> argparse.Namespace:
    """The result, the data that it was trained on, how much to ask."""
    parser = argparse.ArgumentParser(description="check a stage's result")
    parser.add_argument("final", type=Path, help="a stage's final/ folder")
    parser.add_argument("--data", type=Path, required=True, help="RED dataset folder of the training")
    parser.add_argument("--merged", type=Path, help="folder with the merged model; default: merge in memory")
    parser.add_argument("--pairs", type=int, default=32, help="held-out pairs to answer in full")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    """Check, and print one line for each."""
    check_result_folder(args.final)
    check_dataset(args.data)
    if args.merged is not None:
        check_exists(args.merged)
    with importing("train"):
        from redaes.training.result_checks import check_result

    checks = check_result(args.final, args.data, n_pairs=args.pairs, merged=args.merged)
    for check in checks:
        print(f"{'ok    ' if check.passed else 'FAILED'} {check.name}: {check.found}")
    if not all(check.passed for check in checks):
        sys.exit(2)


if __name__ == "__main__":
    with reporting_errors():
        main(parse_args())
