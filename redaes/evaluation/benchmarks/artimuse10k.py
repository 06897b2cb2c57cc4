"""ArtiMuse-10K (Cao et al., 2025), the published test split of 1,002 pictures: scores in [0, 10]."""

from __future__ import annotations

from redaes.evaluation.benchmarks.base import Benchmark, read_scores_json

ARTIMUSE10K = Benchmark(
    name="artimuse10k",
    title="ArtiMuse-10K (test split, 1,002 pictures)",
    kind="scores",
    source="benchmark/VR/IAA/ArtiMuse-10K of github.com/thunderbolt215/UniPercept; pictures on request",
    licence="research use, no redistribution",
    layouts={"ArtiMuse-10K.json": read_scores_json, "test.json": read_scores_json},
)
