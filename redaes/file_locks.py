"""A file that one process at a time works on."""

from __future__ import annotations

from typing import IO

from redaes.errors import RecordError


def lock_file(file: IO[bytes], refusal: str) -> None:
    """Keep other processes from an open file until it is closed, where the system has such locks (not on Windows).

    Args:
        file: open for writing; closed if it is locked already.
        refusal: what to say then.

    Raises:
        RecordError: another process has it.
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
    except OSError:  # file systems that have no locks
        return
