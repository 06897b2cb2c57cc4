"""Pairs made on the spot by the embedded editor: what a model is not to forget, and what it forgot.

Which of two edits of a photograph is better needs nobody's label. The model's own verdicts before learning are kept on
some of these pairs; on others, of photographs that the first ones do not show, it is counted how often it agrees with
the edits before and after.
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
"""Most of somebody's own photographs of which edits are made [ours]."""

MOST_KEPT, MOST_TESTED = 300, 150
"""Pairs that are used, of all that can be made [ours]: more of them change nothing that was measured."""

MAX_SIDE = 256
"""Longest side of the edited pictures, in pixels."""


@dataclass(frozen=True)
class EditedPair:
    """Two versions of a photograph."""

    first: DecidedPicture
    second: DecidedPicture
    sign: int
    """1: the first is the better one, -1: the second; 0: neither."""


@dataclass(frozen=True)
class EditedPairs:
    """What is to be kept in mind, and what it is tested on."""

    kept: tuple[EditedPair, ...]
    """The model's own verdicts on these are learnt again."""
    tested: tuple[EditedPair, ...]
    """Of other photographs; all of them have a better picture."""

    @property
    def all(self) -> tuple[EditedPair, ...]:
        """Those kept, then those tested."""
        return *self.kept, *self.tested


def make_edited_pairs(own: Iterable[Path], folder: Path, *, seed: int, most: int = OWN_PHOTOGRAPHS) -> EditedPairs:
    """Make them from some of somebody's photographs and from the reference photographs of the package.

    Args:
        own: photographs, one of each series, of which at most ``most`` are drawn by their names.
        folder: a new one, for the pictures.
        seed: seed of the edits and the draws.
        most: most of one's own photographs.
    """
    drawn = sorted(set(own), key=lambda path: hashlib.sha256(f"{seed}:{path.name}".encode()).digest())[:most]
    clean = [one.path for one in reference_photographs()[::2]]  # each is followed by its spoilt copy
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
    """Return some of the pairs, by their ids."""
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
