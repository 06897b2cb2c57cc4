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
        list[Path], typer.Argument(help="Folders of finished runs; the first is what others are compared with.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("runs/report"),
    no_pictures: Annotated[bool, typer.Option("--no-pictures", help="Leave examples out of the page.")] = False,
) -> None:
    """Put runs of one benchmark side by side: report.md, report.json and report.html, with paired intervals.

    One run alone is reported, too. Numbers that others published stand in a table of their own.
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
