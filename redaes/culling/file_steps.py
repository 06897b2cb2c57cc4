"""Move, copy and link files, one step each, and undo the steps; nothing is ever overwritten.

Every step can be interrupted anywhere and repeated: the files at its two ends show what was done.
"""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from redaes.errors import RecordError
from redaes.file_hashes import content_hash

StepKind = Literal["folder", "move", "copy", "link"]

_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS, errno.EACCES)


@dataclass(frozen=True)
class FileStep:
    """One step on files."""

    kind: StepKind
    source: str
    """The file; empty for a folder, which is made."""
    target: str
    size: int = 0
    sha256: str = ""
    """SHA-256 of the file that is moved or copied."""


def is_one_place(source: Path, target: Path) -> bool:
    """Return whether two paths are one entry of one folder, through links and mounts too: to remove one removes
    both.
    """
    try:
        return source.name == target.name and source.parent.samefile(target.parent)
    except (FileNotFoundError, NotADirectoryError):
        return False


def perform(step: FileStep) -> None:
    """Do a step, or complete an interrupted one.

    Raises:
        RecordError: the step cannot be done; the source is intact, and nothing at the target has changed.
    """
    source, target = Path(step.source), Path(step.target)
    try:
        _part(target).unlink(missing_ok=True)  # left behind by an interrupted step
        if step.kind == "folder":
            target.mkdir(exist_ok=True)
        elif step.kind == "link":
            if not _is_link_to(target, source):
                target.symlink_to(source)
        elif step.kind == "copy":
            if not (target.is_file() and _same(target, step)):
                _check_unchanged(source, step)
                _place_copy(source, target, step)
        elif not (_is_gone(source) and target.is_file()):
            _move(source, target, step)
    except OSError as error:
        raise RecordError(f"{target}: {_reason(error)}; {source or target} stays as it is") from error


def revert(step: FileStep) -> bool:
    """Undo a step.

    Returns:
        Whether there was anything to undo.

    Raises:
        RecordError: the step cannot be undone without losing something; nothing has changed.
    """
    source, target = Path(step.source), Path(step.target)
    try:
        if step.kind == "folder":
            return _removed_if_empty(target)
        if step.kind == "link":
            if not _is_link_to(target, source):
                return False
            target.unlink()
            return True
        for end in (source, target):
            _part(end).unlink(missing_ok=True)  # left behind by an interrupted step
        if _is_gone(target):
            return False
        if step.kind == "copy":
            if not _same(target, step):
                raise RecordError(f"{target}: has changed since it was copied, and stays")
            if not _is_original(source, target, step):
                raise RecordError(f"{source}: is gone or has changed since it was copied, so {target} stays")
            target.unlink()
            return True
        source.parent.mkdir(parents=True, exist_ok=True)
        if not _is_gone(source) and not source.samefile(target):
            return _without_second(source, target, step)
        _move(target, source, FileStep("move", step.target, step.source, target.stat().st_size, content_hash(target)))
        return True
    except OSError as error:
        raise RecordError(f"{target}: {_reason(error)}; it stays as it is") from error


def _is_original(source: Path, target: Path, step: FileStep) -> bool:
    """Return whether the copied file still exists, so that the copy is not the last one."""
    is_there = source.is_file() and not source.is_symlink() and not is_one_place(source, target)
    return is_there and _same(source, step)


def _without_second(source: Path, target: Path, step: FileStep) -> bool:
    """Undo a move of which both files exist: one that was interrupted, or never begun."""
    if not _same(target, step):
        return False  # another file was there, and is
    if not _same(source, step):
        raise RecordError(f"{source}: another file is there now, so {target} stays; move one of them away")
    target.unlink()
    return True


def _move(source: Path, target: Path, step: FileStep) -> None:
    """Move a file: by a hard link where the file system has them, otherwise by a verified copy."""
    if is_one_place(source, target):
        raise RecordError(f"{source}: lies where it should go, and stays; give another folder")
    _check_unchanged(source, step)
    if target.is_file() and not target.is_symlink() and (source.samefile(target) or _same(target, step)):
        _take_away(source, target, step)  # cut off when both ends were there
        return
    try:
        os.link(source, target)  # unlike a renaming, refuses what is there
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno == errno.EXDEV:
            _place_copy(source, target, step)
        elif error.errno in _NO_LINKS:
            _rename(source, target)
            return
        else:
            raise
    _take_away(source, target, step)


def _take_away(source: Path, target: Path, step: FileStep) -> None:
    """Remove a moved file from its old place; if that fails, the new file is removed, so that it does not stay in two
    places.
    """
    try:
        if not source.samefile(target):  # a copy
            _sync_folder(target.parent)
        source.unlink()
    except OSError:
        if source.is_file() and not source.is_symlink() and _same(source, step):
            target.unlink()
        raise


def _sync_folder(folder: Path) -> None:
    """Write a new name to disk before the old one is removed, because a disk may be unplugged or lose power."""
    if os.name == "nt":  # folders cannot be opened there
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):  # file systems that do not do that
            raise
    finally:
        os.close(opened)


def _place_copy(source: Path, target: Path, step: FileStep) -> None:
    """Make a copy with times, mode and owner, and compare it with its source before it gets its name."""
    part = _part(target)
    part.unlink(missing_ok=True)
    try:
        with source.open("rb") as reading, part.open("xb") as writing:
            shutil.copyfileobj(reading, writing, 1 << 20)
            writing.flush()
            os.fsync(writing.fileno())
        if content_hash(part) != step.sha256:
            raise RecordError(f"{target}: the copy differs from {source}, which stays; look at the disk")
        status = source.stat()
        if hasattr(os, "chown"):
            with suppress(PermissionError):  # only the superuser may give files away
                os.chown(part, status.st_uid, status.st_gid)
        shutil.copystat(source, part)
        try:
            os.link(part, target)
        except FileExistsError:
            raise
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            _rename(part, target)
    finally:
        part.unlink(missing_ok=True)


def _rename(source: Path, target: Path) -> None:
    """Rename a file after checking that the target does not exist, for file systems without hard links."""
    if not _is_gone(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    source.rename(target)


def _check_unchanged(source: Path, step: FileStep) -> None:
    if source.stat().st_size != step.size or content_hash(source) != step.sha256:
        raise RecordError(f"{source}: has changed since it was looked at, and stays; rank the folder again")


def _same(path: Path, step: FileStep) -> bool:
    return path.stat().st_size == step.size and content_hash(path) == step.sha256


def _is_gone(path: Path) -> bool:
    return not os.path.lexists(path)


def _is_link_to(target: Path, source: Path) -> bool:
    return target.is_symlink() and str(target.readlink()) == str(source)


def _removed_if_empty(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError:  # not empty, or gone
        return False
    return True


def _part(target: Path) -> Path:
    return target.with_name(f".{target.name}.redaes-part")


def _reason(error: OSError) -> str:
    return "is there already" if isinstance(error, FileExistsError) else (error.strerror or str(error))
