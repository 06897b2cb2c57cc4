"""The pictures that a list names: each read once, recognised by its content, and near copies found."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from redaes.datagen.imported.rows import StatedPicture
from redaes.errors import ImageError
from redaes.images import MAX_FILE_PIXELS, content_id, decode_image, phash, read_image_file
from redaes.images.near_copies import HASHED_PIXELS, look_alikes


@dataclass(frozen=True)
class KnownPicture:
    """A picture that can be used."""

    id: str
    """SHA-256 of its bytes."""
    name: str
    """As it was first named."""


_CROP_QUALITY = 95  # of the JPEG of a crop


def _cropped(data: bytes, picture: StatedPicture) -> bytes:
    assert picture.box is not None
    image = decode_image(data, picture.path or Path(picture.name), max_pixels=MAX_FILE_PIXELS).image
    if picture.box[2] > image.width or picture.box[3] > image.height:
        raise ImageError(f"{picture.name}: the crop ends outside of {image.width}x{image.height} pixels")
    buffer = io.BytesIO()
    image.crop(picture.box).save(buffer, "JPEG", quality=_CROP_QUALITY, subsampling=0)
    return buffer.getvalue()


class NamedPictures:
    """All pictures of an import. Memory holds names and hashes, and one picture at a time."""

    def __init__(self, folder: Path) -> None:
        """
        Args:
            folder: takes the pictures that come without a file.
        """
        self._folder = folder
        self._by_name: dict[str, KnownPicture | str] = {}
        self._files: dict[str, Path] = {}
        self._first: dict[str, KnownPicture] = {}
        self._looks: dict[str, int] = {}
        self.duplicates: list[tuple[str, str]] = []
        """Names of pictures with equal bytes: the later, the first."""
        self.unusable: Counter[str] = Counter()
        """Pictures that cannot be decoded, by name, with the number of times that they were named."""
        self.missing: Counter[str] = Counter()
        """Files that are not there, likewise."""

    def name_of(self, identity: str) -> str:
        """What a picture was first called."""
        return self._first[identity].name

    def take(self, picture: StatedPicture) -> KnownPicture:
        """Look at a picture, or remember it.

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
        data = read_image_file(picture.path) if picture.path is not None else picture.data or b""
        if picture.box is not None:
            data = _cropped(data, picture)
        identity = content_id(data)
        if identity in self._first:
            if picture.path is not None:
                self.duplicates.append((picture.name, self._first[identity].name))
            return self._first[identity]
        label = picture.path or Path(picture.name)
        look = phash(decode_image(data, label, max_pixels=HASHED_PIXELS).image)
        file = picture.path
        if file is None or picture.box is not None:
            self._folder.mkdir(exist_ok=True)
            file = self._folder / identity
            file.write_bytes(data)
        self._files[identity] = file
        known = KnownPicture(identity, picture.name)
        self._first[identity] = known
        self._looks[identity] = look
        return known

    def near_copies(self) -> list[tuple[str, str]]:
        """Ids of pictures that look alike: one that was met earlier, one that was met later."""
        return list(look_alikes(self._looks))

    def bytes_of(self, identity: str) -> bytes:
        """The picture as it is stored.

        Raises:
            ImageError: it is gone, or has changed since it was looked at.
        """
        data = read_image_file(self._files[identity])
        if content_id(data) != identity:
            raise ImageError(f"{self._files[identity]} has changed since the import began; start again")
        return data
