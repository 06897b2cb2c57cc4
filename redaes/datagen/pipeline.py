"""From photographs to a RED dataset: plan, edit, judge, explain, write; resumable by shard.

First the plan: one row for each edit of each view (`redaes.datagen.plan`). Then the work, a chunk of photographs at
a time: each chunk's Parquet shard is written whole or not at all, followed by a small JSON with its counts; a chunk
with both is done. A run that is interrupted and started again with the same settings redoes only what is missing
and ends with the same bytes, whichever engine ran it.

One *group* is one view of one photograph with several edits. All its differences come from one potential
(the quality lost against the group's reference), so they are consistent by construction::

    delta(first, second) = loss(second) - loss(first)

The reference itself may carry an edit that every member shares, and members may carry an edit that does not
matter, so "looks edited" tells nothing. Direction is certain because edits only ever degrade: the better
side of a pair is the one that was degraded less.
"""

from __future__ import annotations

import functools
import hashlib
import io
import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from PIL import Image

from redaes.datagen.card import write_card
from redaes.datagen.editors.embedded import EDITOR, apply_edit
from redaes.datagen.engine import ENGINES
from redaes.datagen.judges import Evidence, Reference, measure
from redaes.datagen.plan import CROP_SCALE, Frame, PlannedEdit, plan_view, read_plan, write_plan
from redaes.datagen.rationales import contradictions, write_rationale
from redaes.datagen.sources import NO_RULES, Curation, Rules, Scorer, Source, curate
from redaes.errors import InputError, RecordError, RedaesError
from redaes.records import PairRecord, read_json, write_json, write_shard
from redaes.types import MAX_DELTA, SPLITS, TIE_MARGIN, Edit, ImageRef, Pair, Rationale

PLAN = "plan.parquet"

MIN_LOSS = 0.4
"""An edit that costs less than this many points is no visible edit."""

MIN_DELTA = 0.8
"""Labelled differences below this many points, ties aside, are too uncertain to teach."""

MIN_DELTA_ACROSS = 1.5
"""The same for two different operations, whose losses compare less surely."""

PHOTOGRAPHS_PER_SHARD = 16
JPEG_QUALITY = 92
TIE_SHARE = 0.5
"""Views from which the reference and its twin are kept as a tie."""
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


def _view(image: Image.Image, frame: Frame, max_side: int) -> NDArray[np.uint8]:
    """What the frame shows, with the longest side at most ``max_side`` pixels."""
    image = image.crop(frame.box(*image.size))
    factor = min(1.0, max_side / max(image.size))  # enlarged, the reference itself would look soft
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS), dtype=np.uint8)


def might_improve(operation: str, before: Evidence, after: Evidence) -> bool:
    """Whether an edit meant to degrade may have done the picture good, so that its direction is uncertain."""
    if operation not in TYPICAL:
        return False
    field, middle = TYPICAL[operation]
    return bool(abs(getattr(after, field) - middle) <= abs(getattr(before, field) - middle))


def _apply(pixels: NDArray[np.uint8], edit: Edit) -> NDArray[np.uint8]:
    return apply_edit(pixels, edit.operation, edit.strength, edit.seed)


def _member(
    planned: PlannedEdit, pixels: NDArray[np.uint8], reference: Reference, before: Evidence, rejected: Counter[str]
) -> _Member | None:
    """The picture of one row, made from the view's ``pixels``, or None with the reason counted."""
    edited = _apply(pixels, planned.edit)
    after = measure(edited)
    if planned.role == "twin":
        return _Member(planned.id, _encode(edited), None, 0.0, after)
    loss = reference.loss(edited)
    if loss < MIN_LOSS:
        rejected["no_visible_effect"] += 1
        return None
    if might_improve(planned.edit.operation, before, after):
        rejected["might_improve"] += 1
        return None
    if planned.cover is not None:
        edited = _apply(edited, planned.cover)
        after = measure(edited)
    return _Member(planned.id, _encode(edited), planned.edit, loss, after)


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
    contents = [hashlib.sha256(member.data).hexdigest() for member in (first, second)]
    identity = hashlib.sha256("|".join([EDITOR, source.id, group, *contents]).encode()).hexdigest()
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
        writer="embedded",
    )


