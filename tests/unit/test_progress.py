"""How far a command is, where nobody looks at a terminal."""

from __future__ import annotations

import pytest

from redaes.cli import progress


def test_a_file_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    with progress.progress_bars("pairs") as update:
        for done in range(100):
            now = float(done)
            update("pairs", done, 100 if done > 40 else None)
    captured = capsys.readouterr()
    assert captured.err.splitlines() == ["pairs: 30 of ?", "pairs: 60 of 100", "pairs: 90 of 100"]
    assert captured.out == ""


def test_short_work_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.progress_bars("pairs") as update:
        update("pairs", 100, 100)
    assert capsys.readouterr().err == ""
