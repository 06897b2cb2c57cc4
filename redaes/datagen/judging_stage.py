"""The stage at which a view's pictures are judged: who is asked about which pairs, and on which differences they agree.

All judges are asked at once, and about all pairs that are asked at once. Which pairs, and which judges, is for
:func:`questions` to say.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass

from redaes.backends.pictures import EncodedPicture
from redaes.datagen.consensus import ConsensusRules, consensus
from redaes.datagen.judges import Judge, Judgement, PicturePair, ScorerJudge, VlmJudge, VlmScorer
from redaes.datagen.passing import together
from redaes.datagen.picture_groups import BuildCounts, GroupPicture
from redaes.types import Agreement


@dataclass(frozen=True)
class AgreedDifference:
    """A difference of two members, in points, on which the judges agree."""

    first: str
    second: str
    delta: float
    agreement: Agreement


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

    async def ask(self, pairs: Sequence[PicturePair]) -> list[tuple[Judgement, ...]]:
        """For each pair the judgements of all judges, in their order.

        Raises:
            BackendError: a judge cannot be asked at all.
        """

        async def asked(judge: Judge, thread: Executor) -> list[Judgement]:
            return await asyncio.get_running_loop().run_in_executor(thread, judge.judge, pairs)

        by_judge = await together(
            asked(judge, thread) for judge, thread in zip(self.judges, self._threads, strict=True)
        )
        return list(zip(*by_judge, strict=True))

    def close(self) -> None:
        """Ask nothing further."""
        for thread in self._threads:
            thread.shutdown(wait=False, cancel_futures=True)


def _waits(judge: Judge) -> bool:
    return isinstance(judge, VlmJudge) or (isinstance(judge, ScorerJudge) and isinstance(judge.scorer, VlmScorer))


async def agreed_differences(
    group: str,
    members: Sequence[GroupPicture],
    pictures: Mapping[str, EncodedPicture],
    jury: Jury,
    rules: ConsensusRules,
    counts: BuildCounts,
) -> list[AgreedDifference]:
    """The differences within a view on which its judges agree; residuals are still 0, for there is no potential yet.

    Args:
        group: id of the view.
        members: its pictures.
        pictures: the same as judges see them, by key.
        jury: who is asked.
        rules: when judges agree.
        counts: where rejected pairs are counted.

    Raises:
        BackendError: a judge cannot be asked at all.
    """
    compared = [(one.key, other.key) for one, other in itertools.combinations(members, 2) if one.data != other.data]
    if not compared:
        return []
    asked = [PicturePair(f"{group}:{one}:{other}", pictures[one], pictures[other]) for one, other in compared]
    found: list[AgreedDifference] = []
    for (one, other), judgements in zip(compared, await jury.ask(asked), strict=True):
        label = consensus(judgements, rules)
        if label.delta is None or label.spread is None or label.disagreement is None or label.sign_agreement is None:
            counts.rejected[str(label.rejected)] += 1  # only a rejected pair lacks any of them
            continue
        counting = [each for each in judgements if min(len(each.forward), len(each.swapped)) >= rules.min_answers]
        agreement = Agreement(
            judges=tuple(f"{each.judge}@{each.revision}" for each in counting),
            n_answers=label.n_answers,
            n_failed=label.n_failed,
            spread=label.spread,
            disagreement=label.disagreement,
            sign_agreement=label.sign_agreement,
            residual=0.0,
        )
        found.append(AgreedDifference(one, other, label.delta, agreement))
    return found
