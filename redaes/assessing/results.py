"""What the assessor answers: about two pictures, about one among references, and what a ranking takes from it."""

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
"""A probability below it is printed as 50 %: it leans nowhere."""


class ShownRecord(Record):
    """An answer that is shown for reading: ``print`` writes it, a notebook draws it."""

    _in_brief: ClassVar[tuple[str, ...]]
    """Fields that a list of answers shows."""
    _thumbnails: Thumbnails = PrivateAttr(default_factory=Thumbnails)

    @abstractmethod
    def shown(self) -> Shown:
        """Return what is shown."""

    def keep(self, thumbnails: Thumbnails) -> None:
        """Keep small copies of pictures that have no file. They are no part of what is compared or stored."""
        self._thumbnails = thumbnails

    def __str__(self) -> str:
        return as_text(self.shown())

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Yield what a list of answers says of each, in one line."""
        for name in self._in_brief:
            value = getattr(self, name)
            if isinstance(value, ImageRef):
                yield name, value.path.name
            elif value is not None:
                yield name, round(value, 3) if isinstance(value, float) else value

    def _repr_html_(self) -> str:
        """Return what a notebook shows: pictures, verdict and reasons, with everything escaped."""
        return as_html(self.shown(), self._thumbnails)


class Result(ShownRecord):
    """The answer about two pictures, from both orders. ``A`` is the first picture, ``B`` the second."""

    _in_brief = ("first", "second", "winner", "undecided", "failure", "probability", "delta", "mode", "model")

    winner: Winner | None
    """None: undecided, or no usable answer; ``undecided`` and ``failure`` say which."""
    undecided: Undecided | None = None
    """Why neither picture is called better although the model answered; it is no tie. ``orders``: the answer changes
    with the order; ``reasons``: the written reasons prefer the other picture. ``probability`` and ``delta`` still say
    which way it leans."""
    probability: Annotated[FiniteFloat, Field(ge=0.0, le=1.0)] | None
    """P(first is better), from the token probabilities of both orders, calibrated where ``calibration`` is given."""
    delta: Delta | None
    """Score of the first minus score of the second, in points; both orders together. Not calibrated."""
    log_odds: FiniteFloat | None = None
    """Natural log-odds that the first is better, the mean over the orders, as the model has them: not calibrated."""
    agreement: SampleAgreement | None = None
    """How far repeated answers agree, where no probability could be read and that was asked for; it is none, and is
    never calibrated."""
    calibration: Temperature | None = None
    """What turned ``log_odds`` into ``probability``; None: nothing did, the probability is the model's own."""
    failure: str | None
    """Why there is no answer: the reason of each order; None when there is one."""
    rationale: str | None
    """The model's reasoning, untouched; its letters are those of ``rationale_order``. None in the fast mode, where
    nothing is decided, and when no reasoning agrees with the winner."""
    rationale_order: Order | None
    """``forward``: A in the reasoning is the first picture; ``swapped``: A in it is the second picture."""
    factors: tuple[Factor, ...]
    """The factors that the reasoning calls decisive."""
    order_consistent: bool | None
    """Whether both orders name the same picture, or both a tie, in what was read and in what was written; None: fewer
    than two orders answered."""
    comparisons: tuple[Comparison, ...]
    """Forward, then swapped; empty when the model was not asked."""
    draws: tuple[Comparison, ...] = ()
    """Further reasonings that were drawn so that the best supported one could be shown."""
    claims: Claims | None = None
    """The statements of ``rationale``, held against the pictures. A is the first picture in them, whatever the order of
    the reasoning. None: there is no reasoning, or nobody asked for it."""
    claims_summary: str | None = None
    """The same in words."""
    evidence: PairEvidence | None = None
    """What was measured of the two pictures, in their order; None: nobody asked for it."""
    measured: tuple[Measured, ...] = ()
    """Of that, the few quantities that the reasoning speaks of or that differ visibly."""
    first: ImageRef
    second: ImageRef
    model: str
    revision: str
    prompt_id: str
    """``name/version@hash``."""
    mode: Mode
    form: Form = "text"
    """In which form the answers were asked for; what held them to it stands in each of ``comparisons``."""
    notes: tuple[str, ...]
    """What the reader of the result should know, as sentences; usually empty."""

    def shown(self) -> Shown:
        """Return the verdict, reasons, what was measured, notes, and who says so."""
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
    """An order of pictures, with what they are."""

    _in_brief = ("indices", "n_calls", "n_failed", "settled")

    pictures: tuple[ImageRef, ...]
    """Best first, as ``order``."""
    indices: tuple[int, ...]
    """Where each of them stood in the list that was handed over, counted from 0; of equal pictures the first."""

    def shown(self) -> Shown:
        """Return the pictures, best first, with their strengths."""
        names = names_of(self.pictures)
        called = [
            f"picture {index}" if ref.path == IN_MEMORY else name
            for index, ref, name in zip(self.indices, self.pictures, names, strict=True)
        ]
        strengths = [f"{self.scores[one]:+.2f} ± {self.errors[one]:.2f}" for one in self.order]
        settled = {True: "the best are settled, with 95 %", False: "the best are not settled", None: None}[self.settled]
        asked = f"{counted(self.n_calls, 'question')} about {counted(self.n_comparisons, 'pair')}"
        unusable = f"; {self.n_failed} without a usable answer" if self.n_failed else ""
        circles = f"{self.n_cycles} circular triples (A before B before C before A)" if self.n_cycles else None
        return Shown(
            title=f"{len(self.order)} pictures, best first",
            facts=tuple(
                (f"{place}.", f"{strength}  {name}")
                for place, (strength, name) in enumerate(zip(strengths, called, strict=True), 1)
            ),
            captions_say_it=True,
            notes=tuple(note for note in (settled, circles) if note is not None),
            about=(f"strengths in logits, mean 0; {asked}{unusable}",),
            pictures=tuple(
                ShownPicture(ref, f"{place}. {name}", strength, marked=place == 1)
                for place, (ref, name, strength) in enumerate(zip(self.pictures, called, strengths, strict=True), 1)
            ),
        )


