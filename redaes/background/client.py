"""The command's side of the background service: find it, check that its answers would be the same, and ask it."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Any, NamedTuple

from redaes.background import place
from redaes.background.settings import differences, identity, settings
from redaes.background.wire import Broken, receive, send

SWITCH = "REDAES_SERVICE"
"""Environment variable; if it is ``off``, no service is used."""

HELLO_S = 2.0
"""Seconds in which a service must send its greeting, however busy it is."""
SILENCE_S = 15.0
"""Seconds of silence after which a service is given up; while it works, it sends a message every second."""

TERMINAL = (
    "TERM", "COLORTERM", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE", "TTY_INTERACTIVE",
    "JPY_PARENT_PID",
)  # fmt: skip
"""Environment variables on which the layout of a printed answer depends."""


class NoService(Exception):
    """There is no service that may answer for this process; the message says why."""


class Session:
    """A connection to a service that answers as this process would."""

    def __init__(self) -> None:
        """Connect.

        Raises:
            NoService: there is no service, it has other settings, or it does not answer properly.
        """
        if not hasattr(socket, "AF_UNIX"):
            raise NoService("this system has no Unix sockets")
        folder = place.folder()
        path = os.path.join(folder, place.SOCKET)
        if not os.path.exists(path):
            raise NoService("no service is running")
        refusal = place.why_not_private(folder)
        if refusal is not None:
            raise NoService(refusal)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(HELLO_S)
        try:
            self._socket.connect(path)
        except OSError as error:
            self._socket.close()
            raise NoService(
                "no service is running" if isinstance(error, ConnectionRefusedError) else str(error)
            ) from error
        self._stream = self._socket.makefile("rb")
        try:
            self.about = self.ask({"hello": True})[0]
        except NoService:
            self.close()
            raise
        self._socket.settimeout(SILENCE_S)

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        stream = getattr(self, "_stream", None)
        if stream is not None:
            stream.close()
        self._socket.close()

    def check_settings(self) -> None:
        """Check that all settings on which answers may depend are equal in the service and in this process.

        Raises:
            NoService: some differ.
        """
        found = differences(settings(), self.about.get("settings", {}))
        if found:
            raise NoService(f"the service was started with other settings ({', '.join(found)}); start it again")

    def ask(self, message: dict[str, Any], attached: Sequence[bytes] = ()) -> tuple[dict[str, Any], list[bytes]]:
        """Return the answer to a message.

        Raises:
            NoService: the service refuses the message, or has ended.
        """
        try:
            send(self._socket, message, attached)
            while True:
                found, parts = receive(self._stream)
                if "declined" in found:
                    raise NoService(str(found["declined"]))
                if "at_work" not in found:
                    return found, parts
        except (OSError, Broken) as error:
            raise NoService(f"the service does not answer ({error})") from error


def model_session(model: str, adapter: str | None, device: str | None) -> Session:
    """Return a connection to a service that has exactly this model.

    Raises:
        NoService: there is none, or the environment says that none is to be used.
    """
    if switched_off():
        raise NoService(f"{SWITCH} is off")
    session = Session()
    try:
        session.check_settings()
        if session.about.get("identity") != identity(model, adapter, device):
            raise NoService(
                f"the service has {session.about.get('model')}, with its files as they were when it started"
            )
    except NoService:
        session.close()
        raise
    except OSError as error:
        session.close()
        raise NoService(f"{error.filename} cannot be read ({error.strerror})") from error
    return session


def switched_off() -> bool:
    """Return whether the environment says that no service is to be used."""
    return os.environ.get(SWITCH, "").lower() in ("off", "0", "no", "false")


class Outcome(NamedTuple):
    """The outcome of a command that the service has carried out."""

    status: int
    """Exit status."""
    stdout: str
    stderr: str


def forwarded(words: Sequence[str]) -> Outcome | None:
    """Let the service carry out a command.

    Args:
        words: words of the command line, beginning with the command.

    Returns:
        The outcome. None if this process has to do the work; with ``--verbose`` standard error then says why.
    """
    if switched_off() or os.environ.get("REDAES_ENDPOINT") or sys.stdout is None or sys.stderr is None:
        return None
    if any(word.partition("=")[0] in ("--no-service", "--help", "--endpoint") for word in words):
        return None
    try:
        with Session() as session:
            session.check_settings()
            found, _ = session.ask({"words": list(words), "cwd": os.getcwd(), "screen": _screen()})
    except (NoService, OSError) as reason:
        say_unused(reason, "--verbose" in words)
        return None
    return Outcome(int(found["status"]), found["stdout"], found["stderr"])


def say_unused(reason: object, verbose: bool) -> None:
    """Say on standard error why no service is used, if ``verbose``."""
    if verbose:
        sys.stderr.write(f"redaes: the background service is not used: {reason}\n")


def _screen() -> dict[str, object]:
    """Return what the layout of the printed answer depends on: whether it goes to a terminal, encoding and width."""
    variables = {name: os.environ[name] for name in TERMINAL if name in os.environ}
    for stream in (0, 1, 2):
        with contextlib.suppress(OSError):
            columns, lines = os.get_terminal_size(stream)
            variables = {"COLUMNS": str(columns), "LINES": str(lines), **variables}
            break
    return {"terminal": sys.stdout.isatty(), "encoding": sys.stdout.encoding, "variables": variables}
