"""A language model's answers about a series, kept in one file for each series, model and settings."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from redaes.assessor import Assessor, Orders, Result
from redaes.errors import RecordError
from redaes.file_writing import read_json, write_json
from redaes.images import content_id, unchanged
from redaes.types import ImageRef, PairAnswer


class KeptAnswers:
    """The answers of a language model about one series, on disk."""

    def __init__(self, file: Path) -> None:
        """
        Raises:
            RecordError: the file is there and damaged.
        """
        self._file = file
        self.answers: tuple[PairAnswer, ...] = ()
        self.explanation: Result | None = None
        if not file.exists():
            return
        try:
            found = read_json(file)
            self.answers = tuple(PairAnswer.model_validate(answer) for answer in found["answers"])
            if found["explanation"] is not None:
                self.explanation = Result.model_validate(found["explanation"])
        except (ValidationError, KeyError, TypeError) as error:
            raise RecordError(f"{file}: does not hold a series' answers ({error}); delete the file") from error

    def keep(self, answers: Sequence[PairAnswer]) -> None:
        """Replace all answers with these, and write them to disk."""
        self.answers = tuple(answers)
        self._write()

    def about(self, first: ImageRef, second: ImageRef) -> PairAnswer | None:
        """Return the answer about two pictures, in either order; None: not asked yet."""
        wanted = {first.id, second.id}
        return next((answer for answer in self.answers if {answer.first, answer.second} == wanted), None)

    def explained(self, assessor: Assessor, best: ImageRef, second: ImageRef) -> Result:
        """Return why one picture is better than another; the model is asked once."""
        known = self.explanation
        if known is None or _is_old(known, assessor) or (known.first.id, known.second.id) != (best.id, second.id):
            (known,) = assessor.compare_many([(unchanged(best), unchanged(second))], mode="reasoned", check=True)
            self.explanation = known
            self._write()
        return known

    def _write(self) -> None:
        explanation = None if self.explanation is None else self.explanation.as_json()
        answers = [answer.as_json() for answer in self.answers]
        write_json(self._file, {"answers": answers, "explanation": explanation})


def _is_old(known: Result, assessor: Assessor) -> bool:
    """Return whether a stored result is outdated: an earlier version took verdicts from the written text and did not
    check claims against the pictures, or the model's calibration has changed since."""
    if known.probability is None or not known.comparisons:
        return False
    return known.log_odds is None or known.calibration != assessor.calibration("reasoned")


def provenance_of(assessor: Assessor) -> dict[str, Any]:
    """Return the model, revision, prompt and mode of an assessor."""
    return {
        "model": assessor.backend.model,
        "revision": assessor.backend.revision,
        "prompt_id": assessor.prompt_id,
        "mode": assessor.mode,
    }


def settings_of(assessor: Assessor, orders: Orders) -> Iterable[str]:
    """Return everything that the answers depend on besides the pictures."""
    return (
        assessor.backend.model,
        assessor.backend.revision,
        *(assessor.prompt_of(mode).id for mode in (assessor.mode, "reasoned")),
        *((assessor.prompt_of("fast").id,) if assessor.mode == "reasoned" else ()),  # reads the verdict
        assessor.sampling.model_dump_json(),
        orders,
        # A model in this process needs nothing more here, so that its earlier stored answers stay valid.
        *((f"agreement {assessor.agreement}",) if assessor.agreement else ()),
        *((served,) if (served := getattr(assessor.backend, "served_as", None)) else ()),
    )


def file_of(folder: Path, parts: list[str]) -> Path:
    """Return the file for answers that depend on these parts."""
    return folder / f"{content_id(json.dumps(parts).encode())[:32]}.json"
