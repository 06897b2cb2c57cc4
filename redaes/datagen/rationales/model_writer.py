"""A vision-language model writes the reasoning for a known verdict; its texts are checked before they are used.

A rejected text goes back to the model with the reasons, at most ``max_rewrites`` times. If there is still no usable
text, or the endpoint gives no answer, the embedded writer is used instead, and the record says so.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from redaes.backends.chat_model import ChatModel
from redaes.backends.chat_replies import Reply
from redaes.backends.chat_requests import ChatRequest
from redaes.backends.failures import Failure
from redaes.backends.pictures import EncodedPicture
from redaes.datagen.rationales.choosing import same_frame
from redaes.datagen.rationales.frames import SIZES
from redaes.datagen.rationales.from_measurements import write_from_measurements
from redaes.datagen.rationales.measured_writer import PairObservation, word, write_from_factors
from redaes.datagen.rationales.rules import EXPLANATIONS, MAX_WORDS, MIN_WORDS, CheckedText, check_text
from redaes.errors import InputError
from redaes.evidence.quantities import QUANTITIES
from redaes.prompts import Prompt, load
from redaes.types import FACTORS, Factor, Rationale, Record, Sampling, winner_of

PROMPT = "rationale/v2"

SAMPLING = Sampling(max_new_tokens=400)
"""Greedy sampling, long enough for ``MAX_WORDS`` words."""


@dataclass(frozen=True)
class RationaleTask:
    """A pair in one order, with everything that its writer may know."""

    first: EncodedPicture
    """The picture shown as A."""
    second: EncodedPicture
    observed: PairObservation
    """Measurements of the pair, with ``first`` as A."""
    delta: float
    """Score of ``first`` minus score of ``second``, in points."""
    factors: tuple[Factor, ...] | None
    """The deciding factors; empty for a tie; None if they are not known and the writer has to name one or two."""
    instruction_first: str | None
    """The instruction that the editor of ``first`` was given; None if the picture was not edited."""
    instruction_second: str | None
    seed: int
    """Seed of the embedded writer's wording."""

    def __post_init__(self) -> None:
        if (winner_of(self.delta) == "tie") != (self.factors == ()):
            raise InputError(f"difference {self.delta:+.2f} with factors {self.factors}: a tie has none, others some")

    def swapped(self) -> RationaleTask:
        """Return the task for the same pair in the other order."""
        return replace(
            self,
            first=self.second,
            second=self.first,
            observed=self.observed.swapped(),
            delta=0.0 - self.delta,
            instruction_first=self.instruction_second,
            instruction_second=self.instruction_first,
            seed=self.seed ^ 1,
        )


class Written(Record):
    """A rationale, with its writer."""

    rationale: Rationale | None
    """The reasoning; None if neither the model nor the embedded writer had one."""
    writer: Literal["vlm", "embedded"]
    """``vlm``, or ``embedded`` if the model gave no text or all its texts were rejected."""
    rejected: dict[str, int]
    """Number of times that a text was rejected for each reason of `redaes.datagen.rationales.rules.EXPLANATIONS`."""
    failure: str | None
    """The endpoint's reason if it gave no answer, ``cut_off`` if the answer ended too early, otherwise None."""
    n_texts: int
    """Number of texts that the model wrote, complete or not."""


def _embedded(task: RationaleTask) -> Rationale | None:
    if task.factors is None:
        return write_from_measurements(task.observed, task.delta, (), task.seed)
    return write_from_factors(task.observed, task.factors, task.delta, task.seed)


_TO_FIND = (
    f"for you to find: one or two of {', '.join(FACTORS)}, which stand in the closing sentence in place of FACTORS"
)


def _prompt(task: RationaleTask) -> Prompt:
    winner = winner_of(task.delta)
    if winner == "tie":
        verdict, closing, factors = "neither, they are equally good.", "Decisive: nothing.", "nothing"
    else:
        size = word(SIZES, abs(task.delta))
        verdict = f"{winner} is {size} better, by {abs(task.delta):.1f} on a scale of 9."
        named = "FACTORS" if task.factors is None else ", ".join(task.factors)
        factors = _TO_FIND if task.factors is None else named
        closing = f"Decisive: {named}, better in {winner}."
    background = (f"{side} is {_made(told)}" for side, told in zip("AB", _instructions(task), strict=True))
    return load(PROMPT).fill(
        verdict=verdict,
        factors=factors,
        background="; ".join(background) + ".",
        evidence="\n".join(_evidence(task.observed)),
        closing=closing,
        min_words=str(MIN_WORDS),
        max_words=str(MAX_WORDS),
    )


