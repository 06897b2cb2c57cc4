"""A vision-language model as a judge: it is asked in both orders, several times, with the project's prompt and grammar.

Answers are read by the rules of docs/reading.md, with two differences. The model is behind a server, so no beginning
can be given to its answer: the verdict's probability is read where the answer itself has
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
            endpoint: the model; its ``revision`` becomes that of the judge.
            mode: ``reasoned`` asks for a rationale; ``fast`` does not, and gives the verdict's probability if the
                server reports token probabilities.
            samples: number of answers in each order.
            temperature: with 0 the most probable answer is taken, which allows only one sample.
            max_new_tokens: largest number of tokens of an answer.
            seed: seed of the first sample; each further one adds 1.
            reader: ``strict`` accepts the form alone; ``lenient`` also accepts variants that can mean only one thing
                (:mod:`redaes.lenient`), for models that were not trained on the form.
            form: form of reasoned answers; ``json`` suits models that were not trained on the text form.

        Raises:
            InputError: there are no samples, several would be the same, or the reader is unknown.
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
        """Number of answers by the reader that accepted them (``read: strict``, ``read: lenient/v2``), or by the reason
        why none did (``unreadable: <reason>``)."""
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
        """Return one judgement for each pair, in order. It must not be called from a running event loop.

        Raises:
            BudgetExhausted: the budget did not suffice. Answers so far are in the endpoint's cache, if it has one.
            EndpointError: the server is the reason why no question was answered; pairs are not rejected because a
                server is down. Or the model has never given a usable answer
                (:mod:`redaes.datagen.judges.silence`).
            RecordError: the endpoint's cache cannot be read or written.
        """
        asked = [self._asked(pair) for pair in pairs]
        comparisons = self._questions.written([one for its in asked for one in its], self.mode)
        with self._counting:  # threads may judge the pairs of several views at the same time
            self.counts.update(
                f"read: {one.reader}" if one.failure is None else f"unreadable: {one.failure}" for one in comparisons
            )
        rest = iter(comparisons)
        return [self._judgement(pair, tuple(next(rest) for _ in its)) for pair, its in zip(pairs, asked, strict=True)]

    def _asked(self, pair: PicturePair) -> list[Asked]:
        """Return the questions about a pair: all samples in one order, then all samples in the other."""
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
