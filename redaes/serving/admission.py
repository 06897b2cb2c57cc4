"""Checks that every request passes before its content is read: host, key, free places, size and time.

It is a pure ASGI middleware, because admission must come before the body is read: requests can take no more memory than
``workers + max_waiting`` bodies of ``max_body_bytes``.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import math
import time
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from redaes.serving.limits import ServiceLimits
from redaes.serving.page_files import SERVICE_PAGE
from redaes.strangers import LOOPBACK_HOSTS, stranger

LOG = logging.getLogger("redaes.serving")
"""Log with one JSON object for each request: what was asked, how it ended and how long it took, but never the content
of a picture.
"""

_KNOWN_PATHS = frozenset(
    {
        "/health", "/metrics", "/openapi.json", "/page.json", "/v1/models", "/v1/compare", "/v1/rank", "/v1/score",
        "/v1/teach", "/v1/chat/completions", *(f"/{name}" for name in SERVICE_PAGE),
    }
)  # fmt: skip
"""Paths that metrics and logs name; any other is "other", so that callers cannot fill them with arbitrary text."""


class ServiceMetrics:
    """The metrics of ``/metrics``, in a separate registry, so that several apps may exist in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "redaes_requests", "Requests by path and status", ["path", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "redaes_request_seconds", "Time from a request's head to its answer", ["path"], registry=self.registry
        )
        self.held = Gauge("redaes_requests_held", "Requests admitted and not yet answered", registry=self.registry)
        self.cache = Counter("redaes_cache", "Answers looked up in the cache", ["outcome"], registry=self.registry)
        self.failures = Counter(
            "redaes_comparison_failures", "Comparisons without an answer, by reason", ["reason"], registry=self.registry
        )


class Admission:
    """The ASGI middleware that admits requests."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        limits: ServiceLimits,
        metrics: ServiceMetrics,
        api_keys: Iterable[str] = (),
        hosts: Iterable[str] = LOOPBACK_HOSTS,
    ) -> None:
        """
        Args:
            app: the application behind the middleware.
            limits: the service's limits.
            metrics: the metrics that count requests.
            api_keys: keys, any of which opens ``/v1``; empty: ``/v1`` is open to everyone who reaches the port.
            hosts: names under which the service may be addressed, without ports; ``*``: any.
        """
        self._app = app
        self._limits = limits
        self._metrics = metrics
        self._keys = [key.encode() for key in api_keys]
        self._hosts = {host.lower() for host in hosts}
        self._held = 0
        self._mean_s = 1.0
        """Moving average of the seconds that an admitted request takes."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        path = scope["path"] if scope["path"] in _KNOWN_PATHS else "other"
        status = 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message.get("headers", ()), (b"x-content-type-options", b"nosniff")]
                message = {**message, "headers": headers}
            await send(message)

        unanswered = 500  # an outer layer answers the error, so its answer does not pass here
        try:
            await self._admit(scope, receive, watched)
            unanswered = 499  # the client left before there was an answer
        except asyncio.CancelledError:
            unanswered = 499
            raise
        finally:
            took, status = time.monotonic() - started, status or unanswered
            self._metrics.requests.labels(path, str(status)).inc()
            self._metrics.seconds.labels(path).observe(took)
            LOG.info(json.dumps({"method": scope["method"], "path": path, "status": status, "seconds": round(took, 4)}))

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.lower(): value for name, value in scope["headers"]}
        refusal = stranger(headers, self._hosts, "allow it with --allow-host")
        if refusal is not None:
            await _refuse(send, 403, refusal)
            return
        if not scope["path"].startswith("/v1/"):
            await self._app(scope, receive, send)
            return
        if self._keys and not self._opens(headers.get(b"authorization", b"")):
            await _discard(receive, self._limits)
            await _refuse(send, 401, "give an API key: 'Authorization: Bearer …'", {"WWW-Authenticate": "Bearer"})
            return
        if scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > self._limits.max_body_bytes:
            await _discard(receive, self._limits)
            await _refuse(send, 413, self._too_large())
            return
        if self._held >= self._limits.workers + self._limits.max_waiting:
            await _discard(receive, self._limits)
            wait_s = max(1, math.ceil(self._mean_s * self._held / self._limits.workers))
            await _refuse(send, 429, "all places are taken; come again later", {"Retry-After": str(wait_s)})
            return
        self._held += 1
        self._metrics.held.inc()
        started = time.monotonic()
        try:
            await self._with_body(scope, receive, send)
        finally:
            self._held -= 1
            self._metrics.held.dec()
            self._mean_s += 0.1 * (time.monotonic() - started - self._mean_s)

    async def _with_body(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on once its body has arrived."""
        try:
            body = await asyncio.wait_for(_body(receive, self._limits.max_body_bytes), self._limits.upload_s)
        except asyncio.TimeoutError:
            await _refuse(send, 408, f"the body did not arrive within {self._limits.upload_s:g} s")
            return
        except _TooLarge:
            await _discard(receive, self._limits)
            await _refuse(send, 413, self._too_large())
            return
        except _Gone:
            return
        given = False

        async def replay() -> Message:
            nonlocal given
            if given:
                return await receive()  # the only message that can follow is that the client disconnects
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, replay, send)

    def _opens(self, header: bytes) -> bool:
        scheme, _, key = header.partition(b" ")
        # Every key is compared, in constant time, so that timing tells nothing.
        return scheme.lower() == b"bearer" and any([hmac.compare_digest(key.strip(), known) for known in self._keys])

    def _too_large(self) -> str:
        return f"the request exceeds {self._limits.max_body_bytes:,} bytes; send smaller pictures"


class _TooLarge(Exception):
    """The body exceeds its limit."""


class _Gone(Exception):
    """The client left before its request was complete."""


async def _body(receive: Receive, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise _TooLarge
        if not message.get("more_body", False):
            return b"".join(parts)


async def _discard(receive: Receive, limits: ServiceLimits) -> None:
    """Read and discard the rest of a body, because a client that is still sending loses the answer when the connection
    is closed. A client that sends more than twice the allowed size is cut off nevertheless.
    """

    async def drain() -> None:
        size = 0
        while size <= limits.max_body_bytes:
            message = await receive()
            size += len(message.get("body", b""))
            if message["type"] == "http.disconnect" or not message.get("more_body", False):
                return

    try:
        await asyncio.wait_for(drain(), limits.upload_s)
    except asyncio.TimeoutError:
        return


def error_body(status: int, message: str) -> dict[str, Any]:
    """Return an error in the form that OpenAI's clients read.

    >>> error_body(413, "too large")
    {'error': {'message': 'too large', 'type': 'request_entity_too_large', 'code': 413}}
    """
    try:
        kind = HTTPStatus(status).name.lower()
    except ValueError:
        kind = "error"
    return {"error": {"message": message, "type": kind, "code": status}}


async def _refuse(send: Send, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
    body = json.dumps(error_body(status, message)).encode()
    sent = {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
        }
    )
    await send({"type": "http.response.body", "body": body})
