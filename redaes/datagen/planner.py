"""A vision-language model looks at a photograph and writes the instructions that suit it.

What to change, in which direction and how much is drawn beforehand (:func:`redaes.datagen.instructions.draw_wishes`),
so that a model's preferences do not decide what the dataset is about. The model says how to do it in this picture, or
leaves a wish out. Its answers are checked. Unusable instructions are counted and not replaced; the caller decides what
to do without them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from redaes.backends.chat_model import ChatModel
from redaes.backends.chat_replies import Reply
from redaes.backends.chat_requests import ChatRequest
from redaes.backends.failures import Failure
from redaes.backends.pictures import EncodedPicture
from redaes.datagen.instructions import AIMS, STRENGTHS, Aim, Instruction, Strength, Wish
from redaes.errors import InputError, ParseError
from redaes.prompts import load
from redaes.types import FACTORS, Factor, Record, Sampling

PROMPT = "edit_plan/v1"

MAX_WORDS = 30
"""Longest instruction, in words."""

SAMPLING = Sampling(max_new_tokens=1024)
"""Greedy sampling, with room for about a dozen instructions."""

_NOT_PLAIN = re.compile(r"[\n\r<>{}|\[\]]|https?:")


MOST_WISHES = len(FACTORS) * len(AIMS) * len(STRENGTHS)
"""Number of different wishes, which is the largest number of wishes for one picture."""


def check_plannable(variants: int) -> None:
    """Refuse more edits of a view than there are different wishes, before a planner is asked.

    Raises:
        InputError: there are not so many wishes.
    """
    if variants > MOST_WISHES:
        raise InputError(
            f"variants is {variants}, and a planner words at most {MOST_WISHES} edits of a view (each factor, "
            f"direction and strength once); give {MOST_WISHES} or fewer, or leave the panel's planner out"
        )


@dataclass(frozen=True)
class PlanTask:
    """A photograph, and the wishes for its edits."""

    picture: EncodedPicture
    wishes: tuple[Wish, ...]

    def __post_init__(self) -> None:
        if not self.wishes or len(set(self.wishes)) != len(self.wishes):
            raise InputError(f"a plan needs wishes, each once; got {self.wishes}")


class InstructionPlan(Record):
    """The planner's result for one photograph."""

    instructions: tuple[Instruction, ...]
    """The usable instructions, in the order of the answer."""
    missing: tuple[Wish, ...]
    """Wishes without a usable instruction: the model left them out, or the instruction was rejected."""
    rejected: dict[str, int]
    """Number of unusable instructions by reason: ``not_an_instruction``, ``unknown_factor``, ``unknown_direction``,
    ``unknown_strength``, ``not_asked``, ``duplicate``, ``empty``, ``too_long``, ``not_plain``."""
    failure: str | None
    """Why there is no answer at all: the endpoint's reason, ``cut_off``, ``not_json`` or ``not_the_schema``; None if
    there is one."""


# The docstrings of _Proposal and _Answer are sent to the server as a part of the schema, on which the stored answers
# depend: with other words they would be asked for again.
class _Proposal(Record):
    """One item of the answer, as the server is asked for it."""

    factor: Factor
    direction: Aim
    strength: Strength
    text: str


class _Answer(Record):
    """The answer, as the server is asked for it."""

    instructions: tuple[_Proposal, ...]


class _Item(Record):
    """One item of a received answer. Its fields accept anything, because servers may ignore the schema, and a wrong
    word must spoil only its item, not the whole answer.
    """

    factor: str
    direction: str
    strength: str
    text: str


def _why_not(item: _Item, wishes: Sequence[Wish], taken: Sequence[Instruction]) -> str | None:
    """Return the reason to reject an item, or None to keep it."""
    for value, known, reason in (
        (item.factor, FACTORS, "unknown_factor"),
        (item.direction, AIMS, "unknown_direction"),
        (item.strength, STRENGTHS, "unknown_strength"),
    ):
        if value not in known:
            return reason
    wish = (item.factor, item.direction, item.strength)
    text = item.text.strip()
    if wish not in wishes:
        return "not_asked"
    if any(one.wish == wish or one.text.lower() == text.lower() for one in taken):
        return "duplicate"
    if not re.search(r"\w", text):
        return "empty"
    if len(text.split()) > MAX_WORDS:
        return "too_long"
    if _NOT_PLAIN.search(text):
        return "not_plain"
    return None


def _plan(task: PlanTask, reply: Reply | Failure, prompt_id: str) -> InstructionPlan:
    def failed(reason: str) -> InstructionPlan:
        return InstructionPlan(instructions=(), missing=task.wishes, rejected={}, failure=reason)

    if isinstance(reply, Failure):
        return failed(reply.reason)
    try:
        answer: Any = reply.decoded()
    except ParseError as error:
        return failed(error.reason)
    if not isinstance(answer, dict) or set(answer) != {"instructions"} or not isinstance(answer["instructions"], list):
        return failed("not_the_schema")
    taken: list[Instruction] = []
    rejected: Counter[str] = Counter()
    for proposal in answer["instructions"]:
        try:
            item = _Item.model_validate(proposal, strict=True)
        except ValidationError:
            rejected["not_an_instruction"] += 1
            continue
        reason = _why_not(item, task.wishes, taken)
        if reason is not None:
            rejected[reason] += 1
            continue
        taken.append(Instruction.model_validate({**dict(item), "text": item.text.strip(), "template_id": prompt_id}))
    met = {instruction.wish for instruction in taken}
    return InstructionPlan(
        instructions=tuple(taken),
        missing=tuple(wish for wish in task.wishes if wish not in met),
        rejected=dict(rejected),
        failure=None,
    )


async def plan_instructions(
    endpoint: ChatModel, tasks: Sequence[PlanTask], *, sampling: Sampling = SAMPLING
) -> list[InstructionPlan]:
    """Ask a vision-language model, in the tasks' order, for instructions that suit each photograph.

    Args:
        endpoint: the model, already opened.
        tasks: photographs with their wishes.
        sampling: greedy by default.

    Raises:
        BackendError: the endpoint is not open.
        RecordError: the endpoint's cache cannot be read or written.
    """
    schema = _Answer.model_json_schema()
    requests = []
    for task in tasks:
        wishes = "\n".join(f"- {wish.factor}, {wish.direction}, {wish.strength}" for wish in task.wishes)
        prompt = load(PROMPT).fill(wishes=wishes, max_words=str(MAX_WORDS))
        requests.append(ChatRequest.of(prompt, (task.picture,), sampling, schema=schema))
    replies = await endpoint.ask_many(requests)
    return [
        _plan(task, reply, request.prompt_id) for task, reply, request in zip(tasks, replies, requests, strict=True)
    ]
