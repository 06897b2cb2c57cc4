"""``redaes doctor``: what is installed, what is missing, and which model servers answer on this machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from redaes.assessing.words import printable
from redaes.cli.running import EXIT_BACKEND, reporting_errors

if TYPE_CHECKING:
    from redaes.doctor import InstallationReport, PackageGroup
    from redaes.local_servers import RunningServer

MOST_WRONG = 3
"""Packages of an extra that are named as missing or too old; the line that installs the extra brings all."""


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")] = False,
) -> None:
    """Check the installation, and look for model servers on this machine.

    The report says which packages are installed, which are missing, and the command that installs them. The exit status
    is 4 if the core of redaes cannot work.
    """
    with reporting_errors(as_json):
        from redaes.doctor import examine

        report = examine()
    if as_json:
        typer.echo(json.dumps(_as_json(report)))
    else:
        typer.echo(f"redaes {report.version}, Python {report.python}\nmodels run on {report.device}")
        typer.echo(f"CPU cores: {report.cores}\nembedded model: {report.model or 'complete'}")
        groups = {part.name: part for part in report.parts}
        for part in report.parts:
            _show_part(part, groups)
        typer.echo(f"\nvLLM: {report.vllm}\n")
        for server in report.servers:
            _show_server(server)
        _say_where_looked(report)
    if not report.healthy:
        raise typer.Exit(EXIT_BACKEND)


def _as_json(report: InstallationReport) -> dict[str, object]:
    def server_of(server: RunningServer) -> dict[str, object]:
        models = [
            {**asdict(model), "command": None if model.takes_pictures is False else server.command(model)}
            for model in server.models
        ]
        return {**asdict(server), "models": models}

    parts = [{**asdict(part), "fits": part.fits, "remedy": part.remedy} for part in report.parts]
    servers = [server_of(server) for server in report.servers]
    return {**asdict(report), "parts": parts, "servers": servers, "healthy": report.healthy}


def _show_part(part: PackageGroup, groups: Mapping[str, PackageGroup]) -> None:
    included = {package.name for name in part.includes for package in groups[name].packages}
    wrong = [
        f"{one.name} is {one.found or 'missing'} ({one.wanted or 'any version'} is needed)"
        for one in part.packages
        if not one.fits and one.name not in included
    ]
    lacking = [name for name in part.includes if not groups[name].fits]
    if lacking:
        wrong.append(f"incomplete: {', '.join(lacking)}")
    if not wrong and part.absent_here:
        wrong.append(f"not available for this system: {', '.join(part.absent_here)}")
    more = f"; and {len(wrong) - MOST_WRONG} more" if len(wrong) > MOST_WRONG else ""
    typer.echo(f"{part.name or 'core':11} {'; '.join(wrong[:MOST_WRONG]) or 'complete'}{more}")
    if part.remedy is not None:
        typer.echo(f"{'':11} to install it: {part.remedy}")


def _show_server(server: RunningServer) -> None:
    typer.echo(f"{server.kind} answers at {server.url}" if server.problem is None else f"{server.kind} at {server.url}")
    if server.problem is not None:
        typer.echo(f"  {server.problem}")
        return
    for model in server.models:
        if model.takes_pictures is not False:
            unsure = (
                ""
                if model.takes_pictures
                else "   # works only if the model accepts pictures, which the server does not report"
            )
            typer.echo(f"  {printable(server.command(model))}{unsure}")
    without = [model.name for model in server.models if model.takes_pictures is False]
    if without:
        typer.echo(f"  These models accept no pictures: {printable(', '.join(without))}")
    if not server.models:
        typer.echo("  The server offers no model.")


def _say_where_looked(report: InstallationReport) -> None:
    from redaes.local_servers import ports_to_ask

    places = ", ".join(f"{port} ({usual})" for port, usual in ports_to_ask().items())
    found = "redaes" if report.servers else "No model server answers on this machine; redaes"
    typer.echo(f"{found} asked ports {places}")
