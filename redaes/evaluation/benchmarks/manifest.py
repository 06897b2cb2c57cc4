"""Pinned labels: a hash of all labels of a benchmark, and a short hash of each entry to find what differs.

A manifest contains no labels. It is ``manifests/<benchmark>.json``::

    {"benchmark": "ava", "n": 19930, "sha256": "…", "entries": "<base64>"}

An entry is one line of text, such as a picture's id, a tab and its score rounded to the benchmark's ``decimals``.
``sha256`` is over all lines, sorted; ``entries`` holds the first three bytes of each line's SHA-256, sorted. Three
bytes let one altered entry in a thousand pass as another's, which affects only the message: ``sha256`` alone decides
whether labels are the pinned ones.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from redaes.errors import RecordError
from redaes.evaluation.benchmarks.base import Benchmark, Labels
from redaes.file_writing import read_json

_BYTES = 3
_SHOWN = 5


@dataclass(frozen=True)
class Manifest:
    """Pinned labels of one benchmark.

    Attributes:
        benchmark: its name.
        n: number of entries.
        sha256: hash over all entries, in hex.
        entries: short hashes, sorted.
    """

    benchmark: str
    n: int
    sha256: str
    entries: tuple[bytes, ...]

    def as_json(self) -> dict[str, object]:
        """Return the manifest as its file contains it."""
        return {
            "benchmark": self.benchmark,
            "n": self.n,
            "sha256": self.sha256,
            "entries": base64.b64encode(b"".join(self.entries)).decode("ascii"),
        }


def entries_of(labels: Labels, decimals: int) -> list[str]:
    """Return every label as a line of text, in the order of the labels: scores, then pairs."""
    lines = [
        f"{picture.id}\t{_text(picture.score, decimals)}" for picture in labels.pictures if picture.score is not None
    ]
    return lines + [f"{pair.first}\t{pair.second}\t{_text(pair.p, decimals)}" for pair in labels.pairs]


def make_manifest(benchmark: Benchmark, labels: Labels) -> Manifest:
    """Return the manifest that pins these labels."""
    lines = entries_of(labels, benchmark.decimals)
    return Manifest(
        benchmark=benchmark.name,
        n=len(lines),
        sha256=hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest(),
        entries=tuple(sorted(_short(line) for line in lines)),
    )


def load_manifest(name: str) -> Manifest:
    """Return the manifest that comes with the package.

    Raises:
        RecordError: there is none, or it is damaged.
    """
    found = read_json(Path(str(files(__package__) / "manifests" / f"{name}.json")))
    data = base64.b64decode(found["entries"])
    entries = tuple(data[at : at + _BYTES] for at in range(0, len(data), _BYTES))
    if len(entries) != found["n"]:
        raise RecordError(f"the manifest of {name} is damaged; reinstall redaes")
    return Manifest(found["benchmark"], found["n"], found["sha256"], entries)


def verify(benchmark: Benchmark, labels: Labels, manifest: Manifest, file: Path) -> str:
    """Refuse labels that are not the pinned ones.

    Args:
        benchmark: the benchmark.
        labels: the labels that were read.
        manifest: the pinned labels.
        file: the label file, for the message.

    Returns:
        The SHA-256 of the labels, in hex.

    Raises:
        RecordError: the labels differ; the message counts the different entries and names some.
    """
    found = make_manifest(benchmark, labels)
    if found.sha256 == manifest.sha256:
        return found.sha256
    pinned = Counter(manifest.entries)
    foreign = []
    for line in entries_of(labels, benchmark.decimals):
        short = _short(line)
        if pinned[short]:
            pinned[short] -= 1
        else:
            foreign.append(line)
    shown = "; ".join(line.replace("\t", " ") for line in foreign[:_SHOWN])
    more = f" and {len(foreign) - _SHOWN} more" if len(foreign) > _SHOWN else ""
    raise RecordError(
        f"{file} is not {benchmark.title} as published: {found.n} entries instead of {manifest.n}, "
        f"{sum(pinned.values())} published ones are missing or altered, {len(foreign)} are not among the published"
        + (f" ({shown}{more})" if foreign else "")
        + f"; labels SHA-256 {found.sha256[:12]}, pinned {manifest.sha256[:12]}. Get the file from {benchmark.source}"
    )


def _text(value: float, decimals: int) -> str:
    # Adding zero turns -0.0, which would be written differently, into 0.0.
    return f"{round(value, decimals) + 0.0:.{decimals}f}"


def _short(line: str) -> bytes:
    return hashlib.sha256(line.encode()).digest()[:_BYTES]
