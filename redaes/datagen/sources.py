"""Curate source photographs: read safely, drop duplicates and unfit pictures, balance, split by photograph."""

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
"""Area at which a photograph is decoded to be recognised. Over 594 photographs the hash is that of the megapixel
picture, up to 4 bits in 2 of them and 2 bits in 64."""

N_STRATA = 10
"""Parts of equal size into which scored photographs are cut before drawing."""

_T = TypeVar("_T")
_R = TypeVar("_R")


@dataclass(frozen=True)
class Source:
    """One photograph to edit, as a small record that any process can read."""

    id: str
    """SHA-256 of the stored bytes."""
    path: Path
    """The file that is it, or holds it."""
    licence: str
    split: Split
    within: Span | Cell | None = None
    """The place in ``path``; None: it is the picture itself."""
    origin: str = ""
    """Stated id of what was photographed; sources that share one are in one split. Empty: not stated."""

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
    """What gives a photograph a number for its quality as it is, on any scale."""

    def __call__(self, image: Image.Image, /) -> float:
        """Return the score of an upright 8-bit RGB picture of at most ``MAX_PIXELS``; larger is better."""


class PhotographRules(WrittenSettings):
    """Which photographs to use."""

    min_side: Annotated[int, whole_number(MIN_SIDE, 1024)] = MIN_SIDE
    """Shortest side of the picture as the editor sees it, that is at most ``MAX_PIXELS`` in area, in pixels. Edits need
    ``MIN_SIDE``."""
    max_aspect: Annotated[FiniteFloat, Field(strict=True, ge=1)] | None = None
    """Largest ratio of the longer to the shorter side; None: any."""
    max_photographs: Annotated[int, whole_number(2)] | None = None
    """Draw so many when there are more; None: use all."""


ANY_PHOTOGRAPH = PhotographRules()


@dataclass
class Curation:
    """What came of the places that were named."""

    sources: list[Source] = field(default_factory=list)
    rejected: list[tuple[str, str]] = field(default_factory=list)
    """Name and reason; a reason starts with a countable word."""


class Fingerprints:
    """Perceptual hashes that find their near copies without comparing each with each.

    Of ``DUPLICATE_BITS + 1`` parts of two hashes that differ in at most ``DUPLICATE_BITS`` bits, one is equal; so
    only the hashes that share a part have to be compared.
    """

    def __init__(self) -> None:
        self._hashes: list[int] = []
        self._sharing: defaultdict[tuple[int, int], list[int]] = defaultdict(list)

    def add(self, fingerprint: int) -> int | None:
        """Return the number of the first hash that is near; None when there is none, and then this one is kept.

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
    """What one reading of a candidate told."""

    id: str
    """Id of the photograph; empty: its bytes could not be read."""
    problem: str | None
    fingerprint: int | None
    """Perceptual hash; None: not computed, because of a problem or because the same bytes were met before."""


def _look(candidate: FoundPhotograph, rules: PhotographRules, met: set[str]) -> _Look:
    """Read once; decode only what was not met before and passes the header's checks. Runs in a thread."""
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
    """Yield results in the order of the items, a few of them made ahead; Pillow decodes outside Python's lock."""
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
    """``n`` ids, as many from each of ``N_STRATA`` equal parts of the order by score as can be.

    The same scores and seed give the same ids on every machine.

    >>> sorted(draw({"a": 0.0, "b": 0.0, "c": 9.0, "d": 9.0}, 4, seed=0))
    ['a', 'b', 'c', 'd']
    """
    ordered = sorted(scores, key=lambda identity: (scores[identity], identity))
    n_strata = min(N_STRATA, n)
    bounds = [len(ordered) * index // n_strata for index in range(n_strata + 1)]
    strata = [_shuffled(ordered[low:high], seed) for low, high in itertools.pairwise(bounds)]
    # Rank within the stratum first: that is one from each in turn. Who gets an odd one is a matter of the seed too.
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
        paths: as :func:`~redaes.datagen.photograph_files.find` takes them.
        test_fraction: share of photographs held out, in (0, 1).
        seed: seed of the split, and of the draw.
        licences: by path, for photographs that lie in a folder without ``LICENCES.csv``.
        rules: which photographs to use.
        scorer: balances the quality of the photographs drawn; asked only when there are more than
            ``rules.max_photographs``, from one thread.
        workers: threads that read and decode.

    Raises:
        InputError: a path that does not exist, a list or container that cannot be used, fewer than two usable
            photographs, or a fraction out of range.
        MissingDependency: a table needs pyarrow, which is absent.
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
    """Return the usable photographs by id, without copies; says of the others why not."""
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
            # Another thread met the same bytes later in the list but earlier in time.
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
