"""Convert what a trainer gives as a picture into one that a model can be shown, or say why it is unusable.

Accepted are: a PIL picture of any mode; a path; bytes of a picture file; ``{"bytes": …, "path": …}``, as ``datasets``
gives undecoded pictures; a list of one of these; an array of 8-bit integers, rows × columns (× 1, 3 or 4 channels); an
array of floating-point numbers in [0, 1], from numpy with the channels last, from torch with the channels first, as
diffusers gives them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from redaes.errors import ImageError
from redaes.images import IN_MEMORY, LoadedImage, decode_image, take_picture


@dataclass(frozen=True)
class Unusable:
    """A value that is not a usable picture."""

    reason: str
    """An identifier fit for counting: ``missing``, ``cannot_decode``, ``wrong_type``, ``wrong_shape``, ``not_finite``,
    ``out_of_range``, ``transparent``, ``too_thin``."""
    detail: str


def picture_of(value: Any, *, max_pixels: int) -> LoadedImage | Unusable:
    """Return the picture, upright 8-bit RGB of at most ``max_pixels``, named by its pixels (files: by their bytes).

    Args:
        value: a picture in one of the forms above.
        max_pixels: largest area in pixels, at least 1.
    """
    if isinstance(value, list | tuple):
        if len(value) != 1:
            return Unusable("wrong_type", f"{len(value)} pictures where one belongs")
        value = value[0]
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path")
    if value is None:
        return Unusable("missing", "None in place of a picture")
    try:
        return _taken(value, max_pixels)
    except ImageError as error:
        return Unusable(error.reason, str(error))


def _taken(value: Any, max_pixels: int) -> LoadedImage:
    if isinstance(value, bytes):
        return decode_image(value, IN_MEMORY.with_suffix(".png"), max_pixels=max_pixels)
    torch = sys.modules.get("torch")  # if the value is a tensor, torch is loaded
    if torch is not None and isinstance(value, torch.Tensor) and value.ndim == 3 and value.dtype == torch.uint8:
        value = value.permute(2, 0, 1)  # integer arrays have the channels last
    return take_picture(value, max_pixels=max_pixels, on_white=True).loaded
