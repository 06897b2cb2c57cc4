"""The rewards as TRL calls them: one function per component, over the completions of whole ranking groups.

TRL hands each function the local generation batch: texts, and every dataset column as a list. A component
is computed per completion from its own answer and, for consistency, from the answers to the same pair in the
other order. A batch in which one of the two orders is missing is refused: a reward must never depend on how
a group happened to be cut.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from redaes.answers import parse
from redaes.errors import ParseError, TrainingError
from redaes.prompts import Mode
from redaes.rewards.ranking_consistency import (
    difference_reward,
    factor_reward,
    format_reward,
    preference_reward,
    swap_consistency_reward,
)
from redaes.types import Factor, Verdict, Winner, winner_of

Completion = list[dict[str, Any]]
RewardFunction = Callable[..., list[float | None]]


def completion_text(completion: Completion) -> str:
    """The assistant's text, whichever way the content is written."""
    content = completion[0]["content"]
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content if part["type"] == "text")


def verdicts(completions: Sequence[Completion], modes: Sequence[Mode]) -> list[Verdict | None]:
    """Each completion's verdict, None where it does not parse."""
    parsed: list[Verdict | None] = []
    for completion, mode in zip(completions, modes, strict=True):
        try:
            parsed.append(parse(completion_text(completion), mode))
        except ParseError:
            parsed.append(None)  # a failed completion; every reward gives it 0.0
    return parsed


def _stated(verdict: Verdict | None) -> float | None:
    return None if verdict is None else verdict.delta


def reward_format(completions: list[Completion], mode: list[Mode], **_: Any) -> list[float | None]:
    """1.0 for an answer that follows the grammar."""
    return [format_reward(verdict) for verdict in verdicts(completions, mode)]


def reward_preference(
    completions: list[Completion], mode: list[Mode], delta: list[float | None], **_: Any
) -> list[float | None]:
    """Fidelity of the stated to the labelled preference."""
    return [
        preference_reward(_stated(verdict), label)
        for verdict, label in zip(verdicts(completions, mode), delta, strict=True)
    ]


def reward_difference(
    completions: list[Completion], mode: list[Mode], delta: list[float | None], **_: Any
) -> list[float | None]:
    """Closeness of the stated to the labelled difference."""
    return [
        difference_reward(_stated(verdict), label)
        for verdict, label in zip(verdicts(completions, mode), delta, strict=True)
    ]


def reward_swap_consistency(
    completions: list[Completion], mode: list[Mode], pair: list[str], order: list[str], **_: Any
) -> list[float | None]:
    """Agreement with what the same pair's other order states on average.

    Raises:
        TrainingError: a pair of the batch lacks one of its orders, or has them unequally often.
    """
    stated = [_stated(verdict) for verdict in verdicts(completions, mode)]
    answers: dict[str, dict[str, list[float | None]]] = defaultdict(lambda: {"forward": [], "swapped": []})
    for value, name, way in zip(stated, pair, order, strict=True):
        answers[name][way].append(value)
    for name, ways in answers.items():
        if len(ways["forward"]) != len(ways["swapped"]):
            raise TrainingError(
                f"incomplete ranking group: pair {name} has {len(ways['forward'])} forward and "
                f"{len(ways['swapped'])} swapped completions in this batch; use GroupSampler and a batch that "
                "holds whole groups"
            )
    other = {"forward": "swapped", "swapped": "forward"}
    return [
        swap_consistency_reward(value, answers[name][other[way]])
        for value, name, way in zip(stated, pair, order, strict=True)
    ]


def reward_factor(
    completions: list[Completion],
    mode: list[Mode],
    delta: list[float | None],
    factors: list[list[Factor]],
    **_: Any,
) -> list[float | None]:
    """Whether the rationale names the factor that was edited, on the right picture."""
    better: list[Winner | None] = [None if label is None else winner_of(label) for label in delta]
    return [
        factor_reward(verdict, named, winner)
        for verdict, named, winner in zip(verdicts(completions, mode), factors, better, strict=True)
    ]


REWARDS: dict[str, RewardFunction] = {
    "format": reward_format,
    "preference": reward_preference,
    "difference": reward_difference,
    "swap_consistency": reward_swap_consistency,
    "factor": reward_factor,
}
"""All components by the name that recipes use."""


def reward_functions(names: Sequence[str]) -> list[RewardFunction]:
    """The functions of the named components.

    Raises:
        TrainingError: an unknown name.
    """
    unknown = [name for name in names if name not in REWARDS]
    if unknown or not names:
        raise TrainingError(f"unknown rewards {unknown}; known: {', '.join(REWARDS)}")
    return [REWARDS[name] for name in names]
