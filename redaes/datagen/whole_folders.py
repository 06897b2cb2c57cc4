"""Folders that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redaes.errors import RecordError


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes ``out`` if all goes well, and is removed otherwise.

    It is beside ``out`` and hidden. A process that is killed leaves it; the next one that makes ``out`` removes it
    if the system's locks show that nobody works on it (not on Windows, nor on some network drives).

    Raises:
        RecordError: ``out`` exists or cannot be written to.
    """
    if out.exists():
        raise RecordError(f"{out} exists; choose another --out, nothing is overwritten")
    making, lock = None, None
    try:
        _remove_left(out)
        making, lock = _begin(out)
        yield making
        making.rename(out)
    except OSError as error:
        raise RecordError(f"{out} cannot be written: {error.strerror or error}; choose another --out") from error
    finally:
        if making is not None:
            shutil.rmtree(making, ignore_errors=True)  # after a success it does not exist any more
        if lock is not None:
            os.close(lock)


def _begin(out: Path) -> tuple[Path, int | None]:
    """Return a new folder and the handle that holds its lock; the handle is None if there are no locks."""
    while True:
        making = out.with_name(f".{out.name}.{os.urandom(6).hex()}.tmp")
        making.mkdir(parents=True)
        lock = _lock(making)
        if lock is None or making.exists():  # otherwise another process took it for left over and removed it
            return making, lock
        os.close(lock)


def _remove_left(out: Path) -> None:
    for left in out.parent.glob(f".{out.name}.*.tmp"):
        lock = _lock(left)
        if lock is not None:
            shutil.rmtree(left, ignore_errors=True)
            os.close(lock)


def _lock(folder: Path) -> int | None:
    """Return an open folder that no other process can lock until it is closed; None if another process has locked it,
    or there are no locks.
    """
    try:
        import fcntl
    except ImportError:
        return None
    opened = None
    try:
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # locked, gone, or on a file system without locks
        if opened is not None:
            os.close(opened)
        return None
    return opened
