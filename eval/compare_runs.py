"""Put runs of one benchmark side by side: report.md, report.json and report.html, with paired intervals.

    python eval/compare_runs.py runs/ava_sharp runs/ava_nano --out runs/ava_report
    python eval/compare_runs.py runs/ava_nano --out runs/ava_report                 # one run alone

The first run is what the others are compared with. Numbers that others published stand in a table of their own.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from redaes.cli.running import reporting_errors
from redaes.early_checks import check_writable
from redaes.errors import importing

with importing("eval"):
    from redaes.evaluation.comparison import Side, compare
    from redaes.evaluation.report import write_report
    from redaes.evaluation.runner import read_results


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path, help="folders of finished runs")
    parser.add_argument("--out", type=Path, default=Path("runs/report"), help="folder; default: %(default)s")
    parser.add_argument("--no-pictures", action="store_true", help="leave examples out of the page")
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    """Compare, and write the report."""
    check_writable(args.out)
    if len(args.runs) == 1:
        sides = [Side(name=args.runs[0].name, results=read_results(args.runs[0]), changes=())]
    else:
        sides = compare(args.runs)
    for file in write_report(args.out, sides, args.runs, examples=not args.no_pictures):
        print(file)


if __name__ == "__main__":
    with reporting_errors():
        main(parse_args(sys.argv[1:]))
