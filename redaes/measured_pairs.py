"""Measurements of a dataset's pairs, made once and kept beside the copies that ``datasets`` makes.

Each pair has a line with its name, a hash of the contents of its two pictures, and its evidence as JSON. The folder is
named by the contents of the shard and the version of the formulas, so other pictures or formulas are measured anew, and
what a killed process has measured is kept for the next one. Processes of one run share the work.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from redaes.errors import ImageError, RecordError
from redaes.evidence.measurements import VERSION, Measurements, PairEvidence
from redaes.images import decode_image
from redaes.records import PairRecord, check_ids, operations_of, record_of, shards, stream_rows
from redaes.table_cache import not_writable, results_of
from redaes.types import Pair, Split

_NAME_LENGTH = 32
"""Number of characters of a pair's name; a space and its evidence follow."""

_LIGHT = ("first_id", "second_id", "group", "edit_first", "edit_second")
"""Columns that show whether a row has to be measured."""

GROUPS_AHEAD = 4
"""Number of groups of pairs that are read ahead, for each worker."""


@dataclass(frozen=True)
class MeasuredPairs:
    """The places in files of the evidence of a split's pairs. The evidence is read when it is asked for."""

    places: dict[str, tuple[Path, int]]
    """For each pair's name the file that has its line, and the byte at which the line begins."""

    def evidence(self, pair: Pair) -> PairEvidence | None:
        """Return the measurements of a pair, in the order of its row; None: it was not measured.

        Raises:
            RecordError: the evidence was kept and is gone.
        """
        place = self.places.get(_name(pair))
        if place is None:
            return None
        file, start = place
        try:
            with file.open("rb") as stream:
                stream.seek(start + _NAME_LENGTH)
                return PairEvidence.model_validate_json(stream.readline())
        except (OSError, ValidationError) as error:
            raise RecordError(
                f"{file} no longer contains its measurements ({error}); run the command again to measure the pictures "
                "again"
            ) from error


