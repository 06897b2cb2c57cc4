"""The input of FGAesQ's network: a picture's tokens, and the settings by which they are chosen.

Units. A *token* is a patch of 16 x 16 pixels. A *block* is 32 x 32 pixels: kept at full resolution it gives
four tokens (scale 1, fine), shrunk it gives one (scale 0, coarse). A picture of at most ``budget`` patches that is
looked at alone is used as it is (scale 0 throughout). Blocks are counted row by row over the block grid, fine
tokens over the grid twice as dense, and every index says which of the two it means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from redaes.errors import InputError
from redaes.images import MAX_FILE_PIXELS

PATCH = 16
"""Side of a token, in pixels."""

BLOCK = 32
"""Side of a block, in pixels."""

Size = tuple[int, int]
"""Width and height, in pixels."""

Grid = tuple[int, int]
"""Rows and columns."""

Ids = NDArray[np.int64]


Procedure = Literal["ours", "published"]
"""How tokens are chosen: as :mod:`redaes.models.fgaesq.difftoken` does, or as the released inference code does
(:mod:`redaes.models.fgaesq.published_tokens`), which the released weights were trained with."""


@dataclass(frozen=True)
class TokenSettings:
    """How many tokens, and which. The defaults are the published ones."""

    budget: int = 512
    """Most tokens of a picture. Ours does not count the class token; the published procedure does."""
    fine_blocks: int = 14
    """Blocks kept at full resolution; 14 blocks are 56 tokens."""
    candidates: float = 0.5
    """Share of the blocks, the most different first, from which the fine ones are drawn."""
    min_side: int = 384
    """Pixels to which the shorter side of a small pair is enlarged at least."""
    procedure: Procedure = "ours"
    """A model keeps to the one that its weights were trained with."""

    def __post_init__(self) -> None:
        if self.fine_blocks < 1 or 4 * self.fine_blocks > self.budget:
            raise InputError(
                f"fine_blocks is {self.fine_blocks}: give at least 1, and 4 tokens for each within budget {self.budget}"
            )
        if not 0 < self.candidates <= 1 or self.min_side < 0:
            raise InputError(f"candidates {self.candidates} must be in (0, 1], min_side {self.min_side} at least 0")
        if self.procedure not in ("ours", "published"):
            raise InputError(f"procedure is {self.procedure!r}; give ours or published")

    @property
    def max_pixels(self) -> int:
        """Area, in pixels, to which pictures are shrunk when they are read.

        Ours: the largest one of which no block has to be left out. The released code reads pictures at full size.
        """
        if self.procedure == "published":
            return MAX_FILE_PIXELS
        return (self.budget - 3 * self.fine_blocks) * BLOCK * BLOCK


PUBLISHED_TOKENS = TokenSettings(procedure="published")
"""What the released weights were trained with."""


@dataclass(frozen=True)
class Tokens:
    """One picture as n tokens."""

    patches: Tensor
    """(n, 3, 16, 16), normalised."""
    scale: Tensor
    """(n,) int64; 0: coarse or native, 1: fine."""
    position: Tensor
    """(n,) int64; index in the grid of the token's scale: ``grid``, or twice as dense for fine ones."""
    grid: Grid
    """Rows and columns at scale 0."""

    @property
    def n(self) -> int:
        """Number of tokens."""
        return len(self.scale)


@dataclass(frozen=True)
class TokenBatch:
    """B pictures padded to the longest, L tokens."""

    patches: Tensor
    """(B, L, 3, 16, 16)."""
    scale: Tensor
    """(B, L)."""
    index: Tensor
    """(B, L) into the position tables of ``grids``, one after the other."""
    n_tokens: Tensor
    """(B,); what follows is padding."""
    grids: tuple[Grid, ...]
    """The position tables that are needed."""

    def to(self, device: torch.device | str) -> TokenBatch:
        """Return the same on another device."""
        return TokenBatch(
            self.patches.to(device),
            self.scale.to(device),
            self.index.to(device),
            self.n_tokens.to(device),
            self.grids,
        )


def collate(views: Sequence[Tokens]) -> TokenBatch:
    """Put pictures together, the shorter ones padded with zeros."""
    tables: dict[Grid, int] = {}
    size = 0
    indices = []
    for view in views:
        rows, columns = view.grid
        for grid in ((rows, columns), (2 * rows, 2 * columns)) if bool(view.scale.any()) else ((rows, columns),):
            if grid not in tables:
                tables[grid] = size
                size += grid[0] * grid[1]
        fine_offset = tables.get((2 * rows, 2 * columns), 0)
        indices.append(view.position + torch.where(view.scale == 1, fine_offset, tables[rows, columns]))
    pad = torch.nn.utils.rnn.pad_sequence
    return TokenBatch(
        patches=pad([view.patches for view in views], batch_first=True),
        scale=pad([view.scale for view in views], batch_first=True),
        index=pad(indices, batch_first=True),
        n_tokens=torch.tensor([view.n for view in views], device=views[0].scale.device),
        grids=tuple(tables),
    )
