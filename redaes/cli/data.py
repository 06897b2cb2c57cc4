"""``redaes data``: datasets built, shown, checked and exported."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from redaes.cli.running import EXIT_INPUT, reporting_errors

data = typer.Typer(help="Build RED datasets, look at them, check them, hand them on.", no_args_is_help=True)

PUSH_HELP = "Upload the result to this dataset on the hub (owner/name), created as private."


@data.command("build")
def data_build(
    photographs: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Files, folders, lists (.txt .csv .jsonl), .tar shards, tables (.parquet .arrow); none: samples."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the dataset.")] = Path("runs/sample_pairs"),
    config: Annotated[Path | None, typer.Option(help="YAML recipe; the options below go before it.")] = None,
    views: Annotated[int | None, typer.Option(help="Views (crops) per photograph.")] = None,
    variants: Annotated[int | None, typer.Option(help="Degraded pictures per view.")] = None,
    max_side: Annotated[int | None, typer.Option(help="Longest side of the pictures, in pixels.")] = None,
    test_fraction: Annotated[float | None, typer.Option(help="Share of photographs that is held out.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything that is drawn.")] = None,
    min_side: Annotated[int | None, typer.Option(help="Shortest side of a photograph, in pixels.")] = None,
    max_aspect: Annotated[float | None, typer.Option(help="Largest ratio of a photograph's sides.")] = None,
    max_photographs: Annotated[int | None, typer.Option(help="Draw so many photographs; default: all.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes or actors.")] = None,
    engine: Annotated[str | None, typer.Option(help="local (processes) or ray (Ray Data).")] = None,
    push_to_hub: Annotated[str | None, typer.Option(metavar="REPO", help=PUSH_HELP)] = None,
) -> None:
    """Build pairs from photographs, or go on with a build that was stopped."""
    given = {
        "views": views,
        "variants": variants,
        "max_side": max_side,
        "test_fraction": test_fraction,
        "seed": seed,
        "min_side": min_side,
        "max_aspect": max_aspect,
        "max_photographs": max_photographs,
        "workers": workers,
        "engine": engine,
    }
    with reporting_errors():
        from redaes.datagen.build_recipe import make_recipe
        from redaes.datagen.commands import build_dataset

        build_dataset(photographs or [], out, make_recipe(config, given), push_to=push_to_hub)


@data.command("inspect")
def data_inspect(
    folder: Annotated[Path, typer.Argument(help="A RED dataset.")],
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("inspect.html"),
    pairs: Annotated[int, typer.Option(help="Pairs to show, at most.")] = 24,
) -> None:
    """Write one HTML page with pairs to look at and plots of what is in a dataset."""
    with reporting_errors():
        from redaes.datagen.commands import inspect_dataset

        inspect_dataset(folder, out, n_pairs=pairs)


@data.command("validate")
def data_validate(
    folder: Annotated[Path, typer.Argument(help="A RED dataset.")],
    claims: Annotated[
        bool, typer.Option("--claims", help="Hold what the rationales say against what is measured of the pictures.")
    ] = False,
    workers: Annotated[int, typer.Option(min=1, help="Threads that measure, with --claims.")] = 1,
) -> None:
    """Check every row; ends with 2 and names the rows when something is wrong."""
    with reporting_errors():
        from redaes.datagen.commands import validate_dataset

        found = validate_dataset(folder, claims=claims, workers=workers)
    if found.wrong:
        raise typer.Exit(EXIT_INPUT)


@data.command("export")
def data_export(
    folder: Annotated[Path, typer.Argument(help="A RED dataset.")],
    form: Annotated[str, typer.Option("--format", help="preference (TRL), jsonl or webdataset.")],
    out: Annotated[Path, typer.Option(help="A folder that does not exist yet.")],
    push_to_hub: Annotated[str | None, typer.Option(metavar="REPO", help=PUSH_HELP)] = None,
) -> None:
    """Write a dataset in a form that other tools read."""
    with reporting_errors():
        from redaes.datagen.commands import export_dataset
        from redaes.datagen.export import known_format

        export_dataset(folder, out, known_format(form), push_to=push_to_hub)
