"""Read TIFF files whose channels Pillow combines wrongly or not at all, by asking its decoders for plain numbers.

Channels that are stored one after another are read as one grey picture each. Interleaved channels are read as one grey
picture whose width is multiplied by their number.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from redaes.images.tiff_tags import Directory, Entry, Tag, first_directory, tail_at, with_directory
from redaes.images.unwrapped import UnsupportedPixels

_COLOURS = {0: "L", 1: "L", 2: "RGB", 5: "CMYK"}
"""Modes by photometric interpretation: white is zero, black is zero, RGB, inks."""

_TRUSTED = {(2, 3), (2, 4), (5, 4)}
"""Pairs of photometric interpretation and number of interleaved channels that Pillow reads correctly; single channels
are correct too."""

_PLAIN_PACKING = frozenset({1, 5, 8, 32773, 32946, 34925, 50000})
"""Compressions that do not depend on channels: none, LZW, Deflate, PackBits, LZMA, Zstandard."""

_MAX_SAMPLES = 8
_ALPHA, _PREMULTIPLIED = (1, 2), 1


def open_tiff(file: io.BytesIO) -> ImageFile.ImageFile:
    """Open an unwrapped TIFF file with the reader that reads its channels correctly."""
    return SampledTiff(file) if _is_for_samples(file.getvalue()) else TiffImageFile(file)


class SampledTiff(ImageFile.ImageFile):
    """A TIFF file as a Pillow image whose channels are combined here: L, LA, RGB, RGBA or CMYK, with 8 bits."""

    format = "TIFF"

    def _open(self) -> None:
        if self.fp is None:
            raise AssertionError("opened without a file")
        directory = first_directory(self.fp.read())
        if directory is None:
            raise SyntaxError("no directory")
        self._directory = directory
        self._colours = _COLOURS[directory.number(Tag.PHOTOMETRIC, 1)]
        extra = directory.numbers(Tag.EXTRA_SAMPLES)
        self._alpha = next((place for place, kind in enumerate(extra) if kind in _ALPHA), None)
        self._is_premultiplied = self._alpha is not None and extra[self._alpha] == _PREMULTIPLIED
        if self._alpha is not None and self._colours == "CMYK":
            raise UnsupportedPixels("it has inks (CMYK) and transparency; export it as RGB, or without transparency")
        self._size = (directory.number(Tag.WIDTH, 0), directory.number(Tag.HEIGHT, 0))
        self._mode = self._colours + ("A" if self._alpha is not None else "")

    def load(self) -> Any:
        """Decode the numbers and make a picture of them."""
        if self._im is None:
            numbers = _numbers(self._directory)
            n_colours = len(self._colours)
            white = np.iinfo(numbers.dtype).max
            colours = numbers[..., :n_colours]
            alpha = None if self._alpha is None else numbers[..., n_colours + self._alpha]
            if alpha is not None and self._is_premultiplied:
                shares = np.maximum(alpha, 1)[..., None] / white
                colours = np.minimum(np.round(colours / shares), white).astype(numbers.dtype)
            if self._directory.number(Tag.PHOTOMETRIC, 1) == 0:
                colours = white - colours
            channels = [colours[..., n] for n in range(n_colours)] + ([] if alpha is None else [alpha])
            made = Image.merge(self.mode, [Image.fromarray(_eight_bits(one)) for one in channels])
            self.im, self.tile = made.im, []
        return Image.Image.load(self)


def _is_for_samples(data: bytes) -> bool:
    directory = first_directory(data)
    if directory is None:
        return False
    n_samples = directory.number(Tag.SAMPLES, 1)
    photometric = directory.number(Tag.PHOTOMETRIC, -1)
    bits = directory.numbers(Tag.BITS)
    if photometric not in _COLOURS or set(bits) not in ({8}, {16}) or n_samples > _MAX_SAMPLES:
        return False
    if n_samples == 1:
        return photometric == 0 and set(bits) == {16}
    if n_samples < len(_COLOURS[photometric]):
        return False
    if directory.number(Tag.PLANAR, 1) == 2:
        return True
    return (photometric, n_samples) not in _TRUSTED and directory.number(Tag.COMPRESSION, 1) in _PLAIN_PACKING


def _numbers(directory: Directory) -> NDArray[Any]:
    """Return the samples of a picture, of shape (rows, columns, channels), in 8 or 16 bits."""
    n_samples = directory.number(Tag.SAMPLES, 1)
    bits = directory.number(Tag.BITS, 8)
    shared = {tag: entry for tag, entry in directory.entries.items() if tag != Tag.EXTRA_SAMPLES}
    shared |= {
        Tag.BITS: _whole(directory, bits),
        Tag.PHOTOMETRIC: _whole(directory, 1),
        Tag.SAMPLES: _whole(directory, 1),
        Tag.PLANAR: _whole(directory, 1),
    }
    if directory.number(Tag.PLANAR, 1) == 2:
        return np.stack([_grey(_plane(directory, shared, n, n_samples), bits) for n in range(n_samples)], axis=-1)
    width = directory.number(Tag.WIDTH, 0)
    tile_width = directory.number(Tag.TILE_WIDTH, width)
    for tag in (Tag.WIDTH, Tag.TILE_WIDTH):
        if tag in shared:
            shared[tag] = _whole(directory, directory.number(tag, 0) * n_samples)
    is_difference = directory.number(Tag.PREDICTOR, 1) == 2
    shared.pop(Tag.PREDICTOR, None)
    numbers = _grey(with_directory(directory, shared), bits).reshape(-1, width, n_samples)
    if is_difference:  # from pixel to pixel, anew in each tile
        for left in range(0, width, tile_width):
            part = numbers[:, left : left + tile_width]
            np.cumsum(part, axis=1, dtype=numbers.dtype, out=part)
    return numbers


def _grey(data: bytes, bits: int) -> NDArray[Any]:
    channel = TiffImageFile(io.BytesIO(data))
    channel.load()
    return np.array(channel).astype(np.uint8 if bits == 8 else np.uint16, copy=False)


def _plane(directory: Directory, shared: Mapping[int, Entry], number: int, n_samples: int) -> bytes:
    """Return a grey file of one channel."""
    entries = dict(shared)
    tail = b""
    letter, kind, size = ("Q", 16, 8) if directory.is_big else ("I", 4, 4)
    for tag in (Tag.STRIP_OFFSETS, Tag.STRIP_BYTES, Tag.TILE_OFFSETS, Tag.TILE_BYTES):
        values = directory.numbers(tag)
        n_own = len(values) // n_samples
        if not n_own:
            continue
        body = struct.pack(f"{directory.order}{n_own}{letter}", *values[n_own * number : n_own * (number + 1)])
        field = body
        if n_own > 1:
            field = struct.pack(directory.order + letter, tail_at(directory.block) + len(tail))
            tail += body
        entries[tag] = Entry(kind, n_own, field.ljust(size, b"\0"))
    return with_directory(directory, entries, tail)


def _whole(directory: Directory, value: int) -> Entry:
    """Return an entry of one whole number."""
    return Entry(4, 1, struct.pack(directory.order + "I", value).ljust(8 if directory.is_big else 4, b"\0"))


def _eight_bits(numbers: NDArray[Any]) -> NDArray[np.uint8]:
    if numbers.dtype == np.uint8:
        return np.ascontiguousarray(numbers)
    table = np.round(np.arange(65536) / 257).astype(np.uint8)
    return table[numbers]
