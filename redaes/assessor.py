"""The product: which of two pictures is better, by how much, and why; asked in both orders, and debiased.

How an answer is read from a model is written down in docs/reading.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from statistics import NormalDist, fmean
from typing import Annotated, Literal, TypeVar, cast, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field, FiniteFloat

from redaes import answers, lenient, prompts, ranking
from redaes.backends.base import Backend, Failure, Request, changes_of, probabilities_of
from redaes.errors import BackendError, ImageError, InputError, ParseError, PartlyAnswered
from redaes.images import LoadedImage, content_id, load_image, picture_in_memory
from redaes.lenient import Reader, Reading, known_reader
from redaes.prompts import Mode, Prompt
from redaes.types import (
    MAX_DELTA,
    TAU,
    Answer,
    Comparison,
    Delta,
    Factor,
    ImageRef,
    Order,
    Ranking,
    Record,
    Sampling,
    Verdict,
    Winner,
    winner_of,
)

_T = TypeVar("_T")

_ORDERS: tuple[Order, Order] = ("forward", "swapped")
_CHOICES = tuple(f" {winner}" for winner in answers.WINNER_CHOICES)
_BATCH = 32
"""Comparisons that are handed to the backend at once when ranking: bounds the pictures in memory."""

_CENTRE = MAX_DELTA / 2

Orders = Literal["both", "random"]
"""How often each pair is asked: in both orders, or in one that is drawn."""

_READ = Sampling(max_new_tokens=1)
"""How a fast answer is drawn: the likeliest of the read tokens."""

_WRITTEN = Sampling(max_new_tokens=32)
"""How a fast answer is drawn where its tokens cannot be read: it is written, and states its difference."""


class Result(Record):
    """The answer about two pictures, from both orders. ``A`` is the first picture, ``B`` the second."""

    winner: Winner | None
    """None: the model gave no usable answer."""
    probability: Annotated[FiniteFloat, Field(ge=0.0, le=1.0)] | None
    """P(first is better), from the model's token probabilities, averaged over the orders."""
    delta: Delta | None
    """Score of the first minus score of the second, in points; averaged over the orders."""
    failure: str | None
    """Why there is no winner: the reason of each order; None when there is one."""
    rationale: str | None
    """The model's reasoning, untouched; its letters are those of ``rationale_order``. None in the fast mode,
    and when no order's reasoning agrees with the winner."""
    rationale_order: Order | None
    """``forward``: A in the reasoning is the first picture; ``swapped``: A in it is the second picture."""
    factors: tuple[Factor, ...]
    """The factors that the reasoning calls decisive."""
    order_consistent: bool | None
    """Whether both orders name the same picture, or both a tie; None: fewer than two orders answered."""
    comparisons: tuple[Comparison, ...]
    """Forward, then swapped; empty when the model was not asked."""
    first: ImageRef
    second: ImageRef
    model: str
    revision: str
    prompt_id: str
    """``name/version@hash``."""
    mode: Mode
    notes: tuple[str, ...]
    """What the reader of the result should know, as sentences; usually empty."""


class ReferenceSet(Record):
    """Pictures that others are scored against, with the strengths that one judge gave them."""

    name: str
    """``name@digest of the pictures``."""
    pictures: tuple[ImageRef, ...]
    ranking: Ranking
    model: str
    revision: str
    prompt_id: str
    mode: Mode


class Score(Record):
    """Where one picture stands among a reference set."""

    image: ImageRef
    score: Annotated[FiniteFloat, Field(ge=0.0, le=9.0)]
    """In points of 0 to 9; 4.5: as good as the mean of the set; cut off at the ends [ours]."""
    error: FiniteFloat
    """Standard error of the score, in points; that of the references' own strengths is not in it."""
    strength: FiniteFloat
    """Bradley-Terry strength, in logits; 0 is the mean of the set."""
    better_than: int
    """References with a lower strength."""
    references: str
    """The set's name; scores against different sets cannot be compared."""
    n_references: int
    n_calls: int
    n_failed: int
    """Questions without a usable answer: counted, never guessed."""
    model: str
    revision: str
    prompt_id: str
    mode: Mode


