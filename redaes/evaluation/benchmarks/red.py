"""The held-out pairs of a RED dataset, for assessors of any kind (redaes.evaluation.heldout has the model's own view).

The pictures lie in the dataset's shards; they are written out once, beside the run that asks for them.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from statistics import NormalDist

from redaes.evaluation.benchmarks.base import Benchmark, LabelledPair, Labels, Picture
from redaes.records import shards, stream_rows, write_atomically
from redaes.types import TAU, winner_of


def read_red(folder: Path, pictures: Path) -> Labels:
    """The labelled pairs of the test split; the group of a picture is its photograph.

    P(first is better) is that of the labelled difference, Φ(Δ / TAU); one half for ties.

    Args:
        folder: a RED dataset.
        pictures: where its pictures are written, named by their content.

    Raises:
        RecordError: no such dataset, or a folder that cannot be written to.
    """
    found: dict[str, Picture] = {}
    pairs: dict[tuple[str, str], LabelledPair] = {}
    for file in shards(folder, "test"):
        for row in stream_rows(file):
            if row["delta"] is None:
                continue
            names = []
            for side in ("first", "second"):
                data = row[side]["bytes"]
                name = f"{hashlib.sha256(data).hexdigest()[:24]}.jpg"
                if not (pictures / name).exists():
                    write_atomically(pictures / name, data)
                found.setdefault(name, Picture(name, name, row["source"]))
                names.append(name)
            p = 0.5 if winner_of(row["delta"]) == "tie" else NormalDist().cdf(row["delta"] / TAU)
            if names[0] != names[1] and (names[1], names[0]) not in pairs:
                pairs.setdefault((names[0], names[1]), LabelledPair(names[0], names[1], p))
    return Labels(tuple(found.values()), tuple(pairs.values()), folder=pictures)


RED = Benchmark(
    name="red",
    title="RED held-out pairs",
    kind="pairs",
    source="data_gen/build_pairs.py, or whoever built the dataset",
    licence="as the dataset's card says",
    layouts={},
    pinned=False,
    notes=("labels are differences that editing made; see the dataset's card for how they were judged",),
)
