"""FGAesthetics (CVPR 2026): series of near-identical pictures in three categories, the official test split.

Rows of six numbers. What they mean is not documented by the owners: series, picture a, picture b, probability that a is
better, value of a, value of b [inferred]. Therefore the reader checks that probability and values name the same side
in every row, and that the numbers of series, pictures and pairs are the published ones. There is no pinned hash,
because no copy of the files was at hand.
"""

from __future__ import annotations

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


def read_fgaesthetics(file: Path) -> Labels:
    """``<category>_test.txt``, separated by white space or commas.

    Raises:
        RecordError: it is laid out otherwise, a probability contradicts the values, or a picture has two values.
    """
    pictures: dict[str, BenchmarkPicture] = {}
    pairs = []
    for line_number, line in enumerate(read_text(file).splitlines(), start=1):
        columns = line.replace(",", " ").split()
        where = f"line {line_number}"
        if len(columns) != _COLUMNS:
            raise RecordError(f"{file}, {where}: {len(columns)} columns instead of {_COLUMNS}")
        series, p = whole(columns[0], file, where), share(columns[3], file, where)
        values = [number(value, file, where) for value in columns[4:]]
        if (p - 0.5) * (values[0] - values[1]) < 0:
            raise RecordError(
                f"{file}, {where}: probability {p} and values {values[0]}, {values[1]} name different pictures as "
                "better; the columns do not mean what is known of this file"
            )
        names = []
        for index, value in zip(columns[1:3], values, strict=True):
            name = f"{series:06d}-{whole(index, file, where):02d}"
            picture = BenchmarkPicture(name, f"{name}.jpg", f"{series:06d}", value)
            if pictures.setdefault(name, picture) != picture:
                raise RecordError(f"{file}, {where}: {name} has another value than before")
            names.append(name)
        pairs.append(LabelledPair(names[0], names[1], p))
    return Labels(tuple(pictures.values()), tuple(pairs))


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
