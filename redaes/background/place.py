"""The place of a user's background service: a folder that nobody else can enter, with a socket, a lock and a log."""

from __future__ import annotations

import os
import stat

SOCKET = "service.sock"
LOCK = "service.lock"
"""File that the service keeps locked while it runs; the lock is released however the service ends."""
LOG = "service.log"

MAX_SOCKET_PATH = 100
"""Largest length of a socket's path, in bytes, that works on every system (Linux takes 107, macOS 103)."""


def folder() -> str:
    """Return the folder; it may not exist yet."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.path.isdir(runtime):
        return os.path.join(runtime, "redaes")
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(cache, "redaes", "service")


def why_not_private(path: str) -> str | None:
    """Return why a folder may belong to somebody else or be open to others; None if only this user can enter it."""
    try:
        found = os.lstat(path)
    except OSError as error:
        return f"{path}: {error.strerror}"
    if not stat.S_ISDIR(found.st_mode):
        return f"{path} is not a folder"
    if found.st_uid != os.geteuid():
        return f"{path} belongs to another user"
    return f"{path} is accessible to other users" if stat.S_IMODE(found.st_mode) & 0o077 else None
