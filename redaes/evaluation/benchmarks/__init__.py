"""Public benchmarks of image aesthetics, each as its owners publish it, and a user's own labels."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from redaes.errors import InputError, RecordError
from redaes.evaluation.benchmarks.aadb import AADB
from redaes.evaluation.benchmarks.ava import AVA
from redaes.evaluation.benchmarks.base import Benchmark, Labels, check_labels
from redaes.evaluation.benchmarks.fcdb import FCDB
from redaes.evaluation.benchmarks.gaic import GAIC
from redaes.evaluation.benchmarks.icaa17k import ICAA17K, ICAA17K_MOS
from redaes.evaluation.benchmarks.manifest import entries_of, load_manifest, verify
from redaes.evaluation.benchmarks.own_files import OWN_FILES
from redaes.evaluation.benchmarks.para import PARA
from redaes.evaluation.benchmarks.red import RED, RED_SERIES, read_red, read_red_series
from redaes.evaluation.benchmarks.score_lists import ARTIMUSE10K, BAID, FLICKR_AES, TAD66K
from redaes.evaluation.benchmarks.series_lists import FGAESTHETICS, PHOTOTRIAGE

BENCHMARKS: dict[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (
        AVA,
        AADB,
        PARA,
        TAD66K,
        FLICKR_AES,
        ICAA17K,
        ICAA17K_MOS,
        BAID,
        ARTIMUSE10K,
        *FGAESTHETICS,
        PHOTOTRIAGE,
        GAIC,
        FCDB,
        RED,
        RED_SERIES,
        *OWN_FILES,
    )
}


@dataclass(frozen=True)
class LoadedBenchmark:
    """A benchmark that is ready to be run.

    Attributes:
        benchmark: the benchmark.
        labels: its labels.
        labels_sha256: SHA-256 of the labels, in hex.
        pictures: folder that the pictures' files are relative to.
        missing: files of missing pictures, sorted.
    """

    benchmark: Benchmark
    labels: Labels
    labels_sha256: str
    pictures: Path
    missing: tuple[str, ...]


def find_benchmark(name: str) -> Benchmark:
    """Return the benchmark of that name.

    Raises:
        InputError: there is none; the message lists the known ones.
    """
    if name not in BENCHMARKS:
        raise InputError(f"benchmark {name!r} is unknown; give one of {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]


def load(
    name: str, data: Path, *, pictures: Path | None = None, scratch: Path | None = None, ranks: bool = False
) -> LoadedBenchmark:
    """Read a benchmark, and compare its labels with the pinned ones.

    Args:
        name: one of :data:`BENCHMARKS`.
        data: the benchmark's folder, or its label file.
        pictures: folder of the pictures; None: where the benchmark's owners put them.
        scratch: folder for pictures that have no files of their own (``red``, ``red_series``).
        ranks: whether the values are ranks, 1 the best, if the benchmark's owners do not say what they are.

    Raises:
        InputError: the name is unknown, ``scratch`` is missing, or ``ranks`` is given although the values are known.
        RecordError: there is no label file, it has another layout, or its labels are not the published ones.
    """
    benchmark = find_benchmark(name)
    file = data
    if benchmark in (RED, RED_SERIES):
        if ranks:
            raise InputError(f"what the labels of {benchmark.title} mean is known; leave out --ranks")
        if scratch is None:
            raise InputError("the pictures of a RED dataset need a folder to be written to")
        labels = (read_red if benchmark is RED else read_red_series)(data, scratch)
        check_labels(labels, data)
    else:
        if not data.exists():
            raise RecordError(f"{data}: no such file or folder; give the folder or the label file of {benchmark.title}")
        if data.is_dir():
            file = benchmark.label_file(data)
        labels = benchmark.read(file, ranks=ranks)
    if benchmark.pinned:
        sha256 = verify(benchmark, labels, load_manifest(name), file)
    else:
        lines = sorted(entries_of(labels, benchmark.decimals))
        sha256 = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    folder = data if data.is_dir() else data.parent
    root = pictures or labels.folder or folder / benchmark.pictures
    labels = _found(labels, benchmark, root)
    missing = sorted({picture.file for picture in labels.pictures if not (root / picture.file).is_file()})
    return LoadedBenchmark(benchmark, labels, sha256, root, tuple(missing))


def _found(labels: Labels, benchmark: Benchmark, root: Path) -> Labels:
    """Return the labels with the actual file of each picture; a missing picture keeps its usual path."""
    if benchmark.other_places is None:
        return labels
    pictures = []
    for picture in labels.pictures:
        places = (picture.file, *benchmark.other_places(picture.file))
        found = next((place for place in places if (root / place).is_file()), picture.file)
        pictures.append(replace(picture, file=found))
    return replace(labels, pictures=tuple(pictures))