class ReferenceChoice(Record):
    """How the pictures of a reference set were chosen among candidates, and what is known of these."""

    n_candidates: int
    candidates: str
    """Digest of their ids."""
    comparisons: int
    """References that a picture is to be compared with, as the choice was made for."""
    expected_error: FiniteFloat
    """Standard error of a picture's strength after so many comparisons, as the model expects it, in logits."""
    mean: FiniteFloat
    """Of the candidates' strengths, in logits; 0 is the mean of the set."""
    deviation: Annotated[FiniteFloat, Field(gt=0.0)]
    """Standard deviation of their strengths, without that of their errors."""
    dispersions: dict[str, Annotated[FiniteFloat, Field(gt=0.0)]]
    """By id, of the chosen: how far answers about each spread, over what coin tosses would."""


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
    """Answers in each order whose agreement the strengths were made of; 0: they were made of probabilities."""
    choice: ReferenceChoice | None = None
    """None: all pictures that were handed over are in the set. Else ``ranking`` counts what all candidates took."""

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
    """Where one picture stands among a reference set."""

    _in_brief = ("image", "score", "error", "better_than", "n_references", "references", "n_failed", "model")

    image: ImageRef
    score: Annotated[FiniteFloat, Field(ge=0.0, le=9.0)]
    """In points of 0 to 9; 4.5: as good as the mean of the set; cut off at the ends [ours]."""
    error: FiniteFloat
    """Standard error of the score, in points; that of the references' own strengths is in it only of a picture that was
    placed with few comparisons (:meth:`redaes.assessor.Assessor.score_many`)."""
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

    def shown(self) -> Shown:
        """Return the score, what it is relative to, and who says so."""
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
    """A picture of which none of the comparisons with references gave a usable answer."""

    image: ImageRef
    reason: str
    """Fit for counting: ``no_usable_answer``."""
    n_calls: int
    n_failed: int

    def __str__(self) -> str:
        return f"{self.image.path}: none of {self.n_calls} answers could be used"


