"""Crops of photographs, which FCDB publishes as pairs with votes, and GAIC with a score for each crop."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from redaes.datagen.imported.labels import label_of_votes
from redaes.datagen.imported.rows import StatedPair, StatedPicture, UnusableRow
from redaes.datagen.imported.series import StatedSeries
from redaes.label_files.contents import Box, LabelFault
from redaes.label_files.crop_scores import crop_scores
from redaes.label_files.crop_votes import crop_name, crop_votes

SCORES_ENDING = ".mat"


def read_voted_crops(file: Path, *, pictures: Path | None = None) -> Iterator[StatedPair | UnusableRow]:
    """Yield the pairs of FCDB's list; crops of one photograph have the same source.

    Args:
        file: ``ranking_annotation.json``.
        pictures: folder of the photographs, named by the end of their ``url``; None means the folder of the list.

    Raises:
        RecordError: the file cannot be read.
    """
    folder = file.parent if pictures is None else pictures
    for pair in crop_votes(file):
        if isinstance(pair, LabelFault):
            yield unusable(file, pair)
            continue
        yield StatedPair(
            where=f"{file.name} {pair.where}",
            first=_crop(folder, pair.photograph, pair.first),
            second=_crop(folder, pair.photograph, pair.second),
            label=label_of_votes(*pair.votes),
            group=pair.photograph,
            source=pair.photograph,
        )


def read_scored_crops(file: Path, *, pictures: Path | None = None) -> Iterator[StatedSeries | UnusableRow]:
    """Yield the photographs of GAIC, each as a series of its crops, in the split that the file states.

    Args:
        file: ``imdb_GAIC1000.mat``.
        pictures: folder that holds ``train`` and ``test``; None means the folder of the list.

    Raises:
        RecordError: the file is something else.
        MissingDependency: scipy is absent.
    """
    folder = file.parent if pictures is None else pictures
    for one in crop_scores(file):
        if isinstance(one, LabelFault):
            yield unusable(file, one)
            continue
        yield StatedSeries(
            where=f"{file.name} {one.photograph}",
            name=one.photograph,
            pictures=tuple(_crop(folder, one.photograph, box) for box in one.boxes),
            levels=one.scores,
            equal_is_tie=True,
            source=one.photograph,
            split="test" if one.held_out else "train",
        )


def unusable(file: Path, fault: LabelFault) -> UnusableRow:
    """Return a fault of a reader as an unusable row, from which no pair is made."""
    return UnusableRow(f"{file.name} {fault.where}", "row says nothing usable", fault.problem)


def _crop(folder: Path, photograph: str, box: Box) -> StatedPicture:
    return StatedPicture(crop_name(photograph, box), path=folder / photograph, box=box)
