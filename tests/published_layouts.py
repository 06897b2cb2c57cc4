"""Label files in the layouts in which their owners publish them, of what a test makes up.

The layouts are those of ``imdb_GAIC1000.mat`` (HuiZeng/Grid-Anchor-based-Image-Cropping, no licence file),
``ranking_annotation.json`` (yiling-chen/flickr-cropping-dataset, MIT) and PhotoTriage's pair lists (research use);
names and numbers are our own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import savemat

Crop = tuple[int, int, int, int, float]
"""First row, first column, last row, last column, score."""


def cells(values: Sequence[object]) -> np.ndarray:
    """A row of MATLAB cells."""
    found = np.empty((1, len(values)), dtype=object)
    for place, value in enumerate(values):
        found[0, place] = value
    return found


def write_gaic(folder: Path, photographs: Mapping[str, Sequence[Crop]]) -> Path:
    """``imdb_GAIC1000.mat``: photographs such as ``test/2``, each with its crops."""
    boxes = [np.array([crop[:4] for crop in crops], dtype=np.uint16).T for crops in photographs.values()]
    scores = [np.array([[crop[4] for crop in crops]]) for crops in photographs.values()]
    sets = {
        f"{name}Set": np.array([[n for n, photo in enumerate(photographs, 1) if photo.startswith(f"{name}/")]])
        for name in ("train", "test")
    }
    imdb = {
        "images": sets,
        "bbox": {"boxes": cells(boxes), "gt_scores": cells(scores)},
        "meta": {"img_path": cells([f"dataset/GAIC/images/{name}.jpg" for name in photographs])},
    }
    savemat(folder / "imdb_GAIC1000.mat", {"imdb": imdb})
    return folder / "imdb_GAIC1000.mat"


def write_fcdb(folder: Path, photographs: Mapping[str, Sequence[tuple[list[int], list[int], int, int]]]) -> Path:
    """``ranking_annotation.json``: photographs, each with pairs of crops (left, top, width, height) and their votes."""
    entries: list[dict[str, Any]] = []
    for number, (name, pairs) in enumerate(photographs.items()):
        crops = [
            {"vote_for_1": for_1, "vote_for_0": for_0, "crop_1": one, "crop_0": zero}
            for zero, one, for_0, for_1 in pairs
        ]
        url = f"https://farm3.example.com/2946/{name}"
        entries.append({"url": url, "crops": crops, "flickr_photo_id": number})
    (folder / "ranking_annotation.json").write_text(json.dumps(entries))
    return folder / "ranking_annotation.json"


def write_numbered(file: Path, rows: Sequence[tuple[int, int, int, float, float, float]]) -> Path:
    """A list of six numbers a line: series, a, b, P(a is preferred), value of a, value of b."""
    file.write_text("".join("{} {} {} {:.3f} {:g} {:g}\n".format(*row) for row in rows))
    return file
