"""Compare the coarse layout of photographs, to find candidates cheaply; layout alone never puts two in one series."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SIDE = 24
"""Side of the small grey pictures, in pixels."""

N_NEAREST = 16
"""Number of pictures with the most similar coarse structure whose layout is compared exactly."""

MIN_LAYOUT_LIKENESS = 0.3
"""Smallest likeness of layout at which detail is compared at all [ours]."""

_MIDDLE = 16
_COARSE = 8


class LayoutIndex:
    """The small grey pictures of a folder, some 800 bytes each."""

    def __init__(self, greys: Sequence[NDArray[np.uint8]]) -> None:
        """
        Args:
            greys: (24, 24) each.
        """
        self._greys = np.array(greys, dtype=np.uint8).reshape(-1, SIDE, SIDE)
        blocks = self._greys.reshape(len(self._greys), _COARSE, SIDE // _COARSE, _COARSE, SIDE // _COARSE)
        coarse = blocks.mean(axis=(2, 4), dtype=np.float32).reshape(len(self._greys), -1)
        self._coarse = _standardised(coarse)

    def likeness(self, one: int, other: int) -> float:
        """Return the likeness of two pictures' layouts, as in :func:`layout_likeness`."""
        return float(layout_likeness(self._greys[one], self._greys[other][None])[0])

    def most_alike(self, one: int, others: Sequence[int] | NDArray[np.intp]) -> list[int]:
        """Return the other pictures whose layout is like that of one picture, the most similar first."""
        places = np.asarray(others, dtype=np.intp)
        if len(places) > N_NEAREST:
            near = self._coarse[places] @ self._coarse[one]
            places = places[np.sort(np.argsort(-near, kind="stable")[:N_NEAREST])]
        if not len(places):
            return []
        alike = layout_likeness(self._greys[one], self._greys[places])
        ranked = np.argsort(-alike, kind="stable")
        return [int(places[at]) for at in ranked if alike[at] >= MIN_LAYOUT_LIKENESS]


def layout_likeness(one: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return how well the middle of one small grey picture is found in others, or theirs in it: the highest
    correlation.

    Args:
        one: (24, 24).
        others: (n, 24, 24).

    Returns:
        (n,), in [-1, 1]; 0 where the middles are flat.
    """
    edge = (SIDE - _MIDDLE) // 2
    inner = slice(edge, SIDE - edge)
    middles = _standardised(others[:, inner, inner].reshape(len(others), -1).astype(np.float32))
    found = (_windows(one[None])[0] @ middles.T).max(axis=0)
    middle = _standardised(one[inner, inner].reshape(-1).astype(np.float32))
    best: NDArray[np.float32] = np.maximum(found, (_windows(others) @ middle).max(axis=1))
    return best


def _windows(greys: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return (n, 81, 256): every window of the middle's size in each picture."""
    whole = greys.astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(whole, (1, _MIDDLE, _MIDDLE))
    return _standardised(windows.reshape(len(greys), -1, _MIDDLE * _MIDDLE))


def _standardised(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return rows scaled to mean 0 and length 1; a flat row becomes zeros."""
    centred = values - values.mean(axis=-1, keepdims=True)
    length = np.linalg.norm(centred, axis=-1, keepdims=True)
    return np.divide(centred, length, out=np.zeros_like(centred), where=length > 1e-3)
