"""Load pictures from a file, from bytes or from memory."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from redaes.errors import ImageError
from redaes.images.damage import DAMAGE
from redaes.images.files import read_image_file
from redaes.images.formats import SUFFIXES, damaged, open_header, recognise
from redaes.images.hashes import content_id
from redaes.images.pixels import MAX_ASPECT, fit_area, upright_srgb
from redaes.types import ImageRef

MAX_PIXELS = 1_048_576
"""Default area, in pixels, to which larger pictures are shrunk on loading."""

IN_MEMORY = Path("(in memory)")
"""Path of a picture without a file."""


@dataclass(frozen=True)
class LoadedImage:
    """A picture that is ready for use.

    Attributes:
        image: upright 8-bit RGB in sRGB, at most ``max_pixels`` in area.
        ref: content hash and path.
        notes: notes on how the picture was treated, as sentences; usually empty.
    """

    image: Image.Image
    ref: ImageRef
    notes: tuple[str, ...]


def load_image(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> LoadedImage:
    """Read a picture as upright 8-bit sRGB, shrunk to at most ``max_pixels``.

    The format is recognised from the content; the size is checked from the header, before any pixel is
    decoded. Pillow's global settings are neither changed nor relied upon, except that a program which sets
    ``ImageFile.LOAD_TRUNCATED_IMAGES`` gets what it asked for.

    Args:
        path: a file on disk.
        max_pixels: largest area of the result, in pixels.

    Raises:
        ImageError: the file cannot be used; the message names the file, what is wrong, and the remedy.
        InputError: ``max_pixels`` is below 1.
    """
    fit_area((1, 1), max_pixels)  # a wrong setting is reported as such, not as a fault of the picture
    return decode_image(read_image_file(path), Path(path), max_pixels=max_pixels)


def decode_image(data: bytes, path: Path, *, max_pixels: int = MAX_PIXELS) -> LoadedImage:
    """Decode a picture from bytes, as :func:`load_image` does from a file.

    Args:
        data: the bytes of a picture file.
        path: path for messages and for the result; it need not exist.
        max_pixels: largest area of the result, in pixels. A small value makes decoding JPEG quick, because its decoder
            skips detail that the result would not show.

    Raises:
        ImageError: the picture cannot be used.
        InputError: ``max_pixels`` is below 1.
    """
    fit_area((1, 1), max_pixels)
    if not data:
        raise ImageError(f"{path}: the file is empty (0 bytes); copy or download it again")
    kind = recognise(data, path)
    notes: list[str] = []
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES[kind]:
        notes.append(f"the content is {kind} although the name ends in {suffix!r}; read as {kind}")
    opened = open_header(kind, data, path)
    check_shape(opened.header.size, path)
    try:
        image = upright_srgb(opened, max_pixels, notes, path)
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path}: {error}; shrink the picture before use") from error
    except DAMAGE as error:
        raise damaged(kind, path, error) from error
    return LoadedImage(image=image, ref=ImageRef(id=content_id(data), path=path), notes=tuple(notes))


def check_shape(size: tuple[int, int], path: Path) -> None:
    """Refuse a picture that is too thin to be shown to a model.

    Args:
        size: width and height in pixels.
        path: path for the message.

    Raises:
        ImageError: the picture is too thin.
    """
    width, height = size
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise ImageError(
            f"{path}: {width} x {height} pixels are too thin for the model, which takes at most {MAX_ASPECT} : 1; "
            "crop it",
            "too_thin",
        )


def picture_in_memory(image: Image.Image, *, max_pixels: int = MAX_PIXELS) -> LoadedImage:
    """Return an RGB or grey picture without a file, whose id is that of its pixels, shrunk to at most ``max_pixels``.

    Raises:
        ImageError: the picture has another mode, or no pixels.
        InputError: ``max_pixels`` is below 1.
    """
    if image.mode not in ("RGB", "L"):
        # Only load_image handles transparency, palettes and colour profiles.
        raise ImageError(f"a picture in memory has mode {image.mode}; hand over RGB, or the path of its file")
    if 0 in image.size:
        raise ImageError(f"a picture in memory has no pixels (size {image.size}); hand over another")
    image = image.convert("RGB")
    width, height = image.size
    name = content_id(f"RGB {width}x{height}\n".encode() + image.tobytes())
    image = image.resize(fit_area(image.size, max_pixels), Image.Resampling.LANCZOS, reducing_gap=3.0)  # as for a file
    return LoadedImage(image=image, ref=ImageRef(id=name, path=IN_MEMORY), notes=())


def data_url(image: Image.Image) -> str:
    """Return the picture as a ``data:`` URL in PNG, so that a remote model sees the same pixels as a local one.

    >>> data_url(Image.new("RGB", (1, 1)))[:30]
    'data:image/png;base64,iVBORw0K'
    """
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)  # speed matters more than size on the way to a server
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
