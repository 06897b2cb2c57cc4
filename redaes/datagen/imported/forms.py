"""Recognise the format of a source by its kind and its columns, before anything is made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from redaes.datagen.imported.crop_lists import SCORES_ENDING, read_scored_crops, read_voted_crops
from redaes.datagen.imported.numbered_lists import ENDING, read_numbered_list
from redaes.datagen.imported.rated_folders import read_rated_folder
from redaes.datagen.imported.rows import StatedPair, UnusableRow, read_pair_list
from redaes.datagen.imported.series import PART, pairs_of_series
from redaes.datagen.imported.series_lists import holds_series, read_series_list
from redaes.datagen.imported.sources import SourceFiles
from redaes.datagen.imported.tables import list_columns
from redaes.errors import InputError
from redaes.label_files.crop_votes import holds_crop_votes


@dataclass(frozen=True)
class ReadingSettings:
    """How a source is read."""

    pictures: Path | None = None
    """Folder to which a list's picture names are relative; None means the list's own."""
    encoding: str = "utf-8-sig"
    """Encoding of text files."""
    labels: Sequence[str] = field(default_factory=tuple)
    """Names of labels in a folder of pictures, best first."""
    series_pictures: int = PART
    """Largest series of which all pairs are made; larger ones are divided at random into parts."""
    seed: int = 0
    """Seed of the division into parts."""

    def __post_init__(self) -> None:
        if self.series_pictures < 2:
            raise InputError(f"series of {self.series_pictures} pictures have no pairs; give at least 2")


def read_source(found: SourceFiles, settings: ReadingSettings, unread: set[str]) -> Iterator[StatedPair | UnusableRow]:
    """Yield all pairs in the files of a source, one by one.

    Args:
        found: the files.
        settings: how they are read.
        unread: a set to which the names of columns that are not read are added.

    Raises:
        InputError: see :func:`judgements_in`.
        MissingDependency: pyarrow or scipy is absent.
    """
    for file, split in zip(found.files, found.splits, strict=True):
        for row in judgements_in(file, settings, unread):
            yield replace(row, split=split) if split and isinstance(row, StatedPair) and row.split is None else row


def judgements_in(source: Path, settings: ReadingSettings, unread: set[str]) -> Iterator[StatedPair | UnusableRow]:
    """Yield all pairs in a source.

    Args:
        source: a list of pairs or of series, or a folder of pictures with stars, picks or labels.
        settings: how it is read.
        unread: a set to which the names of columns that are not read are added.

    Raises:
        InputError: the source cannot be read, its format is unknown, or a setting does not fit its format.
        MissingDependency: pyarrow or scipy is absent.
    """
    most, seed = settings.series_pictures, settings.seed
    if source.suffix.lower() == ENDING:
        yield from read_numbered_list(source, pictures=settings.pictures)
        return
    if source.suffix.lower() == SCORES_ENDING:
        yield from pairs_of_series(read_scored_crops(source, pictures=settings.pictures), most=most, seed=seed)
        return
    if source.is_dir():
        if settings.pictures is not None:
            raise InputError(
                f"{source} is a folder of pictures, for which --pictures has no meaning; leave --pictures out"
            )
        yield from pairs_of_series(read_rated_folder(source, settings.labels), most=most, seed=seed)
        return
    if settings.labels:
        raise InputError(f"{source} is a list, and --labels is for a folder of pictures; leave it out")
    columns = list_columns(source, settings.encoding)
    if holds_crop_votes(columns):
        yield from read_voted_crops(source, pictures=settings.pictures)
        return
    if holds_series(columns):
        series = read_series_list(source, pictures=settings.pictures, encoding=settings.encoding, unread=unread)
        yield from pairs_of_series(series, most=most, seed=seed)
        return
    yield from read_pair_list(source, pictures=settings.pictures, encoding=settings.encoding, unread=unread)
