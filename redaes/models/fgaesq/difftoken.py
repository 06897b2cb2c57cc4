"""DiffToken: a picture as at most ``budget`` tokens that keep the places where two pictures differ.

Source: Yang et al., arXiv 2603.03907, section on DiffToken, and what their inference code does where the text is
silent. Ours are the seeds (by content, not by place in a list), the overlap of pictures with different
aspect ratios (the common rows *and* columns), equal places for both pictures, the class token beside the budget, and
that only coarse tokens are left out. What the released code does instead, a model can have by its settings
(:mod:`redaes.models.fgaesq.published_tokens`).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from redaes.errors import InputError
from redaes.images import LoadedImage
from redaes.models.fgaesq.blocks import (
    BlockedPicture,
    KeptPictures,
    block_differences,
    fine_positions,
    n_patches,
    native_patches,
)
from redaes.models.fgaesq.published_tokens import published_pair, published_single
from redaes.models.fgaesq.tokens import Ids, Size, Tokens, TokenSettings

_ENLARGE = 1.2  # a pair too small for blocks is enlarged to this many times the budget
_TIE_DECIMALS = 5  # differences that agree to this many decimals are ties: rounding errors must not decide


def _enlarged(size: Size, settings: TokenSettings) -> float:
    """Return the factor by which a picture has to grow so that it is worth cutting into blocks; 1 for larger ones."""
    patches = n_patches(size)
    if patches > settings.budget:
        return 1.0
    return max(math.sqrt(_ENLARGE * settings.budget / patches), settings.min_side / min(size))


def pair_sizes(first: Size, second: Size, settings: TokenSettings, by_width: bool) -> tuple[Size, Size]:
    """Return the sizes at which two pictures are compared: equally wide (or high), and large enough for blocks.

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


def seeded(*parts: str) -> np.random.Generator:
    """Return a generator that depends on these texts alone."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256("\n".join(parts).encode()).digest()[:8], "big"))


def choose_blocks(scores: NDArray[np.float64], keys: NDArray[np.float64], settings: TokenSettings) -> tuple[Ids, Ids]:
    """Return which blocks are kept fine, and which coarse, within the budget.

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
    """Return the tokens of a picture that is looked at alone: native if it fits the budget, else with random fine
    blocks.

    Args:
        picture: upright RGB.
        settings: the model's.
        salt: makes another draw; without one it depends on the picture's content alone.
        device: where the tokens are made.
    """
    device = torch.device(device)
    if settings.procedure == "published":
        return published_single(picture, settings, salt, device)
    if n_patches(picture.image.size) <= settings.budget:
        patches, grid = native_patches(picture.image, device)
        n = len(patches)
        scale = torch.zeros(n, dtype=torch.int64, device=device)
        return Tokens(patches=patches, scale=scale, position=torch.arange(n, device=device), grid=grid)
    blocked = BlockedPicture(picture.image, device)
    draws = seeded(picture.ref.id, salt).random((2, blocked.n_blocks))
    return _tokens(blocked, *choose_blocks(draws[0], draws[1], settings))


def pair_tokens(
    pictures: Sequence[LoadedImage],
    pairs: Sequence[tuple[int, int]],
    settings: TokenSettings,
    *,
    salt: str = "",
    device: torch.device | str = "cpu",
) -> Iterator[tuple[Tokens, Tokens]]:
    """Yield the tokens of pictures as seen in pairs: fine where the two differ. Made when they are asked for.

    What a picture looks like beside another one depends on their contents alone, not on their order.

    Args:
        pictures: upright RGB.
        pairs: two positions in ``pictures`` each. What is computed of a picture at a size is kept for a while:
            pairs with pictures in common should follow each other.
        settings: the model's.
        salt: makes another draw (training).
        device: where SSIM and tokens are computed.

    Yields:
        For each pair, the tokens of its first and of its second picture.

    Raises:
        InputError: a picture is paired with itself.
    """
    kept = KeptPictures(pictures, torch.device(device))
    for i, j in pairs:
        if i == j:
            raise InputError(f"picture {i} is paired with itself")
        one = published_pair if settings.procedure == "published" else _pair
        yield one(kept, i, j, settings, salt)


def _pair(kept: KeptPictures, i: int, j: int, settings: TokenSettings, salt: str) -> tuple[Tokens, Tokens]:
    """Return the tokens of both pictures, drawn with the same random numbers, so that equal grids give equal places."""
    pictures = kept.pictures[i], kept.pictures[j]
    rng = seeded(*sorted(picture.ref.id for picture in pictures), salt)
    sizes = pair_sizes(pictures[0].image.size, pictures[1].image.size, settings, by_width=rng.random() < 0.5)
    blocked = kept.at(i, (sizes[0],)), kept.at(j, (sizes[1],))
    grids = blocked[0].grid, blocked[1].grid
    rows, columns = (min(grid[k] for grid in grids) for k in (0, 1))
    common = np.arange(rows)[:, None], np.arange(columns)
    places = None
    if grids[0][1] != grids[1][1]:
        first, second = ((common[0] * grid[1] + common[1]).ravel() for grid in grids)
        places = first, second
    difference = block_differences(*blocked, places)[: rows * columns].cpu().numpy().reshape(rows, columns)
    draws = rng.random((2, max(grid[0] for grid in grids), max(grid[1] for grid in grids)))
    views = []
    for picture in blocked:
        height, width = picture.grid
        scores = draws[0, :height, :width].copy()  # blocks that only one picture has get a random score
        scores[:rows, :columns] = difference
        views.append(_tokens(picture, *choose_blocks(scores.ravel(), draws[1, :height, :width].ravel(), settings)))
    return views[0], views[1]


def _tokens(picture: BlockedPicture, fine: Ids, coarse: Ids) -> Tokens:
    """Return the tokens of a choice of blocks: the coarse ones, then four for each fine one."""
    positions = np.concatenate([coarse, fine_positions(fine, picture.grid[1])])
    patches = torch.cat([picture.shrunk(coarse), picture.quarters(fine)])
    return Tokens(
        patches=patches,
        scale=torch.from_numpy(np.repeat([0, 1], [len(coarse), 4 * len(fine)])).to(patches.device),
        position=torch.from_numpy(positions).to(patches.device),
        grid=picture.grid,
    )
