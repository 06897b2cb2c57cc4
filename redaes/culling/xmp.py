"""Write marks (rating, label and pick) into XMP sidecars, merged into existing content. Pictures are never changed.

If somebody has rated, labelled or picked a picture, in a sidecar or in the picture itself, the sidecar gets no mark,
and an earlier mark by redaes is removed. To recognise its own marks, redaes records what it wrote in a property of its
own namespace.

The rating is ``xmp:Rating``, with -1 for a rejected picture, and the label ``xmp:Label`` (XMP specification, part 1,
section 8.4); the pick is digiKam's ``digiKam:PickLabel`` (0 none, 1 rejected, 2 pending, 3 accepted).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from redaes.culling.decisions import (
    DIGIKAM,
    LABEL,
    PICK,
    RATING,
    REMOVED,
    XMP,
    GivenMark,
    decisions_embedded,
    decisions_in,
    is_rejected,
    packets_embedded,
)
from redaes.culling.sidecar_names import SidecarNames
from redaes.culling.xmp_packet import EMPTY, Name, NotXmp, XmpPacket
from redaes.errors import RecordError

MAX_SIDECAR_BYTES = 10_000_000
"""Largest sidecar that is read."""

OWN_NAMESPACE = "https://redaes.invalid/ns/1.0/"
"""A name, not an address: .invalid is reserved for that."""

_WROTE: Name = (OWN_NAMESPACE, "Wrote")
_PREFIXES = {XMP: "xmp", DIGIKAM: "digiKam", OWN_NAMESPACE: "redaes"}


@dataclass(frozen=True)
class Mark:
    """The mark of a picture in a sidecar."""

    rating: int
    """1 to 5 stars; -1: rejected."""
    label: str
    """``Green``, ``Yellow`` or ``Red``."""
    pick: int
    """1 rejected, 2 pending, 3 accepted."""

    @property
    def is_pick(self) -> bool:
        """Whether the picture is the best of its series."""
        return self.pick == 3

    @property
    def is_reject(self) -> bool:
        """Whether another picture of its series is certainly better."""
        return self.pick == 1

    def noted(self) -> str:
        """Return the mark in the form in which redaes records that it wrote it."""
        return " ".join(f"{name[1]}={value}" for name, value in self.properties().items())

    def properties(self) -> dict[Name, str]:
        """Return the mark as XMP."""
        return {
            RATING: str(self.rating),
            LABEL: self.label,
            PICK: str(self.pick),
        }


@dataclass(frozen=True)
class Sidecar:
    """The planned state of a sidecar."""

    path: Path
    """The file itself: a symbolic link is followed, and stays."""
    content: bytes | None
    """What the file should hold; None: it should not be there."""
    changed: bool
    """Whether the file must be changed for that."""
    merged: bool
    """Whether the file exists already."""
    decisions: tuple[GivenMark, ...]
    """Ratings, labels and picks by somebody else, because of which there is no mark."""

    @property
    def kept(self) -> tuple[str, ...]:
        """Names of the properties that somebody else has set and that are therefore not changed."""
        return tuple(dict.fromkeys(decision.name for decision in self.decisions))


def sidecar_path(picture: Path) -> Path:
    """Return the sidecar of a picture, by :class:`~redaes.culling.sidecar_names.SidecarNames`."""
    return SidecarNames().of(picture)


def plan(
    picture: Path,
    mark: Mark,
    names: SidecarNames | None = None,
    *,
    overrule: bool = False,
    shot: Sequence[Path] = (),
) -> Sidecar:
    """Return the state that a picture's sidecar would have after writing a mark; writes nothing.

    Args:
        picture: the picture.
        mark: the mark.
        names: finds its sidecar.
        overrule: write the mark although the picture file itself has a rating, which programs then ignore. This has no
            effect if the picture is rejected, or if a sidecar has a rating.
        shot: files of the same shot; a decision about one of them applies to all.

    Raises:
        RecordError: a sidecar that is there cannot be read, is no XMP, or could not be written as it is.
    """
    names = names or SidecarNames()
    path = real_path(names.of(picture))
    packet, is_there = _read(path)
    written = _written(packet)
    files = dict.fromkeys((picture, *shot))
    decisions = [one for file in files for one in _in_sidecars(file, names)]
    embedded = [one for file in files for one in decisions_embedded(file, _written)]
    if not overrule or any(is_rejected(one) for one in embedded):
        decisions += embedded
    if decisions:
        return _withdrawn(path, packet, is_there, written, tuple(dict.fromkeys(decisions)))
    wanted = mark.properties()
    values = {name: packet.values(name) for name in wanted}
    if all(values[name] == [value] and written.get(name[1]) == value for name, value in wanted.items()):
        return Sidecar(path, packet.data, False, is_there, ())
    content = packet.edited((), {**wanted, _WROTE: mark.noted()}, _PREFIXES)
    return Sidecar(path, content, True, is_there, ())


def marks_of_others(picture: Path, names: SidecarNames) -> list[GivenMark]:
    """Return the ratings, labels and picks by somebody else, in a picture's sidecars and in the picture itself.

    Raises:
        RecordError: as for :func:`plan`.
    """
    return _in_sidecars(picture, names) + decisions_embedded(picture, _written)


def embedded_by_redaes(picture: Path) -> str:
    """Return the recorded mark that redaes embedded in a picture, if it is still there; empty: none."""
    for packet in packets_embedded(picture):
        written = _written(packet)
        if written and all(packet.values(name) == [written.get(name[1])] for name in (RATING, LABEL, PICK)):
            return " ".join(packet.values(_WROTE))
    return ""


def _in_sidecars(picture: Path, names: SidecarNames) -> list[GivenMark]:
    found: list[GivenMark] = []
    for path in dict.fromkeys(real_path(other) for other in names.there(picture)):
        packet, _ = _read(path)
        found += decisions_in(packet, path, _written(packet))
    return found


def plan_undo(picture: Path, names: SidecarNames | None = None) -> list[Sidecar]:
    """Return the state of a picture's sidecars after redaes's own marks are removed; changes by others are kept.

    Raises:
        RecordError: as for :func:`plan`.
    """
    names = names or SidecarNames()
    found = []
    for path in dict.fromkeys(real_path(other) for other in names.there(picture)):
        packet, is_there = _read(path)
        undone = _withdrawn(path, packet, is_there, _written(packet), ())
        if undone.changed:
            found.append(undone)
    return found


def real_path(path: Path) -> Path:
    """Return the file behind the name of a sidecar or picture, with links resolved, that may be replaced.

    Raises:
        RecordError: a link that leads nowhere, a name that is too long, or a file whose owner would not be kept.
    """
    try:
        real = path.resolve(strict=path.is_symlink())
        if not real.exists():
            return real
        status = real.stat()
    except (OSError, RuntimeError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
            raise RecordError(
                f"{path}: is too long a name for a sidecar; shorten that of the picture, or use --sidecars lightroom"
            ) from error
        raise RecordError(f"{path} is a link whose target does not exist; correct or remove it") from error
    if not real.is_file():
        raise RecordError(f"{path} is not a file; move it away")
    if not status.st_mode & 0o222:
        raise RecordError(f"{path}: is write-protected; make it writable, or leave it")
    if hasattr(os, "geteuid") and os.geteuid() != 0:
        groups = {os.getegid(), *os.getgroups()}
        if status.st_uid != os.geteuid() or status.st_gid not in groups:
            raise RecordError(f"{path}: belongs to another user or group and would become yours; ask them, or copy it")
    return real


def _withdrawn(
    path: Path, packet: XmpPacket, is_there: bool, written: Mapping[str, str], decisions: tuple[GivenMark, ...]
) -> Sidecar:
    """Return the sidecar without the properties that redaes wrote and nobody has changed.

    If somebody has removed a mark, the record of it is kept, since only the record shows that next time.
    """
    if not written and not packet.values(_WROTE):
        return Sidecar(path, packet.data if is_there else None, False, is_there, decisions)
    ours = [name for name in (RATING, LABEL, PICK) if packet.values(name) == [written.get(name[1])]]
    is_noted = any(one.value == REMOVED and one.place == path for one in decisions)
    content = packet.edited(ours if is_noted else (*ours, _WROTE), {}, _PREFIXES)
    return Sidecar(path, None if content == EMPTY else content, content != packet.data, is_there, decisions)


def _written(packet: XmpPacket) -> dict[str, str]:
    """Return the properties that redaes recorded as its own, by local name."""
    noted = " ".join(packet.values(_WROTE)).split()
    return dict(item.split("=", 1) for item in noted if "=" in item)


def _read(path: Path) -> tuple[XmpPacket, bool]:
    """Return the packet in a sidecar, or an empty one if there is no sidecar; and whether there is one."""
    try:
        if not path.exists():
            return XmpPacket(EMPTY), False
        size = path.stat().st_size
        if size > MAX_SIDECAR_BYTES:
            raise RecordError(f"{path} has {size:,} bytes, too many for a sidecar; move it away or correct it")
        return XmpPacket(path.read_bytes()), True
    except OSError as error:
        raise RecordError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    except NotXmp as error:
        raise RecordError(f"{path}: {error}; move it away or correct it") from error
