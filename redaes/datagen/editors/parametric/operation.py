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
    """The instruction for an instruction-following editor; ``{amount}`` stands for an adverb for the strength."""
    direction: Direction
    """``degrade`` or ``neutral``. No operation improves: blind improvement is unreliable, and pairs can be reversed."""
    apply: Apply
    """Function from (H, W, 3) sRGB bytes, strength in [0, 1] and generator to (H, W, 3) sRGB bytes."""
    dose: OfStrength | None
    """Physical amount of the effect at each strength, for operations with a counterpart in KADID-10k
    (:data:`redaes.datagen.severity.COUNTERPARTS`). It is 0 or harmless at strength 0, and grows with it."""
    frame_share: OfStrength
    """Smallest share of the frame's width or height that fills the picture, by strength. If it is below 1, the edit
    enlarges: made from a picture of the final size, it would also be softer."""


def operation(
    factor: Factor,
    instruction: str,
    *,
    direction: Direction = "degrade",
    dose: OfStrength | None = None,
    frame_share: OfStrength = _whole_frame,
) -> Callable[[Apply], Operation]:
    """Make an operation of the decorated function, with the function's name; nothing is registered."""

    def of(apply: Apply) -> Operation:
        return Operation(apply.__name__, factor, instruction, direction, apply, dose, frame_share)

    return of


def draw_sign(rng: np.random.Generator) -> float:
    """Return 1 or -1 with equal probability."""
    return 1.0 if rng.random() < 0.5 else -1.0
