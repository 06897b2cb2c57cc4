"""A journal of the steps on files, shot by shot: each shot is written to disk before it is begun, and completed when it
is done.

The file is JSON Lines. After the head, ``{"shot": n, "steps": […]}`` announces steps; ``{"done": n}``, ``{"undone":
n}`` and ``{"finished": true}`` report their outcome. The steps of a last line that was cut off were never begun.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from redaes.culling.file_steps import FileStep
from redaes.errors import RecordError
from redaes.file_locks import lock_file

_KIND, _VERSION = "redaes apply", 1


@dataclass
class JournalContent:
    """The content of a journal."""

    head: dict[str, Any]
    shots: dict[int, list[FileStep]] = field(default_factory=dict)
    done: set[int] = field(default_factory=set)
    undone: set[int] = field(default_factory=set)
    is_finished: bool = False
    n_bytes: int = 0
    """Length up to the end of the last complete line."""

    @property
    def standing(self) -> list[int]:
        """Shots that were begun and not undone, in their order."""
        return [number for number in sorted(self.shots) if number not in self.undone]


def read_journal(path: Path) -> JournalContent:
    """Read a journal, finished or not.

    Raises:
        RecordError: the file cannot be read, or is no journal.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RecordError(
            f"{path}: cannot be read ({error.strerror}); give the journal that redaes apply named"
        ) from error
    whole = data[: data.rfind(b"\n") + 1]
    content: JournalContent | None = None
    try:
        for line in whole.splitlines():
            entry = json.loads(line)
            if content is None:
                if entry["journal"] != _KIND or entry["version"] != _VERSION:
                    raise ValueError("another kind or version")
                content = JournalContent(entry, n_bytes=len(whole))
            elif "shot" in entry:
                content.shots[int(entry["shot"])] = [FileStep(**step) for step in entry["steps"]]
            elif "done" in entry:
                content.done.add(int(entry["done"]))
            elif "undone" in entry:
                content.undone.add(int(entry["undone"]))
            else:
                content.is_finished = bool(entry["finished"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordError(
            f"{path} is not a journal of redaes apply ({error}); give the journal that redaes apply named"
        ) from error
    if content is None:
        raise RecordError(f"{path} is not a journal of redaes apply, or it records no change")
    return content


class Journal:
    """A journal that is open for writing."""

    def __init__(self, path: Path, content: JournalContent) -> None:
        """Continue a journal. It stays locked for other processes until it is finished or this process ends.

        Raises:
            RecordError: it cannot be written, or another process has it open.
        """
        self.path = path
        try:
            self._file = path.open("ab")
            lock_file(self._file, f"{path}: another redaes apply is at work on it; wait until it ends")
            # The process that had it locked may have written to it since it was read.
            self.content = read_journal(path) if content.n_bytes else content
            os.truncate(path, self.content.n_bytes)
        except OSError as error:
            raise RecordError(f"{path}: cannot be written ({error.strerror}); give another --journal") from error

    @classmethod
    def begin(cls, path: Path, head: dict[str, Any]) -> Self:
        """Return a new journal.

        Raises:
            RecordError: there is such a file, or it cannot be written.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.open("xb").close()
        except OSError as error:
            raise RecordError(f"{path}: cannot be made ({error.strerror}); give another --journal") from error
        journal = cls(path, JournalContent({"journal": _KIND, "version": _VERSION, **head}))
        journal._write(journal.content.head)
        return journal

    def announce(self, steps: list[FileStep]) -> int:
        """Record the steps that are about to be done; the record is on disk when this returns.

        Returns:
            The shot's number.
        """
        number = max(self.content.shots, default=0) + 1
        self.content.shots[number] = steps
        self._write({"shot": number, "steps": [asdict(step) for step in steps]})
        return number

    def done(self, number: int) -> None:
        """Record that a shot is done."""
        self.content.done.add(number)
        self._write({"done": number}, sync=False)

    def undone(self, number: int) -> None:
        """Record that a shot is undone."""
        self.content.undone.add(number)
        self._write({"undone": number}, sync=False)

    def finish(self) -> None:
        """Record the end and close the file; a journal without any shot is removed."""
        self.content.is_finished = True
        if not self.content.shots:
            self._file.close()
            self.path.unlink(missing_ok=True)
            return
        self._write({"finished": True})
        self._file.close()

    def _write(self, line: dict[str, Any], *, sync: bool = True) -> None:
        try:
            self._file.write(json.dumps(line).encode() + b"\n")
            self._file.flush()
            if sync:
                os.fsync(self._file.fileno())
        except OSError as error:
            raise RecordError(
                f"{self.path}: cannot be written ({error.strerror}), so nothing more was done; make room, run it again"
            ) from error
