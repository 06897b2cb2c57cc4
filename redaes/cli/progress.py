"""How far a command is: bars on a terminal, and a line now and then in a file or a pipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from redaes.progress_lines import ProgressLines

UpdateBar = Callable[[str, int, int | None], None]
"""Told a piece of work, how much of it is done, and how much there is; None: not known yet."""


@contextmanager
def progress_bars(*works: str) -> Iterator[UpdateBar]:
    """Bars on standard error, one for each piece of work: those named here at once, others when they begin.

    Where standard error is no terminal, lines (:class:`redaes.progress_lines.ProgressLines`): short work writes none.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    if not console.is_terminal:
        with ProgressLines(works[0] if works else "working") as lines:
            yield lines.update
        return
    shown = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    # What turns and counts shows that work goes on that finishes nothing for minutes.
    times = TimeElapsedColumn(), TextColumn("left:"), TimeRemainingColumn(), SpinnerColumn("line")
    with Progress(*shown, *times, console=console) as bars:
        tasks = {work: bars.add_task(work, total=None) for work in works}

        def update(work: str, done: int, total: int | None) -> None:
            if work not in tasks:
                tasks[work] = bars.add_task(work, total=total)
            bars.update(tasks[work], completed=done, total=total)

        yield update
