"""Limits of the service."""

from __future__ import annotations

import math
from dataclasses import dataclass

from redaes.errors import InputError


@dataclass(frozen=True)
class ServiceLimits:
    """Limits of the service."""

    max_body_bytes: int = 32 * 2**20
    """Largest body of one request, in bytes."""
    max_pixels: int = 50_000_000
    """Largest area of one picture, by its header; a larger one is refused before a pixel is decoded."""
    max_images: int = 16
    """Most pictures in one request."""
    workers: int = 1
    """Number of requests that are processed at once."""
    max_waiting: int = 64
    """Most requests that wait for a worker; further ones get 429."""
    timeout_s: float = 120.0
    """Longest time from the last byte of a request to its answer, waiting included, in seconds."""
    upload_s: float = 30.0
    """Longest time in which a request's body must arrive, in seconds."""
    drain_s: float = 30.0
    """Longest time for requests in progress to end after SIGTERM, in seconds."""
    max_new_tokens: int = 1024
    """Most tokens of one answer of ``/v1/chat/completions``."""
    cache_entries: int = 10_000
    """Most answers kept in memory; 0: none."""

    def __post_init__(self) -> None:
        for name, least in (
            ("max_body_bytes", 1), ("max_pixels", 1), ("max_images", 2), ("workers", 1), ("max_waiting", 0),
            ("max_new_tokens", 1), ("cache_entries", 0),
        ):  # fmt: skip
            if getattr(self, name) < least:
                raise InputError(f"{name} is {getattr(self, name)}; give at least {least}")
        for name in ("timeout_s", "upload_s", "drain_s"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"{name} is {getattr(self, name)}; give a number of seconds above 0")
