"""How a command ends, and a script too: errors as one line on standard error, exit statuses, what an interrupt says."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from redaes.assessing.words import printable
from redaes.errors import BackendError, MissingDependency, ParseError, RedaesError

EXIT_INPUT = 2
EXIT_NO_ANSWER = 3
EXIT_BACKEND = 4
EXIT_PARTIAL = 5
EXIT_NOT_BETTER = 6
"""All went well, and what was to be better is not: nothing was installed."""
EXIT_INTERRUPTED = 130
"""As a shell says it of a program that an interrupt ended."""


@contextmanager
def reporting_errors(as_json: bool = False, *, resumable: bool = False) -> Iterator[None]:
    """Errors raised on purpose become a message on stderr and an exit status; others keep their traceback.

    Args:
        as_json: whether the message is a JSON object.
        resumable: whether an interrupt says that the same command goes on, and ends with 130.

    Raises:
        SystemExit: an error raised on purpose, or a resumable command was interrupted.
    """
    try:
        yield
    except RedaesError as error:
        if as_json:
            typer.echo(json.dumps({"error": type(error).__name__, "message": str(error)}), err=True)
        else:
            typer.echo(f"redaes: {printable(str(error))}", err=True)
        raise SystemExit(status_of(error)) from error
    except KeyboardInterrupt:
        if not resumable:
            raise
        typer.echo("interrupted; the same command continues from here", err=True)
        raise SystemExit(EXIT_INTERRUPTED) from None


def status_of(error: RedaesError) -> int:
    """The exit status of a command that ends with an error raised on purpose.

    >>> from redaes.errors import InputError
    >>> status_of(InputError("no such folder")), status_of(BackendError("no such model"))
    (2, 4)
    """
    if isinstance(error, BackendError | MissingDependency):
        return EXIT_BACKEND
    return EXIT_NO_ANSWER if isinstance(error, ParseError) else EXIT_INPUT


@contextmanager
def quiet() -> Iterator[None]:
    """Without the libraries' advice to each other; errors are raised as ever."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def say_unusable(path: str, reason: object, as_json: bool) -> None:
    """One input of many that could not be used: the rest goes on."""
    if as_json:
        typer.echo(json.dumps({"path": path, "error": str(reason)}))
    else:
        typer.echo(f"redaes: {printable(str(reason))}", err=True)