@dataclass(frozen=True)
class _Judgement:
    """A comparison with what its probability was made of."""

    comparison: Comparison
    log_odds: float | None
    """Natural log-odds that the picture shown as A is better; None: the answer could not be read."""

    @property
    def verdict(self) -> Verdict | None:
        """The verdict with the first picture as A, whatever the order."""
        verdict = self.comparison.verdict
        if verdict is None or self.comparison.order == "forward":
            return verdict
        return verdict.swapped()


class Assessor:
    """Compares, ranks and scores pictures by asking a model in both orders."""

    def __init__(
        self,
        backend: Backend,
        *,
        mode: Mode = "reasoned",
        sampling: Sampling | None = None,
        prompt: str | None = None,
        reader: Reader = "strict",
    ) -> None:
        """
        Args:
            backend: the model to ask.
            mode: ``reasoned``: the model writes its reasons and states the difference; ``fast``: one token is
                read in each order.
            sampling: how reasoned answers are drawn; None: greedily.
            prompt: another wording of the question, one of :data:`redaes.prompts.PARAPHRASES`; None: the usual one.
            reader: ``strict``: written answers are read in the form itself; ``lenient``: also in variants that can mean
                one thing only (:mod:`redaes.lenient`), for models that were not trained on the form.

        Raises:
            InputError: unknown mode or reader, or a prompt that does not belong to the mode.
        """
        self.backend = backend
        self.reader = known_reader(reader)
        self.mode = known_mode(mode)
        self._prompts = {**prompts.COMPARE, self.mode: known_prompt(self.mode, prompt)}
        self.sampling = Sampling() if sampling is None else sampling

    @property
    def prompt_id(self) -> str:
        """``name/version@hash`` of the question in the assessor's own mode."""
        return prompts.load(self._prompts[self.mode]).id

    def compare(self, first: str | Path | Image.Image, second: str | Path | Image.Image) -> Result:
        """Compare two pictures, given as files or as RGB (or grey) pictures in memory.

        Raises:
            ImageError: a picture that cannot be used; names it and the remedy.
            BackendError: the model cannot be asked.
        """
        return self.compare_many([(_loaded(first), _loaded(second))])[0]

    def compare_many(
        self,
        pairs: Sequence[tuple[LoadedImage, LoadedImage]],
        mode: Mode | None = None,
        orders: Orders = "both",
    ) -> list[Result]:
        """Compare many pairs of loaded pictures, in as few and as large batches as the backend makes of them.

        Args:
            pairs: pictures with their ids; pairs with equal ids are ties and cost nothing.
            mode: None: the assessor's.
            orders: ``both``, or ``random``: one, drawn from the two ids, at half the cost and not debiased.

        Raises:
            BackendError: the model cannot be asked, or its probabilities are not numbers.
            InputError: unknown mode.
        """
        mode = self.mode if mode is None else known_mode(mode)
        prompt = prompts.load(self._prompts[mode])
        asked: list[tuple[Order, Request]] = []
        shown: list[tuple[Order, ...]] = []
        for first, second in pairs:
            chosen: tuple[Order, ...] = ()
            if first.ref.id != second.ref.id:
                chosen = _ORDERS if orders == "both" else (_drawn_order(first.ref.id, second.ref.id),)
            shown.append(chosen)
            for order in chosen:
                images = (first.image, second.image) if order == "forward" else (second.image, first.image)
                asked.append((order, Request(prompt, images)))
        judgements = iter(self._fast(asked) if mode == "fast" else self._reasoned(asked))
        return [
            self._result(first, second, [next(judgements) for _ in chosen], mode, prompt)
            if chosen
            else self._same(first, second, mode, prompt)
            for (first, second), chosen in zip(pairs, shown, strict=True)
        ]

    def rank(
        self,
        pictures: Sequence[LoadedImage | ImageRef],
        *,
        top_k: int | None = None,
        max_calls: int | None = None,
        orders: Orders = "both",
        seed: int = 0,
        known: Sequence[Answer] = (),
        on_answers: Callable[[Sequence[Answer]], None] | None = None,
    ) -> Ranking:
        """Order pictures, best first, with few comparisons (:class:`redaes.ranking.Schedule`).

        Args:
            pictures: loaded ones, or references, which are loaded when they are needed and not all kept. Equal
                pictures take one place.
            top_k: stop as soon as it is settled which pictures are the best k.
            max_calls: budget of questions to the model; None: two for each of ``default_pairs``.
            orders: as for :meth:`compare_many`.
            seed: of the schedule.
            known: answers of an earlier, interrupted call with the same pictures and settings: not asked again.
            on_answers: called after each batch with all answers so far, which later serve as ``known``.

        Raises:
            ImageError: a reference cannot be loaded, or its file was changed.
            InputError: the budget cannot connect the pictures, or ``top_k`` leaves their number.
            ParseError: so many answers were unusable that there is no common order.
            BackendError: the model cannot be asked.
        """
        found = {_ref(picture).id: picture for picture in pictures}
        ids = sorted(found)  # the answer does not depend on the order in which the pictures were listed
        n_orders = len(_ORDERS) if orders == "both" else 1
        n_pairs = None if max_calls is None else max_calls // n_orders
        schedule = ranking.Schedule(len(ids), max_pairs=n_pairs, top_k=top_k, seed=seed)
        answered: list[Answer] = []
        remembered = {frozenset((answer.first, answer.second)): answer for answer in known}
        load = lru_cache(maxsize=2 * _BATCH)(lambda picture_id: unchanged(found[picture_id]))
        while pairs := schedule.next_round():
            for batch in (pairs[start : start + _BATCH] for start in range(0, len(pairs), _BATCH)):
                named = [(ids[i], ids[j]) for i, j in batch]
                new = [pair for pair in named if frozenset(pair) not in remembered]
                results = self.compare_many([(load(first), load(second)) for first, second in new], orders=orders)
                for pair, result in zip(new, results, strict=True):
                    remembered[frozenset(pair)] = answer_of(result)
                for (i, j), pair in zip(batch, named, strict=True):
                    answer = remembered[frozenset(pair)]
                    answered.append(answer)
                    probability = answer.probability
                    if probability is not None and answer.first != pair[0]:
                        probability = 1.0 - probability
                    schedule.record(i, j, probability, float(answer.n_calls - answer.n_failed))
                if new and on_answers is not None:
                    on_answers(answered)
        return ranking.rank(ids, answered, top_k)

    def score(self, picture: LoadedImage, references: ReferenceSet, *, orders: Orders = "both") -> Score:
        """Where one picture stands among a fixed set of others, by comparing it with each of them.

        The strength that fits the answers best is estimated with those of the references held fixed.

        Args:
            picture: not necessarily one of the set; equal pictures are ties.
            references: with strengths that this very model and prompt gave them.
            orders: as for :meth:`compare_many`.

        Raises:
            ImageError: a reference cannot be loaded, or its file was changed.
            InputError: the set was ranked by another model, prompt or mode.
            ParseError: no comparison gave a usable answer.
            BackendError: the model cannot be asked.
        """
        self.check_references(references)
        outcomes: list[tuple[float, float, float]] = []
        n_calls = n_failed = 0
        for start in range(0, len(references.pictures), _BATCH):
            batch = references.pictures[start : start + _BATCH]
            pairs = [(picture, unchanged(reference)) for reference in batch]
            for reference, result in zip(batch, self.compare_many(pairs, orders=orders), strict=True):
                failed = sum(comparison.failure is not None for comparison in result.comparisons)
                n_calls += len(result.comparisons)
                n_failed += failed
                if result.probability is not None:
                    # A copy of a reference is a tie that nobody was asked about; it weighs as much as an asked one.
                    weight = len(result.comparisons) - failed if result.comparisons else len(_ORDERS)
                    outcomes.append((references.ranking.scores[reference.id], result.probability, float(weight)))
        if not outcomes:
            raise ParseError("no_usable_answer", f"{picture.ref.path}: none of {n_calls} answers could be used")
        strength, error = ranking.fit_one(outcomes)
        return Score(
            image=picture.ref,
            score=min(MAX_DELTA, max(0.0, _CENTRE + delta_of(strength))),
            error=(delta_of(strength + error) - delta_of(strength - error)) / 2,
            strength=strength,
            better_than=sum(strength > value for value in references.ranking.scores.values()),
            references=references.name,
            n_references=len(references.pictures),
            n_calls=n_calls,
            n_failed=n_failed,
            model=self.backend.model,
            revision=self.backend.revision,
            prompt_id=references.prompt_id,
            mode=self.mode,
        )

    def reference_set(
        self, name: str, pictures: Sequence[ImageRef], *, on_answers: Callable[[Sequence[Answer]], None] | None = None
    ) -> ReferenceSet:
        """Rank pictures, so that others can be scored against them.

        Args:
            name: what results call it; a digest of the pictures is put behind it.
            pictures: at least two different ones.
            on_answers: as for :meth:`rank`.

        Raises:
            InputError: fewer than two different pictures.
            ImageError, ParseError, BackendError: as for :meth:`rank`.
        """
        different = {picture.id: picture for picture in pictures}
        if len(different) < 2:
            raise InputError(f"reference set {name} has {len(different)} different pictures; give at least 2")
        digest = content_id("\n".join(sorted(different)).encode())[:12]
        return ReferenceSet(
            name=f"{name}@{digest}",
            pictures=tuple(different.values()),
            ranking=self.rank(list(different.values()), on_answers=on_answers),
            model=self.backend.model,
            revision=self.backend.revision,
            prompt_id=self.prompt_id,
            mode=self.mode,
        )

    def check_references(self, references: ReferenceSet) -> None:
        own = (self.backend.model, self.backend.revision, self.prompt_id)
        theirs = (references.model, references.revision, references.prompt_id)
        if own != theirs:
            raise InputError(
                f"reference set {references.name} was ranked by {' '.join(theirs)}, not by {' '.join(own)}; "
                "scores of different judges cannot be compared: rank the set anew"
            )

    def _fast(self, asked: Sequence[tuple[Order, Request]]) -> list[_Judgement]:
        """Each request read at the verdict token; written out where the backend cannot read it."""
        rows = self._read([replace(request, prefix=answers.WINNER_PREFIX) for _, request in asked])
        source = probabilities_of(self.backend)
        unread = [
            request
            for (_, request), row in zip(asked, rows, strict=True)
            if isinstance(row, Failure) and row.reason == "no_logprob"
        ]
        texts = iter(_each(lambda: self.backend.generate(unread, _WRITTEN)) if unread else [])
        judgements = []
        for (order, request), row in zip(asked, rows, strict=True):
            if isinstance(row, Failure):
                text = next(texts) if row.reason == "no_logprob" else row
                found = self._parsed(text, "fast")
                # What does not follow the form is no reason to hide why the probability could not be read.
                comparison = self._written(order, request, text, row if isinstance(found, Failure) else found, _WRITTEN)
                if isinstance(found, Reading):
                    comparison = comparison.model_copy(update={"probability_failure": row.reason})
                judgements.append(_Judgement(comparison, None))
                continue
            log_odds = float(row[0] - row[1])
            comparison = Comparison(
                order=order,
                verdict=answers.stated(delta_of(log_odds)),
                failure=None,
                raw=answers.WINNER_PREFIX + _CHOICES[int(row.argmax())],
                probability=_sigmoid(log_odds),
                model=self.backend.model,
                revision=self.backend.revision,
                prompt_id=request.prompt.id,
                sampling=_READ,
                probability_from=source,
            )
            judgements.append(_Judgement(comparison, log_odds))
        return judgements

    def _reasoned(self, asked: Sequence[tuple[Order, Request]]) -> list[_Judgement]:
        """Each request written out, then read at the verdict token of that very text."""
        requests = [request for _, request in asked]
        texts = _each(lambda: self.backend.generate(requests, self.sampling)) if requests else []
        parsed = [self._parsed(text, "reasoned") for text in texts]
        prefixes = [
            _up_to_verdict(text) if isinstance(found, Reading) and isinstance(text, str) else None
            for text, found in zip(texts, parsed, strict=True)
        ]
        rows = iter(
            self._read(
                [
                    replace(request, prefix=prefix)
                    for request, prefix in zip(requests, prefixes, strict=True)
                    if prefix is not None
                ]
            )
        )
        source = probabilities_of(self.backend)
        judgements = []
        for (order, request), text, found, prefix in zip(asked, texts, parsed, prefixes, strict=True):
            comparison, log_odds = self._written(order, request, text, found, self.sampling), None
            if isinstance(found, Reading):
                row = (
                    Failure("no_verdict_token", "the verdict is no token of its own") if prefix is None else next(rows)
                )
                if isinstance(row, Failure):  # the verdict stands all the same
                    comparison = comparison.model_copy(update={"probability_failure": row.reason})
                else:
                    log_odds = float(row[0] - row[1])
                    read = {"probability": _sigmoid(log_odds), "probability_from": source}
                    comparison = comparison.model_copy(update=read)
            judgements.append(_Judgement(comparison, log_odds))
        return judgements

    def _parsed(self, text: str | Failure, mode: Mode) -> Reading | Failure:
        """What a written answer says, or the reason why it says nothing."""
        if isinstance(text, Failure):
            return text
        try:
            return lenient.read(text, mode, self.reader)
        except ParseError as error:
            return Failure(error.reason, str(error))

    def _written(
        self, order: Order, request: Request, text: str | Failure, found: Reading | Failure, sampling: Sampling
    ) -> Comparison:
        """The comparison that a text makes, its probability not read yet."""
        return Comparison(
            order=order,
            verdict=found.verdict if isinstance(found, Reading) else None,
            failure=None if isinstance(found, Reading) else found.reason,
            raw="" if isinstance(text, Failure) else text,
            probability=None,
            model=self.backend.model,
            revision=self.backend.revision,
            prompt_id=request.prompt.id,
            sampling=sampling,
            reader=found.reader if isinstance(found, Reading) else lenient.STRICT,
            changes=changes_of(self.backend),
        )

    def _read(self, requests: Sequence[Request]) -> list[NDArray[np.float64] | Failure]:
        """Log-probabilities of " A", " B", " tie", shape (3,) for each request."""
        if not requests:
            return []
        rows = _each(lambda: self.backend.read(requests, _CHOICES))
        if not all(isinstance(row, Failure) or np.isfinite(row).all() for row in rows):
            raise BackendError(
                f"{self.backend.model} gives probabilities that are not numbers; its weights are damaged: copy it again"
            )
        return rows

    def _same(self, first: LoadedImage, second: LoadedImage, mode: Mode, prompt: Prompt) -> Result:
        """The result for two copies of one picture."""
        return Result(
            winner="tie",
            probability=0.5,
            delta=0.0,
            failure=None,
            rationale=None,
            rationale_order=None,
            factors=(),
            order_consistent=None,
            comparisons=(),
            first=first.ref,
            second=second.ref,
            model=self.backend.model,
            revision=self.backend.revision,
            prompt_id=prompt.id,
            mode=mode,
            notes=(
                *_notes(first, second),
                "both are the same picture, byte for byte; the model was not asked",
            ),
        )

    def _result(
        self,
        first: LoadedImage,
        second: LoadedImage,
        judgements: Sequence[_Judgement],
        mode: Mode,
        prompt: Prompt,
    ) -> Result:
        """The orders put together, by the rules of docs/reading.md."""
        notes = _notes(first, second)
        answered = [judgement for judgement in judgements if judgement.verdict is not None]
        read = [
            -judgement.log_odds if judgement.comparison.order == "swapped" else judgement.log_odds
            for judgement in answered
            if judgement.log_odds is not None
        ]
        # Of one verdict out of two it would be debiased in one half only.
        log_odds = _mean(read) if len(read) == len(answered) else None
        verdicts = [verdict for judgement in judgements if (verdict := judgement.verdict) is not None]
        if mode == "fast" and log_odds is not None:
            delta: float | None = delta_of(log_odds)
        else:
            delta = _mean(verdict.delta for verdict in verdicts)
        winner = None if delta is None else winner_of(delta)
        probability = None if log_odds is None else _sigmoid(log_odds)
        failures = [
            f"{judgement.comparison.order}: {judgement.comparison.failure}"
            for judgement in judgements
            if judgement.comparison.failure is not None
        ]
        if len(judgements) == 1:
            notes.append(f"asked in one order alone ({judgements[0].comparison.order}): the result is not debiased")
        elif len(failures) == 1:
            notes.append(f"only one order gave a usable answer ({failures[0]}): the result is not debiased")
        unread = [
            f"{judgement.comparison.order}: {judgement.comparison.probability_failure}"
            for judgement in answered
            if judgement.comparison.probability_failure is not None
        ]
        if unread:
            notes.append(f"there is no probability, because it could not be read ({'; '.join(unread)})")
        if any(judgement.comparison.probability_from == "listed" for judgement in answered):
            notes.append("the probability is read from the few likeliest tokens that the server lists")
        if any(judgement.comparison.reader != lenient.STRICT for judgement in answered):
            notes.append(f"the model did not follow the form to the letter; read by {lenient.LENIENT}")
        chosen = next((judgement for judgement in judgements if _supports(judgement, winner)), None)
        rationale = None
        if chosen is not None and chosen.comparison.verdict is not None:
            rationale = chosen.comparison.verdict.rationale
        if mode == "reasoned" and verdicts and rationale is None:
            notes.append("the two orders contradict each other, and no reasoning agrees with their mean")
        if mode == "reasoned" and _disagree(winner, probability):
            notes.append("the stated differences and the token probabilities favour different pictures")
        return Result(
            winner=winner,
            probability=probability,
            delta=delta,
            failure="; ".join(failures) if winner is None else None,
            rationale=None if rationale is None else rationale.text,
            rationale_order=None if rationale is None or chosen is None else chosen.comparison.order,
            factors=() if rationale is None else rationale.factors,
            order_consistent=verdicts[0].winner == verdicts[1].winner if len(verdicts) == len(_ORDERS) else None,
            comparisons=tuple(judgement.comparison for judgement in judgements),
            first=first.ref,
            second=second.ref,
            model=self.backend.model,
            revision=self.backend.revision,
            prompt_id=prompt.id,
            mode=mode,
            notes=tuple(notes),
        )


