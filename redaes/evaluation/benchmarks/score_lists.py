"""TAD66K (He et al.: IJCAI 2022), the official test split of 14,079 pictures, all themes merged: scores in [1, 10]."""

from __future__ import annotations

from redaes.evaluation.benchmarks.base import Benchmark, read_scores_csv, read_scores_json

TAD66K = Benchmark(
    name="tad66k",
    title="TAD66K (test split, 14,079 pictures)",
    kind="scores",
    source="code/TAD66K/dataset.zip of github.com/woshidandan/TANet-image-aesthetics-and-quality-assessment",
    licence="Apache-2.0 (repository); rights to the pictures remain with their photographers at Flickr",
    layouts={
        "dataset/merge/test.csv": read_scores_csv,
        "merge/test.csv": read_scores_csv,
        "test.json": read_scores_json,
    },
)
