"""``redaes doctor``: what is installed, and what is missing."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from redaes.cli.running import EXIT_BACKEND, reporting_errors


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")] = False,
) -> None:
    """Say what is installed, what is missing, and the line that mends it; ends with 4 when the core is not whole."""
    with reporting_errors(as_json):
        from redaes.doctor import examine

        report = examine()
    if as_json:
        from dataclasses import asdict

        parts = [{**asdict(part), "fits": part.fits, "remedy": part.remedy} for part in report.parts]
        typer.echo(json.dumps({**asdict(report), "parts": parts, "healthy": report.healthy}))
    else:
        typer.echo(f"redaes {report.version}, Python {report.python}\nmodels run on {report.device}")
        typer.echo(f"embedded model: {report.model or 'whole'}")
        for part in report.parts:
            wrong = [
                f"{one.name} {one.found or 'absent'} (wanted {one.wanted or 'any'})"
                for one in part.packages
                if not one.fits
            ]
            typer.echo(f"{part.name or 'core':10} {'; '.join(wrong) or 'complete'}")
            if part.remedy is not None:
                typer.echo(f"{'':10} mend it: {part.remedy}")
    if not report.healthy:
        raise typer.Exit(EXIT_BACKEND)
