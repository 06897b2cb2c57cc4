"""Join all rows of a source about the same two pictures; the result is then divided into splits and written."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from redaes.datagen.imported.labels import PooledLabel, StatedLabel, pooled
from redaes.datagen.imported.pictures import KnownPicture, NamedPictures
from redaes.datagen.imported.rows import StatedPair, StatedPicture, UnusableRow
from redaes.errors import ImageError, InputError
from redaes.types import Factor, Split, Winner, winner_of

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://|data:image/", re.ASCII)


@dataclass(frozen=True)
class StatedReason:
    """The reasons that a row states for its verdict."""

    winner: Winner
    """The verdict of that row, with the picture of the smaller id as A; other rows may differ."""
    factors: tuple[Factor, ...]
    texts: tuple[str, str]
    """Rationales with the smaller id as A, and with it as B; empty if there is none."""
    writer: str
    """Writer of the rationales; empty if it is not stated."""


@dataclass
class GatheredPair:
    """All rows about the same two pictures in one group; the picture with the smaller id comes first in each."""

    pictures: tuple[KnownPicture, KnownPicture]
    group: str
    where: str
    labels: list[StatedLabel] = field(default_factory=list)
    reasons: list[StatedReason] = field(default_factory=list)
    sources: set[str] = field(default_factory=set)
    """All sources that its rows name."""
    places: set[tuple[str, str]] = field(default_factory=set)
    """Pairs of a picture's id and the source that it shows."""
    licences: set[str] = field(default_factory=set)
    series: set[str] = field(default_factory=set)
    """The large series whose parts it belongs to."""
    split: Split | None = None
    from_people: bool = True

    @property
    def source(self) -> str:
        """The source if all rows name the same one; otherwise empty, and the division's unit is used instead."""
        return next(iter(self.sources)) if len(self.sources) == 1 else ""

    @property
    def names(self) -> str:
        """The names of both pictures."""
        return f"{self.pictures[0].name} and {self.pictures[1].name}"

    def add(self, row: StatedPair, kept: bool) -> None:
        """Add a row.

        Args:
            row: a row about these two pictures.
            kept: whether the picture with the smaller id is the first in the row.
        """
        label = row.label if kept else row.label.swapped()
        self.labels.append(label)
        texts = (row.rationale, row.rationale_swapped) if kept else (row.rationale_swapped, row.rationale)
        if row.factors or any(texts):
            self.reasons.append(StatedReason(label.winner, row.factors, texts, row.writer))
        stated = (row.first, row.second) if kept else (row.second, row.first)
        for picture, known in zip(stated, self.pictures, strict=True):
            named = {row.source, picture.source} - {""}
            self.sources |= named
            self.places |= {(known.id, source) for source in named}
            self.licences |= {row.licence, picture.licence} - {""}
        self.series |= {row.series} - {""}
        self.from_people &= row.from_people
        self.split = row.split if self.split != "test" and row.split else self.split

    def reason(self, delta: float) -> StatedReason:
        """Return the reasons that fit the joint difference of all rows; those of rows with another verdict are ignored.
        The first factors are taken, and the first texts among the reasons with these factors.
        """
        winner = winner_of(delta)
        agreeing = [one for one in self.reasons if one.winner == winner]
        factors = next((one.factors for one in agreeing if one.factors), ())
        said = [one for one in agreeing if one.factors == factors]
        texts = [next((one.texts[place] for one in said if one.texts[place]), "") for place in (0, 1)]
        writer = next((one.writer for one in said if one.writer and any(one.texts)), "")
        return StatedReason(winner, factors, (texts[0], texts[1]), writer)


def gathered_pairs(
    rows: Iterable[StatedPair | UnusableRow],
    pictures: NamedPictures,
    lost: list[UnusableRow],
    progress: Callable[[int], None],
) -> tuple[list[GatheredPair], list[PooledLabel]]:
    """Return the pairs in the order of their first occurrence, and their labels.

    Args:
        rows: rows of a source.
        pictures: the pictures of this import, in which the named ones are looked up.
        lost: a list to which the rows that cannot be used are added, including those in ``rows``.
        progress: called with the number of rows that have been read.
    """
    found: dict[tuple[str, str, str], GatheredPair] = {}
    for n_rows, row in enumerate(rows, 1):
        progress(n_rows)
        if isinstance(row, UnusableRow):
            lost.append(row)
            continue
        known = [_taken(picture, pictures) for picture in (row.first, row.second)]
        wrong = next((item for item in known if isinstance(item, tuple)), None)
        if wrong is not None:
            lost.append(UnusableRow(row.where, *wrong))
            continue
        first, second = (item for item in known if isinstance(item, KnownPicture))
        if first.id == second.id:
            lost.append(UnusableRow(row.where, "pictures are identical", f"{row.first.name}, {row.second.name}"))
            continue
        kept = first.id < second.id
        pair = (first, second) if kept else (second, first)
        key = (row.group, pair[0].id, pair[1].id)
        found.setdefault(key, GatheredPair(pair, row.group, row.where)).add(row, kept)
    return _labelled(found.values(), lost)


def _taken(picture: StatedPicture, pictures: NamedPictures) -> KnownPicture | tuple[str, str]:
    """Return the picture, or the reason why there is none, with details."""
    if picture.path is not None and _ADDRESS.match(picture.name):
        pictures.missing[picture.name] += 1
        return "address in place of a picture", f"{picture.name}; nothing is fetched: save it, and name the file"
    try:
        if picture.path is not None and not picture.path.is_file():
            pictures.missing[picture.name] += 1
            return "picture missing", f"{picture.path} is not a file"
        return pictures.take(picture)
    except OSError as error:  # such as a name that is too long for a file
        pictures.unusable[picture.name] += 1
        return "picture unreadable", f"{picture.path}: {error.strerror or error}"
    except ImageError as error:
        return "picture unreadable", str(error)


def _labelled(found: Iterable[GatheredPair], lost: list[UnusableRow]) -> tuple[list[GatheredPair], list[PooledLabel]]:
    kept, labels = [], []
    for item in found:
        try:
            labels.append(pooled(item.labels))
            kept.append(item)
        except InputError as error:
            lost.append(UnusableRow(item.where, "labels of two kinds", str(error)))
    return kept, labels
