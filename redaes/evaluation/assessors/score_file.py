"""Scores of any system, read from a file."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from redaes.errors import RecordError
from redaes.evaluation.assessors.base import Arity, Question, QuestionAnswer
from redaes.label_files.contents import number


class ScoreFile:
    """Scores of any system: a CSV file with ``image`` and ``score``; an empty or absent score means that there was no
    answer.
    """

    arity: Arity = "one"
    needs_pixels = False

    def __init__(self, file: Path) -> None:
        """
        Args:
            file: the file; its names are those of the benchmark's pictures.

        Raises:
            RecordError: the file cannot be read, lacks a column, repeats a picture, or a score is not a number.
        """
        self._file = file
        self._scores: dict[str, float | None] = {}
        try:
            data = file.read_bytes()
            rows = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"))))
        except OSError as error:
            raise RecordError(f"{file} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise RecordError(f"{file} is not UTF-8 text: {error}") from error
        self._sha256 = hashlib.sha256(data).hexdigest()
        for line, row in enumerate(rows, start=2):
            name, text = row.get("image"), row.get("score")
            if name is None or text is None:
                raise RecordError(f"{file}, line {line}: expected the columns image and score")
            if name in self._scores:
                raise RecordError(f"{file}, line {line}: {name!r} comes twice")
            self._scores[name] = None if not text.strip() else number(text, file, f"line {line}")

    @property
    def identity(self) -> Mapping[str, Any]:
        """The file's name and content."""
        return {"model": self._file.name, "revision": self._sha256}

    def answer(self, questions: Sequence[Question]) -> list[QuestionAnswer]:
        """Return the scores; ``not_in_file`` and ``empty`` are failures."""
        found = []
        for question in questions:
            value = self._scores.get(question.id)
            reason = "empty" if question.id in self._scores else "not_in_file"
            found.append(QuestionAnswer(id=question.id, value=value, failure=reason if value is None else None))
        return found
