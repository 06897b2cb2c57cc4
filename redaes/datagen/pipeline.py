"""From photographs to a RED dataset: plan, edit, judge, explain, write; resumable by shard.

First the plan: one row for each edit of each view (`redaes.datagen.plan`). Then the work, a chunk of photographs at
a time: each chunk's Parquet shard is written whole or not at all, followed by a small JSON with its counts; a chunk
with both is done. A run that is interrupted and started again with the same settings redoes only what is missing
and ends with the same bytes, whichever engine ran it.

How a view's pictures are made and their differences found is in `redaes.datagen.parametric_groups`, for the embedded
editor, and in `redaes.datagen.panel_groups`, for editors that follow instructions and a panel of judges.
"""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from redaes.datagen.card import write_card
from redaes.datagen.dataset_settings import DatasetSettings
from redaes.datagen.editors.parametric import EDITOR
from redaes.datagen.engine import ENGINES
from redaes.datagen.judges.silence import hardly_read
from redaes.datagen.panel import Panel, PanelModels, panel_models
from redaes.datagen.panel_groups import make_judged_group, plan_judged_views
from redaes.datagen.parametric_groups import make_group
from redaes.datagen.picture_groups import BuildCounts
from redaes.datagen.plan import CROP_SCALE, PlannedEdit, plan_view, read_plan, write_plan
from redaes.datagen.sources import ANY_PHOTOGRAPH, Curation, PhotographRules, PhotographScorer, Source, curate
from redaes.errors import InputError, RecordError, RedaesError
from redaes.images import MAX_PIXELS, LoadedImage
from redaes.records import SCHEMA_VERSION, PairRecord, read_json, write_json, write_shard
from redaes.types import SPLITS

PLAN = "plan.parquet"

PHOTOGRAPHS_PER_SHARD = 16


@dataclass(frozen=True)
class Chunk:
    """A shard to be written."""

    name: str
    """``train-00000``"""
    sources: tuple[Source, ...]


def _load(source: Source, settings: DatasetSettings) -> LoadedImage:
    """A photograph as large as its views need: the smallest crop still has ``max_side`` pixels, where there are any."""
    return source.load(max_pixels=min(MAX_PIXELS, round(settings.max_side / CROP_SCALE[0]) ** 2))


def _photograph(
    source: Source,
    rows: Sequence[PlannedEdit],
    settings: DatasetSettings,
    models: PanelModels | None,
    counts: BuildCounts,
) -> list[PairRecord]:
    """All kept pairs of one photograph, which is decoded once."""
    try:
        loaded = _load(source, settings)
        if loaded.ref.id != source.id:
            raise InputError(f"{source.path} changed while the dataset was being built; start again")
    except RedaesError as error:
        counts.rejected["source_failed"] += 1
        counts.failed.append({"source": source.id, "error": f"{type(error).__name__}: {error}"})
        return []
    records: list[PairRecord] = []
    for _, view in itertools.groupby(rows, key=lambda planned: planned.view):
        if models is None:
            records.extend(make_group(loaded.image, source, list(view), settings, counts))
        else:
            records.extend(make_judged_group(loaded.image, source, list(view), settings, models, counts))
    return records


def write_chunk(
    folder: Path, settings: DatasetSettings, panel: Panel | None, task: tuple[int, Chunk]
) -> dict[str, Any]:
    """Make one shard and its counts; runs in a worker process.

    Args:
        folder: the dataset.
        settings: of the dataset.
        panel: who edits and judges; None: the embedded editor and measurements.
        task: number of the chunk in the plan, and the chunk.
    """
    number, chunk = task
    counts = BuildCounts()
    rows = {
        source: list(planned)
        for source, planned in itertools.groupby(read_plan(folder / PLAN, number), key=lambda planned: planned.source)
    }
    models = None if panel is None else panel_models(panel, folder)
    asked = Counter[str]() if models is None else models.counts()

    def records() -> Iterator[PairRecord]:
        for source in chunk.sources:
            # A planner may have found nothing to do to a photograph.
            for record in _photograph(source, rows.get(source.id, []), settings, models, counts):
                counts.kept[", ".join(record.pair.factors) or "tie"] += 1
                yield record

    stream = records()
    first = next(stream, None)
    n_pairs = 0
    if first is not None:  # ``datasets`` cannot read a shard without rows
        n_pairs = write_shard(folder / "data" / f"{chunk.name}.parquet", itertools.chain([first], stream))
    result = {
        "pairs": n_pairs,
        "kept": dict(sorted(counts.kept.items())),
        "rejected": dict(sorted(counts.rejected.items())),
        "failed": counts.failed,
        "asked": {} if models is None else dict(sorted((models.counts() - asked).items())),
    }
    write_json(folder / "shards" / f"{chunk.name}.json", result)
    return result


def _chunks(sources: list[Source]) -> Iterator[Chunk]:
    for split in SPLITS:
        mine = [source for source in sources if source.split == split]
        for number, start in enumerate(range(0, len(mine), PHOTOGRAPHS_PER_SHARD)):
            yield Chunk(f"{split}-{number:05d}", tuple(mine[start : start + PHOTOGRAPHS_PER_SHARD]))


def _rows(
    folder: Path, chunk: Chunk, settings: DatasetSettings, panel: Panel | None, counts: BuildCounts
) -> list[PlannedEdit]:
    """A chunk's rows of the plan."""
    rows: list[PlannedEdit] = []
    for source in chunk.sources:
        if panel is None:
            for view in range(settings.views):
                rows += plan_view(source.id, source.split, view, settings.variants, settings.seed)
            continue
        try:
            image = None if panel.planner is None else _load(source, settings).image
        except RedaesError as error:
            counts.rejected["source_failed"] += 1
            counts.failed.append({"source": source.id, "error": f"{type(error).__name__}: {error}"})
            continue
        rows += plan_judged_views(image, source, settings, panel_models(panel, folder), counts)
    return rows


