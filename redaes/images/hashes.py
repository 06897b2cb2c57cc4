"""Hashes of pictures: of a file's bytes, as a name, and of the appearance, to find copies."""

from __future__ import annotations

import hashlib

import numpy as np
from PIL import Image


def content_id(data: bytes) -> str:
    """Return the id of a picture: SHA-256 of the file's bytes, in hex.

    >>> content_id(b"")[:8]
    'e3b0c442'
    """
    return hashlib.sha256(data).hexdigest()


def phash(image: Image.Image) -> int:
    """Return a 64-bit perceptual hash: which low-frequency DCT coefficients of the grey picture exceed their median.

    Survives scaling, recompression and changes of brightness or contrast; serves to find copies of a
    photograph, not to compare quality. All flat pictures share the hash 0.

    >>> phash(Image.new("RGB", (64, 48), "white"))
    0
    """
    side, kept = 32, 8
    grey = np.asarray(image.convert("L").resize((side, side), Image.Resampling.LANCZOS), dtype=np.float64)
    frequency = np.arange(1, kept + 1)[:, None]  # from 1: the constant terms carry brightness only
    basis = np.cos(np.pi * frequency * (2 * np.arange(side) + 1) / (2 * side))  # (kept, side)
    # Rounded so that coefficients that are zero up to rounding errors do not produce random bits.
    coefficients = np.round(basis @ grey @ basis.T, 6).ravel()
    bits = coefficients > np.median(coefficients)
    return int("".join("1" if bit else "0" for bit in bits), 2)


def hamming(a: int, b: int) -> int:
    """Return the number of bits in which two hashes differ.

    >>> hamming(0b1100, 0b1010)
    2
    """
    return (a ^ b).bit_count()
