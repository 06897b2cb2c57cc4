"""The background service: it holds one model, does one piece of work at a time, and ends when it is no longer used."""

from __future__ import annotations

import contextlib
import io
import os
import socketserver
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, BinaryIO, cast

from redaes.backends.base import Backend
from redaes.background import place
from redaes.background.backend import json_of_answer, unpacked
from redaes.background.client import TERMINAL
from redaes.background.settings import identity
from redaes.background.wire import Broken, receive, send
from redaes.errors import InputError, RedaesError

AT_WORK_S = 1.0
"""Seconds between two signs of life to a client that waits."""
TURN_S = 3.0
"""Seconds that a client waits for another's work to end before it is refused; loading its own model takes about as
long.
"""
LAST_WORD_S = 5.0
"""Seconds that the last answers have to reach their clients when the service ends."""

Run = Callable[[Sequence[str], "Served"], int]
"""A function that carries out a command with the service's model, and returns its exit status."""


class Declined(Exception):
    """The service does not answer this request, so the client has to do the work itself."""


class Served:
    """The loaded model, as a command finds it in the service."""

    def __init__(self, backend: Backend, known_as: dict[str, object], settings: dict[str, object]) -> None:
        """
        Args:
            backend: the model.
            known_as: its identity, taken before it was loaded, because files may change meanwhile.
            settings: settings of this process, taken at the same time.
        """
        self.backend = backend
        self.identity = known_as
        self.settings = settings

    def of(self, model: str, adapter: Path | None, device: str | None, *, constrain: bool | None = None) -> Backend:
        """Return the model if it is the one that a command asks for.

        Raises:
            Declined: the command asks for another model.
        """
        if constrain is not None:
            raise Declined("the service forces answers into their form by default, not as this command asks")
        if identity(model, None if adapter is None else str(adapter), device) != self.identity:
            raise Declined(f"the service has {self.backend.model}, with its files as they were when it started")
        return self.backend


class _Screen(io.StringIO):
    """Collects what a command prints, and describes itself as the client's standard output does."""

    def __init__(self, *, terminal: bool, encoding: str) -> None:
        super().__init__(newline="")
        self._terminal = terminal
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def isatty(self) -> bool:
        return self._terminal


