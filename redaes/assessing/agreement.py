"""Agreement of repeated answers, as a measure of certainty where no probability can be read.

A question is asked several times, each time with another seed at a temperature above 0, and the answers are counted.
The share that calls one picture better is not a probability of the model. A probability is read from tokens, says more
with one question than this share with many, and can be calibrated. So the agreement has a field of its own, is called
agreement wherever it is shown, and is never calibrated.
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
"""Default number of answers in each order, if rankings and scores are computed from them [ours]."""

MAX_DRAWS = 64

_TEMPERATURE = 0.7
_MAX_NEW_TOKENS = 32

_VALUE: dict[Winner, float] = {"A": 1.0, "tie": 0.5, "B": 0.0}


class SampleAgreement(Record):
    """How far repeated answers about two pictures agree."""

    share: Annotated[FiniteFloat, Field(ge=0.0, le=1.0)] | None
    """Share of the usable answers that call the first picture better; ties count one half, and both orders have equal
    weight. None: an order gave no usable answer.
    """
    n_first: int
    """Number of answers that call the first picture better."""
    n_second: int
    n_tie: int
    failures: tuple[str, ...]
    """The reason of each unusable answer."""
    per_order: Annotated[int, Field(ge=1)]
    """Number of answers that were asked for in each order."""
    prompt_id: str
    """``name/version@hash``."""
    sampling: Sampling
    """Sampling of the first answer in each order; each further answer has the next seed."""
    changes: tuple[str, ...] = ()
    """What of the requests a server could not use. Without a seed or a temperature, all answers may be the same one."""

    @property
    def n_usable(self) -> int:
        """Number of usable answers."""
        return self.n_first + self.n_second + self.n_tie

    @property
    def n_asked(self) -> int:
        """Number of questions to the model."""
        return self.n_usable + len(self.failures)


def checked_draws(draws: int) -> int:
    """
    Raises:
        InputError: the number of answers in each order is out of range.
    """
    try:
        number = operator.index(draws)
    except TypeError:
        number = -1
    if not 0 <= number <= MAX_DRAWS:
        raise InputError(f"agreement is {draws}; give a number of answers in each order from 0 (none) to {MAX_DRAWS}")
    return number


def draw_agreements(
    questions: Questions, asked: Sequence[Sequence[Asked]], prompt: Prompt, draws: int
) -> list[SampleAgreement]:
    """Ask about each pair ``draws`` times in each of its orders, without reasons.

    Args:
        questions: asks the model.
        asked: the requests of each pair, one for each order.
        prompt: prompt of the fast mode.
        draws: number of answers, at least 1.

    Raises:
        EndpointError: a server lost all answers, or a budget is spent.
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
