"""Make ICC profiles from primaries and a gamma, for files that state their colours without a profile."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SRGB_PRIMARIES = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
"""White, red, green and blue of sRGB (ITU-R BT.709), as x and y."""

ADOBE_RGB_PRIMARIES = (0.3127, 0.3290, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
"""Primaries of Adobe RGB (1998)."""

ADOBE_RGB_GAMMA = 563 / 256

_D50 = np.array([0.9642, 1.0, 0.8249])  # the white of ICC's connection space
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)  # IEC 61966-2-1, as ICC's function 3 takes it


def matrix_profile(name: str, primaries: Sequence[float], gamma: float | None) -> bytes:
    """Return an ICC profile (version 4) of these primaries.

    Args:
        name: its name in messages.
        primaries: x and y of white, red, green and blue.
        gamma: exponent that converts the file's values to linear light; None: the curve of sRGB.
    """
    columns = _adapted(primaries)
    values = _SRGB_CURVE if gamma is None else (gamma,)
    curve = b"para" + struct.pack(">IHH", 0, 3 if gamma is None else 0, 0) + b"".join(map(_fixed, values))
    text = name.encode("utf-16-be")
    words = b"mluc" + struct.pack(">III2s2sII", 0, 1, 12, b"en", b"US", len(text), 28) + text
    tags = [(b"desc", words), (b"cprt", words), (b"wtpt", _xyz(_D50))]
    tags += [(letter + b"XYZ", _xyz(columns[:, place])) for place, letter in enumerate((b"r", b"g", b"b"))]
    tags += [(letter + b"TRC", curve) for letter in (b"r", b"g", b"b")]
    at = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for signature, data in tags:
        table += struct.pack(">4sII", signature, at + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(">II4s", at + len(body), 0, b"\x04\x20\0\0") + b"mntrRGB XYZ "
    head += struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + b"".join(map(_fixed, _D50))
    return head.ljust(128, b"\0") + table + body


def xy_chromaticities(primaries: Sequence[float]) -> bool:
    """Return whether four pairs of x and y can be a white and three primaries of a colour space."""
    pairs = np.asarray(primaries, dtype=np.float64).reshape(4, 2)
    if (pairs[:, 1] < 1e-3).any() or (pairs < 0).any() or (pairs.sum(axis=1) > 1.0001).any():
        return False
    return bool(abs(np.linalg.det(_as_xyz(pairs[1:]))) > 1e-3)


def _adapted(primaries: Sequence[float]) -> NDArray[np.float64]:
    """Return the XYZ of red, green and blue as columns, adapted to D50."""
    pairs = np.asarray(primaries, dtype=np.float64).reshape(4, 2)
    white = _as_xyz(pairs[:1])[:, 0]
    colours = _as_xyz(pairs[1:])
    colours = colours * np.linalg.solve(colours, white)
    cones = np.diag((_BRADFORD @ _D50) / (_BRADFORD @ white))
    adapted: NDArray[np.float64] = np.linalg.inv(_BRADFORD) @ cones @ _BRADFORD @ colours
    return adapted


def _as_xyz(pairs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return XYZ with Y = 1 as columns."""
    x, y = pairs.T
    return np.stack([x / y, np.ones_like(x), (1 - x - y) / y])


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def _xyz(values: NDArray[np.float64]) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(map(_fixed, values))