def known_mode(name: str) -> Mode:
    """The mode of that name.

    >>> known_mode("fast")
    'fast'

    Raises:
        InputError: there is none.
    """
    for mode in get_args(Mode):
        if mode == name:
            return cast("Mode", mode)
    raise InputError(f"unknown mode {name!r}; known: {', '.join(get_args(Mode))}")


def known_prompt(mode: Mode, name: str | None) -> str:
    """The name of a prompt for two pictures in that mode; None: the usual one.

    >>> known_prompt("fast", None)
    'compare_fast/v1'

    Raises:
        InputError: there is no such prompt for the mode.
    """
    known = (prompts.COMPARE[mode], *prompts.PARAPHRASES[mode])
    if name is not None and name not in known:
        raise InputError(f"prompt {name!r} is none of the {mode} mode; known: {', '.join(known)}")
    return name or known[0]


def _drawn_order(first: str, second: str) -> Order:
    """One of the two orders, drawn from the ids: the same picture stands first however the pair is listed."""
    low, high = sorted((first, second))
    low_first = int(content_id(f"{low} {high}".encode())[:8], 16) % 2 == 0
    return "forward" if low_first == (first == low) else "swapped"


def _ref(picture: LoadedImage | ImageRef) -> ImageRef:
    return picture if isinstance(picture, ImageRef) else picture.ref


