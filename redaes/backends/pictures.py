"""Pictures for a model: unchanged for one in this process, encoded once for a server."""

from __future__ import annotations

from functools import cached_property

from PIL import Image

from redaes.errors import InputError
from redaes.images import content_id, data_url


class EncodedPicture:
    """A picture for a server: hashed and encoded once, however many requests show it."""

    def __init__(self, image: Image.Image) -> None:
        """
        Args:
            image: RGB or grey, as :func:`redaes.images.load_image` gives it.

        Raises:
            InputError: another mode, whose treatment is not defined here.
        """
        if image.mode not in ("RGB", "L"):
            raise InputError(f"a picture for a server has mode {image.mode}; hand over RGB")
        self.image = image.convert("RGB")
        self._smaller: dict[tuple[int, int], str] = {}

    @cached_property
    def id(self) -> str:
        """SHA-256 of size and pixels, in hex."""
        width, height = self.image.size
        return content_id(f"RGB {width}x{height}\n".encode() + self.image.tobytes())

    @cached_property
    def url(self) -> str:
        """The pixels as a ``data:`` URL: no server is ever handed an address to fetch."""
        return data_url(self.image)

    def url_at(self, size: tuple[int, int]) -> str:
        """Return the same, shrunk to a size in pixels; encoded once for each."""
        if size == self.image.size:
            return self.url
        if size not in self._smaller:
            self._smaller[size] = data_url(self.image.resize(size, Image.Resampling.LANCZOS))
        return self._smaller[size]


class Encoder:
    """Encodes the pictures of one batch, each once however many requests show it."""

    def __init__(self) -> None:
        self._known: dict[int, EncodedPicture] = {}

    def of(self, image: Image.Image | EncodedPicture) -> EncodedPicture:
        """Return the picture for a server; it must be kept alive as long as the encoder is."""
        if isinstance(image, EncodedPicture):
            return image
        if id(image) not in self._known:
            self._known[id(image)] = EncodedPicture(image)
        return self._known[id(image)]
