"""Benchmarks that are a list of pictures with one score each, in a form that others publish too.

TAD66K (He et al.: IJCAI 2022), all themes merged: scores in [1, 10]. FLICKR-AES (Ren et al.: ICCV 2017): scores in
[0, 1]; the owners' package scores all pictures and does not say which are for testing, so the split is the one that
ArtiMuse and others publish. BAID (Yi et al.: CVPR 2023), artistic pictures, and ArtiMuse-10K (Cao et al., 2025): scores
in [0, 10].
"""

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

FLICKR_AES = Benchmark(
    name="flickr_aes",
    title="FLICKR-AES (test split, 4,737 pictures)",
    kind="scores",
    source="test_datasets/FLICKR-AES/test.json of github.com/thunderbolt215/ArtiMuse",
    licence="research use; the pictures are under Creative Commons licences of their photographers",
    layouts={"test.json": read_scores_json, "FLICKR-AES.json": read_scores_json},
    pictures="40K",
)

BAID = Benchmark(
    name="baid",
    title="BAID (test split, 6,400 pictures)",
    kind="scores",
    source="github.com/Dreemurr-T/BAID",
    licence="CC BY-NC-ND 4.0",
    layouts={"dataset/test_set.csv": read_scores_csv, "test_set.csv": read_scores_csv},
)

ARTIMUSE10K = Benchmark(
    name="artimuse10k",
    title="ArtiMuse-10K (test split, 1,002 pictures)",
    kind="scores",
    source="benchmark/VR/IAA/ArtiMuse-10K of github.com/thunderbolt215/UniPercept; pictures on request",
    licence="research use, no redistribution",
    layouts={"ArtiMuse-10K.json": read_scores_json, "test.json": read_scores_json},
)
