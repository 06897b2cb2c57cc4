"""Build a RED dataset from photographs: plan, edit, judge, explain and write; resumable by shard.

The work is divided into chunks of photographs. Each chunk's Parquet shard is written whole or not at all, followed by a
small JSON file with its counts; a chunk with both is done. The plan, one row for each edit of each view, is described
in `redaes.datagen.plan`: it is made in advance for the embedded editor, and chunk by chunk for a panel. A run that was
interrupted and is started again with the same settings makes only what is missing, and ends with the same bytes,
whichever engine does the work.

How a view's pictures are made and their differences found is described in `redaes.datagen.parametric_groups`, for the
embedded editor, and in `redaes.datagen.panel_groups`, for editors that follow instructions and a panel of judges, whose
workers (`redaes.datagen.panel_worker`) lead many views through their stages at once.
"""

from __future__ import annotations

import functools
import itertools
import logging
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from redaes.datagen.card import write_card
from redaes.datagen.chunks import PLAN_PARTS, Chunk, chunks_of, load_photograph, rows_by_source
from redaes.datagen.dataset_settings import DatasetSettings
from redaes.datagen.editors.parametric import EDITOR
from redaes.datagen.engine import ENGINES
from redaes.datagen.funnel import FunnelWatch, begin_run, read_runs, work_report
from redaes.datagen.judges.silence import hardly_read
from redaes.datagen.panel import Panel, check_servers
from redaes.datagen.panel_crew import PanelJob, run_panel
from redaes.datagen.parametric_groups import make_group
from redaes.datagen.picture_groups import BuildCounts
from redaes.datagen.plan import PLAN, PlannedEdit, plan_view, read_plan, write_plan
from redaes.datagen.planner import check_plannable
from redaes.datagen.sources import ANY_PHOTOGRAPH, Curation, PhotographRules, PhotographScorer, Source, curate
from redaes.errors import InputError, RecordError, RedaesError
from redaes.file_writing import read_json, write_json
from redaes.records import SCHEMA_VERSION, PairRecord, write_shard
from redaes.types import SPLITS

LOG = logging.getLogger("redaes.datagen")


def _photograph(
    source: Source, rows: Sequence[PlannedEdit], settings: DatasetSettings, counts: BuildCounts
) -> Iterator[PairRecord]:
    """Yield all kept pairs of one photograph, which is decoded once."""
    try:
        image = load_photograph(source, settings).image
    except RedaesError as error:
        counts.fail(source.id, error)
        return
    for _, view in itertools.groupby(rows, key=lambda planned: planned.view):
        yield from make_group(image, source, list(view), settings, counts)


def write_chunk(folder: Path, settings: DatasetSettings, task: tuple[int, Chunk]) -> dict[str, Any]:
    """Make one shard of measured pairs and its counts; this runs in a worker process.

    Args:
        folder: the dataset.
        settings: settings of the dataset.
        task: number of the chunk in the plan, and the chunk.
    """
    number, chunk = task
    counts = BuildCounts()
    rows = rows_by_source(folder, number)

    def records() -> Iterator[PairRecord]:
        for source in chunk.sources:
            for record in _photograph(source, rows.get(source.id, []), settings, counts):
                counts.keep(record)
                yield record

    stream = records()
    first = next(stream, None)
    n_pairs = 0
    if first is not None:  # a shard without rows is not written, because ``datasets`` cannot read one
        n_pairs = write_shard(chunk.shard(folder), itertools.chain([first], stream))
    return chunk.finish(folder, n_pairs, counts, {})


def _rows(chunk: Chunk, settings: DatasetSettings) -> list[PlannedEdit]:
    """Return a chunk's rows of the plan, for the embedded editor."""
    return [
        row
        for source in chunk.sources
        for view in range(settings.views)
        for row in plan_view(source.id, source.split, view, settings.variants, settings.seed)
    ]


