"""The rewards as TRL calls them: one function per component, over the completions of whole ranking groups.

TRL gives each function the local generation batch: texts, and every dataset column as a list. These columns say where a
completion belongs:

* ``mode``: kind of the answer, ``reasoned`` or ``fast`` for two pictures, ``score`` for one;
* ``group``: id of the ranking group;
* ``edges``: the group's pairs, each ``{"first": id, "second": id, "delta": points or None}``;
* ``shown``: ids of the pictures, A then B, or the one.

These columns have the labels of the pair: ``delta``, ``factors``, ``faults`` and ``evidence``, in the letters of the
order shown (:data:`redaes.rewards.plugins.COLUMNS`).

A component is computed from the completion itself and, for consistency, from those of its own group. A batch with an
incomplete group is refused, because a reward must not depend on how a group was split.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

from redaes.answers import parse, parse_score
from redaes.errors import ParseError, TrainingError
from redaes.evidence.checking import check
from redaes.evidence.claims import Claim, Claims
from redaes.evidence.extraction import extract
from redaes.evidence.measurements import PairEvidence
from redaes.prompts import Mode
from redaes.rewards.ranking_consistency import (
    closeness_to_scale,
    difference_reward,
    factor_reward,
    format_reward,
    group_scale,
    preference_reward,
    swap_consistency_reward,
    thurstone_reward,
    verdict_reward,
)
from redaes.rewards.reasoning import evidence_reward, symptom_reward
from redaes.types import Factor, Verdict, Winner, winner_of

Completion = list[dict[str, Any]]
AnswerKind = Mode | Literal["score"]
"""Kind of answer that a prompt asks for, always in the text form."""
EdgeRow = Mapping[str, Any]
"""``first``, ``second`` and ``delta`` of a pair of the group."""
PictureOrder = tuple[str, str]
"""Ids of the pictures shown as A and as B."""
RewardFunction = Callable[..., list[float | None]]


def completion_text(completion: Completion) -> str:
    """Return the assistant's text, whichever way the content is written."""
    content = completion[0]["content"]
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content if part["type"] == "text")


def read(completion: Completion, form: AnswerKind) -> Verdict | int | str:
    """Return the verdict or score of a completion, or the reason why it is neither."""
    text = completion_text(completion)
    try:
        return parse_score(text) if form == "score" else parse(text, form)
    except ParseError as error:
        return error.reason


def verdicts(completions: Sequence[Completion], forms: Sequence[AnswerKind]) -> list[Verdict | None]:
    """Return each completion's verdict; None: it does not parse, or its prompt asks for a score."""
    answers = (read(completion, form) for completion, form in zip(completions, forms, strict=True))
    return [answer if isinstance(answer, Verdict) else None for answer in answers]


def scores(completions: Sequence[Completion], forms: Sequence[AnswerKind]) -> list[float | None]:
    """Return each completion's score, in points; None: it does not parse, or its prompt asks for a verdict."""
    answers = (read(completion, form) for completion, form in zip(completions, forms, strict=True))
    return [float(answer) if isinstance(answer, int) else None for answer in answers]


def _differences(completions: Sequence[Completion], forms: Sequence[AnswerKind]) -> list[float | None]:
    return [None if verdict is None else verdict.delta for verdict in verdicts(completions, forms)]


def _winners(delta: Sequence[float | None]) -> list[Winner | None]:
    return [None if label is None else winner_of(label) for label in delta]


def reward_format(completions: list[Completion], mode: list[AnswerKind], **_: Any) -> list[float | None]:
    """Return 1.0 for an answer that follows the grammar, otherwise 0.0."""
    answers = (read(completion, form) for completion, form in zip(completions, mode, strict=True))
    return [format_reward(None if isinstance(answer, str) else answer) for answer in answers]


def reward_preference(
    completions: list[Completion], mode: list[AnswerKind], delta: list[float | None], **_: Any
) -> list[float | None]:
    """Return the fidelity of the stated to the labelled preference; None for a single picture."""
    return [
        None if form == "score" else preference_reward(stated, label)
        for form, stated, label in zip(mode, _differences(completions, mode), delta, strict=True)
    ]


def reward_verdict(
    completions: list[Completion], mode: list[AnswerKind], delta: list[float | None], **_: Any
) -> list[float | None]:
    """Return 1.0 if the right picture is named or a tie is called a tie, otherwise 0.0; None for a single picture."""
    return [
        None if form == "score" else verdict_reward(answer, winner)
        for form, answer, winner in zip(mode, verdicts(completions, mode), _winners(delta), strict=True)
    ]


