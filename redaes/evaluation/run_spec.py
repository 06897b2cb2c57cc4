"""The settings of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from redaes.images import MAX_PIXELS
from redaes.types import Record


class RunSpec(Record):
    """The settings of a run, as values that can be passed to another process."""

    benchmark: str
    data: Path
    pictures: Path | None = None
    assessor: str
    options: Mapping[str, str] = Field(default_factory=dict)
    references: Path | Literal["informative"] | None = None
    """A folder or a saved set; ``informative``: chosen by the model's answers; None: what suits the assessor."""
    n_references: int | None = None
    """Number of references; None: the default for their kind."""
    candidates: int = 64
    """Number of pictures among which ``informative`` references are chosen."""
    seed: int = 0
    max_pixels: int = MAX_PIXELS
    allow_missing: bool = False
    ranks: bool = False
