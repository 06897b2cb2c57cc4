"""Workers that make the shards of a judged dataset: in this process, in several processes, or on many machines.

A worker asks for chunks when it has room for them, so a fast one gets more than a slow one; the last chunks are kept
for workers that have none. Each chunk is written by the worker that made it, and only its counts are returned.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from redaes.backends.at_once import together
from redaes.datagen.chunks import Chunk
from redaes.datagen.dataset_settings import DatasetSettings
from redaes.datagen.engine import one_thread, ray_cluster
from redaes.datagen.panel import Panel
from redaes.datagen.panel_worker import PanelWorker
from redaes.datagen.passing import work_off
from redaes.errors import InputError, RedaesError
from redaes.processes import end_with_parent

NumberedChunk = tuple[int, Chunk]
"""A chunk, and its number in the dataset's plan."""

Take = Callable[[NumberedChunk, dict[str, Any]], None]
"""A function that is called with each finished chunk and its counts, in any order."""

LOOK_EVERY_S = 0.5
"""Seconds between two checks, by a thread that waits for the parent's answer, whether its own process is ending."""

DEATHS_A_WORKER = 3
"""Number of Ray actors that may die for each wanted one. Machines may be lost, but if actors die again and again, the
work itself is the cause.
"""


@dataclass(frozen=True)
class PanelJob:
    """A dataset to be made."""

    panel: Panel
    folder: Path
    settings: DatasetSettings
    run: Path
    """Folder for the figures of this run."""

    def worker(self, devices: Sequence[str]) -> PanelWorker:
        """Return a worker whose editors work on these devices."""
        return PanelWorker(self.panel, self.folder, self.settings, self.run, devices)


def run_panel(job: PanelJob, tasks: Sequence[NumberedChunk], take: Take, *, engine: str, workers: int) -> None:
    """Make the chunks.

    Args:
        job: the dataset to which the chunks belong.
        tasks: the chunks that are missing.
        take: called with each finished chunk and its counts.
        engine: one of ``redaes.datagen.engine.ENGINES``.
        workers: number of workers.

    Raises:
        InputError: there are fewer devices for editors than processes.
        RedaesError: a worker failed; finished chunks are on disk.
    """
    n_devices = len(job.panel.editor_devices)
    if engine == "local" and 0 < n_devices < workers:
        raise InputError(f"there are {workers} workers and {n_devices} editor_devices; give each at least one")
    if not tasks:
        return
    if engine == "ray":
        _on_ray(job, tasks, take, workers)
    elif workers == 1 or len(tasks) == 1:
        asyncio.run(_here(job, tasks, take))
    else:
        _in_processes(job, tasks, take, min(workers, len(tasks)))


async def _here(job: PanelJob, tasks: Sequence[NumberedChunk], take: Take) -> None:
    async with job.worker(job.panel.editor_devices) as worker:

        async def make(task: NumberedChunk) -> None:
            take(task, await worker.write_chunk(*task))

        await work_off(make, tasks, worker.n_chunks_ahead)


@dataclass(frozen=True)
class _Carried:
    """An error in a form that can be sent between processes: most of our errors cannot be pickled, because they are
    constructed from more than their message."""

    kind: type[RedaesError]
    message: str
    attributes: dict[str, Any]

    @classmethod
    def of(cls, error: RedaesError) -> _Carried:
        return cls(type(error), str(error), dict(vars(error)))

    def error(self) -> RedaesError:
        made = self.kind.__new__(self.kind, self.message)
        vars(made).update(self.attributes)
        return made


# --- Processes of this machine ------------------------------------------------------------------------


@dataclass
class _Process:
    """A worker's process, as its parent sees it."""

    process: Any
    pipe: Connection
    n_held: int = 0
    is_asking: bool = False


def _in_processes(job: PanelJob, tasks: Sequence[NumberedChunk], take: Take, workers: int) -> None:
    # Spawned, because a fork of a process with threads (Arrow's, torch's) can hang.
    context = multiprocessing.get_context("spawn")
    crew: list[_Process] = []
    try:
        for number in range(workers):
            ours, theirs = context.Pipe()
            devices = job.panel.editor_devices[number::workers]
            process = context.Process(target=_serve, args=(theirs, job, devices), daemon=True)
            process.start()
            theirs.close()
            crew.append(_Process(process, ours))
        _hand_out(crew, deque(tasks), take)
        for each in crew:
            each.process.join()
    finally:
        for each in crew:
            each.pipe.close()
            if each.process.is_alive():
                each.process.terminate()
                each.process.join()


def _hand_out(crew: Sequence[_Process], left: deque[NumberedChunk], take: Take) -> None:
    """Answer each process that asks with a chunk, or with None if no chunk is left."""
    there = list(crew)
    while there:
        for pipe in wait([each.pipe for each in there]):
            each = next(one for one in there if one.pipe is pipe)
            try:
                message = each.pipe.recv()
            except (EOFError, ConnectionError):
                there.remove(each)
                each.process.join()
                if each.process.exitcode:
                    # A program that fails ends with 1 and has printed an error; one that is killed ends with a signal.
                    code = each.process.exitcode
                    why = "for the error above" if code == 1 else "possibly because memory ran out"
                    remedy = "what is done is kept" if code == 1 else "run again with fewer workers to go on"
                    raise RedaesError(f"a worker process ended with code {code}, {why}; {remedy}") from None
                continue
            if isinstance(message, _Carried):
                raise message.error()
            if message is not None:
                each.n_held -= 1
                take(*message)
            each.is_asking = True
        for each in there:
            n_without = sum(other.n_held == 0 for other in there if other is not each)
            # The last chunks are for processes that have none.
            if each.is_asking and (not left or not each.n_held or len(left) > n_without):
                each.pipe.send(left.popleft() if left else None)
                each.n_held += 1
                each.is_asking = False


