"""Stages that many items pass in order; each stage limits the items at work and the items waiting for it.

An item leaves a stage only when the next one has room for it. So a stage that is slower than the others is always
busy, the stages before it pause when the places in between are taken, and there are never more items under way than all
stages have places: memory does not grow with the number of items.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import TypeVar

from redaes.backends.at_once import together

Made = TypeVar("Made")


class WorkStage:
    """One stage of the pipeline; it belongs to the event loop on which it is first entered."""

    def __init__(self, name: str, at_once: int, waiting: int) -> None:
        """
        Args:
            name: name of the stage in reports.
            at_once: number of items that are worked on at once.
            waiting: number of items that may wait for it after leaving the stage before.
        """
        self.name = name
        self.at_once = at_once
        self.places = at_once + waiting
        """Largest number of items in the stage."""
        self.n_done = 0
        """Number of items that have been worked on."""
        self.busy_s = 0.0
        """Seconds of work, summed over items; the time of an item is added when its work ends."""
        self._room = asyncio.Semaphore(self.places)
        self._hands = asyncio.Semaphore(at_once)


class Passage:
    """The way of one item through the stages; a context manager, at whose end the item leaves its stage.

    >>> async def ways():
    ...     cut, glue = WorkStage("cut", 1, 0), WorkStage("glue", 1, 2)
    ...     async def item():
    ...         with Passage() as way:
    ...             for stage in (cut, glue):
    ...                 await way.enter(stage)
    ...     await together([item() for _ in range(5)])
    ...     return cut.n_done, glue.n_done
    >>> asyncio.run(ways())
    (5, 5)
    """

    def __init__(self) -> None:
        self._stage: WorkStage | None = None
        self._since: float | None = None
        self._has_hands = False

    async def queue(self, stage: WorkStage) -> None:
        """Wait until the stage has room, and leave the stage before; :meth:`begin` must follow."""
        self._stop_clock()
        await stage._room.acquire()
        self._leave()
        self._stage = stage

    async def begin(self) -> None:
        """Wait until the item's turn to be worked on in its stage."""
        assert self._stage is not None
        await self._stage._hands.acquire()
        self._has_hands = True
        self._since = time.monotonic()

    async def enter(self, stage: WorkStage) -> None:
        """Call :meth:`queue` and :meth:`begin`."""
        await self.queue(stage)
        await self.begin()

    def __enter__(self) -> Passage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop_clock()
        self._leave()

    def _stop_clock(self) -> None:
        """End the time of work; the item now waits for the next stage."""
        if self._stage is not None and self._since is not None:
            self._stage.busy_s += time.monotonic() - self._since
            self._stage.n_done += 1
        self._since = None

    def _leave(self) -> None:
        if self._stage is not None:
            if self._has_hands:
                self._stage._hands.release()
            self._stage._room.release()
        self._stage, self._has_hands = None, False


async def work_off(do: Callable[[Made], Awaitable[None]], tasks: Iterable[Made], ahead: int) -> None:
    """Do the tasks in their order, with ``ahead`` of them under way at once.

    Raises:
        Exception: the first error of a task; the tasks under way are cancelled.
    """
    left = iter(tasks)

    async def hand() -> None:
        for task in left:
            await do(task)

    await together([hand() for _ in range(ahead)])
