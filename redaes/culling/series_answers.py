"""A model's answers about the pairs of a folder's series, kept as ``redaes rank`` keeps them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from redaes.assessor import Assessor
from redaes.culling.given_pictures import given_pictures
from redaes.culling.grouping import GroupingLimits, UnreadableFile, group
from redaes.culling.kept_answers import KeptAnswers, file_of, settings_of
from redaes.culling.scanned_shots import scan_shots
from redaes.errors import InputError, ParseError
from redaes.types import ImageRef, PairAnswer


@dataclass(frozen=True)
class FoundSeries:
    """The series of a folder with two or more different pictures."""

    root: Path
    """The folder that holds all of them."""
    series: tuple[tuple[ImageRef, ...], ...]
    """The series, each of two or more different pictures; no picture is in two series."""
    n_alone: int
    """Number of pictures that are in no series."""
    n_meant: int
    """Number of series that were taken to be used together: exposure brackets, focus stacks, panoramas, time-lapses."""
    unreadable: tuple[UnreadableFile, ...]


def find_series(
    folder: Path | Sequence[Path],
    *,
    exclude: Sequence[str] = (),
    limits: GroupingLimits | None = None,
    results: Path | None = None,
    on_scanned: Callable[[int, int], object] | None = None,
) -> FoundSeries:
    """Group the pictures of a folder as ``redaes rank`` does.

    Args:
        folder: the folder with the pictures; or several folders and picture files.
        exclude: patterns of files and folders to be left out.
        limits: limits of time and likeness within a series; None: the default ones.
        results: a folder that is not searched.
        on_scanned: called with the number of files scanned and of all files.

    Raises:
        InputError: the folder is missing or holds no pictures, or a pattern is none.
    """
    root, found = given_pictures(folder, exclude, results)
    shots = scan_shots(found.pictures, on_scanned)
    series: list[tuple[ImageRef, ...]] = []
    taken: set[str] = set()
    n_alone = n_meant = 0
    for one in group(shots.photographs, limits):
        own = {picture.ref.id: picture.ref for picture in one.pictures if picture.ref.id not in taken}
        taken |= own.keys()
        n_meant += one.meant is not None
        n_alone += len(own) == 1
        if one.meant is None and len(own) > 1:
            series.append(tuple(own.values()))
    unreadable = (*(UnreadableFile(path, reason) for path, reason in found.unreadable), *shots.unusable)
    return FoundSeries(root, tuple(series), n_alone, n_meant, unreadable)


def said_of(assessor: Assessor, pictures: Sequence[ImageRef], kept: Path) -> tuple[tuple[PairAnswer, ...], str]:
    """Return a model's answers about one series; questions that have a stored answer are not asked again.

    Args:
        assessor: its mode is used.
        pictures: different pictures.
        kept: folder of the stored answers.

    Returns:
        The answers, and why they give no order; empty: they do.

    Raises:
        RecordError: ``kept`` cannot be used.
        BackendError: the model cannot be asked.
    """
    ids = sorted(ref.id for ref in pictures)
    answers = KeptAnswers(file_of(kept, [*settings_of(assessor, "both"), *ids]))
    try:
        assessor.rank(list(pictures), known=answers.answers, on_answers=answers.keep)
    except (InputError, ParseError) as error:
        return answers.answers, str(error)
    return answers.answers, ""
