"""XMP sidecars: rating, label and pick beside a picture, merged into what is there. Pictures are never touched.

What stands in the file stays: other properties, comments, and a rating, label or pick that somebody else set. To
know its own from theirs, redaes notes what it wrote in a property of its own namespace.

The rating is ``xmp:Rating`` and the label ``xmp:Label`` (XMP specification, part 1, section 8.4); the pick is
digiKam's ``digiKam:PickLabel`` (0 none, 1 rejected, 2 pending, 3 accepted).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.dom import minidom
from xml.parsers.expat import ExpatError

from redaes.errors import RecordError

MAX_SIDECAR_BYTES = 10_000_000
"""Largest sidecar that is read."""

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_XMP = "http://ns.adobe.com/xap/1.0/"
_DIGIKAM = "http://www.digikam.org/ns/1.0/"
_XMLNS = "http://www.w3.org/2000/xmlns/"
_OWN = "https://redaes.invalid/ns/1.0/"  # a name, not an address: .invalid is reserved for that

_EMPTY = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
    f' <rdf:RDF xmlns:rdf="{_RDF}">\n'
    '  <rdf:Description rdf:about=""/>\n'
    " </rdf:RDF>\n"
    "</x:xmpmeta>\n"
    '<?xpacket end="w"?>'
)


@dataclass(frozen=True)
class Mark:
    """What a sidecar says about a picture."""

    rating: int
    """1 to 5 stars."""
    label: str
    """``Green``, ``Yellow`` or ``Red``."""
    pick: int
    """1 rejected, 2 pending, 3 accepted."""


@dataclass(frozen=True)
class Sidecar:
    """A sidecar as it should be."""

    path: Path
    content: bytes | None
    """None: nothing is to be written."""
    merged: bool
    """Whether the file is there already."""
    kept: tuple[str, ...]
    """Properties that somebody else set, and that therefore stay as they are."""


def sidecar_path(picture: Path) -> Path:
    """``photo.jpg.xmp``, or ``photo.xmp`` where that one alone exists: programs follow either habit."""
    full, short = picture.with_name(f"{picture.name}.xmp"), picture.with_suffix(".xmp")
    return short if short.exists() and not full.exists() else full


def plan(picture: Path, mark: Mark) -> Sidecar:
    """What writing a mark would make of a picture's sidecar; writes nothing.

    Raises:
        RecordError: the sidecar that is there cannot be read, or is no XMP.
    """
    path = sidecar_path(picture)
    try:
        return _plan(path, mark)
    except RecursionError as error:
        raise RecordError(f"{path}: is nested too deeply for a sidecar; move it away or mend it") from error


def _plan(path: Path, mark: Mark) -> Sidecar:
    try:
        there = path.read_bytes() if path.exists() else None
    except OSError as error:
        raise RecordError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    document = _parse(_EMPTY.encode() if there is None else there, path)
    description = _description(document, path)
    wanted = {(_XMP, "Rating"): str(mark.rating), (_XMP, "Label"): mark.label, (_DIGIKAM, "PickLabel"): str(mark.pick)}
    written = dict(item.split("=", 1) for item in (_get(document, _OWN, "Wrote") or "").split() if "=" in item)
    kept, own, changed = [], [], False
    for (space, name), value in wanted.items():
        present = _get(document, space, name)
        # Programs write 0 for "not rated" and "no pick": that is nobody's choice.
        if present not in (None, "", "0") and present != written.get(name):
            kept.append(name)
            continue
        own.append(f"{name}={value}")
        if present != value:
            _remove(document, space, name)
            _set(description, space, name, value)
            changed = True
    if changed:
        _remove(document, _OWN, "Wrote")
        _set(description, _OWN, "Wrote", " ".join(own))
    return Sidecar(path, document.toxml(encoding="utf-8") if changed else None, there is not None, tuple(kept))


def _parse(data: bytes, path: Path) -> minidom.Document:
    remedy = "move it away or mend it"
    if len(data) > MAX_SIDECAR_BYTES:
        raise RecordError(f"{path}: {len(data):,} bytes are too many for a sidecar; {remedy}")
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data or b"\0" in data:
        # Entities can grow without bound, and other encodings could hide them; no program writes either.
        raise RecordError(f"{path}: declares a document type or is not UTF-8, which no XMP does; {remedy}")
    try:
        return minidom.parseString(data)
    except (ExpatError, ValueError, LookupError) as error:
        raise RecordError(f"{path}: is not XML ({error}); {remedy}") from error


def _description(document: minidom.Document, path: Path) -> minidom.Element:
    """The element that new properties go to."""
    for rdf in document.getElementsByTagNameNS(_RDF, "RDF"):
        for child in rdf.childNodes:
            if isinstance(child, minidom.Element) and (child.namespaceURI, child.localName) == (_RDF, "Description"):
                return child
    raise RecordError(f"{path}: is XML but not XMP (no rdf:Description); move it away or mend it")


def _descriptions(document: minidom.Document) -> list[minidom.Element]:
    return list(document.getElementsByTagNameNS(_RDF, "Description"))


def _get(document: minidom.Document, space: str, name: str) -> str | None:
    """A simple property, which may be written as an attribute or as an element."""
    for description in _descriptions(document):
        if description.hasAttributeNS(space, name):
            return str(description.getAttributeNS(space, name))
        for child in description.childNodes:
            if isinstance(child, minidom.Element) and (child.namespaceURI, child.localName) == (space, name):
                return "".join(node.data for node in child.childNodes if isinstance(node, minidom.Text)).strip()
    return None


def _remove(document: minidom.Document, space: str, name: str) -> None:
    for description in _descriptions(document):
        if description.hasAttributeNS(space, name):
            description.removeAttributeNS(space, name)
        for child in list(description.childNodes):
            if isinstance(child, minidom.Element) and (child.namespaceURI, child.localName) == (space, name):
                description.removeChild(child)


def _set(description: minidom.Element, space: str, name: str, value: str) -> None:
    prefix = {_XMP: "xmp", _DIGIKAM: "digiKam", _OWN: "redaes"}[space]
    while _bound(description, prefix) not in (None, space):
        prefix += "_"
    description.setAttributeNS(_XMLNS, f"xmlns:{prefix}", space)
    description.setAttributeNS(space, f"{prefix}:{name}", value)


def _bound(element: minidom.Node | None, prefix: str) -> str | None:
    """The namespace that a prefix stands for at an element."""
    while isinstance(element, minidom.Element):
        if element.hasAttribute(f"xmlns:{prefix}"):
            return str(element.getAttribute(f"xmlns:{prefix}"))
        element = element.parentNode
    return None
