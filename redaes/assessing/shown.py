"""The parts of an answer that are shown, on any medium, and their plain text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from redaes.assessing.measured import Measured
from redaes.assessing.words import printable
from redaes.evidence.claims import Status
from redaes.images import IN_MEMORY
from redaes.types import ImageRef

_LABEL = 13
"""Width of the column of labels, in characters."""

_BAR = 12
"""Length of the longest bar, in characters."""


@dataclass(frozen=True)
class ShownPicture:
    """A picture with its caption."""

    ref: ImageRef
    caption: str
    detail: str = ""
    marked: bool = False
    """Whether it is highlighted as the better one."""


@dataclass(frozen=True)
class Shown:
    """The shown parts of an answer. Its texts are not escaped."""

    title: str
    facts: tuple[tuple[str, str], ...] = ()
    """The facts, each with label and text."""
    reasons: tuple[tuple[str, Status | None], ...] = ()
    """The reasoning in pieces, each with the outcome of its statement."""
    about_reasons: tuple[str, ...] = ()
    measured: tuple[Measured, ...] = ()
    names: tuple[str, str] = ("A", "B")
    """Names of the columns of the measurements."""
    notes: tuple[str, ...] = ()
    about: tuple[str, ...] = ()
    """Which model answered, and how."""
    pictures: tuple[ShownPicture, ...] = ()
    captions_say_it: bool = False
    """Whether the captions of the pictures contain the facts, so that these need not be repeated."""
    scale: tuple[float, float] | None = None
    """A score and its standard error, in points of 0 to 9."""


def names_of(refs: Sequence[ImageRef]) -> tuple[str, ...]:
    """Return names of pictures: file names, or whole paths if two names are equal; for a picture without a file its
    position.
    """
    files = [ref.path.name for ref in refs if ref.path != IN_MEMORY]
    twice = len(set(files)) < len(files)
    return tuple(
        _place(number, len(refs)) if ref.path == IN_MEMORY else printable(str(ref.path) if twice else ref.path.name)
        for number, ref in enumerate(refs)
    )


def _place(number: int, n_pictures: int) -> str:
    """Return the name of a picture without a file, by its position."""
    if n_pictures > 2:
        return f"picture {number}"
    return ("the first picture", "the second picture")[number] if n_pictures > 1 else "the picture"


def fact_lines(shown: Shown) -> list[str]:
    """Return the facts, one a line."""
    return [f"{label:{_LABEL - 1}} {text}" for label, text in shown.facts]


def table_lines(shown: Shown) -> Iterator[str]:
    """Yield the measurements of both pictures as lines, with bars."""
    if not shown.measured:
        return
    width = max(len(row.name) for row in shown.measured)
    labels = [row.shown(value) for row in shown.measured for value in (row.first, row.second)]
    figure = max(map(len, labels))
    first, second = shown.names
    size = max(_BAR + 1 + figure, len(first))
    yield f"{'measured':{width}}  {first:{size}}  {second}"
    for row in shown.measured:
        cells = [
            f"{row.shown(value):>{figure}} {'█' * round(share * _BAR)}"
            for value, share in zip((row.first, row.second), row.shares(), strict=True)
        ]
        yield f"{row.name:{width}}  {cells[0]:{size}}  {cells[1]}{'  ' * bool(remark(row))}{remark(row)}".rstrip()


def remark(row: Measured) -> str:
    """Return the remark on a row; empty: none."""
    if row.status == "contradicted":
        return "contradicts the reasoning"
    return "" if row.visible else "no visible difference"


def as_text(shown: Shown) -> str:
    """Return the answer as plain text, without control characters."""
    reasons = "".join(
        piece + (" [contradicted]" if status == "contradicted" else "") for piece, status in shown.reasons
    )
    blocks = [
        [shown.title],
        fact_lines(shown),
        [reasons, *shown.about_reasons] if reasons else [],
        list(table_lines(shown)),
        [f"note: {note}" for note in shown.notes],
        list(shown.about),
    ]
    return printable("\n\n".join("\n".join(block) for block in blocks if block))
