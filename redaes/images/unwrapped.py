"""The metadata beside a picture's pixels in its file."""

from __future__ import annotations

import re
from dataclasses import dataclass

from redaes.images.tiff_tags import Tag, first_directory

_XMP_ORIENTATION = re.compile(rb"tiff:Orientation(?:\s*=\s*[\"']|\s*>)\s*([1-8])\s*[\"'<]")


class UnsupportedPixels(ValueError):
    """An undamaged picture of a kind that redaes does not read; the message names the kind and the remedy."""


@dataclass(frozen=True)
class Unwrapped:
    """A picture file, separated into pixels and metadata.

    Metadata (EXIF, XMP, texts, resolutions) is written by many programs and often wrong. As a decoder could fail
    because of it, the decoder is given a file without metadata.
    """

    pixels: bytes
    """The file, reduced to what its decoder needs."""
    exif: bytes = b""
    """The EXIF block from its byte order on; for a TIFF file, the whole file. Empty: none."""
    xmp: bytes = b""
    """The XMP packet; empty: none."""
    profile: bytes = b""
    """The ICC profile of the colours; empty: sRGB."""
    is_several: bool = False
    """Whether the file holds further frames or pages."""
    notes: tuple[str, ...] = ()
    """Errors in the metadata that affect the pixels, as sentences."""

    @property
    def orientation(self) -> int:
        """The EXIF orientation that makes the picture upright; 1: it is upright.

        EXIF decides; if it states none, XMP does, as in Pillow.
        """
        directory = first_directory(self.exif)
        stated = 0 if directory is None else directory.number(Tag.ORIENTATION, 0)
        if stated not in range(1, 9):
            told = _XMP_ORIENTATION.search(self.xmp)
            stated = 1 if told is None else int(told[1])
        return stated
