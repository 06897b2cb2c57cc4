"""A vision-language model as a judge: both orders, several samples, the project's own prompt and grammar.

The rules by which answers are read are those of docs/reading.md, with two differences. The model is behind a
server, so nothing can be put before its answer: the verdict's probability is read where the answer itself has
``Winner:``, from the tokens that the server lists. And a fast answer's difference is the one that the model states.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from redaes import answers, lenient, prompts
from redaes.backends.chat_replies import Reply
from redaes.backends.chat_requests import N_LOGPROBS, ChatRequest
from redaes.backends.endpoint import Endpoint
from redaes.backends.failures import Failure
from redaes.backends.next_token import verdict_log_odds
from redaes.datagen.judges.base import Judgement, PicturePair
from redaes.datagen.judges.silence import Silence
from redaes.errors import InputError, ParseError
from redaes.lenient import Reader, Reading, known_reader
from redaes.points import sigmoid
from redaes.prompts import Mode
from redaes.types import Comparison, Order, Sampling

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
        reader: Reader = "strict",
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
            reader: ``strict``: the form itself; ``lenient``: also variants that can mean one thing only
                (:mod:`redaes.lenient`), for models that were not trained on the form.

        Raises:
            InputError: no samples, several that would be the same, or an unknown reader.
        """
        if samples < 1:
            raise InputError(f"samples is {samples}; give at least 1")
        if samples > 1 and temperature == 0:
            raise InputError(f"{samples} samples at temperature 0 are one answer; raise it, or take 1 sample")
        self.endpoint = endpoint
        self.name = endpoint.model
        self.revision = endpoint.revision
        self.mode = mode
        self.reader = known_reader(reader)
        self.counts: Counter[str] = Counter()
        """Answers by what read them (``read: strict``, ``read: lenient/v1``), and by why none did
        (``unreadable: <reason>``)."""
        self.samplings = [
            Sampling(temperature=temperature, max_new_tokens=max_new_tokens, seed=seed + index)
            for index in range(samples)
        ]
        self._silence = Silence(
            self.name,
            endpoint,
            {
                "cut_off": f"raise max_new_tokens, now {max_new_tokens}: models that think need thousands",
                "": "use another model"
                + ("" if reader == "lenient" else ", or reader: lenient, which takes variants of the form"),
            },
        )

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
                rejected because a server is down. Or the model has never given an answer that could be used
                (:mod:`redaes.datagen.judges.silence`).
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
        replies = await self._silence.ask(self.endpoint, [request for _, request in asked], self._unusable)
        self._silence.refuse_lost(replies)
        read = [self._read(order, request, reply) for (order, request), reply in zip(asked, replies, strict=True)]
        each = len(_ORDERS) * len(self.samplings)
        return [self._judgement(pair, read[index * each : (index + 1) * each]) for index, pair in enumerate(pairs)]

    def _read(self, order: Order, request: ChatRequest, reply: Reply | Failure) -> _Read:
        found = self._reading(reply)
        self.counts[f"unreadable: {found.reason}" if isinstance(found, Failure) else f"read: {found.reader}"] += 1
        token = reply if isinstance(reply, Failure) else reply.read_after(answers.WINNER_PREFIX)
        log_odds = None if isinstance(found, Failure) else verdict_log_odds(token)
        comparison = Comparison(
            order=order,
            verdict=found.verdict if isinstance(found, Reading) else None,
            failure=None if isinstance(found, Reading) else found.reason,
            raw=reply.text if isinstance(reply, Reply) else "",
            probability=None if log_odds is None else sigmoid(log_odds),
            model=self.name,
            revision=self.revision,
            prompt_id=request.prompt_id,
            sampling=request.sampling,
            reader=found.reader if isinstance(found, Reading) else lenient.STRICT,
            probability_from=None if log_odds is None else "listed",
            changes=reply.changes if isinstance(reply, Reply) else (),
        )
        return _Read(comparison, log_odds)

    def _reading(self, reply: Reply | Failure) -> Reading | Failure:
        """The verdict of an answer, or the reason why there is none."""
        if isinstance(reply, Failure):
            return reply
        try:
            return lenient.read(reply.text, self.mode, self.reader)
        except ParseError as error:
            if reply.finish_reason == "length":
                return Failure("cut_off", f"the answer ends at max_new_tokens: …{reply.text[-40:]!r}")
            return Failure(error.reason, str(error))

    def _unusable(self, reply: Reply) -> Failure | None:
        found = self._reading(reply)
        return found if isinstance(found, Failure) else None

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
            probability = sigmoid(fmean(fmean(values) for values in log_odds.values()))
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
