"""Who does the work: processes of this machine, or Ray Data's actors on many.

Both take the same tasks (the chunks that are missing) and run the same function, which writes its own result
atomically; so they make the same dataset, and either may finish what the other began. What comes back is only each
task's counts: memory does not grow with the dataset.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from redaes.errors import MissingDependency, RedaesError

Task = TypeVar("Task")
Result = dict[str, Any]
Work = Callable[[Task], Result]
"""Picklable; its result fits JSON."""


def run_local(work: Work[Task], tasks: Sequence[Task], workers: int) -> Iterator[tuple[Task, Result]]:
    """Do the tasks in processes of this machine, in any order.

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


def run_ray(work: Work[Task], tasks: Sequence[Task], workers: int) -> Iterator[tuple[Task, Result]]:
    """Do the tasks in a pool of Ray Data actors: on the cluster of ``RAY_ADDRESS``, or on this machine without one.

    The dataset's folder must be one that all machines of the cluster see.

    Raises:
        MissingDependency: Ray is not installed.
        RedaesError: an actor died; the others' results are on disk.
    """
    try:
        import ray
    except ImportError as error:
        raise MissingDependency("ray", "ray") from error
    if not tasks:
        return
    started = not ray.is_initialized()
    if started:
        # An actor pool that takes every CPU beside Ray Data's own tasks waits for ever: one more than the workers.
        ray.init(
            **({} if os.environ.get("RAY_ADDRESS") else {"num_cpus": workers + 1, "include_dashboard": False}),
            log_to_driver=False,
            logging_level="ERROR",
        )
    try:
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        ray.data.DataContext.get_current().enable_progress_bars = False
        # One block for each task: a block is what is lost and done again when a machine goes away.
        rows = ray.data.from_items([{"number": number} for number in range(len(tasks))], override_num_blocks=len(tasks))
        pool = ray.data.ActorPoolStrategy(min_size=1, max_size=workers)
        done = rows.map(_Worker, fn_constructor_args=(work, list(tasks)), compute=pool, num_cpus=1)
        for row in done.iter_rows():
            yield tasks[row["number"]], json.loads(row["result"])
    except ray.exceptions.RayError as error:
        raise RedaesError(f"Ray: {error}; run again to go on") from error
    finally:
        if started:
            ray.shutdown()


ENGINES = {"local": run_local, "ray": run_ray}


class _Worker:
    """A Ray Data actor."""

    def __init__(self, work: Work[Any], tasks: list[Any]) -> None:
        _one_thread()
        self.work, self.tasks = work, tasks

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        # As text: Arrow would give all counts the union of their keys.
        return {"number": row["number"], "result": json.dumps(self.work(self.tasks[row["number"]]))}


def _begin_worker() -> None:
    """In each process of the local pool, before its first task."""
    _one_thread()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that is killed takes its workers with it: they would go on unseen, and then wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _one_thread() -> None:
    """The workers share the cores; OpenCV in each would take all of them."""
    import cv2

    cv2.setNumThreads(1)
