"""The pictures that single pictures are scored against: a folder, a file that was kept, or those of the package."""

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
    """Return a name and the pictures: those of a folder, or :mod:`redaes.reference_photographs`.

    Raises:
        ImageError: a picture cannot be read: a set that silently lacks one would be another set.
        InputError: the folder is missing or holds no pictures.
    """
    if folder is None:
        return NAME, reference_photographs()
    return folder.resolve().name, _refs(list_images(folder))


def references_of(
    source: Path | None, keep: int | None = None, comparisons: int = COMPARISONS, answers: Path | None = None
) -> Callable[[Assessor], ReferenceSet]:
    """Return what makes the set once there is a model: a kept file gives its own, pictures are ranked. What costs
    little is checked now.

    Args:
        source: as for :func:`reference_pictures`, or a file.
        keep: how many of the pictures become references, as for :meth:`~redaes.assessor.Assessor.reference_set`; None:
            all.
        comparisons: likewise.
        answers: folder in which what the model says of pictures is kept as it comes, so that a ranking which was
            stopped asks nothing twice; None: nowhere.

    Raises:
        InputError: a kept file, of which none are to be chosen, or whose pictures are not there as they were ranked;
            or no such choice.
        As :func:`read_reference_set` and :func:`reference_pictures`.
    """
    if source is not None and source.is_file():
        if keep is not None:
            raise InputError(f"{source} is a set that was kept, and --keep chooses among pictures; give their folder")
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
    """Remove what :func:`references_of` kept, once the set is written down."""
    for file in folder.glob("*.json"):
        file.unlink()
    with suppress(OSError):  # not there, or somebody put something else into it
        folder.rmdir()


def refuse_changed(file: Path, references: ReferenceSet) -> None:
    """Refuse a kept set whose pictures are not where they were, or no longer what they were, before anything is asked.

    Raises:
        InputError: as said.
    """
    for reference in references.pictures:
        try:
            found = content_id(read_image_file(reference.path))
        except ImageError as error:
            raise InputError(
                f"{file}: one of its pictures cannot be read ({error}); put it back, or rank the set anew"
            ) from error
        if found != reference.id:
            raise InputError(
                f"{file}: its picture {reference.path} was changed since it was ranked; put it back, or rank the set "
                "anew"
            )


def write_reference_set(file: str | Path, references: ReferenceSet) -> None:
    """Keep a ranked set, atomically.

    Raises:
        RecordError: the file cannot be written.
    """
    write_json(Path(file), references.as_json())


def read_reference_set(file: str | Path) -> ReferenceSet:
    """Return a set that :func:`write_reference_set` kept.

    Raises:
        RecordError: the file cannot be read, or holds something else.
    """
    try:
        return ReferenceSet.model_validate(read_json(Path(file)))
    except ValidationError as error:
        raise RecordError(
            f"{file}: is no reference set ({error.error_count()} fields are wrong); rank it anew"
        ) from error


def _refs(paths: Iterable[Path]) -> list[ImageRef]:
    """Decode each picture once before the model is asked about any, so that a damaged one ends no half-done ranking."""
    return [load_image(path.resolve()).ref for path in paths]
