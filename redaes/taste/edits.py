"""Pairs that the embedded editor makes, to limit and to measure what a model forgets.

Which of two edits of a photograph is better is known without labels. On some of these pairs the model's verdicts before
learning are kept. On others, of other photographs, its agreement with the edits is counted before and after.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from redaes.datagen.dataset_settings import DatasetSettings
from redaes.datagen.pipeline import build
from redaes.records import PairRecord, read_records
from redaes.reference_photographs import reference_photographs
from redaes.taste.decisions import DecidedPicture
from redaes.types import winner_of

OWN_PHOTOGRAPHS = 60
"""Largest number of a person's own photographs of which edits are made [ours]."""

MOST_KEPT, MOST_TESTED = 300, 150
"""Largest numbers of pairs that are used [ours]; more did not change any measured result."""

MAX_SIDE = 256
"""Longest side of the edited pictures, in pixels."""


@dataclass(frozen=True)
class EditedPair:
    """Two versions of a photograph."""

    first: DecidedPicture
    second: DecidedPicture
    sign: int
    """1: the first is better, -1: the second, 0: neither."""


@dataclass(frozen=True)
class EditedPairs:
    """Edited pairs whose verdicts are kept, and edited pairs for testing."""

    kept: tuple[EditedPair, ...]
    """Pairs on which the model's verdicts before learning are kept."""
    tested: tuple[EditedPair, ...]
    """Pairs of other photographs for testing; each has a better picture."""

    @property
    def all(self) -> tuple[EditedPair, ...]:
        """The kept pairs, then the tested ones."""
        return *self.kept, *self.tested


def make_edited_pairs(own: Iterable[Path], folder: Path, *, seed: int, most: int = OWN_PHOTOGRAPHS) -> EditedPairs:
    """Make edited pairs from some of a person's photographs and from the reference photographs of the package.

    Args:
        own: photographs, one of each series, of which at most ``most`` are drawn by their names.
        folder: a new folder for the pictures.
        seed: seed of the edits and the draws.
        most: largest number of the person's own photographs.
    """
    drawn = sorted(set(own), key=lambda path: hashlib.sha256(f"{seed}:{path.name}".encode()).digest())[:most]
    clean = [one.path for one in reference_photographs()[::2]]  # each is followed by its degraded copy
    settings = DatasetSettings(
        views=max(1, round(100 / (len(drawn) + len(clean)))),
        variants=4,
        max_side=MAX_SIDE,
        test_fraction=0.25,
        seed=seed,
    )
    build([*drawn, *clean], folder, settings)
    pictures = folder / "pictures"
    pictures.mkdir()
    kept = _drawn(read_records(folder, "train"), MOST_KEPT)
    tested = _drawn((record for record in read_records(folder, "test") if record.pair.delta), MOST_TESTED)
    return EditedPairs(
        tuple(_edited(record, pictures) for record in kept),
        tuple(pair for pair in (_edited(record, pictures) for record in tested) if pair.sign),
    )


def _drawn(records: Iterable[PairRecord], most: int) -> list[PairRecord]:
    """Return some of the pairs, drawn by their ids."""
    return sorted(records, key=lambda record: hashlib.sha256(record.pair.id.encode()).digest())[:most]


def _edited(record: PairRecord, folder: Path) -> EditedPair:
    sides = []
    for ref, data in ((record.pair.first, record.first_bytes), (record.pair.second, record.second_bytes)):
        file = folder / ref.id
        if not file.exists():
            file.write_bytes(data)
        sides.append(DecidedPicture(ref.id, file))
    winner = winner_of(record.pair.delta or 0.0)
    return EditedPair(sides[0], sides[1], {"A": 1, "B": -1, "tie": 0}[winner])
