"""Pictures for blind judging: pixels only, all encoded alike, so that nothing shows which picture was edited."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image

from redaes.datagen.audit.drawn_pairs import DrawnPair
from redaes.errors import InputError, RecordError
from redaes.html_pages import jpeg_bytes
from redaes.records import PairRecord, pick_rows, picture_of, record_of
from redaes.types import SIDES

QUALITY = 95
"""Quality of the JPEG files; faint noise and slight blur must stay visible."""

MIN_SIDE, MAX_SIDE = 128, 8192


def check_side(longest: int) -> None:
    """Refuse a size of pictures that is too small to show anything or too large.

    Raises:
        InputError: it is out of range.
    """
    if not MIN_SIDE <= longest <= MAX_SIDE:
        raise InputError(f"--side is {longest}; give {MIN_SIDE} to {MAX_SIDE} pixels")


def blind_pictures(pair: DrawnPair, longest: int) -> dict[str, bytes]:
    """Return both pictures of a pair as JPEG files by their tokens.

    Args:
        pair: a drawn pair.
        longest: longest side in pixels; larger pictures are shrunk, smaller ones are not enlarged.

    Raises:
        RecordError: the row is no longer there, or one of its pictures does not decode.
    """
    row = pick_rows(pair.file, [pair.number])[pair.number]
    return _encoded(pair, record_of(row, pair.split), longest)


def all_blind_pictures(
    pairs: Sequence[DrawnPair], longest: int
) -> Iterator[tuple[DrawnPair, dict[str, bytes] | RecordError]]:
    """Yield the pictures of all pairs, shard by shard, or the error that says why a pair cannot be shown."""
    files: dict[Path, list[DrawnPair]] = {}
    for pair in pairs:
        files.setdefault(pair.file, []).append(pair)
    for file, members in files.items():
        try:
            rows = pick_rows(file, [pair.number for pair in members])
        except RecordError as error:
            yield from ((pair, error) for pair in members)
            continue
        for pair in members:
            try:
                yield pair, _encoded(pair, record_of(rows[pair.number], pair.split), longest)
            except RecordError as error:
                yield pair, error


def _encoded(pair: DrawnPair, record: PairRecord, longest: int) -> dict[str, bytes]:
    return {
        token: bare_jpeg(picture_of(record, side).image, longest)
        for token, side in zip(pair.pictures, SIDES, strict=True)
    }


def bare_jpeg(image: Image.Image, longest: int) -> bytes:
    """Return the pixels as a JPEG file without EXIF data, comment, colour profile or name."""
    bare = Image.new("RGB", image.size)
    bare.paste(image.convert("RGB"))
    bare.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return jpeg_bytes(bare, QUALITY)
