"""The ``redaes`` command with all that it can do; a file beside this one holds each command."""

from __future__ import annotations

from importlib import metadata
from typing import Annotated

import typer

from redaes.cli.compare import compare
from redaes.cli.data import data
from redaes.cli.demo import demo
from redaes.cli.doctor import doctor
from redaes.cli.eval import evaluate
from redaes.cli.rank import rank
from redaes.cli.score import score
from redaes.cli.serve import serve
from redaes.cli.train import train

app = typer.Typer(
    help="Says which of two pictures looks better, by how much, and why.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # an error that is not ours is a bug, and its plain traceback is wanted
)


def _show_version(wanted: bool) -> None:
    if wanted:
        try:
            found = metadata.version("redaes")
        except metadata.PackageNotFoundError:
            found = "(run from a checkout that is not installed)"
        typer.echo(f"redaes {found}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    pass


for _command in (compare, score, rank, doctor, serve, demo):
    app.command()(_command)
app.command("eval")(evaluate)
app.add_typer(data, name="data")
app.add_typer(train, name="train")
