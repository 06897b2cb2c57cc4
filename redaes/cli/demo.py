"""``redaes demo``: the whole path at small scale."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from redaes.cli.running import reporting_errors


def demo(
    photos: Annotated[
        Path | None,
        typer.Option(
            help="Folder of photographs to use. The default is a set of public photographs that installed packages "
            "contain."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("demo_out"),
) -> None:
    """Run the whole method at small scale: edit photographs, train a model, evaluate it, and write a report."""
    with reporting_errors():
        from redaes.demo import run

        run(photos=photos, out=out)
