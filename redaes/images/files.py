"""Picture files: the endings of their names, and reading them whole."""

from __future__ import annotations

import errno
import re
import shlex
import stat
from pathlib import Path

from redaes.errors import ImageError
from redaes.images.formats import SUFFIXES

MAX_FILE_BYTES = 1_500_000_000
"""Largest file that is read; an uncompressed 16-bit picture of ``MAX_FILE_PIXELS`` fits."""

IMAGE_SUFFIXES: tuple[str, ...] = tuple(suffix for known in SUFFIXES.values() for suffix in known)
"""File name endings, in lower case, that are taken for pictures."""

_LITERAL_URL = re.compile(r"(?:[a-z][a-z0-9+.-]+:/|data:)", re.IGNORECASE)


def read_image_file(path: str | Path) -> bytes:
    """Return the bytes of a picture file, as :func:`~redaes.images.load_image` reads them before it decodes.

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
            raise ImageError(
                f"{path}: is a folder; give a picture file, or rank what is in it: redaes rank {shlex.quote(text)}"
            )
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
        remedy = "shorten its name" if error.errno == errno.ENAMETOOLONG else "check the path"
        raise ImageError(f"{shown}: cannot be read ({error.strerror}); {remedy}") from error
    except ValueError as error:
        raise ImageError(f"{shown!r}: not a file name ({error})") from error
    return data
