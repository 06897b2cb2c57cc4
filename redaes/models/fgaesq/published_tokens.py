"""DiffToken as the released inference code has it (github.com/yzc-ippl/FG-IAA, revision 4bfd40f), for its weights.

It differs from :mod:`redaes.models.fgaesq.difftoken` in this:

* The budget counts the class token: at most 511 others.
* Fine tokens are listed block by block, and their positions row by row over the whole picture: with more than one fine
  block in a row of blocks, tokens get each other's positions.
* In a pair, tokens that exceed the budget are drawn among all but those whose *places in the list of tokens* are the
  indices of fine blocks; of a picture alone, among all.
* A pair is compared over its common rows of blocks, block by block in the order of each picture's own list, which
  leads to different places where one picture has more columns. Each picture has its own draws.
* Pictures are brought to one width or height first, then enlarged: two resizes. They are read at full size (the
  released limit of 2,048 pixels shrinks copies that are not read).

The draws are those of Python's generator, in the released order. For files named as in FGAesthetics (000123-01.jpg)
they are seeded by the names, as released, so that published scores come back where no two blocks' differences
are so near to each other that rounding orders them. For others the contents are the seed, which is ours: the
released code has no rule for them, and does not seed the draws of pictures that are looked at alone. Ours, too: a pair
of very different shapes stays within 64 megapixels, and pictures are read upright and in sRGB.
"""

from __future__ import annotations

import hashlib
import math
import random
import re

import numpy as np
import torch

from redaes.images import LoadedImage
from redaes.models.fgaesq.blocks import (
    BlockedPicture,
    KeptPictures,
    block_differences,
    fine_positions,
    n_patches,
    native_patches,
)
from redaes.models.fgaesq.tokens import Ids, Size, Tokens, TokenSettings
from redaes.types import ImageRef

_NAME = re.compile(r"(\d+)-(\d+)")
_SEEDS = 10_000
_ENLARGE = 1.2
_SAME_SCALE = 0.01
_MOST_PIXELS = 64_000_000

Steps = tuple[Size, ...]
"""Sizes to which a picture is resized in turn."""


def draws_of(first: ImageRef, second: ImageRef, salt: str = "") -> tuple[random.Random, bool]:
    """Return the random draws of a pair, and whether its second picture is drawn for first.

    >>> from pathlib import Path
    >>> one, two = (ImageRef(id="0" * 64, path=Path(f"000123-0{n}.jpg")) for n in (2, 1))
    >>> draws_of(one, two)[1]
    True
    """
    named = [_NAME.fullmatch(ref.path.stem) for ref in (first, second)]
    if named[0] and named[1] and int(named[0][1]) == int(named[1][1]) and int(named[0][2]) != int(named[1][2]):
        places = int(named[0][2]), int(named[1][2])
        return _seeded(f"{int(named[0][1])}_{min(places)}_{max(places)}{salt}"), places[0] > places[1]
    ids = first.id, second.id
    return _seeded(f"{min(ids)}_{max(ids)}{salt}"), ids[0] > ids[1]


def _seeded(text: str) -> random.Random:
    return random.Random(int(hashlib.md5(text.encode(), usedforsecurity=False).hexdigest(), 16) % _SEEDS)


def published_steps(first: Size, second: Size, settings: TokenSettings, by_width: bool) -> tuple[Steps, Steps]:
    """Return the sizes to which the two pictures of a pair are resized.

    >>> published_steps((800, 600), (400, 400), TokenSettings(procedure="published"), by_width=True)
    (((800, 600),), ((800, 800),))
    """
    side = 0 if by_width else 1
    target = max(first[side], second[side])
    aligned: list[Size] = []
    for width, height in (first, second):
        if (width, height)[side] == target:
            aligned.append((width, height))
        elif by_width:
            aligned.append((target, max(1, int(height * target / width))))
        else:
            aligned.append((max(1, int(width * target / height)), target))
    large = [_large(size, settings) for size in aligned]
    scales = [max(w / size[0], h / size[1]) for (w, h), size in zip(large, aligned, strict=True)]
    if abs(scales[0] - scales[1]) > _SAME_SCALE:
        large = [(max(1, int(w * max(scales))), max(1, int(h * max(scales)))) for w, h in aligned]
    area = max(width * height for width, height in (*aligned, *large))
    if area > _MOST_PIXELS:
        shrink = math.sqrt(_MOST_PIXELS / area)
        large = [(max(1, int(w * shrink)), max(1, int(h * shrink))) for w, h in large]
        aligned = large
    one, other = ((a,) if a == b else (a, b) for a, b in zip(aligned, large, strict=True))
    return one, other


def _large(size: Size, settings: TokenSettings) -> Size:
    patches = n_patches(size)
    if patches > settings.budget:
        return size
    factor = math.sqrt(settings.budget * _ENLARGE / patches)
    if min(size) < settings.min_side:
        factor = max(factor, settings.min_side / min(size))
    return max(1, int(size[0] * factor)), max(1, int(size[1] * factor))


