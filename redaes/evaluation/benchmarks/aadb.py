"""AADB (Kong et al.: ECCV 2016), the new test list of 1,000 pictures: scores in [0, 1].

The owners' repository has ``AADBinfo.mat``; their label archive has ``imgListTestNewRegression_score.txt``, a line with
name and score for each picture.
"""

from __future__ import annotations

from pathlib import Path

from redaes.errors import RecordError
from redaes.evaluation.benchmarks.base import Benchmark, Labels, scored
from redaes.label_files.contents import number, read_mat, read_text


def read_info(file: Path) -> Labels:
    """Read ``AADBinfo.mat``: the cells ``testNameList`` and the numbers ``testScore``.

    Raises:
        RecordError: the file has another layout.
        MissingDependency: scipy is absent.
    """
    content = read_mat(file)
    try:
        names, scores = [str(name) for name in content["testNameList"]], content["testScore"].tolist()
    except (KeyError, TypeError, AttributeError) as error:
        raise RecordError(f"{file} is not AADBinfo.mat as published ({error}); copy it again") from error
    if len(names) != len(scores):
        raise RecordError(f"{file} has {len(names)} names and {len(scores)} scores")
    return scored((name, number(score, file, name)) for name, score in zip(names, scores, strict=True))


def read_list(file: Path) -> Labels:
    """Read lines of name and score.

    Raises:
        RecordError: a line has another layout.
    """
    rows = []
    for line_number, line in enumerate(read_text(file).splitlines(), start=1):
        parts = line.split()
        if len(parts) != 2:
            raise RecordError(f"{file}, line {line_number}: expected a name and a score, found {line[:80]!r}")
        rows.append((parts[0], number(parts[1], file, f"line {line_number}")))
    return scored(rows)


AADB = Benchmark(
    name="aadb",
    title="AADB (new test list, 1,000 pictures)",
    kind="scores",
    source="github.com/aimerykong/deepImageAestheticsAnalysis",
    licence="research use; no licence file",
    layouts={"AADBinfo.mat": read_info, "imgListFiles_label/imgListTestNewRegression_score.txt": read_list},
    pictures="AADB_newtest_originalSize",
)
