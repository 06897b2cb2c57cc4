"""End the work early, with the server's own message, if a model answers nothing at first."""

from __future__ import annotations

from collections.abc import Sequence

from redaes.backends.base import Answer, Backend, Request
from redaes.backends.failures import UNREAD, Failure
from redaes.errors import EndpointError

_ANSWERED = UNREAD | {"cut_off", "unclosed_thinking", "budget_exhausted"}
"""Reasons of failures in which the model has answered nevertheless, or was not asked."""


class FirstAnswers:
    """A backend that raises an error if nothing has been answered at first. May be used from several threads."""

    def __init__(self, backend: Backend, least: int = 1) -> None:
        """
        Args:
            backend: the backend that it asks.
            least: number of requests without an answer at which the work ends.
        """
        self.model = backend.model
        self.revision = backend.revision
        self._backend = backend
        self._least = least
        self._n_unanswered = 0
        self.heard = False
        """Whether anything was answered, usable or not."""

    def answer(self, requests: Sequence[Request]) -> list[Answer | Failure]:
        """Answer the requests with the backend, and note whether anything was answered.

        Raises:
            EndpointError: nothing has been answered so far, and nothing of this; in the server's own words.
        """
        found = self._backend.answer(requests)
        if not found or self.heard:
            return found
        nothing = [lost for one in found if (lost := _nothing(one)) is not None]
        if len(nothing) < len(found):
            self.heard = True
            return found
        self._n_unanswered += len(nothing)
        if self._n_unanswered >= self._least:
            lost = nothing[-1]
            raise EndpointError(lost.reason, lost.detail.removeprefix(f"{lost.reason}: "))
        return found


def _nothing(answer: Answer | Failure) -> Failure | None:
    """Return why there is no answer at all; None: there is one, usable or not."""
    if isinstance(answer, Failure):
        return None if answer.reason in _ANSWERED else answer
    if answer.text is not None and not answer.text.strip() and not answer.cut_off:
        return Failure("empty", "the server answers with an empty text")
    return None