def published_pair(kept: KeptPictures, i: int, j: int, settings: TokenSettings, salt: str) -> tuple[Tokens, Tokens]:
    """Return the tokens of a pair's first and second picture."""
    draws, exchanged = draws_of(kept.pictures[i].ref, kept.pictures[j].ref, salt)
    order = (j, i) if exchanged else (i, j)
    by_width = draws.choice(("width", "height")) == "width"
    sizes = kept.pictures[order[0]].image.size, kept.pictures[order[1]].image.size
    steps = published_steps(*sizes, settings, by_width)
    blocked = kept.at(order[0], steps[0]), kept.at(order[1], steps[1])
    rows = min(picture.grid[0] for picture in blocked)
    n_common = min(rows * picture.grid[1] for picture in blocked)
    common = block_differences(*blocked)[:n_common].tolist()
    views = []
    for picture in blocked:
        own = (picture.grid[0] - rows) * picture.grid[1]  # blocks of rows that the other picture has not
        views.append(_chosen(picture, [*common, *[None] * own], settings, draws))
    return (views[1], views[0]) if exchanged else (views[0], views[1])


def published_single(picture: LoadedImage, settings: TokenSettings, salt: str, device: torch.device) -> Tokens:
    """Return the tokens of a picture that is looked at alone."""
    draws = _seeded(picture.ref.id + salt)
    most = settings.budget - 1
    if n_patches(picture.image.size) <= settings.budget:
        patches, grid = native_patches(picture.image, device)
        kept = _without(len(patches), draws.sample(range(len(patches)), max(0, len(patches) - most)))
        place = torch.from_numpy(kept).to(device)
        return Tokens(patches[place], torch.zeros(len(kept), dtype=torch.int64, device=device), place, grid)
    blocked = BlockedPicture(picture.image, device)
    fine = np.sort(np.array(draws.sample(range(blocked.n_blocks), settings.fine_blocks), dtype=np.int64))
    n_tokens = blocked.n_blocks + 3 * len(fine)
    return _listed(blocked, fine, _without(n_tokens, draws.sample(range(n_tokens), max(0, n_tokens - most))))


def _chosen(
    picture: BlockedPicture, importance: list[float | None], settings: TokenSettings, draws: random.Random
) -> Tokens:
    """Return the tokens of one picture of a pair.

    Args:
        picture: cut into blocks.
        importance: importance of its blocks, as far as there is any; None: drawn.
        settings: the model's.
        draws: that of the pair, at this point.
    """
    n = picture.n_blocks
    scores = importance[:n]
    scores += [draws.random() for _ in range(n - len(scores))]
    scores = [draws.random() if score is None else score for score in scores]
    ranked = sorted(range(n), key=lambda block: scores[block] or 0.0, reverse=True)
    candidates = ranked[: max(1, int(n * settings.candidates))]
    if settings.fine_blocks <= len(candidates):
        candidates = draws.sample(candidates, settings.fine_blocks)
    fine = np.sort(np.array(candidates, dtype=np.int64))
    n_tokens = n + 3 * len(fine)
    surplus = n_tokens - (settings.budget - 1)
    dropped: list[int] = []
    if surplus > 0:
        for score in importance[:n_tokens]:
            if score is None:
                draws.random()  # drawn as released, where it decides nothing
        spared = set(candidates)
        dropped = draws.sample([place for place in range(n_tokens) if place not in spared], surplus)
    return _listed(picture, fine, _without(n_tokens, dropped))


def _without(n: int, dropped: list[int]) -> Ids:
    """Return the places in a list of n that are left, ascending."""
    left = np.ones(n, dtype=bool)
    left[dropped] = False
    return np.flatnonzero(left).astype(np.int64)


def _listed(picture: BlockedPicture, fine: Ids, kept: Ids) -> Tokens:
    """Return the tokens at some places of the whole list: the coarse blocks, then the fine ones.

    Args:
        picture: cut into blocks.
        fine: its fine blocks, ascending.
        kept: places in the list, ascending.
    """
    coarse = np.setdiff1d(np.arange(picture.n_blocks), fine)
    n_coarse = len(coarse)
    positions = np.concatenate([coarse, np.sort(fine_positions(fine, picture.grid[1]))])
    of_coarse, of_fine = kept[kept < n_coarse], kept[kept >= n_coarse] - n_coarse
    quarters = picture.quarters(fine)
    device = quarters.device
    return Tokens(
        patches=torch.cat([picture.shrunk(coarse[of_coarse]), quarters[torch.from_numpy(of_fine).to(device)]]),
        scale=torch.from_numpy((kept >= n_coarse).astype(np.int64)).to(device),
        position=torch.from_numpy(positions[kept]).to(device),
        grid=picture.grid,
    )
