"""How far a command is: bars on a terminal, and a line now and then in a file or a pipe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from redaes.progress_lines import ProgressLines

if TYPE_CHECKING:
    from rich.console import RenderableType


class UpdateBar(Protocol):
    """Told how far a piece of work is."""

    def __call__(self, work: str, done: int, total: int | None, note: str | None = None) -> None:
        """
        Args:
            work: what is done.
            done: how much of it.
            total: of how much; None: not known yet.
            note: a line to be shown below the bars; None: as before.
        """
        ...


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
    from rich.text import Text

    class NotedProgress(Progress):
        """Bars with a line below them."""

        note = ""

        def get_renderables(self) -> Iterator[RenderableType]:
            """The bars, and the line where there is one."""
            yield from super().get_renderables()
            if self.note:
                yield Text(self.note)

    console = Console(stderr=True)
    if not console.is_terminal:
        with ProgressLines(works[0] if works else "working") as lines:
            yield lines.update
        return
    shown = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    # What turns and counts shows that work goes on that finishes nothing for minutes.
    times = TimeElapsedColumn(), TextColumn("left:"), TimeRemainingColumn(), SpinnerColumn("line")
    with NotedProgress(*shown, *times, console=console) as bars:
        tasks = {work: bars.add_task(work, total=None) for work in works}

        def update(work: str, done: int, total: int | None, note: str | None = None) -> None:
            if note is not None:
                bars.note = note
            if work not in tasks:
                tasks[work] = bars.add_task(work, total=total)
            bars.update(tasks[work], completed=done, total=total)

        yield update
