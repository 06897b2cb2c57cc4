"""Operations of the embedded editor, and the decorator that makes one from a function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from redaes.evidence.picture.planes import ByteImage
from redaes.types import Direction, Factor

Apply = Callable[[ByteImage, float, np.random.Generator], ByteImage]
OfStrength = Callable[[float], float]


def _whole_frame(strength: float) -> float:
    return 1.0


@dataclass(frozen=True)
class Operation:
    """One operation of the embedded editor."""

    name: str
    factor: Factor
    """The aesthetic factor that it touches."""
    instruction: str
    """What an instruction-following editor would be told; ``{amount}`` is an adverb for strength."""
    direction: Direction
    """``degrade`` or ``neutral``: blind improvement is unreliable; improving pairs are made by inversion."""
    apply: Apply
    """(H, W, 3) sRGB bytes, strength in [0, 1], generator -> (H, W, 3) sRGB bytes."""
    dose: OfStrength | None
    """How much of what it does at each strength, in the units of its own physics, where KADID-10k has a counterpart
    (:data:`redaes.datagen.severity.COUNTERPARTS`): 0, or a harmless value, at strength 0, and growing with it."""
    frame_share: OfStrength
    """Strength to the least share of the frame's width or height that fills the picture. Below 1 the edit enlarges:
    done to a picture of the final size, it would be soft, whatever else it does."""


def operation(
    factor: Factor,
    instruction: str,
    *,
    direction: Direction = "degrade",
    dose: OfStrength | None = None,
    frame_share: OfStrength = _whole_frame,
) -> Callable[[Apply], Operation]:
    """Stands above a function and makes an operation of its name; nothing is registered."""

    def of(apply: Apply) -> Operation:
        return Operation(apply.__name__, factor, instruction, direction, apply, dose, frame_share)

    return of


def draw_sign(rng: np.random.Generator) -> float:
    """Return 1 or -1, as likely."""
    return 1.0 if rng.random() < 0.5 else -1.0
