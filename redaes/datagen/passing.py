"""Stages that many items pass one after the other, each with so many at once and so few waiting before it.

An item leaves a stage only when the next one has room for it. So a stage that is slower than the others is always
busy, those before it come to rest when the places between are taken, and no more items are under way than all stages
have places: memory does not grow with the number of items.
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
            name: for reports.
            at_once: items that are worked on at once.
            waiting: items that have left the stage before and wait.
        """
        self.name = name
        self.at_once = at_once
        self.places = at_once + waiting
        """Items that are in it at most."""
        self.n_done = 0
        """Items that have been worked on."""
        self.busy_s = 0.0
        """Seconds of work, summed over the items; what is under way counts when it is done."""
        self._room = asyncio.Semaphore(self.places)
        self._hands = asyncio.Semaphore(at_once)


class Passage:
    """The way of one item; a context manager, at whose end the item is out.

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
        """Wait until the stage has room, and leave the one before; :meth:`begin` follows."""
        self._stop_clock()
        await stage._room.acquire()
        self._leave()
        self._stage = stage

    async def begin(self) -> None:
        """Wait for one's turn in the stage in which one is."""
        assert self._stage is not None
        await self._stage._hands.acquire()
        self._has_hands = True
        self._since = time.monotonic()

    async def enter(self, stage: WorkStage) -> None:
        """:meth:`queue` and :meth:`begin`."""
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
        """What follows is waiting for the next stage."""
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
    """Do the tasks in their order, so many under way at once.

    Raises:
        Exception: the first that is met; the tasks under way are cancelled.
    """
    left = iter(tasks)

    async def hand() -> None:
        for task in left:
            await do(task)

    await together([hand() for _ in range(ahead)])