def _evidence(observed: PairObservation) -> list[str]:
    """Return a line for each quantity measured in both pictures, and lines on how one lies over the other."""
    pair = observed.evidence
    lines = []
    for name, quantity in QUANTITIES.items():
        if name not in pair.first.values or name not in pair.second.values:
            continue
        a, b = pair.first.values[name], pair.second.values[name]
        unit = f" {quantity.unit}" if quantity.unit else ""
        same = " (no difference)" if abs(a - b) < quantity.noise_floor else ""
        lines.append(f"{quantity.spoken}: A {a:.{quantity.digits}f}, B {b:.{quantity.digits}f}{unit}{same}")
    lies = pair.registration
    if lies is not None and not same_frame(lies):
        mirrored = "mirrored, " if lies.mirrored else ""
        lines.append(
            f"framing: B is {mirrored}turned by {lies.rotation_deg:.1f} degrees against A; "
            f"B shows {100 * lies.shown_of_first:.0f} % of what A shows, "
            f"A shows {100 * lies.shown_of_second:.0f} % of what B shows"
        )
    lines += [
        f"only in {change.side}: something at {change.place}, {change.area:.1f} % of the frame"
        for change in pair.changes
        if change.side is not None
    ]
    return lines


def _instructions(task: RationaleTask) -> tuple[str | None, str | None]:
    return task.instruction_first, task.instruction_second


def _made(instruction: str | None) -> str:
    return "as it was taken" if instruction is None else f'what an editor made on being told "{instruction}"'


def _again(text: str, checked: CheckedText) -> list[dict[str, Any]]:
    """Return the turns that ask for another text; measurements that the text contradicts are stated again."""
    told = {"contradicts_measurement": f": {', '.join(checked.contradicted)}"}
    what = "; ".join(EXPLANATIONS[reason] + told.get(reason, "") for reason in checked.reasons)
    return [
        {"role": "assistant", "content": text},
        {"role": "user", "content": f"This cannot be used: {what}. Write the whole text again without these faults."},
    ]


@dataclass
class _Draft:
    """The state of one task."""

    task: RationaleTask
    request: ChatRequest
    rejected: Counter[str]
    rationale: Rationale | None = None
    failure: str | None = None
    n_texts: int = 0

    @property
    def open(self) -> bool:
        return self.rationale is None and self.failure is None

    def hear(self, reply: Reply | Failure) -> None:
        """Read a reply, and keep its text if it is usable; otherwise another text will be asked for."""
        if isinstance(reply, Failure):
            self.failure = reply.reason
            return
        self.n_texts += 1
        if reply.finish_reason == "length":
            self.failure = "cut_off"
            return
        told = [instruction for instruction in _instructions(self.task) if instruction is not None]
        checked = check_text(reply.text, self.task.delta, self.task.factors, told, self.task.observed.evidence)
        self.rejected.update(checked.reasons)
        if not checked.reasons:
            self.rationale = checked.rationale
        else:
            messages = [*self.request.messages, *_again(reply.text, checked)]
            self.request = replace(self.request, messages=messages)


async def write_with_model(
    endpoint: ChatModel,
    tasks: Sequence[RationaleTask],
    *,
    max_rewrites: int = 2,
    sampling: Sampling = SAMPLING,
    otherwise: Callable[[RationaleTask], Rationale | None] = _embedded,
) -> list[Written]:
    """Let a model write the reasoning of each pair, in the tasks' order.

    Args:
        endpoint: the model, already opened.
        tasks: the pairs, each in the order in which it will be shown.
        max_rewrites: number of times that a rejected text is sent back with its faults.
        sampling: greedy by default.
        otherwise: writer that is used if the model gives no usable text; for edits by the embedded editor, pass one
            that knows the edits (:func:`redaes.datagen.rationales.measured_writer.write_rationale`).

    Raises:
        BackendError: the endpoint is not open.
        InputError: ``max_rewrites`` is below 0.
        PromptError: an instruction contains markup.
        RecordError: the endpoint's cache cannot be read or written.
    """
    if max_rewrites < 0:
        raise InputError(f"max_rewrites is {max_rewrites}; give at least 0")
    drafts = [
        _Draft(task, ChatRequest.of(_prompt(task), (task.first, task.second), sampling), Counter()) for task in tasks
    ]
    for _ in range(1 + max_rewrites):
        waiting = [draft for draft in drafts if draft.open]
        if not waiting:
            break
        replies = await endpoint.ask_many([draft.request for draft in waiting])
        await asyncio.to_thread(_hear_all, waiting, replies)  # in a thread, because checking texts takes long
    return await asyncio.to_thread(_written, drafts, otherwise)


def _hear_all(drafts: Sequence[_Draft], replies: Sequence[Reply | Failure]) -> None:
    for draft, reply in zip(drafts, replies, strict=True):
        draft.hear(reply)


def _written(drafts: Sequence[_Draft], otherwise: Callable[[RationaleTask], Rationale | None]) -> list[Written]:
    return [
        Written(
            rationale=draft.rationale or otherwise(draft.task),
            writer="embedded" if draft.rationale is None else "vlm",
            rejected=dict(draft.rejected),
            failure=draft.failure,
            n_texts=draft.n_texts,
        )
        for draft in drafts
    ]
