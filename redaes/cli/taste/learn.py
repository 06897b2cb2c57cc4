"""``redaes taste learn``: an adapter from one person's decisions, if it is better than what was there before."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from redaes.assessing.words import counted, printable
from redaes.cli.options import Device
from redaes.cli.progress import progress_bars
from redaes.cli.running import EXIT_NOT_BETTER, quiet, reporting_errors
from redaes.early_checks import check_exists, check_model, check_writable
from redaes.errors import InputError, importing
from redaes.hub import on_hub
from redaes.models import nano

N_SHOWN = 5
"""Findings of a kind that are shown; the report has more."""


def learn(
    decisions: Annotated[
        list[Path],
        typer.Argument(
            help="The person's decisions: tables of pairs or series, or folders of rated pictures, as redaes data "
            "import accepts them."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the result. It must not exist yet.")],
    pictures: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder to which the picture paths of the tables are relative. The default is each table's own "
            "folder.",
        ),
    ] = None,
    earlier: Annotated[
        Path | None,
        typer.Option("--from", metavar="TASTE", help="Folder of an earlier taste, whose decisions are used too."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help=f"The model to train an adapter for. The default is the model of --from, otherwise {nano.NAME}."
        ),
    ] = None,
    folds: Annotated[
        int, typer.Option(help="Number of parts into which the decisions are divided; each part is held out in turn.")
    ] = 5,
    keep: Annotated[
        float,
        typer.Option(
            help="Weight of keeping the model's present verdicts on edited pairs, relative to the weight of the "
            "decisions."
        ),
    ] = 2.0,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            help="For folders of rated pictures: the values of xmp:Label, best first, which are then used instead of "
            "stars and picks.",
        ),
    ] = None,
    encoding: Annotated[
        str, typer.Option(help="Encoding of the text files, for example latin-1. The default is UTF-8.")
    ] = "utf-8-sig",
    device: Device = None,
    seed: Annotated[
        int, typer.Option(help="Seed of the held-out parts, of the edits and of the statistical test.")
    ] = 0,
) -> None:
    """Train an adapter on one person's decisions, and report whether it predicts them better than the model alone.

    Each series of decisions is held out once and predicted from the others. Only if these predictions are better than
    those of the model alone, by more than chance, an adapter is written, for --adapter of rank, compare and serve.
    Otherwise the exit status is 6, and --out contains only the report and the decisions.
    """
    with reporting_errors():
        for source in decisions:
            if not on_hub(source):
                check_exists(source)
        if pictures is not None:
            check_exists(pictures)
        if seed < 0:
            raise InputError(f"--seed is {seed}; give 0 or more")
        if out.exists():
            raise InputError(f"{out} exists and is not overwritten; choose another --out")
        check_writable(out)
        if earlier is not None:
            check_exists(earlier)
        if model is not None:
            check_model(model)
        with importing("train"):
            from redaes.taste.learning import TasteSettings
            from redaes.taste.making import TasteSources, make_taste
        with importing("edit"):
            from redaes.datagen.imported.forms import ReadingSettings

        _quieten()
        settings = TasteSettings(folds=folds, keep=keep, seed=seed)
        names = tuple(name.strip() for name in (labels or "").split(",") if name.strip())
        sources = TasteSources(tuple(decisions), earlier, ReadingSettings(pictures, encoding, names, seed=seed))
        with quiet(), progress_bars("reading decisions") as update, tempfile.TemporaryDirectory() as work:
            report = make_taste(sources, out, Path(work), settings, model=model, device=device, progress=update)
        _show(report, out)
    if not report["better"]:
        raise typer.Exit(EXIT_NOT_BETTER)


def _quieten() -> None:
    """Bars and advice of the libraries stay away from what the command says; their errors are raised as ever."""
    import datasets
    from transformers.utils import logging

    datasets.disable_progress_bars()
    logging.disable_progress_bar()
    logging.set_verbosity_error()


def _show(report: Mapping[str, Any], out: Path) -> None:
    found = report["decisions"]
    typer.echo(
        f"{counted(found['n'], 'decision')} in {found['series']} series, from {counted(found['answers'], 'answer')}"
    )
    for reason, number in found["left_out"].items():
        typer.echo(f"left out: {counted(number, 'answer')}, {reason}")
    for line in found["first_left_out"][:N_SHOWN]:
        typer.echo(f"  {printable(line)}")
    if found["contradictory"]:
        typer.echo(f"{counted(found['contradictory'], 'pair')} with answers for both pictures:")
        for line in found["first_contradictory"][:N_SHOWN]:
            typer.echo(f"  {printable(line)}")
    typer.echo(report["says"])
    forgot, place = report["forgetting"], shlex.quote(str(out))
    typer.echo(
        f"edited pairs of other photographs: the model recognised the better picture in {100 * forgot['before']:.0f} "
        f"% before and {100 * forgot['after']:.0f} % after training, of {forgot['n']}"
    )
    typer.echo(
        f"The adapter is in {out}; use it with --model {shlex.quote(report['model'])} --adapter {place}"
        if report["better"]
        else f"No adapter was written. {out} contains the report and the decisions; to continue with more decisions, "
        f"add --from {place}"
    )