def build(
    photographs: list[Path],
    folder: Path,
    settings: DatasetSettings,
    *,
    workers: int = 1,
    engine: str = "local",
    panel: Panel | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    tell: Callable[[str], object] = lambda line: None,
    licences: Mapping[Path, str] | None = None,
    rules: PhotographRules = ANY_PHOTOGRAPH,
    scorer: PhotographScorer | None = None,
) -> dict[str, Any]:
    """Build a RED dataset, or finish one that was interrupted.

    If several processes build the same folder, one works and the others wait.

    Args:
        photographs: files, folders, lists, shards and tables, as
            :func:`~redaes.datagen.photograph_files.find` takes them.
        folder: the dataset; it is created, or continued if it was begun with the same settings and photographs.
        settings: settings of the dataset.
        workers: number of processes, or Ray actors.
        engine: the engine that does the work, one of ``ENGINES``; the result is the same.
        panel: editors that follow instructions, and models that judge; None means the embedded editor, measured.
        progress: called with the number of photographs done and the number of all photographs.
        tell: called every second, from a thread, with a line about the progress of a panel's work.
        licences: licences by path, for photographs in a folder without ``LICENCES.csv``.
        rules: rules for which photographs are used.
        scorer: balances the quality of the photographs drawn if there are more than the rules want.

    Returns:
        The report that is also written to ``report.json``.

    Raises:
        InputError: photographs or settings cannot be used.
        RecordError: the folder holds another dataset, or cannot be written to.
    """
    if workers < 1:
        raise InputError(f"workers is {workers}; give at least 1")
    if engine not in ENGINES:
        raise InputError(f"engine is {engine!r}; give one of {', '.join(ENGINES)}")
    if panel is not None and panel.planner is not None:
        check_plannable(settings.variants)
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
        return _build(curation, folder, settings, panel, engine, workers, progress, tell)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock a dataset's folder, which is created if absent, and delete leftovers of a process that was killed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        lock.acquire()
    except OSError as error:
        raise RecordError(f"{folder} cannot be written: {error.strerror}; choose another output folder") from error
    try:
        for leftover in folder.rglob(".*.tmp"):
            leftover.unlink(missing_ok=True)  # a worker of a killed run may still be ending and delete it, too
        yield
    finally:
        lock.release()


def _build(
    curation: Curation,
    folder: Path,
    settings: DatasetSettings,
    panel: Panel | None,
    engine: str,
    workers: int,
    progress: Callable[[int, int], None],
    tell: Callable[[str], object],
) -> dict[str, Any]:
    chunks = list(chunks_of(curation.sources))
    _claim(folder, curation.sources, settings, panel)
    if panel is None and not (folder / PLAN).exists():
        write_plan(folder / PLAN, (_rows(chunk, settings) for chunk in chunks))
    # A panel's work is planned chunk by chunk, and the plan is joined at the end.
    in_parts = not (folder / PLAN).exists()
    counts: dict[str, dict[str, Any]] = {}
    for chunk in chunks:
        found = chunk.result(folder)
        if found is not None and (not in_parts or chunk.plan_part(folder).exists()):
            counts[chunk.name] = found

    def report_progress() -> None:
        finished = sum(len(chunk.sources) for chunk in chunks if chunk.name in counts)
        progress(finished, len(curation.sources))

    def take(task: tuple[int, Chunk], result: dict[str, Any]) -> None:
        counts[task[1].name] = result
        report_progress()

    report_progress()
    missing = [(number, chunk) for number, chunk in enumerate(chunks) if chunk.name not in counts]
    if panel is not None and missing:
        for note in check_servers(panel):
            LOG.warning(note)
        job = PanelJob(panel, folder, settings, begin_run(folder))
        n_views = sum(len(chunk.sources) for _, chunk in missing) * settings.views
        with FunnelWatch(job.run, n_views, tell):
            run_panel(job, missing, take, engine=engine, workers=workers)
    elif panel is None:
        for task, result in ENGINES[engine](functools.partial(write_chunk, folder, settings), missing, workers):
            take(task, result)
    if in_parts:
        write_plan(folder / PLAN, (read_plan(chunk.plan_part(folder), 0) for chunk in chunks))
    shutil.rmtree(folder / PLAN_PARTS, ignore_errors=True)
    planning = folder / "planning.json"  # of older datasets, whose panel planned everything before editing began
    planned = read_json(planning) if planning.exists() else {"rejected": {}, "failed": []}
    report = _report(curation.rejected, curation.sources, planned, counts)
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
    if panel is not None:
        report["work"] = work_report(read_runs(folder), panel.prices())
    write_json(folder / "report.json", report)
    write_card(
        folder, report, settings=settings.model_dump(), editor=EDITOR if panel is None else ", ".join(panel.editors)
    )
    return report


def _claim(folder: Path, sources: list[Source], settings: DatasetSettings, panel: Panel | None) -> None:
    """Write down what the folder is going to hold, or compare it with what was written there before.

    Raises:
        RecordError: the folder holds another dataset; the message says what differs.
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
            f"{folder} holds a dataset of schema version {before.get('schema', 2)}, which can be read but not "
            f"continued, because this version of redaes writes version {SCHEMA_VERSION}; choose another output folder"
        )
    if not isinstance(before, dict) or set(before) != set(plan):
        raise RecordError(f"{file} is damaged; delete {folder} and build again")
    # The split follows from the settings, so only the ids of photographs are compared.
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
