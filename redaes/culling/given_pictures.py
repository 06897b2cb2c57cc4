"""Find the pictures that a command is given: those of one folder, or of several folders and files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from redaes.errors import InputError
from redaes.images import FoundPictures, PassedOver, find_pictures


def given_pictures(
    given: Path | Sequence[Path], exclude: Sequence[str] = (), results: Path | None = None
) -> tuple[Path, FoundPictures]:
    """Return the common parent folder of everything given, and the pictures found, each once.

    Args:
        given: a folder, which is searched with its subfolders; or several folders and picture files.
        exclude: patterns as in a ``.gitignore`` file, applied to the folders that are searched.
        results: a folder that is not searched.

    Raises:
        InputError: one is missing, none of them holds a picture, or a pattern is none.
    """
    paths = [given] if isinstance(given, Path) else list(given)
    if not paths:
        raise InputError("no pictures were given; give a folder, or pictures")
    if len(paths) == 1 and not paths[0].is_file():
        return paths[0], find_pictures(paths[0], exclude, results)
    given_themselves = {os.path.realpath(path) for path in paths}
    pictures: dict[str, Path] = {}
    unreadable: dict[Path, str] = {}
    passed_over: dict[tuple[str, str | None, bool], dict[str, Path]] = {}
    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder; check the spelling")
        if not path.is_dir():
            pictures.setdefault(os.path.realpath(path), path)
            continue
        found = find_pictures(path, exclude, results, is_one_of_several=True)
        if not found.pictures and not found.unreadable:
            passed_over.setdefault(("folders without a picture", None, False), {})[os.path.abspath(path)] = path
        for picture in found.pictures:
            pictures.setdefault(os.path.realpath(picture), picture)
        unreadable.update(found.unreadable)
        for one in found.passed_over:
            # One given folder may be inside another; and a file that is given by name is always included.
            left_out = {
                os.path.abspath(beside): beside
                for beside in one.paths
                if os.path.realpath(beside) not in given_themselves
            }
            passed_over.setdefault((one.what, one.remedy, one.is_missed), {}).update(left_out)
    if not pictures:
        raise InputError(f"no pictures found in {', '.join(str(path) for path in paths)}")
    merged = FoundPictures(
        tuple(pictures.values()),
        tuple(sorted(unreadable.items())),
        tuple(
            PassedOver(what, tuple(beside.values()), remedy, missed)
            for (what, remedy, missed), beside in passed_over.items()
            if beside
        ),
    )
    return _common_folder(paths), merged


def _common_folder(paths: Sequence[Path]) -> Path:
    """Return the folder that holds all of some folders and files, spelt as they are where that can be."""
    folders = [path if path.is_dir() else path.parent for path in paths]
    if any(folder.is_absolute() for folder in folders):
        folders = [Path(os.path.abspath(folder)) for folder in folders]
    common = os.path.commonpath([os.path.normpath(folder) for folder in folders])
    return Path(common or os.curdir)
