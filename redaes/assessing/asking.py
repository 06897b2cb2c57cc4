"""Questions to a model, and what becomes of each: a comparison with a verdict, or with the reason why there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from redaes import answers, lenient
from redaes.backends.base import Backend, Failure, Request, changes_of, probabilities_of
from redaes.errors import BackendError, ParseError, PartlyAnswered
from redaes.lenient import Reader, Reading
from redaes.points import delta_of, sigmoid
from redaes.prompts import Mode, Prompt
from redaes.types import Comparison, Order, Sampling

_T = TypeVar("_T")

Asked = tuple[Order, Request]

_CHOICES = tuple(f" {winner}" for winner in answers.WINNER_CHOICES)

_READ = Sampling(max_new_tokens=1)
"""How a fast answer is drawn: the likeliest of the read tokens."""

_WRITTEN = Sampling(max_new_tokens=32)
"""How a fast answer is drawn where its tokens cannot be read: it is written, and states its difference."""


class Questions:
    """A model, and how its written answers are read."""

    def __init__(self, backend: Backend, reader: Reader) -> None:
        self._backend = backend
        self._reader: Reader = reader

    def fast(self, asked: Sequence[Asked]) -> list[Comparison]:
        """Each request read at the verdict token; written out where the backend cannot read it.

        Raises:
            BackendError: the model cannot be asked, or its probabilities are not numbers.
        """
        rows = self._read([request for _, request in asked])
        unread = [request for (_, request), row in zip(asked, rows, strict=True) if _is_unread(row)]
        texts = iter(_each(lambda: self._backend.generate(unread, _WRITTEN)) if unread else [])
        found = []
        for (order, request), row in zip(asked, rows, strict=True):
            if not isinstance(row, Failure):
                found.append(self._seen(order, request, row))
                continue
            text = next(texts) if _is_unread(row) else row
            parsed = self._parsed(text, "fast")
            # What does not follow the form is no reason to hide why the probability could not be read.
            comparison = self._written(order, request, text, row if isinstance(parsed, Failure) else parsed, _WRITTEN)
            if isinstance(parsed, Reading):
                comparison = comparison.model_copy(update={"probability_failure": row.reason})
            found.append(comparison)
        return found

    def reasoned(self, asked: Sequence[Asked], sampling: Sampling) -> list[Comparison]:
        """Each request written out, with its reasons. Nothing is read yet: :meth:`with_readings` does that.

        Raises:
            BackendError: the model cannot be asked.
        """
        requests = [request for _, request in asked]
        texts = _each(lambda: self._backend.generate(requests, sampling)) if requests else []
        return [
            self._written(order, request, text, self._parsed(text, "reasoned"), sampling)
            for (order, request), text in zip(asked, texts, strict=True)
        ]

    def with_readings(
        self, comparisons: Sequence[Comparison], asked: Sequence[Asked], prompt: Prompt
    ) -> list[Comparison]:
        """Written answers with the probability that is read at the verdict token of another prompt, without reasons.

        Args:
            comparisons: as written.
            asked: the requests that they answer.
            prompt: of the fast mode.

        Raises:
            BackendError: the model cannot be asked, or its probabilities are not numbers.
        """
        rows = self._read([replace(request, prompt=prompt.filled_like(request.prompt)) for _, request in asked])
        source = probabilities_of(self._backend)
        found = []
        for comparison, row in zip(comparisons, rows, strict=True):
            if isinstance(row, Failure):  # what was written stands all the same
                found.append(comparison.model_copy(update={"probability_failure": row.reason}))
                continue
            odds = float(row[0] - row[1])
            read = {
                "probability": sigmoid(odds),
                "log_odds": odds,
                "probability_from": source,
                "read_with": prompt.id,
            }
            found.append(comparison.model_copy(update=read))
        return found

    def _seen(self, order: Order, request: Request, row: NDArray[np.float64]) -> Comparison:
        """The comparison that three log-probabilities make."""
        log_odds = float(row[0] - row[1])
        return Comparison(
            order=order,
            verdict=answers.stated(delta_of(log_odds)),
            failure=None,
            raw=answers.WINNER_PREFIX + _CHOICES[int(row.argmax())],
            probability=sigmoid(log_odds),
            log_odds=log_odds,
            model=self._backend.model,
            revision=self._backend.revision,
            prompt_id=request.prompt.id,
            sampling=_READ,
            probability_from=probabilities_of(self._backend),
        )

    def _parsed(self, text: str | Failure, mode: Mode) -> Reading | Failure:
        """What a written answer says, or the reason why it says nothing."""
        if isinstance(text, Failure):
            return text
        try:
            return lenient.read(text, mode, self._reader)
        except ParseError as error:
            return Failure(error.reason, str(error))

    def _written(
        self, order: Order, request: Request, text: str | Failure, found: Reading | Failure, sampling: Sampling
    ) -> Comparison:
        """The comparison that a text makes, its probability not read yet."""
        return Comparison(
            order=order,
            verdict=found.verdict if isinstance(found, Reading) else None,
            failure=None if isinstance(found, Reading) else found.reason,
            raw="" if isinstance(text, Failure) else text,
            probability=None,
            model=self._backend.model,
            revision=self._backend.revision,
            prompt_id=request.prompt.id,
            sampling=sampling,
            reader=found.reader if isinstance(found, Reading) else lenient.STRICT,
            changes=changes_of(self._backend),
        )

    def _read(self, requests: Sequence[Request]) -> list[NDArray[np.float64] | Failure]:
        """Log-probabilities of " A", " B", " tie" where the answer begins, shape (3,) for each request."""
        if not requests:
            return []
        begun = [replace(request, prefix=answers.WINNER_PREFIX) for request in requests]
        rows = _each(lambda: self._backend.read(begun, _CHOICES))
        if not all(isinstance(row, Failure) or np.isfinite(row).all() for row in rows):
            raise BackendError(
                f"{self._backend.model} gives probabilities that are not numbers; its weights are damaged: copy it "
                "again"
            )
        return rows


def _is_unread(row: NDArray[np.float64] | Failure) -> bool:
    return isinstance(row, Failure) and row.reason == "no_logprob"


def _each(ask: Callable[[], Iterable[_T]]) -> list[_T | Failure]:
    """The answers of a batch; a request that was lost loses only itself."""
    try:
        return list(ask())
    except PartlyAnswered as partly:
        return cast("list[_T | Failure]", list(partly.answers))
