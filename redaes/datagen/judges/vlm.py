"""A vision-language model as a judge: both orders, several samples, the project's own prompt and grammar.

The rules by which answers are read are those of docs/reading.md, with two differences. The model is behind a
server, so nothing can be put before its answer: the verdict's probability is read where the answer itself has
``Winner:``. And a fast answer's difference is the one that the model states.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from redaes import answers, prompts
from redaes.backends.base import Failure
from redaes.backends.endpoint import ChatRequest, Endpoint, Reply, refuse_lost
from redaes.backends.replies import N_LOGPROBS, verdict_log_odds
from redaes.datagen.judges.base import Judgement, PicturePair
from redaes.errors import InputError, ParseError
from redaes.prompts import Mode
from redaes.types import Comparison, Order, Sampling, Verdict

_ORDERS: tuple[Order, Order] = ("forward", "swapped")


@dataclass(frozen=True)
class _Read:
    """One answer, and its log-odds of A, which the comparison's probability would round to certainty."""

    comparison: Comparison
    log_odds: float | None


class VlmJudge:
    """Asks a model for each pair in both orders, ``samples`` times each."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        mode: Mode = "reasoned",
        samples: int = 2,
        temperature: float = 0.7,
        max_new_tokens: int = 512,
        seed: int = 0,
    ) -> None:
        """
        Args:
            endpoint: the model; its ``revision`` pins the judge.
            mode: ``reasoned``: with a rationale; ``fast``: without, and with the verdict's probability where the
                server reports token probabilities.
            samples: answers per order.
            temperature: 0: greedy, which allows one sample only.
            max_new_tokens: per answer.
            seed: of the first sample; each further one adds 1.

        Raises:
            InputError: no samples, or several that would be the same.
        """
        if samples < 1:
            raise InputError(f"samples is {samples}; give at least 1")
        if samples > 1 and temperature == 0:
            raise InputError(f"{samples} samples at temperature 0 are one answer; raise it, or take 1 sample")
        self.endpoint = endpoint
        self.name = endpoint.model
        self.revision = endpoint.revision
        self.mode = mode
        self.samplings = [
            Sampling(temperature=temperature, max_new_tokens=max_new_tokens, seed=seed + index)
            for index in range(samples)
        ]

    def judge(self, pairs: Sequence[PicturePair]) -> list[Judgement]:
        """As :meth:`judge_open`, opening and closing the endpoint; not to be called from a running event loop."""

        async def run() -> list[Judgement]:
            async with self.endpoint:
                return await self.judge_open(pairs)

        return asyncio.run(run())

    async def judge_open(self, pairs: Sequence[PicturePair]) -> list[Judgement]:
        """One judgement per pair, in their order.

        Raises:
            BudgetExhausted: not all could be asked. What was answered is in the endpoint's cache, if it has one.
            EndpointError: no question at all was answered, for reasons that lie with the server: pairs are not
                rejected because a server is down.
            BackendError: the endpoint is not open.
            RecordError: the endpoint's cache cannot be used.
        """
        prompt = prompts.load(prompts.COMPARE[self.mode])
        n_logprobs = N_LOGPROBS if self.mode == "fast" else 0
        asked = [
            (order, ChatRequest.of(prompt, pictures, sampling, n_logprobs=n_logprobs))
            for pair in pairs
            for order, pictures in zip(_ORDERS, ((pair.first, pair.second), (pair.second, pair.first)), strict=True)
            for sampling in self.samplings
        ]
        replies = await self.endpoint.ask_many([request for _, request in asked])
        refuse_lost(replies)
        read = [self._read(order, request, reply) for (order, request), reply in zip(asked, replies, strict=True)]
        each = len(_ORDERS) * len(self.samplings)
        return [self._judgement(pair, read[index * each : (index + 1) * each]) for index, pair in enumerate(pairs)]

    def _read(self, order: Order, request: ChatRequest, reply: Reply | Failure) -> _Read:
        verdict = self._verdict(reply)
        log_odds = verdict_log_odds(reply) if isinstance(reply, Reply) and isinstance(verdict, Verdict) else None
        comparison = Comparison(
            order=order,
            verdict=verdict if isinstance(verdict, Verdict) else None,
            failure=None if isinstance(verdict, Verdict) else verdict,
            raw=reply.text if isinstance(reply, Reply) else "",
            probability=None if log_odds is None else _sigmoid(log_odds),
            model=self.name,
            revision=self.revision,
            prompt_id=request.prompt_id,
            sampling=request.sampling,
        )
        return _Read(comparison, log_odds)

    def _verdict(self, reply: Reply | Failure) -> Verdict | str:
        """The verdict of an answer, or the reason why there is none."""
        if isinstance(reply, Failure):
            return reply.reason
        try:
            return answers.parse(reply.text, self.mode)
        except ParseError as error:
            return "cut_off" if reply.finish_reason == "length" else error.reason

    def _judgement(self, pair: PicturePair, read: Sequence[_Read]) -> Judgement:
        deltas: dict[Order, list[float]] = {order: [] for order in _ORDERS}
        log_odds: dict[Order, list[float]] = {order: [] for order in _ORDERS}
        for one in read:
            order, verdict = one.comparison.order, one.comparison.verdict
            if verdict is not None:
                deltas[order].append(verdict.delta if order == "forward" else verdict.swapped().delta)
            if one.log_odds is not None:
                log_odds[order].append(one.log_odds if order == "forward" else 0.0 - one.log_odds)
        probability = None
        if all(log_odds.values()):  # of one order alone it would carry the lean towards a position
            probability = _sigmoid(fmean(fmean(values) for values in log_odds.values()))
        comparisons = tuple(one.comparison for one in read)
        return Judgement(
            pair=pair.id,
            judge=self.name,
            revision=self.revision,
            forward=tuple(deltas["forward"]),
            swapped=tuple(deltas["swapped"]),
            probability=probability,
            failures=tuple(comparison.failure for comparison in comparisons if comparison.failure is not None),
            comparisons=comparisons,
        )


def _sigmoid(log_odds: float) -> float:
    """1 / (1 + exp(-x)), in the form that does not overflow."""
    return 0.5 * (1.0 + math.tanh(0.5 * log_odds))
