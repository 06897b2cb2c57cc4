"""DiffToken: a picture as at most ``budget`` tokens that keep the places where two pictures differ.

Units. A *token* is a patch of 16 x 16 pixels. A *block* is 32 x 32 pixels: kept at full resolution it gives
four tokens (scale 1, fine), shrunk it gives one (scale 0, coarse). A picture of at most ``budget`` patches that is
looked at alone is used as it is (scale 0 throughout). Blocks are counted row by row over the block grid, fine
tokens over the grid twice as dense, and every index of this module says which of the two it means.

Source: Yang et al., arXiv 2603.03907, section on DiffToken, and what their inference code does where the text is
silent. Ours are the seeds (by content, not by place in a list), the overlap of pictures with different
aspect ratios (the common rows *and* columns), equal places for both pictures, and the exact budget.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from redaes.errors import InputError
from redaes.images import LoadedImage

PATCH = 16
"""Side of a token, in pixels."""

BLOCK = 32
"""Side of a block, in pixels."""

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
"""What CLIP's pictures are normalised with (Radford et al. 2021), RGB in [0, 1]."""

_ENLARGE = 1.2  # a pair too small for blocks is enlarged to this many times the budget
_WINDOW = 7  # SSIM's window, in pixels: the default of scikit-image, which the published code calls
_N = _WINDOW**2
# SSIM's constants (Wang et al. 2004) in the units of the integers below: sums over a window of values up to 255,
# and N (N - 1) times their variances.
_C1 = (0.01 * 255 * _N) ** 2
_C2 = (0.03 * 255) ** 2 * _N * (_N - 1)
_TIE_DECIMALS = 5  # differences that agree to this many decimals are ties: rounding errors must not decide
_PAIRS_AT_ONCE = 4  # pairs whose SSIM maps are in memory together

Size = tuple[int, int]
"""Width and height, in pixels."""

Grid = tuple[int, int]
"""Rows and columns."""

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class TokenSettings:
    """How many tokens, and which. The defaults are the published ones."""

    budget: int = 512
    """Most tokens of a picture, the class token not counted."""
    fine_blocks: int = 14
    """Blocks kept at full resolution; 14 blocks are 56 tokens."""
    candidates: float = 0.5
    """Share of the blocks, the most different first, from which the fine ones are drawn."""
    min_side: int = 384
    """Pixels to which the shorter side of a small pair is enlarged at least."""

    def __post_init__(self) -> None:
        if self.fine_blocks < 1 or 4 * self.fine_blocks > self.budget:
            raise InputError(
                f"fine_blocks is {self.fine_blocks}: give at least 1, and 4 tokens for each within budget {self.budget}"
            )
        if not 0 < self.candidates <= 1 or self.min_side < 0:
            raise InputError(f"candidates {self.candidates} must be in (0, 1], min_side {self.min_side} at least 0")

    @property
    def max_pixels(self) -> int:
        """Largest area of a picture, in pixels, of which no block has to be left out."""
        return (self.budget - 3 * self.fine_blocks) * BLOCK * BLOCK


@dataclass(frozen=True)
class Tokens:
    """One picture as the model takes it; n tokens."""

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
        """The same on another device."""
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


# --- Sizes ------------------------------------------------------------------------------------------------


def n_patches(size: Size) -> int:
    """Tokens of a picture at full resolution, incomplete patches counted.

    >>> n_patches((512, 256)), n_patches((513, 256))
    (512, 528)
    """
    return math.ceil(size[0] / PATCH) * math.ceil(size[1] / PATCH)


def block_grid(size: Size) -> Grid:
    """Rows and columns of blocks: cropped or padded to whole ones, whichever touches the smaller corner.

    The rule is the published one: width and height are either both cropped or both padded. A side below one block
    is padded always.

    >>> block_grid((640, 480)), block_grid((630, 470)), block_grid((645, 485))
    ((15, 20), (15, 20), (15, 20))
    """
    width, height = size
    cropped = max(1, width % BLOCK) * max(1, height % BLOCK)
    padded = max(1, -width % BLOCK) * max(1, -height % BLOCK)
    columns, rows = width // BLOCK, height // BLOCK
    if padded <= cropped or not rows or not columns:
        columns, rows = math.ceil(width / BLOCK), math.ceil(height / BLOCK)
    return rows, columns


def _enlarged(size: Size, settings: TokenSettings) -> float:
    """Factor by which a picture has to grow so that it is worth cutting into blocks; 1 for larger ones."""
    patches = n_patches(size)
    if patches > settings.budget:
        return 1.0
    return max(math.sqrt(_ENLARGE * settings.budget / patches), settings.min_side / min(size))


