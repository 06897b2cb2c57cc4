"""Folders, one for each content, for the Arrow copies that ``datasets`` makes of Parquet shards, and for what was
measured of the shards.

``datasets`` itself names a copy by path and time stamp. If a file was replaced by another with the same time stamp
(``rsync -a``, ``cp -p``, ``tar x``), training would read the old contents and record the hash of the new.
"""

from __future__ import annotations

import errno
import hashlib
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TypeGuard

from redaes.errors import MissingDependency, RecordError
from redaes.file_hashes import content_hash

KEPT_DAYS = 30
"""Number of days after which an unused copy is deleted; it is made again when it is needed."""

_USED = "used"
"""File in a copy's folder whose time stamp says when the copy was last used."""

_NOT_WRITABLE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR})


def copies_of(files: Sequence[Path]) -> Path:
    """Return the folder for the Arrow copy of these shards, created if necessary. It depends on their paths and
    contents.

    Raises:
        RecordError: the folder cannot be written to.
    """
    root = _root()
    place = hashlib.sha256("\n".join(str(file.absolute()) for file in files).encode()).hexdigest()[:16]
    content = hashlib.sha256("".join(map(content_hash, files)).encode()).hexdigest()[:16]
    return _asked_for(root / place / content, root)


def results_of(file: Path, what: str) -> Path:
    """Return the folder for results about a shard, created if necessary. It depends on the shard's contents, not on its
    path.

    Args:
        file: the shard.
        what: name of the results, with their version.

    Raises:
        RecordError: the folder cannot be written to.
    """
    root = _root()
    return _asked_for(root / "results" / hashlib.sha256(f"{what} {content_hash(file)}".encode()).hexdigest()[:16], root)


def _asked_for(folder: Path, root: Path) -> Path:
    """Create the folder if necessary and mark it as used; delete the folders that were not used for long."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _USED).touch()
    except OSError as error:
        raise not_writable(error) from error
    _delete_unused(root)
    return folder


def not_writable(error: OSError) -> RecordError:
    """Return the error to raise when a copy could not be written."""
    return RecordError(
        f"{_root().parent}, where copies of datasets are stored, cannot be written ({error.strerror or error}); set "
        "the environment variable HF_DATASETS_CACHE (or HF_HOME) to a writable folder with enough space"
    )


def comes_of_writing(error: BaseException | None) -> TypeGuard[OSError]:
    """Return whether an error means that the cache cannot be written to, and not that a shard is damaged."""
    return isinstance(error, OSError) and error.errno in _NOT_WRITABLE


def _root() -> Path:
    try:
        import datasets
    except ImportError as error:
        raise MissingDependency("datasets", "train") from error
    return Path(datasets.config.HF_DATASETS_CACHE) / "redaes"


def _delete_unused(root: Path) -> None:
    oldest = time.time() - KEPT_DAYS * 86400
    for used in root.glob(f"*/*/{_USED}"):
        try:
            unused = used.stat().st_mtime < oldest
        except FileNotFoundError:
            continue  # another process is deleting it
        if unused:
            shutil.rmtree(used.parent, ignore_errors=True)  # the next run tries again to delete what remains