def unchanged(picture: LoadedImage | ImageRef) -> LoadedImage:
    """The picture, loaded if need be.

    Raises:
        ImageError: it cannot be loaded, or is no longer the one that the reference names.
    """
    if not isinstance(picture, ImageRef):
        return picture
    loaded = load_image(picture.path)
    if loaded.ref.id != picture.id:
        raise ImageError(f"{picture.path}: was changed while it was being ranked; start again")
    return loaded


def answer_of(result: Result) -> Answer:
    """What a ranking takes from a result about two different pictures. A verdict without a probability is nothing that
    it can use, so the questions count as failed."""
    n_failed = sum(comparison.failure is not None for comparison in result.comparisons)
    return Answer(
        first=result.first.id,
        second=result.second.id,
        probability=result.probability,
        n_calls=len(result.comparisons),
        n_failed=len(result.comparisons) if result.probability is None else n_failed,
    )


def delta_of(log_odds: float) -> float:
    """The difference, in points, that stands for a preference: TAU times the probit of its probability.

    >>> delta_of(0.0), round(delta_of(1.6684), 2), delta_of(1000.0)
    (0.0, 2.0, 9.0)
    """
    return points_of(_sigmoid(log_odds))


def points_of(probability: float) -> float:
    """The same, of a probability.

    >>> points_of(0.5), round(points_of(0.8413), 2), points_of(0.0)
    (0.0, 2.0, -9.0)
    """
    probit = NormalDist()
    limit = probit.cdf(MAX_DELTA / TAU)
    # Compared before the probit is taken, because that of 0 and 1 does not exist.
    if probability >= limit:
        return MAX_DELTA
    if probability <= 1.0 - limit:
        return -MAX_DELTA
    return TAU * probit.inv_cdf(probability)


