"""Read a person's decisions about a picture: ratings, labels and picks in an XMP packet, or in the picture itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from redaes.culling.xmp_packet import Name, NotXmp, XmpPacket
from redaes.errors import ImageError
from redaes.images import EmbeddedMetadata, embedded_metadata, exif_ratings, read_image_file

XMP = "http://ns.adobe.com/xap/1.0/"
DIGIKAM = "http://www.digikam.org/ns/1.0/"
_MICROSOFT = ("http://ns.microsoft.com/photo/1.0/", "http://ns.microsoft.com/photo/1.0")  # both spellings are in use
_MEDIA = "http://ns.adobe.com/xmp/1.0/DynamicMedia/"
_CAMERABITS = "http://ns.camerabits.com/photomechanic/1.0/"
_ACDSEE = "http://ns.acdsee.com/iptc/1.0/"
_DARKTABLE = "http://darktable.sf.net/"

RATING: Name = (XMP, "Rating")
LABEL: Name = (XMP, "Label")
PICK: Name = (DIGIKAM, "PickLabel")
_COLOURS: Name = (_DARKTABLE, "colorlabels")

_NOTHING = ("", "none", "false")
_DECISIONS: tuple[Name, ...] = (
    RATING, LABEL, PICK, (DIGIKAM, "ColorLabel"), *((space, "Rating") for space in _MICROSOFT), (_MEDIA, "pick"),
    (_MEDIA, "good"), (_CAMERABITS, "ColorClass"), (_CAMERABITS, "Tagged"), (_ACDSEE, "rating"), (_ACDSEE, "tagged"),
    _COLOURS,
)  # fmt: skip
"""Properties by which programs keep what a photographer thinks of a picture."""

REMOVED = "removed"
"""Stands for a value that redaes had written and somebody removed or set to 0."""

_REJECTED = (("Rating", "-1"), ("PickLabel", "1"), ("pick", "-1"))


@dataclass(frozen=True)
class GivenMark:
    """One rating, label or pick that redaes did not write."""

    name: str
    value: str
    place: Path
    """The file with the mark: a sidecar, or the picture."""


def decisions_in(packet: XmpPacket, place: Path, written: Mapping[str, str]) -> Iterator[GivenMark]:
    """Yield the marks of a packet that redaes did not write.

    Args:
        packet: packet of a sidecar or picture.
        place: the file.
        written: the values that redaes wrote, by local name; a value that was changed or removed since is a person's
            decision.
    """
    for name in _DECISIONS:
        ours = written.get(name[1]) if name in (RATING, LABEL, PICK) else None
        values = [value for value in packet.values(name) if not _says_nothing(name, value)]
        if ours is not None and not values:
            yield GivenMark(name[1], REMOVED, place)
        for value in values:
            if value != ours:
                yield GivenMark(name[1], value, place)


def decisions_embedded(picture: Path, written: Callable[[XmpPacket], Mapping[str, str]]) -> list[GivenMark]:
    """Return the marks in a picture's own XMP and EXIF, which its camera or a program wrote.

    Unreadable metadata has no marks.

    Args:
        picture: the file.
        written: the values that redaes wrote into a packet.
    """
    beside = _beside(picture)
    found: list[GivenMark] = []
    for packet in _packets(beside):
        ours = written(packet)
        found += decisions_in(packet, picture, ours)
    stars, percent = (0, 0) if beside is None else exif_ratings(beside)
    if not found and (stars or percent):
        found.append(GivenMark("Rating", str(stars) if stars else f"{percent} %", picture))
    return found


def packets_embedded(picture: Path) -> list[XmpPacket]:
    """Return a picture's own XMP, as far as it can be read."""
    return _packets(_beside(picture))


def _beside(picture: Path) -> EmbeddedMetadata | None:
    try:
        return embedded_metadata(read_image_file(picture), picture)
    except ImageError:
        return None


def _packets(beside: EmbeddedMetadata | None) -> list[XmpPacket]:
    found = []
    for packet in () if beside is None else beside.packets:
        try:
            found.append(XmpPacket(_unpadded(packet)))
        except NotXmp:
            continue
    return found


def is_rejected(mark: GivenMark) -> bool:
    """Return whether a mark says that the picture is rejected."""
    return (mark.name, mark.value) in _REJECTED


def _says_nothing(name: Name, value: str) -> bool:
    """Return whether a value is what programs write where nobody has chosen."""
    if name == _COLOURS:
        return not value  # 0 is red
    if value.lower() in _NOTHING:
        return name != (_MEDIA, "good") or value == ""
    try:
        return float(value) == 0
    except ValueError:
        return False


def _unpadded(packet: bytes) -> bytes:
    """Return a packet of single bytes without the zeros that some programs fill up its place with."""
    return packet if b"\0" in packet[:4] or packet[:2] in (b"\xff\xfe", b"\xfe\xff") else packet.rstrip(b"\0")
