"""The assessor's answers: about two pictures, about one picture among references, and about the order of several."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterator
from typing import Annotated, Any, ClassVar

from pydantic import Field, FiniteFloat, PrivateAttr, model_validator

from redaes.assessing.agreement import SampleAgreement
from redaes.assessing.measured import Measured, marked
from redaes.assessing.notebook import as_html
from redaes.assessing.orders import Undecided, lean_of
from redaes.assessing.shown import Shown, ShownPicture, as_text, names_of
from redaes.assessing.thumbnails import Thumbnails
from redaes.assessing.words import NO_DIFFERENCE, SAME_PICTURE, UNDECIDED, agreement, consistency, counted
from redaes.backends.temperatures import Temperature
from redaes.evidence.claims import Claims, Status
from redaes.evidence.measurements import PairEvidence
from redaes.images import IN_MEMORY
from redaes.models import nano
from redaes.points import sigmoid
from redaes.prompts import Mode
from redaes.types import (
    TIE_MARGIN,
    Comparison,
    Delta,
    Factor,
    Form,
    ImageRef,
    Order,
    PairAnswer,
    Ranking,
    Record,
    Winner,
)

EVEN = 0.505
"""A probability below this is printed as 50 %: it favours neither picture."""


class ShownRecord(Record):
    """An answer that can be shown: ``print`` writes it as text, and a notebook displays it."""

    _in_brief: ClassVar[tuple[str, ...]]
    """Fields that a list of answers shows."""
    _thumbnails: Thumbnails = PrivateAttr(default_factory=Thumbnails)

    @abstractmethod
    def shown(self) -> Shown:
        """Return what is shown of the answer."""

    def keep(self, thumbnails: Thumbnails) -> None:
        """Keep small copies of pictures without a file. They are not part of what is compared or stored."""
        self._thumbnails = thumbnails

    def __str__(self) -> str:
        return as_text(self.shown())

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Yield the fields that a list of answers shows of each."""
        for name in self._in_brief:
            value = getattr(self, name)
            if isinstance(value, ImageRef):
                yield name, value.path.name
            elif value is not None:
                yield name, round(value, 3) if isinstance(value, float) else value

    def _repr_html_(self) -> str:
        """Return HTML for a notebook: pictures, verdict and reasons, with everything escaped."""
        return as_html(self.shown(), self._thumbnails)


class Result(ShownRecord):
    """The answer about two pictures, from both orders. ``A`` is the first picture, ``B`` the second."""

    _in_brief = ("first", "second", "winner", "undecided", "failure", "probability", "delta", "mode", "model")

    winner: Winner | None
    """The better picture, or a tie; None: undecided, or no usable answer, as ``undecided`` and ``failure`` say."""
    undecided: Undecided | None = None
    """Why neither picture is called better although the model answered; this is not a tie. ``orders``: the answer
    changes with the order; ``reasons``: the written reasons prefer the other picture. ``probability`` and ``delta``
    still show the tendency.
    """
    probability: Annotated[FiniteFloat, Field(ge=0.0, le=1.0)] | None
    """P(first is better), from the token probabilities of both orders, calibrated where ``calibration`` is given."""
    delta: Delta | None
    """Score of the first minus score of the second, in points; both orders together. Not calibrated."""
    log_odds: FiniteFloat | None = None
    """Natural log-odds that the first is better, the mean over the orders, not calibrated."""
    agreement: SampleAgreement | None = None
    """How far repeated answers agree, if no probability could be read and the agreement was requested. It is not a
    probability, and is never calibrated.
    """
    calibration: Temperature | None = None
    """The calibration that turned ``log_odds`` into ``probability``; None: the probability is the model's own."""
    failure: str | None
    """The reason of each order why there is no answer; None: there is one."""
    rationale: str | None
    """The model's reasoning, unchanged; its letters are those of ``rationale_order``. None: in the fast mode, if the
    pair is undecided, or if no reasoning agrees with the winner.
    """
    rationale_order: Order | None
    """``forward``: A in the reasoning is the first picture; ``swapped``: A in it is the second picture."""
    factors: tuple[Factor, ...]
    """The factors that the reasoning calls decisive."""
    order_consistent: bool | None
    """Whether both orders name the same picture, or both a tie, both in the log-odds and in writing; None: fewer than
    two orders were answered.
    """
    comparisons: tuple[Comparison, ...]
    """The comparisons, forward and then swapped; empty: the model was not asked."""
    draws: tuple[Comparison, ...] = ()
    """Further reasonings that were sampled so that the best supported one could be shown."""
    claims: Claims | None = None
    """The statements of ``rationale``, checked against the pictures. A is the first picture in them, whatever the order
    of the reasoning. None: there is no reasoning, or no check was requested.
    """
    claims_summary: str | None = None
    """The outcome of the check in words."""
    evidence: PairEvidence | None = None
    """Measurements of the two pictures, in their order; None: they were not requested."""
    measured: tuple[Measured, ...] = ()
    """The few measured quantities that the reasoning mentions or that differ visibly."""
    first: ImageRef
    second: ImageRef
    model: str
    revision: str
    prompt_id: str
    """``name/version@hash``."""
    mode: Mode
    form: Form = "text"
    """The form in which the answers were asked for; each of ``comparisons`` says what constrained them to it."""
    notes: tuple[str, ...]
    """Notes for the reader of the result, as sentences; usually empty."""

    def shown(self) -> Shown:
        """Return the verdict, reasons, measurements, notes, and the model's name."""
        first, second = names_of((self.first, self.second))
        title, facts = _verdict(self, first, second)
        reasons, about_reasons = _reasons(self, first, second)
        return Shown(
            title=title,
            facts=tuple(facts),
            reasons=reasons,
            about_reasons=about_reasons,
            measured=self.measured,
            names=(first, second),
            notes=self.notes,
            about=_who(self),
            pictures=(
                ShownPicture(self.first, f"A: {first}", marked=self.winner == "A"),
                ShownPicture(self.second, f"B: {second}", marked=self.winner == "B"),
            ),
        )


