"""What may become a series: bursts in folders of photographs, folders of one prompt's pictures, crops of a photograph.

Nothing is judged here, and hardly anything refused; :mod:`redaes.datagen.series.refinement` does that.
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
"""Crops that are drawn for each one wanted: most of them are too much or too little alike."""

_SIDES = (0.5, 0.95)  # of a crop, as shares of the photograph's
_ASPECT = 0.15  # by how much a crop's aspect may differ from the photograph's, as a share

Window = tuple[float, float, float, float]
"""Left, top, right, bottom, as shares of the frame."""


@dataclass(frozen=True)
class CandidatePicture:
    """A picture that may become part of a series."""

    path: Path
    content: str
    """Content id of the file."""
    window: Window | None = None
    """The part of it that is meant; None: all."""

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
    """Series with the same source are never parted between training and test."""
    pictures: tuple[CandidatePicture, ...]
    prompt: str | None = None
    """What the pictures were generated from, where it is known."""
    wanted: int | None = None
    """Most pictures of the series, below the limit for all series; None: that limit."""


@dataclass(frozen=True)
class Dropped:
    """A picture, or a whole series, that was left out."""

    category: str
    series: str
    """The series; empty: it never belonged to one."""
    picture: str
    """File, and the window of a crop; empty: the whole series."""
    reason: str


@dataclass
class SeriesCandidates:
    """What a builder found."""

    found: list[SeriesCandidate] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)


def natural(folders: Sequence[Path]) -> SeriesCandidates:
    """Return bursts: photographs of a folder that were taken together and look alike (:mod:`redaes.culling.grouping`).

    Dropped: ``unreadable``, and ``single`` photographs that nothing belongs to.

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

    Its ``prompt.txt``, if there is one, holds the prompt. Folders of one name in several roots are series of their own:
    from the second on their content is part of the name, and none of them is parted from the others between training
    and test, for their prompt may be the same. Dropped: ``no_pictures``, ``single``, ``unreadable``, and ``repeated``
    ones with the same pictures as one before.

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
            except InputError:  # no pictures in it: one empty prompt ends no run
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

    Which of them make a series, their overlaps decide (:class:`~redaes.datagen.series.refinement.RefinementLimits`).

    Args:
        paths: photographs, and folders of them.
        n: crops wanted of each photograph, at least 2.
        seed: seed of the windows, with the photograph's content.

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
