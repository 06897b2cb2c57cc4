"""A vision-language model as a judge of reasoning: which of two explanations of a pair is truer, asked in both orders.

The judge sees the two pictures and two explanations of which is better, once with each explanation first. Only an
explanation that wins in both orders counts as the winner; if the orders disagree, the judge follows the position, and
the pair is a draw. Explanations are those of forward answers, whose letters are the pictures'.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from redaes import prompts
from redaes.backends.base import Answer, Request
from redaes.backends.chat import ChatBackend
from redaes.backends.endpoint import Endpoint
from redaes.backends.failures import Failure, refuse_lost
from redaes.backends.pictures import EncodedPicture
from redaes.errors import InputError, PromptError
from redaes.estimates import Estimate, bootstrap_mean
from redaes.heldout import HeldOut
from redaes.records import PairRecord, picture_of
from redaes.types import Record, Sampling

PROMPT = "rationale_judge/v1"

Side = Literal["one", "two", "tie"]

_SAMPLING = Sampling(max_new_tokens=8)
_ANSWER = re.compile(r"Better: (first|second|tie)\.?")


@dataclass(frozen=True)
class Duel:
    """Two explanations of one pair of pictures.

    Attributes:
        pair: id of the pair.
        cluster: the photograph, which intervals resample.
        pictures: A and B.
        one: the first side's explanation; None: it has no usable one.
        two: the second side's explanation; None: it has no usable one.
    """

    pair: str
    cluster: str
    pictures: tuple[EncodedPicture, EncodedPicture]
    one: str | None
    two: str | None


class JudgedDuel(Record):
    """The outcome of one duel."""

    pair: str
    cluster: str
    forward: Side | None
    """The winner with ``one`` shown first; None: there is no usable answer, or it was not asked."""
    swapped: Side | None
    """The winner with ``two`` shown first; None: there is no usable answer, or it was not asked."""
    failures: tuple[str, ...]
    winner: Side | None
    """The winner of both orders, or ``tie`` if they differ. A side without an explanation loses without a question.
    None: an order got no usable answer.
    """


class RationaleJudgement(Record):
    """The result of one side's explanations against the other's."""

    judge: str
    revision: str
    prompt_id: str
    n: int
    """Duels."""
    n_failed: int
    """Number of duels that failed because of the judge; they are left out of the share."""
    n_unasked: int
    """Number of duels in which a side had no explanation."""
    failures: dict[str, int]
    share_one: Estimate
    """Share of duels that the first side wins; draws count one half."""
    order_consistency: Estimate
    """Share of the duels answered in both orders in which both orders agree."""
    duels: tuple[JudgedDuel, ...]


def make_duels(records: Sequence[PairRecord], one: HeldOut, two: HeldOut | None) -> list[Duel]:
    """Return duels of the explanations of an evaluation against those of another, or against the dataset's own.

    Args:
        records: the pairs, with their pictures; those that were not asked in the reasoned mode are skipped.
        one: a model's answers.
        two: another model's answers about the same pairs; None: the dataset's reasoning, where it has one.

    Raises:
        InputError: the evaluations are not of the same pairs, or nothing is left to compare.
    """
    mine = _explanations(one)
    theirs: Mapping[str, str | None]
    if two is not None:
        theirs = _explanations(two)
        if set(mine) != set(theirs):
            raise InputError("the two evaluations have reasoning on different pairs; use the same dataset and seed")
    else:
        theirs = {record.pair.id: record.rationale.text for record in records if record.rationale is not None}
    found = []
    for record in records:
        name = record.pair.id
        if name in mine and name in theirs:
            first = picture_of(record, "first").image
            second = picture_of(record, "second").image
            pictures = (EncodedPicture(first), EncodedPicture(second))
            found.append(Duel(name, record.pair.source, pictures, mine[name], theirs[name]))
    if not found:
        raise InputError("no pair has reasoning on both sides; ask in the reasoned mode, on a dataset with rationales")
    return found


def judge_rationales(endpoint: Endpoint, duels: Sequence[Duel], *, seed: int = 0) -> RationaleJudgement:
    """Ask the judge about every duel in both orders, and summarize the outcomes.

    Args:
        endpoint: the judge; with a cache, an interrupted run asks nothing twice.
        duels: the duels.
        seed: seed of the intervals.

    Raises:
        BudgetExhausted, EndpointError: not every question could be asked; given answers are in the cache.
    """
    prompt = prompts.load(PROMPT)
    requests: list[Request] = []
    found: list[JudgedDuel | tuple[Duel, int]] = []  # or the place of the answers to a duel
    for duel in duels:
        if duel.one is None or duel.two is None:
            winner: Side = "tie" if duel.one == duel.two else "two" if duel.one is None else "one"
            found.append(_unasked(duel, (), winner))
            continue
        try:
            pair = [prompt.fill(one=a, two=b) for a, b in ((duel.one, duel.two), (duel.two, duel.one))]
        except PromptError:
            found.append(_unasked(duel, ("markup",), None))
            continue
        found.append((duel, len(requests)))
        requests += [Request(one, duel.pictures, sampling=_SAMPLING) for one in pair]
    answers = ChatBackend([endpoint]).answer(requests) if requests else []
    refuse_lost(answers)
    judged = [
        one if isinstance(one, JudgedDuel) else _judged(one[0], answers[one[1]], answers[one[1] + 1]) for one in found
    ]
    return _sum_up(endpoint, prompt.id, judged, seed)


def _explanations(evaluation: HeldOut) -> dict[str, str | None]:
    return {
        item.outcome.pair: next((answer.rationale for answer in item.answers if answer.order == "forward"), None)
        for item in evaluation.reasoned_outcomes
    }


def _unasked(duel: Duel, failures: tuple[str, ...], winner: Side | None) -> JudgedDuel:
    return JudgedDuel(
        pair=duel.pair, cluster=duel.cluster, forward=None, swapped=None, failures=failures, winner=winner
    )  # fmt: skip


def _judged(duel: Duel, forward: Answer | Failure, swapped: Answer | Failure) -> JudgedDuel:
    said = [_read(forward, ("one", "two")), _read(swapped, ("two", "one"))]
    sides: list[Side | None] = [None if reason else side for side, reason in said]
    winner = None if None in sides else sides[0] if sides[0] == sides[1] else "tie"
    return JudgedDuel(
        pair=duel.pair,
        cluster=duel.cluster,
        forward=sides[0],
        swapped=sides[1],
        failures=tuple(reason for _, reason in said if reason),
        winner=winner,
    )


def _read(answer: Answer | Failure, shown: tuple[Side, Side]) -> tuple[Side, str]:
    """Return the side that an answer names, and the reason if it names none."""
    if isinstance(answer, Failure):
        return "tie", answer.reason
    match = _ANSWER.fullmatch((answer.text or "").strip())
    if match is None:
        return "tie", "cut_off" if answer.cut_off else "not_the_form"
    return {"first": shown[0], "second": shown[1], "tie": "tie"}[match[1]], ""


def _sum_up(endpoint: Endpoint, prompt_id: str, judged: Sequence[JudgedDuel], seed: int) -> RationaleJudgement:
    won = [({"one": 1.0, "tie": 0.5, "two": 0.0}[one.winner], one.cluster) for one in judged if one.winner is not None]
    both = [
        (float(one.forward == one.swapped), one.cluster)
        for one in judged
        if one.forward is not None and one.swapped is not None
    ]
    return RationaleJudgement(
        judge=endpoint.model,
        revision=endpoint.revision,
        prompt_id=prompt_id,
        n=len(judged),
        n_failed=sum(one.winner is None for one in judged),
        n_unasked=sum(one.winner is not None and one.forward is None for one in judged),
        failures=dict(sorted(Counter(reason for one in judged for reason in one.failures).items())),
        share_one=bootstrap_mean(won, seed=seed),
        order_consistency=bootstrap_mean(both, seed=seed),
        duels=tuple(judged),
    )
