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
        typer.Argument(help="Lists of pairs or series, folders of rated pictures, as redaes data import takes them."),
    ],
    out: Annotated[Path, typer.Option(help="A folder that does not exist yet.")],
    pictures: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder from which lists name pictures; default: each list's own."),
    ] = None,
    earlier: Annotated[
        Path | None, typer.Option("--from", metavar="TASTE", help="An earlier taste, whose decisions count too.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help=f"The model to learn on; default: that of --from, else {nano.NAME}.")
    ] = None,
    folds: Annotated[int, typer.Option(help="Parts of the decisions that are held out in turn.")] = 5,
    keep: Annotated[
        float, typer.Option(help="How much the model's verdicts on edited pairs count against the decisions.")
    ] = 2.0,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...", help="Of folders: xmp:Label by name, best first, in place of stars and picks."
        ),
    ] = None,
    encoding: Annotated[str, typer.Option(help="Of text, such as latin-1; default: UTF-8.")] = "utf-8-sig",
    device: Device = None,
    seed: Annotated[int, typer.Option(help="Of what is held out together, the edits and the test.")] = 0,
) -> None:
    """Learn what one person prefers, and say plainly whether anything was learnt.

    Each series of decisions is held out once and judged by what was learnt from the others. Only if that is better than
    the model was before, beyond chance, an adapter is written, which goes with --adapter of rank, compare and serve.
    Else the command ends with 6, and --out has the report and the decisions alone.
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
            raise InputError(f"{out} exists; choose another --out, nothing is overwritten")
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
        typer.echo(f"{counted(found['contradictory'], 'pair')} with answers for either picture:")
        for line in found["first_contradictory"][:N_SHOWN]:
            typer.echo(f"  {printable(line)}")
    typer.echo(report["says"])
    forgot, place = report["forgetting"], shlex.quote(str(out))
    typer.echo(
        f"edited pairs of other photographs: the better one told in {100 * forgot['before']:.0f} % before, "
        f"{100 * forgot['after']:.0f} % after, of {forgot['n']}"
    )
    typer.echo(
        f"{out}: use it with --model {shlex.quote(report['model'])} --adapter {place}"
        if report["better"]
        else f"no adapter was written; {out} has the report and the decisions, which --from {place} goes on with"
    )
