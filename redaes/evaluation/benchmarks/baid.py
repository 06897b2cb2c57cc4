"""BAID (Yi et al.: CVPR 2023), artistic pictures, the official test split of 6,400: scores in [0, 10]."""

from __future__ import annotations

from redaes.evaluation.benchmarks.base import Benchmark, read_scores_csv

BAID = Benchmark(
    name="baid",
    title="BAID (test split, 6,400 pictures)",
    kind="scores",
    source="github.com/Dreemurr-T/BAID",
    licence="CC BY-NC-ND 4.0",
    layouts={"dataset/test_set.csv": read_scores_csv, "test_set.csv": read_scores_csv},
)
