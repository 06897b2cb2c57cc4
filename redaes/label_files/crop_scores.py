"""GAIC (Zeng et al.: CVPR 2019): about 86 crops of each of 1,236 photographs with mean opinion scores from 1 to 5.

``imdb_GAIC1000.mat`` holds for each photograph a box of four rows (first row, first column, last row, last column of
the crop, in pixels), a score for each crop, and whether the photograph is for training or for testing. The
photographs are named ``dataset/GAIC/images/train/211085.jpg``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from redaes.errors import RecordError
from redaes.label_files.contents import Box, LabelFault, finite, integer, read_mat

_PREFIX = "dataset/GAIC/images/"


@dataclass(frozen=True, slots=True)
class ScoredCrops:
    """A photograph with its crops."""

    photograph: str
    """Path relative to the folder of the pictures, such as ``test/2.jpg``."""
    held_out: bool
    """Whether it is in the test set."""
    boxes: tuple[Box, ...]
    scores: tuple[float, ...]
    """A score for each crop; higher is better."""


def crop_scores(file: Path) -> Iterator[ScoredCrops | LabelFault]:
    """Yield the photographs of all sets: first those of the test set, in its order, then the others in file order.

    Raises:
        RecordError: the file is something else.
        MissingDependency: scipy is absent.
    """
    content = read_mat(file)
    try:
        imdb = content["imdb"]
        names = [str(name) for name in imdb.meta.img_path]
        tested = [int(index) - 1 for index in np.ravel(imdb.images.testSet)]  # MATLAB counts from 1
        others = [place for place in range(len(names)) if place not in set(tested)]
        boxes, scores = np.ravel(imdb.bbox.boxes), np.ravel(imdb.bbox.gt_scores)
        found = [
            (names[place], np.reshape(boxes[place], (4, -1)).T.tolist(), np.ravel(scores[place]).tolist())
            for place in (*tested, *others)
        ]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise RecordError(f"{file} is not imdb_GAIC1000.mat as published ({error}); copy it again") from error
    for place, (name, sides, values) in enumerate(found):
        short = name.removeprefix(_PREFIX)
        try:
            yield _scored(short, place < len(tested), sides, values)
        except ValueError as error:
            yield LabelFault(short, str(error))


def _scored(name: str, held_out: bool, sides: list[Any], values: list[Any]) -> ScoredCrops:
    if len(sides) != len(values):
        raise ValueError(f"{len(sides)} boxes and {len(values)} scores")
    boxes = []
    for top, left, bottom, right in sides:
        box = (integer(left), integer(top), integer(right), integer(bottom))
        if not (0 <= box[0] < box[2] and 0 <= box[1] < box[3]):
            raise ValueError(f"{[top, left, bottom, right]} is not first row, first column, last row, last column")
        boxes.append(box)
    return ScoredCrops(name, held_out, tuple(boxes), tuple(map(finite, values)))
