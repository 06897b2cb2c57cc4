"""Measure banding: a few remaining tones, with the tones between them missing."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from redaes.evidence.picture.planes import Planes

AROUND = 15
"""Number of tones on either side with which a tone is compared."""
OUTSTANDING = 4.0
"""Factor by which an outstanding tone exceeds the mean around it."""
LEAST_TONE = 0.005
"""Smallest share of the pixels in an outstanding tone."""
LEAST_TONES = 2
"""Smallest number of outstanding tones in a channel, not counting clipped ones; a single one is a plain surface."""
CLIPPED = (4, 251)
"""Bytes beyond which a tone counts as clipped and not as outstanding."""


def measure_gradients(planes: Planes) -> dict[str, float]:
    """Return the banding, in percent of the range: the step between tones that are outstanding in the histogram of
    their channel, times the share of the pixels in them, mean over the channels.

    Steps of tone leave few tones, far apart, each in many pixels. A tone is counted with its two neighbours, as
    compression spreads it, and only where the tones beside it are nearly empty: a stretched histogram has gaps of two
    or three tones, and is not banded.
    """
    shares = []
    for channel in range(3):
        counts = cv2.calcHist([planes.image], [channel], None, [256], [0, 256]).ravel().astype(np.float64)
        shares.append(_outstanding(counts / counts.sum()))
    return {"banding": 100 * float(np.mean(shares))}


def _outstanding(share: NDArray[np.float64]) -> float:
    """Return the share of the pixels in outstanding tones of one channel, times the median step between them over the
    range.
    """
    inner = share.copy()
    inner[: CLIPPED[0]] = 0
    inner[CLIPPED[1] + 1 :] = 0
    padded = np.pad(inner, AROUND)
    three = np.convolve(padded, np.ones(3), mode="same")[AROUND:-AROUND]
    mean = np.convolve(padded, np.ones(2 * AROUND + 1), mode="same")[AROUND:-AROUND] / (2 * AROUND + 1)
    tones: list[int] = []
    for tone in np.argsort(-three, kind="stable"):
        if three[tone] < LEAST_TONE:
            break
        if three[tone] > 3 * OUTSTANDING * mean[tone] and all(abs(int(tone) - other) > 3 for other in tones):
            tones.append(int(tone))
    if len(tones) < LEAST_TONES:
        return 0.0
    return float(three[tones].sum()) * float(np.median(np.diff(sorted(tones)))) / 255
