"""Choose the questions about the pictures of one view, round by round, until their differences are settled.

This module asks nobody itself: ``judging_rounds`` yields what is to be asked, and the caller sends the judgements::

    rounds = judging_rounds("view", 11, pairs, n_judges=3, rules=rules, savings=savings)
    try:
        asked = next(rounds)
        while True:
            asked = rounds.send(answers_to(asked))
    except StopIteration as end:
        settled = end.value
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, field

from redaes.datagen.call_savings import ASK_EVERYTHING, CallSavings
from redaes.datagen.consensus import Consensus, ConsensusRules, consensus
from redaes.datagen.judges.base import Judgement
from redaes.datagen.pair_choice import PicturePlaces, choose_pairs, n_questions
from redaes.ranking import components


@dataclass(frozen=True)
class JudgingRound:
    """Questions that can be asked at the same time."""

    pairs: tuple[PicturePlaces, ...]
    """The pairs, by the places of the view's pictures."""
    judges: tuple[int, ...]
    """Places in the panel of the judges that are asked about each pair."""


@dataclass(frozen=True)
class JudgedPair:
    """The judgements of one pair."""

    label: Consensus
    """Consensus of the judges that decide: the reserve if it was asked, otherwise those that are always asked."""
    everyone: Consensus
    """Consensus of all judges that were asked. If the reserve was asked, too, ``delta`` and ``rejected`` of this
    consensus are not used.
    """
    judgements: tuple[Judgement, ...]
    """The judgements of the judges that were asked, in the panel's order."""


@dataclass(frozen=True)
class ViewJudgements:
    """The result for all pairs of a view."""

    judged: Mapping[PicturePlaces, JudgedPair]
    """The pairs that were asked about, labelled or rejected, in the order of their places."""
    not_asked: tuple[PicturePlaces, ...]
    """Pairs that could have been asked about and were not."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Number of pairs that were asked about to connect pictures which rejected pairs had left apart (``joining``), and
    of pairs about which the reserve was asked (``reserve``)."""


JOINING_ROUNDS = 2
"""Largest number of joining rounds. Without it, judges that reject most pairs would be asked about all, for few labels.
"""

Judgements = Sequence[Sequence[Judgement]]
"""For each pair of a round, one judgement by each of the round's judges, in their order."""


def judging_rounds(
    group: str,
    n: int,
    pairs: Sequence[PicturePlaces],
    n_judges: int,
    rules: ConsensusRules,
    savings: CallSavings = ASK_EVERYTHING,
    reserve: Collection[int] = (),
) -> Generator[JudgingRound, Judgements, ViewJudgements]:
    """Ask about as few of a view's pairs as ``savings`` allows.

    First, the judges outside the reserve are asked about the chosen pairs. Where they do not agree, the reserve is
    asked, and then it alone decides. If rejected pairs leave pictures unconnected, further pairs that would connect
    them are asked about in the same way, as few as possible, at most :data:`JOINING_ROUNDS` times.

    Args:
        group: id of the view, which decides between pairs that are worth the same.
        n: number of its pictures.
        pairs: the pairs that can be asked about, each once.
        n_judges: number of judges in the panel.
        rules: conditions under which judges agree.
        savings: settings of what is left out.
        reserve: places of the judges that are asked only where the others do not agree.

    Returns:
        The judgements, once there is nothing left to ask.

    Raises:
        InputError: see :func:`~redaes.datagen.pair_choice.choose_pairs` and
            :func:`~redaes.datagen.consensus.consensus`.
    """
    always = tuple(judge for judge in range(n_judges) if judge not in reserve)
    later = tuple(sorted(reserve))
    alone = rules.model_copy(update={"min_judges": min(rules.min_judges, max(1, len(later)))})
    judged: dict[PicturePlaces, JudgedPair] = {}
    counts = {"joining": 0, "reserve": 0}
    wanted = choose_pairs(n, pairs, n_questions(n, savings.pair_share, len(pairs)), group)
    for joining in range(1 + JOINING_ROUNDS):
        if not wanted:
            break
        counts["joining"] += len(wanted) if joining else 0
        open_: dict[PicturePlaces, dict[int, Judgement]] = {}
        for pair, answers in zip(wanted, (yield JudgingRound(tuple(wanted), always)), strict=True):
            label = consensus(answers, rules)
            judged[pair] = JudgedPair(label, label, tuple(answers))
            if later and label.delta is None:
                open_[pair] = dict(zip(always, answers, strict=True))
        if open_:
            counts["reserve"] += len(open_)
            for pair, answers in zip(open_, (yield JudgingRound(tuple(open_), later)), strict=True):
                by_judge = open_[pair] | dict(zip(later, answers, strict=True))
                everyone = tuple(by_judge[judge] for judge in sorted(by_judge))
                judged[pair] = JudgedPair(consensus(answers, alone), consensus(everyone, rules), everyone)
        wanted = _joining(group, n, pairs, judged)
    return ViewJudgements(
        judged=dict(sorted(judged.items())),
        not_asked=tuple(sorted(set(pairs) - set(judged))),
        counts=counts,
    )


def _joining(
    group: str, n: int, pairs: Sequence[PicturePlaces], judged: Mapping[PicturePlaces, JudgedPair]
) -> list[PicturePlaces]:
    """Return pairs not yet asked about that could connect the parts left by labelled pairs: one for each gap."""
    labelled = [pair for pair, each in judged.items() if each.label.delta is not None]
    parts = components(n, [(i, j, 0.0, 1.0) for i, j in labelled])
    part_of = {place: number for number, part in enumerate(parts) for place in part}
    between = [pair for pair in pairs if pair not in judged and part_of[pair[0]] != part_of[pair[1]]]
    return choose_pairs(n, between, min(len(parts) - 1, len(between)), group, answered=labelled)
