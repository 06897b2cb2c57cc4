"""Write files atomically, and read JSON and YAML with errors that name the file."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from redaes.errors import InputError, MissingDependency, RecordError


def temporary_beside(path: Path) -> Path:
    """Return the path of a hidden temporary file beside ``path``. The name differs each time, because threads, and
    processes with equal numbers on several machines or in containers, may write the same file at the same time.
    """
    return path.with_name(f".{_short(path.name)}.{os.urandom(6).hex()}.tmp")


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Yield a temporary file beside ``path`` that replaces it when the block ends without an error.

    The new file keeps the mode of the old one, and its owner where that is permitted.

    Raises:
        RecordError: the folder cannot be written to.
    """
    temporary = temporary_beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            _hand_on(path, temporary)
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)  # left behind by a full disk; after a success there is nothing
    except OSError as error:
        raise RecordError(
            f"{path} cannot be written: {error.strerror or error}; {_REMEDIES.get(error.errno or 0, _OTHER_PLACE)}"
        ) from error


_OTHER_PLACE = "choose another output folder"
_REMEDIES = {
    errno.ENAMETOOLONG: "shorten its name, or the name of the picture that it belongs to",
    errno.ENOSPC: "free some disk space and start again",
    errno.EDQUOT: "free some disk space and start again",
    errno.EACCES: f"make the folder writable, or {_OTHER_PLACE}",
    errno.EPERM: f"make the folder writable, or {_OTHER_PLACE}",
    errno.EROFS: f"the file system is read-only: {_OTHER_PLACE}",
}


def _short(name: str) -> str:
    """Return a name shortened so that a suffix fits: file systems take 255 bytes."""
    return name if len(os.fsencode(name)) <= 200 else hashlib.sha256(os.fsencode(name)).hexdigest()


def _hand_on(path: Path, temporary: Path) -> None:
    """Give a new file the mode and the owner of the one that it replaces."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return
    if hasattr(os, "chown"):
        with suppress(PermissionError):  # only the superuser may give files away
            os.chown(temporary, status.st_uid, status.st_gid)
    temporary.chmod(stat.S_IMODE(status.st_mode))  # chmod comes last, because chown clears some bits


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file atomically: even after ``kill -9`` it is either whole or absent.

    Raises:
        RecordError: the folder cannot be written to.
    """
    with writing(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as readable JSON, atomically; NaN and infinity are refused."""
    write_atomically(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def read_json(path: Path, remedy: str = "delete the file to start again") -> Any:
    """Read a JSON file.

    Args:
        path: path of the file.
        remedy: what to do about a file that is not JSON, for the message.

    Raises:
        RecordError: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise RecordError(f"{path} is not JSON: {error}; {remedy}") from error


def read_yaml(path: Path, what: str = "recipe") -> dict[Any, Any]:
    """Read a recipe, a YAML file that holds a mapping. The caller checks its keys.

    Args:
        path: path of the file.
        what: what messages call the file.

    Raises:
        InputError: the file cannot be read, is not YAML, or is not a mapping.
        MissingDependency: PyYAML is absent.
    """
    try:
        import yaml
    except ImportError as error:
        raise MissingDependency("pyyaml", "train") from error
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{what} {path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{what} {path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise InputError(f"{what} {path} is not a YAML mapping of option: value")
    return values