def measured_pairs(
    folder: Path,
    split: Split,
    *,
    leave_out: Collection[str] = (),
    only: Collection[str] | None = None,
    share: tuple[int, int] = (0, 1),
    workers: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> MeasuredPairs:
    """Measure the pairs of a split that were not measured before.

    Rows that cannot be read, and pictures that do not decode, are skipped: the checks of a dataset report them.

    Args:
        folder: folder of the dataset.
        split: the split to measure.
        leave_out: operations; rows with one of them are not measured.
        only: groups whose pairs are measured; None: all groups.
        share: number of this process, and the number of processes that measure the split together; each takes its share
            of the groups. A last call with (0, 1), when all are done, finds everything.
        workers: number of threads that measure.
        progress: called with the number of pairs of this share that are measured, and the number of all its pairs.

    Raises:
        RecordError: there is no dataset, a shard is not Parquet, or the cache cannot be written to.
    """
    wanted = _Wanted(frozenset(leave_out), None if only is None else frozenset(only), share)
    kept: dict[str, tuple[Path, int]] = {}
    missing: list[tuple[Path, Path, set[str]]] = []
    n_done = n_all = 0
    for file in shards(folder, split):
        place = results_of(file, VERSION)
        there = _read(place)
        kept |= there
        own = {_name_of(row["first_id"], row["second_id"]) for row in stream_rows(file, _LIGHT) if wanted.has(row)}
        n_all += len(own)
        n_done += len(own & there.keys())
        if own - there.keys():
            missing.append((file, place, own - there.keys()))
    progress(n_done, n_all)
    for file, place, names in missing:
        for n_new in _measure(file, split, place, names, workers):
            n_done += n_new
            progress(n_done, n_all)
        kept |= _read(place)
    return MeasuredPairs(kept)


def _name(pair: Pair) -> str:
    return _name_of(pair.first.id, pair.second.id)


def _name_of(first: str, second: str) -> str:
    return hashlib.sha256(f"{first} {second}".encode()).hexdigest()[:_NAME_LENGTH]


def _read(place: Path) -> dict[str, tuple[Path, int]]:
    """Return the pairs that are kept in a folder. A line that a killed process did not finish does not count."""
    found: dict[str, tuple[Path, int]] = {}
    for file in sorted(place.glob("*.jsonl")):
        start = 0
        with file.open("rb") as stream:
            for line in stream:
                if line.endswith(b"\n"):
                    found[line[:_NAME_LENGTH].decode()] = file, start
                start += len(line)
    return found


@dataclass(frozen=True)
class _Wanted:
    """The rows that this process has to measure."""

    leave_out: frozenset[str]
    only: frozenset[str] | None
    share: tuple[int, int]

    def has(self, row: dict[str, Any]) -> bool:
        """Return whether a row is one of them."""
        if row["first_id"] is None or row["second_id"] is None:
            return False
        group = str(row["group"])
        if self.only is not None and group not in self.only:
            return False
        number, n_shares = self.share
        if hashlib.sha256(group.encode()).digest()[0] % n_shares != number:
            return False
        return not self.leave_out or self.leave_out.isdisjoint(operations_of(row))


def _measure(file: Path, split: Split, place: Path, names: set[str], workers: int) -> Iterator[int]:
    """Measure pairs of a shard into a file of this process; yield the number of pairs of each group."""
    path = place / f"{secrets.token_hex(8)}.jsonl"
    with ExitStack() as stack:
        try:
            stream = stack.enter_context(path.open("ab"))
        except OSError as error:
            raise not_writable(error) from error
        stack.enter_context(_one_thread_each())
        pool = stack.enter_context(ThreadPoolExecutor(workers))
        waiting: list[Future[list[bytes]]] = []
        for records in _groups(file, split, names):
            waiting.append(pool.submit(_lines, records))
            if len(waiting) > GROUPS_AHEAD * workers:
                yield _write(stream, waiting.pop(0).result())
        for future in waiting:
            yield _write(stream, future.result())


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Keep OpenCV from starting its own threads beside those that measure."""
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _write(stream: IO[bytes], lines: Sequence[bytes]) -> int:
    try:
        stream.write(b"".join(lines))
        stream.flush()
    except OSError as error:
        raise not_writable(error) from error
    return len(lines)


def _groups(file: Path, split: Split, names: set[str]) -> Iterator[list[PairRecord]]:
    """Yield records with these names, those of a ranking group together where they follow each other."""
    for _, rows in groupby(stream_rows(file), key=lambda row: row["group"]):
        records: list[PairRecord] = []
        for row in rows:
            try:
                record = record_of(row, split)
                if _name(record.pair) not in names:
                    continue
                check_ids(record)
            except (RecordError, TypeError):
                continue  # the row is faulty; the checks of a dataset report it
            records.append(record)
        if records:
            yield records


def _lines(records: Sequence[PairRecord]) -> list[bytes]:
    """Measure the pairs of a group, each picture once, and write a line about each."""
    from redaes.evidence.pair import measure_pair
    from redaes.evidence.pair.registration import Points
    from redaes.evidence.picture import measure

    pictures: dict[str, tuple[NDArray[np.uint8], Measurements]] = {}
    points = Points()
    lines: list[bytes] = []
    for record in records:
        pair = record.pair
        try:
            for ref, data in ((pair.first, record.first_bytes), (pair.second, record.second_bytes)):
                if ref.id not in pictures:
                    pixels = np.asarray(decode_image(data, ref.path).image)
                    pictures[ref.id] = pixels, measure(pixels)
        except ImageError:
            continue  # likewise reported by the checks of a dataset
        (first, of_first), (second, of_second) = pictures[pair.first.id], pictures[pair.second.id]
        evidence = measure_pair(first, second, measured=(of_first, of_second), points=points)
        lines.append(f"{_name(pair)} {evidence.model_dump_json()}\n".encode())
    return lines
