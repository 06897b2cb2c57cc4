"""Files of pictures: found in a folder by their ending, and read whole."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path

from redaes.errors import ImageError, InputError
from redaes.images.formats import SUFFIXES

MAX_FILE_BYTES = 1_500_000_000
"""Largest file that is read; an uncompressed 16-bit picture of ``MAX_FILE_PIXELS`` fits."""

IMAGE_SUFFIXES: tuple[str, ...] = tuple(suffix for known in SUFFIXES.values() for suffix in known)
"""File name endings, in lower case, that :func:`list_images` takes for pictures."""

_LITERAL_URL = re.compile(r"(?:[a-z][a-z0-9+.-]+:/|data:)", re.IGNORECASE)


def read_image_file(path: str | Path) -> bytes:
    """The bytes of a picture file, as :func:`~redaes.images.load_image` reads them before it decodes.

    Raises:
        ImageError: the path names no regular, readable file of admissible size.
    """
    text = str(path)
    shown = text if len(text) <= 120 else text[:117] + "..."
    if _LITERAL_URL.match(text):
        raise ImageError(f"{shown}: URLs are not fetched; download the picture first and give its path")
    path = Path(path)
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise ImageError(f"{path}: is a folder; give a picture file")
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(f"{path}: is a pipe or device; give a regular file")
        if status.st_size > MAX_FILE_BYTES:
            raise ImageError(
                f"{path}: {status.st_size:,} bytes exceed the limit of {MAX_FILE_BYTES:,}; shrink the picture"
            )
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES)
    except FileNotFoundError as error:
        raise ImageError(f"{shown}: no such file; check the spelling and the current folder") from error
    except PermissionError as error:
        raise ImageError(f"{path}: permission denied; make the file readable") from error
    except OSError as error:
        raise ImageError(f"{shown}: cannot be read ({error.strerror}); check the path") from error
    except ValueError as error:
        raise ImageError(f"{shown!r}: not a file name ({error})") from error
    return data


def list_images(folder: str | Path, suffixes: Sequence[str] = IMAGE_SUFFIXES, *, recursive: bool = False) -> list[Path]:
    """The pictures in a folder, sorted by path, found by their ending; hidden files and folders are left out.

    Args:
        folder: where to look.
        suffixes: the endings to look for, in lower case.
        recursive: look in its folders too; links to folders are not followed.

    Raises:
        InputError: the folder is missing, is not a folder, cannot be read, or holds no picture.
    """
    folder = Path(folder)
    found: list[Path] = []
    try:
        for place, inner, names in os.walk(folder, onerror=_raise):
            inner[:] = [name for name in inner if recursive and not name.startswith(".")]
            entries = (Path(place, name) for name in names if not name.startswith("."))
            found += [entry for entry in entries if entry.suffix.lower() in suffixes and entry.is_file()]
    except FileNotFoundError as error:
        raise InputError(f"{folder}: no such folder; check the spelling") from error
    except NotADirectoryError as error:
        raise InputError(f"{folder}: not a folder; give the folder that holds the pictures") from error
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read ({error.strerror}); check its permissions") from error
    if not found:
        endings = ", ".join(suffixes)
        deeper = None if recursive else _first_below(folder, suffixes)
        remedy = "" if deeper is None else f". Its folders are not searched; {deeper} holds some: give that one"
        raise InputError(f"{folder}: no pictures found; looked for files ending in {endings}{remedy}")
    return sorted(found)


def _first_below(folder: Path, suffixes: Sequence[str]) -> Path | None:
    """The first folder below this one that holds pictures; what cannot be read is passed over."""
    for place, inner, names in os.walk(folder):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        if any(Path(name).suffix.lower() in suffixes and not name.startswith(".") for name in names):
            return Path(place)
    return None


def _raise(error: OSError) -> None:
    raise error
