"""Vision-language models behind servers, several replicas of one model at once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from redaes import answers, lenient, prompts
from redaes.assessing.measured_question import with_evidence
from redaes.assessing.reasons import Measuring, checked, from_file
from redaes.assessor import known_mode, known_prompt
from redaes.backends.chat_replies import Reply
from redaes.backends.chat_requests import N_LOGPROBS, ChatRequest
from redaes.backends.endpoint import Endpoint
from redaes.backends.failures import Failure, refuse_lost
from redaes.backends.next_token import expected_score, verdict_log_odds
from redaes.backends.pictures import EncodedPicture
from redaes.errors import InputError, ParseError
from redaes.evaluation.assessors.base import Answer, Question, Shows, checked_with
from redaes.evidence.reasons import Reason, reason_of
from redaes.lenient import known_reader
from redaes.points import sigmoid
from redaes.types import Order, Sampling, Verdict, winner_of


class _Servers:
    """Replicas of one model, among which questions are dealt out in turn."""

    needs_pixels = True

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        if not endpoints:
            raise InputError("no server is named; give its url, such as http://127.0.0.1:8000/v1")
        self._endpoints = list(endpoints)

    def _ask(self, requests: Sequence[ChatRequest]) -> list[Reply | Failure]:
        async def run() -> list[Reply | Failure]:
            n = len(self._endpoints)
            found: list[Reply | Failure | None] = [None] * len(requests)

            async def ask(place: int, endpoint: Endpoint) -> None:
                async with endpoint:
                    for index, reply in enumerate(await endpoint.ask_many(requests[place::n])):
                        found[place + index * n] = reply

            await asyncio.gather(*(ask(place, endpoint) for place, endpoint in enumerate(self._endpoints)))
            return [reply for reply in found if reply is not None]

        replies = asyncio.run(run())
        refuse_lost(replies)
        return replies

    def _identity(self, prompt: prompts.Prompt, sampling: Sampling) -> dict[str, Any]:
        # Not the addresses: replicas may come and go between two parts of a run.
        return {
            "model": self._endpoints[0].model,
            "revision": self._endpoints[0].revision,
            "prompt_ids": [prompt.id],
            "sampling": sampling.model_dump(mode="json"),
        }


class EndpointScores(_Servers):
    """A model behind a server: each picture alone, read at its score token."""

    shows: Shows = "one"

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        """
        Args:
            endpoints: replicas of one model; they must report token probabilities.

        Raises:
            InputError: there are none.
        """
        super().__init__(endpoints)
        self._prompt = prompts.load(prompts.SCORE)
        self._sampling = Sampling(max_new_tokens=8)

    @property
    def identity(self) -> Mapping[str, Any]:
        """Model, revision, prompt and sampling."""
        return self._identity(self._prompt, self._sampling)

    def answer(self, questions: Sequence[Question]) -> list[Answer]:
        """Scores in [0, 9]; failures are the endpoint's, or those of reading its reply."""
        replies = self._ask(
            [
                ChatRequest.of(
                    self._prompt,
                    (EncodedPicture(question.pictures[0].loaded.image),),
                    self._sampling,
                    n_logprobs=N_LOGPROBS,
                )
                for question in questions
            ]
        )
        found = []
        for question, reply in zip(questions, replies, strict=True):
            token = reply if isinstance(reply, Failure) else reply.read_after(answers.SCORE_PREFIX)
            score = expected_score(token)
            failed = isinstance(score, Failure)
            found.append(
                Answer(
                    id=question.id,
                    value=None if isinstance(score, Failure) else score,
                    failure=score.reason if isinstance(score, Failure) else None,
                    detail=score.detail if isinstance(score, Failure) else None,
                    raw=(reply.text,) if failed and isinstance(reply, Reply) else (),
                    tokens=_tokens(reply),
                    changes=_changes(reply),
                )
            )
        return found


