"""Read the colour space from EXIF: cameras set to Adobe RGB write no profile into JPEGs, but state it in two tags."""

from __future__ import annotations

from functools import lru_cache

from redaes.images.matrix_profiles import ADOBE_RGB_GAMMA, ADOBE_RGB_PRIMARIES, matrix_profile
from redaes.images.tiff_tags import Tag, first_directory

_INDEX = 1  # in the directory of interoperability
_SRGB, _ADOBE_RGB = 1, 2


def colours_by_exif(exif: bytes) -> bytes:
    """Return the ICC profile of the colour space that an EXIF block states; empty: sRGB, or none is stated.

    By DCF 2.0, the interoperability index R03 means Adobe RGB. Some makers write 2 as colour space instead.
    """
    directory = first_directory(exif)
    details = None if directory is None else directory.below(Tag.EXIF)
    if details is None:
        return b""
    space = details.number(Tag.COLOUR_SPACE, _SRGB)
    index = details.below(Tag.INTEROPERABILITY)
    is_adobe = space == _ADOBE_RGB or (space != _SRGB and index is not None and index.data(_INDEX, 3) == b"R03")
    return _adobe_rgb() if is_adobe else b""


@lru_cache(maxsize=1)
def _adobe_rgb() -> bytes:
    return matrix_profile("Adobe RGB, by EXIF", ADOBE_RGB_PRIMARIES, ADOBE_RGB_GAMMA)
