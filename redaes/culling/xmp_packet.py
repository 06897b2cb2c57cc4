"""Read, add and remove simple properties of a picture in an XMP packet; every other byte is left unchanged.

A packet is edited as text, at the positions that a parser finds, and never rewritten from a tree. Comments, processing
instructions, white space, line ends in attributes, prefixes and the encoding are therefore preserved.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"

Name = tuple[str, str]
"""Namespace and local name of a property."""

EMPTY = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
    f' <rdf:RDF xmlns:rdf="{RDF}">\n'
    '  <rdf:Description rdf:about=""/>\n'
    " </rdf:RDF>\n"
    "</x:xmpmeta>\n"
    '<?xpacket end="w"?>'
).encode()
"""A packet without properties."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"),
)  # fmt: skip
_UNMARKED = ((b"<\0\0\0", "utf-32-le"), (b"\0\0\0<", "utf-32-be"), (b"<\0", "utf-16-le"), (b"\0<", "utf-16-be"))
_DECLARED = re.compile(rb"\s*<\?xml[^>]*?\sencoding\s*=\s*[\"']([A-Za-z0-9._-]+)[\"']")
_TAG = re.compile(rb"<[^\s/>]+((?:\s+[^\s=>/]+\s*=\s*(?:\"[^\"]*\"|'[^']*'))*)\s*/?>")
_ATTRIBUTE = re.compile(rb"\s+([^\s=]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")


class NotXmp(ValueError):
    """The data is not XMP, or has a declaration that XMP does not have; the message says which."""


@dataclass
class _Element:
    """A property written as an element."""

    name: Name
    start: int
    text: str = ""
    """All text in the element; for a list or a qualified value, the text of its parts."""
    end: int = 0


@dataclass
class _Description:
    """An ``rdf:Description`` directly in ``rdf:RDF``."""

    about: str
    start: int
    bindings: dict[str, str]
    attributes: dict[Name, str]
    elements: list[_Element] = field(default_factory=list)


class XmpPacket:
    """The properties of the picture in a packet: those directly in its first ``rdf:RDF``.

    Nested resources (ingredients, histories) and descriptions of other things do not belong to the picture.
    """

    def __init__(self, data: bytes) -> None:
        """Read a packet.

        Args:
            data: in any encoding that XML knows and Python has; with or without a byte order mark.

        Raises:
            NotXmp: it is not XML, not XMP, or declares a document type, whose entities can grow without bound.
        """
        self.data = data
        self._mark, self._codec = _encoding(data)
        try:
            text = data[len(self._mark) :].decode(self._codec)
            self._text = text.encode()
            is_exact = self._mark + text.encode(self._codec) == data
        except (UnicodeError, LookupError) as error:
            raise NotXmp(f"is not XML ({error})") from error
        if not is_exact:
            raise NotXmp(f"is in an encoding that cannot be written back ({self._codec})")
        self._descriptions = _Reader(self._text).read()
        first = self._descriptions[0]
        abouts = {one.about for one in self._descriptions}
        about = "" if "" in abouts else first.about
        self._own = [one for one in self._descriptions if one.about == about]

    def values(self, name: Name) -> list[str]:
        """Return a property's values; there are several only if a program wrote it more than once."""
        found = [one.attributes[name] for one in self._own if name in one.attributes]
        return found + [part.text.strip() for one in self._own for part in one.elements if part.name == name]

    def edited(self, out: Collection[Name], put: Mapping[Name, str], prefixes: Mapping[str, str]) -> bytes:
        """Return the packet without some properties and with others, in its own encoding.

        Args:
            out: properties to be removed.
            put: properties to be added, or to get another value.
            prefixes: prefixes by namespace, for namespaces that have none in the packet.
        """
        changes: list[tuple[int, int, bytes]] = []
        gone = {*out, *put}
        for one in self._own:
            tag = _TAG.match(self._text, one.start)
            assert tag is not None  # the parser found it well-formed
            attributes = list(_ATTRIBUTE.finditer(self._text, *tag.span(1)))
            for attribute in attributes:
                if _resolved(attribute[1].decode(), one.bindings) in gone:
                    changes.append((*attribute.span(), b""))
            changes += [(part.start, part.end, b"") for part in one.elements if part.name in gone]
            if one is self._own[0] and put:
                changes.append((tag.end(1), tag.end(1), _attributes(put, one.bindings, prefixes)))
        text = self._text
        for start, end, new in sorted(changes, reverse=True):
            text = text[:start] + new + text[end:]
        text = _without_unused(text, self._own[0].start, prefixes)
        return self._mark + text.decode().encode(self._codec, "xmlcharrefreplace")


