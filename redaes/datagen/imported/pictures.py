"""The pictures that a list names: each is read once and recognised by its content, and near copies are found."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from redaes.datagen.imported.rows import StatedPicture
from redaes.errors import ImageError
from redaes.images import (
    MAX_FILE_PIXELS,
    MAX_PIXELS,
    content_id,
    decode_image,
    fit_area,
    image_size,
    phash,
    read_image_file,
)
from redaes.images.formats import recognise
from redaes.images.near_copies import HASHED_PIXELS, look_alikes
from redaes.label_files.contents import Box


@dataclass(frozen=True)
class KnownPicture:
    """A picture that can be used."""

    id: str
    """SHA-256 of its bytes."""
    name: str
    """The name under which it first occurred."""


_KEPT = frozenset({"JPEG", "PNG", "WebP"})
"""Formats of files that are stored unchanged if they have at most ``MAX_PIXELS``."""

_QUALITY = 95  # of JPEG files for crops, and for pictures that were larger or in another format


def _large(image: Image.Image) -> bool:
    return image.width * image.height > MAX_PIXELS


def _encoded(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY, subsampling=0)
    return buffer.getvalue()


class NamedPictures:
    """All pictures of an import. Memory holds names and hashes, and one picture at a time.

    A JPEG, PNG or WebP file of at most ``MAX_PIXELS`` is stored byte for byte. Anything else is stored as a JPEG,
    shrunk to that number of pixels, as every reader would shrink it, and without metadata.
    """

    def __init__(self, folder: Path) -> None:
        """
        Args:
            folder: folder for pictures that cannot be stored as an existing file.
        """
        self._folder = folder
        self._by_name: dict[str, KnownPicture | str] = {}
        self._files: dict[str, Path] = {}
        self._first: dict[str, KnownPicture] = {}
        self._looks: dict[str, int] = {}
        self.duplicates: list[tuple[str, str]] = []
        """Names of pictures with equal bytes, as (later, first)."""
        self.unusable: Counter[str] = Counter()
        """Pictures that cannot be decoded, by name, with the number of times that they were named."""
        self.n_written_anew = 0
        """Number of pictures that are not stored as they came: shrunk, converted, or cut from a larger one."""
        self._cut_from: tuple[Path, Image.Image] | None = None
        self.missing: Counter[str] = Counter()
        """Pictures whose files do not exist, by name, with the number of times that they were named."""

    def name_of(self, identity: str) -> str:
        """Return the name under which a picture first occurred."""
        return self._first[identity].name

    def take(self, picture: StatedPicture) -> KnownPicture:
        """Read and check a picture, or return what is already known about it.

        Raises:
            ImageError: it cannot be used.
        """
        key = f"{picture.path}\0{picture.box}" if picture.path is not None else f"\0{content_id(picture.data or b'')}"
        found = self._by_name.get(key)
        if found is None:
            try:
                found = self._look(picture)
            except ImageError as error:
                found = str(error)
            self._by_name[key] = found
        if isinstance(found, str):
            self.unusable[picture.name] += 1
            raise ImageError(found)
        return found

    def _look(self, picture: StatedPicture) -> KnownPicture:
        label = picture.path or Path(picture.name)
        data, as_given = self._stored(picture, label)
        identity = content_id(data)
        if identity in self._first:
            if picture.path is not None:
                self.duplicates.append((picture.name, self._first[identity].name))
            return self._first[identity]
        look = phash(decode_image(data, label, max_pixels=HASHED_PIXELS).image)
        if as_given and picture.path is not None:
            self._files[identity] = picture.path
        else:
            self._folder.mkdir(exist_ok=True)
            self._files[identity] = self._folder / identity
            self._files[identity].write_bytes(data)
        self.n_written_anew += not as_given
        known = KnownPicture(identity, picture.name)
        self._first[identity] = known
        self._looks[identity] = look
        return known

    def _stored(self, picture: StatedPicture, label: Path) -> tuple[bytes, bool]:
        """Return the bytes to be stored for a picture, and whether they are those of its file."""
        if picture.box is not None and picture.path is not None:
            return _encoded(self._cropped(picture, picture.path, picture.box)), False
        data = read_image_file(picture.path) if picture.path is not None else picture.data or b""
        if data and recognise(data, label) in _KEPT:
            width, height = image_size(data, label)
            if width * height <= MAX_PIXELS:
                return data, True
        return _encoded(decode_image(data, label).image), False

    def _cropped(self, picture: StatedPicture, path: Path, box: Box) -> Image.Image:
        if self._cut_from is None or self._cut_from[0] != path:  # crops of one photograph come one after the other
            self._cut_from = path, decode_image(read_image_file(path), path, max_pixels=MAX_FILE_PIXELS).image
        whole = self._cut_from[1]
        if box[2] > whole.width or box[3] > whole.height:
            raise ImageError(f"{picture.name}: the crop ends outside of {whole.width}x{whole.height} pixels")
        cut = whole.crop(box)
        return cut.resize(fit_area(cut.size, MAX_PIXELS), Image.Resampling.LANCZOS) if _large(cut) else cut

    def near_copies(self) -> list[tuple[str, str]]:
        """Return ids of pictures that look alike, as (earlier, later)."""
        return list(look_alikes(self._looks))

    def bytes_of(self, identity: str) -> bytes:
        """Return the bytes to be stored for a picture.

        Raises:
            ImageError: the file is gone, or has changed since it was first read.
        """
        data = read_image_file(self._files[identity])
        if content_id(data) != identity:
            raise ImageError(f"{self._files[identity]} has changed since the import began; start again")
        return data
