"""The chunks in which a dataset is built: each is a number of photographs, whose pairs make one shard."""

from __future__ import annotations

import itertools
import queue
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from redaes.datagen.dataset_settings import DatasetSettings
from redaes.datagen.picture_groups import BuildCounts
from redaes.datagen.plan import CROP_SCALE, PLAN, PlannedEdit, read_plan
from redaes.datagen.sources import Source
from redaes.errors import InputError
from redaes.file_writing import read_json, write_json
from redaes.images import MAX_PIXELS, LoadedImage
from redaes.records import PairRecord, write_shard
from redaes.types import SPLITS

PHOTOGRAPHS_PER_SHARD = 16

PLAN_PARTS = "plan"
"""Folder of a dataset that holds the plans of single chunks, if they are planned one by one, until all are done."""


@dataclass(frozen=True)
class Chunk:
    """Some photographs of one split, whose pairs become one shard."""

    name: str
    """Name of the shard, such as ``train-00000``."""
    sources: tuple[Source, ...]

    def shard(self, folder: Path) -> Path:
        """Return the file of its pairs in the dataset ``folder``; a chunk without pairs has no such file."""
        return folder / "data" / f"{self.name}.parquet"

    def result_file(self, folder: Path) -> Path:
        """Return the file of its counts, which is written last."""
        return folder / "shards" / f"{self.name}.json"

    def plan_part(self, folder: Path) -> Path:
        """Return the file of its own rows of the plan, which is used if there is no plan of the whole dataset."""
        return folder / PLAN_PARTS / f"{self.name}.parquet"

    def result(self, folder: Path) -> dict[str, Any] | None:
        """Return the counts of a chunk that is done; None if it is not done.

        Raises:
            RecordError: the counts cannot be read.
        """
        if not self.result_file(folder).exists():
            return None
        found: dict[str, Any] = read_json(self.result_file(folder))
        return found if not found["pairs"] or self.shard(folder).exists() else None

    def finish(self, folder: Path, n_pairs: int, counts: BuildCounts, asked: Mapping[str, int]) -> dict[str, Any]:
        """Write the chunk's counts, after its shard, and return them."""
        result = {
            "pairs": n_pairs,
            "kept": dict(sorted(counts.kept.items())),
            "rejected": dict(sorted(counts.rejected.items())),
            "failed": counts.failed,
            "asked": dict(sorted(asked.items())),
        }
        write_json(self.result_file(folder), result)
        return result


def chunks_of(sources: Sequence[Source]) -> Iterator[Chunk]:
    """Yield the chunks of a dataset, in order."""
    for split in SPLITS:
        mine = [source for source in sources if source.split == split]
        for number, start in enumerate(range(0, len(mine), PHOTOGRAPHS_PER_SHARD)):
            yield Chunk(f"{split}-{number:05d}", tuple(mine[start : start + PHOTOGRAPHS_PER_SHARD]))


def rows_by_source(folder: Path, chunk: int) -> dict[str, list[PlannedEdit]]:
    """Return a chunk's rows of the plan by photograph; a photograph for which nothing was planned is not among them.

    Raises:
        RecordError: the plan is absent or damaged.
    """
    rows = read_plan(folder / PLAN, chunk)
    return {source: list(its) for source, its in itertools.groupby(rows, key=lambda planned: planned.source)}


def load_photograph(source: Source, settings: DatasetSettings) -> LoadedImage:
    """Return a photograph at the size that its views need: if it is large enough, its smallest crop still has
    ``max_side`` pixels.

    Raises:
        ImageError: it cannot be used.
        InputError: its file has changed since the dataset was begun.
    """
    loaded = source.load(max_pixels=min(MAX_PIXELS, round(settings.max_side / CROP_SCALE[0]) ** 2))
    if loaded.ref.id != source.id:
        raise InputError(f"{source.path} changed while the dataset was being built; start again")
    return loaded


class ShardWriter:
    """Writes a shard in a thread of its own while its pairs are still being made. The shard is written whole or not at
    all.

    It is a context manager: after an error nothing is left of the shard.
    """

    def __init__(self, path: Path, *, optional: Sequence[str] = ()) -> None:
        """
        Args:
            path: path of the shard.
            optional: names of its columns beyond those that every dataset has.
        """
        self._optional = tuple(optional)
        self._path = path
        self._records: queue.SimpleQueue[PairRecord | None] = queue.SimpleQueue()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"shard {path.stem}")
        self._written: Future[int] | None = None
        self._is_whole = False

    def put(self, records: Sequence[PairRecord]) -> None:
        """Add pairs, in the order in which the shard holds them.

        Raises:
            RecordError: the folder cannot be written to.
        """
        for record in records:
            if self._written is not None and self._written.done():
                self._written.result()  # the thread ends before it is told to only if it fails; this raises its error
            if self._written is None:  # the file is begun at the first pair: ``datasets`` reads no shard without rows
                self._written = self._thread.submit(write_shard, self._path, self._taken(), optional=self._optional)
            self._records.put(record)

    def close(self) -> int:
        """Finish the shard, wait until it is on the disk, and return its number of pairs.

        Raises:
            RecordError: the folder cannot be written to.
        """
        self._is_whole = True
        self._records.put(None)
        return 0 if self._written is None else self._written.result()

    def _taken(self) -> Iterator[PairRecord]:
        while (record := self._records.get()) is not None:
            yield record
        if not self._is_whole:
            raise _Abandoned

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._is_whole:
            self._records.put(None)
        self._thread.shutdown()


class _Abandoned(Exception):
    """Ends the writing of a shard that will not be completed."""
