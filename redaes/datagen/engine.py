"""Engines that run the embedded editor: processes of this machine, or Ray Data's actors on many machines.

Both take the same tasks (the chunks that are missing) and run the same function, which writes its own result
atomically. So they make the same dataset, and one may finish what the other began. Only each task's counts are
returned, so memory does not grow with the dataset. A panel's workers, which do many things at once, are in
`redaes.datagen.panel_crew`.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from redaes.errors import MissingDependency, RedaesError
from redaes.processes import run_in_processes

Task = TypeVar("Task")
Result = dict[str, Any]
Work = Callable[[Task], Result]
"""A function that can be pickled, and whose result can be stored as JSON."""


def run_local(work: Work[Task], tasks: Sequence[Task], workers: int) -> Iterator[tuple[Task, Result]]:
    """Do the tasks in processes of this machine, in any order.

    Raises:
        RedaesError: a process was killed; the results of the others are on disk.
    """
    return run_in_processes(work, tasks, workers, begin=one_thread)


def run_ray(work: Work[Task], tasks: Sequence[Task], workers: int) -> Iterator[tuple[Task, Result]]:
    """Do the tasks in a pool of Ray Data actors: on the cluster of ``RAY_ADDRESS``, or on this machine without it.

    The dataset's folder must be accessible from all machines of the cluster.

    Raises:
        MissingDependency: Ray is not installed.
        RedaesError: an actor died; the results of the others are on disk.
    """
    if not tasks:
        return
    with ray_cluster(workers) as ray:
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        ray.data.DataContext.get_current().enable_progress_bars = False
        # One block for each task, because Ray repeats whole blocks when a machine is lost.
        rows = ray.data.from_items([{"number": number} for number in range(len(tasks))], override_num_blocks=len(tasks))
        pool = ray.data.ActorPoolStrategy(min_size=1, max_size=workers)
        done = rows.map(_Worker, fn_constructor_args=(work, list(tasks)), compute=pool, num_cpus=1)
        for row in done.iter_rows():
            yield tasks[row["number"]], json.loads(row["result"])


@contextmanager
def ray_cluster(workers: int) -> Iterator[Any]:
    """Yield the module ``ray``, connected to the cluster of ``RAY_ADDRESS``, or to one on this machine without it.

    Args:
        workers: number of actors that are wanted.

    Raises:
        MissingDependency: Ray is not installed.
        RedaesError: Ray failed.
    """
    try:
        import ray
    except ImportError as error:
        raise MissingDependency("ray", "ray") from error
    started = not ray.is_initialized()
    if started:
        # A pool of actors that takes every CPU leaves none to Ray Data's own tasks and waits for ever: so one more.
        ray.init(
            **({} if os.environ.get("RAY_ADDRESS") else {"num_cpus": workers + 1, "include_dashboard": False}),
            log_to_driver=False,
            logging_level="ERROR",
        )
    try:
        yield ray
    except ray.exceptions.RayError as error:
        raise RedaesError(f"Ray: {error}; run again to go on") from error
    finally:
        if started:
            ray.shutdown()


ENGINES = {"local": run_local, "ray": run_ray}


class _Worker:
    """A Ray Data actor."""

    def __init__(self, work: Work[Any], tasks: list[Any]) -> None:
        one_thread()
        self.work, self.tasks = work, tasks

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        # As text, because Arrow would give all counts the union of their keys.
        return {"number": row["number"], "result": json.dumps(self.work(self.tasks[row["number"]]))}


def one_thread() -> None:
    """Use one thread in each worker: they share the cores, and threads of OpenCV and BLAS would get in the way."""
    import cv2
    from threadpoolctl import threadpool_limits

    cv2.setNumThreads(1)
    threadpool_limits(1)
