"""The stage at which a view's pictures are judged: from its judges' answers to labelled pairs.

All judges of a round are asked at once, and about all its pairs. Who is asked about which pairs is for
:mod:`redaes.datagen.view_judging` to say, what follows from the answers for :mod:`redaes.datagen.view_scale`.
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
    """Two members of a view with a label."""

    first: str
    second: str
    agreement: Agreement | None
    """Agreement of the judges; None: the pair was not judged."""
    error: float | None
    """Standard error of a difference that nobody judged, in points; None: it was judged."""


@dataclass(frozen=True)
class LabelledPart:
    """Members whose differences are known, even by way of others."""

    scores: Mapping[str, float]
    """Scores in points, by member; only their differences are meaningful."""
    pairs: tuple[MemberPair, ...]
    """The labelled pairs, in the members' order."""


@dataclass(frozen=True)
class LabelledView:
    """What judges made of a view."""

    parts: tuple[LabelledPart, ...]
    n_judged: int
    """Pairs that they were asked about."""


class Jury:
    """A panel's judges, asked at once. Each that waits for a server has a thread for every view that is judged; one
    that computes here judges one view at a time."""

    def __init__(self, judges: Sequence[Judge], at_once: int) -> None:
        """
        Args:
            judges: in the panel's order.
            at_once: views that are judged at once.
        """
        self.judges = tuple(judges)
        self._threads = [
            ThreadPoolExecutor(at_once if _waits(judge) else 1, thread_name_prefix=f"judge {judge.name}")
            for judge in judges
        ]

    async def ask(self, pairs: Sequence[PicturePair], judges: Sequence[int]) -> list[tuple[Judgement, ...]]:
        """Return for each pair the judgements of some judges, in their order.

        Args:
            pairs: what is to be judged.
            judges: who is asked, by places in the panel.

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
    """Return the differences within a view on which its judges agree, made consistent, and those that follow from them.

    Args:
        group: id of the view.
        members: its pictures.
        pictures: the same as judges see them, by key.
        jury: who is asked.
        panel: when judges agree, and what is not asked.
        counts: where pairs without a label are counted.

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
    """Return how far all that were asked agreed."""
    label = judged.label if judged.everyone.spread is None else judged.everyone
    # A label has all of them.
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
