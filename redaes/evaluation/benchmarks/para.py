"""PARA (Yang et al.: CVPR 2022), the official test split of 3,000 pictures: mean aesthetic scores in [1, 5]."""

from __future__ import annotations

from pathlib import Path

from redaes.evaluation.benchmarks.base import Benchmark, Labels, read_scores_json, scored
from redaes.label_files.contents import number, read_rows


def read_para(file: Path) -> Labels:
    """Read ``PARA-GiaaTest.csv``: the columns ``sessionId``, ``imageName`` and ``aestheticScore_mean``.

    Raises:
        RecordError: the file has another layout.
    """
    rows = read_rows(file, ("sessionId", "imageName", "aestheticScore_mean"))
    names = [f"{row['sessionId']}/{row['imageName']}" for row in rows]
    return scored((name, number(row["aestheticScore_mean"], file, name)) for name, row in zip(names, rows, strict=True))


PARA = Benchmark(
    name="para",
    title="PARA (test split, 3,000 pictures)",
    kind="scores",
    source="the owners' package (annotation/PARA-GiaaTest.csv), or test_datasets/PARA/test.json of "
    "github.com/thunderbolt215/ArtiMuse",
    licence="research use",
    layouts={"annotation/PARA-GiaaTest.csv": read_para, "test.json": read_scores_json},
    pictures="imgs",
)
