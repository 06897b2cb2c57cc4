"""A worker of a panel: leads views of photographs through the stages, many at once.

==========  ==========================  ======================================================================
stage       works on                    with
==========  ==========================  ======================================================================
plan        a photograph                the planner, where there is one
edit        a view, as all below        the editors: as many at once as they have devices
filter                                  this machine's cores
check                                   the checker
judge                                   all judges at once
measure                                 this machine's cores
write                                   the writer
==========  ==========================  ======================================================================

What is made of a view depends on the view and on what models answer, not on what else is under way, and pairs stand in
the order of the plan. So the dataset is the same whatever comes first.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from PIL import Image

from redaes.backends.at_once import together
from redaes.cores import free_cores
from redaes.datagen.chunks import PHOTOGRAPHS_PER_SHARD, Chunk, ShardWriter, load_photograph, rows_by_source
from redaes.datagen.dataset_settings import DatasetSettings
from redaes.datagen.funnel import Funnel, Use
from redaes.datagen.judging_stage import Jury, LabelledPart, labelled_view
from redaes.datagen.panel import Panel, PanelModels
from redaes.datagen.panel_groups import (
    MadeEdit,
    PairToExplain,
    ViewPicture,
    edits_of,
    executed,
    judged_pairs,
    plan_judged_views,
    records_of,
    texts_of,
    unrejected,
    view_of,
    view_pictures,
)
from redaes.datagen.passing import Passage, WorkStage
from redaes.datagen.picture_groups import BuildCounts
from redaes.datagen.plan import PLAN, PlannedEdit, write_plan
from redaes.datagen.sources import Source
from redaes.errors import RedaesError
from redaes.records import PairRecord

Made = TypeVar("Made")

REQUESTS_A_VIEW = 4
"""Fewer than a view asks of a model at once, nearly always: so many views keep its servers busy."""

MIN_ASKING = 4
"""Views at once in a stage that asks, at least: their answers take different times."""


@dataclass
class _Made:
    """What came of a photograph, or of a view."""

    rows: list[PlannedEdit] = field(default_factory=list)
    records: list[PairRecord] = field(default_factory=list)
    counts: BuildCounts = field(default_factory=BuildCounts)


class PanelWorker:
    """Makes the shards of a judged dataset. Used as ``async with worker: …``; shards may be made at once."""

    def __init__(
        self, panel: Panel, folder: Path, settings: DatasetSettings, run: Path, devices: Sequence[str] = ()
    ) -> None:
        """
        Args:
            panel: who edits, judges and writes.
            folder: the dataset.
            settings: settings of the dataset.
            run: folder of the run's figures.
            devices: where this worker's editors work; none: one copy of each, wherever it finds a place.

        Raises:
            InputError, BackendError, MissingDependency: a judge that cannot be had.
        """
        self.models = PanelModels(panel, folder, devices)
        self.panel = panel
        self.folder = folder
        self.settings = settings
        n_requests = max((use.capacity for use in self.models.uses().values()), default=0)
        asking = max(MIN_ASKING, math.ceil(n_requests / REQUESTS_A_VIEW))
        n_editors = self.models.editors.n_lanes
        cores = max(1, free_cores())
        self.stages = {
            stage.name: stage
            for stage in (
                WorkStage("plan", asking, 0),
                # Two views more than editors: one is being handed on, one is there when an editor comes free.
                WorkStage("edit", n_editors + 2, n_editors),
                WorkStage("filter", cores, 1),
                WorkStage("check", asking, 1),
                WorkStage("judge", asking, 1),
                WorkStage("measure", cores, 1),
                WorkStage("write", asking, 1),
            )
        }
        self.funnel = Funnel(run, self._uses, self.models.counts)
        self._jury = Jury(self.models.judges, asking)
        # Their own threads: what is asked of servers is encoded and stored in the loop's.
        self._cores = ThreadPoolExecutor(cores, thread_name_prefix="measuring")
        self._counted: Counter[str] = Counter()

    def _uses(self) -> dict[str, Use]:
        """Return what each resource has done."""
        here = (self.stages["filter"], self.stages["measure"])
        at_work = {stage.name: Use(stage.at_once, stage.busy_s, stage.n_done) for stage in here}
        pool = self.models.editors
        return {"editors": Use(pool.n_lanes, sum(pool.busy_s), pool.n_edits), **at_work, **self.models.uses()}

    @property
    def n_chunks_ahead(self) -> int:
        """Chunks that are made at once so that no stage ever lacks views."""
        n_views = sum(stage.places for stage in self.stages.values())
        return 2 + math.ceil(n_views / (PHOTOGRAPHS_PER_SHARD * self.settings.views))

    async def __aenter__(self) -> PanelWorker:
        await self.models.__aenter__()
        try:
            self.funnel.__enter__()
        except RedaesError:
            await self.models.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._jury.close()
        self._cores.shutdown(wait=False, cancel_futures=True)
        await self.models.__aexit__(kind, error, traceback)
        self.funnel.__exit__(kind, error, traceback)

    async def write_chunk(self, number: int, chunk: Chunk) -> dict[str, Any]:
        """Make one shard, the rows of its plan and its counts; returns the latter.

        Args:
            number: number of the chunk in the dataset's plan, if that is there already.
            chunk: the photographs.

        Raises:
            RedaesError: a model cannot be asked at all, a budget is spent, or the folder cannot be written to.
        """
        rows = None
        if (self.folder / PLAN).exists():
            rows = await asyncio.to_thread(rows_by_source, self.folder, number)
        counts = BuildCounts()
        plan: list[PlannedEdit] = []
        ready: dict[int, _Made] = {}
        place = 0
        with ShardWriter(chunk.shard(self.folder), optional=self.panel.optional_columns) as shard:

            async def photograph(number: int, source: Source) -> None:
                nonlocal place
                made = await self._photograph(source, None if rows is None else rows.get(source.id, []))
                self.funnel.add("photographs")
                # Views of which nothing was planned are done with, too.
                self.funnel.add("views", self.settings.views - len({row.view for row in made.rows}))
                ready[number] = made
                while place in ready:
                    its = ready.pop(place)
                    place += 1
                    counts.add(its.counts)
                    plan.extend(its.rows)
                    shard.put(its.records)

            await together([photograph(number, source) for number, source in enumerate(chunk.sources)])
            if rows is None:
                await asyncio.to_thread(write_plan, chunk.plan_part(self.folder), [plan])
            n_pairs = await asyncio.to_thread(shard.close)
        now = self.models.counts()
        asked, self._counted = now - self._counted, now
        return await asyncio.to_thread(chunk.finish, self.folder, n_pairs, counts, asked)

    async def _photograph(self, source: Source, rows: list[PlannedEdit] | None) -> _Made:
        """Return all kept pairs of one photograph, which is decoded once.

        Args:
            source: the photograph.
            rows: its rows of the plan; None: they are still to be planned.
        """
        made = _Made()
        views: list[asyncio.Task[_Made]] = []
        try:
            with Passage() as way:
                await way.enter(self.stages["plan"])
                if rows == []:
                    return made
                try:
                    image = (await asyncio.to_thread(load_photograph, source, self.settings)).image
                except RedaesError as error:
                    made.counts.fail(source.id, error)
                    return made
                made.rows = rows or await plan_judged_views(image, source, self.settings, self.models, made.counts)
                self.funnel.add("planned", len(made.rows))
                for _, its in itertools.groupby(made.rows, key=lambda planned: planned.view):
                    view = list(its)
                    reference = await asyncio.to_thread(view_of, image, view[0].frame, self.settings)
                    # The photograph stays where it is until its last view has found a place.
                    begun = Passage()
                    await begun.queue(self.stages["edit"])
                    views.append(asyncio.ensure_future(self._view(begun, reference, view, source)))
            for found in await asyncio.gather(*views):
                made.records += found.records
                made.counts.add(found.counts)
            return made
        finally:
            for task in views:
                task.cancel()
            await asyncio.gather(*views, return_exceptions=True)

    async def _view(self, way: Passage, reference: Image.Image, rows: list[PlannedEdit], source: Source) -> _Made:
        """Return all kept pairs of one view.

        Args:
            way: in the queue of the stage that edits.
            reference: what the view shows of its photograph.
            rows: the view's rows of the plan.
            source: the photograph.
        """
        made = _Made()
        await self._lead(way, reference, rows, source, made)
        self.funnel.add("views")
        return made

    async def _lead(
        self, way: Passage, reference: Image.Image, rows: list[PlannedEdit], source: Source, made: _Made
    ) -> None:
        """Lead a view through the stages, from the one that edits to the one that writes."""
        counts, group, panel = made.counts, rows[0].group, self.panel
        with way:
            await way.begin()
            edits = await edits_of(reference, rows, self.models)
            self.funnel.add("edited", sum(each.outcome.image is not None for each in edits))
            await way.enter(self.stages["filter"])
            pictures = await self._computed(self._filtered, reference, edits, counts)
            if panel.checker_entry is not None:
                await way.enter(self.stages["check"])
                pictures = await executed(pictures, self.models, panel.checker_entry, counts)
            self.funnel.add("passed", len(pictures) - 1)
            if len(pictures) == 1:
                return
            await way.enter(self.stages["judge"])
            members = [each.member for each in pictures]
            shown = {each.member.key: each.shown for each in pictures}
            found = await labelled_view(group, members, shown, self._jury, panel, counts)
            self.funnel.add("judged", found.n_judged)
            if not found.parts:
                return
            await way.enter(self.stages["measure"])
            pairs = await self._computed(_measured, found.parts, pictures, source, group)
            await way.enter(self.stages["write"])
            texts = await texts_of(pairs, self.models)
            made.records = await asyncio.to_thread(
                records_of, pairs, texts, source, group, panel.writer_entry.model, counts
            )
            for record in made.records:
                counts.keep(record)
            self.funnel.add("kept", len(made.records))

    async def _computed(self, work: Callable[..., Made], *args: Any) -> Made:
        """Return what is computed here, on one of the cores."""
        return await asyncio.get_running_loop().run_in_executor(self._cores, work, *args)

    def _filtered(self, reference: Image.Image, edits: Sequence[MadeEdit], counts: BuildCounts) -> list[ViewPicture]:
        """Return the reference, and what measurements hold nothing against."""
        passed = unrejected(reference, edits, self.models.similarity, self.panel.min_similarity, counts)
        pictures = view_pictures(reference, passed)
        for picture in pictures:
            picture.shown.id  # noqa: B018  # the hash by which answers are kept: not to be taken on the event loop
        return pictures


def _measured(
    found: Sequence[LabelledPart], pictures: Sequence[ViewPicture], source: Source, group: str
) -> list[PairToExplain]:
    pairs = judged_pairs(found, pictures, source, group)
    for picture in pictures:
        picture.member.stored.forget_pixels()
    return pairs
