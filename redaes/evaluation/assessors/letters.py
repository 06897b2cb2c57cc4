"""Models that answer with a letter: which of two pictures is better, A or B, read from their probabilities.

This is for models that were trained on pairs with a single letter as the answer, such as the adapters of
HQSW/pairwise-aesthetic-supervision (Apache-2.0; Qwen3.5-2B). Their question is known from their model card and is the
prompt ``pair_letter/v1``. Where the pictures belong in it is not known (here: both before it, in order), so the whole
prompt can be given as a file. They decode a letter greedily; here the probabilities of both letters are read, of which
the larger one belongs to the letter that they would write.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from redaes import prompts
from redaes.backends.base import Answer, Backend, Request, read_of
from redaes.backends.connecting import ConnectedModel
from redaes.backends.failures import Failure, refuse_lost
from redaes.backends.next_token import NextToken, verdict_log_odds
from redaes.errors import BackendError, InputError, PromptError
from redaes.evaluation.assessors.base import Arity, Question, QuestionAnswer
from redaes.points import delta_of, sigmoid
from redaes.prompts import Prompt
from redaes.types import Sampling

PAIR_LETTER = "pair_letter/v1"
"""The default prompt."""

LEAST_SHARE = 0.5
"""Probability that both letters must have together; below it, the model was about to write something else (*ours*)."""

_CHOICES = ("A", "B", " A", " B")  # models differ in whether an answer begins with a space
_WRITTEN = Sampling(max_new_tokens=8)  # tokens that a server has to write so that probabilities can be read


def prompt_from(file: Path) -> Prompt:
    """Return a question about two pictures from a text file with the slots ``{{first}}`` and ``{{second}}``.

    Raises:
        InputError: the file cannot be read, or does not show the first picture and then the second.
    """
    try:
        data = file.read_bytes()
        text = data.decode("utf-8-sig").rstrip("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read ({error}); give a prompt as UTF-8 text") from error
    prompt = Prompt(name=f"file/{file.stem}", text=text, sha256=hashlib.sha256(data).hexdigest())
    if prompt.slots != ("first", "second") or prompt.fields:
        raise InputError(
            f"{file} must have {{{{first}}}} and then {{{{second}}}}, each once, and no other double braces; it has "
            f"{', '.join((*prompt.slots, *prompt.fields)) or 'none'}"
        )
    return prompt


class LetterPairs:
    """A model that is asked for a letter, in both orders of two pictures."""

    arity: Arity = "two"
    needs_pixels = True

    def __init__(self, backend: Backend, prompt: Prompt | None = None, least_share: float = LEAST_SHARE) -> None:
        """
        Args:
            backend: the model.
            prompt: a prompt with two slots; None: ``pair_letter/v1``.
            least_share: least share of the probability that both letters must have together, in [0, 1].

        Raises:
            InputError: ``least_share`` is out of range.
            PromptError: the prompt does not show two pictures.
            BackendError: the model is behind a server that reports no probabilities.
        """
        if not 0 <= least_share <= 1:
            raise InputError(f"option least_share is {least_share}; give a number from 0 to 1")
        self._prompt = prompts.load(PAIR_LETTER) if prompt is None else prompt
        if len(self._prompt.slots) != 2:
            raise PromptError(f"prompt {self._prompt.name} shows {len(self._prompt.slots)} pictures; it must show two")
        if isinstance(backend, ConnectedModel) and not backend.reports_probabilities():
            raise BackendError(
                f"{backend.url} reports no token probabilities of {backend.model}, and letters are read from them: "
                "have answers written (--assessor vlm_pairs)"
            )
        self._backend, self._least_share = backend, least_share
        self._sampling = _WRITTEN if isinstance(backend, ConnectedModel) else None

    @property
    def identity(self) -> Mapping[str, Any]:
        """Model, revision, prompt, and the least share of the letters."""
        return {
            "model": self._backend.model,
            "revision": self._backend.revision,
            "prompt_ids": [self._prompt.id],
            "least_share": self._least_share,
        }

    def answer(self, questions: Sequence[Question]) -> list[QuestionAnswer]:
        """Return differences in points, from the mean log-odds of both orders.

        A question fails if either order does, because a single order has a position bias. Its failure is the order with
        ``no_letter`` or the backend's reason.

        Raises:
            BackendError: the model cannot be asked, or its probabilities are not numbers.
        """
        requests = []
        for question in questions:
            first, second = (shown.loaded.image for shown in question.pictures)
            requests += [
                Request(self._prompt, pictures, "", _CHOICES, self._sampling)
                for pictures in ((first, second), (second, first))
            ]
        found = self._backend.answer(requests)
        refuse_lost(found)
        return [
            self._put_together(question, found[2 * number], found[2 * number + 1])
            for number, question in enumerate(questions)
        ]

    def _put_together(self, question: Question, forward: Answer | Failure, swapped: Answer | Failure) -> QuestionAnswer:
        both = (("forward", forward), ("swapped", swapped))
        heard = [answer for _, answer in both if isinstance(answer, Answer)]
        about: dict[str, Any] = {
            "id": question.id,
            "raw": tuple(answer.text for answer in heard if answer.text is not None),
            "tokens": sum(answer.tokens for answer in heard),
            "changes": tuple(sorted({change for answer in heard for change in answer.changes})),
        }
        read = [(order, self._log_odds(read_of(answer))) for order, answer in both]
        failed = [(order, odds) for order, odds in read if isinstance(odds, Failure)]
        if failed:
            return QuestionAnswer(
                **about,
                failure="; ".join(f"{order}: {failure.reason}" for order, failure in failed),
                detail="; ".join(f"{order}: {failure.detail}" for order, failure in failed),
            )
        of_a, of_b = (odds for _, odds in read if not isinstance(odds, Failure))
        log_odds = (of_a - of_b) / 2
        return QuestionAnswer(
            **about,
            value=delta_of(log_odds) + 0.0,
            probability=sigmoid(log_odds),
            order_consistent=(of_a > 0) == (of_b < 0) and (of_a < 0) == (of_b > 0),
        )

    def _log_odds(self, token: NextToken | Failure) -> float | Failure:
        """Return log P(A) - log P(B) in one order, or why there is none."""
        if isinstance(token, Failure):
            return token
        if any(map(math.isnan, token.log_probs.values())):
            raise BackendError(
                f"{self._backend.model} gives probabilities that are not numbers; copy its weights again"
            )
        share = sum(math.exp(logprob) for logprob in (token.of("A"), token.of("B")) if logprob is not None)
        log_odds = verdict_log_odds(token)
        if log_odds is None or share < self._least_share:
            return Failure(
                "no_letter", f"A and B have {share:.2f} of the probability together: {self._least_share:g} needed"
            )
        return log_odds
