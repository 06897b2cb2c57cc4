"""FGAesQ ranks all series, and an assessor is asked where its answer can change a first place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redaes.assessor import Assessor, Orders, answer_of, points_of
from redaes.culling.kept_answers import KeptAnswers, file_of, provenance_of, settings_of
from redaes.culling.rankers import FGAesQRanker, OnPrepared, Pictures, Ranked, Unranked, ranked_or_not
from redaes.errors import ImageError
from redaes.images import LoadedImage, unchanged
from redaes.ranking.cascade import CascadeOrder, cascade, n_questions
from redaes.types import ImageRef, PairAnswer

if TYPE_CHECKING:
    from redaes.models.fgaesq.scorer import FGAesQScorer

AT_ONCE = 32
"""Number of comparisons of the cascade after which the answers are written to disk."""

Two = tuple[ImageRef, ImageRef]


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

    @property
    def provenance(self) -> Mapping[str, Any]:
        """What the answers of judge and ranker depend on, besides the pictures."""
        ranker = self._ranker.provenance
        return {
            **provenance_of(self._assessor),
            "ranker": {name: ranker[name] for name in ("model", "revision")},
            "share": self._share,
        }

    def rank(
        self, series: Sequence[Pictures], kept: Path, on_prepared: OnPrepared | None = None
    ) -> Iterator[Ranked | Unranked]:
        """Rank the series, as :class:`~redaes.culling.rankers.Ranker` specifies: score all, and ask the judge where
        that is worth it.
        """
        found = list(self._scored(series, kept, on_prepared))
        ranked = {
            number: one for number, one in enumerate(found) if isinstance(one, Ranked) and len(series[number]) > 1
        }
        refs = {number: [ref for _, ref in sorted(series[number].items())] for number in ranked}
        answers = {number: self._answers(refs[number], kept) for number in ranked}
        asked = [[(number, ref) for ref in refs[number]] for number in ranked]
        scores = [[one.scores[ref.id] for ref in refs[number]] for number, one in ranked.items()]
        budget = n_questions(asked, self._share)
        done = 0

        def judge(pairs: Sequence[tuple[tuple[int, ImageRef], tuple[int, ImageRef]]]) -> list[float | None]:
            nonlocal done
            said: list[float | None] = []
            for start in range(0, len(pairs), AT_ONCE):
                batch = [(number, (first, second)) for (number, first), (_, second) in pairs[start : start + AT_ONCE]]
                for number, error in self._ask(batch, answers).items():
                    found[number] = Unranked(str(error))
                said += [_points(answers[number].about(*pair), pair[0]) for number, pair in batch]
                done += len(batch)
                if on_prepared is not None:
                    on_prepared("comparing", done, budget)
            return said

        orders = dict(zip(ranked, cascade(asked, scores, judge, share=self._share).series, strict=True))

        def results() -> Iterator[Ranked | Unranked]:
            for number, one in enumerate(found):
                if isinstance(one, Unranked):
                    yield one
                elif number in orders:
                    yield ranked_or_not(partial(self._judged, one, refs[number], answers[number], orders[number]))
                else:
                    yield replace(one, unit="points")

        return results()

    def _scored(
        self, series: Sequence[Pictures], kept: Path, on_prepared: OnPrepared | None
    ) -> Iterator[Ranked | Unranked]:
        """Yield the order of every series by FGAesQ alone."""
        n_several = sum(len(pictures) > 1 for pictures in series)
        n_done = 0
        for pictures, found in zip(series, self._ranker.rank(series, kept), strict=True):
            yield found
            n_done += len(pictures) > 1
            if on_prepared is not None and len(pictures) > 1:
                on_prepared("scoring", n_done, n_several)

    def _judged(self, ranked: Ranked, refs: Sequence[ImageRef], answers: KeptAnswers, found: CascadeOrder) -> Ranked:
        """Return the order of a series after the judge's answers."""
        asked = [answer for i, j, _ in found.judged if (answer := answers.about(refs[i], refs[j]))]
        best = [refs[place] for place in found.order]
        middle = sum(found.quality) / len(refs)
        return Ranked(
            order=tuple(ref.id for ref in best),
            scores={ref.id: quality - middle for ref, quality in zip(refs, found.quality, strict=True)},
            unit="points",
            errors={ref.id: error for ref, error in zip(refs, found.errors, strict=True)},
            n_comparisons=len(asked),
            n_calls=sum(answer.n_calls for answer in asked),
            n_failed=sum(answer.n_failed for answer in asked),
            n_cycles=ranked.n_cycles,
            explanation=answers.explained(self._assessor, *best[:2]) if asked else None,
        )

    def _ask(self, batch: Sequence[tuple[int, Two]], answers: Mapping[int, KeptAnswers]) -> dict[int, ImageError]:
        """Ask about the pairs of a batch that have no answer yet, and keep the answers of each series.

        Returns:
            For each series the error of a picture that cannot be shown.
        """
        loaded: dict[str, LoadedImage] = {}
        pairs: list[tuple[int, Two]] = []
        broken: dict[int, ImageError] = {}
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
        return broken

    def _answers(self, refs: Sequence[ImageRef], kept: Path) -> KeptAnswers:
        # Not the file of the judge alone: a folder that was ranked without the cascade has other comparisons in it.
        ids = [ref.id for ref in refs]
        return KeptAnswers(file_of(kept, ["cascade", *settings_of(self._assessor, self._orders), *ids]))


def _points(answer: PairAnswer | None, first: ImageRef) -> float | None:
    """Return the judge's difference for the first of two pictures, in points; None: there is no usable answer."""
    if answer is None or answer.probability is None:
        return None
    points = points_of(answer.probability)
    return points if answer.first == first.id else -points
