"""Run an assessor over a benchmark of image aesthetics.

    python eval/run_benchmark.py --list
    python eval/run_benchmark.py ava --data AVA --out runs/ava_nano --assessor vlm
    python eval/run_benchmark.py ava --data AVA --out runs/ava_sharp --assessor baseline --option measure=sharpness
    python eval/run_benchmark.py phototriage --data PhotoTriage --config eval/configs/endpoint_pairs.yaml

A run that was stopped goes on where it was when it is started again. See docs/evaluation.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from redaes.cli.running import reporting_errors
from redaes.early_checks import check_exists, check_writable
from redaes.errors import InputError, importing

with importing("eval"):
    from redaes.evaluation.assessors import ASSESSORS
    from redaes.evaluation.commands import list_benchmarks, parse_options, parse_shard, run_benchmark
    from redaes.evaluation.eval_recipe import make_spec


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """The command line; options that were not given are None, because a recipe may give them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("benchmark", nargs="?", help="see --list")
    parser.add_argument("--data", type=Path, help="folder or label file of the benchmark")
    parser.add_argument("--pictures", type=Path, help="folder of the pictures; default: where the owners put them")
    parser.add_argument("--out", type=Path, default=Path("runs/eval"), help="folder of the run; default: %(default)s")
    parser.add_argument("--assessor", help=f"one of {', '.join(ASSESSORS)}")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="of the assessor")
    parser.add_argument("--references", type=Path, help="folder of reference pictures, for scores in pairs")
    parser.add_argument("--n-references", type=int, help="otherwise so many of the benchmark's own; default: 8")
    parser.add_argument("--seed", type=int, help="of their draw; default: 0")
    parser.add_argument("--max-pixels", type=int, help="largest area that is shown, in pixels")
    parser.add_argument("--allow-missing", action="store_true", default=None, help="go on without missing pictures")
    parser.add_argument("--workers", type=int, default=1, help="processes; default: 1")
    parser.add_argument("--shard", default="0/1", help="k/n: only this part, on one of n machines; default: all")
    parser.add_argument("--config", type=Path, help="YAML recipe; the command line goes before it")
    parser.add_argument("--list", action="store_true", help="show the benchmarks and stop")
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    """Run, and print the numbers."""
    if args.list:
        list_benchmarks()
        return
    if args.benchmark is None or args.data is None:
        raise InputError("name a benchmark (see --list) and its folder with --data")
    for place in (args.pictures, args.references):
        if place is not None:
            check_exists(place)
    check_writable(args.out)
    given = {**vars(args), "options": parse_options(args.option) or None}
    run_benchmark(make_spec(args.config, given), args.out, workers=args.workers, shard=parse_shard(args.shard))


if __name__ == "__main__":
    with reporting_errors(resumable=True):
        main(parse_args(sys.argv[1:]))