def _encoding(data: bytes) -> tuple[bytes, str]:
    """Return the byte order mark, and the encoding."""
    for mark, codec in _MARKS:
        if data.startswith(mark):
            return mark, codec
    for start, codec in _UNMARKED:
        if data.startswith(start):
            return b"", codec
    declared = _DECLARED.match(data)
    codec = "utf-8" if declared is None else declared[1].decode().lower()
    # If single bytes are declared as an encoding with two or four bytes, a program has converted the text and not the
    # declaration.
    return b"", "utf-8" if codec.startswith(("utf-16", "utf-32", "ucs-", "iso-10646")) else codec


class _Reader:
    """Find the descriptions of a packet and the positions of their parts."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._depth = -1
        self._rdf: int | None = None
        self._is_done = False
        self._scopes: dict[str, list[str]] = {}
        self._found: list[_Description] = []
        self._inside: _Element | None = None
        self._is_described = False

    def read(self) -> list[_Description]:
        parser = expat.ParserCreate("utf-8", " ")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartNamespaceDeclHandler = self._bind
        parser.EndNamespaceDeclHandler = self._unbind
        self._parser = parser
        try:
            parser.Parse(self._text, True)
        except expat.ExpatError as error:
            raise NotXmp(f"is not XML ({error})") from error
        if not self._found:
            raise NotXmp("is XML but not XMP (no rdf:Description)")
        return self._found

    def _doctype(self, *_: object) -> None:
        raise NotXmp("declares a document type, which no XMP does")

    def _bind(self, prefix: str | None, space: str | None) -> None:
        self._scopes.setdefault(prefix or "", []).append(space or "")

    def _unbind(self, prefix: str | None) -> None:
        self._scopes[prefix or ""].pop()

    def _start(self, joined: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        name = _split(joined)
        if self._rdf is None:
            if name == (RDF, "RDF") and self._depth <= 1:
                self._rdf = self._depth
        elif self._is_done:
            return
        elif self._depth == self._rdf + 1:
            self._is_described = name == (RDF, "Description")
            if self._is_described:
                found = {_split(key): value for key, value in attributes.items()}
                about = found.get((RDF, "about"), found.get(("", "about"), ""))
                bindings = {prefix: spaces[-1] for prefix, spaces in self._scopes.items() if spaces}
                self._found.append(_Description(about, self._parser.CurrentByteIndex, bindings, found))
        elif self._depth == self._rdf + 2 and self._is_described:
            self._inside = _Element(name, self._parser.CurrentByteIndex)
            self._found[-1].elements.append(self._inside)
        if self._inside is not None:
            self._inside.text += attributes.get(f"{RDF} value", "")

    def _end(self, _: str) -> None:
        if self._rdf is not None and self._depth == self._rdf:
            self._is_done = True
        if self._inside is not None and self._rdf is not None and self._depth == self._rdf + 2:
            at = self._parser.CurrentByteIndex
            tag = _TAG.match(self._text, self._inside.start)
            is_alone = tag is not None and tag[0].endswith(b"/>")
            self._inside.end = tag.end() if tag is not None and is_alone else self._text.index(b">", at) + 1
            self._inside = None
        self._depth -= 1

    def _characters(self, text: str) -> None:
        if self._inside is not None:
            self._inside.text += text


def _split(joined: str) -> Name:
    space, _, name = joined.rpartition(" ")
    return space, name


def _resolved(name: str, bindings: Mapping[str, str]) -> Name:
    prefix, _, local = name.rpartition(":")
    return (bindings.get(prefix, "") if prefix else "", local)


def _attributes(put: Mapping[Name, str], bindings: Mapping[str, str], prefixes: Mapping[str, str]) -> bytes:
    """Return properties as attributes, each namespace under the prefix that it has, else under a new one."""
    known = {space: prefix for prefix, space in bindings.items() if prefix}
    taken = set(bindings)
    text = ""
    for (space, name), value in put.items():
        if space not in known:
            prefix = prefixes[space]
            while prefix in taken:
                prefix += "_"
            known[space] = prefix
            taken.add(prefix)
            text += f" xmlns:{prefix}={quoteattr(space)}"
        text += f" {known[space]}:{name}={quoteattr(value)}"
    return text.encode()


def _without_unused(text: bytes, start: int, prefixes: Mapping[str, str]) -> bytes:
    """Return the text without declarations in a description's tag, of these namespaces, that nothing uses any more."""
    tag = _TAG.match(text, start)
    assert tag is not None
    for attribute in reversed(list(_ATTRIBUTE.finditer(text, *tag.span(1)))):
        kind, _, prefix = attribute[1].partition(b":")
        space = (attribute[2] or attribute[3] or b"").decode()
        if kind == b"xmlns" and space in prefixes and len(re.findall(rb"\b%s:" % re.escape(prefix), text)) == 0:
            text = text[: attribute.start()] + text[attribute.end() :]
    return text
