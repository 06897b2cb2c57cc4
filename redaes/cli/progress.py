"""How far a command is, shown on a terminal; a file or a pipe gets nothing of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

UpdateBar = Callable[[str, int, int | None], None]
"""Told a piece of work, how much of it is done, and how much there is; None: not known yet."""


@contextmanager
def progress_bars(*works: str) -> Iterator[UpdateBar]:
    """Bars on standard error, one for each piece of work: those named here at once, others when they begin."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        tasks = {work: bars.add_task(work, total=None) for work in works}

        def update(work: str, done: int, total: int | None) -> None:
            if work not in tasks:
                tasks[work] = bars.add_task(work, total=total)
            bars.update(tasks[work], completed=done, total=total)

        yield update
