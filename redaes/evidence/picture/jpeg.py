"""The quality at which a JPEG file was written, from its quantisation tables."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

_LUMINANCE = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
"""Table K.1 of ITU-T T.81, row by row."""


def _scaled(quality: int) -> NDArray[np.int64]:
    """Return the table K.1 at a quality from 1 to 100, as the Independent JPEG Group's library scales it."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.clip((np.array(_LUMINANCE, dtype=np.int64) * scale + 50) // 100, 1, 255)


def jpeg_quality(data: bytes) -> int | None:
    """Return the quality from 1 to 100 on the scale of the Independent JPEG Group whose luminance table is nearest to
    the file's.

    For a writer with tables of its own, such as a camera's, it is that of the standard table with the same sum of
    logarithms nearest to it: an equivalent, not a setting.

    Args:
        data: the file's bytes.

    Returns:
        None: not a JPEG file, or one without a luminance table of 64 entries.
    """
    if not data.startswith(b"\xff\xd8\xff"):
        return None
    try:
        with Image.open(io.BytesIO(data)) as image:
            tables: dict[int, list[int]] | None = getattr(image, "quantization", None)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
        return None
    table = (tables or {}).get(0)
    if table is None or len(table) != 64:
        return None
    found = np.log(np.maximum(np.array(table, dtype=np.float64), 1))
    distances = [float(np.abs(np.log(_scaled(quality)) - found).sum()) for quality in range(1, 101)]
    return int(np.argmin(distances)) + 1
