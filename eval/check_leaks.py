"""Look for pictures of a benchmark in training sets.

    python eval/check_leaks.py my_pairs --benchmark ava --data AVA --out leaks.json

Ends with 1 and names the pictures when there are any. What is found and what is not: redaes/evaluation/leaks.py.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path

from redaes.cli.running import reporting_errors
from redaes.early_checks import check_exists, check_writable
from redaes.errors import importing

with importing("eval"):
    from redaes.evaluation.benchmarks import load
    from redaes.evaluation.leaks import MAX_DISTANCE, LeakReport, find_leaks, training_pictures
    from redaes.records import write_json

N_SHOWN = 20


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("training", nargs="+", type=Path, help="RED datasets, or folders of photographs")
    parser.add_argument("--benchmark", required=True, help="see eval/run_benchmark.py --list")
    parser.add_argument("--data", type=Path, required=True, help="folder or label file of the benchmark")
    parser.add_argument("--pictures", type=Path, help="folder of its pictures, if elsewhere")
    parser.add_argument("--max-distance", type=int, default=MAX_DISTANCE, help="bits of 64; default: %(default)s")
    parser.add_argument("--out", type=Path, default=Path("leaks.json"), help="report; default: %(default)s")
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> LeakReport:
    """Compare, write the report, and print what was found."""
    for place in args.training:
        check_exists(place)
    check_writable(args.out.parent)
    loaded = load(args.benchmark, args.data, pictures=args.pictures, scratch=args.out.with_suffix(".pictures"))
    absent = set(loaded.missing)
    files = dict.fromkeys(picture.file for picture in loaded.labels.pictures if picture.file not in absent)
    report = find_leaks(
        ((name, loaded.pictures / name) for name in files),
        itertools.chain.from_iterable(training_pictures(place) for place in args.training),
        max_distance=args.max_distance,
    )
    write_json(args.out, report.model_dump(mode="json"))
    print(
        f"{report.n_benchmark} pictures of {loaded.benchmark.title} against {report.n_training} of training: "
        f"{len({leak.benchmark for leak in report.leaks})} may have been seen, {len(report.unreadable)} unreadable, "
        f"{len(absent)} missing; see {args.out}"
    )
    for leak in report.leaks[:N_SHOWN]:
        print(f"  {leak.benchmark} = {leak.training} ({'same file' if leak.same_bytes else f'{leak.distance} bits'})")
    return report


if __name__ == "__main__":
    with reporting_errors():
        sys.exit(1 if main(parse_args(sys.argv[1:])).leaks else 0)
