"""The metadata beside a picture's pixels in its file."""

from __future__ import annotations

import re
from dataclasses import dataclass

from redaes.images.tiff_tags import Tag, first_directory

_XMP_ORIENTATION = re.compile(rb"tiff:Orientation(?:\s*=\s*[\"']|\s*>)\s*([1-8])\s*[\"'<]")


class UnsupportedPixels(ValueError):
    """A whole picture of a kind that is not read; says which, and the remedy."""


@dataclass(frozen=True)
class Unwrapped:
    """A picture file taken apart.

    What stands beside the pixels (EXIF, XMP, texts, resolutions) is written by many programs and often wrong. A
    decoder that trips over it would lose a whole picture, so it is handed a file without.
    """

    pixels: bytes
    """The file with no more than its decoder needs."""
    exif: bytes = b""
    """The EXIF block from its byte order on; of a TIFF file the whole file. Empty: none."""
    xmp: bytes = b""
    """The XMP packet; empty: none."""
    profile: bytes = b""
    """What colours mean, as an ICC profile; empty: sRGB."""
    is_several: bool = False
    """Whether the file holds further frames or pages."""
    notes: tuple[str, ...] = ()
    """What was found wrong beside the pixels and bears on them, as sentences."""

    @property
    def orientation(self) -> int:
        """The EXIF orientation by which the picture has to be turned; 1: not at all.

        EXIF decides. Where it says nothing, XMP does, as in Pillow.
        """
        directory = first_directory(self.exif)
        stated = 0 if directory is None else directory.number(Tag.ORIENTATION, 0)
        if stated not in range(1, 9):
            told = _XMP_ORIENTATION.search(self.xmp)
            stated = 1 if told is None else int(told[1])
        return stated
