"""The same work on many tasks, in processes of this machine that end when their parent does."""

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
    """Do the tasks, and give each with its result, in any order.

    Args:
        work: picklable where there are several workers; puts what must last on disk itself.
        tasks: likewise.
        workers: 1: in this process.
        begin: called in each further process before its first task.

    Raises:
        RedaesError: a process was killed; the others' results are on disk.
    """
    if workers == 1 or len(tasks) <= 1:
        for task in tasks:
            yield task, work(task)
        return
    # Spawned, because a fork of a process with threads (Arrow's, torch's) can hang.
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
            "a worker process was killed, perhaps for want of memory; run again with fewer workers to go on"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _begin_worker(begin: Callable[[], None] | None) -> None:
    """In each process of the pool, before its first task."""
    if begin is not None:
        begin()
    threading.Thread(target=end_with_parent, daemon=True).start()


def end_with_parent() -> None:
    """For a thread of a process that was started: a parent that is killed takes its workers with it, which would go on
    unseen, and then wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
