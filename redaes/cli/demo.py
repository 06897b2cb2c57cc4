"""``redaes demo``: the whole path at small scale, or a tour of a minute."""

from __future__ import annotations

import os
import sys
import webbrowser
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from redaes.cli.running import quiet, reporting_errors
from redaes.errors import InputError, MissingDependency

if TYPE_CHECKING:
    from redaes.backends.base import Backend

OUT = Path("demo_out")
TOUR_OUT = Path("tour_out")
SERVING = ("fastapi", "uvicorn")
"""Packages that the page stands on; the extra ``serve`` brings them."""


def demo(
    photos: Annotated[
        Path | None,
        typer.Option(
            help="Folder of photographs to use. The default is a set of public photographs that installed packages "
            "contain."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results.", show_default=f"{OUT}; with --quick {TOUR_OUT}")
    ] = None,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="Take a tour of about a minute instead: make pairs, compare two pictures and rank a series, without "
            "training.",
        ),
    ] = False,
    open_page: Annotated[
        bool,
        typer.Option(
            "--open",
            help="With --quick: serve the web page at the end and open it in a browser, until you press Ctrl+C.",
        ),
    ] = False,
) -> None:
    """Run the whole method at small scale: edit photographs, train a model, evaluate it, and write a report.

    It takes several minutes on two cores. With --quick, a tour of about a minute without training.
    """
    with reporting_errors():
        if not quick:
            if open_page:
                raise InputError("--open works only together with --quick; leave it out, or give both")
            from redaes.demo import run

            run(photos=photos, out=out or OUT)
            return
        if photos is not None:
            raise InputError(
                "--quick uses photographs that are included in the package; leave --photos out, or leave --quick out"
            )
        for package in SERVING if open_page else ():
            if find_spec(package) is None:
                raise MissingDependency(package, "serve")
        from redaes.demo import run_tour

        with quiet():
            backend = run_tour(out or TOUR_OUT)
        if open_page:
            _serve_page(backend)


def _serve_page(backend: Backend) -> None:
    """Serve the page until Ctrl+C, and open it; where nobody sits at a terminal, do nothing but say so."""
    if not sys.stdout.isatty():
        typer.echo("\n--open: standard output is not a terminal, so no page is served; run redaes serve in a terminal")
        return
    from redaes.serving import run
    from redaes.serving.limits import ServiceLimits

    def announce(address: str) -> None:
        typer.echo(f"\nThe page is at {address} until you press Ctrl+C.")
        if has_screen():
            webbrowser.open(address)

    with run.orderly_end():
        run.serve(backend, run.ServiceAddress(port=0), ServiceLimits(), announce=announce)


def has_screen() -> bool:
    """Whether a browser with windows can be opened: without one, a browser of the terminal would take the place."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
