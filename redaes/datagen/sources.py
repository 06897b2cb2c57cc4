"""Curate source photographs: read safely, drop duplicates and unfit pictures, balance, and split by photograph."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Protocol, TypeVar

from PIL import Image
from pydantic import Field, FiniteFloat

from redaes.datagen.dataset_settings import WrittenSettings, whole_number
from redaes.datagen.photograph_files import Cell, FoundPhotograph, Location, Span, find, read_licences
from redaes.errors import ImageError, InputError
from redaes.images import MAX_PIXELS, LoadedImage, content_id, decode_image, fit_area, hamming, image_size, phash
from redaes.types import Split

__all__ = ["Curation", "PhotographRules", "PhotographScorer", "Source", "curate", "draw", "read_licences"]

MIN_SIDE = 128
"""Photographs with a shorter side below this many pixels are rejected."""

DUPLICATE_BITS = 4
"""Perceptual hashes (64 bits) that differ in at most this many bits are the same photograph."""

FINGERPRINT_PIXELS = 128 * 128
"""Area at which a photograph is decoded to be recognised. For 594 photographs, the hash was the same as at a megapixel,
except for 2 bits in 64 photographs and up to 4 bits in 2."""

N_STRATA = 10
"""Number of parts of equal size into which scored photographs are divided before drawing."""

_T = TypeVar("_T")
_R = TypeVar("_R")


@dataclass(frozen=True)
class Source:
    """One photograph to edit, as a small record that any process can read."""

    id: str
    """SHA-256 of the stored bytes."""
    path: Path
    """The file of the photograph, or the container that holds it."""
    licence: str
    split: Split
    within: Span | Cell | None = None
    """The place inside ``path``; None if ``path`` is the picture itself."""
    origin: str = ""
    """Stated id of the photographed scene; sources that share one are in one split. Empty if none is stated."""

    def read_bytes(self) -> bytes:
        """Return the picture as it was stored.

        Raises:
            ImageError: it cannot be read.
        """
        return Location(self.path, self.within).read_bytes()

    def load(self, max_pixels: int = MAX_PIXELS) -> LoadedImage:
        """Return the picture as :func:`~redaes.images.load_image` gives it, with at most ``max_pixels``.

        Raises:
            ImageError: it cannot be used.
        """
        location = Location(self.path, self.within)
        return decode_image(location.read_bytes(), location.label, max_pixels=max_pixels)


class PhotographScorer(Protocol):
    """Gives a photograph, as it is, a number for its quality, on any scale."""

    def __call__(self, image: Image.Image, /) -> float:
        """Return the score of an upright 8-bit RGB picture of at most ``MAX_PIXELS``; larger is better."""


class PhotographRules(WrittenSettings):
    """Rules for which photographs are used."""

    min_side: Annotated[int, whole_number(MIN_SIDE, 1024)] = MIN_SIDE
    """Smallest length of the shorter side, in pixels, of the picture as the editor sees it (with an area of at most
    ``MAX_PIXELS``). Edits need ``MIN_SIDE``."""
    max_aspect: Annotated[FiniteFloat, Field(strict=True, ge=1)] | None = None
    """Largest ratio of the longer to the shorter side; None means any."""
    max_photographs: Annotated[int, whole_number(2)] | None = None
    """Number of photographs that are drawn if there are more; None uses all."""


ANY_PHOTOGRAPH = PhotographRules()


@dataclass
class Curation:
    """The result of looking at all photographs."""

    sources: list[Source] = field(default_factory=list)
    rejected: list[tuple[str, str]] = field(default_factory=list)
    """Name and reason of each rejected photograph; a reason begins with a word that can be counted."""


class Fingerprints:
    """Perceptual hashes, among which near copies are found without comparing each with each.

    If two hashes differ in at most ``DUPLICATE_BITS`` bits, then of their ``DUPLICATE_BITS + 1`` parts at least one is
    equal; so only hashes that share a part have to be compared.
    """

    def __init__(self) -> None:
        self._hashes: list[int] = []
        self._sharing: defaultdict[tuple[int, int], list[int]] = defaultdict(list)

    def add(self, fingerprint: int) -> int | None:
        """Return the number of the first hash that is near. If there is none, keep this one and return None.

        Numbers count the kept hashes from 0.
        """
        parts = self._parts(fingerprint)
        near = {
            number
            for part in parts
            for number in self._sharing.get(part, ())
            if hamming(self._hashes[number], fingerprint) <= DUPLICATE_BITS
        }
        if near:
            return min(near)
        for part in parts:
            self._sharing[part].append(len(self._hashes))
        self._hashes.append(fingerprint)
        return None

    @staticmethod
    def _parts(fingerprint: int) -> list[tuple[int, int]]:
        n = DUPLICATE_BITS + 1
        bounds = [64 * index // n for index in range(n + 1)]
        return [
            (index, fingerprint >> low & (1 << high - low) - 1)
            for index, (low, high) in enumerate(itertools.pairwise(bounds))
        ]


@dataclass(frozen=True)
class _Look:
    """What one reading of a candidate gave."""

    id: str
    """Id of the photograph; empty if its bytes could not be read."""
    problem: str | None
    fingerprint: int | None
    """Perceptual hash; None if it was not computed, because of a problem or because the same bytes occurred before."""


def _look(candidate: FoundPhotograph, rules: PhotographRules, met: set[str]) -> _Look:
    """Read once, and decode only new photographs that pass the checks of the header; this runs in a thread."""
    location = candidate.location
    identity = ""
    try:
        data = location.read_bytes()
        identity = content_id(data)
        if identity in met:
            return _Look(identity, None, None)
        met.add(identity)
        width, height = fit_area(image_size(data, location.label), MAX_PIXELS)
        if min(width, height) < rules.min_side:
            return _Look(identity, f"too_small: {width}x{height}, needs {rules.min_side}", None)
        aspect = max(width, height) / min(width, height)
        if rules.max_aspect is not None and aspect > rules.max_aspect:
            return _Look(identity, f"too_thin: {width}x{height}, at most {rules.max_aspect:g} to 1", None)
        small = decode_image(data, location.label, max_pixels=FINGERPRINT_PIXELS)
    except ImageError as error:
        return _Look(identity, f"unreadable: {error}", None)
    return _Look(identity, None, phash(small.image))


def _in_order(work: Callable[[_T], _R], items: Iterable[_T], workers: int) -> Iterator[_R]:
    """Yield results in the order of the items; a few are made ahead, as Pillow decodes outside Python's lock."""
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[_R]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def draw(scores: Mapping[str, float], n: int, seed: int) -> set[str]:
    """Return ``n`` ids, as equally as possible from each of ``N_STRATA`` equal parts of the order by score.

    The same scores and seed give the same ids on every machine.

    >>> sorted(draw({"a": 0.0, "b": 0.0, "c": 9.0, "d": 9.0}, 4, seed=0))
    ['a', 'b', 'c', 'd']
    """
    ordered = sorted(scores, key=lambda identity: (scores[identity], identity))
    n_strata = min(N_STRATA, n)
    bounds = [len(ordered) * index // n_strata for index in range(n_strata + 1)]
    strata = [_shuffled(ordered[low:high], seed) for low, high in itertools.pairwise(bounds)]
    # Sorted by rank within the stratum, so that strata take turns. The seed also decides who gets an odd one.
    turns = sorted((rank, _seeded(identity, seed), identity) for ids in strata for rank, identity in enumerate(ids))
    return {identity for _, _, identity in turns[:n]}


def _seeded(identity: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{identity}".encode()).digest()


def _shuffled(ids: Iterable[str], seed: int) -> list[str]:
    """Return the ids in an order that depends on the seed and on each id alone."""
    return sorted(ids, key=lambda identity: _seeded(identity, seed))


def curate(
    paths: Sequence[Path],
    *,
    test_fraction: float,
    seed: int,
    licences: Mapping[Path, str] | None = None,
    rules: PhotographRules = ANY_PHOTOGRAPH,
    scorer: PhotographScorer | None = None,
    workers: int = 1,
) -> Curation:
    """Look at every photograph once and decide which to use.

    The split is drawn by photograph (by origin, where one is stated): those whose seeded hash is smallest are held
    out, at least one, so that the same files give the same split on every machine.

    Args:
        paths: places, as :func:`~redaes.datagen.photograph_files.find` takes them.
        test_fraction: share of photographs held out, in (0, 1).
        seed: seed of the split and of the draw.
        licences: licences by path, for photographs in a folder without ``LICENCES.csv``.
        rules: rules for which photographs are used.
        scorer: balances the quality of the photographs drawn; it is called only if there are more than
            ``rules.max_photographs``, from one thread.
        workers: number of threads that read and decode.

    Raises:
        InputError: a path does not exist, a list or container cannot be used, there are fewer than two usable
            photographs, or the fraction is out of range.
        MissingDependency: pyarrow, which is needed for a table, is absent.
    """
    if not 0 < test_fraction < 1:
        raise InputError(f"test fraction {test_fraction} is not between 0 and 1")
    candidates = find(paths)
    curation = Curation()
    usable = _distinct(candidates, rules, workers, curation)
    if rules.max_photographs is not None and len(usable) > rules.max_photographs:
        scores = dict.fromkeys(usable, 0.0) if scorer is None else _scored(usable, scorer, workers, curation)
        drawn = draw(scores, rules.max_photographs, seed)
        for identity in sorted(set(scores) - drawn):
            curation.rejected.append((usable[identity].location.name, "not_drawn: enough others"))
        usable = {identity: usable[identity] for identity in usable if identity in drawn}
    if len(usable) < 2:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in curation.rejected[:5])
        raise InputError(
            f"{len(usable)} usable of {len(candidates)} photographs; give at least two, because one is held out"
            + (f". Not usable: {reasons}" if reasons else "")
        )
    origins = {candidate.origin or identity for identity, candidate in usable.items()}
    if len(origins) < 2:
        raise InputError(f"all {len(usable)} photographs have the source id {origins.pop()!r}; give at least two")
    n_test = min(max(1, round(test_fraction * len(origins))), len(origins) - 1)
    held_out = set(_shuffled(origins, seed)[:n_test])
    for identity, candidate in sorted(usable.items(), key=lambda item: item[0]):
        location = candidate.location
        given = None if location.within is not None else (licences or {}).get(location.path)
        curation.sources.append(
            Source(
                id=identity,
                path=location.path,
                licence=candidate.licence if given is None else given,
                split="test" if (candidate.origin or identity) in held_out else "train",
                within=location.within,
                origin=candidate.origin,
            )
        )
    return curation


def _distinct(
    candidates: list[FoundPhotograph], rules: PhotographRules, workers: int, curation: Curation
) -> dict[str, FoundPhotograph]:
    """Return the usable photographs by id, without copies; the reasons for the others are noted in ``curation``."""
    usable: dict[str, FoundPhotograph] = {}
    first: dict[str, str] = {}
    names: list[str] = []
    fingerprints = Fingerprints()
    met: set[str] = set()
    looks = _in_order(lambda candidate: _look(candidate, rules, met), candidates, workers)
    for candidate, look in zip(candidates, looks, strict=True):
        name = candidate.location.name
        if look.id in first:
            curation.rejected.append((name, f"duplicate: of {first[look.id]}"))
            continue
        if look.id:
            first[look.id] = name
        if look.problem is None and look.fingerprint is None:
            # Another thread saw the same bytes first, though they are later in the list.
            look = _look(candidate, rules, set())  # noqa: PLW2901
        if look.problem is not None or look.fingerprint is None:
            curation.rejected.append((name, look.problem or "unreadable: it changed while it was looked at"))
            continue
        twin = fingerprints.add(look.fingerprint)
        if twin is not None:
            curation.rejected.append((name, f"duplicate: of {names[twin]}"))
            continue
        names.append(name)
        usable[look.id] = candidate
    return usable


def _scored(
    usable: Mapping[str, FoundPhotograph], scorer: PhotographScorer, workers: int, curation: Curation
) -> dict[str, float]:
    """Return scores by id; a photograph without a finite score is rejected."""

    def load(candidate: FoundPhotograph) -> LoadedImage:
        return decode_image(candidate.location.read_bytes(), candidate.location.label)

    scores: dict[str, float] = {}
    for (identity, candidate), loaded in zip(usable.items(), _in_order(load, usable.values(), workers), strict=True):
        score = float(scorer(loaded.image))
        if math.isfinite(score):
            scores[identity] = score
        else:
            curation.rejected.append((candidate.location.name, f"unscored: the score is {score}"))
    return scores
