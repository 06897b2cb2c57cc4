"""Who puts a series in order: the language model by comparisons, FGAesQ by its scores, or both.

Each keeps what it found out in a file per series, weights and settings, so that an interrupted run goes on.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydantic import ValidationError

from redaes.assessor import Assessor, Orders, Result, answer_of, delta_of, points_of, unchanged
from redaes.errors import ImageError, InputError, RecordError
from redaes.images import LoadedImage, content_id
from redaes.records import read_json, write_json
from redaes.types import ImageRef, PairAnswer

if TYPE_CHECKING:
    from redaes.models.fgaesq.scorer import FGAesQScorer
    from redaes.ranking.cascade import CascadeOrder

AT_ONCE = 32
"""Comparisons of the cascade after which the answers are written down."""

OnPrepared = Callable[[Literal["scoring", "comparing"], int, int], None]
"""Called with what is being done, how much of it is done, and how much there is at most: series to be scored, or
comparisons to be asked for."""


@dataclass(frozen=True)
class Ranked:
    """The order of one series of different pictures."""

    order: tuple[str, ...]
    """Picture ids, best first."""
    scores: dict[str, float]
    """Per picture id, with mean zero."""
    unit: Literal["logits", "points"]
    """Of the scores and errors."""
    errors: dict[str, float] | None
    """Standard errors of the scores; None: the ranker knows none."""
    n_comparisons: int
    n_calls: int
    """Questions asked of a language model."""
    n_failed: int
    """Of those, the ones without a usable answer."""
    n_cycles: int
    explanation: Result | None
    """The reasoned comparison of the best picture (as first) with the next one."""

    def lead(self, better: str, worse: str) -> float:
        """By how much one picture is better than another, in points."""
        gap = self.scores[better] - self.scores[worse]
        return delta_of(gap) if self.unit == "logits" else gap


class Ranker(Protocol):
    """What ranks one series after another."""

    def prepare(
        self, series: Sequence[Mapping[str, ImageRef]], kept: Path, on_prepared: OnPrepared | None = None
    ) -> None:
        """Find out beforehand what takes a look at all series; what goes wrong with one is left to :meth:`rank`.

        Args:
            series: all that will be ranked, each as :meth:`rank` has it.
            kept: the folder for what is found out on the way.
            on_prepared: told about the work that this is.

        Raises:
            RecordError: ``kept`` cannot be used.
            BackendError: the model cannot be asked.
        """

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Model, revision, prompt and mode, as every line of the results repeats them."""

    def rank(self, pictures: Mapping[str, ImageRef], kept: Path) -> Ranked:
        """Order different pictures.

        Args:
            pictures: by id, in the order in which they were taken.
            kept: the folder for what is found out on the way.

        Raises:
            InputError: a picture cannot be loaded, its file was changed, or this ranker takes no such series.
            ParseError: there is no order, because of the model's answers.
            RecordError: ``kept`` cannot be used.
            BackendError: the model cannot be asked.
        """


