"""Rankers of series: the language model by comparisons, or FGAesQ by its scores.

Each stores its results in a file per series, weights and settings, so that an interrupted run can continue.
:mod:`redaes.culling.cascade_ranker` combines both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from redaes.assessor import Assessor, Orders, Result, delta_of
from redaes.culling.kept_answers import KeptAnswers, file_of, provenance_of, settings_of
from redaes.errors import ImageError, InputError, ParseError, RecordError
from redaes.file_writing import read_json, write_json
from redaes.images import LoadedImage
from redaes.types import ImageRef

if TYPE_CHECKING:
    from redaes.models.fgaesq.scorer import FGAesQScorer

Pictures = Mapping[str, ImageRef]
"""Different pictures by id, in the order in which they were taken."""

OnPrepared = Callable[[Literal["scoring", "comparing"], int, int], None]
"""Called with the kind of work, how much of it is done, and how much there is at most: series to be scored, or
comparisons to be made."""


@dataclass(frozen=True)
class Ranked:
    """The order of one series of different pictures."""

    order: tuple[str, ...]
    """Picture ids, best first."""
    scores: dict[str, float]
    """Per picture id, with mean zero."""
    unit: Literal["logits", "points"]
    """Unit of the scores and errors."""
    errors: dict[str, float] | None
    """Standard errors of the scores; None: the ranker gives none."""
    n_comparisons: int
    n_calls: int
    """Questions asked of a language model."""
    n_failed: int
    """Number of those without a usable answer."""
    n_cycles: int
    explanation: Result | None
    """The reasoned comparison of the best picture (as first) with the next one."""

    def lead(self, better: str, worse: str) -> float:
        """Return how much better one picture is than another, in points."""
        gap = self.scores[better] - self.scores[worse]
        return delta_of(gap) if self.unit == "logits" else gap


@dataclass(frozen=True)
class Unranked:
    """A series that has no order."""

    reason: str


class Ranker(Protocol):
    """The protocol of what puts the pictures of a series in order."""

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Model, revision, prompt and mode, which every line of the results repeats."""

    def rank(
        self, series: Sequence[Pictures], kept: Path, on_prepared: OnPrepared | None = None
    ) -> Iterator[Ranked | Unranked]:
        """Order every series; one without an order does not stop the others.

        Args:
            series: all that are ranked.
            kept: the folder for stored results.
            on_prepared: called with the progress of work on all series, which is done before the first result.

        Returns:
            One result per series, computed when it is requested.

        Raises:
            RecordError: ``kept`` cannot be used.
            BackendError: the model cannot be asked.
        """


def ranked_or_not(rank: Callable[[], Ranked]) -> Ranked | Unranked:
    """Return the result of ranking one series, or why there is none.

    An error that concerns the whole model, or a folder that cannot be used, ends the run.
    """
    try:
        return rank()
    except RecordError:
        raise
    except (InputError, ParseError) as error:
        return Unranked(str(error))


class AssessorRanker:
    """Ranks with an assessor, which compares pairs and is asked for reasons at the end."""

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
        """What the assessor's answers depend on, besides the pictures."""
        return provenance_of(self._assessor)

    def rank(
        self, series: Sequence[Pictures], kept: Path, on_prepared: OnPrepared | None = None
    ) -> Iterator[Ranked | Unranked]:
        """Rank the series, as :class:`Ranker` specifies; each series is asked about by itself."""
        return (ranked_or_not(partial(self._rank, pictures, kept)) for pictures in series)

    def _rank(self, pictures: Pictures, kept: Path) -> Ranked:
        answers = KeptAnswers(file_of(kept, [*settings_of(self._assessor, self._orders), *sorted(pictures)]))
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
    """Ranks with FGAesQ, which scores all pairs of a series and gives no reasons."""

    def __init__(self, scorer: FGAesQScorer) -> None:
        self._scorer = scorer

    @property
    def provenance(self) -> Mapping[str, Any]:
        """What the scores depend on, besides the pictures."""
        return {"model": "fgaesq", "revision": self._scorer.revision, "prompt_id": None, "mode": None}

    def rank(
        self, series: Sequence[Pictures], kept: Path, on_prepared: OnPrepared | None = None
    ) -> Iterator[Ranked | Unranked]:
        """Rank the series, as :class:`Ranker` specifies; each series is scored by itself."""
        return (ranked_or_not(partial(self._rank, pictures, kept)) for pictures in series)

    def _rank(self, pictures: Pictures, kept: Path) -> Ranked:
        if len(pictures) == 1:
            return Ranked(tuple(pictures), dict.fromkeys(pictures, 0.0), "logits", None, 0, 0, 0, 0, None)
        file = file_of(kept, ["fgaesq", self._scorer.revision, *sorted(pictures)])
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
