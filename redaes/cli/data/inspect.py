"""``redaes data inspect``: a dataset as a page to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from redaes.cli.running import reporting_errors
from redaes.early_checks import check_dataset
from redaes.errors import importing


def inspect(
    folder: Annotated[Path, typer.Argument(help="Folder of a RED dataset.")],
    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("inspect.html"),
    pairs: Annotated[int, typer.Option(help="Largest number of pairs to show.")] = 24,
) -> None:
    """Write an HTML page that shows pairs of a RED dataset and plots its statistics."""
    with reporting_errors():
        check_dataset(folder)
        with importing("edit"):
            from redaes.datagen.inspection import inspect as write_page

        write_page(folder, out, n_pairs=pairs)
        typer.echo(f"{out} shows up to {pairs} pairs of {folder}")
