"""ICAA17K (He et al.: ICCV 2023), the official test split of 1,617 pictures: how good the colours are, and the whole.

``1test.csv`` has the columns ``ID``, ``color`` (colour aesthetics), ``MOS`` (the picture as a whole) and
``probability``.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from redaes.evaluation.benchmarks.base import Benchmark, Labels, scored
from redaes.label_files.contents import number, read_rows


def read_icaa(file: Path, column: str) -> Labels:
    """Read one of the two scores of ``1test.csv``.

    Raises:
        RecordError: the file has another layout.
    """
    return scored((row["ID"], number(row[column], file, row["ID"])) for row in read_rows(file, ("ID", "color", "MOS")))


def _layouts(column: str) -> dict[str, partial[Labels]]:
    return {name: partial(read_icaa, column=column) for name in ("dataset/ICAA17K/1test.csv", "1test.csv")}


ICAA17K = Benchmark(
    name="icaa17k",
    title="ICAA17K colour (test split, 1,617 pictures)",
    kind="scores",
    source="ICAA17K_code of github.com/woshidandan/Image-Color-Aesthetics-and-Quality-Assessment",
    licence="Apache-2.0 (repository); pictures for research use",
    layouts=_layouts("color"),
)

ICAA17K_MOS = replace(
    ICAA17K, name="icaa17k_mos", title="ICAA17K whole picture (test split, 1,617 pictures)", layouts=_layouts("MOS")
)