def _sigmoid(log_odds: float) -> float:
    """1 / (1 + exp(-x)), in the form that does not overflow."""
    return 0.5 * (1.0 + math.tanh(0.5 * log_odds))


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return fmean(found) if found else None


def _each(ask: Callable[[], Iterable[_T]]) -> list[_T | Failure]:
    """The answers of a batch; a request that was lost loses only itself."""
    try:
        return list(ask())
    except PartlyAnswered as partly:
        return cast("list[_T | Failure]", list(partly.answers))


def _up_to_verdict(text: str) -> str | None:
    """An answer up to where its winner is named; None: the name does not follow as a choice has it.

    >>> _up_to_verdict("Winner: B\\nDifference: -1.0"), _up_to_verdict("Winner: Picture B\\nDifference: -1.0")
    ('Winner:', None)
    """
    # The last occurrence is the answer's: the reasoning itself may contain the word.
    end = text.rfind(answers.WINNER_PREFIX) + len(answers.WINNER_PREFIX)
    followed = end >= len(answers.WINNER_PREFIX) and text[end:].partition("\n")[0].rstrip() in _CHOICES
    return text[:end] if followed else None


def _supports(judgement: _Judgement, winner: Winner | None) -> bool:
    verdict = judgement.verdict
    return verdict is not None and verdict.winner == winner


def _disagree(winner: Winner | None, probability: float | None) -> bool:
    """Whether winner and probability name different pictures; a tie goes with every probability."""
    if probability is None or winner is None or winner == "tie":
        return False
    return (probability < 0.5) if winner == "A" else (probability > 0.5)


def _notes(first: LoadedImage, second: LoadedImage) -> list[str]:
    """What loading had to say, with the file's name before it."""
    return [f"{image.ref.path.name}: {note}" for image in (first, second) for note in image.notes]


def _loaded(picture: str | Path | Image.Image) -> LoadedImage:
    """A picture from a file, or one in memory, which is named by its pixels."""
    if not isinstance(picture, Image.Image):
        return load_image(picture)
    return picture_in_memory(picture)
