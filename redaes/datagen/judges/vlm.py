"""A vision-language model as a judge: both orders, several samples, the project's own prompt and grammar.

The rules by which answers are read are those of docs/reading.md, with two differences. The model is behind a
server, so nothing can be put before its answer: the verdict's probability is read where the answer itself has
``Winner:``, from the tokens that the server lists. And a fast answer's difference is the one that the model states.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from redaes import prompts
from redaes.assessing import orders as both_orders
from redaes.assessing.asking import VERDICT_CHOICES, Asked, Questions, in_orders, parsed
from redaes.backends.base import Answer
from redaes.backends.endpoint import Endpoint
from redaes.backends.failures import Failure
from redaes.datagen.judges.base import Judgement, PicturePair
from redaes.datagen.judges.silence import Silence
from redaes.datagen.model_servers import ModelServers
from redaes.errors import InputError
from redaes.lenient import Reader, known_reader
from redaes.points import sigmoid
from redaes.prompts import Mode
from redaes.types import Comparison, Form, Order, Sampling


class VlmJudge:
    """Ask a model about each pair in both orders, ``samples`` times each."""

    def __init__(
        self,
        endpoint: Endpoint | ModelServers,
        *,
        mode: Mode = "reasoned",
        samples: int = 2,
        temperature: float = 0.7,
        max_new_tokens: int = 512,
        seed: int = 0,
        reader: Reader = "strict",
        form: Form = "text",
    ) -> None:
        """
        Args:
            endpoint: the model; its ``revision`` pins the judge.
            mode: ``reasoned``: with a rationale; ``fast``: without, and with the verdict's probability where the
                server reports token probabilities.
            samples: answers per order.
            temperature: 0: greedy, which allows one sample only.
            max_new_tokens: per answer.
            seed: seed of the first sample; each further one adds 1.
            reader: ``strict``: the form itself; ``lenient``: also variants that can mean one thing only
                (:mod:`redaes.lenient`), for models that were not trained on the form.
            form: in which reasoned answers are asked for; ``json`` suits models that were not trained on the text form.

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
        self._counting = threading.Lock()
        self.counts: Counter[str] = Counter()
        """Answers by what read them (``read: strict``, ``read: lenient/v2``), and by why none did
        (``unreadable: <reason>``)."""
        self.samplings = [
            Sampling(temperature=temperature, max_new_tokens=max_new_tokens, seed=seed + index)
            for index in range(samples)
        ]
        silence = Silence(
            self.name,
            endpoint,
            self._unusable,
            {
                "cut_off": f"raise max_new_tokens, now {max_new_tokens}: models that think need thousands",
                "": "use another model"
                + ("" if reader == "lenient" else ", or reader: lenient, which takes variants of the form"),
            },
        )
        self._prompt = prompts.load(prompts.in_form(prompts.COMPARE[mode], form))
        self._questions = Questions(silence, self.reader)

    def judge(self, pairs: Sequence[PicturePair]) -> list[Judgement]:
        """Return one judgement per pair, in their order; not to be called from a running event loop.

        Raises:
            BudgetExhausted: not all could be asked. What was answered is in the endpoint's cache, if it has one.
            EndpointError: no question at all was answered, for reasons that lie with the server: pairs are not
                rejected because a server is down. Or the model has never given an answer that could be used
                (:mod:`redaes.datagen.judges.silence`).
            RecordError: the endpoint's cache cannot be used.
        """
        asked = [self._asked(pair) for pair in pairs]
        comparisons = self._questions.written([one for its in asked for one in its], self.mode)
        with self._counting:  # pairs of several views may be judged at once, in threads
            self.counts.update(
                f"read: {one.reader}" if one.failure is None else f"unreadable: {one.failure}" for one in comparisons
            )
        rest = iter(comparisons)
        return [self._judgement(pair, tuple(next(rest) for _ in its)) for pair, its in zip(pairs, asked, strict=True)]

    def _asked(self, pair: PicturePair) -> list[Asked]:
        """Return the question in both orders, with every sample of one order before those of the other."""
        asked = in_orders(
            {"forward": self._prompt, "swapped": self._prompt},
            pair.first,
            pair.second,
            self.samplings[0],
            choices=VERDICT_CHOICES if self.mode == "fast" else (),
        )
        return [(order, replace(request, sampling=one)) for order, request in asked for one in self.samplings]

    def _unusable(self, answer: Answer) -> Failure | None:
        found = parsed(answer, self.mode, self.reader, self._prompt)
        return found if isinstance(found, Failure) else None

    def _judgement(self, pair: PicturePair, comparisons: tuple[Comparison, ...]) -> Judgement:
        def deltas(order: Order) -> tuple[float, ...]:
            verdicts = (both_orders.about_first(one) for one in comparisons if one.order == order)
            return tuple(verdict.delta for verdict in verdicts if verdict is not None)

        log_odds = both_orders.fair_log_odds(comparisons)
        return Judgement(
            pair=pair.id,
            judge=self.name,
            revision=self.revision,
            forward=deltas("forward"),
            swapped=deltas("swapped"),
            probability=None if log_odds is None else sigmoid(log_odds),
            failures=tuple(one.failure for one in comparisons if one.failure is not None),
            comparisons=comparisons,
        )