def build(
    photographs: list[Path],
    folder: Path,
    settings: DatasetSettings,
    *,
    workers: int = 1,
    engine: str = "local",
    panel: Panel | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    licences: Mapping[Path, str] | None = None,
    rules: PhotographRules = ANY_PHOTOGRAPH,
    scorer: PhotographScorer | None = None,
) -> dict[str, Any]:
    """Build a RED dataset, or finish one that was interrupted.

    Of several processes that build the same folder one works and the others wait.

    Args:
        photographs: files, folders, lists, shards and tables, as
            :func:`~redaes.datagen.photograph_files.find` takes them.
        folder: the dataset; created, or continued when made with the same settings and photographs.
        settings: what to make.
        workers: processes, or Ray actors.
        engine: who does the work, one of ``ENGINES``; the result is the same.
        panel: editors that follow instructions, and models that judge; None: the embedded editor, measured.
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
        run = functools.partial(ENGINES[engine], workers=workers)
        return _build(curation, folder, settings, panel, run, progress)


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
    settings: DatasetSettings,
    panel: Panel | None,
    run: Callable[..., Iterator[tuple[tuple[int, Chunk], dict[str, Any]]]],
    progress: Callable[[int, int], None],
) -> dict[str, Any]:
    chunks = list(_chunks(curation.sources))
    _claim(folder, curation.sources, settings, panel)
    planning = BuildCounts()
    if not (folder / PLAN).exists():
        plan = [_rows(folder, chunk, settings, panel, planning) for chunk in chunks] if panel else None
        # The counts first: a plan that is there is complete.
        write_json(folder / "planning.json", {"rejected": dict(planning.rejected), "failed": planning.failed})
        write_plan(folder / PLAN, plan or (_rows(folder, chunk, settings, None, planning) for chunk in chunks))
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
    for (_, chunk), result in run(functools.partial(write_chunk, folder, settings, panel), missing):
        counts[chunk.name] = result
        report_progress()
    report = _report(curation.rejected, curation.sources, read_json(folder / "planning.json"), counts)
    if not report["pairs"]["train"] or not report["pairs"]["test"]:
        unread = hardly_read(report["asked"])
        raise InputError(
            f"no pairs were kept in one split ({report['pairs']}; rejected: {report['rejected_pairs']}); "
            + (
                f"{'; '.join(unread)}: see docs/judges.md, Dialects"
                if unread
                else "give more photographs, views or variants"
            )
        )
    write_json(folder / "report.json", report)
    write_card(
        folder, report, settings=settings.model_dump(), editor=EDITOR if panel is None else ", ".join(panel.editors)
    )
    return report


def _claim(folder: Path, sources: list[Source], settings: DatasetSettings, panel: Panel | None) -> None:
    """Write down what the folder is going to hold, or compare with what it holds.

    Raises:
        RecordError: it holds another dataset; says what differs.
    """
    plan: dict[str, Any] = {
        "schema": SCHEMA_VERSION,
        "editor": EDITOR if panel is None else ", ".join(panel.editors),
        "panel": None if panel is None else panel.identity(),
        "settings": settings.model_dump(),
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
    if isinstance(before, dict) and before.get("schema", 2) != SCHEMA_VERSION:
        raise RecordError(
            f"{folder} holds a dataset of schema version {before.get('schema', 2)}, which can be read, but not gone on "
            f"with: this redaes writes version {SCHEMA_VERSION}; choose another output folder"
        )
    if not isinstance(before, dict) or set(before) != set(plan):
        raise RecordError(f"{file} is damaged; delete {folder} and build again")
    # The split follows from the settings, so only the photographs themselves are compared.
    old_ids, new_ids = ({source.partition(":")[2] for source in side["sources"]} for side in (before, plan))
    changes = ["other photographs"] if old_ids != new_ids else []
    changes += [f"{name}: {before[name]} -> {plan[name]}" for name in ("editor", "panel") if before[name] != plan[name]]
    old = before["settings"]
    changes += [
        f"{name}: {old.get(name)} -> {value}" for name, value in settings.model_dump().items() if old.get(name) != value
    ]
    raise RecordError(f"{folder} holds a dataset made differently ({', '.join(changes)}); choose another output folder")


def _report(
    rejected: list[tuple[str, str]],
    sources: list[Source],
    planning: dict[str, Any],
    counts: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    kept: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    failed: list[dict[str, str]] = list(planning["failed"])
    asked: Counter[str] = Counter()
    dropped.update(planning["rejected"])
    pairs = {split: 0 for split in SPLITS}
    for name in sorted(counts):
        kept.update(counts[name]["kept"])
        dropped.update(counts[name]["rejected"])
        asked.update(counts[name]["asked"])
        failed += [{"shard": name, **item} for item in counts[name]["failed"]]
        pairs[name.partition("-")[0]] += counts[name]["pairs"]  # type: ignore[index]  # the name begins with it
    return {
        "photographs": {split: sum(source.split == split for source in sources) for split in SPLITS},
        "rejected_photographs": [{"file": name, "reason": reason} for name, reason in rejected],
        "pairs": pairs,
        "kept_by_factor": dict(sorted(kept.items())),
        "rejected_pairs": dict(sorted(dropped.items())),
        "failed": failed,
        "asked": dict(sorted(asked.items())),
        "licences": dict(sorted(Counter(source.licence or "not stated" for source in sources).items())),
    }
