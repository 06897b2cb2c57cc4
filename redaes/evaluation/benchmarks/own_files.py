"""A user's own labels: scores, pairs or series in a JSON or CSV file.

================  ===========================================================================================
``scores``        ``[{"image": "a.jpg", "gt_score": 5.2}, …]``, or CSV ``image,score``
``pairs``         CSV ``first,second,p`` (p: probability that the first is better), with ``group`` if intervals are to
                  resample more than single pairs, and ``factor`` if figures are wanted by what decides
``series``        CSV ``series,image,score``: larger is better, compared within a series; or ``series,image,rank``:
                  1 is the best; with ``source`` where several series come from one photograph
================  ===========================================================================================
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

from redaes.errors import RecordError
from redaes.evaluation.benchmarks.base import (
    Benchmark,
    BenchmarkPicture,
    Kind,
    LabelledPair,
    Labels,
    Reader,
    read_scores_csv,
    read_scores_json,
)
from redaes.label_files.contents import number, read_rows, share


def read_pairs(file: Path) -> Labels:
    """Read a CSV file with ``first``, ``second``, ``p`` and optionally ``group`` and ``factor``.

    Raises:
        RecordError: the file has another layout.
    """
    pictures: dict[str, BenchmarkPicture] = {}
    pairs = []
    for row in read_rows(file, ("first", "second", "p")):
        for name in (row["first"], row["second"]):
            pictures.setdefault(
                name, BenchmarkPicture(name, name, row.get("group") or f"{row['first']} {row['second']}")
            )
        p = share(row["p"], file, row["first"])
        pairs.append(LabelledPair(row["first"], row["second"], p, row.get("factor") or None))
    return Labels(tuple(pictures.values()), tuple(pairs))


def read_series(file: Path) -> Labels:
    """Read a CSV file with ``series``, ``image`` and ``score`` or ``rank``; pairs are all those with different values.

    Raises:
        RecordError: the file has another layout.
    """
    series: dict[str, list[BenchmarkPicture]] = {}
    for row in read_rows(file, ("series", "image")):
        if ("score" in row) == ("rank" in row):
            raise RecordError(f"{file} needs one of the columns score (larger is better) and rank (1 is the best)")
        score = number(row["score"], file, row["image"]) if "score" in row else -number(row["rank"], file, row["image"])
        source = row.get("source") or None
        picture = BenchmarkPicture(row["image"], row["image"], row["series"], score, source=source)
        series.setdefault(row["series"], []).append(picture)
    pairs = (
        LabelledPair(a.id, b.id, 1.0 if a.score > b.score else 0.0)
        for members in series.values()
        for a, b in itertools.combinations(members, 2)
        if a.score is not None and b.score is not None and a.score != b.score
    )
    return Labels(tuple(picture for members in series.values() for picture in members), tuple(pairs))


def _own(kind: Kind, layouts: Mapping[str, Reader]) -> Benchmark:
    return Benchmark(
        name=kind,
        title=f"your own {kind}",
        kind=kind,
        source="you",
        licence="yours",
        layouts=layouts,
        pictures=".",
        pinned=False,
    )


OWN_FILES = (
    _own("scores", {"scores.json": read_scores_json, "scores.csv": read_scores_csv}),
    _own("pairs", {"pairs.csv": read_pairs}),
    _own("series", {"series.csv": read_series}),
)
