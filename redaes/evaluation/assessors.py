"""Who gives the answers: models, servers, somebody's scores in a file, and baselines that look at nothing but a number.

An assessor answers questions, which show one picture, two, or a series. :data:`ASSESSORS` makes one from its kind and
options; a new kind is one more entry. The identity of an assessor says all that decides its answers, because a run may
only be continued by the same one.
"""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import FiniteFloat

from redaes import answers, lenient, prompts
from redaes.assessing.measured_question import with_evidence
from redaes.assessing.reasons import Measuring, checked, from_file
from redaes.assessor import Assessor as PairAssessor
from redaes.assessor import known_mode, known_prompt
from redaes.backends.base import Backend, Request, read_of
from redaes.backends.chat_replies import Reply
from redaes.backends.chat_requests import N_LOGPROBS, ChatRequest
from redaes.backends.endpoint import Endpoint
from redaes.backends.failures import Failure, refuse_lost
from redaes.backends.next_token import NextToken, expected_score, verdict_log_odds
from redaes.backends.pictures import EncodedPicture
from redaes.errors import BackendError, InputError, MissingDependency, ParseError, RecordError
from redaes.evidence.reasons import Reason, reason_of
from redaes.evidence.records import VERSION as EVIDENCE_VERSION
from redaes.images import LoadedImage, fit_area
from redaes.lenient import known_reader
from redaes.points import sigmoid
from redaes.types import Order, Record, Sampling, Verdict, winner_of

if TYPE_CHECKING:
    from redaes.models.fgaesq.scorer import FineGrainedScorer

Shows = Literal["one", "two", "series"]


@dataclass(frozen=True)
class Shown:
    """A picture of a question.

    Attributes:
        id: as the benchmark names it.
        path: its file.
        image: its pixels; None for assessors that do not look at them.
    """

    id: str
    path: Path
    image: LoadedImage | None

    @property
    def loaded(self) -> LoadedImage:
        """The pixels, where the assessor asked for them."""
        if self.image is None:
            raise AssertionError("an assessor without needs_pixels looked at pixels")
        return self.image


@dataclass(frozen=True)
class Question:
    """What an assessor is asked: how good one picture is, how much better the first of two, or each of a series."""

    id: str
    pictures: tuple[Shown, ...]


class Answer(Record):
    """What became of one question."""

    id: str
    """The question's."""
    value: FiniteFloat | None = None
    """Score of the picture, larger is better; or score of the first less that of the second. None: a failure, or a
    series."""
    values: tuple[FiniteFloat, ...] = ()
    """Of a series: the score of each picture, larger is better; compared within the series alone."""
    failure: str | None = None
    """Reason, fit for counting, when there is no value."""
    detail: str | None = None
    """The failure in words."""
    probability: FiniteFloat | None = None
    """P(first is better); None: one picture, or not offered."""
    order_consistent: bool | None = None
    """Whether both orders name the same picture; None: not asked in both."""
    raw: tuple[str, ...] = ()
    """What a model wrote, forward and swapped; empty where it wrote nothing."""
    tokens: int = 0
    """What a server reports to have read and written for it."""
    reader: str | None = None
    """What read what a model wrote, where that was not the form itself: ``lenient/v1``."""
    changes: tuple[str, ...] = ()
    """What of the request a server could not use: ``without seed``, ``temperature=1``."""
    reason: Reason | None = None
    """How true the reasoning is; None: none was asked for, or nothing was measured."""


@dataclass(frozen=True, slots=True)
class Given:
    """What the numbers of a run need of an answer: a run may have hundreds of thousands, and long texts on disk.

    Attributes:
        value: as in :class:`Answer`, like the rest.
        values: likewise.
        failure: likewise.
        probability: likewise.
        order_consistent: likewise.
        wrote: whether a model wrote anything.
        reader: what read it, where that was not the form itself.
        changes: what of the request a server could not use.
        reason: statements of the reasoning that are supported, contradicted and not measured; None: as there.
    """

    value: float | None
    values: tuple[float, ...]
    failure: str | None
    probability: float | None
    order_consistent: bool | None
    wrote: bool
    reader: str | None = None
    changes: tuple[str, ...] = ()
    reason: tuple[int, int, int] | None = None

    @classmethod
    def of(cls, answer: Answer) -> Given:
        """The little of an answer that is kept in memory."""
        failure = None if answer.failure is None else sys.intern(answer.failure)
        return cls(
            answer.value,
            answer.values,
            failure,
            answer.probability,
            answer.order_consistent,
            bool(answer.raw),
            answer.reader,
            tuple(map(sys.intern, answer.changes)),
            None if answer.reason is None else answer.reason.counts,
        )


