"""``redaes serve --background``: the model that stays loaded, and what it does with a command that it is handed."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from redaes.cli import compare, loading
from redaes.cli.running import quiet
from redaes.cli.spinner import Spinner
from redaes.early_checks import check_judge
from redaes.errors import InputError, RedaesError

if TYPE_CHECKING:
    from redaes.background.service import Served

_LOCK_S = 2.0
"""Seconds in which others that look at the lock for a moment let go of it."""

_RUN = "import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); from redaes.cli import main; main()"
"""A process that finds the very modules that this one does, wherever it stands."""


def begin(model: str, adapter: Path | None, device: str | None, *, idle_minutes: float, stay: bool) -> None:
    """Start the service, or be it.

    Raises:
        InputError: the options are wrong, or another service runs.
        TrainingError: no such adapter.
        BackendError: it does not start.
    """
    from redaes.background import starting
    from redaes.background.settings import identity

    if not 0 <= idle_minutes < math.inf:
        raise InputError(f"--idle is {idle_minutes:g}; give a number of minutes, or 0 to keep the service running")
    check_judge(model, adapter)
    if stay:
        _be(model, adapter, device, idle_s=idle_minutes * 60 or math.inf)
        return
    options = ["--model", model, "--idle", str(idle_minutes)]
    options += ["--adapter", str(adapter)] if adapter is not None else []
    options += ["--device", device] if device is not None else []
    command = [sys.executable, "-c", _RUN, json.dumps(sys.path), "serve", "--background", "--stay", *options]
    with Spinner(f"loading {model}"):
        about = starting.start(command, identity(model, None if adapter is None else str(adapter), device))
    typer.echo(_line(about))


def show_status() -> None:
    """Print which service runs, or that none does, with exit status 1.

    Raises:
        BackendError: one runs and does not answer.
    """
    from redaes.background import starting

    about = starting.status()
    if about is None:
        typer.echo("no service runs in the background")
        raise typer.Exit(1)
    typer.echo(_line(about))


def end() -> None:
    """End the service.

    Raises:
        BackendError: it does not end.
    """
    from redaes.background import starting

    process = starting.stop()
    typer.echo("no service runs in the background" if process is None else f"process {process} has ended")


def _line(about: dict[str, object]) -> str:
    idle_s = about["idle_s"]
    until = (
        "until it is stopped" if idle_s is None else f"until it has been idle for {float(str(idle_s)) / 60:g} minutes"
    )
    return (
        f"{about['model']} @ {about['revision']} answers redaes compare, score and rank {until} (process "
        f"{about['pid']}); to stop it: redaes serve --stop"
    )


def _be(model: str, adapter: Path | None, device: str | None, *, idle_s: float) -> None:
    from redaes.background import place, starting
    from redaes.background.settings import identity, settings

    folder = starting.private_folder()
    from redaes.background.service import BackgroundService, Served
    from redaes.serving.run import orderly_end

    deadline = time.monotonic() + _LOCK_S
    while True:
        with starting.only_one(folder) as alone:
            if alone:
                # Before anything is loaded: what changes meanwhile must not pass for what was loaded.
                known_as, mine = identity(model, None if adapter is None else str(adapter), device), settings()
                with quiet():
                    backend = loading.load_model(model, adapter, device)
                served = Served(backend, known_as, mine)
                path = os.path.join(folder, place.SOCKET)
                with BackgroundService(path, served, _carry_out, idle_s=idle_s) as service:
                    os.chdir(os.sep)
                    with orderly_end():
                        try:
                            service.serve_forever()
                        except KeyboardInterrupt:
                            return
                return
        if time.monotonic() > deadline:
            raise RedaesError("another background service is already running or starting; redaes serve --stop ends it")
        time.sleep(0.05)


def _carry_out(words: Sequence[str], served: Served) -> int:
    """A command, done with the model that is loaded, in the thread of the service."""
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(compare.compare)
    app.callback()(lambda: None)  # so that the command is named, as on any command line
    token = loading.RESIDENT.set(served.of)
    try:
        app(list(words), prog_name="redaes")
    except SystemExit as end_of_command:
        code = end_of_command.code
        return code if isinstance(code, int) else int(code is not None)
    finally:
        loading.RESIDENT.reset(token)
    return 0
