"""The records of a benchmark: its pictures, their labels, and the layout of its owner's files.

A label file is read exactly as its owner publishes it, and its labels are compared with the pinned ones
(:mod:`redaes.evaluation.benchmarks.manifest`), so a file that was truncated or edited, or belongs to another split of
the same name, is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from redaes.errors import InputError, RecordError
from redaes.label_files.contents import Box, number, read_json_list, read_rows

Kind = Literal["scores", "pairs", "series", "crops"]
"""The kind of a benchmark. ``scores``: one label for each picture, compared over all pictures. ``pairs``: which of two
is better. ``series``: an order within each series, and pairs. ``crops``: labels that compare the crops of one
picture."""


@dataclass(frozen=True, slots=True)
class BenchmarkPicture:
    """A picture, or a crop of one, that is to be judged.

    Attributes:
        id: its name in the labels, unique within the benchmark.
        file: its file, relative to the folder of the pictures.
        group: series, source or photograph that it belongs to.
        score: its label, larger is better; None: it occurs in pairs only.
        box: the crop; None: the whole picture.
        source: common source of several groups; None: its group has none.
    """

    id: str
    file: str
    group: str
    score: float | None = None
    box: Box | None = None
    source: str | None = None

    @property
    def cluster(self) -> str:
        """The cluster that intervals resample, because groups of one source are not independent."""
        return self.group if self.source is None else self.source


@dataclass(frozen=True, slots=True)
class LabelledPair:
    """Two pictures of one group.

    Attributes:
        first: id of a picture.
        second: id of another.
        p: share of people, or probability, that the first is better.
        factor: the factor that decides the pair; None: not known, or several do.
    """

    first: str
    second: str
    p: float
    factor: str | None = None


@dataclass(frozen=True)
class Labels:
    """The labels of a benchmark.

    Attributes:
        pictures: pictures in the order of the files.
        pairs: pairs in the order of the files; empty for ``scores`` and ``crops``.
        unlabelled: pictures that the owner lists without a label; they do not count, and reports state their number.
        folder: folder of the pictures, if they come with the labels; None: the caller names it.
        n_contrary: number of pairs in which people prefer the picture that the order puts lower, for reports.
    """

    pictures: tuple[BenchmarkPicture, ...]
    pairs: tuple[LabelledPair, ...] = ()
    unlabelled: tuple[str, ...] = ()
    folder: Path | None = None
    n_contrary: int = 0


Reader = Callable[[Path], Labels]
"""A function that reads a label file. It raises a ``RecordError`` that names file, row and remedy."""


@dataclass(frozen=True)
class Benchmark:
    """One benchmark.

    Attributes:
        name: its name for ``redaes eval``.
        title: its name in papers.
        kind: its kind, which determines the measures.
        source: where its owner publishes it.
        licence: licence of the labels and the pictures, as far as the owner says.
        layouts: label files relative to the benchmark's folder, each with its reader; the first existing one is read.
        pictures: folder of the pictures, relative to the benchmark's folder.
        pinned: whether the labels are compared with a manifest; False for a user's own files.
        decimals: decimals to which labels are compared, because owners publish them rounded differently.
        other_places: other possible places of a picture's file, in order, if people store it differently from the
            owner.
        undocumented_values: whether a user may declare that the values are ranks.
        notes: what readers of the results should know.
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
            RecordError: there is no label file; the message says what is expected and where it comes from.
        """
        for name in self.layouts:
            if (folder / name).is_file():
                return folder / name
        raise RecordError(
            f"{folder} has no label file of {self.title}; expected {' or '.join(self.layouts)} (from {self.source})"
        )

    def read(self, file: Path, *, ranks: bool = False) -> Labels:
        """Return the labels of a file, checked for consistency but not against the manifest.

        Args:
            file: the label file; if its name is in no layout, the first layout with its suffix is used.
            ranks: whether the values of the pictures are ranks, 1 the best.

        Raises:
            RecordError: the file has another layout.
            InputError: ``ranks`` is given although the meaning of the values is known.
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
    """Return the number of pairs in which people prefer the picture that the order puts lower. Such votes against a
    common order are normal.

    Raises:
        RecordError: there are more of them than others, so the columns do not have the assumed meaning.
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
        RecordError: there are no pictures, a picture or pair is repeated, or a pair has unknown or equal pictures.
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
    """Read ``[{"image": "1.jpg", "gt_score": 5.2}, …]``, the form in which ArtiMuse and UniPercept publish test
    splits.
    """
    entries = read_json_list(file, ("image", "gt_score"))
    return scored((str(entry["image"]), number(entry["gt_score"], file, entry["image"])) for entry in entries)


def read_scores_csv(file: Path) -> Labels:
    """Read a CSV file with the columns ``image`` and ``score``."""
    return scored(
        (row["image"], number(row["score"], file, row["image"])) for row in read_rows(file, ("image", "score"))
    )
