"""The stage in which a view's pictures are judged: from the judges' answers to labelled pairs.

All judges of a round are asked at once about all its pairs. :mod:`redaes.datagen.view_judging` decides which judges are
asked about which pairs, and :mod:`redaes.datagen.view_scale` what follows from the answers.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass

from redaes.backends.at_once import together
from redaes.backends.pictures import EncodedPicture
from redaes.datagen.consensus import ConsensusRules
from redaes.datagen.judges import Judge, Judgement, PicturePair, ScorerJudge, VlmJudge, VlmScorer
from redaes.datagen.pair_choice import PicturePlaces
from redaes.datagen.panel import Panel
from redaes.datagen.picture_groups import BuildCounts, GroupPicture
from redaes.datagen.view_judging import JudgedPair, ViewJudgements, judging_rounds
from redaes.datagen.view_scale import view_scale, why_not_inferred
from redaes.types import Agreement


@dataclass(frozen=True)
class MemberPair:
    """A labelled pair of two members of a view."""

    first: str
    second: str
    agreement: Agreement | None
    """Agreement of the judges; None if the pair was not judged."""
    error: float | None
    """Standard error, in points, of a difference that was inferred; None if the pair was judged."""


@dataclass(frozen=True)
class LabelledPart:
    """Members of a view among which all differences are known, directly or by way of others."""

    scores: Mapping[str, float]
    """Scores in points, by member; only their differences are meaningful."""
    pairs: tuple[MemberPair, ...]
    """The labelled pairs, in the members' order."""


@dataclass(frozen=True)
class LabelledView:
    """The labels that judges gave to a view."""

    parts: tuple[LabelledPart, ...]
    n_judged: int
    """Number of pairs that they were asked about."""


class Jury:
    """A panel's judges, all asked at the same time. A judge that waits for a server has a thread for every view that is
    being judged; one that computes in this process judges one view at a time."""

    def __init__(self, judges: Sequence[Judge], at_once: int) -> None:
        """
        Args:
            judges: in the panel's order.
            at_once: number of views that are judged at the same time.
        """
        self.judges = tuple(judges)
        self._threads = [
            ThreadPoolExecutor(at_once if _waits(judge) else 1, thread_name_prefix=f"judge {judge.name}")
            for judge in judges
        ]

    async def ask(self, pairs: Sequence[PicturePair], judges: Sequence[int]) -> list[tuple[Judgement, ...]]:
        """Return for each pair the judgements of some judges, in their order.

        Args:
            pairs: the pairs to be judged.
            judges: places in the panel of the judges to be asked.

        Raises:
            BackendError: a judge cannot be asked at all.
        """

        async def asked(judge: Judge, thread: Executor) -> list[Judgement]:
            return await asyncio.get_running_loop().run_in_executor(thread, judge.judge, pairs)

        by_judge = await together(asked(self.judges[place], self._threads[place]) for place in judges)
        return list(zip(*by_judge, strict=True))

    def close(self) -> None:
        """Stop the judges' threads, so that nothing further is asked."""
        for thread in self._threads:
            thread.shutdown(wait=False, cancel_futures=True)


def _waits(judge: Judge) -> bool:
    return isinstance(judge, VlmJudge) or (isinstance(judge, ScorerJudge) and isinstance(judge.scorer, VlmScorer))


async def labelled_view(
    group: str,
    members: Sequence[GroupPicture],
    pictures: Mapping[str, EncodedPicture],
    jury: Jury,
    panel: Panel,
    counts: BuildCounts,
) -> LabelledView:
    """Return the differences on which a view's judges agree, made consistent, and those that follow from them.

    Args:
        group: id of the view.
        members: its pictures.
        pictures: the same pictures as judges see them, by key.
        jury: the judges.
        panel: the panel, whose rules say when judges agree and what is not asked.
        counts: counts to which pairs without a label are added.

    Raises:
        BackendError: a judge cannot be asked at all.
    """
    keys = [member.key for member in members]
    places = [(i, j) for i, j in itertools.combinations(range(len(members)), 2) if members[i].data != members[j].data]
    rounds = judging_rounds(
        group, len(members), places, len(jury.judges), panel.rules, panel.savings, panel.reserve_places
    )
    try:
        now = next(rounds)
        while True:
            asked = [
                PicturePair(f"{group}:{keys[i]}:{keys[j]}", pictures[keys[i]], pictures[keys[j]]) for i, j in now.pairs
            ]
            now = rounds.send(await jury.ask(asked, now.judges))
    except StopIteration as end:
        found: ViewJudgements = end.value
    scale = view_scale(len(members), {pair: each.label for pair, each in found.judged.items()}, keys)
    labelled: dict[PicturePlaces, MemberPair] = {}
    for pair, each in found.judged.items():
        if each.label.delta is None:
            counts.rejected[str(each.label.rejected)] += 1
        else:
            agreement = _agreement(each, panel.rules, each.label.delta - scale.delta(pair))
            labelled[pair] = MemberPair(keys[pair[0]], keys[pair[1]], agreement, None)
    for pair in found.not_asked if panel.savings.pair_share < 1 else ():
        reason = why_not_inferred(scale, pair, panel.savings.max_error)
        if reason is None:
            labelled[pair] = MemberPair(keys[pair[0]], keys[pair[1]], None, float(scale.errors[pair]))
        else:
            counts.rejected[reason] += 1
    parts = [
        LabelledPart(
            scores={keys[place]: float(scale.scores[place]) for place in part},
            pairs=tuple(labelled[pair] for pair in sorted(labelled) if pair[0] in part),
        )
        for part in scale.parts
        if len(part) > 1
    ]
    return LabelledView(tuple(parts), len(found.judged))


def _agreement(judged: JudgedPair, rules: ConsensusRules, residual: float) -> Agreement:
    """Return how far the judges of a pair agreed."""
    label = judged.label if judged.everyone.spread is None else judged.everyone
    # All columns of a label are set.
    assert label.spread is not None
    assert label.disagreement is not None
    assert label.sign_agreement is not None
    counting = [each for each in judged.judgements if min(len(each.forward), len(each.swapped)) >= rules.min_answers]
    return Agreement(
        judges=tuple(f"{each.judge}@{each.revision}" for each in counting),
        n_answers=label.n_answers,
        n_failed=label.n_failed,
        spread=label.spread,
        disagreement=label.disagreement,
        sign_agreement=label.sign_agreement,
        residual=residual,
    )
