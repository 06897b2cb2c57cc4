"""Build a RED dataset: pairs of photographs that differ by an edit, with signed difference and reasoning.

    python data_gen/build_pairs.py                                    # sample photographs, into runs/sample_pairs
    python data_gen/build_pairs.py my_photographs --out my_pairs --workers 4
    python data_gen/build_pairs.py my_photographs --out my_pairs --config data_gen/configs/large.yaml

The paper builds RED-20k with generative editors and a panel of large models as judges. This edits with known
parametric operations and judges by measurement, so it needs no model; see the dataset card that it writes.
A run that was interrupted goes on where it stopped when it is started again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from redaes.datagen.pipeline import Settings, build
from redaes.errors import InputError, RedaesError
from redaes.samples import sample_photographs

OPTIONS = (*(field.name for field in fields(Settings)), "workers")
"""What a recipe may set."""


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """The command line, over the recipe, over the defaults.

    Raises:
        InputError: a recipe that cannot be used.
    """
    defaults = Settings()
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("photographs", nargs="*", type=Path, help="files or folders; none: sample photographs")
    parser.add_argument("--out", type=Path, default=Path("runs/sample_pairs"), help="folder of the dataset")
    parser.add_argument("--views", type=int, default=defaults.views, help="views (crops) per photograph")
    parser.add_argument("--variants", type=int, default=defaults.variants, help="degraded pictures per view")
    parser.add_argument("--max-side", type=int, default=defaults.max_side, help="longest side in pixels")
    parser.add_argument("--test-fraction", type=float, default=defaults.test_fraction, help="share held out")
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--config", type=Path, help="YAML recipe; the command line goes before it")
    recipe = parser.parse_args(argv).config
    if recipe is not None:
        parser.set_defaults(**read_recipe(recipe))
    return parser.parse_args(argv)


def read_recipe(path: Path) -> dict[str, Any]:
    """The options in a YAML file.

    Raises:
        InputError: it cannot be read, is no mapping, or has an unknown key.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"recipe {path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"recipe {path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise InputError(f"recipe {path} is not a YAML mapping of option: value")
    unknown = sorted(str(key) for key in values if key not in OPTIONS)
    if unknown:
        raise InputError(f"recipe {path} has unknown keys: {', '.join(unknown)}; known: {', '.join(OPTIONS)}")
    workers = values.get("workers", 1)
    if type(workers) is not int:
        raise InputError(f"recipe {path}: workers is {workers!r}; give a whole number")
    return values


def show(report: dict[str, Any], out: Path, console: Console) -> None:
    """Print what was kept and what was rejected, and why."""
    table = Table("split", "photographs", "pairs", title=f"RED dataset {out}", title_justify="left")
    for split, pairs in report["pairs"].items():
        table.add_row(split, str(report["photographs"][split]), str(pairs))
    console.print(table)
    table = Table("pairs kept, decided by", "pairs")
    for factor, count in report["kept_by_factor"].items():
        table.add_row(factor, str(count))
    console.print(table)
    if report["rejected_pairs"]:
        table = Table("rejected because", "edits or pairs")
        for reason, count in report["rejected_pairs"].items():
            table.add_row(reason, str(count))
        console.print(table)
    if report["rejected_photographs"]:
        table = Table("photograph not used", "reason")
        for item in report["rejected_photographs"]:
            table.add_row(item["file"], item["reason"])
        console.print(table)


def main(args: argparse.Namespace) -> None:
    """Build, and print the report."""
    console = Console(highlight=False, markup=False)
    settings = Settings(**{field.name: getattr(args, field.name) for field in fields(Settings)})
    photographs, licences = list(args.photographs), {}
    if not photographs:
        samples = sample_photographs()
        photographs = [sample.path for sample in samples]
        licences = {sample.path: sample.credit for sample in samples}
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("reading photographs", total=None)

        def progress(done: int, total: int) -> None:
            bar.update(task, description="editing and judging", completed=done, total=total)

        report = build(photographs, args.out, settings, workers=args.workers, progress=progress, licences=licences)
    show(report, args.out, console)


if __name__ == "__main__":
    try:
        main(parse_args(sys.argv[1:]))
    except RedaesError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
