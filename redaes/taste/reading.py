"""Read decisions from lists, folders of rated pictures and an earlier taste, and combine them.

Sources are those that ``redaes data import`` takes. All answers about the same two pictures are one decision; decisions
that share a picture, a near copy of one, or a stated source belong to one series.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import NormalDist

from redaes.datagen.imported.forms import ReadingSettings, read_source
from redaes.datagen.imported.labels import StatedLabel
from redaes.datagen.imported.pictures import KnownPicture, NamedPictures
from redaes.datagen.imported.rows import StatedPair, StatedPicture, UnusableRow
from redaes.datagen.imported.sources import find_source
from redaes.datagen.linked_names import LinkedNames
from redaes.errors import ImageError
from redaes.taste.decisions import DecidedPicture, TasteDecision
from redaes.types import TAU

N_NAMED = 20
"""Number of findings of a kind that are named; the others are only counted."""


@dataclass
class _Answers:
    """All answers about the same two pictures; the one with the smaller id comes first."""

    pictures: tuple[DecidedPicture, DecidedPicture]
    names: str
    labels: list[StatedLabel] = field(default_factory=list)


@dataclass(frozen=True)
class ReadDecisions:
    """The decisions that were read, and what was left out."""

    decisions: tuple[TasteDecision, ...]
    n_answers: int
    """Number of answers from which the decisions are made."""
    contradictory: tuple[str, ...]
    """Names of pairs about which answers disagree."""
    left_out: tuple[UnusableRow, ...]
    """Answers that cannot be used, with the reason."""

    def reasons(self) -> dict[str, int]:
        """Return the number of answers that were left out, by reason."""
        return dict(Counter(row.reason for row in self.left_out).most_common())


def stated_in(sources: Sequence[Path], settings: ReadingSettings) -> Iterator[StatedPair | UnusableRow]:
    """Yield the answers of several sources, one after the other.

    Raises:
        InputError: a source cannot be read.
        MissingDependency: a package that a source needs is absent.
    """
    for source in sources:
        yield from read_source(find_source(source), settings, set())


def read_decisions(
    rows: Iterable[StatedPair | UnusableRow],
    folder: Path,
    *,
    ids: Callable[[str], tuple[str, str] | None] = lambda where: None,
    progress: Callable[[int], object] = lambda n: None,
) -> ReadDecisions:
    """Combine answers into decisions.

    Args:
        rows: the answers.
        folder: folder for pictures that have no file of their own.
        ids: for the place of a row, the ids that its pictures must have; None: any.
        progress: called with the number of answers that were read.
    """
    pictures = NamedPictures(folder / "pictures")
    shown = _Shown(pictures, folder)
    found: dict[tuple[str, str], _Answers] = {}
    lost: list[UnusableRow] = []
    linked = LinkedNames()
    for n_rows, row in enumerate(rows, 1):
        progress(n_rows)
        if isinstance(row, UnusableRow):
            lost.append(row)
            continue
        sides = [shown.take(picture) for picture in (row.first, row.second)]
        wrong = next((side for side in sides if isinstance(side, tuple)), None)
        if wrong is not None:
            lost.append(UnusableRow(row.where, *wrong))
            continue
        first, second = (side for side in sides if isinstance(side, DecidedPicture))
        known = ids(row.where)
        if known is not None and known != (first.id, second.id):
            lost.append(UnusableRow(row.where, "picture has changed", f"{row.first.name}, {row.second.name}"))
        elif first.id == second.id:
            lost.append(UnusableRow(row.where, "pictures are identical", f"{row.first.name}, {row.second.name}"))
        else:
            kept = first.id < second.id
            pair = (first, second) if kept else (second, first)
            answers = found.setdefault(
                (pair[0].id, pair[1].id), _Answers(pair, f"{_place(row.first)} and {_place(row.second)}")
            )
            answers.labels.append(row.label if kept else row.label.swapped())
            linked.link(first.id, second.id)
            for name in (row.source, row.group):
                if name:
                    linked.link(first.id, f"stated {name}")
    for earlier, later in pictures.near_copies():
        linked.link(earlier, later)
    decisions = tuple(_decision(answers, linked) for _, answers in sorted(found.items()))
    return ReadDecisions(
        decisions,
        sum(len(answers.labels) for answers in found.values()),
        tuple(answers.names for answers in found.values() if {1, -1} <= {label.sign for label in answers.labels}),
        tuple(lost),
    )


def _place(picture: StatedPicture) -> str:
    """Return the path of a picture, because several lists may have pictures of the same name; without one, its name."""
    return picture.name if picture.path is None else str(picture.path)


class _Shown:
    """Pictures in the form in which a model will be shown them."""

    def __init__(self, pictures: NamedPictures, folder: Path) -> None:
        self._pictures = pictures
        self._folder = folder

    def take(self, picture: StatedPicture) -> DecidedPicture | tuple[str, str]:
        """Return the picture, or the reason and detail why it cannot be used."""
        if picture.path is not None and not picture.path.is_file():
            return "picture missing", f"{picture.path} is not a file"
        try:
            known = self._pictures.take(picture)
        except ImageError as error:
            return "picture unreadable", str(error)
        whole = picture.path is not None and picture.box is None
        return DecidedPicture(known.id, picture.path.resolve() if whole and picture.path else self._stored(known))

    def _stored(self, known: KnownPicture) -> Path:
        file = self._folder / known.id
        if not file.exists():
            file.write_bytes(self._pictures.bytes_of(known.id))
        return file


def _decision(answers: _Answers, linked: LinkedNames) -> TasteDecision:
    first, second = answers.pictures
    series = str(linked.root(first.id))
    weighed = [_share(label) for label in answers.labels]
    n_votes = sum(votes for _, votes in weighed)
    return TasteDecision(
        id=hashlib.sha256(f"{first.id}|{second.id}".encode()).hexdigest()[:16],
        first=first,
        second=second,
        p_first=sum(share * votes for share, votes in weighed) / n_votes,
        series=hashlib.sha256(series.encode()).hexdigest()[:12],
        n_votes=round(n_votes),
    )


def _share(label: StatedLabel) -> tuple[float, float]:
    """Return the share of answers that prefer the first picture, and their number; a difference counts as one
    answer.
    """
    if label.votes is not None:
        return label.votes[0] / sum(label.votes), sum(label.votes)
    assert label.delta is not None  # one of the two is given
    return NormalDist().cdf(label.delta / TAU), 1.0