def _serve(pipe: Connection, job: PanelJob, devices: Sequence[str]) -> None:
    """Do the work of a process."""
    # An interrupt at the terminal reaches all processes; the parent reports it once and ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()
    one_thread()
    try:
        asyncio.run(_served(pipe, job, devices))
    except RedaesError as error:
        pipe.send(_Carried.of(error))


async def _served(pipe: Connection, job: PanelJob, devices: Sequence[str]) -> None:
    loop, turn, thread = asyncio.get_running_loop(), asyncio.Lock(), ThreadPoolExecutor(1)
    is_over = threading.Event()

    def exchanged(done: tuple[NumberedChunk, dict[str, Any]] | None) -> NumberedChunk | None:
        pipe.send(done)
        # After an error nothing may wait for the parent, which waits for the end of this process.
        while not pipe.poll(LOOK_EVERY_S):
            if is_over.is_set():
                return None
        task: NumberedChunk | None = pipe.recv()
        return task

    try:
        async with job.worker(devices) as worker:

            async def hand() -> None:
                done = None
                while True:
                    async with turn:
                        task = await loop.run_in_executor(thread, exchanged, done)
                    if task is None:
                        return
                    done = task, await worker.write_chunk(*task)

            await together([hand() for _ in range(worker.n_chunks_ahead)])
    finally:
        is_over.set()


# --- Ray ----------------------------------------------------------------------------------------------


class _Actor:
    """A worker as a Ray actor; its calls share one event loop."""

    def __init__(self, job: PanelJob) -> None:
        one_thread()
        self._job = job
        self._worker: PanelWorker | None = None

    async def open(self) -> int | _Carried:
        """Open the worker, and return how many chunks it makes at once."""
        try:
            # Ray lets an actor see only its own GPU.
            self._worker = await self._job.worker(()).__aenter__()
        except RedaesError as error:
            return _Carried.of(error)
        return self._worker.n_chunks_ahead

    async def write(self, number: int, chunk: Chunk) -> dict[str, Any] | _Carried:
        """Make a chunk and return its counts, or the error that it raised."""
        assert self._worker is not None
        try:
            return await self._worker.write_chunk(number, chunk)
        except RedaesError as error:
            return _Carried.of(error)

    async def close(self) -> None:
        """Close the connections."""
        assert self._worker is not None
        await self._worker.__aexit__(None, None, None)


@dataclass
class _Hired:
    """An actor, as the driver sees it."""

    actor: Any
    n_ahead: int = 0
    """Number of chunks that it makes at once; 0 while it is not ready."""
    tasks: dict[Any, NumberedChunk] = field(default_factory=dict)
    """Its chunks, by the reference of the call."""


def _on_ray(job: PanelJob, tasks: Sequence[NumberedChunk], take: Take, workers: int) -> None:
    """Let Ray actors make the chunks. If one dies, others make its chunks, and another actor is started.

    Raises:
        RedaesError: actors die again and again.
    """
    with ray_cluster(workers) as ray:
        # An editor that needs a GPU has it to itself.
        has_gpus = ray.cluster_resources().get("GPU", 0) > 0 and set(job.panel.editors) != {"embedded"}
        hire = ray.remote(_Actor).options(num_cpus=1, num_gpus=1 if has_gpus else 0, max_concurrency=1000)
        left, crew, opening = deque(tasks), list[_Hired](), dict[Any, _Hired]()

        def take_on() -> None:
            hired = _Hired(hire.remote(job))
            crew.append(hired)
            opening[hired.actor.open.remote()] = hired

        def lose(hired: _Hired) -> None:
            if hired not in crew:
                return  # already known from another of its calls
            crew.remove(hired)
            left.extendleft(reversed(hired.tasks.values()))

        for _ in range(min(workers, len(tasks))):
            take_on()
        n_deaths = 0
        while left or any(hired.tasks for hired in crew):
            for hired, task in _shared_out(crew, left):
                hired.tasks[hired.actor.write.remote(*task)] = task
            calls = {reference: hired for hired in crew for reference in hired.tasks} | opening
            (reference,), _ = ray.wait(list(calls), num_returns=1)
            hired = calls[reference]
            try:
                found = ray.get(reference)
            except ray.exceptions.RayActorError as error:
                opening.pop(reference, None)
                lose(hired)
                n_deaths += 1
                if n_deaths > DEATHS_A_WORKER * workers:
                    raise RedaesError(
                        f"Ray: {n_deaths} actors have died, the last: {error}; run again to go on"
                    ) from error
                take_on()
                continue
            if isinstance(found, _Carried):
                raise found.error()
            if opening.pop(reference, None) is not None:
                hired.n_ahead = found
            else:
                take(hired.tasks.pop(reference), found)
        # Actors that were started late may not be ready yet.
        closing = [hired.actor.close.remote() for hired in crew if hired.n_ahead]
        if closing:
            ray.wait(closing, num_returns=len(closing), timeout=30)


def _shared_out(crew: Sequence[_Hired], left: deque[NumberedChunk]) -> Iterator[tuple[_Hired, NumberedChunk]]:
    """Yield chunks for actors that have room for them; those with the fewest chunks come first."""
    while left:
        free = [hired for hired in crew if len(hired.tasks) < hired.n_ahead]
        n_without = sum(not hired.tasks for hired in crew)
        if not free:
            return
        hired = min(free, key=lambda one: len(one.tasks))
        if hired.tasks and len(left) <= n_without:
            return  # the last chunks are for actors that have none
        yield hired, left.popleft()
