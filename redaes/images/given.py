"""Take pictures in the forms that callers have (a file, a PIL picture, an array, a tensor), or refuse them with the
remedy.

The same picture in two of these forms has the same id, except that the id of a file is that of its bytes.
docs/python.md has the table.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from redaes.errors import ImageError, InputError
from redaes.images.damage import DAMAGE
from redaes.images.files import read_image_file
from redaes.images.formats import MAX_FILE_PIXELS
from redaes.images.hashes import content_id
from redaes.images.loading import (
    IN_MEMORY,
    MAX_PIXELS,
    LoadedImage,
    check_shape,
    decode_image,
    load_image,
    picture_in_memory,
)
from redaes.images.whole import check_usable
from redaes.types import ImageRef

if TYPE_CHECKING:
    from typing import TypeAlias

    import torch

    PictureInput: TypeAlias = str | Path | Image.Image | NDArray[Any] | torch.Tensor | LoadedImage | ImageRef
    """A picture in any accepted form."""

ROUNDING = 1e-3
"""How far a floating-point value may exceed [0, 1]: less than half a level of 8 bits."""

_LAYOUT = {"array": "rows x columns x channels", "tensor": "channels x rows x columns"}


class TakenPicture(NamedTuple):
    """A picture that a caller gave."""

    loaded: LoadedImage
    whole: Image.Image | None
    """The picture at its own size, if it has no file; None: it has a file, or came loaded."""


def take_picture(
    value: PictureInput, name: str = "the picture", *, max_pixels: int = MAX_PIXELS, on_white: bool = False
) -> TakenPicture:
    """Return the picture that a caller gives.

    Args:
        value: a path; a PIL picture, which is treated as its file would be; a numpy array of rows × columns (× 1 or 3
            channels) or a tensor of (1 ×) channels × rows × columns, as in torchvision and pyiqa, of 8-bit integers or
            of floating-point numbers in [0, 1]; a loaded picture; or a reference to a file.
        name: name of the argument, for messages.
        max_pixels: larger pictures are shrunk to this area.
        on_white: put transparent pictures in memory, and arrays with a fourth channel, on white instead of refusing
            them.

    Raises:
        ImageError: the value is not a usable picture; the message names the argument, what is wrong with it and the
            remedy.
        InputError: ``max_pixels`` is below 1.
    """
    if isinstance(value, LoadedImage):
        return TakenPicture(value, None)
    if isinstance(value, ImageRef):
        return TakenPicture(unchanged(value), None)
    if isinstance(value, str | os.PathLike):
        return TakenPicture(load_image(os.fspath(value), max_pixels=max_pixels), None)
    if not isinstance(value, Image.Image):
        value = _picture_of(value, name, on_white)
    whole, notes = _as_its_file(value, name, on_white)
    check_shape(whole.size, Path(name))
    loaded = picture_in_memory(whole, max_pixels=max_pixels)
    return TakenPicture(LoadedImage(loaded.image, loaded.ref, notes), whole)


def named_picture(value: PictureInput, name: str = "the picture") -> LoadedImage | ImageRef:
    """Take a picture as :func:`take_picture` does, but only name a file, so that few of many pictures are in memory.

    Raises:
        ImageError: as for :func:`take_picture`; a file with damaged pixels may only be noticed when it is loaded.
    """
    if isinstance(value, ImageRef):
        return value
    if isinstance(value, str | os.PathLike):
        path = Path(value)
        data = read_image_file(path)
        check_usable(data, path)
        return ImageRef(id=content_id(data), path=path)
    return take_picture(value, name).loaded


def named_pictures(pictures: Sequence[PictureInput], name: str) -> list[LoadedImage | ImageRef]:
    """Take several pictures, each as :func:`named_picture` does.

    Raises:
        ImageError: as for :func:`take_picture`.
        InputError: one picture was given instead of several.
    """
    if isinstance(pictures, str | Path | Image.Image | LoadedImage | ImageRef):
        raise InputError(f"{name} is one picture; give a list of them")
    return [named_picture(one, f"{name}[{number}]") for number, one in enumerate(pictures)]


def taken_pair(pair: tuple[PictureInput, PictureInput], name: str) -> tuple[TakenPicture, TakenPicture]:
    """Take both pictures of a pair as :func:`take_picture` does.

    Raises:
        ImageError: as for :func:`take_picture`.
        InputError: there are not two pictures.
    """
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise InputError(f"{name} is not a pair of pictures; give (first, second)")
    return take_picture(pair[0], f"{name}[0]"), take_picture(pair[1], f"{name}[1]")


def same_picture(first: LoadedImage, second: LoadedImage) -> bool:
    """Return whether two pictures have the same id; or the same pixels, if one has no file, whose id is never that of a
    file.
    """
    if first.ref.id == second.ref.id:
        return True
    if IN_MEMORY not in (first.ref.path, second.ref.path) or first.image.size != second.image.size:
        return False
    return first.image.tobytes() == second.image.tobytes()


def unchanged(picture: LoadedImage | ImageRef) -> LoadedImage:
    """Return the picture, loaded if necessary.

    Raises:
        ImageError: the picture cannot be loaded, or is no longer the one that the reference names.
    """
    if not isinstance(picture, ImageRef):
        return picture
    if picture.path == IN_MEMORY:
        raise ImageError(
            "a reference to a picture in memory cannot be loaded; hand over the picture, or save it and give its path",
        )
    loaded = load_image(picture.path)
    if loaded.ref.id != picture.id:
        raise ImageError(f"{picture.path}: was changed since it was first read; start again")
    return loaded


def _as_its_file(image: Image.Image, name: str, on_white: bool) -> tuple[Image.Image, tuple[str, ...]]:
    """Return a PIL picture as RGB or grey at its own size, treated like the file that it came from; and notes."""
    if 0 in image.size:
        raise ImageError(f"{name}: the picture has no pixels (size {image.size}); hand over another")
    if image.width * image.height > MAX_FILE_PIXELS:
        raise ImageError(
            f"{name}: {image.width} x {image.height} pixels are more than {MAX_FILE_PIXELS:,}; shrink it before use"
        )
    # Orientation, transparency, palettes and colour profiles are handled in one place, which reads files.
    kind = "PNG" if image.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16") else "TIFF"
    path = IN_MEMORY.with_suffix(f".{kind.lower()}")
    file = io.BytesIO()
    try:
        image.load()
        transparent = image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema() != (255, 255)
        orientation = Image.Exif()  # other EXIF data may be wrong, and Pillow fails at writing it again
        orientation[ExifTags.Base.Orientation] = image.getexif().get(ExifTags.Base.Orientation, 1)
        turned = orientation[ExifTags.Base.Orientation] != 1
        plain = image.mode in ("RGB", "L") and not (transparent or turned or image.info.get("icc_profile"))
        if not plain:
            image.save(file, kind, exif=orientation, icc_profile=image.info.get("icc_profile"))
    except DAMAGE as error:
        raise ImageError(
            f"{name}: the picture cannot be read ({type(error).__name__}: {error}); open it again"
        ) from error
    if plain:
        return image, ()
    if transparent and not on_white:
        raise ImageError(
            f"{name}: parts of the picture (mode {image.mode}) are transparent, and nothing says what is behind them; "
            "lay it on a background (Image.alpha_composite), or give the path of its file, which is laid on white",
            "transparent",
        )
    try:
        found = decode_image(file.getvalue(), path, max_pixels=MAX_FILE_PIXELS)
    except ImageError as error:
        raise ImageError(f"{name}: {str(error).removeprefix(f'{path}: ')}") from error
    return found.image, found.notes


def _picture_of(value: Any, name: str, on_white: bool) -> Image.Image:
    """Return an array or a tensor as a PIL picture of the same size."""
    torch = sys.modules.get("torch")  # if the value is a tensor, torch is loaded
    if torch is not None and isinstance(value, torch.Tensor):
        kind, shape, dtype = "tensor", tuple(value.shape), str(value.dtype).removeprefix("torch.")
        if len(shape) == 4:
            if shape[0] != 1:
                raise ImageError(
                    f"{name}: a batch of {shape[0]} pictures (shape {shape}) where one belongs; give one of them, such "
                    "as batch[0], or pairs to compare_many",
                    "wrong_shape",
                )
            value = value[0]
        if value.is_meta or value.layout is not torch.strided:
            what = "without values (device meta)" if value.is_meta else f"of the layout {value.layout}"
            raise ImageError(f"{name}: a tensor {what}; give a dense one that holds the pixels", "wrong_type")
        if value.is_complex() or value.is_quantized:
            raise ImageError(f"{name}: a tensor of kind {dtype}; give uint8, or floating point in [0, 1]", "wrong_type")
        if value.is_floating_point():
            value = value.float()  # numpy has no bfloat16
        array = value.detach().cpu().numpy()
        _check_shape(array.shape, shape, name, kind, on_white)
        array = array.transpose(1, 2, 0) if array.ndim == 3 else array
    elif isinstance(value, np.ndarray):
        if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
            raise ImageError(
                f"{name}: an array of which a part is masked; fill it (array.filled(value)) or crop it", "wrong_type"
            )
        array, kind, shape, dtype = value, "array", value.shape, str(value.dtype)
        _check_shape(array.shape, shape, name, kind, on_white)
    else:
        raise ImageError(
            f"{name}: {type(value).__name__} is not a picture; give a path, a PIL picture, a numpy array or a tensor",
            "wrong_type",
        )
    levels = _eight_bits(array, name, dtype)
    return Image.fromarray(np.ascontiguousarray(levels[..., 0] if levels.shape[2:] == (1,) else levels))


def _check_shape(one: tuple[int, ...], whole: tuple[int, ...], name: str, kind: str, on_white: bool) -> None:
    """Refuse an array or tensor that is not rows × columns, with channels where its kind has them.

    Args:
        one: the value without the dimension of a batch.
        whole: the given value, for the message.
        name: name of the argument.
        kind: ``array`` or ``tensor``.
        on_white: whether four channels are accepted.

    Raises:
        ImageError: the shape is another one, or can be read in two ways.
    """
    first = kind == "tensor"
    said = f"{name}: {'an' if kind == 'array' else 'a'} {kind} of shape {whole}"
    if 0 in one:
        raise ImageError(f"{said} has no pixels; hand over another", "wrong_shape")
    if len(one) == 2:
        return
    wanted = f"give {_LAYOUT[kind]}, with 1 channel or 3"
    if len(one) != 3:
        raise ImageError(f"{said} is not a picture; {wanted}", "wrong_shape")
    channels, others = (one[0], one[2]) if first else (one[2], one[0])
    if channels == 3 and others == 3:
        raise ImageError(
            f"{said} could have its channels first or last; convert it to a PIL picture, which is unambiguous",
            "wrong_shape",
        )
    if channels in (1, 3) or (channels == 4 and on_white):
        return
    if channels in (2, 4) and others not in (1, 3):
        rgb = f" ({'tensor[:3]' if first else 'array[..., :3]'} leaves it out)" if channels == 4 else ""
        raise ImageError(
            f"{said} has {channels} channels, and transparency is not taken; lay it on a background first{rgb}",
            "wrong_shape",
        )
    if others in (1, 3):
        turn = "tensor.permute(2, 0, 1)" if first else "array.transpose(1, 2, 0)"
        raise ImageError(f"{said} has its channels {'last' if first else 'first'}; {wanted}: {turn}", "wrong_shape")
    raise ImageError(f"{said} has {channels} channels; {wanted}", "wrong_shape")


def _eight_bits(array: NDArray[Any], name: str, dtype: str) -> NDArray[np.uint8]:
    """Return the values as 8-bit integers."""
    if array.dtype == np.uint8:
        return array
    if not np.issubdtype(array.dtype, np.floating):
        known = {"bool": "array * np.uint8(255)", "uint16": "array / 65535", "int64": "array.astype(np.uint8)"}
        remedy = f" ({known[dtype]})" if dtype in known else ""
        raise ImageError(
            f"{name}: numbers of type {dtype}; give uint8, or floating point in [0, 1]{remedy}", "wrong_type"
        )
    if not np.isfinite(array).all():
        n_wrong = int(array.size - np.isfinite(array).sum())
        raise ImageError(
            f"{name}: {n_wrong} of {array.size} values are not finite (NaN or infinity); correct the code that "
            "produced them",
            "not_finite",
        )
    low, high = float(array.min()), float(array.max())
    if low < -ROUNDING or high > 1 + ROUNDING:
        remedy = "divide by 255" if low >= 0 and 1 + ROUNDING < high <= 255 and high > 2 else "scale or clip them"
        raise ImageError(
            f"{name}: values from {low:g} to {high:g}, where floating-point numbers lie in [0, 1]; {remedy}",
            "out_of_range",
        )
    return np.round(np.clip(array, 0.0, 1.0) * 255.0).astype(np.uint8)
