"""Run work concurrently on one event loop: all of it together, or equal work one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

Made = TypeVar("Made")


async def together(work: Iterable[Coroutine[Any, Any, Made]]) -> list[Made]:
    """Run coroutines concurrently and return their results in order; after an error, the others are cancelled.

    Raises:
        Exception: the first that is met.
    """
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class EqualWork:
    """Let equal pieces of work run one after another, so that later ones find the result of the first. For one event
    loop."""

    def __init__(self) -> None:
        self._under_way: dict[str, asyncio.Event] = {}

    @asynccontextmanager
    async def turn(self, name: str) -> AsyncIterator[None]:
        """Wait until no other work of this name is running, then run."""
        while (earlier := self._under_way.get(name)) is not None:
            await earlier.wait()
        done = self._under_way[name] = asyncio.Event()
        try:
            yield
        finally:
            del self._under_way[name]
            done.set()
