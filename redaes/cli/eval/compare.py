"""``redaes eval compare``: runs of one benchmark side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from redaes.cli.running import reporting_errors
from redaes.early_checks import check_writable
from redaes.errors import importing


def compare(
    runs: Annotated[
        list[Path], typer.Argument(help="Folders of finished runs. The other runs are compared with the first one.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the report.")] = Path("runs/report"),
    no_pictures: Annotated[
        bool, typer.Option("--no-pictures", help="Write the page without example pictures.")
    ] = False,
) -> None:
    """Compare runs of one benchmark, and write report.md, report.json and report.html.

    Differences have paired confidence intervals. A single run is reported, too. Published numbers are in a table of
    their own.
    """
    with reporting_errors():
        check_writable(out)
        with importing("eval"):
            from redaes.evaluation.comparison import ComparedRun
            from redaes.evaluation.comparison import compare as compare_runs
            from redaes.evaluation.report import write_report
            from redaes.evaluation.runner import read_results

        if len(runs) == 1:
            sides = [ComparedRun(name=runs[0].name, results=read_results(runs[0]), changes=())]
        else:
            sides = compare_runs(runs)
        for file in write_report(out, sides, runs, examples=not no_pictures):
            typer.echo(file)
