"""What is shown of an answer, whatever it is shown on; and the same as plain text."""

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
    """Whether it stands out: the better one."""


@dataclass(frozen=True)
class Shown:
    """An answer for reading. The texts are as files, models and redaes have them: nothing is escaped yet."""

    title: str
    facts: tuple[tuple[str, str], ...] = ()
    """Label and text."""
    reasons: tuple[tuple[str, Status | None], ...] = ()
    """The reasoning in pieces, each with what became of the statement that it is."""
    about_reasons: tuple[str, ...] = ()
    measured: tuple[Measured, ...] = ()
    names: tuple[str, str] = ("A", "B")
    """Of the columns of what was measured."""
    notes: tuple[str, ...] = ()
    about: tuple[str, ...] = ()
    """Who answered, and what is to be known of them."""
    pictures: tuple[ShownPicture, ...] = ()
    captions_say_it: bool = False
    """Whether the captions of the pictures have the facts, so that they need not stand beside them again."""
    scale: tuple[float, float] | None = None
    """A score and its standard error, in points of 0 to 9."""


def names_of(refs: Sequence[ImageRef]) -> tuple[str, ...]:
    """Return what to call pictures: file names, or whole paths where two names are equal; the place of one without a
    file.
    """
    files = [ref.path.name for ref in refs if ref.path != IN_MEMORY]
    twice = len(set(files)) < len(files)
    return tuple(
        _place(number, len(refs)) if ref.path == IN_MEMORY else printable(str(ref.path) if twice else ref.path.name)
        for number, ref in enumerate(refs)
    )


def _place(number: int, n_pictures: int) -> str:
    """Return what to call a picture that has no name."""
    if n_pictures > 2:
        return f"picture {number}"
    return ("the first picture", "the second picture")[number] if n_pictures > 1 else "the picture"


def fact_lines(shown: Shown) -> list[str]:
    """Return the facts, one a line."""
    return [f"{label:{_LABEL - 1}} {text}" for label, text in shown.facts]


def table_lines(shown: Shown) -> Iterator[str]:
    """Yield what was measured in both pictures, with bars."""
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
    """Return what is to be said of a row; empty: nothing."""
    if row.status == "contradicted":
        return "contradicts the reasoning"
    return "" if row.visible else "no visible difference"


def as_text(shown: Shown) -> str:
    """Return the answer as plain text, without what would steer a terminal."""
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