class AssessorRanker:
    """An assessor, which is asked about pairs, and for reasons at the end."""

    def __init__(self, assessor: Assessor, orders: Orders = "both") -> None:
        """
        Args:
            assessor: its mode is used for ranking; the explanation is always reasoned.
            orders: as for :meth:`~redaes.assessor.Assessor.rank`.
        """
        self._assessor = assessor
        self._orders: Orders = orders

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Of the assessor."""
        return _provenance(self._assessor)

    def prepare(
        self, series: Sequence[Mapping[str, ImageRef]], kept: Path, on_prepared: OnPrepared | None = None
    ) -> None:
        """Nothing: each series is asked about by itself."""

    def rank(self, pictures: Mapping[str, ImageRef], kept: Path) -> Ranked:
        """As :class:`Ranker` has it."""
        answers = _Answers(_file(kept, [*_settings(self._assessor, self._orders), *sorted(pictures)]))
        ranking = self._assessor.rank(
            list(pictures.values()), orders=self._orders, known=answers.answers, on_answers=answers.keep
        )
        explanation = None
        if len(pictures) > 1:
            explanation = answers.explained(self._assessor, *(pictures[picture] for picture in ranking.order[:2]))
        return Ranked(
            order=ranking.order,
            scores=ranking.scores,
            unit="logits",
            errors=ranking.errors,
            n_comparisons=ranking.n_comparisons,
            n_calls=ranking.n_calls,
            n_failed=ranking.n_failed,
            n_cycles=ranking.n_cycles,
            explanation=explanation,
        )


class FGAesQRanker:
    """FGAesQ, which looks at all pairs of a series, and gives no reasons."""

    def __init__(self, scorer: FGAesQScorer) -> None:
        self._scorer = scorer

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Of the weights."""
        return {"model": "fgaesq", "revision": self._scorer.revision, "prompt_id": None, "mode": None}

    def prepare(
        self, series: Sequence[Mapping[str, ImageRef]], kept: Path, on_prepared: OnPrepared | None = None
    ) -> None:
        """Nothing: each series is looked at by itself."""

    def rank(self, pictures: Mapping[str, ImageRef], kept: Path) -> Ranked:
        """As :class:`Ranker` has it."""
        if len(pictures) == 1:
            return Ranked(tuple(pictures), dict.fromkeys(pictures, 0.0), "logits", None, 0, 0, 0, 0, None)
        file = _file(kept, ["fgaesq", self._scorer.revision, *sorted(pictures)])
        if not file.exists():
            # By id, so that the order does not depend on when and where the pictures were taken.
            found = self._scorer.rank([self._load(ref) for _, ref in sorted(pictures.items())])
            write_json(file, asdict(found))
        order = read_json(file)
        try:
            return Ranked(
                order=tuple(order["order"]),
                scores={str(picture): float(order["scores"][picture]) for picture in order["order"]},
                unit="logits",
                errors=None,
                n_comparisons=int(order["n_comparisons"]),
                n_calls=0,
                n_failed=0,
                n_cycles=int(order["n_cycles"]),
                explanation=None,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise RecordError(f"{file}: does not hold a series' order ({error}); delete it") from error

    def _load(self, ref: ImageRef) -> LoadedImage:
        loaded = self._scorer.load_picture(ref.path)
        if loaded.ref.id != ref.id:
            raise ImageError(f"{ref.path}: was changed while it was being ranked; start again")
        return loaded


class CascadeRanker:
    """FGAesQ ranks all series, an assessor is asked where its answer can change a first place, and for reasons there.

    See :func:`redaes.ranking.cascade.cascade`.
    """

    def __init__(self, scorer: FGAesQScorer, judge: Assessor, *, share: float, orders: Orders = "both") -> None:
        """
        Args:
            scorer: the ranker.
            judge: its mode is used for comparisons; explanations are always reasoned.
            share: most comparisons to ask for, as a share of all pairs within the series.
            orders: as for :meth:`~redaes.assessor.Assessor.compare_many`.
        """
        self._ranker = FGAesQRanker(scorer)
        self._assessor = judge
        self._share = share
        self._orders: Orders = orders
        self._found: dict[tuple[str, ...], CascadeOrder] = {}
        self._broken: dict[tuple[str, ...], InputError] = {}

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Of the judge, and of the ranker."""
        ranker = self._ranker.provenance
        return {
            **_provenance(self._assessor),
            "ranker": {name: ranker[name] for name in ("model", "revision")},
            "share": self._share,
        }

    def prepare(
        self, series: Sequence[Mapping[str, ImageRef]], kept: Path, on_prepared: OnPrepared | None = None
    ) -> None:
        """Score all series, and ask the judge about those that are worth it."""
        from redaes.ranking.cascade import cascade, n_questions

        listed: list[list[ImageRef]] = []
        scores: list[list[float]] = []
        several = [pictures for pictures in series if len(pictures) > 1]
        for number, pictures in enumerate(several, 1):
            try:
                ranked = self._ranker.rank(pictures, kept)
            except RecordError:
                raise
            except InputError as error:
                self._broken[_key(pictures)] = error
            else:
                listed.append([ref for _, ref in sorted(pictures.items())])
                scores.append([ranked.scores[ref.id] for ref in listed[-1]])
            if on_prepared is not None:
                on_prepared("scoring", number, len(several))
        asked = [[(number, ref) for ref in refs] for number, refs in enumerate(listed)]
        answers = [self._answers(refs, kept) for refs in listed]
        broken: dict[int, InputError] = {}
        budget = n_questions(asked, self._share)
        done = 0

        def judge(pairs: Sequence[tuple[tuple[int, ImageRef], tuple[int, ImageRef]]]) -> list[float | None]:
            nonlocal done
            said: list[float | None] = []
            for start in range(0, len(pairs), AT_ONCE):
                batch = [(number, (first, second)) for (number, first), (_, second) in pairs[start : start + AT_ONCE]]
                self._ask(batch, answers, broken)
                said += [_points(answers[number].about(*pair), pair[0]) for number, pair in batch]
                done += len(batch)
                if on_prepared is not None:
                    on_prepared("comparing", done, budget)
            return said

        result = cascade(asked, scores, judge, share=self._share)
        keys = [_key(ref.id for ref in refs) for refs in listed]
        self._found = dict(zip(keys, result.series, strict=True))
        self._broken.update({keys[number]: error for number, error in broken.items()})

    def rank(self, pictures: Mapping[str, ImageRef], kept: Path) -> Ranked:
        """As :class:`Ranker` has it, for a series that was prepared."""
        if len(pictures) == 1:
            return replace(self._ranker.rank(pictures, kept), unit="points")
        key = _key(pictures)
        if key in self._broken:
            raise self._broken[key]
        found, ids = self._found[key], sorted(pictures)
        answers = self._answers([pictures[picture] for picture in ids], kept)
        asked = [answer for i, j, _ in found.judged if (answer := answers.about(pictures[ids[i]], pictures[ids[j]]))]
        order = tuple(ids[place] for place in found.order)
        middle = sum(found.quality) / len(ids)
        return Ranked(
            order=order,
            scores={picture: found.quality[place] - middle for place, picture in enumerate(ids)},
            unit="points",
            errors=dict(zip(ids, found.errors, strict=True)),
            n_comparisons=len(asked),
            n_calls=sum(answer.n_calls for answer in asked),
            n_failed=sum(answer.n_failed for answer in asked),
            n_cycles=self._ranker.rank(pictures, kept).n_cycles,
            explanation=answers.explained(self._assessor, *(pictures[one] for one in order[:2])) if asked else None,
        )

    def _ask(
        self,
        batch: Sequence[tuple[int, tuple[ImageRef, ImageRef]]],
        answers: Sequence[_Answers],
        broken: dict[int, InputError],
    ) -> None:
        """Ask about the pairs of a batch that have no answer yet, and keep the answers of each series."""
        loaded: dict[str, LoadedImage] = {}
        pairs: list[tuple[int, tuple[ImageRef, ImageRef]]] = []
        for number, pair in batch:
            if answers[number].about(*pair) is not None:
                continue
            try:
                loaded.update({ref.id: loaded.get(ref.id) or unchanged(ref) for ref in pair})
            except ImageError as error:
                broken[number] = error
            else:
                pairs.append((number, pair))
        shown = [(loaded[first.id], loaded[second.id]) for _, (first, second) in pairs]
        new: defaultdict[int, list[PairAnswer]] = defaultdict(list)
        for (number, _), result in zip(pairs, self._assessor.compare_many(shown, orders=self._orders), strict=True):
            new[number].append(answer_of(result))
        for number, its in new.items():
            answers[number].keep([*answers[number].answers, *its])

    def _answers(self, refs: Sequence[ImageRef], kept: Path) -> _Answers:
        ids = sorted(ref.id for ref in refs)
        # Not the file of the judge alone: a folder that was ranked without the cascade has other comparisons in it.
        return _Answers(_file(kept, ["cascade", *_settings(self._assessor, self._orders), *ids]))


def _key(ids: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(ids))


def _points(answer: PairAnswer | None, first: ImageRef) -> float | None:
    """What the judge said of the first of two pictures, in points; None: nothing usable."""
    if answer is None or answer.probability is None:
        return None
    points = points_of(answer.probability)
    return points if answer.first == first.id else -points


def _provenance(assessor: Assessor) -> dict[str, Any]:
    return {
        "model": assessor.backend.model,
        "revision": assessor.backend.revision,
        "prompt_id": assessor.prompt_id,
        "mode": assessor.mode,
    }


def _settings(assessor: Assessor, orders: Orders) -> Iterable[str]:
    """What answers depend on, besides the pictures."""
    return (
        assessor.backend.model,
        assessor.backend.revision,
        *(assessor.prompt_of(mode).id for mode in (assessor.mode, "reasoned")),
        *((assessor.prompt_of("fast").id,) if assessor.mode == "reasoned" else ()),  # reads the verdict
        assessor.sampling.model_dump_json(),
        orders,
    )


class _Answers:
    """What a language model said about one series, on disk."""

    def __init__(self, file: Path) -> None:
        """
        Raises:
            RecordError: the file is there and damaged.
        """
        self._file = file
        self.answers: tuple[PairAnswer, ...] = ()
        self.explanation: Result | None = None
        if not file.exists():
            return
        try:
            found = read_json(file)
            self.answers = tuple(PairAnswer.model_validate(answer) for answer in found["answers"])
            if found["explanation"] is not None:
                self.explanation = Result.model_validate(found["explanation"])
        except (ValidationError, KeyError, TypeError) as error:
            raise RecordError(f"{file}: does not hold a series' answers ({error}); delete it") from error

    def keep(self, answers: Sequence[PairAnswer]) -> None:
        self.answers = tuple(answers)
        self._write()

    def about(self, first: ImageRef, second: ImageRef) -> PairAnswer | None:
        """The answer about two pictures, in either order; None: not asked yet."""
        wanted = {first.id, second.id}
        return next((answer for answer in self.answers if {answer.first, answer.second} == wanted), None)

    def explained(self, assessor: Assessor, best: ImageRef, second: ImageRef) -> Result:
        """Why one picture is better than another; asked once."""
        known = self.explanation
        if known is None or _is_old(known, assessor) or (known.first.id, known.second.id) != (best.id, second.id):
            (known,) = assessor.compare_many([(unchanged(best), unchanged(second))], mode="reasoned", check=True)
            self.explanation = known
            self._write()
        return known

    def _write(self) -> None:
        explanation = None if self.explanation is None else self.explanation.as_json()
        answers = [answer.as_json() for answer in self.answers]
        write_json(self._file, {"answers": answers, "explanation": explanation})


def _is_old(known: Result, assessor: Assessor) -> bool:
    """Whether a kept result would be another one today: of an earlier version, whose verdicts were written, not read,
    and were not held against the pictures; or claimed before the model was calibrated as it is now."""
    if known.probability is None or not known.comparisons:
        return False
    return known.log_odds is None or known.calibration != assessor.calibration("reasoned")


def _file(folder: Path, parts: list[str]) -> Path:
    return folder / f"{content_id(json.dumps(parts).encode())[:32]}.json"
