"""Who puts a series in order: the language model by comparisons, or FGAesQ by its scores.

Either keeps what it found out in a file per series, weights and settings, so that an interrupted run goes on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import ValidationError

from redaes import prompts
from redaes.assessor import Assessor, Orders, Result
from redaes.errors import ImageError, RecordError
from redaes.images import LoadedImage, content_id, load_image
from redaes.records import read_json, write_json
from redaes.types import Answer, ImageRef

if TYPE_CHECKING:
    from redaes.finegrained.scorer import FineGrainedScorer


@dataclass(frozen=True)
class Ranked:
    """The order of one series of different pictures."""

    order: tuple[str, ...]
    """Picture ids, best first."""
    scores: dict[str, float]
    """Per picture id: in logits, with mean zero."""
    errors: dict[str, float] | None
    """Standard errors of the scores; None: the ranker knows none."""
    n_comparisons: int
    n_calls: int
    """Questions asked of a language model."""
    n_failed: int
    """Of those, the ones without a usable answer."""
    n_cycles: int
    explanation: Result | None
    """The reasoned comparison of the best picture (as first) with the next one."""


class Ranker(Protocol):
    """What ranks one series after another."""

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Model, revision, prompt and mode, as every line of the results repeats them."""

    def rank(self, pictures: Mapping[str, ImageRef], kept: Path) -> Ranked:
        """Order different pictures.

        Args:
            pictures: by id, in the order in which they were taken.
            kept: the folder for what is found out on the way.

        Raises:
            InputError: a picture cannot be loaded, its file was changed, or this ranker takes no such series.
            ParseError: there is no order, because of the model's answers.
            RecordError: ``kept`` cannot be used.
            BackendError: the model cannot be asked.
        """


class Comparing:
    """An assessor, which is asked about pairs, and for reasons at the end."""

    def __init__(self, assessor: Assessor, orders: Orders = "both") -> None:
        """
        Args:
            assessor: its mode is used for ranking; the explanation is always reasoned.
            orders: as for :meth:`~redaes.assessor.Assessor.rank`.
        """
        self._assessor = assessor
        self._orders: Orders = orders

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Of the assessor."""
        return {
            "model": self._assessor.backend.model,
            "revision": self._assessor.backend.revision,
            "prompt_id": prompts.load(prompts.COMPARE[self._assessor.mode]).id,
            "mode": self._assessor.mode,
        }

    def rank(self, pictures: Mapping[str, ImageRef], kept: Path) -> Ranked:
        """As :class:`Ranker` has it."""
        answers = _Answers(_file(kept, [*self._settings(), *sorted(pictures)]))
        ranking = self._assessor.rank(
            list(pictures.values()), orders=self._orders, known=answers.answers, on_answers=answers.keep
        )
        explanation = answers.explanation
        if explanation is None and len(pictures) > 1:
            best, second = (load_image(pictures[picture].path) for picture in ranking.order[:2])
            (explanation,) = self._assessor.compare_many([(best, second)], mode="reasoned")
            answers.finish(explanation)
        return Ranked(
            order=ranking.order,
            scores=ranking.scores,
            errors=ranking.errors,
            n_comparisons=ranking.n_comparisons,
            n_calls=ranking.n_calls,
            n_failed=ranking.n_failed,
            n_cycles=ranking.n_cycles,
            explanation=explanation,
        )

    def _settings(self) -> Iterable[str]:
        """What answers depend on, besides the pictures."""
        assessor = self._assessor
        return (
            assessor.backend.model,
            assessor.backend.revision,
            *(prompts.load(prompts.COMPARE[mode]).id for mode in (assessor.mode, "reasoned")),
            assessor.sampling.model_dump_json(),
            self._orders,
        )


class FineGrained:
    """FGAesQ, which looks at all pairs of a series, and gives no reasons."""

    def __init__(self, scorer: FineGrainedScorer) -> None:
        self._scorer = scorer

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Of the weights."""
        return {"model": "fgaesq", "revision": self._scorer.revision, "prompt_id": None, "mode": None}

    def rank(self, pictures: Mapping[str, ImageRef], kept: Path) -> Ranked:
        """As :class:`Ranker` has it."""
        if len(pictures) == 1:
            return Ranked(tuple(pictures), dict.fromkeys(pictures, 0.0), None, 0, 0, 0, 0, None)
        file = _file(kept, ["fgaesq", self._scorer.revision, *sorted(pictures)])
        if not file.exists():
            # By id, so that the order does not depend on when and where the pictures were taken.
            found = self._scorer.rank([self._load(ref) for _, ref in sorted(pictures.items())])
            write_json(file, asdict(found))
        order = read_json(file)
        try:
            return Ranked(
                order=tuple(order["order"]),
                scores={str(picture): float(order["scores"][picture]) for picture in order["order"]},
                errors=None,
                n_comparisons=int(order["n_comparisons"]),
                n_calls=0,
                n_failed=0,
                n_cycles=int(order["n_cycles"]),
                explanation=None,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise RecordError(f"{file}: does not hold a series' order ({error}); delete it") from error

    def _load(self, ref: ImageRef) -> LoadedImage:
        loaded = self._scorer.load_picture(ref.path)
        if loaded.ref.id != ref.id:
            raise ImageError(f"{ref.path}: was changed while it was being ranked; start again")
        return loaded


class _Answers:
    """What a language model said about one series, on disk."""

    def __init__(self, file: Path) -> None:
        """
        Raises:
            RecordError: the file is there and damaged.
        """
        self._file = file
        self.answers: tuple[Answer, ...] = ()
        self.explanation: Result | None = None
        if not file.exists():
            return
        try:
            found = read_json(file)
            self.answers = tuple(Answer.model_validate(answer) for answer in found["answers"])
            if found["explanation"] is not None:
                self.explanation = Result.model_validate(found["explanation"])
        except (ValidationError, KeyError, TypeError) as error:
            raise RecordError(f"{file}: does not hold a series' answers ({error}); delete it") from error

    def keep(self, answers: Sequence[Answer]) -> None:
        self.answers = tuple(answers)
        self._write()

    def finish(self, explanation: Result) -> None:
        self.explanation = explanation
        self._write()

    def _write(self) -> None:
        explanation = None if self.explanation is None else self.explanation.as_json()
        answers = [answer.as_json() for answer in self.answers]
        write_json(self._file, {"answers": answers, "explanation": explanation})


def _file(folder: Path, parts: list[str]) -> Path:
    return folder / f"{content_id(json.dumps(parts).encode())[:32]}.json"
