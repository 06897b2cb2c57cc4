"""Failed requests: a countable reason for each, and an error if a whole batch fails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from redaes.errors import BudgetExhausted, EndpointError

SERVER_REASONS = frozenset(
    {"connection", "timeout", "retry_after_too_long"}
    | {f"http_{status}" for status in (401, 403, 404, 429, 502, 503, 504)}
)
"""Reasons of failures that are about the server and not about the question."""

UNREAD = frozenset({"no_logprob", "no_logprobs", "not_the_form"})
"""Reasons why an answer has no probability: the server reports none, or the answer has no place to read it at."""


@dataclass(frozen=True)
class Failure:
    """The failure of one request."""

    reason: str
    """Identifier fit for counting: ``http_<status>``, ``timeout``, ``connection``, ``not_json``,
    ``not_a_completion``, ``no_choices``, ``no_content``, ``refused``, ``no_usage``, ``retry_after_too_long``,
    ``budget_exhausted``, ``no_logprob``, ``cut_off``, ``unclosed_thinking``, ``unknown_part``,
    and those of answers that cannot be read."""
    detail: str


def refuse_lost(answers: Sequence[object]) -> None:
    """Raise an error if no request of a batch was answered because of the server, or the budget is spent.

    Args:
        answers: answers of one batch; those that are a :class:`Failure` count.

    Raises:
        BudgetExhausted: not all could be asked.
        EndpointError: all failed for reasons that lie with the server.
    """
    failures = [answer for answer in answers if isinstance(answer, Failure)]
    for failure in failures:
        if failure.reason == "budget_exhausted":
            raise BudgetExhausted(failure.detail)
    if answers and len(failures) == len(answers) and all(failure.reason in SERVER_REASONS for failure in failures):
        most = Counter(failure.reason for failure in failures).most_common(1)[0][0]
        raise EndpointError(most, f"none of {len(answers)} questions was answered; the last: {failures[-1].detail}")
