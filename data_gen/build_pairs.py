"""Build a RED dataset: pairs of photographs that differ by an edit, with signed difference and reasoning.

    python data_gen/build_pairs.py                                    # sample photographs, into runs/sample_pairs
    python data_gen/build_pairs.py my_photographs --out my_pairs --workers 4
    python data_gen/build_pairs.py my_photographs --out my_pairs --config data_gen/configs/large.yaml

The paper builds RED-20k with generative editors and a panel of large models as judges: so does a recipe with a
``panel`` (data_gen/configs/panel.yaml). Without one, known parametric operations are applied and judged by measurement,
which needs no model; see the dataset card that is written.
A run that was interrupted goes on where it stopped when it is started again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from redaes.cli.running import reporting_errors
from redaes.early_checks import check_exists, check_writable
from redaes.errors import importing
from redaes.option_sources import defaults_of
from redaes.records import read_yaml


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """The command line; options that were not given are None, because a recipe may give them."""
    default = defaults_of("redaes.datagen.dataset_settings:DatasetSettings")
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "photographs",
        nargs="*",
        type=Path,
        help="files, folders, lists (.txt .csv .jsonl), .tar shards, tables (.parquet .arrow); none: samples",
    )
    parser.add_argument("--out", type=Path, default=Path("runs/sample_pairs"), help="folder; default: %(default)s")
    parser.add_argument("--views", type=int, help=f"views (crops) per photograph; default: {default['views']}")
    parser.add_argument("--variants", type=int, help=f"degraded pictures per view; default: {default['variants']}")
    parser.add_argument("--max-side", type=int, help=f"longest side in pixels; default: {default['max_side']}")
    parser.add_argument("--test-fraction", type=float, help=f"share held out; default: {default['test_fraction']}")
    parser.add_argument("--seed", type=int, help=f"default: {default['seed']}")
    parser.add_argument("--min-side", type=int, help="shortest side of a photograph; default: what the editor needs")
    parser.add_argument("--max-aspect", type=float, help="largest ratio of its sides; default: any")
    parser.add_argument("--max-photographs", type=int, help="draw so many; default: use all")
    parser.add_argument("--workers", type=int, help="processes or actors; default: 1")
    parser.add_argument("--engine", help="local (processes) or ray (Ray Data); default: local")
    parser.add_argument("--config", type=Path, help="YAML recipe; the command line goes before it")
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    """Build, and print the report; what cannot be right is refused before OpenCV is imported."""
    for place in args.photographs:
        check_exists(place)
    check_writable(args.out)
    if args.config is not None:
        read_yaml(args.config)
    with importing("edit"):
        from redaes.datagen.build_recipe import make_recipe
        from redaes.datagen.commands import build_dataset

    build_dataset(args.photographs, args.out, make_recipe(args.config, vars(args)))


if __name__ == "__main__":
    with reporting_errors(resumable=True):
        main(parse_args(sys.argv[1:]))
