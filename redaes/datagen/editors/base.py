"""The protocol of editors: several edits of one picture, each with its own success or failure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from PIL import Image

from redaes.errors import InputError

Failure = Literal[
    "unknown_instruction",
    "instruction_too_long",
    "out_of_memory",
    "editor_error",
    "not_finite",
    "withheld",
]
"""Why a job gave no picture; these words are meant to be counted.

``unknown_instruction``: the editor has a fixed list of instructions, and this one is not on it.
``instruction_too_long``: its end would be cut off. ``out_of_memory``, ``editor_error``: the editor failed; the detail
holds its message. ``not_finite``: the picture has values that are not numbers. ``withheld``: the editor's safety filter
replaced the picture with black.
"""

MAX_SEED = 2**63 - 1


@dataclass(frozen=True)
class EditJob:
    """One requested edit."""

    instruction: str
    """What to do, as a sentence."""
    seed: int
    """Seed of all random choices: the same job on the same editor gives the same picture."""

    def __post_init__(self) -> None:
        if not self.instruction.strip():
            raise InputError("an edit without an instruction; say what to change")
        if not 0 <= self.seed <= MAX_SEED:
            raise InputError(f"seed is {self.seed}; give a whole number from 0 to 2**63 - 1")


@dataclass(frozen=True)
class EditOutcome:
    """The outcome of a job: a picture, or the reason why there is none."""

    image: Image.Image | None = None
    """RGB picture of the source's size; None after a failure."""
    failure: Failure | None = None
    detail: str = ""
    """The editor's message after a failure."""

    def __post_init__(self) -> None:
        if (self.image is None) == (self.failure is None):
            raise ValueError("an outcome has either a picture or a failure")


class Editor(Protocol):
    """Something that edits pictures by instruction."""

    name: str
    """Kind with version, or model, as an :class:`~redaes.types.Edit` stores it."""
    revision: str
    """Content hash or hub revision that identifies exactly this editor."""
    licence: str
    """SPDX expression; ``LicenseRef-unknown`` if it is not known."""
    commercial: bool
    """Whether the licence is known to permit commercial use."""
    settings: dict[str, str | int | float | bool | None]
    """Other settings on which the pictures depend, as JSON values; they are stored in a dataset's plan."""

    def edit(self, source: Image.Image, jobs: Sequence[EditJob]) -> list[EditOutcome]:
        """Edit one picture in several ways.

        Args:
            source: RGB; it is not modified.
            jobs: the edits; each is made from the source itself.

        Returns:
            One outcome for each job, in their order. A job that fails does not affect the others.

        Raises:
            InputError: the picture is not RGB or is empty.
        """
        ...


def check_source(source: Image.Image) -> None:
    """Refuse pictures that no editor accepts.

    Raises:
        InputError: the picture is not RGB, or has no pixels.
    """
    if source.mode != "RGB" or not source.width or not source.height:
        width, height = source.size
        raise InputError(f"an editor takes RGB pictures, got {source.mode} of {width} × {height}; convert it first")