class Assessor(Protocol):
    """Answers questions."""

    shows: Shows
    needs_pixels: bool

    @property
    def identity(self) -> Mapping[str, Any]:
        """All that decides the answers, as JSON types."""
        ...

    def answer(self, questions: Sequence[Question]) -> list[Answer]:
        """One answer per question, in their order.

        Raises:
            BackendError: nothing can be answered at all; a question that fails alone is an answer with a failure.
        """
        ...


class LocalScores:
    """A vision-language model on this machine: each picture alone, as the expected value over the score tokens."""

    shows: Shows = "one"
    needs_pixels = True

    def __init__(self, backend: Backend) -> None:
        """
        Args:
            backend: the model.
        """
        self._backend = backend
        self._prompt = prompts.load(prompts.SCORE)

    @property
    def identity(self) -> Mapping[str, Any]:
        """Model, revision and prompt."""
        return {"model": self._backend.model, "revision": self._backend.revision, "prompt_ids": [self._prompt.id]}

    def answer(self, questions: Sequence[Question]) -> list[Answer]:
        """Scores in [0, 9]; ``no_score``: the model was about to write something other than a digit."""
        requests = [
            Request(
                self._prompt, (question.pictures[0].loaded.image,), answers.SCORE_PREFIX, answers.SCORE_CHOICES, None
            )
            for question in questions
        ]
        found = []
        for question, answer in zip(questions, self._backend.answer(requests), strict=True):
            token = read_of(answer)
            if isinstance(token, NextToken) and any(map(math.isnan, token.log_probs.values())):
                raise BackendError(
                    f"{self._backend.model} gives probabilities that are not numbers; copy its weights again"
                )
            score = expected_score(token)
            if isinstance(score, Failure):
                found.append(Answer(id=question.id, failure=score.reason, detail=score.detail))
            else:
                found.append(Answer(id=question.id, value=score))
        return found


def _checked_with(check: bool) -> dict[str, Any]:
    """What reasons are held against, where they are."""
    return {"evidence": EVIDENCE_VERSION} if check else {}


def _asked_with(assessor: PairAssessor) -> dict[str, Any]:
    """What its answers depend on."""
    calibration = assessor.calibration(assessor.mode)
    return {
        "model": assessor.backend.model,
        "revision": assessor.backend.revision,
        "prompt_ids": [assessor.prompt_id],
        "mode": assessor.mode,
        "sampling": assessor.sampling.model_dump(mode="json"),
        **({} if calibration is None else {"temperature": calibration.temperature, "ceiling": calibration.ceiling}),
    }


class LocalPairs:
    """A vision-language model on this machine: two pictures in both orders."""

    shows: Shows = "two"
    needs_pixels = True

    def __init__(self, backend: Backend, mode: str = "fast", prompt: str | None = None, *, check: bool = True) -> None:
        """
        Args:
            backend: the model.
            mode: ``fast`` or ``reasoned``.
            prompt: another question, of :func:`redaes.prompts.known`: in other words, or with measurements; None: the
                usual one.
            check: hold the reasons of the reasoned mode against the pixels.

        Raises:
            InputError: unknown mode or prompt.
        """
        self._assessor = PairAssessor(backend, mode=known_mode(mode), prompt=prompt)
        self._check = check and self._assessor.mode == "reasoned"

    @property
    def identity(self) -> Mapping[str, Any]:
        """Model, revision, prompt, mode and sampling, and what the reasons are held against."""
        return {**_asked_with(self._assessor), **_checked_with(self._check)}

    def answer(self, questions: Sequence[Question]) -> list[Answer]:
        """Differences in points; the failure is the reason of each order."""
        pairs = [(question.pictures[0].loaded, question.pictures[1].loaded) for question in questions]
        found = []
        for question, result in zip(questions, self._assessor.compare_many(pairs, check=self._check), strict=True):
            found.append(
                Answer(
                    id=question.id,
                    value=result.delta,
                    failure=None if result.delta is not None else result.failure,
                    probability=result.probability,
                    order_consistent=result.order_consistent,
                    raw=tuple(comparison.raw for comparison in result.comparisons),
                    reason=None if result.evidence is None else reason_of(result.claims),
                )
            )
        return found


