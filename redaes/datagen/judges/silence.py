"""End a run early, with the server's own message, if a judge answers nothing, instead of failing at every pair.

Judges fail now and then, and a pair that lacks their answers is rejected. But if a judge has never answered, and always
fails in the same lasting way, its model, key or settings are wrong, and every further request is wasted. So the first
requests to a judge are sent in small parts until one is answered.
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
"""Number of refused requests or cut-off answers after which a judge without any usable answer is given up."""

UNREADABLE_AFTER = 24
"""Number of consecutive answers in a wrong form after which a judge is given up. It is larger, because models get the
form right now and then.
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
"""Pattern of a server's refusal that is about the shown picture, so that the next picture may be accepted."""


class Silence:
    """A backend that sends requests to a model in small parts until it has answered, and raises if it never does.

    It may be used from several threads; until the model has answered, they take turns.
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
            judge: name of the judge.
            endpoint: the model.
            failure_of: returns why an answer cannot be used; None if it can.
            remedies: advice by failure reason; the key ``""`` holds the advice for all other unreadable answers.
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
        """Whether an answer was usable, or the failures differ; from then on this class does not intervene."""

    def answer(self, requests: Sequence[Request]) -> list[Answer | Failure]:
        """Answer as :meth:`ChatBackend.answer` does, in parts until the silence is over.

        Raises:
            BudgetExhausted: the budget did not suffice for all requests.
            EndpointError: the judge answers nothing, or nothing of this batch because of the server; the message names
                the judge, its model, the server's message and a remedy.
        """
        found: list[Answer | Failure] = []
        n_ends = len(self._ends)
        while len(found) < len(requests) and not self.over:
            with self._alone:
                if len(self._ends) > n_ends:  # another thread failed while this one waited; this one would fail alike
                    raise self._ends[-1]
                if self.over:
                    break
                # No more requests are sent than are needed to decide.
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
        """Raise an error if answers were lost, as :func:`redaes.backends.failures.refuse_lost` does; the error names
        the judge and the remedy.
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
        """Record the outcomes of requests in their order; None stands for a usable answer.

        Raises:
            EndpointError: see :meth:`answer`.
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
    """Return a sentence about each judge with more unreadable than readable answers.

    Args:
        asked: a dataset's counts, including ``JUDGE: read: READER`` and ``JUDGE: unreadable: REASON``.

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
