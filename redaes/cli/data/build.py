"""``redaes data build``: pairs of photographs that differ by an edit, with signed difference and reasoning."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from redaes import recipe_files
from redaes.cli.data.dry_run import foresee
from redaes.cli.data.upload import PushToHub, upload
from redaes.cli.progress import progress_bars
from redaes.cli.running import reporting_errors
from redaes.cli.tables import count_table, plain_console, table_of
from redaes.early_checks import check_exists, check_writable
from redaes.errors import InputError, importing
from redaes.hub import check_repository, on_hub
from redaes.option_sources import defaults_of

DEFAULTS = defaults_of("redaes.datagen.dataset_settings:DatasetSettings")
N_REJECTED_SHOWN = 20
"""Photographs that were not used and are named in the terminal; report.json names all."""


def build(
    photographs: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Files, folders, lists (.txt .csv .jsonl), .tar shards, tables (.parquet .arrow), "
            "datasets on the hub (hf:owner/name); none: samples."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the dataset.")] = Path("runs/sample_pairs"),
    config: Annotated[
        Path | None,
        typer.Option(help="YAML recipe, or the name of one that comes with redaes; the options below go before it."),
    ] = None,
    views: Annotated[
        int | None, typer.Option(help=f"Views (crops) per photograph; default: {DEFAULTS['views']}.")
    ] = None,
    variants: Annotated[
        int | None, typer.Option(help=f"Degraded pictures per view; default: {DEFAULTS['variants']}.")
    ] = None,
    max_side: Annotated[
        int | None, typer.Option(help=f"Longest side of the pictures, in pixels; default: {DEFAULTS['max_side']}.")
    ] = None,
    test_fraction: Annotated[
        float | None,
        typer.Option(help=f"Share of photographs that is held out; default: {DEFAULTS['test_fraction']}."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help=f"Seed of everything that is drawn; default: {DEFAULTS['seed']}.")
    ] = None,
    min_side: Annotated[
        int | None,
        typer.Option(help="Shortest side of a photograph, in pixels; default: what the editor needs."),
    ] = None,
    max_aspect: Annotated[
        float | None, typer.Option(help="Largest ratio of a photograph's sides; default: any.")
    ] = None,
    max_photographs: Annotated[
        int | None, typer.Option(help="Use so many photographs, drawn at random; default: all.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Processes or actors; default: one for each free core, 8 at most; 1 with a panel or Ray."),
    ] = None,
    engine: Annotated[str | None, typer.Option(help="local (processes) or ray (Ray Data); default: local.")] = None,
    push_to_hub: PushToHub = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Say what the build will ask (edits, calls, tokens, cost, hours, disk); nothing is asked or written.",
        ),
    ] = False,
    measured: Annotated[
        Path | None,
        typer.Option(help="With --dry-run: report.json of an earlier build with a panel, whose rates are expected."),
    ] = None,
) -> None:
    """Build pairs from photographs, or go on with a build that was stopped.

    The paper builds RED-20k with generative editors and a panel of large models as judges: so does a recipe with a
    panel. Without one, known parametric operations are applied and judged by measurement, which needs no model; see the
    dataset card that is written.
    """
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
    with reporting_errors(resumable=True):
        # What cannot be right is refused before OpenCV is imported, and before hours of work.
        for place in photographs or ():
            if not on_hub(place):
                check_exists(place)
        if measured is not None:
            check_exists(measured)
            if not dry_run:
                raise InputError("--measured goes with --dry-run")
        if not dry_run:
            check_writable(out)
        if config is not None:
            from redaes.file_writing import read_yaml

            read_yaml(recipe_files.find(config, "data_gen"))
        if push_to_hub is not None:
            check_repository(push_to_hub)
        with importing("edit"):
            from redaes.datagen.build_recipe import make_recipe
            from redaes.datagen.pipeline import build as build_dataset
            from redaes.samples import sample_photographs

        recipe = make_recipe(config, given)
        places, licences = list(photographs or ()), {}
        if not places:
            samples = sample_photographs()
            places = [sample.path for sample in samples]
            licences = {sample.path: sample.credit for sample in samples}
        if dry_run:
            foresee(recipe, places, licences, measured)
            return
        work = "photographs read, edited and judged"
        with progress_bars(work) as update:
            so_far: tuple[int, int | None] = (0, None)

            def progress(done: int, total: int) -> None:
                nonlocal so_far
                so_far = done, total
                update(work, *so_far)

            report = build_dataset(
                places,
                out,
                recipe.settings,
                workers=recipe.n_workers,
                engine=recipe.engine,
                panel=recipe.panel,
                progress=progress,
                tell=lambda line: update(work, *so_far, line),
                licences=licences,
                rules=recipe.rules,
            )
        _show_report(report, out)
        upload(out, push_to_hub)


def _show_report(report: Mapping[str, Any], out: Path) -> None:
    console = plain_console()
    table = table_of("split", "photographs", "pairs", title=f"RED dataset {out}")
    for split, pairs in report["pairs"].items():
        table.add_row(split, str(report["photographs"][split]), str(pairs))
    console.print(table)
    console.print(count_table(report["kept_by_factor"], "pairs kept, decided by", "pairs", title=""))
    if report["rejected_pairs"]:
        console.print(count_table(report["rejected_pairs"], "rejected because", "edits or pairs", title=""))
    rejected = report["rejected_photographs"]
    if rejected:
        table = table_of("photograph not used", "reason", title="")
        for item in rejected[:N_REJECTED_SHOWN]:
            table.add_row(item["file"], item["reason"])
        console.print(table)
        if len(rejected) > N_REJECTED_SHOWN:
            console.print(f"… and {len(rejected) - N_REJECTED_SHOWN} more, all named in {out / 'report.json'}")
