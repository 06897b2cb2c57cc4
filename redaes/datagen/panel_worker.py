"""A worker of a panel: it leads many views of photographs at once through the stages.

==========  ==========================  ======================================================================
stage       works on                    with
==========  ==========================  ======================================================================
plan        a photograph                the planner, if there is one
edit        a view, as all below        the editors; as many at once as they have devices
filter                                  this machine's cores
check                                   the checker
judge                                   all judges at once
measure                                 this machine's cores
write                                   the writer
==========  ==========================  ======================================================================

The pictures and texts of a view depend on the view and on the models' answers, not on other work at the same time, and
pairs are stored in the order of the plan. So the dataset is the same in whatever order the work is done.
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
"""Assumed number of requests of a view to a model at once; views nearly always make more. It tells how many views keep
its servers busy.
"""

MIN_ASKING = 4
"""Smallest number of views at once in a stage that asks models, because answers take different times."""


@dataclass
class _Made:
    """The result for a photograph, or for a view."""

    rows: list[PlannedEdit] = field(default_factory=list)
    records: list[PairRecord] = field(default_factory=list)
    counts: BuildCounts = field(default_factory=BuildCounts)


class PanelWorker:
    """Makes the shards of a judged dataset. It is used as ``async with worker: …``; shards may be made at once."""

    def __init__(
        self, panel: Panel, folder: Path, settings: DatasetSettings, run: Path, devices: Sequence[str] = ()
    ) -> None:
        """
        Args:
            panel: the panel.
            folder: the dataset.
            settings: settings of the dataset.
            run: folder for the figures of the run.
            devices: devices of this worker's editors; if empty, there is one copy of each, on the device that it
                chooses.

        Raises:
            InputError, BackendError, MissingDependency: a judge cannot be loaded.
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
                # Two more views than editors: one is being passed on, and one is ready when an editor becomes free.
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
        # Separate threads, since the loop's own threads encode and store what is sent to servers.
        self._cores = ThreadPoolExecutor(cores, thread_name_prefix="measuring")
        self._counted: Counter[str] = Counter()

    def _uses(self) -> dict[str, Use]:
        """Return how much each resource was used."""
        here = (self.stages["filter"], self.stages["measure"])
        at_work = {stage.name: Use(stage.at_once, stage.busy_s, stage.n_done) for stage in here}
        pool = self.models.editors
        return {"editors": Use(pool.n_lanes, sum(pool.busy_s), pool.n_edits), **at_work, **self.models.uses()}

    @property
    def n_chunks_ahead(self) -> int:
        """Number of chunks to make at once so that no stage ever lacks views."""
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
        """Write one shard, the chunk's rows of the plan and its counts, and return the counts.

        Args:
            number: number of the chunk in the dataset's plan; it is used if that plan exists.
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
                # Views for which nothing was planned count as finished, too.
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
            rows: its rows of the plan; None if they are still to be planned.
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
                    # The photograph keeps its place in this stage until its last view has entered the next.
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
            way: the view's way through the stages; it has queued for the stage that edits.
            reference: the view as a picture.
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
        """Lead a view through the stages, from editing to writing."""
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
        """Return the result of a computation on one of this machine's cores."""
        return await asyncio.get_running_loop().run_in_executor(self._cores, work, *args)

    def _filtered(self, reference: Image.Image, edits: Sequence[MadeEdit], counts: BuildCounts) -> list[ViewPicture]:
        """Return the reference and the edits that pass all measurements."""
        passed = unrejected(reference, edits, self.models.similarity, self.panel.min_similarity, counts)
        pictures = view_pictures(reference, passed)
        for picture in pictures:
            picture.shown.id  # noqa: B018  # computes the hash here, so that the event loop need not do it
        return pictures


def _measured(
    found: Sequence[LabelledPart], pictures: Sequence[ViewPicture], source: Source, group: str
) -> list[PairToExplain]:
    pairs = judged_pairs(found, pictures, source, group)
    for picture in pictures:
        picture.member.stored.forget_pixels()
    return pairs
