"""``redaes eval``: an assessor over a benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from redaes.cli.running import reporting_errors
from redaes.errors import InputError


def evaluate(
    benchmark: Annotated[str, typer.Argument(help="A benchmark; see --list.")] = "",
    data_: Annotated[Path | None, typer.Option("--data", help="Its folder, or its label file.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the run; the same command goes on with it.")] = Path("runs/eval"),
    assessor: Annotated[
        str | None,
        typer.Option(help="vlm, vlm_pairs, endpoint, endpoint_pairs, csv, pyiqa or baseline; default: vlm."),
    ] = None,
    option: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Of the assessor.")] = None,
    pictures: Annotated[Path | None, typer.Option(help="Folder of the pictures, if elsewhere.")] = None,
    references: Annotated[Path | None, typer.Option(help="Folder of reference pictures, for scores in pairs.")] = None,
    n_references: Annotated[int | None, typer.Option(help="Otherwise so many of the benchmark's own.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of their draw.")] = None,
    max_pixels: Annotated[int | None, typer.Option(help="Largest area that is shown, in pixels.")] = None,
    allow_missing: Annotated[bool | None, typer.Option("--allow-missing", help="Go on without them.")] = None,
    workers: Annotated[int, typer.Option(help="Processes.")] = 1,
    shard: Annotated[str, typer.Option(help="k/n: only this part, on one of n machines.")] = "0/1",
    config: Annotated[Path | None, typer.Option(help="YAML recipe; the options go before it.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="Show the benchmarks and stop.")] = False,
) -> None:
    """Run an assessor over a public benchmark, or over labels of your own."""
    with reporting_errors():
        from redaes.evaluation.commands import list_benchmarks, parse_options, parse_shard, run_benchmark
        from redaes.evaluation.eval_recipe import make_spec

        if list_:
            list_benchmarks()
            return
        if not benchmark or data_ is None:
            raise InputError("name a benchmark (see --list) and its folder with --data")
        given = {
            "benchmark": benchmark,
            "data": data_,
            "assessor": assessor,
            "options": parse_options(option or []),
            "pictures": pictures,
            "references": references,
            "n_references": n_references,
            "seed": seed,
            "max_pixels": max_pixels,
            "allow_missing": allow_missing,
        }
        run_benchmark(make_spec(config, given), out, workers=workers, shard=parse_shard(shard))
