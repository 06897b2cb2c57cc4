"""Find the sidecar of a picture: programs use two naming conventions, and one name may belong to several pictures.

``photo.xmp`` is what Lightroom, Bridge and Capture One read beside camera raw; ``photo.jpg.xmp`` is what darktable and
digiKam write beside anything (sources in docs/marks.md).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, get_args

from redaes.errors import RecordError
from redaes.images import is_raw_name

SidecarStyle = Literal["auto", "lightroom", "darktable"]
"""How new sidecars are named."""

SIDECAR_STYLES: tuple[SidecarStyle, ...] = get_args(SidecarStyle)

ENDING = ".xmp"


class SidecarNames:
    """Names of sidecars, by the other files in each picture's folder; each folder is listed once."""

    def __init__(self, style: SidecarStyle = "auto") -> None:
        self.style = style
        self._listed: dict[Path, dict[str, list[str]]] = {}

    def beside(self, picture: Path) -> list[Path]:
        """Return other files in the picture's folder that have its name but for the ending; sidecars are left out."""
        found = self._folder(picture.parent).get(picture.stem.lower(), [])
        return [picture.with_name(name) for name in found if name != picture.name and not name.lower().endswith(ENDING)]

    def alike(self, folder: Path, stem: str) -> list[Path]:
        """Return the files in a folder whose name is this one but for the ending and its case."""
        return [folder / name for name in self._folder(folder).get(stem.lower(), [])]

    def there(self, picture: Path) -> list[Path]:
        """Return the existing sidecars that may be the picture's, by either convention and in upper or lower case."""
        return [path for path in (self._existing(picture, full=True), self._existing(picture, full=False)) if path]

    def of(self, picture: Path) -> Path:
        """Return the sidecar in which a picture's mark belongs.

        With the style ``auto``, it is ``photo.xmp`` for camera raw and ``photo.jpg.xmp`` for any other picture. If only
        one of the two exists, that one is used. ``photo.xmp`` is never used if it could belong to another file.
        """
        full, short = self._existing(picture, full=True), self._existing(picture, full=False)
        new_full, new_short = picture.with_name(picture.name + ENDING), picture.with_name(picture.stem + ENDING)
        if self.style == "lightroom":
            return short or new_short
        if self.style == "darktable":
            return full or new_full
        others = self.beside(picture)
        if is_raw_name(picture):
            is_shared = any(is_raw_name(other) for other in others)
            return full or new_full if is_shared or (full and not short) else short or new_short
        return short if short and not full and not others else full or new_full

    def _existing(self, picture: Path, *, full: bool) -> Path | None:
        wanted = (picture.name if full else picture.stem) + ENDING
        names = self._folder(picture.parent).get(Path(wanted).stem.lower(), [])
        found = [name for name in names if name.lower() == wanted.lower()]
        if not found:
            return None
        return picture.with_name(wanted if wanted in found else min(found))

    def _folder(self, folder: Path) -> dict[str, list[str]]:
        """Return a folder's names by what they are without their ending, in lower case."""
        if folder not in self._listed:
            by_stem: dict[str, list[str]] = {}
            try:
                names = sorted(os.listdir(folder))
            except FileNotFoundError:
                names = []
            except OSError as error:
                raise RecordError(f"{folder}: cannot be listed ({error.strerror}); check its permissions") from error
            for name in names:
                by_stem.setdefault(Path(name).stem.lower(), []).append(name)
            self._listed[folder] = by_stem
        return self._listed[folder]
