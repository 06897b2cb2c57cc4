"""Retries of requests to a server: when they can help, how often, and after how long."""

from __future__ import annotations

import asyncio
import email.utils
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from typing import TypeVar

from redaes.errors import EndpointError

FEW_RETRIES = 1
"""Number of retries of a request that may itself be the cause of the failure."""

MAX_BACKOFF_S = 60.0
"""Longest delay between two tries, in seconds, if the server asks for none."""

MAX_RETRY_AFTER_S = 600.0
"""Longest delay that a server may ask for, in seconds; a longer one fails the request."""

_RETRIED = frozenset({"http_429", "http_502", "http_503", "http_504", "connection", "timeout"})
_RETRIED_A_LITTLE = frozenset({"http_500", "not_json", "not_a_completion", "no_choices"})

_T = TypeVar("_T")


class Rejected(Exception):
    """One attempt that gave no answer."""

    def __init__(
        self, reason: str, detail: str, retry_after_s: float | None = None, status: int = 0, content: bytes = b""
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.status = status
        self.content = content


async def with_retries(
    attempt: Callable[[], Awaitable[_T]],
    rng: random.Random,
    *,
    max_retries: int,
    backoff_s: float,
    counts: Counter[str],
    never: Collection[str] = (),
) -> _T:
    """Return what the first try that succeeds gives.

    Args:
        attempt: one try; raises :class:`Rejected`.
        rng: random generator of the jitter.
        max_retries: see the table of :mod:`redaes.backends.endpoint`.
        backoff_s: mean delay before the first retry, in seconds; doubles from try to try.
        counts: counter to which ``retried: <reason>`` is added.
        never: reasons for which there is no other try, whatever the table says.

    Raises:
        EndpointError: no try has succeeded.
    """
    tries = 0
    while True:
        try:
            return await attempt()
        except Rejected as rejected:
            if rejected.reason in never or tries >= _retries(rejected.reason, max_retries):
                tried = f" (tried {tries + 1} times)" if tries else ""
                raise EndpointError(rejected.reason, f"{rejected.detail}{tried}") from rejected
            delay_s = rejected.retry_after_s
            if delay_s is not None and delay_s > MAX_RETRY_AFTER_S:
                raise EndpointError(
                    "retry_after_too_long", f"the server asks to wait {delay_s:.0f} s; start again later"
                ) from rejected
            if delay_s is None:
                delay_s = min(MAX_BACKOFF_S, backoff_s * 2.0**tries) * rng.uniform(0.5, 1.5)
            counts[f"retried: {rejected.reason}"] += 1
        tries += 1
        await asyncio.sleep(delay_s)


def retry_after_s(header: str | None) -> float | None:
    """Return seconds that a server asks to wait, given as a number or as a date; None: it does not say, or nonsense."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        moment = email.utils.parsedate_to_datetime(header)
    except ValueError:
        return None
    return max(0.0, moment.timestamp() - time.time())


def _retries(reason: str, max_retries: int) -> int:
    if reason in _RETRIED:
        return max_retries
    return min(FEW_RETRIES, max_retries) if reason in _RETRIED_A_LITTLE else 0