class RankedPictures(ShownRecord, Ranking):
    """A ranking with its pictures."""

    _in_brief = ("indices", "n_calls", "n_failed", "settled")

    pictures: tuple[ImageRef, ...]
    """The pictures, best first, as in ``order``."""
    indices: tuple[int, ...]
    """The position of each picture in the given list, from 0; of equal pictures the first."""

    def shown(self) -> Shown:
        """Return the pictures, best first, with their strengths."""
        names = names_of(self.pictures)
        called = [
            f"picture {index}" if ref.path == IN_MEMORY else name
            for index, ref, name in zip(self.indices, self.pictures, names, strict=True)
        ]
        strengths = [f"{self.scores[one]:+.2f} ± {self.errors[one]:.2f}" for one in self.order]
        settled = {
            True: "the best pictures are settled with 95 % confidence",
            False: "the best pictures are not settled",
            None: None,
        }[self.settled]
        asked = f"{counted(self.n_calls, 'question')} about {counted(self.n_comparisons, 'pair')}"
        unusable = f"; {self.n_failed} without a usable answer" if self.n_failed else ""
        circles = (
            f"{self.n_cycles} circular triples (A is better than B, B than C, and C than A)" if self.n_cycles else None
        )
        return Shown(
            title=f"{len(self.order)} pictures, best first",
            facts=tuple(
                (f"{place}.", f"{strength}  {name}")
                for place, (strength, name) in enumerate(zip(strengths, called, strict=True), 1)
            ),
            captions_say_it=True,
            notes=tuple(note for note in (settled, circles) if note is not None),
            about=(f"strengths in logits with mean 0; {asked}{unusable}",),
            pictures=tuple(
                ShownPicture(ref, f"{place}. {name}", strength, marked=place == 1)
                for place, (ref, name, strength) in enumerate(zip(self.pictures, called, strengths, strict=True), 1)
            ),
        )


