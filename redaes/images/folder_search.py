"""Find the pictures in a folder and its subfolders, and report everything that was left out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from redaes.errors import InputError
from redaes.images.files import IMAGE_SUFFIXES
from redaes.images.folder_names import (
    SUFFIXES_BESIDE_PICTURES,
    VIDEO_SUFFIXES,
    looks_like_a_picture,
    other_picture,
    program_of,
)
from redaes.images.formats import CONVERT, SUFFIXES, missing_requirement

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

N_NAMED = 3
"""How many of the left-out files of one kind are named; the rest are counted."""

_KIND = {suffix: kind for kind, suffixes in SUFFIXES.items() for suffix in suffixes}


@dataclass(frozen=True)
class PassedOver:
    """Files or folders that were left out for one reason."""

    what: str
    """What they are, worded for a sentence."""
    paths: tuple[Path, ...]
    remedy: str | None = None
    """What to do to have them judged; None: there is nothing to do."""
    is_missed: bool = False
    """Whether they are photographs that the user may expect to be judged."""

    def in_words(self, folder: Path) -> str:
        """Return the number, the names of some, and the remedy.

        >>> PassedOver("videos", (Path("a/1.mp4"), Path("a/2.mp4"))).in_words(Path("a"))
        'left out: videos: 2 (1.mp4, 2.mp4)'
        """
        named = ", ".join(os.path.relpath(path, folder) for path in self.paths[:N_NAMED])
        more = "" if len(self.paths) <= N_NAMED else f" and {len(self.paths) - N_NAMED} more"
        remedy = "" if self.remedy is None else f"; {self.remedy}"
        lead = "not judged" if self.is_missed else "left out"
        return f"{lead}: {self.what}: {len(self.paths)} ({named}{more}){remedy}"

    def unusable(self) -> Iterator[tuple[Path, str]]:
        """Yield each photograph that the user may expect to be judged, with the reason why it was not, in words."""
        for path in self.paths if self.is_missed else ():
            yield path, f"{path}: one of the {self.what}; {self.remedy}"


@dataclass(frozen=True)
class FoundPictures:
    """The result of a search."""

    pictures: tuple[Path, ...]
    """The pictures found, sorted by path."""
    unreadable: tuple[tuple[Path, str], ...]
    """Folders that could not be read, each with the reason in words."""
    passed_over: tuple[PassedOver, ...]


def find_pictures(
    folder: Path, exclude: Sequence[str] = (), results: Path | None = None, *, is_one_of_several: bool = False
) -> FoundPictures:
    """Look for pictures by the endings of their names, in a folder and its subfolders.

    Links to folders are not followed. Whether a file is whole is not known before it is loaded.

    Args:
        folder: where to look; its own name does not matter.
        exclude: patterns as in a ``.gitignore`` file, relative to the folder.
        results: a folder inside the other one that is not searched.
        is_one_of_several: the folder may hold no picture, or be unreadable, which is then noted and no error.

    Raises:
        InputError: the folder is missing, is not a folder or cannot be read, a pattern is not valid, or there is no
            picture.
    """
    search = _Search(folder, _patterns(exclude), results, is_one_of_several)
    search.run()
    found = search.found()
    if not found.pictures and not is_one_of_several:
        said = [reason for _, reason in found.unreadable] + [one.in_words(folder) for one in found.passed_over]
        endings = ", ".join(IMAGE_SUFFIXES)
        raise InputError(
            f"{folder}: no pictures found; looked for files ending in {endings}" + "".join(f". {one}" for one in said)
        )
    return found


def list_images(folder: str | Path, suffixes: Sequence[str] = IMAGE_SUFFIXES, *, recursive: bool = False) -> list[Path]:
    """Return the pictures in a folder, sorted by path, found by their ending; hidden files and folders are left out.

    Args:
        folder: where to look.
        suffixes: the endings to look for, in lower case.
        recursive: look in its folders too, as :func:`find_pictures` does, which also says what it leaves out.

    Raises:
        InputError: the folder is missing, is not a folder, cannot be read, or holds no picture.
    """
    folder = Path(folder)
    if recursive:
        return [path for path in find_pictures(folder).pictures if path.suffix.lower() in suffixes]
    try:
        entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
        found = [entry for entry in entries if entry.suffix.lower() in suffixes and entry.is_file()]
    except OSError as error:
        raise _not_searched(folder, error) from error
    if not found:
        endings = ", ".join(suffixes)
        deeper = _first_below(folder, suffixes)
        remedy = (
            "" if deeper is None else f". Its subfolders are not searched, but {deeper} contains some; give that folder"
        )
        raise InputError(f"{folder}: no pictures found; looked for files ending in {endings}{remedy}")
    return sorted(found)


def _first_below(folder: Path, suffixes: Sequence[str]) -> Path | None:
    """Return the first folder below this one that holds pictures; what cannot be read is passed over."""
    for place, inner, names in os.walk(folder):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        if any(Path(name).suffix.lower() in suffixes and not name.startswith(".") for name in names):
            return Path(place)
    return None


def _not_searched(folder: Path, error: OSError) -> InputError:
    if isinstance(error, FileNotFoundError):
        return InputError(f"{folder}: no such folder; check the spelling")
    if isinstance(error, NotADirectoryError):
        return InputError(f"{folder} is not a folder; give the folder that contains the pictures")
    return InputError(f"{error.filename}: cannot be read ({error.strerror}); check its permissions")


class _Search:
    """One search through a folder."""

    def __init__(self, folder: Path, excluded: GitIgnoreSpec | None, results: Path | None, goes_on: bool) -> None:
        self._folder = folder
        self._goes_on = goes_on
        self._excluded = excluded
        self._results = None if results is None else os.path.realpath(results)
        self._pictures: list[Path] = []
        self._unreadable: list[tuple[Path, str]] = []
        self._passed_over: dict[tuple[str, str | None, bool], list[Path]] = {}

    def run(self) -> None:
        """Search the folder and its subfolders.

        Raises:
            InputError: the folder itself cannot be read.
        """
        for place, inner, names in os.walk(self._folder, onerror=self._note):
            inner[:] = sorted(name for name in inner if self._goes_into(Path(place), name))
            for name in sorted(names):
                self._look_at(Path(place, name))

    def found(self) -> FoundPictures:
        """Return what was found."""
        passed_over = (
            PassedOver(what, tuple(sorted(paths)), remedy, is_missed)
            for (what, remedy, is_missed), paths in self._passed_over.items()
        )
        return FoundPictures(
            tuple(sorted(self._pictures)),
            tuple(sorted(self._unreadable)),
            tuple(sorted(passed_over, key=lambda one: (not one.is_missed, one.what))),
        )

    def _note(self, error: OSError) -> None:
        """Note a folder that cannot be read. Only the first folder ends the search, if it is the only one given."""
        place = Path(os.fsdecode(error.filename))
        if place != self._folder or self._goes_on:
            self._unreadable.append(
                (place, f"{place} cannot be read ({error.strerror}); the pictures in it are left out")
            )
        else:
            raise _not_searched(place, error) from error

    def _pass_over(self, path: Path, what: str, remedy: str | None = None, *, is_missed: bool = False) -> None:
        self._passed_over.setdefault((what, remedy, is_missed), []).append(path)

    def _goes_into(self, place: Path, name: str) -> bool:
        path = place / name
        program = program_of(name.lower(), place.name.lower() if place != self._folder else "")
        if self._is_excluded(path, is_folder=True):
            self._pass_over(path, "folders named by --exclude")
        elif path.is_symlink():
            self._pass_over(path, "links to folders", "to include one, give the folder that it leads to as DIR")
        elif self._results is not None and os.path.realpath(path) == self._results:
            if _holds_pictures(path):
                self._pass_over(path, "folders that contain the results of redaes (--out)")
        elif program is not None:
            self._pass_over(path, f"folders of programs, {program}", "to include one, give it as DIR")
        elif name.startswith("."):
            self._pass_over(path, "hidden folders", "to include one, give it as DIR")
        else:
            return True
        return False

    def _look_at(self, path: Path) -> None:
        name, suffix = path.name, path.suffix.lower()
        is_picture = suffix in IMAGE_SUFFIXES
        other = other_picture(suffix)
        if self._is_excluded(path, is_folder=False):
            if is_picture:
                self._pass_over(path, "pictures named by --exclude")
        elif name.startswith("."):
            if is_picture:
                what = "notes of macOS beside a file (._*)" if name.startswith("._") else "hidden files"
                self._pass_over(path, what)
        elif is_picture:
            kind = _KIND[suffix]
            requirement = missing_requirement(kind)
            if requirement is None:
                self._pictures.append(path)
            else:
                remedy = f"run: pip install '{requirement}', or {CONVERT}"
                self._pass_over(path, f"files of {kind}", remedy, is_missed=True)
        elif other is not None:
            self._pass_over(path, f"files of {other}, which redaes does not read", CONVERT, is_missed=True)
        elif suffix in VIDEO_SUFFIXES:
            self._pass_over(path, "videos")
        elif suffix not in SUFFIXES_BESIDE_PICTURES and looks_like_a_picture(path):
            self._pass_over(
                path,
                "pictures whose names lack the ending of their format",
                "rename them, for example to .jpg",
            )

    def _is_excluded(self, path: Path, *, is_folder: bool) -> bool:
        if self._excluded is None:
            return False
        inside = path.relative_to(self._folder).as_posix()
        return self._excluded.match_file(inside + "/" if is_folder else inside)


def _holds_pictures(folder: Path) -> bool:
    return any(Path(name).suffix.lower() in IMAGE_SUFFIXES for _, _, names in os.walk(folder) for name in names)


def _patterns(exclude: Sequence[str]) -> GitIgnoreSpec | None:
    if not exclude:
        return None
    from pathspec import GitIgnoreSpec

    for pattern in exclude:
        try:
            GitIgnoreSpec.from_lines([pattern])
        except ValueError as error:
            raise InputError(
                f"--exclude is {pattern!r}, which is not a valid .gitignore pattern; give one such as '*_edit.jpg' or "
                "'exports/'"
            ) from error
    return GitIgnoreSpec.from_lines(exclude)
