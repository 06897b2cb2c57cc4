"""Cut pictures into blocks of 32 x 32 pixels, and measure how much the blocks of two pictures differ."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from redaes.images import LoadedImage
from redaes.models.fgaesq.tokens import BLOCK, PATCH, Grid, Ids, Size

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
"""Standard deviations with which CLIP's pictures are normalised; ``MEAN`` has the means (Radford et al. 2021), for RGB
in [0, 1]."""

_WINDOW = 7  # SSIM's window, in pixels: the default of scikit-image, which the published code calls
_INSIDE = BLOCK - _WINDOW + 1  # windows of a block, along each side
_N = _WINDOW**2
# SSIM's constants (Wang et al. 2004) in the units of the integers below: sums over a window of values up to 255,
# and N (N - 1) times their variances.
_C1 = (0.01 * 255 * _N) ** 2
_C2 = (0.03 * 255) ** 2 * _N * (_N - 1)
_BLOCKS_AT_ONCE = 1024  # of which SSIM and shrinking are computed; larger pictures take no more memory
_KEPT_BYTES = 2**27  # of the pictures whose blocks are kept for the next pairs


def n_patches(size: Size) -> int:
    """Return the number of tokens of a picture at full resolution, including incomplete patches.

    >>> n_patches((512, 256)), n_patches((513, 256))
    (512, 528)
    """
    return math.ceil(size[0] / PATCH) * math.ceil(size[1] / PATCH)


def block_grid(size: Size) -> Grid:
    """Return rows and columns of blocks: cropped or padded to whole ones, whichever touches the smaller corner.

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


def native_patches(image: Image.Image, device: torch.device) -> tuple[Tensor, Grid]:
    """Return a whole picture in patches of 16 pixels, row by row: (rows * columns, 3, 16, 16), normalised, and their
    grid.
    """
    rows, columns = math.ceil(image.height / PATCH), math.ceil(image.width / PATCH)
    fitted = _fitted(_normalised(_pixels(image, device)), rows, columns, PATCH)
    cut = fitted.reshape(3, rows, PATCH, columns, PATCH).permute(1, 3, 0, 2, 4)
    return cut.reshape(rows * columns, 3, PATCH, PATCH), (rows, columns)


def fine_positions(blocks: Ids, columns: int) -> Ids:
    """Return places of the four tokens of each block in the grid twice as dense, block by block: (4 n,)."""
    row, column = np.divmod(blocks, columns)
    down, right = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    return ((2 * row[:, None] + down) * 2 * columns + 2 * column[:, None] + right).ravel().astype(np.int64)


