"""That a command is at work, said at once: nothing here costs anything to import."""

from __future__ import annotations

import os
import sys
import threading
import time

from redaes.progress_lines import LINE_EVERY_S

TURN_EVERY_S = 0.1

_WHEEL = "|/-\\"
_ERASE = "\r\x1b[K"


class Spinner:
    """While it is entered, standard error shows what is being done, and for how long already; then nothing is left.

    Where standard error is no terminal, a line every :data:`LINE_EVERY_S` seconds: short work writes none.
    """

    doing: str
    """What is being done, in a few words; may be changed."""

    def __init__(self, doing: str) -> None:
        self.doing = doing
        self._stream = sys.stderr
        self._on_terminal = self._stream is not None and self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._turn, daemon=True)
        self._begun = time.monotonic()

    def __enter__(self) -> Spinner:
        if self._on_terminal:
            self._write(f"{_WHEEL[0]} {self.doing}")
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._done.set()
        self._thread.join()
        if self._on_terminal:
            self._write(_ERASE)

    def _turn(self) -> None:
        number = 0
        while not self._done.wait(TURN_EVERY_S if self._on_terminal else LINE_EVERY_S):
            number += 1
            took = f"{time.monotonic() - self._begun:.0f} s"
            if self._on_terminal:
                self._write(f"{_ERASE}{_WHEEL[number % len(_WHEEL)]} {self.doing} ({took})")
            else:
                self._write(f"{self.doing}: {took}\n")

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):  # whoever reads it is gone, which is no reason to end the work
            self._done.set()
