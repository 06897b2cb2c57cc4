"""Small copies of pictures, kept beside answers about them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from PIL import Image

from redaes.errors import ImageError
from redaes.html_pages import jpeg_bytes, jpeg_url
from redaes.images import IN_MEMORY, LoadedImage, content_id, decode_image, fit_area, read_image_file
from redaes.types import ImageRef

_PIXELS = 57_600
"""Area of a small copy: 240 x 240."""

_QUALITY = 80


class Thumbnails:
    """Small copies of pictures without a file. They do not affect whether two answers are equal."""

    def __init__(self, pictures: Iterable[LoadedImage] = ()) -> None:
        """
        Args:
            pictures: pictures; those with a file are left out.
        """
        self._files: Mapping[str, bytes] = {
            one.ref.id: jpeg_bytes(_small(one), _QUALITY) for one in pictures if one.ref.path == IN_MEMORY
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Thumbnails)

    def __hash__(self) -> int:
        return 0

    def address(self, ref: ImageRef) -> str:
        """Return a small copy of the picture as a ``data:`` address.

        Raises:
            ImageError: there is none, because the picture was only in memory, or its file is gone or was changed.
        """
        if ref.path == IN_MEMORY:
            if ref.id not in self._files:
                raise ImageError("the picture was in memory and is not kept")
            return jpeg_url(self._files[ref.id])
        data = read_image_file(ref.path)
        if content_id(data) != ref.id:
            raise ImageError(f"{ref.path} has changed since then")
        return jpeg_url(jpeg_bytes(decode_image(data, ref.path, max_pixels=_PIXELS).image, _QUALITY))


def _small(picture: LoadedImage) -> Image.Image:
    return picture.image.resize(fit_area(picture.image.size, _PIXELS), reducing_gap=2.0)
