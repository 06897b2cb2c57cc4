"""Find the files that belong to a picture: its sidecars, and the raw file or JPEG of the same shot with its
sidecars."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path

from redaes.culling.sidecar_names import SidecarNames
from redaes.images import IMAGE_SUFFIXES, is_raw_name
from redaes.images.folder_names import VIDEO_SUFFIXES

_BEHIND_NAME = (".xmp", ".pp3", ".arp", ".dop")
"""Endings that programs append to a picture's whole name: XMP, RawTherapee, ART, DxO PhotoLab."""

_IN_PLACE_OF_ENDING = (".xmp", ".thm", ".aae")
"""Endings that replace a picture's ending: XMP, cameras' thumbnails, Apple's edits."""

_OF_CAMERA = (".jpg", ".jpeg", ".heic", ".heif", ".hif")
"""Endings of pictures that cameras write beside the camera raw file of the same shot."""

_MAX_VERSIONS = 99


def one_of_each_shot(pictures: Sequence[Path]) -> tuple[list[Path], dict[Path, list[Path]]]:
    """Leave out camera raw files that have a JPEG or HEIF of the same name beside them.

    Args:
        pictures: all that were found.

    Returns:
        The pictures to be judged, in the given order; and for each picture, the camera raw files that it represents.
    """
    of_camera: dict[tuple[Path, str], Path] = {}
    for path in pictures:
        if path.suffix.lower() in _OF_CAMERA:
            of_camera.setdefault((path.parent, path.stem.lower()), path)
    judged: list[Path] = []
    stands_for: dict[Path, list[Path]] = defaultdict(list)
    for path in pictures:
        same_shot = of_camera.get((path.parent, path.stem.lower())) if is_raw_name(path) else None
        if same_shot is None:
            judged.append(path)
        else:
            stands_for[same_shot].append(path)
    return judged, dict(stands_for)


def is_picture_name(path: Path) -> bool:
    """Return whether a file's name is one of a picture, camera raw too."""
    return path.suffix.lower() in IMAGE_SUFFIXES or is_raw_name(path)


def files_of_shot(
    picture: Path, names: SidecarNames, ranked: Collection[Path], going: Collection[Path]
) -> tuple[Path, ...]:
    """Return the picture and the files that must be moved with it.

    Args:
        picture: the file.
        names: names of the files beside it.
        ranked: all pictures of the ranking; each is handled by itself.
        going: the pictures that are handled in the same way as this one. A file that belongs to several pictures of
            one name is included only if all of them are handled in this way.
    """
    beside = [path for path in names.beside(picture) if is_picture_name(path)]
    is_raw = is_raw_name(picture)
    same_shot = [path for path in beside if path not in ranked and is_raw_name(path) != is_raw]
    staying = [path for path in beside if path not in going and path not in same_shot]
    files = [picture, *_behind(picture, names)]
    if not staying:
        for path in same_shot:
            files += [path, *_behind(path, names)]
    # Beside camera raw, a file with the ending replaced belongs to the raw file.
    if not [path for path in staying if is_raw_name(path) or not is_raw]:
        alike = names.alike(picture.parent, picture.stem)
        of_video: tuple[str, ...] = ()
        if any(path.suffix.lower() in VIDEO_SUFFIXES for path in alike):
            of_video = (".thm",) if any(is_raw_name(path) for path in files) else (".thm", ".xmp")
        endings = set(_IN_PLACE_OF_ENDING) - set(of_video)
        files += [path for path in alike if path.suffix.lower() in endings]
    return tuple(dict.fromkeys(files))


def _behind(picture: Path, names: SidecarNames) -> list[Path]:
    """Return sidecars named after the picture's whole name, and those of darktable's further versions of it."""
    versions = (f"{picture.stem}_{number:02d}{picture.suffix}" for number in range(1, _MAX_VERSIONS + 1))
    found = names.alike(picture.parent, picture.name)
    for version in versions:
        sidecars = [path for path in names.alike(picture.parent, version) if path.suffix.lower() == ".xmp"]
        if sidecars and not _is_a_picture(picture.with_name(version), names):
            found += sidecars
    return [path for path in found if path.suffix.lower() in _BEHIND_NAME]


def _is_a_picture(path: Path, names: SidecarNames) -> bool:
    """Return whether there is a file of this name, in any case: what carries its whole name is its own."""
    return any(other.name.lower() == path.name.lower() for other in names.alike(path.parent, path.stem))
