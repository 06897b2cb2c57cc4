"""Write a benchmark as the data file of an lmms-eval task.

    python eval/lmms_eval/prepare.py red --data my_pairs --out redaes_red_pairs.jsonl
    python eval/lmms_eval/prepare.py ava --data AVA --out redaes_ava_score.jsonl
    python -m lmms_eval --include_path eval/lmms_eval --tasks redaes_red_pairs --model qwen3_vl --model_args ...

lmms-eval and redaes have to be in one environment; it looks for the data file in the folder it is started in. For
another benchmark, copy a task file and name the new data file in it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from redaes.cli.running import reporting_errors
from redaes.evaluation.benchmarks import load
from redaes.evaluation.lmms_tasks import rows_of
from redaes.file_writing import write_atomically


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("benchmark", help="see eval/run_benchmark.py --list")
    parser.add_argument("--data", type=Path, required=True, help="folder or label file of the benchmark")
    parser.add_argument("--pictures", type=Path, help="folder of its pictures, if elsewhere")
    parser.add_argument("--out", type=Path, required=True, help="data file; the task file names it")
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    """Read, check, write."""
    loaded = load(args.benchmark, args.data, pictures=args.pictures, scratch=args.out.with_suffix(".pictures"))
    lines = [json.dumps(row) for row in rows_of(loaded)]
    write_atomically(args.out, ("\n".join(lines) + "\n").encode())
    print(f"{len(lines)} questions of {loaded.benchmark.title} in {args.out}; labels {loaded.labels_sha256[:12]}")


if __name__ == "__main__":
    with reporting_errors():
        main(parse_args(sys.argv[1:]))
