"""AVA (Murray, Marchesotti, Perronnin: CVPR 2012), the official test list.

The owners' package has ``AVA.txt``, one line for each picture (index, id, counts of the ratings 1 to 10, two tags,
challenge), and ``aesthetics_image_lists/generic_test.jpgl`` with the ids of 20,000 test pictures. Evaluations use
19,930 of them; the other 70 have no label in the copies in circulation. A picture's score is the mean of its ratings.
Results on the 12,776 pictures that TANet's repository calls AVA's test set are about other pictures: only 975 of them
are in the official list.
"""

from __future__ import annotations

from pathlib import Path

from redaes.errors import RecordError
from redaes.evaluation.benchmarks.base import Benchmark, BenchmarkPicture, Labels, read_scores_json
from redaes.label_files.contents import read_text, whole

LIST = "aesthetics_image_lists/generic_test.jpgl"

_COLUMNS = 15


def read_ava(file: Path) -> Labels:
    """Read ``AVA.txt`` with the official test list beside it.

    Raises:
        RecordError: a file is missing or has another layout.
    """
    listed = read_text(file.parent / LIST).split()
    wanted, found = set(listed), {}
    for line_number, line in enumerate(read_text(file).splitlines(), start=1):
        columns = line.split()
        if len(columns) != _COLUMNS:
            raise RecordError(f"{file}, line {line_number}: {len(columns)} columns instead of {_COLUMNS}")
        if columns[1] in wanted:
            counts = [whole(value, file, f"line {line_number}") for value in columns[2:12]]
            if sum(counts) < 1 or min(counts) < 0:
                raise RecordError(f"{file}, line {line_number}: the counts {counts} hold no ratings")
            mean = sum(rating * count for rating, count in enumerate(counts, start=1)) / sum(counts)
            found[columns[1]] = mean
    return Labels(
        pictures=tuple(
            BenchmarkPicture(id=f"{name}.jpg", file=f"{name}.jpg", group=name, score=found[name])
            for name in listed
            if name in found
        ),
        unlabelled=tuple(name for name in listed if name not in found),
    )


def _read_json(file: Path) -> Labels:
    labels = read_scores_json(file)
    return Labels(tuple(BenchmarkPicture(p.id, p.file, p.id.removesuffix(".jpg"), p.score) for p in labels.pictures))


AVA = Benchmark(
    name="ava",
    title="AVA (official test list, 19,930 pictures)",
    kind="scores",
    source="the owners' package (AVA.txt and aesthetics_image_lists), or test_datasets/AVA/test.json of "
    "github.com/thunderbolt215/ArtiMuse",
    licence="research use; rights to the pictures remain with their photographers at dpchallenge.com",
    layouts={"AVA.txt": read_ava, "test.json": _read_json},
    decimals=2,
    notes=("20,000 pictures are in the official list; 70 of them have no published label and do not count",),
)
