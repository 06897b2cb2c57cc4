"""``redaes train check``: whether a stage's result is what it was, merges, and can still write."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from redaes.cli.running import EXIT_INPUT, reporting_errors
from redaes.early_checks import check_dataset, check_exists, check_result_folder
from redaes.errors import importing


def check(
    final: Annotated[Path, typer.Argument(help="A stage's final/ folder.")],
    data: Annotated[Path, typer.Option(help="RED dataset folder of the training.")],
    merged: Annotated[Path | None, typer.Option(help="Folder with the merged model; default: merge in memory.")] = None,
    pairs: Annotated[int, typer.Option(help="Held-out pairs to answer in full.")] = 32,
) -> None:
    """Check a stage's result: it loads as it was trained, merges without change, and still has language.

    Ends with 2 when a check fails.
    """
    with reporting_errors():
        check_result_folder(final)
        check_dataset(data)
        if merged is not None:
            check_exists(merged)
        with importing("train"):
            from redaes.training.result_checks import check_result

        checks = check_result(final, data, n_pairs=pairs, merged=merged)
    for found in checks:
        typer.echo(f"{'ok    ' if found.passed else 'FAILED'} {found.name}: {found.found}")
    if not all(found.passed for found in checks):
        raise typer.Exit(EXIT_INPUT)