class ReferenceChoice(Record):
    """How the pictures of a reference set were chosen among candidates, and the distribution of the candidates."""

    n_candidates: int
    candidates: str
    """Digest of the candidates' ids."""
    comparisons: int
    """Number of references that a picture will be compared with, for which the choice was made."""
    expected_error: FiniteFloat
    """Expected standard error of a picture's strength after so many comparisons, in logits."""
    mean: FiniteFloat
    """Mean of the candidates' strengths, in logits; 0 is the mean of the set."""
    deviation: Annotated[FiniteFloat, Field(gt=0.0)]
    """Standard deviation of the candidates' strengths, without that of their errors, in logits."""
    dispersions: dict[str, Annotated[FiniteFloat, Field(gt=0.0)]]
    """For each chosen picture, by id, the dispersion of answers about it relative to coin tosses."""


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
    agreement: int = 0
    """Number of answers in each order from whose agreement the strengths were computed; 0: they were computed from
    probabilities.
    """
    choice: ReferenceChoice | None = None
    """How the pictures were chosen; then ``ranking`` counts the questions about all candidates. None: all given
    pictures are in the set.
    """

    @model_validator(mode="after")
    def _check_pictures(self) -> ReferenceSet:
        """Check that everything is told of every picture, and of no other."""
        ids = sorted(picture.id for picture in self.pictures)
        told: list[Collection[str]] = [self.ranking.order, self.ranking.scores, self.ranking.errors]
        if self.choice is not None:
            told.append(self.choice.dispersions)
        if len(set(ids)) < 2 or any(sorted(one) != ids for one in told):
            raise ValueError("the pictures, their order, strengths, errors and dispersions are not of the same ids")
        if any(error < 0.0 for error in self.ranking.errors.values()):
            raise ValueError("a standard error is below 0")
        return self


class Score(ShownRecord):
    """The score of one picture against a reference set."""

    _in_brief = ("image", "score", "error", "better_than", "n_references", "references", "n_failed", "model")

    image: ImageRef
    score: Annotated[FiniteFloat, Field(ge=0.0, le=9.0)]
    """The score, in points from 0 to 9; 4.5: as good as the mean of the set; clipped at the ends [ours]."""
    error: FiniteFloat
    """Standard error of the score, in points. It includes that of the references' own strengths only for scores of
    :meth:`redaes.assessor.Assessor.score_many`.
    """
    strength: FiniteFloat
    """Bradley-Terry strength, in logits; 0 is the mean of the set."""
    better_than: int
    """Number of references with a lower strength."""
    references: str
    """Name of the set; scores against different sets are not comparable."""
    n_references: int
    n_calls: int
    n_failed: int
    """Number of questions without a usable answer."""
    model: str
    revision: str
    prompt_id: str
    mode: Mode

    def shown(self) -> Shown:
        """Return the score, the name of its reference set, and the model's name."""
        (name,) = names_of((self.image,))
        unusable = f", {self.n_failed} without a usable answer" if self.n_failed else ""
        return Shown(
            title=f"{name}: {self.score:.1f} ± {self.error:.1f} points of 9",
            facts=(
                ("better than", f"{self.better_than} of {self.n_references} of {self.references}"),
                ("questions", f"{self.n_calls}{unusable}"),
            ),
            about=("4.5 points: as good as the mean of these references; see docs/ranking.md", *_who(self)),
            pictures=(ShownPicture(self.image, name),),
            scale=(self.score, self.error),
        )


class Unplaced(Record):
    """A picture for which no comparison with references gave a usable answer."""

    image: ImageRef
    reason: str
    """Identifier of the reason, fit for counting: ``no_usable_answer``."""
    n_calls: int
    n_failed: int

    def __str__(self) -> str:
        return f"{self.image.path}: none of the {self.n_calls} answers could be used"


def _verdict(result: Result, first: str, second: str) -> tuple[str, list[tuple[str, str]]]:
    """Return the title and the facts of a verdict."""
    winner, delta, probability = result.winner, result.delta, result.probability
    facts = []
    if result.failure is not None:
        title = "no usable answer"
        facts.append(("reason", result.failure))
        facts += [(f"wrote {one.order}", one.raw) for one in result.comparisons if one.raw]
    elif result.undecided is not None:
        title = UNDECIDED[result.undecided]
        if probability is not None:
            leaning, share = (first, probability) if probability >= 0.5 else (second, 1.0 - probability)
            towards = f"to {leaning}, {share:.0%}" if share >= EVEN else "to neither"
            facts.append(("leaning", f"{towards}; an answer that contradicts itself calls no picture better"))
    elif not result.comparisons and result.agreement is None:
        title = SAME_PICTURE
    elif winner == "tie":
        title = NO_DIFFERENCE
        facts.append(("difference", f"below {TIE_MARGIN} points: a tie"))
        if probability is not None:
            facts.append(("probability", f"{probability:.0%} that {first} is better{_calibrated(result)}"))
    else:
        better = first if winner == "A" else second
        title = f"{better} is better"
        size = abs(delta or 0.0)
        facts.append(("difference", f"{size:.1f} points of 9 in favour of {better}"))
        if probability is not None:
            share = probability if winner == "A" else 1.0 - probability
            facts.append(("probability", f"{share:.0%}{_calibrated(result)}"))
    if result.agreement is not None:
        facts.append(("agreement", agreement(result.agreement, first, second)))
    if result.factors:
        facts.append(("decided by", ", ".join(result.factors)))
    agreed = consistency(result.order_consistent, result.undecided)
    if agreed is not None and result.undecided != "orders":  # in that case the title says it
        facts.append(("consistency", agreed))
    return title, facts


