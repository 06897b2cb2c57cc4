"""All that the rows of a source say about each two pictures, put together: what is left to be divided and written."""

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
    """Why somebody decided so."""

    winner: Winner
    """What that one's row says, with the picture of the smaller id as A: others may have said otherwise."""
    factors: tuple[Factor, ...]
    texts: tuple[str, str]
    """Rationale with the smaller id as A, and as B; empty: none."""
    writer: str
    """Who wrote them; empty: not stated."""


@dataclass
class GatheredPair:
    """All rows about the same two pictures in one group; the picture with the smaller id comes first in each."""

    pictures: tuple[KnownPicture, KnownPicture]
    group: str
    where: str
    labels: list[StatedLabel] = field(default_factory=list)
    reasons: list[StatedReason] = field(default_factory=list)
    sources: set[str] = field(default_factory=set)
    """All that its rows name."""
    places: set[tuple[str, str]] = field(default_factory=set)
    """Which picture, by id, shows which source."""
    licences: set[str] = field(default_factory=set)
    series: set[str] = field(default_factory=set)
    """Large series of parts of which it is a pair."""
    split: Split | None = None
    from_people: bool = True

    @property
    def source(self) -> str:
        """The one that all rows name; empty: none, or several, for which stands what the pair shares pictures with."""
        return next(iter(self.sources)) if len(self.sources) == 1 else ""

    @property
    def names(self) -> str:
        """Both pictures, as they were named."""
        return f"{self.pictures[0].name} and {self.pictures[1].name}"

    def add(self, row: StatedPair, kept: bool) -> None:
        """Take in a row.

        Args:
            row: about these two pictures.
            kept: whether it has the smaller id first.
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
        """Return what was said for the difference that came of all rows, and by nobody who decided otherwise: the first
        factors, and the first texts among those with these factors.
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
    """Return the pairs in the order in which they first come, each with its label.

    Args:
        rows: rows of a source.
        pictures: looks at those that they name.
        lost: gets the rows that cannot be used, those of ``rows`` among them.
        progress: told how many rows were looked at.
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
    """Return the picture, or reason and detail of why there is none."""
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
