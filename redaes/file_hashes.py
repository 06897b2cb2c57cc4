"""Content hashes of files, such as a dataset's shards and a model's weights."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from redaes.errors import RecordError


def content_hash(file: Path) -> str:
    """Return the SHA-256 of a file, in hex. A process computes it once, as long as nobody writes to the file.

    Hashing 16 GB takes about ten seconds.

    Raises:
        RecordError: it cannot be read.
    """
    try:
        state = file.stat()
        # ctime cannot be set, unlike mtime.
        return _content_hash(file.absolute(), state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)
    except OSError as error:
        raise RecordError(f"{file} cannot be read: {error.strerror or error}") from error


@cache
def _content_hash(file: Path, *_state: int) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
