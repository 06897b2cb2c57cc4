"""Files of people's answers about the pairs that they were shown: one line of JSON for each answer.

Each line says what it belongs to, so files of several people can be concatenated, and a damaged line affects no other
line. Nothing is ever changed in a file: a person who goes back and answers again adds a line, and the later line
counts.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

from pydantic import AfterValidator, AwareDatetime, Field, FiniteFloat, ValidationError, field_serializer

from redaes.datagen.audit.drawn_pairs import AuditDraw
from redaes.errors import InputError, RecordError
from redaes.file_locks import lock_file
from redaes.types import Record

MAX_PERSON = 60
"""Largest number of characters of a person's name."""
MAX_LINE_BYTES = 4096

Choice = Literal["left", "right", "alike", "unseen"]
"""Which picture is better; ``unseen`` if a picture could not be shown, so that nothing was judged."""


def person_name(name: str) -> str:
    """Return a name, as a person typed it, with single spaces between its words.

    >>> person_name("  Anna  K. ")
    'Anna K.'

    Raises:
        ValueError: the name is empty, too long, or contains characters that cannot be printed.
    """
    found = " ".join(name.split())
    if not found or len(found) > MAX_PERSON or not found.isprintable():
        raise ValueError(f"a person's name is 1 to {MAX_PERSON} characters that can be printed")
    return found


class AuditAnswer(Record):
    """One answer of one person."""

    draw: AuditDraw
    person: Annotated[str, AfterValidator(person_name)]
    showing: str
    """Token of the pair and whether it was shown for the first or second time: ``…/1`` or ``…/2``."""
    left: str
    """Token of the picture on the left."""
    right: str
    choice: Choice
    seconds: Annotated[FiniteFloat, Field(ge=0.0)]
    """Seconds from the moment when both pictures were visible to the answer."""
    at: AwareDatetime

    @property
    def pair(self) -> str:
        """Token of the pair."""
        return self.showing.rpartition("/")[0]

    @field_serializer("at")
    def _stamp(self, at: datetime) -> str:
        return at.isoformat()

    def line(self) -> bytes:
        """Return the answer as a line of a file."""
        return json.dumps(self.model_dump(mode="json"), ensure_ascii=False).encode() + b"\n"


def read_audit_answer(line: bytes) -> AuditAnswer:
    """Return the answer in a line.

    Raises:
        InputError: the line is not an answer; the message says why.
    """
    if len(line) > MAX_LINE_BYTES:
        raise InputError(f"longer than {MAX_LINE_BYTES} bytes")
    try:
        return AuditAnswer.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(f"{place}: {first['msg']}" if place else str(first["msg"])) from error


def read_lines(file: Path) -> Iterator[tuple[int, AuditAnswer | InputError]]:
    """Yield, with the number of each line (from 1), its answer, or the error that says why it is none.

    Raises:
        RecordError: the file cannot be read.
    """
    try:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    try:
                        yield number, read_audit_answer(line)
                    except InputError as error:
                        yield number, error
    except OSError as error:
        raise RecordError(f"{file} cannot be read: {error.strerror}; give a file of answers") from error


class AnswerFile:
    """A file to which one server at a time adds answers."""

    def __init__(self, path: Path) -> None:
        """Open a file to continue it, or create it.

        Raises:
            RecordError: it cannot be written, or another server writes to it.
        """
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: BinaryIO = path.open("ab", buffering=0)
            lock_file(self._file, f"{path}: another audit keeps its answers there; give another --keep")
            self._is_cut = path.stat().st_size > 0 and not _ends_whole(path)
        except OSError as error:
            raise RecordError(f"{path} cannot be written: {error.strerror}; give another --keep") from error

    def add(self, answer: AuditAnswer) -> None:
        """Store an answer; it is on the disk when this returns.

        Raises:
            RecordError: it cannot be written.
        """
        # A line that a kill or a full disk cut off stays a separate line; blank lines are skipped when reading.
        line = (b"\n" if self._is_cut else b"") + answer.line()
        self._is_cut = True
        try:
            if self._file.write(line) != len(line):
                raise OSError(errno.ENOSPC, "only a part of the line found room")
            os.fsync(self._file.fileno())
        except OSError as error:
            raise RecordError(f"{self.path} cannot be written: {error.strerror}; make room and answer again") from error
        self._is_cut = False

    def close(self) -> None:
        """Close the file, so that another server can use it."""
        self._file.close()


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"
