"""GAIC as a benchmark: the crops of its 200 test photographs, and what people think of each."""

from __future__ import annotations

from pathlib import Path

from redaes.evaluation.benchmarks.base import Benchmark, BenchmarkPicture, Labels
from redaes.label_files.contents import LabelFault, refuse_fault
from redaes.label_files.crop_scores import crop_scores
from redaes.label_files.crop_votes import crop_name


def read_imdb(file: Path) -> Labels:
    """Read the test set of ``imdb_GAIC1000.mat``.

    Raises:
        RecordError: the file has another layout.
        MissingDependency: scipy is absent.
    """
    pictures = []
    for one in crop_scores(file):
        if isinstance(one, LabelFault):
            refuse_fault(file, one)
        if one.held_out:
            name = one.photograph
            pictures += [
                BenchmarkPicture(crop_name(name, box), name, name, score, box)
                for box, score in zip(one.boxes, one.scores, strict=True)
            ]
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
