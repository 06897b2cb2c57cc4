"""Scan the pictures of a folder once, one file of each shot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from redaes.culling.grouping import Photograph, UnreadableFile, scan
from redaes.culling.shots import one_of_each_shot


@dataclass(frozen=True)
class ScannedShots:
    """The result of scanning files."""

    photographs: list[Photograph]
    unusable: list[UnreadableFile]
    raws: dict[Path, list[Path]]
    """For each picture, the camera raw files of the same shot, which were not read."""


def scan_shots(pictures: Sequence[Path], on_scanned: Callable[[int, int], object] | None = None) -> ScannedShots:
    """Scan one file of each shot; if the camera's JPEG is damaged, its camera raw file.

    Args:
        pictures: all pictures that were found.
        on_scanned: called with the number of files scanned and of all files; raw files that replace damaged JPEGs are
            not counted.
    """
    files, raws = one_of_each_shot(pictures)
    n_scanned = 0

    def count() -> None:
        nonlocal n_scanned
        n_scanned += 1
        if on_scanned is not None:
            on_scanned(n_scanned, len(files))

    photographs, unusable = scan(files, count)
    more, unusable_too = scan([raw for file in unusable for raw in raws.pop(file.path, ())])
    return ScannedShots(photographs + more, unusable + unusable_too, raws)
