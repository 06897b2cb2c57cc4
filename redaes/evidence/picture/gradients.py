"""Smooth areas whose tones come in steps."""

from __future__ import annotations

import cv2
import numpy as np

from redaes.evidence.picture.planes import Planes, place_at
from redaes.evidence.records import Place

FLAT_SIDE = 5
FLAT_RANGE = 2
"""Grey levels within which a square of ``FLAT_SIDE`` pixels counts as flat."""
LEAST_STEP = 4
"""Grey levels between two flat areas that meet in a contour."""
NEAR = 9
"""Side, in pixels, of the square in which two flat areas meet."""


def measure_gradients(planes: Planes) -> tuple[dict[str, float], dict[str, Place]]:
    """Banding, in percent of the frame: flat areas beside another flat area of a tone some steps away, with nothing
    between them. In a photograph, noise and the width of edges keep such areas apart."""
    grey = cv2.cvtColor(planes.view, cv2.COLOR_RGB2GRAY)
    if min(grey.shape) < 4 * NEAR:
        return {}, {}
    square = np.ones((FLAT_SIDE, FLAT_SIDE), np.uint8)
    highest, lowest = cv2.dilate(grey, square), cv2.erode(grey, square)
    flat = ((highest - lowest) <= FLAT_RANGE) & (grey > 3) & (grey < 252)
    # A flat square's pixels all belong to the area, not only its centre.
    flat = cv2.dilate(flat.astype(np.uint8), square) > 0
    near = np.ones((NEAR, NEAR), np.uint8)
    brightest = cv2.dilate(np.where(flat, grey, 0).astype(np.uint8), near)
    darkest = cv2.erode(np.where(flat, grey, 255).astype(np.uint8), near)
    contour = (brightest >= LEAST_STEP + darkest.astype(np.int16)) & (brightest > 0) & (darkest < 255)
    banded = contour & flat
    share = float(banded.mean())
    values = {"banding": 100 * share}
    if share < 0.005:
        return values, {}
    cells = cv2.resize(banded.astype(np.float32), (3, 3), interpolation=cv2.INTER_AREA)
    row, column = np.unravel_index(int(cells.argmax()), cells.shape)
    return values, {"banding": place_at((column + 0.5) / 3, (row + 0.5) / 3)}