class BlockedPicture:
    """A picture at one size, cut into blocks. Data that several pairs need is computed once."""

    def __init__(self, image: Image.Image, device: torch.device) -> None:
        self.grid = block_grid(image.size)
        self._size = image.size
        rows, columns = self.grid
        fitted = _fitted(_pixels(image, device), rows, columns, BLOCK)
        cut = fitted.reshape(3, rows, BLOCK, columns, BLOCK).permute(0, 2, 1, 3, 4)
        # (3, 32, n, 32) uint8: the blocks beside each other in one row; padding is black.
        self.strip = cut.reshape(3, BLOCK, rows * columns, BLOCK)

    @property
    def n_blocks(self) -> int:
        """Number of blocks."""
        return self.grid[0] * self.grid[1]

    @property
    def n_bytes(self) -> int:
        """Size in memory, in bytes, when everything has been computed."""
        per_block = 3 * BLOCK**2
        if self.n_blocks <= _BLOCKS_AT_ONCE:
            per_block += 4 * 3 * (2 * _INSIDE**2 + PATCH**2)
        return self.n_blocks * per_block

    def moments(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Return for each window of the blocks from ``start`` to ``stop`` the sum of the values, and N (N - 1) times
        their variance; each (3, 26, n, 26) int32."""
        if self.n_blocks > _BLOCKS_AT_ONCE:
            return _moments(self.strip[:, :, start:stop])
        total, variance = self._all_moments
        return total[:, :, start:stop], variance[:, :, start:stop]

    def shrunk(self, blocks: Ids) -> Tensor:
        """Return (n, 3, 16, 16), normalised: one token for each of these blocks."""
        chosen = torch.from_numpy(blocks).to(self.strip.device)
        if self.n_blocks <= _BLOCKS_AT_ONCE:
            return self._all_shrunk[chosen]
        return torch.cat([_half(self._normalised(part)) for part in chosen.split(_BLOCKS_AT_ONCE)])

    def quarters(self, blocks: Ids) -> Tensor:
        """Return (4 n, 3, 16, 16), normalised: four tokens for each of these blocks."""
        whole = self._normalised(torch.from_numpy(blocks).to(self.strip.device))
        cut = whole.reshape(-1, 3, 2, PATCH, 2, PATCH).permute(0, 2, 4, 1, 3, 5)
        return cut.reshape(-1, 3, PATCH, PATCH)

    @cached_property
    def _all_moments(self) -> tuple[Tensor, Tensor]:
        return _moments(self.strip)

    @cached_property
    def _all_shrunk(self) -> Tensor:
        return _half(self._normalised(torch.arange(self.n_blocks, device=self.strip.device)))

    def _normalised(self, blocks: Tensor) -> Tensor:
        """Return (n, 3, 32, 32); padding is zero, the mean colour."""
        found = _normalised(self.strip[:, :, blocks]).permute(2, 0, 1, 3).contiguous()
        rows, columns = self.grid
        width, height = self._size
        if width < columns * BLOCK:
            found[blocks % columns == columns - 1, :, :, width % BLOCK :] = 0
        if height < rows * BLOCK:
            found[blocks // columns == rows - 1, :, height % BLOCK :] = 0
        return found


class KeptPictures:
    """Pictures of a series at the sizes of its pairs; those not used for longest are forgotten."""

    def __init__(self, pictures: Sequence[LoadedImage], device: torch.device) -> None:
        self.pictures = pictures
        self.device = device
        self._kept: OrderedDict[tuple[int, tuple[Size, ...]], BlockedPicture] = OrderedDict()

    def at(self, index: int, sizes: tuple[Size, ...]) -> BlockedPicture:
        """Return a picture after it was resized to these sizes in turn."""
        key = index, sizes
        if key not in self._kept:
            image = self.pictures[index].image
            for size in sizes:
                if image.size != size:
                    image = image.resize(size, Image.Resampling.LANCZOS)
            self._kept[key] = BlockedPicture(image, self.device)
        self._kept.move_to_end(key)
        # The two pictures of the current pair are kept, however large they are.
        while len(self._kept) > 2 and sum(picture.n_bytes for picture in self._kept.values()) > _KEPT_BYTES:
            self._kept.popitem(last=False)
        return self._kept[key]


def block_differences(first: BlockedPicture, second: BlockedPicture, places: tuple[Ids, Ids] | None = None) -> Tensor:
    """Return 1 - SSIM of pairs of blocks, averaged over the colour channels.

    SSIM is that of Wang et al. 2004 with uniform windows of 7 pixels that stay inside the block. Its sums are
    computed in integers: they fit 32 bits, and no rounding can make equal blocks differ.

    Args:
        first: one picture.
        second: the other.
        places: indices of blocks in the first and in the second, as many; None: the first ones of both, as far as both
            have blocks.

    Returns:
        (n,) float32 in [0, 1].
    """
    if places is not None:
        return _differences(*(_Picked(picture, ids) for picture, ids in zip((first, second), places, strict=True)))
    n = min(first.n_blocks, second.n_blocks)
    parts = []
    for start in range(0, n, _BLOCKS_AT_ONCE):
        stop = min(n, start + _BLOCKS_AT_ONCE)
        parts.append(_differences(*(_Picked(picture, slice(start, stop)) for picture in (first, second))))
    return torch.cat(parts)


class _Picked:
    """Blocks of a picture with their moments."""

    def __init__(self, picture: BlockedPicture, which: Ids | slice) -> None:
        if isinstance(which, slice):
            self.strip = picture.strip[:, :, which]
            self.total, self.variance = picture.moments(which.start, which.stop)
            return
        ids = torch.from_numpy(which).to(picture.strip.device)
        self.strip = picture.strip[:, :, ids]
        if picture.n_blocks > _BLOCKS_AT_ONCE:
            self.total, self.variance = _moments(self.strip)
        else:
            self.total, self.variance = (values[:, :, ids] for values in picture.moments(0, picture.n_blocks))


def _differences(one: _Picked, other: _Picked) -> Tensor:
    product = one.total * other.total
    covariance = _N * _window_sums(one.strip.int() * other.strip) - product
    ssim = (2 * product + _C1) / (one.total.square() + other.total.square() + _C1)
    ssim *= (2 * covariance + _C2) / (one.variance + other.variance + _C2)
    return (1 - ssim.mean((0, 1, 3))).clamp(0, 1)


def _moments(strip: Tensor) -> tuple[Tensor, Tensor]:
    values = strip.int()
    total = _window_sums(values)
    return total, _N * _window_sums(values.square()) - total.square()


def _window_sums(blocks: Tensor) -> Tensor:
    """Return sums over all 7 x 7 windows that lie inside a block: (3, 32, n, 32) -> (3, 26, n, 26). Of integers, so
    exact.
    """
    maps = blocks.flatten(2)  # (3, 32, 32 n): one row of blocks, whose windows across borders are left out at the end
    for dim in (1, 2):
        n = maps.shape[dim] - _WINDOW + 1
        two = maps.narrow(dim, 0, n + 5) + maps.narrow(dim, 1, n + 5)
        four = two.narrow(dim, 0, n) + two.narrow(dim, 2, n)
        maps = four.add_(two.narrow(dim, 4, n)).add_(maps.narrow(dim, 6, n))
    padded = functional.pad(maps, (0, _WINDOW - 1))
    return padded.unflatten(2, (-1, BLOCK))[..., :_INSIDE].contiguous()


def _pixels(image: Image.Image, device: torch.device) -> Tensor:
    """Return (3, H, W) uint8."""
    return torch.from_numpy(np.array(image.convert("RGB"))).to(device).permute(2, 0, 1)


def _normalised(pixels: Tensor) -> Tensor:
    """Return (3, ...) uint8 to CLIP's float32."""
    shape = (3, *(1,) * (pixels.dim() - 1))
    mean = torch.tensor(MEAN, device=pixels.device).view(shape)
    std = torch.tensor(STD, device=pixels.device).view(shape)
    return (pixels.float() / 255 - mean) / std


def _fitted(pixels: Tensor, rows: int, columns: int, side: int) -> Tensor:
    """Cropped, or padded with zeros, at the right and at the bottom to a whole grid."""
    _, height, width = pixels.shape
    return functional.pad(pixels, (0, columns * side - width, 0, rows * side - height))


def _half(blocks: Tensor) -> Tensor:
    """(n, 3, 32, 32) -> (n, 3, 16, 16)."""
    return functional.interpolate(blocks, size=(PATCH, PATCH), mode="bicubic", align_corners=False)
