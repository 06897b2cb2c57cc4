"""Pages that a command serves on this machine alone until it is stopped, for people to answer on."""

from __future__ import annotations

import functools
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING

from redaes.errors import InputError, MissingDependency
from redaes.strangers import LOOPBACK_HOSTS, stranger

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

    Handler = Callable[[Request], Awaitable[Response]]

LOOPBACK = "127.0.0.1"

HEADERS = {
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}
"""Of every answer."""


def refusal(status: int, message: str) -> Response:
    """Return why a request is not answered, as JSON."""
    from starlette.responses import JSONResponse

    return JSONResponse({"error": {"message": message, "code": status}}, status, HEADERS)


def for_friends(work: Handler) -> Handler:
    """Return a handler that answers who calls this machine by its own name, and no page of another site."""

    @functools.wraps(work)
    async def guarded(request: Request) -> Response:
        reason = stranger(dict(request.scope["headers"]), LOOPBACK_HOSTS, "ask as http://localhost")
        if reason is not None:
            return refusal(HTTPStatus.FORBIDDEN, reason)
        return await work(request)

    return guarded


async def small_json(request: Request, most: int) -> bytes | Response:
    """Return a request's body, or why it is not taken.

    Args:
        request: as it came.
        most: bytes that are read.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        return refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send an answer as application/json")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > most:
            return refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"an answer has {most} bytes at most")
    return body


def serve_page(app: Starlette, port: int, announce: Callable[[str], object], *, option: str, extra: str) -> None:
    """Serve until an interrupt or SIGTERM.

    Args:
        app: the page and what it asks for.
        port: of this machine's own address; 0: any that is free.
        announce: called with the page's address once it can be asked.
        option: by which another port is given.
        extra: of this package, which brings what serves.

    Raises:
        InputError: the port is taken, or is none.
        MissingDependency: the packages of the extra are absent.
    """
    try:
        import uvicorn
    except ImportError as error:
        raise MissingDependency("uvicorn", extra) from error
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, http="h11", ws="none",
        timeout_graceful_shutdown=5,
    )  # fmt: skip
    try:
        listening = socket.create_server((LOOPBACK, port))
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no such port"
        raise InputError(f"{LOOPBACK}:{port}: {reason}; give another {option}") from error
    with listening:
        announce(f"http://{LOOPBACK}:{listening.getsockname()[1]}/")
        with suppress(KeyboardInterrupt):  # it ends in order on the first signal, and repeats that signal
            uvicorn.Server(config).run(sockets=[listening])
