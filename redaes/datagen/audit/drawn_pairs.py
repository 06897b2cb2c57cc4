"""Which pairs people judge: drawn by factor, editor and size of the difference; the seed and the dataset fix the draw.

The strata take turns, so that what is rare in the dataset is judged, too. Pairs and pictures are named by tokens that
reveal nothing: no file name, no editor, no place in the dataset.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from redaes.datagen.statistics import LIGHT, Row, light_rows
from redaes.errors import InputError, RecordError
from redaes.records import data_hash
from redaes.types import TIE_MARGIN, Record, Split

DRAW_VERSION = 1
"""Version of the rules by which pairs are drawn, named and ordered; answers record it."""

MAX_PAIRS = 5000
MAX_REPEATED = 0.3
"""Largest share of pairs that is shown twice. They come from the first third and are repeated in the second half."""

SIZES: tuple[tuple[float, str], ...] = (
    (TIE_MARGIN, f"under {TIE_MARGIN}"),
    (1.0, f"{TIE_MARGIN} to 1"),
    (2.0, "1 to 2"),
    (4.0, "2 to 4"),
    (float("inf"), "4 and more"),
)
"""Sizes of differences: the limit in points below which a difference has the size, and its name. The first is ties."""

NO_EDITOR = "no edit"
_COLUMNS = (*LIGHT, "edit_first", "edit_second", "label_source")


class AuditDraw(Record):
    """Settings that decide which pairs are shown, in which order, under which names."""

    version: int
    """:data:`DRAW_VERSION`."""
    dataset: str
    """SHA-256 over its shards (:func:`redaes.records.data_hash`)."""
    seed: int
    n_pairs: int
    """Number of pairs that were asked for; there may be fewer in the dataset."""
    repeated: float
    """Share of the pairs that is shown a second time, with the pictures exchanged."""

    @property
    def key(self) -> str:
        """The text from which all tokens are derived."""
        return f"{self.version}/{self.dataset}/{self.seed}"

    def token(self, what: str) -> str:
        """Return a name that reveals nothing about what it names."""
        return hashlib.sha256(f"{self.key}/{what}".encode()).hexdigest()[:20]


@dataclass(frozen=True)
class Stratum:
    """What pairs that are drawn together have in common."""

    factor: str
    """The factor that decides these pairs, see :attr:`redaes.datagen.statistics.Row.decided_by`."""
    editor: str
    size: str


@dataclass(frozen=True)
class DrawnPair:
    """A pair that is shown."""

    token: str
    pictures: tuple[str, str]
    """Tokens of its first and second picture."""
    pair: str
    """Its id in the dataset."""
    delta: float
    """Difference of the label in points, positive if the first picture is better."""
    stratum: Stratum
    label_source: str
    """The source of the label according to the dataset, such as measurements or a panel."""
    source: str
    """Id of the photograph."""
    split: Split
    file: Path
    number: int
    """Row in the file, from 0."""


@dataclass(frozen=True)
class Population:
    """The labelled pairs of a dataset, from which pairs are drawn."""

    dataset: str
    """SHA-256 over the shards."""
    rows: tuple[Row, ...]
    n_unlabelled: int

    @cached_property
    def strata(self) -> Mapping[Stratum, int]:
        """The number of pairs in each stratum."""
        return Counter(map(stratum_of, self.rows))


def population(folder: Path) -> Population:
    """Read all rows of a dataset without their pictures.

    Raises:
        RecordError: the folder is not a RED dataset, a shard cannot be read, or no pair has a label.
    """
    rows = tuple(light_rows(folder, _COLUMNS))
    labelled = tuple(row for row in rows if row.values["delta"] is not None)
    if not labelled:
        raise RecordError(f"{folder}: none of {len(rows)} pairs has a label that people could be held against")
    return Population(data_hash(folder), labelled, len(rows) - len(labelled))


def new_draw(dataset: str, *, n_pairs: int, seed: int, repeated: float) -> AuditDraw:
    """Return a draw with these settings.

    Raises:
        InputError: a number is out of range.
    """
    check_draw(n_pairs, repeated)
    return AuditDraw(version=DRAW_VERSION, dataset=dataset, seed=seed, n_pairs=n_pairs, repeated=repeated)


def check_draw(n_pairs: int, repeated: float) -> None:
    """Refuse impossible settings of a draw before the dataset is read.

    Raises:
        InputError: a number is out of range.
    """
    if not 1 <= n_pairs <= MAX_PAIRS:
        raise InputError(f"--pairs is {n_pairs}; give 1 to {MAX_PAIRS}")
    if not 0 <= repeated <= MAX_REPEATED:
        raise InputError(f"--repeated is {repeated}; give a share from 0 to {MAX_REPEATED}")


def drawn_pairs(found: Population, draw: AuditDraw) -> list[DrawnPair]:
    """Return the pairs of a draw, in the order of their tokens.

    The strata take turns: one pair of each, then the next of each, until there are enough. Within a stratum every
    photograph comes once before any comes again.
    """
    strata: defaultdict[Stratum, list[Row]] = defaultdict(list)
    for row in found.rows:
        strata[stratum_of(row)].append(row)
    turns = [
        (rank, draw.token(f"stratum/{stratum}"), stratum, row)
        for stratum, rows in strata.items()
        for rank, row in enumerate(_photographs_first(rows, draw))
    ]
    turns.sort(key=lambda turn: turn[:2])
    chosen = [_drawn(row, stratum, draw) for _, _, stratum, row in turns[: draw.n_pairs]]
    return sorted(chosen, key=lambda one: one.token)


def stratum_of(row: Row) -> Stratum:
    """Return the stratum of a labelled row."""
    editors = {str(edit["editor"]) for edit in (row.values["edit_first"], row.values["edit_second"]) if edit}
    return Stratum(row.decided_by, " + ".join(sorted(editors)) or NO_EDITOR, size_of(row.values["delta"]))


def size_of(delta: float) -> str:
    """Return the name of the size of a difference.

    >>> size_of(-0.1), size_of(1.5), size_of(-4.0)
    ('under 0.25', '1 to 2', '4 and more')
    """
    return next(name for below, name in SIZES if abs(delta) < below)


def _photographs_first(rows: Iterable[Row], draw: AuditDraw) -> list[Row]:
    """Return rows in random order, but every photograph once before any comes again."""
    turns: Counter[str] = Counter()
    placed = []
    lots = {draw.token(f"lot/{row.values['id']}"): row for row in rows}  # if rows share an id, the last one counts
    for lot, row in sorted(lots.items(), key=lambda one: one[0]):
        placed.append((turns[row.values["source"]], lot, row))
        turns[row.values["source"]] += 1
    return [row for _, _, row in sorted(placed, key=lambda one: one[:2])]


def _drawn(row: Row, stratum: Stratum, draw: AuditDraw) -> DrawnPair:
    name = str(row.values["id"])
    return DrawnPair(
        token=draw.token(f"pair/{name}"),
        pictures=(draw.token(f"picture/{name}/first"), draw.token(f"picture/{name}/second")),
        pair=name,
        delta=float(row.values["delta"]),
        stratum=stratum,
        label_source=str(row.values["label_source"]),
        source=str(row.values["source"]),
        split=row.split,
        file=row.file,
        number=row.number,
    )
