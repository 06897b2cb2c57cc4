"""Locks on files, so that one process at a time works on them."""

from __future__ import annotations

from typing import IO

from redaes.errors import RecordError


def lock_file(file: IO[bytes], refusal: str) -> None:
    """Lock an open file until it is closed, where the system has such locks (not on Windows).

    Args:
        file: a file that is open for writing; it is closed if it is locked already.
        refusal: message of the error if it is locked already.

    Raises:
        RecordError: another process has the lock.
    """
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise RecordError(refusal) from error
    except OSError:  # the file system has no locks
        return
