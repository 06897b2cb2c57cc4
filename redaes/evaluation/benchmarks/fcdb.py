"""FCDB as a benchmark: its pairs of crops, and how many people prefer which."""

from __future__ import annotations

from pathlib import Path

from redaes.evaluation.benchmarks.base import Benchmark, BenchmarkPicture, LabelledPair, Labels
from redaes.label_files.contents import LabelFault, refuse_fault
from redaes.label_files.crop_votes import crop_name, crop_votes


def read_ranking(file: Path) -> Labels:
    """Read ``ranking_annotation.json``. Pairs that are listed twice are merged, and their votes are added.

    Raises:
        RecordError: the file has another layout.
    """
    pictures: dict[str, BenchmarkPicture] = {}
    votes: dict[tuple[str, str], list[int]] = {}
    for pair in crop_votes(file):
        if isinstance(pair, LabelFault):
            refuse_fault(file, pair)
        name = pair.photograph
        sides = [BenchmarkPicture(crop_name(name, box), name, name, box=box) for box in (pair.first, pair.second)]
        for side in sides:
            pictures.setdefault(side.id, side)
        first, second = sides[0].id, sides[1].id
        key = (first, second) if (second, first) not in votes else (second, first)
        total = votes.setdefault(key, [0, 0])
        for place, count in zip((0, 1) if key[0] == first else (1, 0), pair.votes, strict=True):
            total[place] += count
    pairs = (LabelledPair(first, second, won / (won + lost)) for (first, second), (won, lost) in votes.items())
    return Labels(tuple(pictures.values()), tuple(pairs))


FCDB = Benchmark(
    name="fcdb",
    title="FCDB (crop pairs of 3,362 photographs)",
    kind="pairs",
    source="github.com/yiling-chen/flickr-cropping-dataset",
    licence="MIT (labels); rights to the pictures remain with their photographers at Flickr",
    layouts={"ranking_annotation.json": read_ranking},
    pictures="data",
)
