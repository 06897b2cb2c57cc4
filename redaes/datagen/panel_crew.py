"""Who makes the shards of a judged dataset: workers in this process, in several, or on several machines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redaes.datagen.chunks import Chunk
from redaes.datagen.dataset_settings import DatasetSettings
from redaes.datagen.panel import Panel
from redaes.datagen.panel_worker import PanelWorker
from redaes.datagen.passing import work_off

NumberedChunk = tuple[int, Chunk]
"""A chunk, and its number in the dataset's plan."""

Take = Callable[[NumberedChunk, dict[str, Any]], None]
"""Is told of each chunk that is done, and its counts, in any order."""


@dataclass(frozen=True)
class PanelJob:
    """A dataset that is to be made."""

    panel: Panel
    folder: Path
    settings: DatasetSettings
    run: Path
    """Folder of the run's figures."""

    def worker(self, number: int, n: int) -> PanelWorker:
        """One of ``n`` workers of this machine, with its share of the editors' devices."""
        return PanelWorker(self.panel, self.folder, self.settings, self.run, self.panel.editor_devices[number::n])


def run_panel(job: PanelJob, tasks: Sequence[NumberedChunk], take: Take, *, engine: str, workers: int) -> None:
    """Make the chunks.

    Args:
        job: what they belong to.
        tasks: those that are missing.
        take: is told what became of each.
        engine: one of ``redaes.datagen.engine.ENGINES``.
        workers: of the engine.

    Raises:
        RedaesError: what a worker met; chunks that are done are on disk.
    """
    if tasks:
        asyncio.run(_here(job, tasks, take))


async def _here(job: PanelJob, tasks: Sequence[NumberedChunk], take: Take) -> None:
    async with job.worker(0, 1) as worker:

        async def make(task: NumberedChunk) -> None:
            take(task, await worker.write_chunk(*task))

        await work_off(make, tasks, worker.n_chunks_ahead)
