"""Predict one photograph from another of the same scene, with changes of light, colour and sharpness alone.

Each colour of the one is a weighted sum of the other's colours, their squares and their blurred copies; over the frame
the weights vary as a paraboloid. Exposure, curves, casts, haze, vignettes, uneven light, blur and glow are such sums,
or nearly. The fit is robust: it follows what most of the frame agrees on, so that an object that only one picture shows
is not predicted.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from redaes.evidence.picture.planes import FloatArray

Mask = NDArray[np.bool_]

_BLURS = (2.0, 5.0, 12.0)
"""Sigmas of the blurs, in pixels of a picture with a longest side of 320 px."""

_SAMPLES = 5000
_ROUNDS = 6
_WHITE = 0.985
_RIDGE = 1e-4


def _spatial(height: int, width: int) -> FloatArray:
    """Return the (H, W, 6) terms of a paraboloid over the frame."""
    y, x = np.meshgrid(
        np.linspace(-1, 1, height, dtype=np.float32), np.linspace(-1, 1, width, dtype=np.float32), indexing="ij"
    )
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)


def _terms(image: FloatArray) -> FloatArray:
    """Return the (H, W, 16) terms of the sum for a picture in [0, 1]."""
    blurred = [cv2.GaussianBlur(image, (0, 0), sigma) for sigma in _BLURS]
    return np.concatenate([np.ones_like(image[..., :1]), image, image * image, *blurred], axis=-1)


def predicted(source: FloatArray, target: FloatArray, inside: Mask) -> FloatArray:
    """Predict the target as it would be if it differed from the source in light, colour and sharpness alone.

    Args:
        source: (H, W, 3) in [0, 1].
        target: (H, W, 3), the same view.
        inside: (H, W), True where both show something.

    Returns:
        (H, W, 3) in [0, 1].
    """
    height, width = inside.shape
    places, terms = _spatial(height, width), _terms(source)
    step = max(1, round((inside.sum() / _SAMPLES) ** 0.5))
    chosen = np.zeros_like(inside)
    chosen[step // 2 :: step, step // 2 :: step] = True
    chosen &= inside
    rows = (places[chosen][:, :, None] * terms[chosen][:, None, :]).reshape(int(chosen.sum()), -1)  # (n, 6 * 16)
    known = wanted = target[chosen]  # (n, 3)
    white, black = known > _WHITE, known < 1 - _WHITE
    weight = np.ones(len(rows), dtype=np.float32)
    for number in range(_ROUNDS):
        # A fit whose weights may vary over the frame can take an object that covers a corner for a smooth change of
        # light. The first rounds therefore use constant weights to decide which pixels to trust.
        used = rows[:, : terms.shape[-1]] if number < _ROUNDS // 2 else rows
        weighted = used * weight[:, None]
        ridge = np.eye(used.shape[1]) * _RIDGE * len(used)
        left, right = (weighted.T @ used).astype(np.float64), (weighted.T @ wanted).astype(np.float64)
        solved = np.linalg.solve(left + ridge, right).astype(np.float32)
        fitted = used @ solved
        # A picture is clipped at black and white: where the prediction is beyond them, it counts as right.
        wanted = np.where(white, np.maximum(fitted, known), np.where(black, np.minimum(fitted, known), known))
        missed = np.linalg.norm(wanted - fitted, axis=1)
        scale = 1.5 * float(np.median(missed)) + 0.01
        weight = (1 / (1 + (missed / scale) ** 2) ** 2).astype(np.float32)
    by_place = solved.reshape(places.shape[-1], terms.shape[-1], 3)
    result = np.zeros_like(target)
    for index in range(places.shape[-1]):
        result += places[..., index, None] * (terms @ by_place[index])
    return np.clip(result, 0.0, 1.0)
