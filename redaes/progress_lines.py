"""Progress as lines of text, for output to a file, a pipe or a log, where a progress bar makes no sense.

A line is written every :data:`LINE_EVERY_S` seconds. A thread writes it even while nothing moves, so that slow work can
be told from work that hangs.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

LINE_EVERY_S = 30.0
"""Seconds between two lines."""


def duration_in_words(seconds: float) -> str:
    """Return a duration to be read.

    >>> duration_in_words(3.4), duration_in_words(75), duration_in_words(600), duration_in_words(7500)
    ('3 s', '1 min 15 s', '10 min', '2 h 5 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    minutes = whole // 60
    return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"


def to_stderr(line: str) -> None:
    """Write a line to the current standard error."""
    try:
        print(line, file=sys.stderr, flush=True)  # noqa: T201
    except (OSError, ValueError):  # nobody reads standard error any more, which is no reason to end the work
        return


class ProgressLines:
    """A context manager that writes lines about the progress of work until it is left."""

    def __init__(self, work: str, write: Callable[[str], object] = to_stderr, *, every_s: float = LINE_EVERY_S) -> None:
        """
        Args:
            work: name of the work, until :meth:`update` names other work.
            write: called with each line, without its line end; also from another thread.
            every_s: seconds between two lines.
        """
        self._work = work
        self._write = write
        self._every_s = every_s
        self._done: int | None = None
        self._total: int | None = None
        self._note = ""
        now = time.monotonic()
        self._begun = self._moved = self._last_line = now
        self._first: tuple[float, int] = (now, 0)
        """Time and count from which the remaining time is estimated."""
        self._lock = threading.Lock()
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._keep_saying, name="redaes-progress", daemon=True)

    def __enter__(self) -> ProgressLines:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        self._thread.join()

    def update(self, work: str, done: int, total: int | None, note: str | None = None) -> None:
        """Set how much of a piece of work is done, and how much there is; None: not known yet.

        Args:
            work: name of the work.
            done: number of units that are done.
            total: number of all units.
            note: text that replaces the estimate of the remaining time; None: keep the former one.
        """
        with self._lock:
            self._note = self._note if note is None else note
            now = time.monotonic()
            if work != self._work or self._done is None or done < self._done:
                if work != self._work:
                    self._begun = now
                # The first count may include work of an earlier run, which took no time in this one.
                self._first = (self._begun, 0) if done <= 1 else (now, done)
            if (work, done) != (self._work, self._done):
                self._moved = now
            self._work, self._done, self._total = work, done, total
            self._say_if_due(now)

    def _keep_saying(self) -> None:
        while not self._left.wait(self._every_s / 4):
            with self._lock:
                self._say_if_due(time.monotonic())

    def _say_if_due(self, now: float) -> None:
        if now - self._last_line >= self._every_s:
            self._last_line = now
            self._write(self._line(now))

    def _line(self, now: float) -> str:
        facts = [f"{duration_in_words(now - self._begun)} so far"]
        if self._done is not None:
            facts.insert(0, f"{self._done} of {'?' if self._total is None else self._total}")
            left_s = self._left_s(now)
            if self._note:
                return f"{self._work}: {', '.join([*facts, self._note])}"
            if left_s is not None:
                facts.append(f"about {duration_in_words(left_s)} left")
            if now - self._moved >= self._every_s:
                facts.append(f"nothing finished for {duration_in_words(now - self._moved)}")
        return f"{self._work}: {', '.join(facts)}"

    def _left_s(self, now: float) -> float | None:
        """Return the estimated seconds until the end, at the rate since the first count; None: not known yet."""
        since, before = self._first
        if self._total is None or self._done is None or self._done <= before or self._moved <= since:
            return None
        a_unit_s = (self._moved - since) / (self._done - before)
        # The unit under way began when the last one was finished.
        return max(0.0, a_unit_s * (self._total - self._done) - (now - self._moved))
