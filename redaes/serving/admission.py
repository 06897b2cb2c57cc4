"""What every request passes before anything of it is looked at: host, key, room, size, time.

A pure ASGI middleware, because admission must come before the body is read: ``workers + max_waiting`` bodies of
``max_body_bytes`` are all the memory that requests can take.
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
from redaes.strangers import LOOPBACK_HOSTS, stranger

LOG = logging.getLogger("redaes.serving")
"""One JSON object a request: what was asked, how it ended, how long it took; never what a picture shows."""

_KNOWN_PATHS = frozenset(
    {
        "/", "/page.css", "/page.js", "/viewer.css", "/viewer.js", "/health", "/metrics", "/openapi.json",
        "/v1/models", "/v1/compare", "/v1/rank", "/v1/score", "/v1/teach",
        "/v1/chat/completions", "/teach.js", "/teach.css", "/taught.js",
    }
)  # fmt: skip
"""What metrics and logs name; all else is "other", so that callers cannot fill either with words of theirs."""


class ServiceMetrics:
    """What ``/metrics`` reports; a registry of its own, so that several apps may live in one process."""

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
    """The middleware."""

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
            app: what stands behind.
            limits: see there.
            metrics: where requests are counted.
            api_keys: any of them opens ``/v1``; none: it is open to whoever reaches the port.
            hosts: names under which the service may be addressed, without ports; ``*``: any.
        """
        self._app = app
        self._limits = limits
        self._metrics = metrics
        self._keys = [key.encode() for key in api_keys]
        self._hosts = {host.lower() for host in hosts}
        self._held = 0
        self._mean_s = 1.0
        """Moving average of what one admitted request takes."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
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

        unanswered = 500  # an error is answered so further out, where the answer does not pass here
        try:
            await self._admit(scope, receive, watched)
            unanswered = 499  # whoever asked was gone before there was an answer
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
        """Hand the request on once its body is here."""
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
                return await receive()  # all that can come is that the client leaves
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
    """Read what is still coming, and forget it: a connection closed on a client that is still sending takes the
    answer with it. Whoever sends more than twice what is allowed is cut off all the same."""

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
