"""``redaes train check``: whether a stage's result is what it was, merges, and can still write."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from redaes.cli.running import EXIT_INPUT, reporting_errors
from redaes.early_checks import check_dataset, check_exists, check_result_folder
from redaes.errors import importing


def check(
    final: Annotated[Path, typer.Argument(help="The final/ folder that a stage wrote.")],
    data: Annotated[Path, typer.Option(help="Folder of the RED dataset that the stage was trained on.")],
    merged: Annotated[
        Path | None, typer.Option(help="Folder with the merged model. The default is to merge it in memory.")
    ] = None,
    pairs: Annotated[int, typer.Option(help="Number of held-out pairs that the model answers in full.")] = 32,
) -> None:
    """Check the result of a stage: whether it loads as it was trained, merges without change, and still writes text.

    The exit status is 2 if a check fails.
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
