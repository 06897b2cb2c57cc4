"""Vision-language models behind servers, several replicas of one model at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from redaes import lenient, prompts
from redaes.assessing import orders as both_orders
from redaes.assessing.asking import VERDICT_CHOICES, Asked, Questions, in_orders
from redaes.assessing.measured_question import with_evidence
from redaes.assessing.reasons import Measuring, checked, from_file
from redaes.assessing.scores import SCORE_SAMPLING, expected_scores
from redaes.assessor import known_mode, known_prompt
from redaes.backends.base import Answer, Backend
from redaes.backends.chat import ChatBackend
from redaes.backends.endpoint import Endpoint
from redaes.backends.failures import Failure
from redaes.backends.first_answers import FirstAnswers
from redaes.backends.forms import find_form, known_form
from redaes.errors import InputError
from redaes.evaluation.assessors.base import Arity, Question, QuestionAnswer, checked_with, form_as
from redaes.evidence.rationale_truth import Reason, reason_of
from redaes.lenient import known_reader
from redaes.points import sigmoid
from redaes.prompts import Prompt
from redaes.types import Comparison, Sampling, winner_of

UNANSWERED = 8
"""Number of requests without an answer after which a run ends, if none before them was answered."""


def _identity(backend: Backend, prompt: Prompt, sampling: Sampling) -> dict[str, Any]:
    """Return everything that answers depend on, without the addresses, because replicas may change during a run."""
    return {
        "model": backend.model,
        "revision": backend.revision,
        "prompt_ids": [prompt.id],
        "sampling": sampling.model_dump(mode="json"),
    }


class EndpointScores:
    """A model behind a server: each picture alone, read at its score token."""

    arity: Arity = "one"
    needs_pixels = True

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        """
        Args:
            endpoints: replicas of one model; they must report token probabilities.

        Raises:
            InputError: there are none.
        """
        self._backend = FirstAnswers(ChatBackend(endpoints), UNANSWERED)

    @property
    def identity(self) -> Mapping[str, Any]:
        """Model, revision, prompt and sampling."""
        return _identity(self._backend, prompts.load(prompts.SCORE), SCORE_SAMPLING)

    def answer(self, questions: Sequence[Question]) -> list[QuestionAnswer]:
        """Return scores in [0, 9]; failures are those of the endpoint or of reading its reply."""
        pictures = [question.pictures[0].loaded.image for question in questions]
        found = []
        for question, (said, score) in zip(
            questions, expected_scores(self._backend, pictures, SCORE_SAMPLING), strict=True
        ):
            failure = score if isinstance(score, Failure) else None
            found.append(
                QuestionAnswer(
                    id=question.id,
                    value=None if isinstance(score, Failure) else score,
                    failure=None if failure is None else failure.reason,
                    detail=None if failure is None else failure.detail,
                    raw=(said.text or "",) if failure is not None and isinstance(said, Answer) else (),
                    tokens=said.tokens if isinstance(said, Answer) else 0,
                    changes=said.changes if isinstance(said, Answer) else (),
                )
            )
        return found


class EndpointPairs:
    """A model behind a server: two pictures in both orders, as docs/judges.md describes."""

    arity: Arity = "two"
    needs_pixels = True

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        mode: str = "reasoned",
        max_new_tokens: int = 512,
        prompt: str | None = None,
        reader: str = "strict",
        form: str | None = None,
        *,
        check: bool = True,
    ) -> None:
        """
        Args:
            endpoints: replicas of one model.
            mode: ``reasoned`` or ``fast``.
            max_new_tokens: most tokens of an answer.
            prompt: as for :class:`~redaes.evaluation.assessors.local.LocalPairs`.
            reader: ``strict``: answers must follow the form exactly; ``lenient``: unambiguous variants are read too
                (:mod:`redaes.lenient`).
            form: form of reasoned answers: ``text``, ``json`` for models that were not trained on the text form, or
                ``auto``: the one that suits the model, which is asked once now. None: the prompt's form.
            check: as for :class:`~redaes.evaluation.assessors.local.LocalPairs`.

        Raises:
            InputError: the mode, prompt, reader or form is unknown, the prompt has another form, or there are no
                endpoints.
            EndpointError: the form has to be found out, and the server does not answer.
        """
        self._backend = FirstAnswers(ChatBackend(endpoints), UNANSWERED)
        self._reader = known_reader(reader)
        self._mode = known_mode(mode)
        name = known_prompt(self._mode, prompt)
        asked_as = prompts.form_of(name) if form is None else known_form(form)
        if self._mode == "reasoned" and prompt is None:
            name = prompts.in_form(name, find_form(self._backend, lambda: True) if asked_as == "auto" else asked_as)
        elif prompt is not None and asked_as not in ("auto", prompts.form_of(name)):
            raise InputError(f"prompt {name} is in the {prompts.form_of(name)} form, not in {form}; leave one out")
        self._prompt = prompts.load(name)
        self._check = check and self._mode == "reasoned"
        self._sampling = Sampling(max_new_tokens=max_new_tokens)
        self._questions = Questions(self._backend, self._reader)

    @property
    def identity(self) -> Mapping[str, Any]:
        """Model, revision, prompt, mode, sampling, and the reader if it is not the strict one."""
        reader = {} if self._reader == "strict" else {"reader": lenient.LENIENT}
        asked = _identity(self._backend, self._prompt, self._sampling)
        return {**asked, "mode": self._mode, **form_as(self._prompt), **reader, **checked_with(self._check)}

    def answer(self, questions: Sequence[Question]) -> list[QuestionAnswer]:
        """Return the mean stated differences of the orders that answered; a failure has the reason of each order."""
        choices = VERDICT_CHOICES if self._mode == "fast" else ()
        measured: list[Measuring] = []
        asked: list[Asked] = []
        for question in questions:
            first, second = (shown.loaded for shown in question.pictures)
            measured.append(Measuring(first, second, from_file))
            prompt = with_evidence(self._prompt, measured[-1])
            asked += in_orders(prompt, first.image, second.image, self._sampling, choices=choices)
        said = self._questions.answers(asked)
        comparisons = self._questions.heard(asked, said, self._mode)
        return [
            self._both(question, measuring, said[2 * index : 2 * index + 2], comparisons[2 * index : 2 * index + 2])
            for index, (question, measuring) in enumerate(zip(questions, measured, strict=True))
        ]

    def _both(
        self,
        question: Question,
        measuring: Measuring,
        said: Sequence[Answer | Failure],
        comparisons: Sequence[Comparison],
    ) -> QuestionAnswer:
        together = both_orders.stated(comparisons)
        verdicts = [verdict for one in comparisons if (verdict := both_orders.about_first(one)) is not None]
        value = None if together is None else together.delta + 0.0
        log_odds = both_orders.fair_log_odds(comparisons)
        # Up to the margin of ties, within which differences stated to a tenth may lie.
        winners = [winner_of(verdict.delta) for verdict in verdicts]
        return QuestionAnswer(
            id=question.id,
            value=value,
            failure="; ".join(both_orders.failures(comparisons)) if value is None else None,
            probability=None if log_odds is None else sigmoid(log_odds),
            order_consistent=winners[0] == winners[1] if len(winners) == 2 else None,
            raw=tuple(one.raw for one in comparisons),
            tokens=sum(one.tokens for one in said if isinstance(one, Answer)),
            reader=lenient.LENIENT if any(one.reader == lenient.LENIENT for one in comparisons) else None,
            changes=tuple(sorted({change for one in comparisons for change in one.changes})),
            reason=self._reason(measuring, comparisons, value) if self._check else None,
        )

    def _reason(self, measuring: Measuring, comparisons: Sequence[Comparison], value: float | None) -> Reason | None:
        """Return how true the first reasoning is that agrees with the mean difference; None: a picture is too small to
        be measured.
        """
        evidence, _ = measuring.found
        if evidence is None:
            return None
        for one in both_orders.supporting(comparisons, None if value is None else winner_of(value)):
            if one.verdict is not None and one.verdict.rationale is not None:
                return reason_of(checked(one.verdict.rationale.text, one.order, evidence))
        return reason_of(None)
