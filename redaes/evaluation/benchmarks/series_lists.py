"""Benchmarks of series in lines of six numbers: PhotoTriage and FGAesthetics.

PhotoTriage (Chang et al.: SIGGRAPH 2016), the official validation list: which photograph of a series is best. The
columns are series, photograph a, photograph b, share of people who prefer a, rank of a, rank of b (1 is best). The
labels of the test series are not published.

FGAesthetics (CVPR 2026): series of near-identical pictures in three categories, the official test split. What its
columns mean is not documented by the owners: series, picture a, picture b, probability that a is better, value of a,
value of b [inferred]. Therefore the numbers of series, pictures and pairs must be the published ones, and probability
and values must name the same picture in most rows: the values are an order of the whole series, against which single
pairs may vote, and these are counted. There is no pinned hash, because no copy of the files was at hand.

In both lists, a picture is beside the others (``000007-01.jpg``) or in a folder of its series
(``000007/000007-01.jpg``, ``000007/01.jpg``).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from redaes.errors import RecordError
from redaes.evaluation.benchmarks.base import Benchmark, BenchmarkPicture, LabelledPair, Labels
from redaes.label_files.contents import LabelFault, refuse_fault
from redaes.label_files.numbered_pairs import in_folders, numbered_name, numbered_pairs

PUBLISHED = {"natural": (403, 996, 824), "aigc": (339, 995, 847), "cropping": (168, 990, 2088)}
"""Series, pictures and pairs of each category's test split."""

_TITLES = {"natural": "Natural", "aigc": "AIGC", "cropping": "Cropping"}


def _series_of(file: Path, ending: str, what: str) -> Labels:
    """Return the series from lines of six numbers, with their values as scores.

    Raises:
        RecordError: the file has another layout, or a picture has two values.
    """
    pictures: dict[str, BenchmarkPicture] = {}
    pairs = []
    for row in numbered_pairs(file):
        if isinstance(row, LabelFault):
            refuse_fault(file, row)
        names = []
        for index, value in ((row.first, row.value_first), (row.second, row.value_second)):
            if what == "rank" and not value.is_integer():
                raise RecordError(f"{file}, {row.where}: the rank {value:g} is not a whole number")
            named = numbered_name(row.series, index, ending)
            name = named.partition(".")[0]
            picture = BenchmarkPicture(name, named, row.series_name, -value if what == "rank" else value)
            if pictures.setdefault(name, picture) != picture:
                raise RecordError(f"{file}, {row.where}: {name} has another {what} than before")
            names.append(name)
        pairs.append(LabelledPair(names[0], names[1], row.probability))
    return Labels(tuple(pictures.values()), tuple(pairs))


def read_pairlist(file: Path) -> Labels:
    """Return PhotoTriage's ``val_pairlist.txt``.

    Raises:
        RecordError: the file has another layout, or gives one photograph two ranks.
    """
    return _series_of(file, "JPG", "rank")


def read_fgaesthetics(file: Path) -> Labels:
    """Return FGAesthetics' ``<category>_test.txt``.

    Raises:
        RecordError: the file has another layout, or a picture has two values.
    """
    return _series_of(file, "jpg", "value")


def read_published(file: Path, category: str) -> Labels:
    """Read a file as :func:`read_fgaesthetics` does, and require the published numbers of series, pictures and pairs.

    Raises:
        RecordError: as for :func:`read_fgaesthetics`; or the numbers differ.
    """
    labels = read_fgaesthetics(file)
    found = (len({picture.group for picture in labels.pictures}), len(labels.pictures), len(labels.pairs))
    if found != PUBLISHED[category]:
        raise RecordError(
            f"{file} has {found[0]} series, {found[1]} pictures and {found[2]} pairs; published are "
            "{}, {} and {}".format(*PUBLISHED[category])
        )
    return labels


def _benchmark(category: str) -> Benchmark:
    series, n_pictures, pairs = PUBLISHED[category]
    return Benchmark(
        name=f"fgaesthetics_{category}",
        title=f"FGAesthetics {_TITLES[category]} (test split, {series} series, {n_pictures} pictures, {pairs} pairs)",
        kind="series",
        source="the authors of arXiv 2603.03907",
        licence="none given: bring your own copy",
        layouts={f"{category}_test.txt": partial(read_published, category=category)},
        pinned=False,
        notes=("the meaning of the columns is inferred; counts and directions were checked, no hash is pinned",),
        other_places=in_folders,
        undocumented_values=True,
    )


FGAESTHETICS = tuple(_benchmark(category) for category in PUBLISHED)

PHOTOTRIAGE = Benchmark(
    name="phototriage",
    title="PhotoTriage (validation list, 195 series, 483 pairs)",
    kind="series",
    source="phototriage.cs.princeton.edu (train_val), the list also in github.com/zhenshen-mla/Series-Photo-Selection",
    licence="research use",
    layouts={"train_val/val_pairlist.txt": read_pairlist, "val_pairlist.txt": read_pairlist},
    pictures="train_val/train_val_imgs",
    other_places=in_folders,
)
