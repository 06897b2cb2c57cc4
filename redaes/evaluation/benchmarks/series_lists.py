"""Benchmarks of series in lines of six numbers: PhotoTriage and FGAesthetics.

PhotoTriage (Chang et al.: SIGGRAPH 2016), the official validation list: which photograph of a series is best. The
columns are series, photograph a, photograph b, share of people who prefer a, rank of a, rank of b (1 is best). The
labels of the test series are not published.

FGAesthetics (CVPR 2026): series of near-identical pictures in three categories, the official test split. What its
columns mean is not documented by the owners: series, picture a, picture b, probability that a is better, value of a,
value of b [inferred]. Therefore the reader checks that probability and values name the same side in every row, and that
the numbers of series, pictures and pairs are the published ones. There is no pinned hash, because no copy of the files
was at hand.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from redaes.errors import RecordError
from redaes.evaluation.benchmarks.base import (
    Benchmark,
    BenchmarkPicture,
    LabelledPair,
    Labels,
    number,
    read_text,
    share,
    whole,
)

PUBLISHED = {"natural": (403, 996, 824), "aigc": (339, 995, 847), "cropping": (168, 990, 2088)}
"""Series, pictures and pairs of each category's test split."""

_TITLES = {"natural": "Natural", "aigc": "AIGC", "cropping": "Cropping"}
_COLUMNS = 6


def _series_of(
    file: Path, text: str, value: str, ending: str, value_of: Callable[[object, Path, str], float]
) -> Labels:
    """Series from lines of six numbers, separated by white space.

    Raises:
        RecordError: the file is laid out otherwise, a line contradicts itself, or a picture has two values.
    """
    pictures: dict[str, BenchmarkPicture] = {}
    pairs = []
    for line_number, line in enumerate(text.splitlines(), start=1):
        columns = line.split()
        where = f"line {line_number}"
        if len(columns) != _COLUMNS:
            raise RecordError(f"{file}, {where}: {len(columns)} columns instead of {_COLUMNS}")
        series, p = whole(columns[0], file, where), share(columns[3], file, where)
        values = [value_of(column, file, where) for column in columns[4:]]
        names = []
        for index, one in zip(columns[1:3], values, strict=True):
            name = f"{series:06d}-{whole(index, file, where):02d}"
            picture = BenchmarkPicture(name, f"{name}.{ending}", f"{series:06d}", one)
            if pictures.setdefault(name, picture) != picture:
                raise RecordError(f"{file}, {where}: {name} has another {value} than before")
            names.append(name)
        pairs.append(LabelledPair(names[0], names[1], p))
    return Labels(tuple(pictures.values()), tuple(pairs))


def read_pairlist(file: Path) -> Labels:
    """PhotoTriage's ``val_pairlist.txt``.

    Raises:
        RecordError: it is laid out otherwise, or gives one photograph two ranks.
    """
    return _series_of(
        file, read_text(file), "rank", "JPG", lambda column, file, where: -float(whole(column, file, where))
    )


def read_fgaesthetics(file: Path) -> Labels:
    """FGAesthetics' ``<category>_test.txt``, separated by white space or commas.

    Raises:
        RecordError: it is laid out otherwise, a probability contradicts the values, or a picture has two values.
    """
    labels = _series_of(file, read_text(file).replace(",", " "), "value", "jpg", number)
    values = {picture.id: picture.score or 0.0 for picture in labels.pictures}
    for line_number, pair in enumerate(labels.pairs, start=1):
        first, second = values[pair.first], values[pair.second]
        if (pair.p - 0.5) * (first - second) < 0:
            raise RecordError(
                f"{file}, line {line_number}: probability {pair.p} and values {first}, {second} name different "
                "pictures as better; the columns do not mean what is known of this file"
            )
    return labels


def read_published(file: Path, category: str) -> Labels:
    """As :func:`read_fgaesthetics`, with the published numbers of series, pictures and pairs.

    Raises:
        RecordError: as there, or the numbers differ.
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
)