def pair_sizes(first: Size, second: Size, settings: TokenSettings, by_width: bool) -> tuple[Size, Size]:
    """The sizes at which two pictures are compared: equally wide (or high), and large enough for blocks.

    Shapes as different as a tower and a horizon would grow without bound; ours: the larger one stays within four
    times ``max_pixels``.

    >>> pair_sizes((800, 600), (400, 400), TokenSettings(), by_width=True)
    ((800, 600), (800, 800))
    """
    side = 0 if by_width else 1
    target = max(first[side], second[side])
    aligned = []
    for size in (first, second):
        ratio = target / size[side]
        aligned.append((target, max(1, int(size[1] * ratio))) if by_width else (max(1, int(size[0] * ratio)), target))
    factor = max(_enlarged(size, settings) for size in aligned)
    factor = min(factor, math.sqrt(4 * settings.max_pixels / max(width * height for width, height in aligned)))
    one, other = ((max(1, int(w * factor)), max(1, int(h * factor))) for w, h in aligned)
    return one, other


# --- Pixels -----------------------------------------------------------------------------------------------


def _pixels(image: Image.Image, device: torch.device) -> Tensor:
    """(3, H, W) uint8."""
    return torch.from_numpy(np.array(image.convert("RGB"))).to(device).permute(2, 0, 1)


def _normalised(pixels: Tensor) -> Tensor:
    """uint8 to CLIP's float32."""
    mean = torch.tensor(MEAN, device=pixels.device)[:, None, None]
    std = torch.tensor(STD, device=pixels.device)[:, None, None]
    return (pixels.float() / 255 - mean) / std


def _fitted(pixels: Tensor, rows: int, columns: int, side: int) -> Tensor:
    """Cropped, or padded with zeros, at the right and at the bottom to a whole grid."""
    _, height, width = pixels.shape
    return functional.pad(pixels, (0, columns * side - width, 0, rows * side - height))


def _cut(pixels: Tensor, rows: int, columns: int, side: int) -> Tensor:
    """(rows * columns, 3, side, side), row by row."""
    cut = pixels.reshape(3, rows, side, columns, side).permute(1, 3, 0, 2, 4)
    return cut.reshape(rows * columns, 3, side, side)


class BlockedPicture:
    """A picture at one size, cut into blocks. What several pairs need of it is computed once."""

    def __init__(self, image: Image.Image, size: Size, device: torch.device) -> None:
        if image.size != size:
            image = image.resize(size, Image.Resampling.LANCZOS)
        self.grid = block_grid(size)
        self._pixels = _pixels(image, device)

    @cached_property
    def comparable(self) -> Tensor:
        """(3, 32 rows, 32 columns) int32: what SSIM is computed from."""
        return _fitted(self._pixels, *self.grid, BLOCK).int().contiguous()

    @cached_property
    def moments(self) -> tuple[Tensor, Tensor, Tensor]:
        """Per window: sum of the values, its square, N (N - 1) times their variance; each (3, H - 6, W - 6) int32."""
        total = _window_sum(self.comparable)
        squared = total.square()
        return total, squared, _N * _window_sum(self.comparable.square()) - squared

    @cached_property
    def blocks(self) -> Tensor:
        """(rows * columns, 3, 32, 32), normalised; padding is zero, the mean colour."""
        return _cut(_fitted(_normalised(self._pixels), *self.grid, BLOCK), *self.grid, BLOCK)

    @cached_property
    def coarse(self) -> Tensor:
        """(rows * columns, 3, 16, 16): every block shrunk to a token."""
        return functional.interpolate(self.blocks, size=(PATCH, PATCH), mode="bicubic", align_corners=False)

    def tokens(self, fine: Ids, coarse: Ids) -> Tokens:
        """The tokens of a choice of blocks.

        Args:
            fine: indices of blocks, ascending, that give four tokens each.
            coarse: indices of blocks, ascending, that give one token each.
        """
        _, columns = self.grid
        device = self.blocks.device
        shrunk = self.coarse[torch.from_numpy(coarse).to(device)]
        fine_blocks = self.blocks[torch.from_numpy(fine).to(device)]  # (f, 3, 32, 32)
        quarters = fine_blocks.reshape(-1, 3, 2, PATCH, 2, PATCH).permute(0, 2, 4, 1, 3, 5)
        row, column = np.divmod(fine, columns)
        down, right = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
        dense = (2 * row[:, None] + down) * 2 * columns + 2 * column[:, None] + right  # (f, 4)
        scale = np.repeat([0, 1], [len(coarse), dense.size])
        return Tokens(
            patches=torch.cat([shrunk, quarters.reshape(-1, 3, PATCH, PATCH)]),
            scale=torch.from_numpy(scale).to(device),
            position=torch.from_numpy(np.concatenate([coarse, dense.ravel()])).to(device),
            grid=self.grid,
        )