@dataclass
class Counts:
    """What became of a chunk's rows and pairs."""

    kept: Counter[str] = field(default_factory=Counter)
    """Pairs by deciding factors, ``tie`` among them."""
    rejected: Counter[str] = field(default_factory=Counter)
    """Edits and pairs by reason."""
    failed: list[dict[str, str]] = field(default_factory=list)
    """Rows and photographs that raised: ``{"row" or "source": id, "error": message}``."""


def make_group(
    image: Image.Image, source: Source, rows: Sequence[PlannedEdit], settings: Settings, counts: Counts
) -> list[PairRecord]:
    """All kept pairs of one view of a photograph.

    Args:
        image: the photograph.
        source: what is known about it.
        rows: the view's rows of the plan.
        settings: of the dataset.
        counts: where rejections and failures are counted.
    """
    group = rows[0].group
    pixels = _view(image, rows[0].frame, settings.max_side)
    for planned in rows:
        if planned.role == "shared":
            pixels = _apply(pixels, planned.edit)
    reference, before = Reference(pixels), measure(pixels)
    members = [_Member("reference", _encode(pixels), None, 0.0, before)]
    for planned in rows:
        if planned.role == "shared":
            continue
        try:
            member = _member(planned, pixels, reference, before, counts.rejected)
        except (RedaesError, ValueError, ArithmeticError, cv2.error) as error:
            # One edit that cannot be made loses that edit: it is named in the report.
            counts.rejected["edit_failed"] += 1
            counts.failed.append({"row": planned.id, "error": f"{type(error).__name__}: {error}"})
            continue
        if member is not None:
            members.append(member)
    twins = {planned.id for planned in rows if planned.role == "twin"}
    rng = random.Random(f"{settings.seed}:{group}:pairs")
    # Both clean members would double every clean-against-edited pair: one of them stands for both.
    clean = [member for member in members if member.key == "reference" or member.key in twins]
    rng.shuffle(clean)
    edited = [member for member in members if member not in clean]
    candidates = [(a, b) for i, a in enumerate([clean[0], *edited]) for b in edited[i:]]
    if len(clean) > 1 and rng.random() < TIE_SHARE:
        candidates.append((clean[0], clean[1]))
    records: list[PairRecord] = []
    for first, second in candidates:
        reason = _why_not(first, second)
        if reason is not None:
            counts.rejected[reason] += 1
            continue
        record = _record(first, second, group, source)
        if any(record.pair.id == known.pair.id for known in records):
            # Two edits can come to the same bytes, such as JPEG qualities that round alike.
            counts.rejected["identical"] += 1
            continue
        records.append(record)
    return records


def _photograph(source: Source, rows: Sequence[PlannedEdit], settings: Settings, counts: Counts) -> list[PairRecord]:
    """All kept pairs of one photograph, which is decoded once."""
    try:
        # The smallest crop still has ``max_side`` pixels; more would only be decoded to be thrown away.
        loaded = source.load(max_pixels=round(settings.max_side / CROP_SCALE[0]) ** 2)
        if loaded.ref.id != source.id:
            raise InputError(f"{source.path} changed while the dataset was being built; start again")
    except RedaesError as error:
        counts.rejected["source_failed"] += 1
        counts.failed.append({"source": source.id, "error": f"{type(error).__name__}: {error}"})
        return []
    records: list[PairRecord] = []
    for _, view in itertools.groupby(rows, key=lambda planned: planned.view):
        records.extend(make_group(loaded.image, source, list(view), settings, counts))
    return records


