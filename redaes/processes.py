"""Run the same work on many tasks, in worker processes that end when their parent does."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from redaes.errors import RedaesError

Task = TypeVar("Task")
Result = TypeVar("Result")


def run_in_processes(
    work: Callable[[Task], Result],
    tasks: Sequence[Task],
    workers: int,
    *,
    begin: Callable[[], None] | None = None,
) -> Iterator[tuple[Task, Result]]:
    """Run the tasks, and yield each with its result, in any order.

    Args:
        work: function of one task; it must be picklable if there are several workers, and write to disk itself what
            must last.
        tasks: the tasks; they must be picklable if there are several workers.
        workers: number of processes; 1: everything runs in this process.
        begin: called in each worker process before its first task.

    Raises:
        RedaesError: a worker process was killed; the results of the others are on disk.
    """
    if workers == 1 or len(tasks) <= 1:
        for task in tasks:
            yield task, work(task)
        return
    # Processes are spawned, because a fork of a process with threads (Arrow's, torch's) can hang.
    pool = ProcessPoolExecutor(
        max_workers=min(workers, len(tasks)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin_worker,
        initargs=(begin,),
    )
    try:
        futures = {pool.submit(work, task): task for task in tasks}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool as error:
        raise RedaesError(
            "a worker process was killed, possibly because memory ran out; the same command with fewer workers "
            "continues from here"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _begin_worker(begin: Callable[[], None] | None) -> None:
    """Prepare a worker process before its first task."""
    if begin is not None:
        begin()
    threading.Thread(target=end_with_parent, daemon=True).start()


def end_with_parent() -> None:
    """Wait until the parent process is gone, then end this process. Runs in a thread of each worker; without it, the
    workers of a killed parent would go on unseen and then wait for ever.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