# --- Difference -------------------------------------------------------------------------------------------


def _window_sum(maps: Tensor) -> Tensor:
    """Sums over all 7 x 7 windows that lie inside: (..., H, W) -> (..., H - 6, W - 6). Of integers, so exact."""
    for dim in (-1, -2):
        n = maps.shape[dim] - _WINDOW + 1
        two = maps.narrow(dim, 0, n + 5) + maps.narrow(dim, 1, n + 5)
        four = two.narrow(dim, 0, n) + two.narrow(dim, 2, n)
        maps = four.add_(two.narrow(dim, 4, n)).add_(maps.narrow(dim, 6, n))
    return maps


def block_differences(pairs: Sequence[tuple[BlockedPicture, BlockedPicture]]) -> Tensor:
    """1 - SSIM of every block that both pictures of a pair have, averaged over the colour channels.

    SSIM is that of Wang et al. 2004 with uniform windows of 7 pixels that stay inside the block. Its sums are
    computed in integers: they fit 32 bits, and no rounding can make equal blocks differ.

    Args:
        pairs: P pairs of equal shape: all first pictures have one grid, and all second ones. The overlap is
            the upper left part that both grids have.

    Returns:
        (P, rows, columns) float32 in [0, 1] over the overlap.
    """
    rows = min(pairs[0][0].grid[0], pairs[0][1].grid[0])
    columns = min(pairs[0][0].grid[1], pairs[0][1].grid[1])
    height, width = rows * BLOCK, columns * BLOCK
    inner = (slice(None), slice(height - _WINDOW + 1), slice(width - _WINDOW + 1))

    def stacked(side: int, moment: int) -> Tensor:
        return torch.stack([pair[side].moments[moment][inner] for pair in pairs])

    first = torch.stack([pair[0].comparable[:, :height, :width] for pair in pairs])
    second = torch.stack([pair[1].comparable[:, :height, :width] for pair in pairs])
    sum_a, sum_b = stacked(0, 0), stacked(1, 0)
    product = sum_a * sum_b
    covariance = _N * _window_sum(first * second) - product
    ssim = (2 * product + _C1) / (stacked(0, 1) + stacked(1, 1) + _C1)
    ssim *= (2 * covariance + _C2) / (stacked(0, 2) + stacked(1, 2) + _C2)
    inside = BLOCK - _WINDOW + 1  # windows of a block, along each side
    padded = functional.pad(ssim, (0, _WINDOW - 1, 0, _WINDOW - 1))
    per_block = padded.reshape(len(pairs), 3, rows, BLOCK, columns, BLOCK)[:, :, :, :inside, :, :inside]
    return (1 - per_block.mean((1, 3, 5))).clamp(0, 1)


# --- Choice -----------------------------------------------------------------------------------------------


