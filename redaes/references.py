"""Reference sets that single pictures are scored against: from a folder, a saved file, or the package."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from redaes.assessing.choosing import COMPARISONS, check_choice
from redaes.assessor import Assessor, ReferenceSet
from redaes.culling.kept_answers import KeptAnswers, file_of, settings_of
from redaes.errors import ImageError, InputError, RecordError
from redaes.file_writing import read_json, write_json
from redaes.images import content_id, list_images, load_image, read_image_file
from redaes.reference_photographs import NAME, reference_photographs
from redaes.types import ImageRef


def reference_pictures(folder: Path | None) -> tuple[str, list[ImageRef]]:
    """Return a name and the pictures of a folder, or of :mod:`redaes.reference_photographs`.

    Raises:
        ImageError: a picture cannot be read; leaving it out would silently make another set.
        InputError: the folder is missing or contains no pictures.
    """
    if folder is None:
        return NAME, reference_photographs()
    return folder.resolve().name, _refs(list_images(folder))


def references_of(
    source: Path | None, keep: int | None = None, comparisons: int = COMPARISONS, answers: Path | None = None
) -> Callable[[Assessor], ReferenceSet]:
    """Return a function that makes the reference set once there is a model: it reads a saved set, or ranks pictures.
    Cheap checks are made now.

    Args:
        source: as for :func:`reference_pictures`, or a file with a saved set.
        keep: as for :meth:`~redaes.assessor.Assessor.reference_set`.
        comparisons: as for :meth:`~redaes.assessor.Assessor.reference_set`.
        answers: folder in which the model's answers are kept, so that an interrupted ranking asks nothing twice; None:
            they are not kept.

    Raises:
        InputError: ``keep`` is given for a saved set or is out of range, or pictures of a saved set are missing or were
            changed.
        Also what :func:`read_reference_set` and :func:`reference_pictures` raise.
    """
    if source is not None and source.is_file():
        if keep is not None:
            raise InputError(
                f"{source} is a saved reference set, but --keep chooses among pictures; give the folder of the pictures"
            )
        found = read_reference_set(source)
        refuse_changed(source, found)
        return lambda _assessor: found
    name, pictures = reference_pictures(source)
    if keep is not None:
        check_choice(len({picture.id for picture in pictures}), keep, comparisons)

    def ranked(assessor: Assessor) -> ReferenceSet:
        if answers is None:
            return assessor.reference_set(name, pictures, keep=keep, comparisons=comparisons)
        ids = sorted(picture.id for picture in pictures)
        kept = KeptAnswers(file_of(answers, [*settings_of(assessor, "both"), *ids]))
        return assessor.reference_set(
            name, pictures, keep=keep, comparisons=comparisons, known=kept.answers, on_answers=kept.keep
        )

    return ranked


def forget_answers(folder: Path) -> None:
    """Remove the answers that :func:`references_of` kept, once the set is saved."""
    for file in folder.glob("*.json"):
        file.unlink()
    with suppress(OSError):  # the folder does not exist, or contains other files
        folder.rmdir()


def refuse_changed(file: Path, references: ReferenceSet) -> None:
    """Refuse a saved set whose pictures are missing or were changed, before anything is asked.

    Raises:
        InputError: a picture is missing or was changed.
    """
    for reference in references.pictures:
        try:
            found = content_id(read_image_file(reference.path))
        except ImageError as error:
            raise InputError(
                f"{file}: a picture of this reference set cannot be read ({error}); restore the picture, or rank the "
                "set again"
            ) from error
        if found != reference.id:
            raise InputError(
                f"{file}: its picture {reference.path} has changed since it was ranked; restore the picture, or rank "
                "the set again"
            )


def write_reference_set(file: str | Path, references: ReferenceSet) -> None:
    """Save a ranked set, atomically.

    Raises:
        RecordError: the file cannot be written.
    """
    write_json(Path(file), references.as_json())


def read_reference_set(file: str | Path) -> ReferenceSet:
    """Return a set that :func:`write_reference_set` saved.

    Raises:
        RecordError: the file cannot be read, or does not contain a reference set.
    """
    try:
        return ReferenceSet.model_validate(read_json(Path(file)))
    except ValidationError as error:
        raise RecordError(
            f"{file} is not a reference set ({error.error_count()} fields are wrong); rank the set again"
        ) from error


def _refs(paths: Iterable[Path]) -> list[ImageRef]:
    """Decode each picture once before the model is asked about any, so that a damaged one ends no half-done ranking."""
    return [load_image(path.resolve()).ref for path in paths]
