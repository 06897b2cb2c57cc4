"""From photographs to a RED dataset: group, edit, judge, explain, write; resumable by shard.

The unit of work is a chunk of photographs of one split. Its Parquet shard is written whole or not at all,
followed by a small JSON with its counts; a chunk with both is done. A run that is interrupted and started
again with the same settings redoes only what is missing and ends with the same bytes.

One *group* is one view of one photograph with several edits. All its differences come from one potential
(the quality lost against the group's reference), so they are consistent by construction::

    delta(first, second) = loss(second) - loss(first)

The reference itself may carry an edit that every member shares, and members may carry an edit that does not
matter, so "looks edited" tells nothing. Direction is certain because edits only ever degrade: the better
side of a pair is the one that was degraded less.
"""

from __future__ import annotations

import hashlib
import io
import multiprocessing
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from PIL import Image

from redaes.datagen.card import write_card
from redaes.datagen.editors.embedded import EDITOR, OPERATIONS, apply_edit, make_edit
from redaes.datagen.judges import Evidence, measure, quality_loss
from redaes.datagen.rationales import contradictions, write_rationale
from redaes.datagen.sources import NO_RULES, Curation, Rules, Scorer, Source, curate
from redaes.errors import InputError, RecordError, RedaesError
from redaes.records import PairRecord, read_json, write_json, write_shard
from redaes.types import MAX_DELTA, SPLITS, TIE_MARGIN, Edit, ImageRef, Pair, Rationale

MIN_LOSS = 0.4
"""An edit that costs less than this many points is no visible edit."""

MIN_DELTA = 0.8
"""Labelled differences below this many points, ties aside, are too uncertain to teach."""

MIN_DELTA_ACROSS = 1.5
"""The same for two different operations, whose losses compare less surely."""

PHOTOGRAPHS_PER_SHARD = 16
SHARED_EDIT_STRENGTH = (0.2, 0.6)
JPEG_QUALITY = 92
DEGRADE = tuple(sorted(name for name, operation in OPERATIONS.items() if operation.direction == "degrade"))
NEUTRAL = tuple(sorted(name for name, operation in OPERATIONS.items() if operation.direction == "neutral"))
SHARED = tuple(name for name in DEGRADE if OPERATIONS[name].factor == "content")
"""What a whole group may share. No later edit undoes these, composition aside (a crop can cut them off)."""

TYPICAL: dict[str, tuple[str, float]] = {
    "exposure_down": ("brightness", 50.0),
    "exposure_up": ("brightness", 50.0),
    "contrast_down": ("contrast", 22.0),
    "contrast_up": ("contrast", 22.0),
    "haze": ("contrast", 22.0),
    "saturation_down": ("colourfulness", 35.0),
    "saturation_up": ("colourfulness", 35.0),
    "cast_warm": ("warm_cool", 4.0),
    "cast_cool": ("warm_cool", 4.0),
    "cast_green": ("green_magenta", 1.0),
    "cast_magenta": ("green_magenta", 1.0),
}
"""Edits that could do a photograph good, with the measured quantity they move and its middle value.

Such an edit counts as a degradation only where it moves the quantity further from that middle value.
"""


_LIMITS = {"views": (1, 1000), "variants": (1, 100), "max_side": (64, 1024), "seed": (0, 2**32 - 1)}
"""Smallest and largest value of each whole-number setting. Pictures are shrunk to one megapixel on loading, so
a longer side than 1024 would not hold more detail."""


@dataclass(frozen=True)
class Settings:
    """What determines a dataset, besides the photographs."""

    views: int = 4
    """Groups per photograph: the whole frame, then random crops."""
    variants: int = 3
    """Degraded pictures per group."""
    max_side: int = 256
    """Longest side of the stored pictures, in pixels; smaller ones are not enlarged."""
    test_fraction: float = 0.2
    """Share of the photographs that is held out."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name, (least, most) in _LIMITS.items():
            value = getattr(self, name)
            # A recipe may hold anything: True and 4.0 count as integers elsewhere.
            if type(value) is not int or not least <= value <= most:
                raise InputError(f"{name} is {value!r}; give a whole number from {least} to {most}")
        fraction: object = self.test_fraction
        if not isinstance(fraction, float) or not 0 < fraction < 1:
            raise InputError(f"test_fraction is {fraction!r}; give a number between 0 and 1")


@dataclass(frozen=True)
class Chunk:
    """A shard to be written."""

    name: str
    """``train-00000``"""
    sources: tuple[Source, ...]


@dataclass(frozen=True)
class _Member:
    """One picture of a group."""

    key: str
    data: bytes
    edit: Edit | None
    loss: float
    evidence: Evidence


def _encode(pixels: NDArray[np.uint8]) -> bytes:
    """Every member of a group is encoded alike, so that the coding gives nothing away."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def _view(image: Image.Image, index: int, max_side: int, rng: random.Random) -> NDArray[np.uint8]:
    """The whole frame (index 0) or a random crop of it, with the longest side at most ``max_side`` pixels."""
    if index > 0:
        scale = rng.uniform(0.6, 0.95)
        width, height = (round(side * scale) for side in image.size)
        left, top = rng.randint(0, image.width - width), rng.randint(0, image.height - height)
        image = image.crop((left, top, left + width, top + height))
    factor = min(1.0, max_side / max(image.size))  # enlarged, the reference itself would look soft
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS), dtype=np.uint8)