def _verdict(result: Result, first: str, second: str) -> tuple[str, list[tuple[str, str]]]:
    """Return the title and facts."""
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
        better, worse = (first, second) if winner == "A" else (second, first)
        title = f"{better} is better"
        size = abs(delta or 0.0)
        facts.append(("difference", f"{size:.1f} points of 9 better than {worse}"))
        if probability is not None:
            share = probability if winner == "A" else 1.0 - probability
            facts.append(("probability", f"{share:.0%}{_calibrated(result)}"))
    if result.agreement is not None:
        facts.append(("agreement", agreement(result.agreement, first, second)))
    if result.factors:
        facts.append(("decided by", ", ".join(result.factors)))
    agreed = consistency(result.order_consistent, result.undecided)
    if agreed is not None and result.undecided != "orders":  # then the title says it
        facts.append(("consistency", agreed))
    return title, facts


def _calibrated(result: Result) -> str:
    """Return what is to be said beside a probability."""
    if result.log_odds is None:
        return ""
    if result.calibration is None:
        return " (not calibrated)"
    return f" (calibrated on {result.calibration.n_pairs} pairs)"


def _reasons(result: Result, first: str, second: str) -> tuple[tuple[tuple[str, Status | None], ...], tuple[str, ...]]:
    """Return the reasoning in pieces; and whose letters are whose, and what could be confirmed."""
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
    """Who answered, and what is to be known of them."""
    # Few servers say a revision; then it is the server's address.
    model = answer.model
    if answer.revision:
        model += f" {answer.revision}" if answer.revision.startswith("at ") else f" @ {answer.revision}"
    limits = nano.limits(answer.model, answer.revision)
    form = _form(answer) if isinstance(answer, Result) else ""
    return f"{model}, {answer.prompt_id}, {answer.mode}{form}", *([limits] if limits else [])


def _form(result: Result) -> str:
    """Return the form of the answers and what held them to it, where that is not the text form, held by nothing."""
    held = sorted({one.held_by for one in result.comparisons if one.held_by is not None})
    if result.form == "text" and not held:
        return ""
    name = {"text": "text", "json": "JSON"}[result.form]
    return f", {name} form {f'held by {held[0]}' if held else 'by the prompt alone'}"


def own_probability(result: Result) -> float | None:
    """Return P(first is better) as the model has it, before calibration. Points, and so ranks and scores, are made of
    it: calibration says how far a single answer can be believed, and would shrink the scale.
    """
    return result.probability if result.log_odds is None else sigmoid(result.log_odds)


def preference(result: Result) -> float | None:
    """Return what rankings and scores are made of: P(first is better) as the model has it, or the agreement of repeated
    answers in its place; None: neither is there.

    Of an agreement, half an answer is added to either side: a few answers that all agree are no certainty.
    """
    probability = own_probability(result)
    told = result.agreement
    if probability is not None or told is None or told.share is None:
        return probability
    return (told.share * told.n_usable + 0.5) / (told.n_usable + 1)


def questions_of(result: Result) -> tuple[int, int]:
    """Return questions that were asked about a pair, those for an agreement included, and the ones without a usable
    answer.
    """
    n_failed = sum(comparison.failure is not None for comparison in result.comparisons)
    told = result.agreement
    if told is None:
        return len(result.comparisons), n_failed
    return len(result.comparisons) + told.n_asked, n_failed + len(told.failures)


def answer_of(result: Result) -> PairAnswer:
    """Return what a ranking takes from a result about two different pictures. An answer without a probability or an
    agreement is nothing that it can use, so the questions count as failed."""
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
