"""Start the service as a process of its own, ask for its state, and end it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from redaes.background import place
from redaes.background.client import NoService, Session
from redaes.errors import BackendError, InputError

if sys.platform != "win32":
    import fcntl

START_S = 600.0
"""Seconds in which the model must be loaded."""
STOP_S = 60.0
"""Seconds in which the work under way must end."""
_LOOK_S = 0.1


def private_folder() -> str:
    """Return the service's folder; it is created if it is absent.

    Raises:
        InputError: it may belong to somebody else, or this system has no Unix sockets.
    """
    if sys.platform == "win32":
        raise InputError("the background service needs Unix sockets, which Python does not have on Windows; use WSL")
    found = place.folder()
    try:
        os.makedirs(os.path.dirname(found), mode=0o700, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.mkdir(found, 0o700)
    except OSError as error:
        raise InputError(
            f"{found} cannot be created ({error.strerror}); set XDG_RUNTIME_DIR to a folder that you own"
        ) from error
    refusal = place.why_not_private(found)
    if refusal is not None:
        raise InputError(f"{refusal}; delete it, or set XDG_RUNTIME_DIR to a folder that you own")
    return found


@contextlib.contextmanager
def only_one(folder: str) -> Iterator[bool]:
    """Lock the folder until the context ends; yields whether this process got the lock."""
    descriptor = os.open(os.path.join(folder, place.LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def status() -> dict[str, Any] | None:
    """Return what the running service says about itself. None if none runs; files of a killed one are then deleted.

    Raises:
        BackendError: a service runs but does not answer.
    """
    folder = place.folder()
    if place.why_not_private(folder) is not None:
        return None
    try:
        with Session() as session:
            return session.about
    except NoService as reason:
        with only_one(folder) as nobody_else:
            if not nobody_else:
                raise BackendError(
                    f"the background service is still starting or has a problem ({reason}); see its log "
                    f"{os.path.join(folder, place.LOG)}"
                ) from reason
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, place.SOCKET))
    return None


def start(command: Sequence[str], wanted: dict[str, object]) -> dict[str, Any]:
    """Start the service, or find one that runs, and wait until it answers.

    Args:
        command: the command that runs the service.
        wanted: the identity of its model.

    Returns:
        What the service says about itself.

    Raises:
        InputError: a service with another model runs.
        BackendError: the service does not start.
    """
    folder = private_folder()
    log = os.path.join(folder, place.LOG)
    with contextlib.suppress(BackendError):
        about = status()
        if about is not None:
            return _the_wanted(about, wanted)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    begins = os.fstat(descriptor).st_size
    with os.fdopen(descriptor, "ab") as written:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=written, stderr=written, start_new_session=True, close_fds=True
        )
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        ended = process.poll() is not None  # checked first, because the service may begin to answer right after
        try:
            with Session() as session:
                return _the_wanted(session.about, wanted)
        except NoService:
            if ended:
                with only_one(folder) as nobody_else:
                    if nobody_else:  # otherwise another start was first, and its service is still loading
                        raise BackendError(_why(log, begins)) from None
        time.sleep(_LOOK_S)
    process.terminate()
    raise BackendError(f"the background service did not answer within {START_S:g} s; see its log {log}")


def stop() -> int | None:
    """End the service once the work under way is done.

    Returns:
        The id of the process that ended; None if there was none.

    Raises:
        BackendError: the service does not end in time.
    """
    about = status()
    if about is None:
        return None
    folder = place.folder()
    with contextlib.suppress(NoService), Session() as session:
        session.ask({"stop": True})
    deadline = time.monotonic() + STOP_S
    while time.monotonic() < deadline:
        with only_one(folder) as nobody_else:
            if nobody_else:
                return int(about["pid"])
        time.sleep(_LOOK_S)
    raise BackendError(f"the background service has not ended within {STOP_S:g} s; its process is {about['pid']}")


def _the_wanted(about: dict[str, Any], wanted: dict[str, object]) -> dict[str, Any]:
    if about["identity"] != wanted:
        raise InputError(
            f"a background service with {about['model']} @ {about['revision']} is already running (process "
            f"{about['pid']}), with its files as they were when it started; stop it first: redaes serve --stop"
        )
    return about


def _why(log: str, begins: int) -> str:
    """Return the last lines in the log of a service that did not start."""
    with open(log, "rb") as file:
        file.seek(begins)
        lines = file.read()[-4000:].decode(errors="replace").strip().splitlines()
    words = lines[-1].removeprefix("redaes: ") if lines else "it printed nothing"
    return f"the background service did not start: {words}; see {log}"
