"""How far a command is: bars on a terminal, and a line now and then in a file or a pipe."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

UpdateBar = Callable[[str, int, int | None], None]
"""Told a piece of work, how much of it is done, and how much there is; None: not known yet."""

LINE_EVERY_S = 30.0
"""Seconds between two lines, where standard error is no terminal."""


@contextmanager
def progress_bars(*works: str) -> Iterator[UpdateBar]:
    """Bars on standard error, one for each piece of work: those named here at once, others when they begin.

    Where standard error is no terminal, a line at most every :data:`LINE_EVERY_S` seconds: short work writes none.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines()
        return
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console) as bars:
        tasks = {work: bars.add_task(work, total=None) for work in works}

        def update(work: str, done: int, total: int | None) -> None:
            if work not in tasks:
                tasks[work] = bars.add_task(work, total=total)
            bars.update(tasks[work], completed=done, total=total)

        yield update


def _lines() -> UpdateBar:
    last = time.monotonic()

    def update(work: str, done: int, total: int | None) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= LINE_EVERY_S:
            last = now
            print(f"{work}: {done} of {'?' if total is None else total}", file=sys.stderr, flush=True)

    return update