class Tournament:
    """A vision-language model that orders a series by comparing chosen pairs of it in both orders."""

    shows: Shows = "series"
    needs_pixels = True

    def __init__(self, backend: Backend, mode: str = "fast", seed: int = 0) -> None:
        """
        Args:
            backend: the model.
            mode: ``fast`` or ``reasoned``.
            seed: of the schedule (:class:`redaes.ranking.Schedule`).

        Raises:
            InputError: unknown mode.
        """
        self._assessor, self._seed = PairAssessor(backend, mode=known_mode(mode)), seed

    @property
    def identity(self) -> Mapping[str, Any]:
        """Model, revision, prompt, mode, sampling and seed."""
        return {**_asked_with(self._assessor), "seed": self._seed}

    def answer(self, questions: Sequence[Question]) -> list[Answer]:
        """Strengths in logits; ``not_connected``: so many comparisons failed that there is no common order."""
        found = []
        for question in questions:
            pictures = [shown.loaded for shown in question.pictures]
            try:
                scores = self._assessor.rank(pictures, seed=self._seed).scores
            except ParseError as error:
                found.append(Answer(id=question.id, failure=error.reason, detail=str(error)))
                continue
            found.append(Answer(id=question.id, values=tuple(scores[picture.ref.id] + 0.0 for picture in pictures)))
        return found


class FineGrained:
    """FGAesQ: each picture alone, or the pictures of a series beside each other."""

    needs_pixels = True

    def __init__(self, scorer: FineGrainedScorer, *, shows: Literal["one", "series"]) -> None:
        """
        Args:
            scorer: a trained model.
            shows: ``one``: each picture alone; ``series``: with tokens chosen for each pair of a series.
        """
        self.shows: Shows = shows
        self._scorer = scorer

    @property
    def identity(self) -> Mapping[str, Any]:
        """The model's folder and revision."""
        return {"model": self._scorer.name, "revision": self._scorer.revision}

    def answer(self, questions: Sequence[Question]) -> list[Answer]:
        """Scores in [1, 10]."""
        pictures = [[self._shrunk(shown.loaded) for shown in question.pictures] for question in questions]
        if self.shows == "one":
            scores = self._scorer.score([members[0] for members in pictures])
            return [Answer(id=one.id, value=float(score)) for one, score in zip(questions, scores, strict=True)]
        return [
            Answer(id=question.id, values=tuple(map(float, found.scores)))
            for question, found in zip(questions, self._scorer.series(pictures), strict=True)
        ]

    def _shrunk(self, picture: LoadedImage) -> LoadedImage:
        """So far that the model has to leave out none of its blocks."""
        size = fit_area(picture.image.size, self._scorer.settings.max_pixels)
        if size == picture.image.size:
            return picture
        return LoadedImage(picture.image.resize(size, Image.Resampling.LANCZOS), picture.ref, picture.notes)


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
            prompt: as for :class:`LocalPairs`.
            reader: ``strict``: the form itself; ``lenient``: also variants that can mean one thing only
                (:mod:`redaes.lenient`).
            check: as for :class:`LocalPairs`.

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
        return {**asked, "mode": self._mode, **reader, **_checked_with(self._check)}

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