def write_chunk(folder: Path, settings: Settings, task: tuple[int, Chunk]) -> dict[str, Any]:
    """Make one shard and its counts; runs in a worker process.

    Args:
        folder: the dataset.
        settings: of the dataset.
        task: number of the chunk in the plan, and the chunk.
    """
    number, chunk = task
    counts = Counts()
    rows = {
        source: list(planned)
        for source, planned in itertools.groupby(read_plan(folder / PLAN, number), key=lambda planned: planned.source)
    }
    records: list[PairRecord] = []
    for source in chunk.sources:
        records.extend(_photograph(source, rows[source.id], settings, counts))
    for record in records:
        counts.kept[", ".join(record.pair.factors) or "tie"] += 1
    if records:  # ``datasets`` cannot read a shard without rows
        write_shard(folder / "data" / f"{chunk.name}.parquet", records)
    result = {
        "pairs": len(records),
        "kept": dict(sorted(counts.kept.items())),
        "rejected": dict(sorted(counts.rejected.items())),
        "failed": counts.failed,
    }
    write_json(folder / "shards" / f"{chunk.name}.json", result)
    return result


def _chunks(sources: list[Source]) -> Iterator[Chunk]:
    for split in SPLITS:
        mine = [source for source in sources if source.split == split]
        for number, start in enumerate(range(0, len(mine), PHOTOGRAPHS_PER_SHARD)):
            yield Chunk(f"{split}-{number:05d}", tuple(mine[start : start + PHOTOGRAPHS_PER_SHARD]))


def _rows(chunk: Chunk, settings: Settings) -> list[PlannedEdit]:
    """A chunk's rows of the plan."""
    return [
        planned
        for source in chunk.sources
        for view in range(settings.views)
        for planned in plan_view(source.id, source.split, view, settings.variants, settings.seed)
    ]


def build(
    photographs: list[Path],
    folder: Path,
    settings: Settings,
    *,
    workers: int = 1,
    engine: str = "local",
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
        workers: processes, or Ray actors.
        engine: who does the work, one of ``ENGINES``; the result is the same.
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
    if engine not in ENGINES:
        raise InputError(f"engine is {engine!r}; give one of {', '.join(ENGINES)}")
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
        return _build(curation, folder, settings, functools.partial(ENGINES[engine], workers=workers), progress)


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
    run: Callable[..., Iterator[tuple[tuple[int, Chunk], dict[str, Any]]]],
    progress: Callable[[int, int], None],
) -> dict[str, Any]:
    chunks = list(_chunks(curation.sources))
    _claim(folder, curation.sources, settings)
    if not (folder / PLAN).exists():
        write_plan(folder / PLAN, (_rows(chunk, settings) for chunk in chunks))
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
    missing = [(number, chunk) for number, chunk in enumerate(chunks) if chunk.name not in counts]
    for (_, chunk), result in run(functools.partial(write_chunk, folder, settings), missing):
        counts[chunk.name] = result
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


def _report(
    rejected: list[tuple[str, str]], sources: list[Source], counts: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    kept: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    failed: list[dict[str, str]] = []
    pairs = {split: 0 for split in SPLITS}
    for name in sorted(counts):
        kept.update(counts[name]["kept"])
        dropped.update(counts[name]["rejected"])
        failed += [{"shard": name, **item} for item in counts[name]["failed"]]
        pairs[name.partition("-")[0]] += counts[name]["pairs"]  # type: ignore[index]  # the name begins with it
    return {
        "photographs": {split: sum(source.split == split for source in sources) for split in SPLITS},
        "rejected_photographs": [{"file": name, "reason": reason} for name, reason in rejected],
        "pairs": pairs,
        "kept_by_factor": dict(sorted(kept.items())),
        "rejected_pairs": dict(sorted(dropped.items())),
        "failed": failed,
        "licences": dict(sorted(Counter(source.licence or "not stated" for source in sources).items())),
    }
