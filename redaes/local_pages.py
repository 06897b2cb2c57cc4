"""Pages that a command serves to this machine only, until it is stopped, so that people can answer questions on
them.
"""

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
"""Headers of every response."""


def refusal(status: int, message: str) -> Response:
    """Return a JSON response that says why a request is refused."""
    from starlette.responses import JSONResponse

    return JSONResponse({"error": {"message": message, "code": status}}, status, HEADERS)


def for_friends(work: Handler) -> Handler:
    """Return a handler that refuses requests under another host name and from pages of other sites."""

    @functools.wraps(work)
    async def guarded(request: Request) -> Response:
        reason = stranger(dict(request.scope["headers"]), LOOPBACK_HOSTS, "use http://localhost as the address")
        if reason is not None:
            return refusal(HTTPStatus.FORBIDDEN, reason)
        return await work(request)

    return guarded


async def small_json(request: Request, most: int) -> bytes | Response:
    """Return a request's JSON body, or the response that refuses it.

    Args:
        request: the request.
        most: largest number of bytes that are read.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        return refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send the answer with the content type application/json")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > most:
            return refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"an answer may have at most {most} bytes")
    return body


def serve_page(app: Starlette, port: int, announce: Callable[[str], object], *, option: str, extra: str) -> None:
    """Serve a page until an interrupt or SIGTERM.

    Args:
        app: the application that serves the page and its data.
        port: port on the loopback address; 0: any free port.
        announce: called with the page's address once it can be opened.
        option: name of the option that sets the port, for the message.
        extra: the extra of redaes that installs the server's packages.

    Raises:
        InputError: the port is in use, or is not a port number.
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
        reason = error.strerror if isinstance(error, OSError) else "there is no such port"
        raise InputError(f"{LOOPBACK}:{port}: {reason}; give another {option}") from error
    with listening:
        announce(f"http://{LOOPBACK}:{listening.getsockname()[1]}/")
        with suppress(KeyboardInterrupt):  # uvicorn ends in order on the first signal, and raises that signal again
            uvicorn.Server(config).run(sockets=[listening])