class _Handler(socketserver.StreamRequestHandler):
    """Serve one connection."""

    server: BackgroundService

    def handle(self) -> None:
        """Answer messages until the client closes the connection."""
        stream = cast("BinaryIO", self.rfile)
        with contextlib.suppress(OSError, Broken):
            while True:
                message, attached = receive(stream)
                with self.server.answering():
                    try:
                        send(self.connection, self._answer(message, attached))
                    except Declined as reason:
                        send(self.connection, {"declined": str(reason)})

    def _answer(self, message: dict[str, Any], attached: list[bytes]) -> dict[str, Any]:
        service = self.server
        if "hello" in message:
            return service.about
        if "stop" in message:
            service.stop()
            return {"stopping": os.getpid()}
        if "words" in message:
            return self._worked(lambda: service.carry_out(message))
        if "ask" in message:
            return self._worked(lambda: service.ask(message["ask"], attached))
        raise Declined("the service does not know this request")

    def _worked(self, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the outcome of a piece of work; until it ends, the client gets a sign of life every second.

        Raises:
            Declined: the service is busy with another client's work for too long.
        """
        future: Future[dict[str, Any]] = self.server.workers.submit(work)
        asked = time.monotonic()
        try:
            while not wait([future], timeout=AT_WORK_S).done:
                if not future.running() and time.monotonic() - asked > TURN_S and future.cancel():
                    raise Declined("the service is busy with another command")
                send(self.connection, {"at_work": True})
        finally:
            future.cancel()
        return future.result()


class BackgroundService(socketserver.ThreadingUnixStreamServer):
    """The service on its socket; it is made while the lock is held."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, socket_path: str, served: Served, run: Run, *, idle_s: float) -> None:
        """
        Args:
            socket_path: path of the socket; a socket that a killed service has left there is deleted.
            served: the model.
            run: carries out commands.
            idle_s: seconds without a request after which the service ends; ``inf`` means never.

        Raises:
            InputError: the path is too long for a socket.
        """
        if len(os.fsencode(socket_path)) > place.MAX_SOCKET_PATH:
            raise InputError(
                f"{socket_path} is too long for a socket; set XDG_RUNTIME_DIR to a folder with a short path"
            )
        with contextlib.suppress(FileNotFoundError):
            os.unlink(socket_path)
        super().__init__(socket_path, _Handler)
        os.chmod(socket_path, 0o600)
        self._path = socket_path
        self._served = served
        self._run = run
        self._idle_s = idle_s
        self._last_used = time.monotonic()
        self._answering = 0
        self._counted = threading.Lock()
        self.workers = ThreadPoolExecutor(1, thread_name_prefix="work")
        backend = served.backend
        self.about: dict[str, Any] = {
            "settings": served.settings,
            "identity": served.identity,
            "model": backend.model,
            "revision": backend.revision,
            "temperatures": [one.as_json() for one in getattr(backend, "temperatures", ())],
            "form": getattr(backend, "form", "text"),
            "reader": getattr(backend, "reader", "strict"),
            "pid": os.getpid(),
            "idle_s": None if idle_s == float("inf") else idle_s,
        }

    @contextlib.contextmanager
    def answering(self) -> Iterator[None]:
        """Count a client as waiting for an answer until the context ends."""
        with self._counted:
            self._answering += 1
        try:
            yield
        finally:
            with self._counted:
                self._answering -= 1
                self._last_used = time.monotonic()

    def service_actions(self) -> None:
        """End the service if nobody has asked for long; called twice a second."""
        if not self._answering and time.monotonic() - self._last_used > self._idle_s:
            self.stop()

    def stop(self) -> None:
        """End the service once the work under way is done."""
        threading.Thread(target=self.shutdown, daemon=True).start()

    def server_close(self) -> None:
        """Accept no more requests, finish the work under way, and delete the socket."""
        super().server_close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        self.workers.shutdown(wait=True, cancel_futures=True)
        deadline = time.monotonic() + LAST_WORD_S
        while self._answering and time.monotonic() < deadline:
            time.sleep(0.01)

    def carry_out(self, message: dict[str, Any]) -> dict[str, Any]:
        """Return a command's exit status and what it prints.

        Raises:
            Declined: the command asks for another model, or ends with an error, which the client has to report itself.
        """
        screen = message["screen"]
        printed = _Screen(terminal=screen["terminal"], encoding=screen["encoding"])
        said = _Screen(terminal=False, encoding=screen["encoding"])
        with (
            _standing_in(message["cwd"], screen["variables"]),
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(said),
        ):
            status = self._run(message["words"], self._served)
        if status not in (0, EXIT_NO_ANSWER):
            raise Declined(f"the command ends with {status}")
        return {"status": status, "stdout": printed.getvalue(), "stderr": said.getvalue()}

    def ask(self, lines: list[dict[str, Any]], pixels: list[bytes]) -> dict[str, Any]:
        """Return the model's answers to requests.

        Raises:
            Declined: the model cannot answer these requests; the client's own model will say why.
        """
        try:
            return {"answers": [json_of_answer(one) for one in self._served.backend.answer(unpacked(lines, pixels))]}
        except RedaesError as error:
            raise Declined(f"the model refuses ({error})") from error


EXIT_NO_ANSWER = 3
"""Exit status of a command whose model gave no usable answer; this, too, is an outcome that is passed on."""


@contextlib.contextmanager
def _standing_in(cwd: str, variables: dict[str, str]) -> Iterator[None]:
    """Work in the client's folder and with its terminal's environment variables until the context ends.

    Raises:
        Declined: this process cannot enter the folder.
    """
    home = os.getcwd()
    before = {name: os.environ.pop(name) for name in TERMINAL if name in os.environ}
    try:
        os.chdir(cwd)
    except OSError as error:
        os.environ.update(before)
        raise Declined(f"the service cannot enter {cwd} ({error.strerror})") from error
    try:
        os.environ.update(variables)
        yield
    finally:
        os.chdir(home)
        for name in TERMINAL:
            os.environ.pop(name, None)
        os.environ.update(before)
