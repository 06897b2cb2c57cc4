"""Changes that should lower a score, and changes that should not move it: what does an assessor make of them?

    python eval/probe_robustness.py build my_photographs --out runs/probes
    python eval/run_benchmark.py pairs --data runs/probes/pairs.csv --out runs/probes_nano --assessor vlm_pairs
    python eval/probe_robustness.py show runs/probes_nano
    python eval/run_benchmark.py pairs --data runs/probes/pairs.csv --out runs/probes_v1 --assessor vlm_pairs \\
        --option prompt=compare_fast_paraphrase/v1
    python eval/probe_robustness.py wordings runs/probes_nano runs/probes_v1

The probes and how to read them: redaes/evaluation/probes.py.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from redaes.cli.running import reporting_errors
from redaes.early_checks import check_exists, check_writable
from redaes.errors import importing

with importing("eval"):
    from redaes.evaluation.probes import build_probes, summarise_paraphrases, summarise_probes
    from redaes.evaluation.report import cell
    from redaes.images import list_images
    from redaes.records import write_json


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="write changed copies of photographs and their pairs")
    build.add_argument("photographs", type=Path, help="a folder")
    build.add_argument("--out", type=Path, default=Path("runs/probes"), help="folder; default: %(default)s")
    show = commands.add_parser("show", help="read a finished run over them")
    show.add_argument("run", type=Path, help="folder of the run; robustness.json is written there")
    wordings = commands.add_parser("wordings", help="runs of one model over the same pairs that differ in the prompt")
    wordings.add_argument("run", type=Path, help="with the usual prompt; wordings.json is written there")
    wordings.add_argument("others", nargs="+", type=Path, help="with paraphrases, which are in prompts/")
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    """Build, or show."""
    if args.command == "wordings":
        rows = summarise_paraphrases(args.run, args.others)
        write_json(args.run / "wordings.json", [row.model_dump(mode="json") for row in rows])
        print("| prompt | verdicts kept | mean change of the probability | pairs | failed |")
        print("|---|---|---|---|---|")
        for row in rows:
            print(f"| {row.prompt_id} | {cell(row.kept)} | {cell(row.mean_change)} | {row.n} | {row.n_failed} |")
        return
    if args.command == "build":
        check_exists(args.photographs)
        check_writable(args.out)

        def progress(done: int, total: int) -> None:
            print(f"\r{done}/{total} photographs", end="", file=sys.stderr)

        file = build_probes(list_images(args.photographs), args.out, progress=progress)
        print(f"\n{file}", file=sys.stderr)
        return
    found = summarise_probes(args.run)
    write_json(args.run / "robustness.json", [one.model_dump(mode="json") for one in found])
    print("| probe | strength | original preferred | difference, relative to other photographs | pairs | failed |")
    print("|---|---|---|---|---|---|")
    for one in found:
        print(
            f"| {one.probe} | {one.level} | {cell(one.original_preferred)} | {cell(one.relative_difference)} "
            f"| {one.n} | {one.n_failed} |"
        )


if __name__ == "__main__":
    with reporting_errors():
        main(parse_args(sys.argv[1:]))