def might_improve(operation: str, before: Evidence, after: Evidence) -> bool:
    """Whether an edit meant to degrade may have done the picture good, so that its direction is uncertain."""
    if operation not in TYPICAL:
        return False
    field, middle = TYPICAL[operation]
    return bool(abs(getattr(after, field) - middle) <= abs(getattr(before, field) - middle))


def _members(
    reference: NDArray[np.uint8],
    operations: tuple[str, ...],
    settings: Settings,
    rng: random.Random,
    rejected: Counter[str],
) -> list[_Member]:
    """The reference, a neutral copy of it, and the degraded variants, as encoded pictures."""

    def neutral(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return apply_edit(pixels, rng.choice(NEUTRAL), rng.random(), rng.getrandbits(31))

    def member(key: str, pixels: NDArray[np.uint8], edit: Edit | None, loss: float) -> _Member:
        return _Member(key, _encode(pixels), edit, loss, measure(pixels))

    members = [member("reference", reference, None, 0.0), member("neutral", neutral(reference), None, 0.0)]
    before = measure(reference)
    again = rng.random() < 0.5
    plan: list[tuple[str, float, int]] = []
    for _ in range(settings.variants):
        if again and plan:
            # The same edit, less or more: the pair whose direction is surest.
            operation, strength, seed = plan[-1]
            plan.append((operation, round((strength + rng.uniform(0.3, 0.7)) % 1.0, 3), seed))
            again = False
        else:
            # By factor first: factors with many operations shall not crowd out the others.
            factor = rng.choice(sorted({OPERATIONS[name].factor for name in operations}))
            operation = rng.choice([name for name in operations if OPERATIONS[name].factor == factor])
            plan.append((operation, round(rng.uniform(0.15, 1.0), 3), rng.getrandbits(31)))
    for index, (operation, strength, seed) in enumerate(plan):
        pixels = apply_edit(reference, operation, strength, seed)
        loss = quality_loss(reference, pixels)
        if loss < MIN_LOSS:
            rejected["no_visible_effect"] += 1
            continue
        if might_improve(operation, before, measure(pixels)):
            rejected["might_improve"] += 1
            continue
        if rng.random() < 0.3:
            pixels = neutral(pixels)
        members.append(member(f"edit{index}", pixels, make_edit(operation, strength, seed), loss))
    return members


def _why_not(first: _Member, second: _Member) -> str | None:
    """The reason to reject a pair, or None to keep it."""
    delta = second.loss - first.loss
    if first.data == second.data:  # a neutral edit may change nothing; equal files are no question
        return "identical"
    if first.edit is None and second.edit is None:
        return None
    if first.edit is not None and second.edit is not None:
        if first.edit.operation == second.edit.operation:
            if (second.edit.strength - first.edit.strength) * delta < 0:
                return "direction_uncertain"
        elif abs(delta) < MIN_DELTA_ACROSS:
            return "indiscernible"
    if abs(delta) < MIN_DELTA:
        return "indiscernible"
    return None


def _rationale(a: _Member, b: _Member, seed: int) -> Rationale:
    return write_rationale(a.evidence, b.evidence, a.edit, b.edit, a.loss, b.loss, seed)


def _record(first: _Member, second: _Member, group: str, source: Source) -> PairRecord:
    identity = hashlib.sha256(f"{EDITOR}|{source.id}|{group}|{first.data!r}|{second.data!r}".encode()).hexdigest()
    if int(identity[-1], 16) % 2:
        first, second = second, first
    delta = max(-MAX_DELTA, min(MAX_DELTA, second.loss - first.loss))
    loser = second if delta > 0 else first
    factors = () if abs(delta) < TIE_MARGIN or loser.edit is None else (loser.edit.factor,)

    def ref(member: _Member, position: str) -> ImageRef:
        return ImageRef(id=hashlib.sha256(member.data).hexdigest(), path=Path(f"{identity[:16]}-{position}.jpg"))

    seed = int(identity[:12], 16)
    rationale, swapped = _rationale(first, second, seed), _rationale(second, first, seed + 1)
    wrong = contradictions(rationale, delta, factors) + contradictions(swapped, -delta, factors)
    if wrong:  # the writer is ours: a contradiction is a fault to mend, not a pair to drop
        raise AssertionError(f"pair {identity[:16]}: {wrong}")
    pair = Pair(
        id=identity[:16],
        first=ref(first, "first"),
        second=ref(second, "second"),
        delta=round(delta, 4),
        edit_first=first.edit,
        edit_second=second.edit,
        factors=factors,
        group=group,
        source=source.origin or source.id,
        split=source.split,
    )
    return PairRecord(
        pair=pair,
        first_bytes=first.data,
        second_bytes=second.data,
        rationale=rationale,
        rationale_swapped=swapped,
        licence=source.licence,
    )


def make_group(
    image: Image.Image, source: Source, index: int, settings: Settings, rejected: Counter[str]
) -> list[PairRecord]:
    """All kept pairs of one view of a photograph."""
    rng = random.Random(f"{settings.seed}:{source.id}:{index}")
    group = f"{source.id[:12]}-{index}"
    reference = _view(image, index, settings.max_side, rng)
    operations = DEGRADE
    if rng.random() < 0.4:
        strength = round(rng.uniform(*SHARED_EDIT_STRENGTH), 3)
        reference = apply_edit(reference, rng.choice(SHARED), strength, rng.getrandbits(31))
        operations = tuple(name for name in DEGRADE if OPERATIONS[name].factor != "composition")
    members = _members(reference, operations, settings, rng, rejected)
    # Both clean members would double every clean-against-edited pair: one of them stands for both.
    clean, twin, *edited = members
    if rng.random() < 0.5:
        clean, twin = twin, clean
    candidates = [(a, b) for i, a in enumerate([clean, *edited]) for b in edited[i:]]
    if rng.random() < 0.5:
        candidates.append((clean, twin))
    records: list[PairRecord] = []
    for first, second in candidates:
        reason = _why_not(first, second)
        if reason is not None:
            rejected[reason] += 1
            continue
        record = _record(first, second, group, source)
        if any(record.pair.id == known.pair.id for known in records):
            # Two edits can come to the same bytes, such as JPEG qualities that round alike.
            rejected["identical"] += 1
            continue
        records.append(record)
    return records


def _write_chunk(folder: Path, chunk: Chunk, settings: Settings) -> dict[str, Any]:
    """Make one shard and its counts; runs in a worker process."""
    rejected: Counter[str] = Counter()
    kept: Counter[str] = Counter()
    records: list[PairRecord] = []
    for source in chunk.sources:
        loaded = source.load()
        if loaded.ref.id != source.id:
            raise InputError(f"{source.path} changed while the dataset was being built; start again")
        for index in range(settings.views):
            records.extend(make_group(loaded.image, source, index, settings, rejected))
    for record in records:
        kept[", ".join(record.pair.factors) or "tie"] += 1
    if records:  # ``datasets`` cannot read a shard without rows
        write_shard(folder / "data" / f"{chunk.name}.parquet", records)
    counts = {"pairs": len(records), "kept": dict(kept), "rejected": dict(rejected)}
    write_json(folder / "shards" / f"{chunk.name}.json", counts)
    return counts


def _chunks(sources: list[Source]) -> Iterator[Chunk]:
    for split in SPLITS:
        mine = [source for source in sources if source.split == split]
        for number, start in enumerate(range(0, len(mine), PHOTOGRAPHS_PER_SHARD)):
            yield Chunk(f"{split}-{number:05d}", tuple(mine[start : start + PHOTOGRAPHS_PER_SHARD]))


def build(
    photographs: list[Path],
    folder: Path,
    settings: Settings,
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
    licences: Mapping[Path, str] | None = None,
    rules: Rules = NO_RULES,
    scorer: Scorer | None = None,
) -> dict[str, Any]:
    """Build a RED dataset, or finish one that was interrupted.

    Of several processes that build the same folder one works and the others wait.

    Args:
        photographs: files, folders, lists, shards and tables, as :func:`~redaes.datagen.locations.find` takes them.
        folder: the dataset; created, or continued when made with the same settings and photographs.
        settings: what to make.
        workers: processes.
        progress: called with photographs done and photographs in all.
        licences: by path, for photographs that lie in a folder without ``LICENCES.csv``.
        rules: which of the photographs to use.
        scorer: balances the quality of the photographs drawn when there are more than the rules want.

    Returns:
        The report that is also written to ``report.json``.

    Raises:
        InputError: unusable photographs or settings.
        RecordError: the folder holds another dataset, or cannot be written.
    """
    if workers < 1:
        raise InputError(f"workers is {workers}; give at least 1")
    curation = curate(
        photographs,
        test_fraction=settings.test_fraction,
        seed=settings.seed,
        licences=licences,
        rules=rules,
        scorer=scorer,
        workers=workers,
    )
    with _locked(folder):
        return _build(curation, folder, settings, workers, progress)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Sole use of a dataset's folder, which is created; leftovers of a process that was killed are removed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        lock.acquire()
    except OSError as error:
        raise RecordError(f"{folder} cannot be written: {error.strerror}; choose another output folder") from error
    try:
        for leftover in folder.rglob(".*.tmp"):
            leftover.unlink()
        yield
    finally:
        lock.release()


def _build(
    curation: Curation,
    folder: Path,
    settings: Settings,
    workers: int,
    progress: Callable[[int, int], None],
) -> dict[str, Any]:
    chunks = list(_chunks(curation.sources))
    _claim(folder, curation.sources, settings)
    counts: dict[str, dict[str, Any]] = {}
    for chunk in chunks:
        done = folder / "shards" / f"{chunk.name}.json"
        if not done.exists():
            continue
        found = read_json(done)
        if not found["pairs"] or (folder / "data" / f"{chunk.name}.parquet").exists():
            counts[chunk.name] = found

    def report_progress() -> None:
        finished = sum(len(chunk.sources) for chunk in chunks if chunk.name in counts)
        progress(finished, len(curation.sources))

    report_progress()
    missing = [chunk for chunk in chunks if chunk.name not in counts]
    for name, result in _run(folder, missing, settings, workers):
        counts[name] = result
        report_progress()
    report = _report(curation.rejected, curation.sources, counts)
    if not report["pairs"]["train"] or not report["pairs"]["test"]:
        raise InputError(
            f"no pairs were kept in one split ({report['pairs']}; rejected: {report['rejected_pairs']}); "
            "give more photographs, views or variants"
        )
    write_json(folder / "report.json", report)
    write_card(folder, report, settings=asdict(settings), editor=EDITOR)
    return report


def _claim(folder: Path, sources: list[Source], settings: Settings) -> None:
    """Write down what the folder is going to hold, or compare with what it holds.

    Raises:
        RecordError: it holds another dataset; says what differs.
    """
    plan: dict[str, Any] = {
        "editor": EDITOR,
        "settings": asdict(settings),
        "sources": [f"{source.split}:{source.id}" for source in sources],
    }
    file = folder / "plan.json"
    if not file.exists():
        if any((folder / "data").glob("*.parquet")):
            raise RecordError(f"{folder} holds a dataset that was not built here; choose another output folder")
        write_json(file, plan)
        return
    before = read_json(file)
    if before == plan:
        return
    if not isinstance(before, dict) or set(before) != set(plan):
        raise RecordError(f"{file} is damaged; delete {folder} and build again")
    # The split follows from the settings, so only the photographs themselves are compared.
    old_ids, new_ids = ({source.partition(":")[2] for source in side["sources"]} for side in (before, plan))
    changes = ["other photographs"] if old_ids != new_ids else []
    if before["editor"] != EDITOR:
        changes.append(f"editor: {before['editor']} -> {EDITOR}")
    old = before["settings"]
    changes += [
        f"{name}: {old.get(name)} -> {value}" for name, value in asdict(settings).items() if old.get(name) != value
    ]
    raise RecordError(f"{folder} holds a dataset made differently ({', '.join(changes)}); choose another output folder")


def _run(folder: Path, chunks: list[Chunk], settings: Settings, workers: int) -> Iterator[tuple[str, dict[str, Any]]]:
    if workers == 1 or len(chunks) <= 1:
        for chunk in chunks:
            yield chunk.name, _write_chunk(folder, chunk, settings)
        return
    # Spawned, because a fork of a process with threads (Arrow's, torch's) can hang.
    pool = ProcessPoolExecutor(
        max_workers=min(workers, len(chunks)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_one_thread,
    )
    try:
        futures = {pool.submit(_write_chunk, folder, chunk, settings): chunk.name for chunk in chunks}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool as error:
        raise RedaesError(
            "a worker process was killed, perhaps for want of memory; run again with fewer workers to go on"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _one_thread() -> None:
    """The workers share the cores; OpenCV in each would take all of them."""
    import cv2

    cv2.setNumThreads(1)


def _report(
    rejected: list[tuple[str, str]], sources: list[Source], counts: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    kept: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    pairs = {split: 0 for split in SPLITS}
    for name in sorted(counts):
        kept.update(counts[name]["kept"])
        dropped.update(counts[name]["rejected"])
        pairs[name.partition("-")[0]] += counts[name]["pairs"]  # type: ignore[index]  # the name begins with it
    return {
        "photographs": {split: sum(source.split == split for source in sources) for split in SPLITS},
        "rejected_photographs": [{"file": name, "reason": reason} for name, reason in rejected],
        "pairs": pairs,
        "kept_by_factor": dict(sorted(kept.items())),
        "rejected_pairs": dict(sorted(dropped.items())),
        "licences": dict(sorted(Counter(source.licence or "not stated" for source in sources).items())),
    }
