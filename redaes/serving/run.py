"""``redaes serve``: run the HTTP service in front of a model, with an orderly end."""

from __future__ import annotations

import ipaddress
import json
import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from redaes import prompts
from redaes.answers import WINNER_PREFIX
from redaes.backends.base import Backend, Request
from redaes.backends.endpoint import Endpoint
from redaes.backends.failures import Failure
from redaes.backends.forms import AskedForm, find_form, form_of_weights
from redaes.backends.server import ServerBackend
from redaes.backends.temperatures import read_temperatures
from redaes.errors import BackendError, EndpointError, InputError, MissingDependency
from redaes.serving.vllm import LOG, ServedModel, VllmServer, served_models

if TYPE_CHECKING:
    from redaes.assessor import ReferenceSet
    from redaes.serving.limits import ServiceLimits

SERVER_WORKERS = 16
"""Number of requests that are processed at once when the model is behind vLLM, which batches them."""

CHAT_WORKERS = 4
"""Number of requests that are processed at once for any other server; each asks several questions at once."""


@dataclass(frozen=True)
class ServiceAddress:
    """Host, port and names of the service."""

    host: str = "127.0.0.1"
    port: int = 8080
    api_keys: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    """Host names by which it may be addressed, besides those of the loopback."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise InputError(f"port is {self.port}; give 0 (any that is free) to 65535")
        try:
            loopback = self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError as error:
            raise InputError(f"host is {self.host!r}; give an address, such as 127.0.0.1 or 0.0.0.0") from error
        if not loopback and not self.api_keys:
            raise InputError(f"host {self.host} is open to other machines; give --api-keys FILE")
        if not loopback and not self.allowed_hosts:
            raise InputError(f"host {self.host} is open to other machines; name it with --allow-host as they will")


def read_api_keys(file: Path) -> tuple[str, ...]:
    """Return the keys of a file: one a line; empty lines and lines that begin with ``#`` are skipped.

    Raises:
        InputError: the file cannot be read or has no key, or a key does not fit into a header or is easy to guess.
    """
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read ({error}); give a text file with one key a line") from error
    keys = tuple(line for line in lines if line and not line.startswith("#"))
    if not keys:
        raise InputError(f"{file} contains no key; write one key on each line")
    for number, key in enumerate(keys, 1):
        if len(key) < 16 or not key.isascii() or not key.isprintable() or " " in key:
            raise InputError(
                f"{file}: key {number} is not 16 or more ASCII characters without spaces; make a longer one"
            )
    return keys


@contextmanager
def vllm_backend(
    served: ServedModel, python: Path, *, structured: bool, timeout_s: float, form: AskedForm = "auto"
) -> Iterator[tuple[ServerBackend, VllmServer]]:
    """Start a vLLM server, and yield a backend on it and the server; one question shows whether the set-up works.

    Raises:
        BackendError: the server does not start, or does not answer.
    """
    revision = served.revision()
    with VllmServer(served, python) as server:
        endpoint = _endpoint(server.base_url, served.name, revision, server.api_key, timeout_s)
        known = read_temperatures(served.adapter or served.folder)
        asked_as = form_of_weights(served.model, served.folder, served.adapter) if form == "auto" else form
        with ServerBackend(endpoint, structured=structured, temperatures=known, form=asked_as) as backend:
            _ask_once(backend)
            yield backend, server


@contextmanager
def attached_backend(
    base_url: str, model: str, *, revision: str, structured: bool, timeout_s: float, form: AskedForm = "auto"
) -> Iterator[ServerBackend]:
    """Yield a backend on a vLLM server that runs already; its key, if it has one, comes from the environment. Unless a
    form is given, one question finds out which one suits the model.

    Raises:
        BackendError: the server does not answer, or does not offer the model.
    """
    endpoint = _endpoint(base_url, model, revision, None, timeout_s)
    offered = served_models(endpoint.base_url)
    if model not in offered:
        raise BackendError(f"{base_url} offers {', '.join(offered)}, not {model}; give one of them as --model")
    with ServerBackend(endpoint, structured=structured, form="text" if form == "auto" else form) as backend:
        _ask_once(backend)
        if form == "auto":
            backend.ask_in(find_form(backend, lambda: True))
        yield backend


def serve(
    backend: Backend,
    address: ServiceAddress,
    limits: ServiceLimits,
    *,
    references: ReferenceSet | None = None,
    is_healthy: Callable[[], bool] | None = None,
    agreement: int = 0,
    announce: Callable[[str], object],
) -> None:
    """Answer requests until SIGTERM or SIGINT; then accept no more, finish those in progress, and return.

    Args:
        backend: the model.
        address: address of the service.
        limits: limits of the service; ``workers`` must fit the backend.
        references: references for single scores; None: scoring is not offered.
        is_healthy: says whether the server behind the backend is alive; None: it lives as long as this process.
        agreement: as for :class:`~redaes.assessor.Assessor`.
        announce: called with the address once requests are accepted.

    Raises:
        InputError: the port is in use.
        MissingDependency: the packages of ``redaes[serve]`` are absent.
    """
    try:
        import uvicorn

        from redaes.serving.app import create_app
        from redaes.strangers import LOOPBACK_HOSTS
    except ImportError as error:
        raise MissingDependency(error.name or "fastapi", "serve") from error

    app = create_app(
        backend,
        limits=limits,
        references=references,
        api_keys=address.api_keys,
        hosts=(*LOOPBACK_HOSTS, *address.allowed_hosts),
        is_healthy=is_healthy,
        agreement=agreement,
    )
    _log_to_stderr()
    config = uvicorn.Config(
        app,
        host=address.host,
        port=address.port,
        log_config=None,  # _log_to_stderr has it
        access_log=False,
        server_header=False,
        http="h11",
        ws="none",
        timeout_keep_alive=10,
        timeout_graceful_shutdown=round(limits.drain_s),
    )
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        listening = socket.create_server((address.host, address.port), family=family, backlog=2048)
    except OSError as error:
        raise InputError(f"{address.host}:{address.port}: {error.strerror}; give another --port") from error
    with listening:
        host, port = listening.getsockname()[:2]
        announce(f"http://{f'[{host}]' if family is socket.AF_INET6 else host}:{port}")
        # uvicorn drains on the first signal, and raises that signal again when it is done.
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listening])


@contextmanager
def orderly_end() -> Iterator[None]:
    """Make SIGTERM end the program like a keyboard interrupt within the context, together with child processes."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _endpoint(base_url: str, model: str, revision: str, api_key: str | None, timeout_s: float) -> Endpoint:
    return Endpoint(
        base_url,
        model,
        revision=revision,
        api_key=api_key,
        concurrency=2 * SERVER_WORKERS,  # both orders of every request
        timeout_s=timeout_s,
        max_retries=2,
    )


def _ask_once(backend: ServerBackend) -> None:
    """Ask one question, because a healthy server may still be unable to answer: its engine runs only with the first
    request.
    """
    grey = Image.new("RGB", (64, 64), "grey")
    request = Request(prompts.load(prompts.COMPARE["fast"]), (grey, grey), WINNER_PREFIX, (" A", " B"), None)
    (answer,) = backend.answer([request])
    if isinstance(answer, Failure):
        raise EndpointError(answer.reason, answer.detail)


class _JsonLines(logging.Formatter):
    """Format every log entry as one line of JSON: our entries are JSON already, those of libraries become a text."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        text = record.getMessage()
        line: dict[str, object] = {"time": self.formatTime(record), "level": record.levelname}
        line["entry"] = json.loads(text) if record.name == LOG.name else {"from": record.name, "message": text.strip()}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines())
    logging.captureWarnings(True)  # Pillow's warnings about damaged files
    for name, level in ((LOG.name, logging.INFO), ("uvicorn", logging.WARNING), ("py.warnings", logging.WARNING)):
        log = logging.getLogger(name)
        log.addHandler(handler)
        log.setLevel(level)
        log.propagate = False
