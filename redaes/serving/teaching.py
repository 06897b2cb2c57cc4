"""``POST /v1/teach``: which two pictures to ask a person about next, and the order according to the answers so far.

The service keeps no state: each request contains the model's answers about the pictures and all answers of the person.
No picture is sent, and no model is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from redaes.errors import InputError
from redaes.ranking import fit_strengths, outcomes_of
from redaes.ranking.graph import DECIMALS
from redaes.serving.limits import ServiceLimits
from redaes.serving.request_parsing import reasons_of, refused
from redaes.taste.questions import Aim, Teaching
from redaes.types import PairAnswer, Record

MAX_TEACH_BYTES = 4 * 2**20
"""Largest body of one request: enough for all series of an afternoon with their answers."""
MAX_SERIES = 64
MAX_ANSWERS = 5_000
MAX_CALLS = 1_000
"""Most questions behind one answer of the model."""

WINNERS: Mapping[str, float] = {"first": 1.0, "second": 0.0, "tie": 0.5}

_PictureId = Annotated[str, Field(min_length=1, max_length=128)]


class ToldSeries(BaseModel):
    """A series, and the model's answers about it."""

    model_config = ConfigDict(extra="forbid")

    ids: Annotated[list[_PictureId], Field(min_length=2)]
    """Ids of its different pictures, as ``/v1/rank`` returns them."""
    said: list[PairAnswer] = []
    """The ``answers`` of ``/v1/rank``; empty: the model was not asked."""


class PersonAnswer(BaseModel):
    """The person's answer about two pictures."""

    model_config = ConfigDict(extra="forbid")

    series: Annotated[int, Field(ge=0)]
    first: _PictureId
    second: _PictureId
    winner: Literal["first", "second", "tie"]


class TeachRequest(BaseModel):
    """The whole state: all series and all answers of the person."""

    model_config = ConfigDict(extra="forbid")

    series: Annotated[list[ToldSeries], Field(min_length=1)]
    answers: list[PersonAnswer] = []
    aim: Aim = "taste"
    """The aim of the questions: ``taste``: to learn about other pictures; ``order``: to learn the order of these."""
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0


class NextQuestion(Record):
    """Two pictures to show, the first on the left."""

    series: int
    first: str
    second: str
    information: float
    """Expected information of the answer, in bits."""


class SeriesAsAnswered(Record):
    """The order of a series according to the answers so far."""

    order: tuple[str, ...]
    """Ids of the pictures, best first."""
    scores: dict[str, float]
    """The person's strengths, in logits."""
    errors: dict[str, float]
    """Their standard errors, in logits."""


class TeachAnswer(Record):
    """The next question, and the orders so far."""

    next: NextQuestion | None
    """The next question; None: every pair was answered."""
    n_answers: int
    n_open: int
    """Number of pairs that were not answered and whose order is not settled with 95 %."""
    n_pairs: int
    """Number of all pairs within the series."""
    series: tuple[SeriesAsAnswered, ...]


def next_step(asked: TeachRequest) -> TeachAnswer:
    """Return the answer to a request.

    Raises:
        InputError: a picture is unknown, listed twice, or compared with itself.
    """
    teaching = Teaching(
        [fit_strengths(len(one.ids), outcomes_of(one.ids, one.said)) for one in asked.series],
        aim=asked.aim,
        seed=asked.seed,
    )
    for number, answer in enumerate(asked.answers):
        if answer.series >= len(asked.series):
            raise InputError(f"answer {number} is about series {answer.series}; there are {len(asked.series)}, from 0")
        ids = asked.series[answer.series].ids
        for picture in (answer.first, answer.second):
            if picture not in ids:
                raise InputError(f"answer {number} names {picture!r}, which is not in series {answer.series}")
        teaching.answer(answer.series, ids.index(answer.first), ids.index(answer.second), WINNERS[answer.winner])
    return as_answered(teaching, [one.ids for one in asked.series])


def as_answered(teaching: Teaching, ids: list[list[str]]) -> TeachAnswer:
    """Return the next question and the orders, with the pictures' ids.

    Args:
        teaching: the state with all answers so far.
        ids: ids of the pictures of each series, in its order.
    """
    pair = teaching.next_pair()
    return TeachAnswer(
        next=None
        if pair is None
        else NextQuestion(
            series=pair.series,
            first=ids[pair.series][pair.first],
            second=ids[pair.series][pair.second],
            information=pair.information,
        ),
        n_answers=teaching.n_answers,
        n_open=teaching.n_open,
        n_pairs=sum(len(names) * (len(names) - 1) // 2 for names in ids),
        series=tuple(_ordered(teaching, number, names) for number, names in enumerate(ids)),
    )


def _ordered(teaching: Teaching, number: int, ids: list[str]) -> SeriesAsAnswered:
    now = teaching.strengths(number)
    scores = dict(zip(ids, map(float, now.values), strict=True))
    return SeriesAsAnswered(
        order=tuple(sorted(ids, key=lambda picture: (-round(scores[picture], DECIMALS), picture))),
        scores=scores,
        errors=dict(zip(ids, map(float, now.errors), strict=True)),
    )


def _read(body: bytes, limits: ServiceLimits) -> TeachRequest:
    if len(body) > MAX_TEACH_BYTES:
        raise refused(413, f"the request exceeds {MAX_TEACH_BYTES:,} bytes; teach fewer series at once")
    try:
        asked = TeachRequest.model_validate_json(body)
    except ValidationError as error:
        raise refused(422, reasons_of(error)) from error
    if len(asked.series) > MAX_SERIES or len(asked.answers) > MAX_ANSWERS:
        raise refused(413, f"more than {MAX_SERIES} series or {MAX_ANSWERS:,} answers; teach fewer series at once")
    for number, one in enumerate(asked.series):
        if len(one.ids) > limits.max_images:
            raise refused(413, f"series.{number}: more than {limits.max_images} pictures")
        if len(one.said) > len(one.ids) ** 2:
            raise refused(413, f"series.{number}: more answers than pairs")
        if any(answer.n_calls > MAX_CALLS for answer in one.said):
            raise refused(422, f"series.{number}.said: n_calls is at most {MAX_CALLS}")
    return asked


def _inlined(schema: dict[str, Any]) -> Any:
    """Return a schema with its references replaced by their targets, which OpenAPI would search elsewhere."""
    parts = schema.pop("$defs", {})

    def resolved(value: Any) -> Any:
        if isinstance(value, dict) and "$ref" in value:
            return resolved(parts[value["$ref"].rpartition("/")[2]])
        if isinstance(value, dict):
            return {name: resolved(one) for name, one in value.items()}
        return [resolved(one) for one in value] if isinstance(value, list) else value

    return resolved(schema)


def add_teaching(app: FastAPI, limits: ServiceLimits, errors: dict[int | str, dict[str, Any]]) -> None:
    """Offer ``/v1/teach``.

    Args:
        app: the service.
        limits: limits of the service; ``max_images`` applies to each series.
        errors: how OpenAPI describes answers that are not 200.
    """
    schema = _inlined(TeachRequest.model_json_schema())

    @app.post(
        "/v1/teach",
        responses={200: {"model": TeachAnswer}, **errors},
        openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}},
    )
    async def teach(request: Request) -> TeachAnswer:
        """Return the pair whose answer would tell most about a person's order, and the order as far as it is known."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise refused(415, f"content type {kind[:80]!r}; send application/json")
        asked = await asyncio.to_thread(_read, await request.body(), limits)
        try:
            return await asyncio.to_thread(next_step, asked)
        except InputError as error:
            raise refused(422, str(error)[:1000]) from error
