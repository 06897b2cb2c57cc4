"""How far a command is, where nobody looks at a terminal."""

from __future__ import annotations

import io
import sys
import threading
from pathlib import Path

import pytest

from redaes import progress_lines
from redaes.cli import progress
from redaes.demo.progress import DemoSteps
from redaes.progress_lines import ProgressLines


class Clock:
    """Time that a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(progress_lines.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_a_file_gets_a_line_now_and_then(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress.progress_bars("pairs") as update:
        for done in range(100):
            clock.now = float(done)
            update("pairs", done, 100 if done > 40 else None)
    captured = capsys.readouterr()
    assert captured.err.splitlines() == [
        "pairs: 30 of ?, 30 s so far",
        "pairs: 60 of 100, 1 min so far, about 40 s left",
        "pairs: 90 of 100, 1 min 30 s so far, about 10 s left",
    ]
    assert captured.out == ""


def test_short_work_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.progress_bars("pairs") as update:
        update("pairs", 100, 100)
    assert capsys.readouterr().err == ""


def test_what_an_earlier_run_did_is_no_measure_of_speed(clock: Clock) -> None:
    said: list[str] = []
    lines = ProgressLines("pairs", said.append)
    clock.now = 10.0
    lines.update("pairs", 900, 1000)  # found on disk
    clock.now = 30.0
    lines.update("pairs", 910, 1000)
    assert said == ["pairs: 910 of 1000, 30 s so far, about 3 min left"]


def test_a_note_stands_beside_what_is_counted(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    lines = ProgressLines("photographs", said.append)
    lines.update("photographs", 0, 64, "planned 12, about 3 min left")
    clock.now = 40.0
    lines.update("photographs", 1, 64)
    assert said == ["photographs: 1 of 64, 40 s so far, planned 12, about 3 min left"]
    # On a terminal it stands below the bars.
    shown = io.StringIO()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(sys, "stderr", shown)
    with progress.progress_bars("photographs") as update:
        update("photographs", 1, 64, "planned 12")
        update("photographs", 2, 64)
    assert "planned 12" in [line.strip() for line in shown.getvalue().splitlines()]


def test_each_piece_of_work_has_its_own_time(clock: Clock) -> None:
    said: list[str] = []
    lines = ProgressLines("looking", said.append)
    clock.now = 100.0
    lines.update("comparing", 0, 10)
    clock.now = 140.0
    lines.update("comparing", 1, 10)
    assert said == ["comparing: 0 of 10, 0 s so far", "comparing: 1 of 10, 40 s so far, about 6 min left"]


def test_where_nothing_moves_it_is_said_all_the_same(clock: Clock) -> None:
    said: list[str] = []
    spoken = threading.Event()

    def write(line: str) -> None:
        said.append(line)
        spoken.set()

    with ProgressLines("training steps", write, every_s=0.05) as lines:
        lines.update("training steps", 0, 100)
        clock.now = 300.0  # a step that takes minutes: nobody calls update
        assert spoken.wait(30)
    assert said == ["training steps: 0 of 100, 5 min so far, nothing finished for 5 min"]


def test_the_time_left_falls_while_a_long_step_lasts(clock: Clock) -> None:
    said: list[str] = []
    lines = ProgressLines("steps", said.append)
    clock.now = 60.0
    lines.update("steps", 1, 3)
    clock.now = 100.0
    lines.update("steps", 1, 3)
    assert said[-1] == "steps: 1 of 3, 1 min 40 s so far, about 1 min 20 s left, nothing finished for 40 s"


def test_before_the_first_count_it_is_said_that_work_goes_on(clock: Clock) -> None:
    said: list[str] = []
    spoken = threading.Event()
    with ProgressLines("photographs", lambda line: (said.append(line), spoken.set()), every_s=0.05):
        clock.now = 45.0
        assert spoken.wait(30)
    assert said == ["photographs: 45 s so far"]


def test_a_reader_that_is_gone_ends_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    progress_lines.to_stderr("a line")


def test_the_demonstration_says_it_on_the_screen_and_in_its_log(
    clock: Clock, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = DemoSteps(tmp_path, 1)

    def work(advance: object) -> None:
        steps.count_lines_with("'loss':", 50)
        for number in range(2):
            clock.now += 31.0
            print({"loss": number})

    steps.run("stage2", "stage 2", done=False, expected_s=120, work=work)
    shown = [line.strip() for line in capsys.readouterr().out.splitlines()]
    expected = ["working: 1 of 50, 31 s so far, about 25 min 19 s left",
                "working: 2 of 50, 1 min 2 s so far, about 24 min 48 s left"]  # fmt: skip
    assert shown == ["[1/1] stage 2 (about 2 min on two cores)", *expected, "took 1 min 2 s"]
    assert [line for line in steps.log.read_text().splitlines() if "working" in line] == expected
