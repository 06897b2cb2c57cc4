"""Agreement of repeated answers: what is left to say how sure a verdict is where no probability can be read.

A question is asked several times over, each time with another seed at a temperature, and the answers are counted. The
share that calls one picture better is a count of answers. It is no probability of the model's: that is read from its
tokens, says more with one question than this with many, and is what temperatures are fitted for; so this one is kept in
a field of its own, is called by its name wherever it is shown, and is never calibrated.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Annotated

from pydantic import Field, FiniteFloat

from redaes.assessing.asking import Asked, Questions
from redaes.assessing.orders import about_first
from redaes.errors import InputError
from redaes.prompts import Prompt
from redaes.types import Comparison, Record, Sampling, Winner

USUAL_DRAWS = 3
"""Answers in each order, where rankings and scores have to be made of them [ours]."""

MAX_DRAWS = 64

_TEMPERATURE = 0.7
_MAX_NEW_TOKENS = 32

_VALUE: dict[Winner, float] = {"A": 1.0, "tie": 0.5, "B": 0.0}


class SampleAgreement(Record):
    """How far repeated answers about two pictures agree."""

    share: Annotated[FiniteFloat, Field(ge=0.0, le=1.0)] | None
    """Of the answers that could be used, those that call the first picture better, ties counted half, the orders with
    equal say; None: an order gave none."""
    n_first: int
    """Answers that call the first picture better."""
    n_second: int
    n_tie: int
    failures: tuple[str, ...]
    """Why each other answer could not be used."""
    per_order: Annotated[int, Field(ge=1)]
    """Answers that were asked for in each order."""
    prompt_id: str
    """``name/version@hash``."""
    sampling: Sampling
    """Of the first answer in each order; each further one has the next seed."""
    changes: tuple[str, ...] = ()
    """What of the requests a server could not use: without a seed or a temperature, answers may agree because they are
    one answer."""

    @property
    def n_usable(self) -> int:
        """Answers that count."""
        return self.n_first + self.n_second + self.n_tie

    @property
    def n_asked(self) -> int:
        """Questions to the model."""
        return self.n_usable + len(self.failures)


def checked_draws(draws: int) -> int:
    """
    Raises:
        InputError: there is no such number of answers in each order.
    """
    try:
        number = operator.index(draws)
    except TypeError:
        number = -1
    if not 0 <= number <= MAX_DRAWS:
        raise InputError(f"agreement is {draws}; give 0 (none) to {MAX_DRAWS} answers in each order")
    return number


def draw_agreements(
    questions: Questions, asked: Sequence[Sequence[Asked]], prompt: Prompt, draws: int
) -> list[SampleAgreement]:
    """Ask about each pair ``draws`` times in each of its orders, without reasons.

    Args:
        questions: to the model.
        asked: the requests of each pair, one for each order.
        prompt: prompt of the fast mode.
        draws: at least 1.

    Raises:
        EndpointError: all were lost, for reasons that lie with a server, or a budget is spent.
        BackendError: the model cannot be asked.
    """
    samplings = [Sampling(temperature=_TEMPERATURE, max_new_tokens=_MAX_NEW_TOKENS, seed=seed) for seed in range(draws)]
    flat = [
        (order, replace(request, prompt=prompt.filled_like(request.prompt), prefix="", choices=(), sampling=sampling))
        for requests in asked
        for order, request in requests
        for sampling in samplings
    ]
    answers = iter(questions.written(flat, "fast"))
    return [_counted([next(answers) for _ in range(len(its) * draws)], samplings, prompt) for its in asked]


def _counted(answers: Sequence[Comparison], samplings: Sequence[Sampling], prompt: Prompt) -> SampleAgreement:
    by_order: dict[str, list[Winner]] = {one.order: [] for one in answers}
    for one in answers:
        verdict = about_first(one)
        if verdict is not None:
            by_order[one.order].append(verdict.winner)
    every = [winner for winners in by_order.values() for winner in winners]
    return SampleAgreement(
        share=fmean(fmean(map(_VALUE.__getitem__, winners)) for winners in by_order.values())
        if all(by_order.values())
        else None,
        n_first=every.count("A"),
        n_second=every.count("B"),
        n_tie=every.count("tie"),
        failures=tuple(one.failure for one in answers if one.failure is not None),
        per_order=len(samplings),
        prompt_id=prompt.id,
        sampling=samplings[0],
        changes=tuple(sorted({change for one in answers for change in one.changes})),
    )
