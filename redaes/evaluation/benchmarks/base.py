"""What a benchmark is: pictures, what is known about them, and where its owner's files lie.

A label file is read exactly as its owner publishes it, and what was read is compared with the pinned labels
(:mod:`redaes.evaluation.benchmarks.manifest`), so a file that was cut, edited, or belongs to another split of the same
name is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from redaes.errors import InputError, RecordError
from redaes.label_files.contents import Box, number, read_json_list, read_rows

Kind = Literal["scores", "pairs", "series", "crops"]
"""``scores``: one label per picture, compared over all pictures. ``pairs``: which of two is better. ``series``: an
order within each series, and pairs. ``crops``: labels that compare the crops of one picture."""


@dataclass(frozen=True, slots=True)
class BenchmarkPicture:
    """Something that is to be judged.

    Attributes:
        id: as the labels name it; unique within the benchmark.
        file: relative to the folder of the pictures.
        group: series, source or photograph that it belongs to.
        score: its label, larger is better; None: it stands in pairs only.
        box: the crop that is meant; None: the whole picture.
        source: what its group comes from, where several groups do; None: its group stands alone.
    """

    id: str
    file: str
    group: str
    score: float | None = None
    box: Box | None = None
    source: str | None = None

    @property
    def cluster(self) -> str:
        """What intervals resample: groups of one source are not independent."""
        return self.group if self.source is None else self.source


@dataclass(frozen=True, slots=True)
class LabelledPair:
    """Two pictures of one group.

    Attributes:
        first: id of a picture.
        second: id of another.
        p: share of people, or probability, that the first is better.
        factor: what decides it, where that is known; None: not known, or several do.
    """

    first: str
    second: str
    p: float
    factor: str | None = None


@dataclass(frozen=True)
class Labels:
    """What a benchmark says.

    Attributes:
        pictures: in the order of the files.
        pairs: likewise; empty for ``scores`` and ``crops``.
        unlabelled: pictures that the owner lists without a label; they cannot count, and reports name their number.
        folder: folder of the pictures, where the labels bring them themselves; None: the caller names it.
        n_contrary: pairs whose people prefer the picture that the order puts lower; reports name their number.
    """

    pictures: tuple[BenchmarkPicture, ...]
    pairs: tuple[LabelledPair, ...] = ()
    unlabelled: tuple[str, ...] = ()
    folder: Path | None = None
    n_contrary: int = 0


Reader = Callable[[Path], Labels]
"""From a label file to what it says. Raises ``RecordError`` that names file, row and remedy."""


@dataclass(frozen=True)
class Benchmark:
    """One benchmark.

    Attributes:
        name: what ``redaes eval`` calls it.
        title: what papers call it.
        kind: how it is measured.
        source: where its owner's copy comes from.
        licence: licence of the labels and the pictures, as far as the owner says.
        layouts: label files relative to the benchmark's folder, each with its reader; the first that is there is read.
        pictures: folder of the pictures, relative to the benchmark's folder.
        pinned: whether the labels are compared with a manifest; False for a user's own files.
        decimals: to which the labels are compared, because owners publish them rounded differently.
        other_places: other places of a picture's file, where people lay it otherwise than the owner does; the first
            that is there.
        undocumented_values: whether a user may declare that the values are ranks.
        notes: what a reader of the numbers should know.
    """

    name: str
    title: str
    kind: Kind
    source: str
    licence: str
    layouts: Mapping[str, Reader]
    pictures: str = "images"
    pinned: bool = True
    decimals: int = 6
    notes: tuple[str, ...] = field(default=())
    other_places: Callable[[str], tuple[str, ...]] | None = None
    undocumented_values: bool = False

    def label_file(self, folder: Path) -> Path:
        """Return the label file of the benchmark in a folder.

        Raises:
            RecordError: none of the known ones is there; says what is expected and where it comes from.
        """
        for name in self.layouts:
            if (folder / name).is_file():
                return folder / name
        raise RecordError(
            f"{folder} has no label file of {self.title}; expected {' or '.join(self.layouts)} (from {self.source})"
        )

    def read(self, file: Path, *, ranks: bool = False) -> Labels:
        """Return what a label file says, checked for consistency but not against the manifest.

        Args:
            file: named as one of the layouts; else the first layout with its ending is taken.
            ranks: the values of the pictures are ranks, 1 the best.

        Raises:
            RecordError: the file is not laid out as expected.
            InputError: ``ranks`` where the meaning of the values is known.
        """
        if ranks and not self.undocumented_values:
            raise InputError(f"what the labels of {self.title} mean is known; leave out --ranks")
        named = [reader for name, reader in self.layouts.items() if Path(name).name == file.name]
        alike = [reader for name, reader in self.layouts.items() if Path(name).suffix == file.suffix]
        if not named and not alike:
            raise RecordError(f"{file}: {self.title} is read from {' or '.join(self.layouts)}")
        labels = (named or alike)[0](file)
        if ranks:
            labels = replace(labels, pictures=tuple(_by_rank(picture) for picture in labels.pictures))
        check_labels(labels, file)
        return replace(labels, n_contrary=_contrary(labels, file))


def _by_rank(picture: BenchmarkPicture) -> BenchmarkPicture:
    return picture if picture.score is None else replace(picture, score=-picture.score)


def _contrary(labels: Labels, file: Path) -> int:
    """Return pairs whose people prefer the picture that the order puts lower: votes against a common order, which are
    normal.

    Raises:
        RecordError: there are more of them than others, so the columns do not mean what is taken for their meaning.
    """
    scores = {picture.id: picture.score for picture in labels.pictures}
    decided, contrary = 0, []
    for pair in labels.pairs:
        first, second = scores[pair.first], scores[pair.second]
        if first is None or second is None:
            continue
        agreement = (pair.p - 0.5) * (first - second)
        decided += agreement != 0
        if agreement < 0:
            contrary.append(f"{pair.first} against {pair.second}, P {pair.p:g}, values {first:g} and {second:g}")
    if 2 * len(contrary) > decided:
        raise RecordError(
            f"{file}: in {len(contrary)} of {decided} pairs probability and values name different pictures as better, "
            f"such as {contrary[0]}; the columns do not mean what is known of this file. Where the values are ranks, "
            "1 the best, say so (--ranks)"
        )
    return len(contrary)


def check_labels(labels: Labels, file: Path) -> None:
    """Refuse labels that cannot be evaluated.

    Raises:
        RecordError: no pictures, a repeated one, a pair of unknown or equal pictures, a repeated pair.
    """
    if not labels.pictures:
        raise RecordError(f"{file} names no pictures; copy it again")
    groups: dict[str, str] = {}
    for picture in labels.pictures:
        if picture.id in groups:
            raise RecordError(f"{file} names {picture.id!r} twice; every picture counts once")
        groups[picture.id] = picture.group
    seen: set[frozenset[str]] = set()
    for pair in labels.pairs:
        for name in (pair.first, pair.second):
            if name not in groups:
                raise RecordError(f"{file} compares {name!r}, which it does not list")
        both = frozenset((pair.first, pair.second))
        if len(both) == 1 or both in seen:
            raise RecordError(f"{file} compares {pair.first!r} and {pair.second!r} twice, or one with itself")
        seen.add(both)


def scored(names: Iterable[tuple[str, float]]) -> Labels:
    """Return pictures with one score each, every picture a group of its own."""
    return Labels(tuple(BenchmarkPicture(id=name, file=name, group=name, score=score) for name, score in names))


def read_scores_json(file: Path) -> Labels:
    """``[{"image": "1.jpg", "gt_score": 5.2}, …]``, the form in which ArtiMuse and UniPercept publish test splits."""
    entries = read_json_list(file, ("image", "gt_score"))
    return scored((str(entry["image"]), number(entry["gt_score"], file, entry["image"])) for entry in entries)


def read_scores_csv(file: Path) -> Labels:
    """Return a CSV file with the columns ``image`` and ``score``."""
    return scored(
        (row["image"], number(row["score"], file, row["image"])) for row in read_rows(file, ("image", "score"))
    )