def reward_difference(
    completions: list[Completion], mode: list[AnswerKind], delta: list[float | None], **_: Any
) -> list[float | None]:
    """Return the closeness of the stated to the labelled difference; None for a single picture."""
    return [
        None if form == "score" else difference_reward(stated, label)
        for form, stated, label in zip(mode, _differences(completions, mode), delta, strict=True)
    ]


def _by_group(
    stated: Sequence[float | None], mode: Sequence[AnswerKind], group: Sequence[str], shown: Sequence[Sequence[str]]
) -> dict[str, dict[PictureOrder, list[float | None]]]:
    """Return what the completions of each group's pairs state, by the pictures shown as A and as B."""
    predicted: dict[str, dict[PictureOrder, list[float | None]]] = defaultdict(lambda: defaultdict(list))
    for value, form, name, pictures in zip(stated, mode, group, shown, strict=True):
        if form != "score":
            predicted[name][pictures[0], pictures[1]].append(value)
    return predicted


def reward_swap_consistency(
    completions: list[Completion], mode: list[AnswerKind], group: list[str], shown: list[Sequence[str]], **_: Any
) -> list[float | None]:
    """Return the agreement with what the same pair's other order states on average; None for a single picture.

    Raises:
        TrainingError: a pair of the batch lacks one of its orders, or has unequal numbers of them.
    """
    stated = _differences(completions, mode)
    predicted = _by_group(stated, mode, group, shown)
    for name, ways in predicted.items():
        for (a, b), values in ways.items():
            if len(values) != len(ways.get((b, a), ())):
                raise TrainingError(
                    f"incomplete ranking group: {len(values)} completions of group {name} show {a} as A and {b} as B, "
                    f"and {len(ways.get((b, a), ()))} show them the other way round; use GroupSampler"
                )
    return [
        None if form == "score" else swap_consistency_reward(value, predicted[name][pictures[1], pictures[0]])
        for value, form, name, pictures in zip(stated, mode, group, shown, strict=True)
    ]


def reward_group_consistency(
    completions: list[Completion],
    mode: list[AnswerKind],
    group: list[str],
    shown: list[Sequence[str]],
    edges: list[list[EdgeRow]],
    **_: Any,
) -> list[float | None]:
    """Return the agreement with the one scale that fits all the group's stated differences best; None for a single
    picture.

    Raises:
        TrainingError: a group of the batch is incomplete, or contains a foreign pair.
    """
    stated = _differences(completions, mode)
    predicted = _by_group(stated, mode, group, shown)
    consists_of = dict(zip(group, edges, strict=True))
    scales = {
        name: group_scale(
            [
                way
                for edge in consists_of[name]
                for way in ((edge["first"], edge["second"]), (edge["second"], edge["first"]))
            ],
            ways,
        )
        for name, ways in predicted.items()
    }
    return [
        None if form == "score" else closeness_to_scale(value, (pictures[0], pictures[1]), scales[name])
        for value, form, name, pictures in zip(stated, mode, group, shown, strict=True)
    ]


def reward_thurstone(
    completions: list[Completion],
    mode: list[AnswerKind],
    group: list[str],
    shown: list[Sequence[str]],
    edges: list[list[EdgeRow]],
    **_: Any,
) -> list[float | None]:
    """Return the agreement of a picture's score with the labels against the others of its group; None for a pair.

    Labels are those of the group's pairs; two pictures that were never paired have none.

    Raises:
        TrainingError: a picture of the group has no completions in the batch.
    """
    stated = scores(completions, mode)
    said: dict[str, dict[str, list[float | None]]] = defaultdict(lambda: defaultdict(list))
    for value, form, name, pictures in zip(stated, mode, group, shown, strict=True):
        if form == "score":
            said[name][pictures[0]].append(value)
    labels: dict[str, dict[PictureOrder, float]] = {}
    for name, pairs in dict(zip(group, edges, strict=True)).items():
        labels[name] = {}
        for edge in pairs:
            if edge["delta"] is not None:
                labels[name][edge["first"], edge["second"]] = edge["delta"]
                labels[name][edge["second"], edge["first"]] = -edge["delta"]
    rewards: list[float | None] = []
    for value, form, name, pictures, pairs in zip(stated, mode, group, shown, edges, strict=True):
        if form != "score":
            rewards.append(None)
            continue
        own = pictures[0]
        others = sorted({picture for edge in pairs for picture in (edge["first"], edge["second"])} - {own})
        company = [(said[name].get(other, []), labels[name].get((own, other))) for other in others]
        rewards.append(thurstone_reward(value, said[name][own], company))
    return rewards


