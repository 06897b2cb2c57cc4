"""FCDB (Chen et al.: WACV 2017): pairs of crops of 3,362 photographs, each judged by five people.

``ranking_annotation.json`` is a list of photographs with ``url``, ``flickr_photo_id`` and ``crops``, ten pairs of
``crop_0`` and ``crop_1`` (left, top, width, height in pixels) with ``vote_for_0`` and ``vote_for_1``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from redaes.errors import RecordError
from redaes.evaluation.benchmarks.base import Benchmark, BenchmarkPicture, LabelledPair, Labels, read_json_list, whole


def read_ranking(file: Path) -> Labels:
    """``ranking_annotation.json``. Pairs that are listed twice are joined, their votes added up.

    Raises:
        RecordError: it is laid out otherwise.
    """
    pictures: dict[str, BenchmarkPicture] = {}
    votes: dict[tuple[str, str], list[int]] = {}
    for entry in read_json_list(file, ("url", "crops")):
        name = str(entry["url"]).rsplit("/", 1)[-1]
        if not isinstance(entry["crops"], list):
            raise RecordError(f"{file}, {name}: crops is not a list")
        for pair in entry["crops"]:
            try:
                sides = [_crop(pair[f"crop_{side}"], name, file) for side in (0, 1)]
                counts = [whole(pair[f"vote_for_{side}"], file, name) for side in (0, 1)]
            except (KeyError, TypeError) as error:
                raise RecordError(f"{file}, {name}: a pair lacks {error}") from error
            if min(counts) < 0 or sum(counts) < 1:
                raise RecordError(f"{file}, {name}: votes {counts}")
            for side in sides:
                pictures.setdefault(side.id, side)
            first, second = sides[0].id, sides[1].id
            if first == second:
                raise RecordError(f"{file}, {name}: a pair of equal crops {pair['crop_0']}")
            key = (first, second) if (second, first) not in votes else (second, first)
            total = votes.setdefault(key, [0, 0])
            for place, count in zip((0, 1) if key[0] == first else (1, 0), counts, strict=True):
                total[place] += count
    pairs = (LabelledPair(first, second, won / (won + lost)) for (first, second), (won, lost) in votes.items())
    return Labels(tuple(pictures.values()), tuple(pairs))


def _crop(box: Any, name: str, file: Path) -> BenchmarkPicture:
    if not isinstance(box, list) or len(box) != 4:
        raise RecordError(f"{file}, {name}: {box!r} is not [left, top, width, height]")
    left, top, width, height = (whole(side, file, name) for side in box)
    return BenchmarkPicture(
        id=f"{name}#{left},{top},{left + width},{top + height}",
        file=name,
        group=name,
        box=(left, top, left + width, top + height),
    )


FCDB = Benchmark(
    name="fcdb",
    title="FCDB (crop pairs of 3,362 photographs)",
    kind="pairs",
    source="github.com/yiling-chen/flickr-cropping-dataset",
    licence="MIT (labels); rights to the pictures remain with their photographers at Flickr",
    layouts={"ranking_annotation.json": read_ranking},
    pictures="data",
)
