"""What the service takes at most."""

from __future__ import annotations

import math
from dataclasses import dataclass

from redaes.errors import InputError


@dataclass(frozen=True)
class ServiceLimits:
    """What the service takes at most."""

    max_body_bytes: int = 32 * 2**20
    """Of one request."""
    max_pixels: int = 50_000_000
    """Of one picture, by its header; more is refused before a pixel is decoded."""
    max_images: int = 16
    """Pictures in one request."""
    workers: int = 1
    """Requests that are worked on at once."""
    max_waiting: int = 64
    """Requests that wait for a worker; more are sent away with 429."""
    timeout_s: float = 120.0
    """From the last byte of a request to its answer, waiting included, in seconds."""
    upload_s: float = 30.0
    """For a request's body to arrive, in seconds."""
    drain_s: float = 30.0
    """For requests under way to end after SIGTERM, in seconds."""
    max_new_tokens: int = 1024
    """Of one answer to ``/v1/chat/completions``."""
    cache_entries: int = 10_000
    """Answers kept in memory; 0: none."""

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