def _calibrated(result: Result) -> str:
    """Return the remark beside a probability."""
    if result.log_odds is None:
        return ""
    if result.calibration is None:
        return " (not calibrated)"
    return f" (calibrated on {result.calibration.n_pairs} pairs)"


def _reasons(result: Result, first: str, second: str) -> tuple[tuple[tuple[str, Status | None], ...], tuple[str, ...]]:
    """Return the reasoning in pieces; and remarks on its letters and on what was confirmed."""
    if result.rationale is None:
        return (), ()
    a, b = (first, second) if result.rationale_order == "forward" else (second, first)
    about = [f"(A is {a}, B is {b})"]
    if result.claims_summary is not None:
        about.append(f"held against the pictures: {result.claims_summary}")
    if result.draws:
        about.append(f"(the best supported of {len(result.comparisons) + len(result.draws)} reasonings)")
    return tuple(marked(result.rationale, result.claims)), tuple(about)


def _who(answer: Result | Score) -> tuple[str, ...]:
    """Return the lines on which model answered, and how."""
    # Few servers state a revision; otherwise it is the server's address.
    model = answer.model
    if answer.revision:
        model += f" {answer.revision}" if answer.revision.startswith("at ") else f" @ {answer.revision}"
    limits = nano.limits(answer.model, answer.revision)
    form = _form(answer) if isinstance(answer, Result) else ""
    return f"{model}, {answer.prompt_id}, {answer.mode}{form}", *([limits] if limits else [])


def _form(result: Result) -> str:
    """Return the form of the answers and what constrained them to it; empty: the unconstrained text form."""
    held = sorted({one.held_by for one in result.comparisons if one.held_by is not None})
    if result.form == "text" and not held:
        return ""
    name = {"text": "text", "json": "JSON"}[result.form]
    return f", {name} form {f'held by {held[0]}' if held else 'by the prompt alone'}"


def own_probability(result: Result) -> float | None:
    """Return P(first is better) before calibration. Points, ranks and scores are computed from it, because calibration
    is about the reliability of single answers and would shrink the scale.
    """
    return result.probability if result.log_odds is None else sigmoid(result.log_odds)


def preference(result: Result) -> float | None:
    """Return the probability from which rankings and scores are computed: P(first is better) before calibration, or
    else the agreement of repeated answers; None: there is neither.

    Half an answer is added to either side of an agreement, because a few answers that all agree are not certain.
    """
    probability = own_probability(result)
    told = result.agreement
    if probability is not None or told is None or told.share is None:
        return probability
    return (told.share * told.n_usable + 0.5) / (told.n_usable + 1)


def questions_of(result: Result) -> tuple[int, int]:
    """Return the number of questions about a pair, including those for an agreement, and the number without a usable
    answer.
    """
    n_failed = sum(comparison.failure is not None for comparison in result.comparisons)
    told = result.agreement
    if told is None:
        return len(result.comparisons), n_failed
    return len(result.comparisons) + told.n_asked, n_failed + len(told.failures)


def answer_of(result: Result) -> PairAnswer:
    """Return the answer about two different pictures that a ranking uses. Without a probability or an agreement, a
    ranking cannot use it, so its questions count as failed.
    """
    n_calls, n_failed = questions_of(result)
    probability = preference(result)
    return PairAnswer(
        first=result.first.id,
        second=result.second.id,
        probability=probability,
        n_calls=n_calls,
        n_failed=n_calls if probability is None else n_failed,
        lean=None if result.agreement is not None else lean_of(result.comparisons),
    )
