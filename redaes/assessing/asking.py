"""Ask a model about pairs, and turn each answer into a comparison with a verdict, or with the reason why there is none.

The assessor, judges and evaluations all use this to ask about two pictures, in one order or in both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from PIL import Image

from redaes import answers, lenient, prompts
from redaes.assessing.orders import ORDERS
from redaes.backends.base import Answer, Backend, Request, read_of
from redaes.backends.failures import UNREAD, Failure, refuse_lost
from redaes.backends.next_token import NextToken, verdict_log_odds
from redaes.backends.pictures import EncodedPicture
from redaes.errors import BackendError, ParseError
from redaes.lenient import Reader, Reading
from redaes.points import delta_of, sigmoid
from redaes.prompts import Mode, Prompt
from redaes.types import Comparison, Order, Sampling

Asked = tuple[Order, Request]

VERDICT_CHOICES = tuple(f" {winner}" for winner in answers.WINNER_CHOICES)

_READ = Sampling(max_new_tokens=1)
"""Sampling of a fast answer whose tokens are read: the likeliest one."""

_WRITTEN = Sampling(max_new_tokens=32)
"""Sampling of a fast answer whose tokens cannot be read: it is written, and states its difference."""


def in_orders(
    prompt: Mapping[Order, Prompt],
    first: Image.Image | EncodedPicture,
    second: Image.Image | EncodedPicture,
    sampling: Sampling,
    *,
    orders: Sequence[Order] = ORDERS,
    choices: tuple[str, ...] = (),
) -> list[Asked]:
    """Return the question about two pictures in each order. Pictures are swapped here and nowhere else.

    Args:
        prompt: the prompt for each order, because it may contain measurements.
        first: picture that is A in the forward order.
        second: picture that is A in the swapped order.
        sampling: how answers are sampled.
        orders: the orders to ask in.
        choices: winners whose probabilities are read in written answers; empty: none are.
    """
    prefix = answers.WINNER_PREFIX if choices else ""
    shown = {"forward": (first, second), "swapped": (second, first)}
    return [(order, Request(prompt[order], shown[order], prefix, choices, sampling)) for order in orders]


class Questions:
    """A model with the reader of its written answers."""

    def __init__(self, backend: Backend, reader: Reader) -> None:
        self._backend = backend
        self._reader: Reader = reader

    def fast(self, asked: Sequence[Asked]) -> list[Comparison]:
        """Return the comparisons read at the verdict token; where the backend cannot read it, the answer is written.

        Raises:
            EndpointError: a server lost all answers, or a budget is spent.
            BackendError: the model cannot be asked, or its probabilities are not numbers.
        """
        read = self._read(asked)
        unread = [
            (order, replace(request, prefix="", choices=(), sampling=_WRITTEN))
            for (order, request), token in zip(asked, read, strict=True)
            if _is_unread(token)
        ]
        texts = iter(self.answers(unread))
        found = []
        for (order, request), token in zip(asked, read, strict=True):
            if isinstance(token, NextToken):
                found.append(self._seen(order, request, token))
                continue
            text = next(texts) if _is_unread(token) else token
            said = parsed(text, "fast", self._reader, request.prompt)
            # An unreadable text must not hide why the probability could not be read.
            reason = token if isinstance(said, Failure) else said
            comparison = self._comparison(order, replace(request, sampling=_WRITTEN), text, reason)
            if isinstance(said, Reading):
                comparison = comparison.model_copy(update={"probability_failure": token.reason})
            found.append(comparison)
        return found

    def written(self, asked: Sequence[Asked], mode: Mode) -> list[Comparison]:
        """Return the comparisons of written answers in the form of a mode, with log-odds if the request gives choices
        and the backend can read them in the answer.

        Raises:
            EndpointError: a server lost all answers, or a budget is spent.
            BackendError: the model cannot be asked.
        """
        return self.heard(asked, self.answers(asked), mode)

    def answers(self, asked: Sequence[Asked]) -> list[Answer | Failure]:
        """Return the backend's answers; raises what :meth:`written` raises."""
        found = self._backend.answer([request for _, request in asked]) if asked else []
        refuse_lost(found)
        return found

    def heard(self, asked: Sequence[Asked], found: Sequence[Answer | Failure], mode: Mode) -> list[Comparison]:
        """Return the comparisons that written answers state."""
        return [
            self._comparison(order, request, answer, parsed(answer, mode, self._reader, request.prompt))
            for (order, request), answer in zip(asked, found, strict=True)
        ]

    def with_readings(
        self, comparisons: Sequence[Comparison], asked: Sequence[Asked], prompt: Prompt
    ) -> list[Comparison]:
        """Return written answers with the probability that is read at the verdict token of the fast prompt.

        Args:
            comparisons: comparisons of written answers.
            asked: the requests that they answer.
            prompt: prompt of the fast mode.

        Raises:
            EndpointError: a server lost all answers, or a budget is spent.
            BackendError: the model cannot be asked, or its probabilities are not numbers.
        """
        read = self._read(
            [(order, replace(request, prompt=prompt.filled_like(request.prompt))) for order, request in asked]
        )
        found = []
        for comparison, token in zip(comparisons, read, strict=True):
            if isinstance(token, Failure):  # the written answer stays valid
                found.append(comparison.model_copy(update={"probability_failure": token.reason}))
            else:
                found.append(comparison.model_copy(update={**_probability(token), "read_with": prompt.id}))
        return found

    def _seen(self, order: Order, request: Request, token: NextToken) -> Comparison:
        """Return the comparison that the probabilities of three choices make."""
        read = _probability(token)
        return Comparison(
            order=order,
            verdict=answers.stated(delta_of(read["log_odds"])),
            failure=None,
            raw=answers.WINNER_PREFIX + token.likeliest,
            model=self._backend.model,
            revision=self._backend.revision,
            prompt_id=request.prompt.id,
            sampling=_READ,
            **read,
        )

    def _comparison(
        self, order: Order, request: Request, answer: Answer | Failure, found: Reading | Failure
    ) -> Comparison:
        """Return the comparison that a text makes."""
        read = answer.read if isinstance(answer, Answer) and isinstance(found, Reading) else None
        assert request.sampling is not None
        return Comparison(
            order=order,
            verdict=found.verdict if isinstance(found, Reading) else None,
            failure=None if isinstance(found, Reading) else found.reason,
            raw="" if isinstance(answer, Failure) else answer.text or "",
            model=self._backend.model,
            revision=self._backend.revision,
            prompt_id=request.prompt.id,
            sampling=request.sampling,
            reader=found.reader if isinstance(found, Reading) else lenient.STRICT,
            form=prompts.form_of(request.prompt.name),
            held_by=None if isinstance(answer, Failure) else answer.held_by,
            changes=() if isinstance(answer, Failure) else answer.changes,
            **(_probability(read) if isinstance(read, NextToken) else {"probability": None}),
        )

    def _read(self, asked: Sequence[Asked]) -> list[NextToken | Failure]:
        """Return the possible next tokens at the place where the answer names the winner."""
        begun = [
            (order, replace(request, prefix=answers.WINNER_PREFIX, choices=VERDICT_CHOICES, sampling=None))
            for order, request in asked
        ]
        found = [_verdict(read_of(answer)) for answer in self.answers(begun)]
        for token in found:
            if isinstance(token, NextToken) and not token.is_finite:
                raise BackendError(
                    f"{self._backend.model} returns probabilities that are not numbers, because its weights are "
                    "damaged; copy or download it again"
                )
        return found


