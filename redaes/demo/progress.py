"""Display the progress of the demonstration, and write the libraries' output to a log file."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from redaes.errors import RecordError
from redaes.file_writing import read_json, write_json
from redaes.progress_lines import ProgressLines, duration_in_words

Advance = Callable[[int, int], None]
"""A function that is called with the amount of work done and the amount of all work."""

TIMES = "times.json"


class _LogFile(io.TextIOBase):
    """A text stream into a file that is opened for each write. Nothing has to be closed, and loggers that keep the
    stream for the rest of the process can go on writing."""

    def __init__(self, path: Path, on_write: Callable[[str], None]) -> None:
        self._path = path
        self._on_write = on_write

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        with self._path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
        self._on_write(text)
        return len(text)


class DemoSteps:
    """Runs the steps in order; finished steps are skipped.

    Attributes:
        seconds: wall time of each finished step, in this run or an earlier one.
    """

    def __init__(self, out: Path, n_steps: int) -> None:
        # The stream is saved now, because while a step runs ``sys.stdout`` leads to the log.
        self.console = Console(file=sys.stdout, highlight=False, markup=False)
        self.log = out / "demo.log"
        self._times = out / TIMES
        self._n_steps = n_steps
        self._number = 0
        self._advance: Advance = lambda n_done, total: None
        self._watch: tuple[str, int, int] | None = None
        self.seconds: dict[str, float] = read_json(self._times) if self._times.exists() else {}

    def run(self, name: str, title: str, *, done: bool, expected_s: float, work: Callable[[Advance], None]) -> None:
        """Run a step, unless it is done.

        Args:
            name: name under which its wall time is stored.
            title: title that is shown.
            done: whether its output is complete already.
            expected_s: about how many seconds it takes on two cores.
            work: does the step; an exception ends the demonstration after a line that names the step.
        """
        self._number += 1
        label = f"[{self._number}/{self._n_steps}] {title}"
        if done:
            before = f", took {duration_in_words(self.seconds[name])}" if name in self.seconds else ""
            self.console.print(f"{label}: done before{before}")
            return
        if not self.console.is_terminal:
            self.console.print(f"{label} (about {duration_in_words(expected_s)} on two cores)")
        started = time.monotonic()
        with self._failure_named(label, started), self._bar(label, expected_s) as advance, self._to_log():
            work(advance)
        self.seconds[name] = round(time.monotonic() - started, 1)
        write_json(self._times, self.seconds)
        if not self.console.is_terminal:
            self.console.print(f"{' ' * 8}took {duration_in_words(self.seconds[name])}")

    @contextmanager
    def _bar(self, label: str, expected_s: float) -> Iterator[Advance]:
        progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn(f"of about {duration_in_words(expected_s)}, left:", style="dim"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        if progress.disable:
            # The lines go to the log, too, so that its readers see the progress.
            with ProgressLines("working", self._say) as lines:
                self._advance = lambda n_done, total: lines.update("working", n_done, total)
                yield self._advance
            return
        with progress:
            task = progress.add_task(label, total=None)
            self._advance = lambda n_done, total: progress.update(task, completed=n_done, total=total)
            yield self._advance

    def _say(self, line: str) -> None:
        self.console.print(f"{' ' * 8}{line}", soft_wrap=True)
        with self.log.open("a+b") as file:
            # Output comes in pieces, so this line may fall between a text and its end.
            file.seek(max(0, file.tell() - 1))
            begun = file.read(1) not in (b"", b"\n")
            file.write(b"\n" * begun + f"{line}\n".encode())

    @contextmanager
    def _failure_named(self, label: str, started: float) -> Iterator[None]:
        finished = False
        try:
            yield
            finished = True
        finally:
            if not finished:
                self.console.print(
                    f"{label}: stopped after {duration_in_words(time.monotonic() - started)}. Finished steps are "
                    f"kept, and the same command continues from here; details: {self.log}"
                )

    @contextmanager
    def _to_log(self) -> Iterator[None]:
        """Send the libraries' output to the log file; their log lines also move the progress bar."""
        lines = _LogFile(self.log, self._on_write)
        self._watch = None
        with redirect_stdout(lines), redirect_stderr(lines):
            yield

    def count_lines_with(self, mark: str, total: int) -> None:
        """Count every printed text that contains ``mark`` as one of ``total`` units of the running step."""
        self._watch = (mark, 0, total)

    def _on_write(self, text: str) -> None:
        if self._watch is None or self._watch[0] not in text:
            return
        mark, n_done, total = self._watch
        self._watch = (mark, min(n_done + 1, total), total)
        self._advance(*self._watch[1:])


def claim(out: Path, settings: dict[str, object]) -> None:
    """Reserve a folder for a demonstration with these settings.

    Raises:
        RecordError: it holds a demonstration with other settings, or cannot be written to.
    """
    file = out / "demo.json"
    if file.exists():
        before = read_json(file)
        if before != settings:
            raise RecordError(f"{out} holds a demonstration with other settings; choose another --out")
    else:
        write_json(file, settings)
