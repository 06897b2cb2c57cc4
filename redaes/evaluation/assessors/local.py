"""Vision-language models, in this process or behind a server, asked by redaes' own assessor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from redaes import lenient, prompts
from redaes.assessing.scores import expected_scores
from redaes.assessor import Assessor, known_mode
from redaes.backends.base import Backend
from redaes.backends.connecting import ConnectedModel
from redaes.backends.failures import Failure
from redaes.backends.forms import known_form
from redaes.errors import BackendError, ParseError
from redaes.evaluation.assessors.base import Arity, Question, QuestionAnswer, checked_with, form_as
from redaes.evidence.rationale_truth import reason_of
from redaes.lenient import known_reader


class LocalScores:
    """A vision-language model: each picture alone, as the expected value over the score tokens."""

    arity: Arity = "one"
    needs_pixels = True

    def __init__(self, backend: Backend) -> None:
        """
        Args:
            backend: the model.

        Raises:
            BackendError: the model is behind a server that reports no probabilities.
        """
        if isinstance(backend, ConnectedModel) and not backend.reports_probabilities():
            raise BackendError(
                f"{backend.url} reports no token probabilities of {backend.model}, and a score is made of them: have "
                "pictures compared (--assessor vlm_pairs)"
            )
        self._backend = backend

    @property
    def identity(self) -> Mapping[str, Any]:
        """Model, revision and prompt."""
        prompt = prompts.load(prompts.SCORE)
        return {"model": self._backend.model, "revision": self._backend.revision, "prompt_ids": [prompt.id]}

    def answer(self, questions: Sequence[Question]) -> list[QuestionAnswer]:
        """Return scores in [0, 9]; ``no_score``: the model was about to write something other than a digit."""
        pictures = [question.pictures[0].loaded.image for question in questions]
        return [
            QuestionAnswer(id=question.id, failure=score.reason, detail=score.detail)
            if isinstance(score, Failure)
            else QuestionAnswer(id=question.id, value=score)
            for question, (_, score) in zip(questions, expected_scores(self._backend, pictures), strict=True)
        ]


def asked_with(assessor: Assessor) -> dict[str, Any]:
    """Return everything that the assessor's answers depend on."""
    calibration = assessor.calibration(assessor.mode)
    # In the fast mode a model writes only behind servers that report no probabilities.
    writes = assessor.mode == "reasoned" or isinstance(assessor.backend, ConnectedModel)
    return {
        "model": assessor.backend.model,
        "revision": assessor.backend.revision,
        "prompt_ids": [assessor.prompt_id],
        "mode": assessor.mode,
        **form_as(assessor.prompt_of(assessor.mode)),
        **({"reader": lenient.LENIENT} if writes and assessor.reader == "lenient" else {}),
        "sampling": assessor.sampling.model_dump(mode="json"),
        **({} if calibration is None else {"temperature": calibration.temperature, "ceiling": calibration.ceiling}),
        **({"agreement": assessor.agreement} if assessor.agreement else {}),
    }


class LocalPairs:
    """A vision-language model: two pictures in both orders."""

    arity: Arity = "two"
    needs_pixels = True

    def __init__(
        self,
        backend: Backend,
        mode: str = "fast",
        prompt: str | None = None,
        form: str | None = None,
        *,
        check: bool = True,
        reader: str | None = None,
    ) -> None:
        """
        Args:
            backend: the model.
            mode: ``fast`` or ``reasoned``.
            prompt: another question, one of :func:`redaes.prompts.known`: a paraphrase, or one with measurements; None:
                the usual question.
            form: form of reasoned answers, as for :class:`~redaes.assessor.Assessor`.
            check: whether to check the reasons of the reasoned mode against the pictures.
            reader: as for :class:`~redaes.assessor.Assessor`.

        Raises:
            InputError: the mode, prompt, form or reader is unknown.
        """
        asked_as = None if form is None else known_form(form)
        self.assessor = Assessor(
            backend,
            mode=known_mode(mode),
            prompt=prompt,
            reader=None if reader is None else known_reader(reader),
            form=asked_as,
        )
        self._check = check and self.assessor.mode == "reasoned"

    @property
    def identity(self) -> Mapping[str, Any]:
        """Model, revision, prompt, mode, sampling, and the measurements that reasons are checked against."""
        return {**asked_with(self.assessor), **checked_with(self._check)}

    def answer(self, questions: Sequence[Question]) -> list[QuestionAnswer]:
        """Return differences in points; a failure has the reason of each order."""
        pairs = [(question.pictures[0].loaded, question.pictures[1].loaded) for question in questions]
        found = []
        for question, result in zip(questions, self.assessor.compare_many(pairs, check=self._check), strict=True):
            found.append(
                QuestionAnswer(
                    id=question.id,
                    value=result.delta,
                    failure=None if result.delta is not None else result.failure,
                    probability=result.probability,
                    order_consistent=result.order_consistent,
                    raw=tuple(comparison.raw for comparison in result.comparisons),
                    reader=next((one.reader for one in result.comparisons if one.reader != lenient.STRICT), None),
                    changes=tuple(sorted({change for one in result.comparisons for change in one.changes})),
                    reason=None if result.evidence is None else reason_of(result.claims),
                )
            )
        return found


class Tournament:
    """A vision-language model that orders a series by comparing chosen pairs of it in both orders."""

    arity: Arity = "series"
    needs_pixels = True

    def __init__(
        self, backend: Backend, mode: str = "fast", seed: int = 0, *, reader: str | None = None, agreement: int = 0
    ) -> None:
        """
        Args:
            backend: the model.
            mode: ``fast`` or ``reasoned``.
            seed: seed of the schedule (:class:`redaes.ranking.Schedule`).
            reader: as for :class:`~redaes.assessor.Assessor`.
            agreement: as for :class:`~redaes.assessor.Assessor`.

        Raises:
            InputError: the mode or reader is unknown.
        """
        read_by = None if reader is None else known_reader(reader)
        self._assessor = Assessor(backend, mode=known_mode(mode), reader=read_by, agreement=agreement)
        self._seed = seed

    @property
    def identity(self) -> Mapping[str, Any]:
        """Model, revision, prompt, mode, sampling and seed."""
        return {**asked_with(self._assessor), "seed": self._seed}

    def answer(self, questions: Sequence[Question]) -> list[QuestionAnswer]:
        """Return strengths in logits; ``not_connected``: so many comparisons failed that there is no common order."""
        found = []
        for question in questions:
            pictures = [shown.loaded for shown in question.pictures]
            try:
                scores = self._assessor.rank(pictures, seed=self._seed).scores
            except ParseError as error:
                found.append(QuestionAnswer(id=question.id, failure=error.reason, detail=str(error)))
                continue
            found.append(
                QuestionAnswer(id=question.id, values=tuple(scores[picture.ref.id] + 0.0 for picture in pictures))
            )
        return found
