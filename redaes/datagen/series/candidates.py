"""Candidates for series: bursts in folders of photographs, folders with pictures of one prompt, crops of a photograph.

Nothing is judged here, and hardly anything is refused; :mod:`redaes.datagen.series.refinement` does that.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from redaes.culling.grouping import group, scan
from redaes.errors import ImageError, InputError
from redaes.images import content_id, list_images, read_image_file

PROMPT_FILE = "prompt.txt"
"""File in a folder of generated pictures that has their prompt."""

N_WINDOWS = 4
"""Number of crops drawn for each one wanted, because most are too similar or too different."""

_SIDES = (0.5, 0.95)  # smallest and largest side of a crop, as shares of the photograph's
_ASPECT = 0.15  # largest relative difference of a crop's aspect ratio from the photograph's

Window = tuple[float, float, float, float]
"""Left, top, right, bottom, as shares of the frame."""


@dataclass(frozen=True)
class CandidatePicture:
    """A picture that may become part of a series."""

    path: Path
    content: str
    """Content id of the file."""
    window: Window | None = None
    """The part of the file that is meant; None means the whole picture."""

    @property
    def shown(self) -> str:
        """Its name in reports: the file, and the window of a crop."""
        if self.window is None:
            return str(self.path)
        return f"{self.path} [{', '.join(f'{edge:.3f}' for edge in self.window)}]"


@dataclass(frozen=True)
class SeriesCandidate:
    """Pictures that may become a series."""

    id: str
    category: str
    source: str
    """Series with the same source are in the same split."""
    pictures: tuple[CandidatePicture, ...]
    prompt: str | None = None
    """The prompt from which the pictures were generated; None if it is not known."""
    wanted: int | None = None
    """Largest number of pictures of this series, below the limit for all series; None means that limit."""


@dataclass(frozen=True)
class Dropped:
    """A picture, or a whole series, that was left out."""

    category: str
    series: str
    """The series; empty if the picture belonged to none."""
    picture: str
    """The file, with the window of a crop; empty if the whole series was left out."""
    reason: str


@dataclass
class SeriesCandidates:
    """The result of a builder."""

    found: list[SeriesCandidate] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)


def natural(folders: Sequence[Path]) -> SeriesCandidates:
    """Return bursts: photographs of a folder that were taken together and look alike (:mod:`redaes.culling.grouping`).

    Reasons for dropping pictures are ``unreadable`` and, for photographs that belong to no burst, ``single``.

    Raises:
        InputError: a folder is missing or holds no pictures.
    """
    result = SeriesCandidates()
    for folder in folders:
        photographs, unreadable = scan(list_images(folder))
        result.dropped += [Dropped("natural", "", str(item.path), "unreadable") for item in unreadable]
        for members in group(photographs):
            if len(members) < 2:
                result.dropped.append(Dropped("natural", "", str(members[0].ref.path), "single"))
                continue
            name = f"natural-{members[0].ref.id[:12]}"
            pictures = tuple(CandidatePicture(member.ref.path, member.ref.id) for member in members)
            result.found.append(SeriesCandidate(name, "natural", name, pictures))
    return _checked(result)


def aigc(folders: Sequence[Path]) -> SeriesCandidates:
    """Return same-prompt folders: every folder directly inside those given holds the pictures of one prompt.

    The folder's ``prompt.txt``, if there is one, holds the prompt. Folders of the same name in several roots are
    separate series: from the second one on, a hash of their content is part of the name. They are kept in one split,
    because their prompts may be the same. Reasons for dropping are ``no_pictures``, ``single``, ``unreadable``, and
    ``repeated`` for folders with the same pictures as an earlier one.

    Raises:
        InputError: a folder is missing or has no folders in it, or a prompt cannot be read.
    """
    result = SeriesCandidates()
    known: dict[str, set[str]] = {}
    for root in folders:
        if not root.is_dir():
            raise InputError(f"{root}: no such folder; give the folder that holds a folder for each prompt")
        inner = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
        if not inner:
            raise InputError(f"{root} has no folders in it; put the pictures of each prompt into one")
        for folder in inner:
            name = f"aigc-{folder.name}"
            try:
                files = list_images(folder)
            except InputError:  # there are no pictures in it, and one empty folder must not end the run
                result.dropped.append(Dropped("aigc", name, "", "no_pictures"))
                continue
            pictures = []
            for file in files:
                try:
                    pictures.append(CandidatePicture(file, content_id(read_image_file(file))))
                except ImageError:
                    result.dropped.append(Dropped("aigc", name, str(file), "unreadable"))
            if len(pictures) < 2:
                result.dropped.append(Dropped("aigc", name, "", "single"))
                continue
            content = hashlib.sha256("\n".join(sorted(picture.content for picture in pictures)).encode()).hexdigest()
            of_name = known.setdefault(name, set())
            if content in of_name:
                result.dropped.append(Dropped("aigc", name, "", "repeated"))
                continue
            own = f"{name}-{content[:8]}" if of_name else name
            of_name.add(content)
            result.found.append(SeriesCandidate(own, "aigc", name, tuple(pictures), _prompt(folder)))
    return _checked(result)


def _prompt(folder: Path) -> str | None:
    file = folder / PROMPT_FILE
    try:
        return file.read_text(encoding="utf-8-sig").strip() or None
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read ({error}); give the prompt as UTF-8 text") from error


def cropping(paths: Sequence[Path], *, n: int = 5, seed: int = 0) -> SeriesCandidates:
    """Return crops of photographs: windows drawn at random, ``N_WINDOWS`` times as many as wanted.

    Their overlaps decide which of them make a series (:class:`~redaes.datagen.series.refinement.RefinementLimits`).

    Args:
        paths: photographs, and folders of them.
        n: number of crops wanted of each photograph, at least 2.
        seed: seed of the windows, together with the photograph's content.

    Raises:
        InputError: ``n`` is below 2, or a folder is missing or holds no pictures.
    """
    if n < 2:
        raise InputError(f"{n} crops of a photograph make no series; give at least 2")
    result = SeriesCandidates()
    for given in paths:
        for path in list_images(given) if given.is_dir() else [given]:
            try:
                content = content_id(read_image_file(path))
            except ImageError:
                result.dropped.append(Dropped("cropping", "", str(path), "unreadable"))
                continue
            windows = [window for window, _ in zip(_windows(content, seed), range(N_WINDOWS * n), strict=False)]
            pictures = tuple(CandidatePicture(path, content, window) for window in windows)
            result.found.append(SeriesCandidate(f"cropping-{content[:12]}", "cropping", content, pictures, wanted=n))
    return _checked(result)


def _windows(content: str, seed: int) -> Iterator[Window]:
    rng = random.Random(f"windows/{seed}/{content}")
    while True:
        share, stretch = rng.uniform(*_SIDES), rng.uniform(1 - _ASPECT, 1 + _ASPECT) ** 0.5
        width, height = min(1.0, share * stretch), min(1.0, share / stretch)
        left, top = rng.uniform(0, 1 - width), rng.uniform(0, 1 - height)
        yield (left, top, left + width, top + height)


def _checked(result: SeriesCandidates) -> SeriesCandidates:
    """Return the candidates without duplicate series, which occur if the same pictures are in two folders."""
    seen: set[str] = set()
    kept = []
    for candidate in result.found:
        if candidate.id in seen:
            result.dropped.append(Dropped(candidate.category, candidate.id, "", "repeated"))
        else:
            kept.append(candidate)
        seen.add(candidate.id)
    result.found = kept
    return result
