"""``redaes eval probes``: what an assessor makes of changes that should lower a score, and of some that should not."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from redaes.cli.progress import progress_bars
from redaes.cli.running import reporting_errors
from redaes.early_checks import check_exists, check_writable
from redaes.errors import importing

probes = typer.Typer(
    help="Test an assessor with changes that should lower a score and changes that should not. First build the "
    "probes, then run redaes eval pairs with their pairs.csv, then show that run.",
    no_args_is_help=True,
)


@probes.command()
def build(
    photographs: Annotated[Path, typer.Argument(help="Folder of photographs.")],
    out: Annotated[Path, typer.Option(help="Folder for the probes.")] = Path("runs/probes"),
) -> None:
    """Write changed copies of photographs, and a pairs.csv that compares them with the originals."""
    with reporting_errors():
        check_exists(photographs)
        check_writable(out)
        with importing("eval"):
            from redaes.evaluation.probes import build_probes
            from redaes.images import list_images

        with progress_bars() as update:
            file = build_probes(list_images(photographs), out, progress=partial(update, "photographs"))
        typer.echo(file, err=True)


@probes.command()
def show(
    run: Annotated[
        Path, typer.Argument(help="Folder of a finished run over probes, where robustness.json is written.")
    ],
) -> None:
    """Print how often a run preferred the original, by probe and strength."""
    with reporting_errors():
        with importing("eval"):
            from redaes.evaluation.probes import summarise_probes
            from redaes.evaluation.report import cell
            from redaes.file_writing import write_json

        found = summarise_probes(run)
        write_json(run / "robustness.json", [one.model_dump(mode="json") for one in found])
        typer.echo(
            "| probe | strength | original preferred | difference, relative to other photographs | pairs | failed |"
        )
        typer.echo("|---|---|---|---|---|---|")
        for one in found:
            typer.echo(
                f"| {one.probe} | {one.level} | {cell(one.original_preferred)} | {cell(one.relative_difference)} "
                f"| {one.n} | {one.n_failed} |"
            )


@probes.command()
def wordings(
    run: Annotated[Path, typer.Argument(help="Folder of a run with the usual prompt, where wordings.json is written.")],
    others: Annotated[
        list[Path], typer.Argument(help="Folders of runs with paraphrased prompts (--option prompt=NAME).")
    ],
) -> None:
    """Print how much verdicts depend on the wording of the prompt, from runs of one model over the same pairs."""
    with reporting_errors():
        with importing("eval"):
            from redaes.evaluation.probes import summarise_paraphrases
            from redaes.evaluation.report import cell
            from redaes.file_writing import write_json

        rows = summarise_paraphrases(run, others)
        write_json(run / "wordings.json", [row.model_dump(mode="json") for row in rows])
        typer.echo("| prompt | verdicts kept | mean change of the probability | pairs | failed |")
        typer.echo("|---|---|---|---|---|")
        for row in rows:
            typer.echo(f"| {row.prompt_id} | {cell(row.kept)} | {cell(row.mean_change)} | {row.n} | {row.n_failed} |")
