"""FLICKR-AES (Ren et al.: ICCV 2017), 4,737 test pictures: scores in [0, 1].

The owners' package scores all pictures and does not say which are for testing; the split is the one that ArtiMuse and
others publish.
"""

from __future__ import annotations

from redaes.evaluation.benchmarks.base import Benchmark, read_scores_json

FLICKR_AES = Benchmark(
    name="flickr_aes",
    title="FLICKR-AES (test split, 4,737 pictures)",
    kind="scores",
    source="test_datasets/FLICKR-AES/test.json of github.com/thunderbolt215/ArtiMuse",
    licence="research use; the pictures are under Creative Commons licences of their photographers",
    layouts={"test.json": read_scores_json, "FLICKR-AES.json": read_scores_json},
    pictures="40K",
)
