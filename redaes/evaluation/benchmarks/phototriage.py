"""PhotoTriage (Chang et al.: SIGGRAPH 2016): which photograph of a series is best; the official validation list.

Lines of six numbers: series, photograph a, photograph b, share of people who prefer a, rank of a, rank of b (1 is
best). The labels of the test series are not published.
"""

from __future__ import annotations

from pathlib import Path

from redaes.errors import RecordError
from redaes.evaluation.benchmarks.base import Benchmark, BenchmarkPicture, LabelledPair, Labels, read_text, share, whole

_COLUMNS = 6


def read_pairlist(file: Path) -> Labels:
    """``val_pairlist.txt``.

    Raises:
        RecordError: it is laid out otherwise, or gives one photograph two ranks.
    """
    pictures: dict[str, BenchmarkPicture] = {}
    pairs = []
    for line_number, line in enumerate(read_text(file).splitlines(), start=1):
        columns = line.split()
        where = f"line {line_number}"
        if len(columns) != _COLUMNS:
            raise RecordError(f"{file}, {where}: {len(columns)} columns instead of {_COLUMNS}")
        series = whole(columns[0], file, where)
        names = []
        for photograph, rank in ((columns[1], columns[4]), (columns[2], columns[5])):
            name = f"{series:06d}-{whole(photograph, file, where):02d}"
            picture = BenchmarkPicture(name, f"{name}.JPG", f"{series:06d}", -float(whole(rank, file, where)))
            if pictures.setdefault(name, picture) != picture:
                raise RecordError(f"{file}, {where}: {name} has another rank than before")
            names.append(name)
        pairs.append(LabelledPair(names[0], names[1], share(columns[3], file, where)))
    return Labels(tuple(pictures.values()), tuple(pairs))


PHOTOTRIAGE = Benchmark(
    name="phototriage",
    title="PhotoTriage (validation list, 195 series, 483 pairs)",
    kind="series",
    source="phototriage.cs.princeton.edu (train_val), the list also in github.com/zhenshen-mla/Series-Photo-Selection",
    licence="research use",
    layouts={"train_val/val_pairlist.txt": read_pairlist, "val_pairlist.txt": read_pairlist},
    pictures="train_val/train_val_imgs",
)
