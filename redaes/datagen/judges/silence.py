"""A judge that answers nothing ends a run early, in the server's own words, instead of after every pair.

Judges fail now and then, and a pair that lacks them is rejected. A judge that has never answered, and fails in one and
the same lasting way from the start, is another matter: its model, key or settings are wrong, and every further request
is wasted. So the first requests to a judge are asked in small parts until one is answered.
"""

from __future__ import annotations

import re
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

from redaes.backends.base import Answer, Request
from redaes.backends.chat import ChatBackend
from redaes.backends.endpoint import Endpoint
from redaes.backends.failures import Failure, refuse_lost
from redaes.datagen.model_servers import ModelServers
from redaes.errors import BudgetExhausted, EndpointError

REFUSED_AFTER = 8
"""Requests that a server refuses, or answers that are cut off, with none before them that could be used."""

UNREADABLE_AFTER = 24
"""Number of consecutive answers that do not follow the form, before a judge is given up: models get it right now and
then.
"""

_PASSING = frozenset(
    {
        "http_429",
        "http_502",
        "http_503",
        "http_504",
        "connection",
        "timeout",
        "retry_after_too_long",
        "budget_exhausted",
    }
)
_OF_THE_PICTURE = re.compile(r"content[_ ](?:filter|policy|management)|safety|moderat|invalid[_ ]image", re.IGNORECASE)
"""Pattern of a server's refusal that is about the shown picture, so that the next one may pass."""


class Silence:
    """The model behind an endpoint, asked carefully until it has answered: a backend that ends a run of failures.

    May be asked from several threads: one at a time until the model has answered.
    """

    def __init__(
        self,
        judge: str,
        endpoint: Endpoint | ModelServers,
        failure_of: Callable[[Answer], Failure | None],
        remedies: Mapping[str, str],
    ) -> None:
        """
        Args:
            judge: its name.
            endpoint: whom it asks.
            failure_of: why an answer cannot be used; None: it can.
            remedies: what helps, by reason; ``""``: against all others that come from reading an answer.
        """
        if isinstance(endpoint, ModelServers):
            self._backend = ChatBackend(endpoint.endpoints, ask=endpoint.replies)
        else:
            self._backend = ChatBackend([endpoint])
        self.model = self._backend.model
        self.revision = self._backend.revision
        self._who = f"judge {judge} (model {endpoint.model} at {endpoint.base_url})"
        self._failure_of = failure_of
        self._remedies = remedies
        self._reason: str | None = None
        self._n = 0
        self._alone = threading.Lock()
        self._ends: list[EndpointError] = []
        self.over = False
        """Whether an answer could be used, or failures differ: then nothing more is decided here."""

    def answer(self, requests: Sequence[Request]) -> list[Answer | Failure]:
        """Answer as :meth:`ChatBackend.answer` does, in parts until the silence is over.

        Raises:
            BudgetExhausted: not all could be asked.
            EndpointError: the judge answers nothing, or nothing of this batch for reasons that lie with the server;
                names it, its model, what the server says and what helps.
        """
        found: list[Answer | Failure] = []
        n_ends = len(self._ends)
        while len(found) < len(requests) and not self.over:
            with self._alone:
                if len(self._ends) > n_ends:  # while this one waited: it would be told the same
                    raise self._ends[-1]
                if self.over:
                    break
                # No more than are still needed to know it, whatever came before.
                size = REFUSED_AFTER - self._n % REFUSED_AFTER
                part = self._backend.answer(requests[len(found) : len(found) + size])
                found += part
                try:
                    self.hear([each if isinstance(each, Failure) else self._failure_of(each) for each in part])
                except EndpointError as error:
                    self._ends.append(error)
                    raise
        if len(found) < len(requests):
            found += self._backend.answer(requests[len(found) :])
        self._refuse_lost(found)
        return found

    def _refuse_lost(self, answers: Sequence[Answer | Failure]) -> None:
        """Refuse lost answers, as :func:`redaes.backends.failures.refuse_lost` does; the error names the judge and the
        remedy.
        """
        try:
            refuse_lost(answers)
        except BudgetExhausted:
            raise
        except EndpointError as error:
            remedy = _REMEDIES.get(error.reason)
            said = str(error).removeprefix(f"{error.reason}: ")
            raise EndpointError(error.reason, f"{self._who}: {said}{f'; {remedy}' if remedy else ''}") from error

    def hear(self, outcomes: Sequence[Failure | None]) -> None:
        """Take note of answers in the order of the requests; None stands for one that can be used.

        Raises:
            EndpointError: as for :meth:`answer`.
        """
        if self.over:
            return
        failures = [each for each in outcomes if each is not None]
        lasting = [each for each in failures if each.reason not in _PASSING]
        if len(failures) < len(outcomes) or any(_speaks_of_the_picture(each) for each in lasting):
            self.over = True
        for failure in lasting:
            if self._reason not in (None, failure.reason):
                self.over = True
            self._reason = failure.reason
        if self.over or not lasting:
            return
        self._n += len(lasting)
        last = lasting[-1]
        refused = last.reason.startswith("http_") or last.reason in ("cut_off", "not_a_completion", "not_json")
        if self._n >= (REFUSED_AFTER if refused else UNREADABLE_AFTER):
            remedy = self._remedies.get(last.reason) or _REMEDIES.get(last.reason) or self._remedies.get("", "")
            raise EndpointError(
                last.reason,
                f"{self._who} answers nothing: its first {self._n} requests all failed, the last with: {last.detail}; "
                f"{remedy or 'see docs/judges.md, or name another model'}",
            )


def hardly_read(asked: Mapping[str, int]) -> tuple[str, ...]:
    """Return a sentence about each judge that had more answers that could not be read than ones that could.

    Args:
        asked: a dataset's counts, ``JUDGE: read: READER`` and ``JUDGE: unreadable: REASON`` among them.

    >>> hardly_read({"m: calls": 4, "m: read: strict": 1, "m: unreadable: not_the_form": 3})
    ('judge m: 3 of 4 answers could not be read (not_the_form 3)',)
    """
    read, unread = Counter[str](), defaultdict[str, Counter[str]](Counter)
    for key, n in asked.items():
        judge, found, reason = key.partition(": unreadable: ")
        if found:
            unread[judge][reason] += n
        else:
            judge, _, _ = key.partition(": read: ")
            read[judge] += n if judge != key else 0
    return tuple(
        f"judge {judge}: {reasons.total()} of {read[judge] + reasons.total()} answers could not be read "
        f"({', '.join(f'{reason} {n}' for reason, n in reasons.most_common())})"
        for judge, reasons in sorted(unread.items())
        if reasons.total() > read[judge]
    )


_REMEDIES = {
    "http_400": "change what the server names, or name another model",
    "http_401": "check the key (REDAES_API_KEY)",
    "http_403": "check what the key (REDAES_API_KEY) is allowed",
    "http_404": "check the model's name and the address",
    "http_422": "change what the server names, or name another model",
    "http_500": "look into the server's log",
}


def _speaks_of_the_picture(failure: Failure) -> bool:
    return failure.reason == "refused" or bool(
        failure.reason.startswith("http_4") and _OF_THE_PICTURE.search(failure.detail)
    )
