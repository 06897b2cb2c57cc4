"""What a trainer hands over as a picture, made into one that a model can be shown; or the reason why it is none.

Taken are: a PIL picture of any mode; a path; bytes of a picture file; ``{"bytes": …, "path": …}`` as datasets has
undecoded pictures; a list of one of these; whole numbers of 8 bits, rows × columns (× 1, 3 or 4 channels);
floating-point numbers in [0, 1], from numpy with the channels last, from torch with the channels first, as diffusers
gives them.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from redaes.errors import ImageError
from redaes.images import (
    DAMAGE,
    IN_MEMORY,
    MAX_ASPECT,
    MAX_FILE_PIXELS,
    LoadedImage,
    decode_image,
    load_image,
    picture_in_memory,
)

_ROUNDING = 1e-3  # by how much a float may leave [0, 1]: less than half a level of 8 bits
_CHANNELS = (1, 3, 4)


@dataclass(frozen=True)
class Unusable:
    """Something that is no picture."""

    reason: str
    """Identifier fit for counting: ``missing``, ``cannot_decode``, ``wrong_type``, ``wrong_shape``, ``not_finite``,
    ``out_of_range``, ``too_thin``."""
    detail: str


def picture_of(value: Any, *, max_pixels: int) -> LoadedImage | Unusable:
    """The picture, upright 8-bit RGB of at most ``max_pixels``, named by its pixels (files: by their bytes).

    Args:
        value: see above.
        max_pixels: at least 1.
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
        found = _loaded(value, max_pixels)
    except ImageError as error:
        return Unusable("cannot_decode", str(error))
    if isinstance(found, LoadedImage):
        width, height = found.image.size
        if max(width, height) > MAX_ASPECT * min(width, height):
            return Unusable("too_thin", f"{width} x {height} pixels; the model takes at most {MAX_ASPECT} to 1")
    return found


def _loaded(value: Any, max_pixels: int) -> LoadedImage | Unusable:
    if isinstance(value, str | Path):
        return load_image(value, max_pixels=max_pixels)
    if isinstance(value, bytes):
        return decode_image(value, IN_MEMORY.with_suffix(".png"), max_pixels=max_pixels)
    if isinstance(value, Image.Image):
        return _from_pil(value, max_pixels)
    torch = sys.modules.get("torch")  # whoever has a tensor has loaded it
    if torch is not None and isinstance(value, torch.Tensor):
        channels_first = value.is_floating_point()
        if channels_first:
            value = value.float()  # numpy has no bfloat16
        array = value.detach().cpu().numpy()
        if channels_first and array.ndim == 3:
            array = array.transpose(1, 2, 0)
        return _from_array(array, max_pixels, "channels first" if channels_first else "channels last")
    if isinstance(value, np.ndarray):
        return _from_array(value, max_pixels, "channels last")
    return Unusable("wrong_type", f"{type(value).__name__} is no picture; give PIL, numpy, torch, bytes or a path")


def _from_pil(image: Image.Image, max_pixels: int) -> LoadedImage:
    try:
        image.load()
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
        if image.mode in ("RGB", "L") and not turned and not image.info.get("icc_profile"):
            return picture_in_memory(image, max_pixels=max_pixels)
        # Turning, transparency, palettes and colour profiles are treated in one place, and that one reads files.
        kind = "PNG" if image.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16") else "TIFF"
        buffer = io.BytesIO()
        image.save(buffer, kind, exif=image.getexif(), icc_profile=image.info.get("icc_profile"))
        path = IN_MEMORY.with_suffix(f".{kind.lower()}")
        return picture_in_memory(decode_image(buffer.getvalue(), path, max_pixels=max_pixels).image)
    except ImageError:
        raise
    except DAMAGE as error:
        raise ImageError(f"a picture in memory cannot be read ({type(error).__name__}: {error})") from error


def _from_array(array: NDArray[Any], max_pixels: int, layout: str) -> LoadedImage | Unusable:
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in _CHANNELS or 0 in array.shape:
        return Unusable(
            "wrong_shape", f"shape {array.shape} with {layout} ({array.dtype}) is no picture of 1, 3 or 4 channels"
        )
    if np.issubdtype(array.dtype, np.floating):
        if not np.isfinite(array).all():
            return Unusable("not_finite", "values that are not numbers")
        low, high = float(array.min()), float(array.max())
        if low < -_ROUNDING or high > 1 + _ROUNDING:
            return Unusable("out_of_range", f"values from {low:g} to {high:g}; scale them to [0, 1]")
        array = np.round(np.clip(array, 0.0, 1.0) * 255.0).astype(np.uint8)
    elif array.dtype != np.uint8:
        return Unusable("wrong_type", f"numbers of type {array.dtype}; give uint8, or floating point in [0, 1]")
    if array.shape[2] == 1:
        array = array[..., 0]
    if array.shape[0] * array.shape[1] > MAX_FILE_PIXELS:
        raise ImageError(f"a picture in memory has {array.shape[1]} x {array.shape[0]} pixels; shrink it before use")
    return _from_pil(Image.fromarray(np.ascontiguousarray(array)), max_pixels)
