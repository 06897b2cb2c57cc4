"""GAIC (Zeng et al.: CVPR 2019): crops of a photograph with mean opinion scores, the 200 test photographs.

``imdb_GAIC1000.mat`` holds for each photograph a box of four rows (first row, first column, last row, last column of
the crop, in pixels) and a score from 1 to 5 for each crop.
"""

from __future__ import annotations

from pathlib import Path

from redaes.errors import RecordError
from redaes.evaluation.benchmarks.base import Benchmark, BenchmarkPicture, Labels, number, read_mat, whole

_PREFIX = "dataset/GAIC/images/"


def read_imdb(file: Path) -> Labels:
    """``imdb_GAIC1000.mat``, its test set.

    Raises:
        RecordError: the file is something else.
        MissingDependency: scipy is absent.
    """
    content = read_mat(file)
    try:
        imdb = content["imdb"]
        names = [str(name) for name in imdb.meta.img_path]
        chosen = [int(index) - 1 for index in imdb.images.testSet]  # MATLAB counts from 1
        boxes, scores = imdb.bbox.boxes, imdb.bbox.gt_scores
        crops = [(names[k], boxes[k].T.tolist(), scores[k].tolist()) for k in chosen]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise RecordError(f"{file} is not imdb_GAIC1000.mat as published ({error}); copy it again") from error
    pictures = []
    for name, sides, values in crops:
        short = name.removeprefix(_PREFIX)
        if len(sides) != len(values):
            raise RecordError(f"{file}: {short} has {len(sides)} boxes and {len(values)} scores")
        for (top, left, bottom, right), value in zip(sides, values, strict=True):
            box = tuple(whole(side, file, short) for side in (left, top, right, bottom))
            pictures.append(
                BenchmarkPicture(
                    id=f"{short}#{','.join(map(str, box))}",
                    file=short,
                    group=short,
                    score=number(value, file, short),
                    box=(box[0], box[1], box[2], box[3]),
                )
            )
    return Labels(tuple(pictures))


GAIC = Benchmark(
    name="gaic",
    title="GAIC (200 test photographs)",
    kind="crops",
    source="github.com/HuiZeng/Grid-Anchor-based-Image-Cropping",
    licence="research use; no licence file",
    layouts={"imdb_GAIC1000.mat": read_imdb},
    notes=("Acc_k/n as in the owners' evaluation code: crops that tie with the n-th best score are among the best",),
)