def parsed(answer: Answer | Failure, mode: Mode, reader: Reader, prompt: Prompt) -> Reading | Failure:
    """Return the reading of a written answer to a prompt, or the reason why it cannot be read."""
    if isinstance(answer, Failure):
        return answer
    text = answer.text or ""
    try:
        return lenient.read(text, mode, reader, prompts.form_of(prompt.name))
    except ParseError as error:
        if answer.cut_off:
            return Failure("cut_off", f"the answer ends at max_new_tokens: …{text[-40:]!r}")
        return Failure(error.reason, str(error))


def _probability(token: NextToken) -> dict[str, Any]:
    """Return the probability at the verdict token, as fields of a comparison."""
    odds = verdict_log_odds(token)
    if odds is None:
        return {"probability": None}
    return {"probability": sigmoid(odds), "log_odds": odds, "probability_from": token.source}


def _verdict(token: NextToken | Failure) -> NextToken | Failure:
    """Return the verdict token, or why it does not choose between the two letters."""
    if isinstance(token, Failure) or not token.is_finite or verdict_log_odds(token) is not None:
        return token
    listed = ", ".join(map(repr, token.log_probs))
    return Failure("no_logprob", f"none of the tokens that the server lists ({listed}) distinguishes A from B")


def _is_unread(token: NextToken | Failure) -> bool:
    return isinstance(token, Failure) and token.reason in UNREAD
