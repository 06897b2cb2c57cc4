"""The settings of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from redaes.images import MAX_PIXELS
from redaes.types import Record


class RunSpec(Record):
    """A run, in words that another process can be told."""

    benchmark: str
    data: Path
    pictures: Path | None = None
    assessor: str
    options: Mapping[str, str] = Field(default_factory=dict)
    references: Path | Literal["informative"] | None = None
    """A folder or a kept set; ``informative``: chosen; None: as suits the assessor."""
    n_references: int | None = None
    """None: as suits what they are."""
    candidates: int = 64
    """Pictures that ``informative`` references are chosen among."""
    seed: int = 0
    max_pixels: int = MAX_PIXELS
    allow_missing: bool = False
    ranks: bool = False
