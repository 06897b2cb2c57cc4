"""Build series for FGAesQ: from bursts, folders of one prompt's pictures, and crops, to labelled series.

    python data_gen/build_series.py                                # crops of sample photographs, judged by redaes/nano
    python data_gen/build_series.py --natural BURSTS --aigc PROMPTS --cropping PHOTOS --out my_series
    python data_gen/build_series.py (the same again) --votes my_series/ballots.csv
    python data_gen/build_series.py (the same again) --assessor redaes/nano

The first call for one's own pictures writes ballots.csv, with a line for every pair and two empty columns for the
votes of people. The second one reads them; the third one lets a model vote instead. docs/fgaesq.md describes the files.
A run that was interrupted goes on where it stopped when it is started again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from redaes.cli.running import reporting_errors
from redaes.early_checks import check_exists, check_writable
from redaes.errors import InputError

MODES = ("fast", "reasoned")


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--natural", nargs="+", type=Path, default=[], help="folders of photographs, with bursts")
    parser.add_argument("--aigc", nargs="+", type=Path, default=[], help="folders that hold a folder for each prompt")
    parser.add_argument("--cropping", nargs="+", type=Path, default=[], help="photographs to be cropped, or folders")
    parser.add_argument("--out", type=Path, default=Path("runs/sample_series_built"), help="default: %(default)s")
    parser.add_argument("--crops", type=int, default=5, help="crops of each photograph; default: %(default)s")
    parser.add_argument("--votes", type=Path, help="CSV: series, first, second, n_first, n_second")
    parser.add_argument("--assessor", help="model that votes; default for the samples: redaes/nano")
    parser.add_argument("--mode", choices=MODES, default="fast", help="of the assessor; default: %(default)s")
    parser.add_argument("--margin", type=float, help="pairs with P this close to 0.5 are dropped; default: 0.05")
    parser.add_argument("--test-fraction", type=float, help="share of the sources held out; default: 0.2")
    parser.add_argument("--seed", type=int, default=0, help="of crops, split and wording; default: %(default)s")
    parser.add_argument("--alignment", type=Path, help="folder of a CLIP model that compares pictures with prompts")
    parser.add_argument("--least-alignment", type=float, help="smallest cosine, with --alignment")
    parser.add_argument("--plausibility", metavar="URL", help="OpenAI-compatible server, asked about every picture")
    parser.add_argument("--plausibility-model", help="the model's name there")
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    """Build, and print the report.

    Raises:
        RedaesError: options that do not go together, and whatever building raises.
    """
    for one, other in (("alignment", "least_alignment"), ("plausibility", "plausibility_model")):
        if (getattr(args, one) is None) != (getattr(args, other) is None):
            raise InputError(f"--{one} and --{other.replace('_', '-')} go together; give both")
    if args.votes is not None and args.assessor is not None:
        raise InputError("give --votes or --assessor, not both")
    for place in (*args.natural, *args.aigc, *args.cropping, args.votes, args.alignment):
        if place is not None:
            check_exists(place)
    check_writable(args.out)
    from redaes.datagen.series import candidates
    from redaes.datagen.series.building import BuildSettings, build
    from redaes.datagen.series.refinement import Check
    from redaes.datagen.series.votes import read_votes

    if not (args.natural or args.aigc or args.cropping):
        from redaes.samples import sample_photographs

        args.cropping = [sample.path for sample in sample_photographs()]
        args.assessor = args.assessor or (None if args.votes else "redaes/nano")
    found = [candidates.natural(args.natural), candidates.aigc(args.aigc)]
    found.append(candidates.cropping(args.cropping, n=args.crops, seed=args.seed))
    checks: list[Check] = []
    if args.alignment is not None:
        from redaes.datagen.series.model_checks import Alignment

        checks.append(Alignment(args.alignment, args.least_alignment))
    if args.plausibility is not None:
        from redaes.backends.endpoint import Endpoint
        from redaes.datagen.series.model_checks import Plausibility

        endpoint = Endpoint(args.plausibility, args.plausibility_model, cache=args.out / "work" / "answers")
        checks.append(Plausibility(endpoint))
    assessor = None
    if args.assessor is not None:
        from redaes.assessor import Assessor
        from redaes.backends.local import LocalBackend

        assessor = Assessor(LocalBackend(args.assessor), mode=args.mode)
    given = {"margin": args.margin, "test_fraction": args.test_fraction, "seed": args.seed}
    report = build(
        [candidate for part in found for candidate in part.found],
        args.out,
        settings=BuildSettings(**{name: value for name, value in given.items() if value is not None}),
        dropped=[loss for part in found for loss in part.dropped],
        checks=checks,
        votes=None if args.votes is None else read_votes(args.votes),
        assessor=assessor,
        on_progress=show,
    )
    print_report(report, args.out)


def show(step: str, done: int, total: int) -> None:
    """One line that is written over and over."""
    sys.stderr.write(f"\r{step} {done} of {total} series" + ("\n" if done == total else ""))
    sys.stderr.flush()


def print_report(report: dict[str, object], out: Path) -> None:
    """What became of everything."""
    for name in ("candidates", "refined", "votes", "series", "dropped"):
        if name in report:
            print(f"{name}: {report[name]}")
    if "votes" in report:
        print(f"series: {out / 'series.jsonl'}; reasons: {out / 'dropped.csv'}")
    else:
        print(f"fill in n_first and n_second in a copy of {out / 'ballots.csv'}, and give it as --votes")


if __name__ == "__main__":
    with reporting_errors(resumable=True):
        main(parse_args(sys.argv[1:]))
