"""Tasks about places for the embedded model's vision warm-up: the layout of a picture, and matching cells of two views.

A tower that is trained only through the mean of a picture's tokens learns colours but no places (docs/log.md). Two
tasks teach it both. Each token predicts the colour of its cell times two-dimensional cosines of the cell's place, so
that the mean of the tokens describes the layout of colours. And the tokens of two views of one picture, cropped,
resized, sometimes mirrored and with changed colours, find the cells that show the same.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

N_COSINES = 4
"""Number of cosines of each axis; the first is constant."""
N_LAYOUT = 3 * N_COSINES**2
"""Number of values that a token predicts: three colours, each times every product of two cosines."""
SMALLEST_WINDOW = 0.5
"""Smallest share of a picture's side that a view shows."""
KEY_TEMPERATURE = 0.1
"""Temperature by which similarities of cells are divided [ours]."""


def cells_of(grid_thw: Tensor, merge: int) -> list[tuple[int, int]]:
    """Return the rows and columns of cells, one for each token, of each picture.

    >>> cells_of(torch.tensor([[1, 14, 10]]), 2)
    [(7, 5)]
    """
    return [(height // merge, width // merge) for _, height, width in grid_thw.tolist()]


def place_cosines(rows: int, columns: int) -> Tensor:
    """Return the products of a vertical and a horizontal cosine at the centres of cells, row by row, shape (rows ·
    columns, `N_COSINES`²).
    """
    down, across = (
        torch.cos(torch.arange(N_COSINES) * torch.pi * (torch.arange(n)[:, None] + 0.5) / n) for n in (rows, columns)
    )
    return (down[:, None, :, None] * across[None, :, None, :]).reshape(rows * columns, -1)


def layout_targets(pixel_values: Tensor, grid_thw: Tensor, merge: int) -> Tensor:
    """Return the targets (tokens, `N_LAYOUT`) of the tokens of some pictures.

    Args:
        pixel_values: patches of the processor, (patches, 3 · frames · size²); those of a cell are neighbours.
        grid_thw: patches of each picture, (P, 3).
        merge: patches along a side of a cell.
    """
    colours = pixel_values.reshape(-1, merge**2, 3, pixel_values.shape[1] // 3).mean((1, 3))  # (tokens, 3)
    cosines = torch.cat([place_cosines(*cells) for cells in cells_of(grid_thw, merge)]).to(colours)
    return (colours[:, :, None] * cosines[:, None, :]).flatten(1)


def layout_loss(told: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean square error divided by the variance of the targets: 1 for a constant prediction."""
    return (told - wanted).square().mean() / (wanted - wanted.mean(0)).square().mean().clamp(min=1e-6)


@dataclass(frozen=True)
class View:
    """A window of a picture."""

    left: float
    """Left edge of the window, as a share of the picture's width; the other edges are shares too."""
    top: float
    width: float
    height: float
    mirrored: bool

    def see(self, image: Image.Image) -> Image.Image:
        """Return the picture in the window, enlarged to the size of the whole picture."""
        width, height = image.size
        box = (
            self.left * width,
            self.top * height,
            (self.left + self.width) * width,
            (self.top + self.height) * height,
        )
        seen = image.resize(image.size, Image.Resampling.BICUBIC, box=box)
        return ImageOps.mirror(seen) if self.mirrored else seen

    def place(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the places in the picture of places in the window, in [0, 1]."""
        x = 1 - x if self.mirrored else x
        return self.left + x * self.width, self.top + y * self.height

    def find(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the places in the window of places in the picture; outside [0, 1] if the window does not show them."""
        x, y = (x - self.left) / self.width, (y - self.top) / self.height
        return (1 - x if self.mirrored else x), y


def draw_view(chance: random.Random) -> View:
    """Return a random window of at least `SMALLEST_WINDOW` of each side."""
    width, height = chance.uniform(SMALLEST_WINDOW, 1), chance.uniform(SMALLEST_WINDOW, 1)
    left, top = chance.uniform(0, 1 - width), chance.uniform(0, 1 - height)
    return View(left, top, width, height, mirrored=chance.random() < 0.5)


def disguised(image: Image.Image, chance: random.Random) -> Image.Image:
    """Return the picture with slightly changed light and colours."""
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = enhance(image).enhance(chance.uniform(0.7, 1.3))
    return image


def same_cells(one: View, other: View, cells: Sequence[tuple[int, int]]) -> Tensor:
    """Return for each cell of one view the cell of the other view that shows its centre; -1: none does.

    Args:
        one: a view.
        other: a view of the same picture.
        cells: rows and columns of each view.
    """
    (rows, columns), (other_rows, other_columns) = cells
    y = ((torch.arange(rows) + 0.5) / rows)[:, None].expand(rows, columns).flatten()
    x = ((torch.arange(columns) + 0.5) / columns).repeat(rows)
    across, down = other.find(*one.place(x, y))
    seen = (across >= 0) & (across < 1) & (down >= 0) & (down < 1)
    place = (down * other_rows).long() * other_columns + (across * other_columns).long()
    return torch.where(seen, place, -1)


def matching_loss(keys: Sequence[tuple[Tensor, Tensor]], same: Sequence[Tensor]) -> Tensor:
    """Return the mean cross-entropy of finding the matching cell among all cells of the other view (InfoNCE).

    Args:
        keys: keys of both views of each picture, (cells, K) each.
        same: the matching cells of each picture, from `same_cells`.
    """
    losses = []
    for (one, other), wanted in zip(keys, same, strict=True):
        logits = torch.nn.functional.normalize(one, dim=-1) @ torch.nn.functional.normalize(other, dim=-1).T
        losses.append(
            torch.nn.functional.cross_entropy(
                logits.float() / KEY_TEMPERATURE, wanted, ignore_index=-1, reduction="none"
            )
        )
    n_seen = torch.cat(list(same)).ge(0).sum().clamp(min=1)
    return torch.cat(losses).sum() / n_seen
