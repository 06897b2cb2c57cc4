"""Measure borders of one colour around a picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from redaes.evidence.picture.planes import ByteImage, Planes

SAME = 10
"""Largest difference, in grey levels, from the border's colour; compression causes differences of this size."""
UNIFORM = 0.98
"""Smallest share of a line of the border that has its colour."""
OTHER = 0.75
"""Smallest share of the first line inside that has another colour: a border ends abruptly, a plain sky does not."""
TRANSITION = 3
"""Number of lines within which a border must end."""
WIDEST = 0.45


def find_inner(planes: Planes) -> tuple[slice, slice]:
    """Return the rows and columns inside the border; all of them if there is none."""
    image = planes.image
    top, bottom = _depth(image), _depth(image[::-1])
    rows = slice(top, image.shape[0] - bottom)
    turned = image[rows].transpose(1, 0, 2)
    return rows, slice(_depth(turned), image.shape[1] - _depth(turned[::-1]))


def measure_frame(planes: Planes) -> dict[str, float]:
    """Return the border, in percent of the frame."""
    if min(planes.height, planes.width) < 16:
        return {}
    rows, columns = planes.once(find_inner)
    area = (rows.stop - rows.start) * (columns.stop - columns.start)
    return {"border": 100 * (1 - area / (planes.height * planes.width))}


def _same(lines: ByteImage, colour: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Return (n, W) whether each pixel of n lines has the colour."""
    same: NDArray[np.bool_] = (np.abs(lines.astype(np.int16) - colour) <= SAME).all(axis=2)
    return same


def _depth(image: ByteImage) -> int:
    """Return the number of lines at the top that form a border; 0: none."""
    most = int(WIDEST * image.shape[0])
    if most < 1 or min(image.shape[:2]) < 16:
        return 0
    colour = np.median(image[0], axis=0).astype(np.int16)
    depth = 0
    while depth < most and _same(image[depth : depth + 1], colour).mean() >= UNIFORM:
        depth += 1
    if depth in (0, most):
        return 0
    beyond = _same(image[depth : depth + TRANSITION], colour)
    return depth if (~beyond).mean(axis=1).max() >= OTHER else 0