class EndpointPairs(_Servers):
    """A model behind a server: two pictures in both orders, as docs/judges.md has it."""

    shows: Shows = "two"

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        mode: str = "reasoned",
        max_new_tokens: int = 512,
        prompt: str | None = None,
        reader: str = "strict",
        *,
        check: bool = True,
    ) -> None:
        """
        Args:
            endpoints: replicas of one model.
            mode: ``reasoned`` or ``fast``.
            max_new_tokens: per answer.
            prompt: as for :class:`~redaes.evaluation.assessors.local.LocalPairs`.
            reader: ``strict``: the form itself; ``lenient``: also variants that can mean one thing only
                (:mod:`redaes.lenient`).
            check: as for :class:`~redaes.evaluation.assessors.local.LocalPairs`.

        Raises:
            InputError: unknown mode, prompt or reader, or no endpoints.
        """
        super().__init__(endpoints)
        self._reader = known_reader(reader)
        self._mode = known_mode(mode)
        self._prompt = prompts.load(known_prompt(self._mode, prompt))
        self._check = check and self._mode == "reasoned"
        self._sampling = Sampling(max_new_tokens=max_new_tokens)

    @property
    def identity(self) -> Mapping[str, Any]:
        """Model, revision, prompt, mode, sampling, and the reader where it is not the strict one."""
        reader = {} if self._reader == "strict" else {"reader": lenient.LENIENT}
        asked = self._identity(self._prompt, self._sampling)
        return {**asked, "mode": self._mode, **reader, **checked_with(self._check)}

    def answer(self, questions: Sequence[Question]) -> list[Answer]:
        """Mean stated differences of the orders that answered; a failure has the reason of each order."""
        requests = []
        measured = []
        for question in questions:
            loaded, other = (shown.loaded for shown in question.pictures)
            measured.append(measuring := Measuring(loaded, other, from_file))
            first, second = EncodedPicture(loaded.image), EncodedPicture(other.image)
            asked = with_evidence(self._prompt, measuring)
            for prompt, pictures in ((asked["forward"], (first, second)), (asked["swapped"], (second, first))):
                requests.append(
                    ChatRequest.of(
                        prompt,
                        pictures,
                        self._sampling,
                        n_logprobs=N_LOGPROBS if self._mode == "fast" else 0,
                    )
                )
        replies = self._ask(requests)
        return [
            self._both(question, measuring, replies[2 * index], replies[2 * index + 1])
            for index, (question, measuring) in enumerate(zip(questions, measured, strict=True))
        ]

    def _both(
        self, question: Question, measuring: Measuring, forward: Reply | Failure, swapped: Reply | Failure
    ) -> Answer:
        deltas, reasons, log_odds, readers = [], [], [], set()
        written: list[tuple[Order, Verdict]] = []
        for sign, name, reply in ((1.0, "forward", forward), (-1.0, "swapped", swapped)):
            found = self._read(reply)
            if isinstance(found, str):
                reasons.append(f"{name}: {found}")
                continue
            readers.add(found.reader)
            deltas.append(sign * found.verdict.delta)
            written.append(("forward" if sign > 0 else "swapped", found.verdict))
            token = reply if isinstance(reply, Failure) else reply.read_after(answers.WINNER_PREFIX)
            odds = verdict_log_odds(token)
            if odds is not None:
                log_odds.append(sign * odds)
        value = fmean(deltas) + 0.0 if deltas else None
        return Answer(
            id=question.id,
            value=value,
            failure="; ".join(reasons) if value is None else None,
            probability=sigmoid(fmean(log_odds)) if len(log_odds) == 2 else None,
            order_consistent=winner_of(deltas[0]) == winner_of(deltas[1]) if len(deltas) == 2 else None,
            raw=tuple(reply.text if isinstance(reply, Reply) else "" for reply in (forward, swapped)),
            tokens=_tokens(forward) + _tokens(swapped),
            reader=lenient.LENIENT if lenient.LENIENT in readers else None,
            changes=tuple(sorted({*_changes(forward), *_changes(swapped)})),
            reason=self._reason(measuring, written, value) if self._check else None,
        )

    def _reason(
        self, measuring: Measuring, written: Sequence[tuple[Order, Verdict]], value: float | None
    ) -> Reason | None:
        """How true the first reasoning is that agrees with the mean; None: a picture is too small to be measured."""
        evidence, _ = measuring.found
        if evidence is None:
            return None
        for order, verdict in written:
            own = verdict if order == "forward" else verdict.swapped()
            if value is not None and own.winner == winner_of(value) and verdict.rationale is not None:
                return reason_of(checked(verdict.rationale.text, order, evidence))
        return reason_of(None)

    def _read(self, reply: Reply | Failure) -> lenient.Reading | str:
        if isinstance(reply, Failure):
            return reply.reason
        try:
            return lenient.read(reply.text, self._mode, self._reader)
        except ParseError as error:
            return "cut_off" if reply.finish_reason == "length" else error.reason


def _tokens(reply: Reply | Failure) -> int:
    return reply.usage.total_tokens if isinstance(reply, Reply) and reply.usage is not None else 0


def _changes(reply: Reply | Failure) -> tuple[str, ...]:
    return reply.changes if isinstance(reply, Reply) else ()
