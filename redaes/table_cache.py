"""Where ``datasets`` keeps its Arrow copies of our Parquet shards, and we what was measured of them: one folder for one
content.

``datasets`` itself names a copy by path and time stamp. A file that was copied over another with its time stamp
(``rsync -a``, ``cp -p``, ``tar x``) would be trained on as it was before, under the hash of what it is now.
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
"""Copies that no run has asked for in so many days are deleted; they are made again when they are wanted."""

_USED = "used"
"""File in a copy's folder whose time stamp says when it was asked for last."""

_NOT_WRITABLE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR})


def copies_of(files: Sequence[Path]) -> Path:
    """Return the folder for the Arrow copy of these shards, made if need be. It depends on where they are and what is
    in them.

    Raises:
        RecordError: the folder cannot be written to.
    """
    root = _root()
    place = hashlib.sha256("\n".join(str(file.absolute()) for file in files).encode()).hexdigest()[:16]
    content = hashlib.sha256("".join(map(content_hash, files)).encode()).hexdigest()[:16]
    return _asked_for(root / place / content, root)


def results_of(file: Path, what: str) -> Path:
    """Return the folder for what is made of a shard, made if need be. It depends on what is in the shard, not on its
    place.

    Args:
        file: the shard.
        what: is made, with its version.

    Raises:
        RecordError: the folder cannot be written to.
    """
    root = _root()
    return _asked_for(root / "results" / hashlib.sha256(f"{what} {content_hash(file)}".encode()).hexdigest()[:16], root)


def _asked_for(folder: Path, root: Path) -> Path:
    """Return the folder, made if need be and marked as used; those that nobody asks for any more are deleted."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _USED).touch()
    except OSError as error:
        raise not_writable(error) from error
    _delete_unused(root)
    return folder


def not_writable(error: OSError) -> RecordError:
    """Return what to say of an error that came of writing a copy."""
    return RecordError(
        f"{_root().parent} cannot be written ({error.strerror or error}), where copies of datasets are kept; set "
        "the variable HF_DATASETS_CACHE (or HF_HOME) to a folder that can be written to and has room"
    )


def comes_of_writing(error: BaseException | None) -> TypeGuard[OSError]:
    """Return whether an error says that a cache cannot be written to, and not that a shard is bad."""
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
            continue  # another process deletes it
        if unused:
            shutil.rmtree(used.parent, ignore_errors=True)  # what remains is tried again by the next run