def reward_factor(
    completions: list[Completion],
    mode: list[AnswerKind],
    delta: list[float | None],
    factors: list[list[Factor]],
    **_: Any,
) -> list[float | None]:
    """Return how well the rationale names the edited factors, on the right picture; None for a single picture."""
    return [
        None if form == "score" else factor_reward(verdict, named, winner)
        for form, verdict, named, winner in zip(
            mode, verdicts(completions, mode), factors, _winners(delta), strict=True
        )
    ]


@lru_cache(maxsize=4096)
def _claims_of(text: str) -> tuple[Claim, ...]:
    """Return the statements of a reasoning; two reward components and the sample pages ask for the same ones."""
    return extract(text)


def checked(verdict: Verdict | None, evidence: PairEvidence | None) -> Claims | None:
    """Return the statements of an answer's reasoning, checked against the measurements; None: either is missing."""
    if verdict is None or verdict.rationale is None or evidence is None:
        return None
    return check(_claims_of(verdict.rationale.text), evidence)


def reward_symptom(
    completions: list[Completion],
    mode: list[AnswerKind],
    delta: list[float | None],
    faults: list[Sequence[str | None] | None],
    evidence: list[PairEvidence | None],
    **_: Any,
) -> list[float | None]:
    """Return the reward for naming the deciding fault, on the right picture; None for a single picture."""
    return [
        None
        if form == "score" or measured is None
        else symptom_reward(verdict, checked(verdict, measured), known, winner)
        for form, verdict, known, measured, winner in zip(
            mode, verdicts(completions, mode), faults, evidence, _winners(delta), strict=True
        )
    ]


def reward_evidence(
    completions: list[Completion], mode: list[AnswerKind], evidence: list[PairEvidence | None], **_: Any
) -> list[float | None]:
    """Return how far the rationale agrees with the measurements; None for a single picture."""
    return [
        None if form == "score" else evidence_reward(checked(verdict, measured), measured)
        for form, verdict, measured in zip(mode, verdicts(completions, mode), evidence, strict=True)
    ]


REWARDS: dict[str, RewardFunction] = {
    "format": reward_format,
    "preference": reward_preference,
    "verdict": reward_verdict,
    "difference": reward_difference,
    "swap_consistency": reward_swap_consistency,
    "group_consistency": reward_group_consistency,
    "thurstone": reward_thurstone,
    "factor": reward_factor,
    "symptom": reward_symptom,
    "evidence": reward_evidence,
}
"""All components by the name that recipes use."""

MEASURED = frozenset({"symptom", "evidence"})
"""Components that check a reasoning against the measurements of the pair."""


def reward_functions(names: Sequence[str]) -> list[RewardFunction]:
    """Return the functions of the named components.

    Raises:
        TrainingError: a name is unknown or given twice.
    """
    unknown = [name for name in names if name not in REWARDS]
    if unknown or not names:
        raise TrainingError(f"these rewards are unknown: {unknown}; give some of {', '.join(REWARDS)}")
    if len(set(names)) < len(names):
        raise TrainingError(f"rewards {', '.join(names)}: give each once, and its weight in reward_weights")
    return [REWARDS[name] for name in names]


def observations(
    completions: Sequence[Completion], mode: Sequence[AnswerKind], group: Sequence[str], shown: Sequence[Sequence[str]]
) -> Iterator[tuple[str, float]]:
    """Yield observations to log besides the rewards: a name with one value for each counted item.

    The mean of a name's values is its figure, over any number of processes: ``answers/parsed``, the share of all
    completions that follow the grammar; ``answers/A``, ``answers/B``, ``answers/tie``, shares of the parsed verdicts;
    ``swap/agreement``, the share of pairs whose two orders, each averaged, name the same picture as better;
    ``swap/gap``, the size of what they differ by, in points.
    """
    for form, completion in zip(mode, completions, strict=True):
        answer = read(completion, form)
        yield "answers/parsed", float(not isinstance(answer, str))
        if isinstance(answer, Verdict):
            for winner in ("A", "B", "tie"):
                yield f"answers/{winner}", float(answer.winner == winner)
    for ways in _by_group(_differences(completions, mode), mode, group, shown).values():
        means = {
            way: sum(told) / len(told) for way, values in ways.items() if (told := [v for v in values if v is not None])
        }
        for (a, b), mean in means.items():
            if a < b and (b, a) in means:
                yield "swap/agreement", float(winner_of(mean) == winner_of(-means[b, a]))
                yield "swap/gap", abs(mean + means[b, a])
