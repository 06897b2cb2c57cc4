"""What is on the screen while a command is at work."""

from __future__ import annotations

import io
import sys
import threading

import pytest

from redaes.cli import spinner
from redaes.cli.spinner import Spinner


class Screen(io.StringIO):
    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal
        self.written = threading.Semaphore(0)

    def isatty(self) -> bool:
        return self.terminal

    def write(self, text: str) -> int:
        n = super().write(text)
        self.written.release()
        return n


def screen(monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> Screen:
    found = Screen(terminal)
    monkeypatch.setattr(sys, "stderr", found)
    monkeypatch.setattr(spinner, "TURN_EVERY_S", 0.001)
    monkeypatch.setattr(spinner, "LINE_EVERY_S", 0.001)
    monkeypatch.setenv("TERM", "xterm")
    return found


def test_a_terminal_shows_at_once_what_is_done_and_nothing_of_it_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    found = screen(monkeypatch, terminal=True)
    monkeypatch.setattr(spinner, "TURN_EVERY_S", 60.0)
    with Spinner("loading"):
        assert found.getvalue() == "| loading"
    assert found.getvalue() == "| loading\r\x1b[K"


def test_it_turns_and_says_what_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    found = screen(monkeypatch, terminal=True)
    with Spinner("loading") as turning:
        turning.doing = "comparing"
        for _ in range(4):
            assert found.written.acquire(timeout=30)
    assert "\r\x1b[K/ " in found.getvalue()
    assert "comparing (0 s)" in found.getvalue()


@pytest.mark.parametrize(("terminal", "kind"), [(False, "xterm"), (True, "dumb")])
def test_a_file_gets_whole_lines_without_control_codes(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, kind: str
) -> None:
    found = screen(monkeypatch, terminal=terminal)
    monkeypatch.setenv("TERM", kind)
    with Spinner("loading"):
        assert found.written.acquire(timeout=30)
    assert set(found.getvalue().splitlines()) == {"loading: 0 s"}
    assert found.getvalue().endswith("\n")


def test_short_work_writes_nothing_into_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    with Spinner("loading"):
        pass
    assert capsys.readouterr() == ("", "")


def test_a_reader_that_left_does_not_end_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    found = screen(monkeypatch, terminal=True)
    found.close()
    with Spinner("loading"):
        pass
