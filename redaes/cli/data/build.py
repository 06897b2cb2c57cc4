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
            help="Photographs: files, folders, lists (.txt .csv .jsonl), .tar shards, tables (.parquet .arrow) or "
            "datasets on the Hugging Face Hub (hf:owner/name). The default is a set of sample photographs."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the dataset.")] = Path("runs/sample_pairs"),
    config: Annotated[
        Path | None,
        typer.Option(
            help="A YAML recipe, given as a file or by the name of one that is included in redaes. Options on the "
            "command line override it."
        ),
    ] = None,
    views: Annotated[
        int | None,
        typer.Option(help=f"Number of views (crops) of each photograph. The default is {DEFAULTS['views']}."),
    ] = None,
    variants: Annotated[
        int | None,
        typer.Option(help=f"Number of degraded pictures of each view. The default is {DEFAULTS['variants']}."),
    ] = None,
    max_side: Annotated[
        int | None, typer.Option(help=f"Longest side of the pictures in pixels. The default is {DEFAULTS['max_side']}.")
    ] = None,
    test_fraction: Annotated[
        float | None,
        typer.Option(
            help="Share of the photographs, from 0 to 1, that is held out for the test split. The default is "
            f"{DEFAULTS['test_fraction']}."
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help=f"Seed of all random choices. The default is {DEFAULTS['seed']}.")
    ] = None,
    min_side: Annotated[
        int | None,
        typer.Option(
            help="Use only photographs whose shorter side has at least this many pixels. The default is what the "
            "editor needs."
        ),
    ] = None,
    max_aspect: Annotated[
        float | None,
        typer.Option(help="Use only photographs whose sides have at most this ratio. The default is to use any."),
    ] = None,
    max_photographs: Annotated[
        int | None, typer.Option(help="Use at most this many photographs, drawn at random. The default is to use all.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Number of processes or Ray actors. The default is one for each free CPU core, at most 8, and 1 "
            "with a panel or with Ray."
        ),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            help="How the work is distributed: local (processes on this machine) or ray (Ray Data). The default is "
            "local."
        ),
    ] = None,
    push_to_hub: PushToHub = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Print what the build would need (edits, calls, tokens, cost, hours and disk space), without asking "
            "any model or writing any file.",
        ),
    ] = False,
    measured: Annotated[
        Path | None,
        typer.Option(
            help="With --dry-run: base the expected amounts on the rates in this report.json of an earlier build "
            "with a panel."
        ),
    ] = None,
) -> None:
    """Build a RED dataset of picture pairs from photographs. The same command continues an interrupted build.

    With a recipe that has a panel, generative editors edit the photographs and a panel of large models judges the
    pairs, as the paper builds RED-20k. Without a panel, parametric operations of known strength degrade the photographs
    and the labels come from measurements, so that no model is needed. The dataset card says how the labels were made.
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
                raise InputError("--measured works only together with --dry-run")
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
            console.print(f"… and {len(rejected) - N_REJECTED_SHOWN} more; {out / 'report.json'} names all of them")