class ScoreFile:
    """Somebody's scores: a CSV file with ``image`` and ``score``; empty or absent means that there was no answer."""

    shows: Shows = "one"
    needs_pixels = False

    def __init__(self, file: Path) -> None:
        """
        Args:
            file: its names are those of the benchmark's pictures.

        Raises:
            RecordError: it cannot be read, lacks a column, repeats a picture, or holds something that is no number.
        """
        self._file = file
        self._scores: dict[str, float | None] = {}
        try:
            data = file.read_bytes()
            rows = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"))))
        except OSError as error:
            raise RecordError(f"{file} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise RecordError(f"{file} is not UTF-8 text: {error}") from error
        self._sha256 = hashlib.sha256(data).hexdigest()
        for number, row in enumerate(rows, start=2):
            name, text = row.get("image"), row.get("score")
            if name is None or text is None:
                raise RecordError(f"{file}, line {number}: expected the columns image and score")
            if name in self._scores:
                raise RecordError(f"{file}, line {number}: {name!r} comes twice")
            self._scores[name] = None if not text.strip() else _finite(text, file, number)

    @property
    def identity(self) -> Mapping[str, Any]:
        """The file's name and content."""
        return {"model": self._file.name, "revision": self._sha256}

    def answer(self, questions: Sequence[Question]) -> list[Answer]:
        """The scores; ``not_in_file`` and ``empty`` are failures."""
        found = []
        for question in questions:
            value = self._scores.get(question.id)
            reason = "empty" if question.id in self._scores else "not_in_file"
            found.append(Answer(id=question.id, value=value, failure=reason if value is None else None))
        return found


def _finite(text: str, file: Path, number: int) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise RecordError(f"{file}, line {number}: {text!r} is not a number") from error
    if not math.isfinite(value):
        raise RecordError(f"{file}, line {number}: {text!r} is not a finite number")
    return value


class PyiqaScores:
    """A metric of the ``pyiqa`` package, which is not for commercial use and therefore no part of any extra."""

    shows: Shows = "one"
    needs_pixels = True

    def __init__(self, metric: str, device: str = "cpu") -> None:
        """
        Args:
            metric: pyiqa's name of a metric that needs no reference, such as ``nima``.
            device: torch's name of the device.

        Raises:
            MissingDependency: pyiqa is absent.
        """
        try:
            import pyiqa
        except ImportError as error:
            raise MissingDependency("pyiqa", None) from error
        self._name, self._revision = metric, str(pyiqa.__version__)
        self._metric: Any = pyiqa.create_metric(metric, device=device)
        self._sign = -1.0 if self._metric.lower_better else 1.0

    @property
    def identity(self) -> Mapping[str, Any]:
        """The metric and the package's version."""
        return {"model": f"pyiqa {self._name}", "revision": self._revision}

    def answer(self, questions: Sequence[Question]) -> list[Answer]:
        """The metric's numbers, turned round where smaller is better; ``not_finite`` is a failure."""
        import torch

        found = []
        for question in questions:
            pixels = np.asarray(question.pictures[0].loaded.image, dtype=np.float32) / 255.0  # (H, W, 3)
            with torch.inference_mode():
                value = self._sign * float(self._metric(torch.from_numpy(pixels).permute(2, 0, 1)[None]))
            found.append(_finite_answer(question.id, value))
        return found


class Baseline:
    """One number of each picture that knows nothing of beauty: what every model has to beat."""

    shows: Shows = "one"

    def __init__(
        self,
        name: str,
        measure: Callable[[Shown], float],
        *,
        needs_pixels: bool,
        better: Literal["larger", "smaller"] = "larger",
        revision: str = "1",
    ) -> None:
        """
        Args:
            name: as reports call it.
            measure: from a picture to its number.
            needs_pixels: whether it looks at them.
            better: which numbers are taken for better.
            revision: what pins the measure.
        """
        self._name, self._measure, self._revision = name, measure, revision
        self._sign = 1.0 if better == "larger" else -1.0
        self.needs_pixels = needs_pixels

    @property
    def identity(self) -> Mapping[str, Any]:
        """Its name."""
        small = "" if self._sign > 0 else ", smaller is better"
        return {"model": f"baseline {self._name}{small}", "revision": self._revision}

    def answer(self, questions: Sequence[Question]) -> list[Answer]:
        """The numbers, turned round where smaller is better; ``not_finite`` is a failure."""
        return [_finite_answer(question.id, self._sign * self._measure(question.pictures[0])) for question in questions]


def _finite_answer(name: str, value: float) -> Answer:
    if not math.isfinite(value):
        return Answer(id=name, failure="not_finite")
    return Answer(id=name, value=value + 0.0)  # never -0.0, which would be another byte in a file


def _pixels(shown: Shown) -> NDArray[np.float64]:
    return np.asarray(shown.loaded.image, dtype=np.float64)


def _luma(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    luma: NDArray[np.float64] = pixels @ np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
    return luma


def _colourfulness(shown: Shown) -> float:
    """Hasler and Süsstrunk (2003): spread and mean of the opponent colours, in 8-bit units."""
    red, green, blue = np.moveaxis(_pixels(shown), -1, 0)
    first, second = red - green, 0.5 * (red + green) - blue
    spread, mean = np.hypot(first.std(), second.std()), np.hypot(first.mean(), second.mean())
    return float(spread + 0.3 * mean)


def _sharpness(shown: Shown) -> float:
    """Variance of the Laplacian (4-neighbour) of the luma; 0 for pictures below 3 x 3 pixels."""
    luma = _luma(_pixels(shown))
    if min(luma.shape) < 3:
        return 0.0
    laplacian = (
        luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4.0 * luma[1:-1, 1:-1]
    )  # fmt: skip
    return float(laplacian.var())


def _random(shown: Shown) -> float:
    """In [0, 1), drawn by the picture's name, so that a run is repeated to the byte."""
    return int.from_bytes(hashlib.sha256(shown.id.encode()).digest()[:6], "big") / 2.0**48


BASELINES: dict[str, tuple[Callable[[Shown], float], bool]] = {
    "constant": (lambda shown: 0.0, False),
    "random": (_random, False),
    "file_size": (lambda shown: float(shown.path.stat().st_size), False),
    "resolution": (lambda shown: float(shown.loaded.image.width * shown.loaded.image.height), True),
    "luma": (lambda shown: float(_luma(_pixels(shown)).mean()), True),
    "contrast": (lambda shown: float(_luma(_pixels(shown)).std()), True),
    "colourfulness": (_colourfulness, True),
    "sharpness": (_sharpness, True),
}
"""Measure, and whether it looks at the pixels. ``resolution`` counts the pixels that an assessor is shown, at most
``max_pixels``."""

Options = Mapping[str, str]


def _fine_grained(options: Options, shows: Literal["one", "series"]) -> Assessor:
    from redaes.models.fgaesq.scorer import FineGrainedScorer

    folder = Path(_needed(options, "model", "runs/fgaesq"))
    return FineGrained(FineGrainedScorer.load(folder, options.get("device", "cpu")), shows=shows)


def _server_or_local(options: Options) -> Backend:
    """A model on a vLLM server where an address is given, else one on this machine."""
    if "url" not in options:
        return _local_backend(options)
    from redaes.backends.server import ServerBackend

    endpoint, *more = _endpoints(options)
    if more:
        raise InputError("a tournament asks one server; give one url, and more workers to ask it more at once")
    return ServerBackend(endpoint)


def _local_backend(options: Options) -> Backend:
    from redaes.backends.local import LocalBackend
    from redaes.models import nano

    adapter = options.get("adapter")
    return LocalBackend(
        options.get("model", nano.NAME),
        adapter=Path(adapter) if adapter else None,
        device=options.get("device"),
    )


def _endpoints(options: Options) -> list[Endpoint]:
    if "url" not in options or "model" not in options:
        raise InputError("a server needs the options url=… (several separated by commas) and model=…")
    cache = options.get("cache")
    return [
        Endpoint(
            url,
            options["model"],
            revision=options.get("revision", ""),
            concurrency=_whole(options, "concurrency", 8),
            max_calls=_whole(options, "max_calls", None),
            max_tokens=_whole(options, "max_tokens", None),
            cache=Path(cache) if cache else None,
        )
        for url in options["url"].split(",")
    ]


def _whole(options: Options, name: str, default: Any) -> Any:
    if name not in options:
        return default
    if not options[name].isdecimal():
        raise InputError(f"option {name} is {options[name]!r}; give a whole number")
    return int(options[name])


def _checks(options: Options) -> bool:
    """Whether reasons are to be held against the pixels, which they are unless told otherwise."""
    given = options.get("check", "yes")
    if given not in ("yes", "no"):
        raise InputError(f"option check is {given!r}; give yes or no")
    return given == "yes"


def _needed(options: Options, name: str, example: str) -> str:
    if name not in options:
        raise InputError(f"option {name} is missing; give {name}={example}")
    return options[name]


_LOCAL = ("model", "adapter", "device")
_SERVER = ("url", "model", "revision", "concurrency", "max_calls", "max_tokens", "cache")

ASSESSORS: dict[str, tuple[Callable[[Options], Assessor], tuple[str, ...]]] = {
    "vlm": (lambda options: LocalScores(_local_backend(options)), _LOCAL),
    "vlm_pairs": (
        lambda options: LocalPairs(
            _local_backend(options), options.get("mode", "fast"), options.get("prompt"), check=_checks(options)
        ),
        (*_LOCAL, "mode", "prompt", "check"),
    ),
    "vlm_tournament": (
        lambda options: Tournament(
            _server_or_local(options), options.get("mode", "fast"), _whole(options, "tournament_seed", 0)
        ),
        (*dict.fromkeys((*_LOCAL, *_SERVER)), "mode", "tournament_seed"),
    ),
    "fgaesq": (lambda options: _fine_grained(options, "one"), ("model", "device")),
    "fgaesq_series": (lambda options: _fine_grained(options, "series"), ("model", "device")),
    "endpoint": (lambda options: EndpointScores(_endpoints(options)), _SERVER),
    "endpoint_pairs": (
        lambda options: EndpointPairs(
            _endpoints(options),
            options.get("mode", "reasoned"),
            _whole(options, "max_new_tokens", 512),
            options.get("prompt"),
            options.get("reader", "strict"),
            check=_checks(options),
        ),
        (*_SERVER, "mode", "max_new_tokens", "prompt", "reader", "check"),
    ),
    "csv": (lambda options: ScoreFile(Path(_needed(options, "file", "scores.csv"))), ("file",)),
    "pyiqa": (
        lambda options: PyiqaScores(_needed(options, "metric", "nima"), options.get("device", "cpu")),
        ("metric", "device"),
    ),
    "baseline": (
        lambda options: make_baseline(_needed(options, "measure", "sharpness"), options.get("better", "larger")),
        ("measure", "better"),
    ),
}
"""Kind of assessor: how it is made, and the options that it knows."""


def make_baseline(name: str, better: str = "larger") -> Baseline:
    """The baseline of that name.

    Args:
        name: one of :data:`BASELINES`, or ``brisque``.
        better: ``larger`` or ``smaller``.

    Raises:
        InputError: there is none, or another direction.
        MissingDependency: ``brisque`` is absent.
    """
    known = (*BASELINES, "brisque")
    if name not in known:
        raise InputError(f"unknown baseline {name!r}; known: {', '.join(known)}")
    direction: Literal["larger", "smaller"] = "larger" if better == "larger" else "smaller"
    if direction != better:
        raise InputError(f"option better is {better!r}; give larger or smaller")
    if name == "brisque":
        return _brisque(direction)
    measure, needs_pixels = BASELINES[name]
    return Baseline(name, measure, needs_pixels=needs_pixels, better=direction)


def _brisque(better: Literal["larger", "smaller"]) -> Baseline:
    """BRISQUE (Mittal, Moorthy and Bovik 2012) by the package of that name (Apache-2.0, with its model inside).

    BRISQUE's own scale has smaller values for better pictures; they are turned round, so that larger is better here.
    """
    try:
        from brisque import BRISQUE
    except ImportError as error:
        raise MissingDependency("'brisque[opencv-python-headless]'", None) from error
    metric = BRISQUE(url=False)

    def measure(shown: Shown) -> float:
        # A flat picture has no statistics: the package divides by zero, and the answer is a failure.
        with np.errstate(divide="ignore", invalid="ignore"):
            return -float(metric.score(np.asarray(shown.loaded.image)))

    return Baseline("brisque", measure, needs_pixels=True, better=better, revision=version("brisque"))


def make_assessor(kind: str, options: Options) -> Assessor:
    """The assessor of a kind.

    Raises:
        InputError: unknown kind or option, or an option that is missing.
        BackendError: the model cannot be loaded.
        MissingDependency: a package is absent.
    """
    if kind not in ASSESSORS:
        raise InputError(f"unknown assessor {kind!r}; known: {', '.join(ASSESSORS)}")
    make, known = ASSESSORS[kind]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise InputError(f"assessor {kind} has no option {', '.join(unknown)}; it has {', '.join(known)}")
    return make(options)


def _tokens(reply: Reply | Failure) -> int:
    return reply.usage.total_tokens if isinstance(reply, Reply) and reply.usage is not None else 0


def _changes(reply: Reply | Failure) -> tuple[str, ...]:
    return reply.changes if isinstance(reply, Reply) else ()
