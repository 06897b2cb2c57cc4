"""Curate source photographs: read safely, drop duplicates and small pictures, split by photograph."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from redaes.errors import ImageError, InputError
from redaes.images import hamming, list_images, load_image, phash
from redaes.types import Split

MIN_SIDE = 128
"""Photographs with a shorter side below this many pixels are rejected."""

DUPLICATE_BITS = 4
"""Perceptual hashes (64 bits) that differ in at most this many bits are the same photograph."""


@dataclass(frozen=True)
class Source:
    """One photograph to make edits of."""

    id: str
    """SHA-256 of the file."""
    path: Path
    licence: str
    split: Split


@dataclass
class Curation:
    """What came of a folder."""

    sources: list[Source] = field(default_factory=list)
    rejected: list[tuple[Path, str]] = field(default_factory=list)
    """File and reason; a reason starts with a countable word."""


def read_licences(folder: Path) -> dict[str, str]:
    """``LICENCES.csv`` beside the photographs, if there is one: file name to licence.

    Raises:
        InputError: the file cannot be read, or lacks the columns ``file`` and ``licence``.
    """
    path = folder / "LICENCES.csv"
    if not path.is_file():
        return {}
    try:
        # utf-8-sig: spreadsheets put a mark before the first column's name.
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            if not {"file", "licence"} <= set(rows.fieldnames or ()):
                raise InputError(f"{path} needs the columns 'file' and 'licence', it has {rows.fieldnames}")
            # A short row has None for what it lacks.
            return {Path(row["file"]).name: row["licence"] or "" for row in rows if row["file"]}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read ({error}); save it as CSV in UTF-8") from error


def curate(
    paths: Sequence[Path],
    *,
    test_fraction: float,
    seed: int,
    licences: Mapping[Path, str] | None = None,
) -> Curation:
    """Open every photograph once and decide which to use.

    The split is drawn by photograph: those whose seeded hash is smallest are held out, at least one, so
    that the same files give the same split on every machine.

    Args:
        paths: files, or folders whose pictures (not those of subfolders) are taken.
        test_fraction: share of photographs held out, in (0, 1).
        seed: of the split.
        licences: by path, for photographs that lie in a folder without ``LICENCES.csv``.

    Raises:
        InputError: a path that does not exist, fewer than two usable photographs, or a fraction out of range.
    """
    if not 0 < test_fraction < 1:
        raise InputError(f"test fraction {test_fraction} is not between 0 and 1")
    files: list[Path] = []
    stated: dict[Path, str] = {}
    for path in paths:
        if not path.exists():  # a slip of the user's, unlike a damaged file among good ones
            raise InputError(f"{path}: no such file or folder; check the spelling")
        found = list_images(path) if path.is_dir() else [path]
        files.extend(found)
        by_name = read_licences(path if path.is_dir() else path.parent)
        stated.update({file: by_name.get(file.name, "") for file in found})
    stated.update(licences or {})
    curation = Curation()
    usable: list[tuple[str, Path]] = []
    hashes: list[tuple[int, Path]] = []
    for file in files:
        try:
            loaded = load_image(file)
        except ImageError as error:
            curation.rejected.append((file, f"unreadable: {error}"))
            continue
        if min(loaded.image.size) < MIN_SIDE:
            width, height = loaded.image.size
            curation.rejected.append((file, f"too_small: {width}x{height}, needs {MIN_SIDE}"))
            continue
        fingerprint = phash(loaded.image)
        twin = next((path for known, path in hashes if hamming(known, fingerprint) <= DUPLICATE_BITS), None)
        if twin is not None:
            curation.rejected.append((file, f"duplicate: of {twin.name}"))
            continue
        hashes.append((fingerprint, file))
        usable.append((loaded.ref.id, file))
    if len(usable) < 2:
        reasons = "; ".join(f"{path.name}: {reason}" for path, reason in curation.rejected[:5])
        raise InputError(
            f"{len(usable)} usable of {len(files)} photographs; give at least two, because one is held out"
            + (f". Not usable: {reasons}" if reasons else "")
        )
    drawn = sorted(usable, key=lambda item: hashlib.sha256(f"{seed}:{item[0]}".encode()).digest())
    n_test = min(max(1, round(test_fraction * len(usable))), len(usable) - 1)
    held_out = {source_id for source_id, _ in drawn[:n_test]}
    curation.sources = [
        Source(id=source_id, path=path, licence=stated[path], split="test" if source_id in held_out else "train")
        for source_id, path in sorted(usable)
    ]
    return curation