def seeded(*parts: str) -> np.random.Generator:
    """A generator that depends on these texts alone."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256("\n".join(parts).encode()).digest()[:8], "big"))


def choose_blocks(scores: NDArray[np.float64], keys: NDArray[np.float64], settings: TokenSettings) -> tuple[Ids, Ids]:
    """Which blocks are kept fine, and which coarse, within the budget.

    The candidates are the blocks with the highest scores (ties: the earlier one); the fine ones are those among
    them with the lowest keys. If all blocks are too many tokens, coarse ones with the lowest keys are left out.

    Args:
        scores: (n,) how different each block is.
        keys: (n,) random, distinct.
        settings: budget, number of fine blocks, share of candidates.

    Returns:
        Indices of fine and of coarse blocks, both ascending.
    """
    n = len(scores)
    ranked = np.argsort(-np.round(scores, _TIE_DECIMALS), kind="stable")
    candidates = ranked[: max(1, int(n * settings.candidates))]
    fine = np.sort(candidates[np.argsort(keys[candidates], kind="stable")][: settings.fine_blocks])
    left = np.ones(n, dtype=bool)
    left[fine] = False
    rest = np.flatnonzero(left)
    room = settings.budget - 4 * len(fine)
    coarse = np.sort(rest[np.argsort(-keys[rest], kind="stable")][:room])
    return fine.astype(np.int64), coarse.astype(np.int64)


def single_tokens(
    picture: LoadedImage, settings: TokenSettings, *, salt: str = "", device: torch.device | str = "cpu"
) -> Tokens:
    """The tokens of a picture that is looked at alone: native if it fits the budget, else with random fine blocks.

    Args:
        picture: upright RGB.
        settings: the model's.
        salt: makes another draw; without one it depends on the picture's content alone.
        device: where the tokens are made.
    """
    size = picture.image.size
    device = torch.device(device)
    if n_patches(size) <= settings.budget:
        grid = (math.ceil(size[1] / PATCH), math.ceil(size[0] / PATCH))
        patches = _cut(_fitted(_normalised(_pixels(picture.image, device)), *grid, PATCH), *grid, PATCH)
        n = len(patches)
        return Tokens(
            patches=patches,
            scale=torch.zeros(n, dtype=torch.int64, device=device),
            position=torch.arange(n, device=device),
            grid=grid,
        )
    blocked = BlockedPicture(picture.image, size, device)
    rows, columns = blocked.grid
    draws = seeded(picture.ref.id, salt).random((2, rows * columns))
    return blocked.tokens(*choose_blocks(draws[0], draws[1], settings))


@dataclass(frozen=True)
class _Pair:
    pictures: tuple[BlockedPicture, BlockedPicture]
    rng: np.random.Generator


def pair_tokens(
    pictures: Sequence[LoadedImage],
    pairs: Sequence[tuple[int, int]],
    settings: TokenSettings,
    *,
    salt: str = "",
    device: torch.device | str = "cpu",
) -> list[tuple[Tokens, Tokens]]:
    """The tokens of pictures as seen in pairs: fine where the two differ.

    What a picture looks like beside another one depends on their contents alone, not on their order.

    Args:
        pictures: upright RGB.
        pairs: two positions in ``pictures`` each.
        settings: the model's.
        salt: makes another draw (training).
        device: where SSIM and tokens are computed.

    Returns:
        For each pair, the tokens of its first and of its second picture.

    Raises:
        InputError: a picture is paired with itself.
    """
    device = torch.device(device)
    blocked: dict[tuple[int, Size], BlockedPicture] = {}

    def at(index: int, size: Size) -> BlockedPicture:
        if (index, size) not in blocked:
            blocked[index, size] = BlockedPicture(pictures[index].image, size, device)
        return blocked[index, size]

    prepared = []
    alike: dict[Any, list[int]] = {}  # pairs of one shape: compared at once
    for number, (i, j) in enumerate(pairs):
        if i == j:
            raise InputError(f"picture {i} is paired with itself")
        rng = seeded(*sorted((pictures[i].ref.id, pictures[j].ref.id)), salt)
        sizes = pair_sizes(pictures[i].image.size, pictures[j].image.size, settings, by_width=rng.random() < 0.5)
        pair = _Pair((at(i, sizes[0]), at(j, sizes[1])), rng)
        prepared.append(pair)
        alike.setdefault((pair.pictures[0].grid, pair.pictures[1].grid), []).append(number)
    found: dict[int, tuple[Tokens, Tokens]] = {}
    for numbers in alike.values():
        for start in range(0, len(numbers), _PAIRS_AT_ONCE):
            chunk = numbers[start : start + _PAIRS_AT_ONCE]
            differences = block_differences([prepared[number].pictures for number in chunk]).cpu().numpy()
            for number, difference in zip(chunk, differences, strict=True):
                found[number] = _chosen(prepared[number], difference, settings)
    return [found[number] for number in range(len(pairs))]


def _chosen(pair: _Pair, difference: NDArray[np.float32], settings: TokenSettings) -> tuple[Tokens, Tokens]:
    """Tokens of both pictures, drawn with one set of random numbers, so that equal grids give equal places."""
    grids = [picture.grid for picture in pair.pictures]
    draws = pair.rng.random((2, max(grid[0] for grid in grids), max(grid[1] for grid in grids)))
    views = []
    for picture in pair.pictures:
        rows, columns = picture.grid
        scores = draws[0, :rows, :columns].copy()  # what only one picture has cannot be compared: a random score
        scores[: difference.shape[0], : difference.shape[1]] = difference
        views.append(picture.tokens(*choose_blocks(scores.ravel(), draws[1, :rows, :columns].ravel(), settings)))
    return views[0], views[1]
