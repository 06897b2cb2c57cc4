"""How far a build is and how busy its resources were: counted by workers, summed over them and over runs."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from redaes.datagen.funnel import (
    Funnel,
    FunnelWatch,
    ResourceFigures,
    Use,
    WorkFigures,
    begin_run,
    in_words,
    read_run,
    read_runs,
    work_report,
)
from redaes.datagen.panel_entries import TokenPrice
from redaes.errors import RecordError


def figures(seconds: float, kept: int, *, busy_s: float, capacity: int = 2) -> WorkFigures:
    resource = ResourceFigures(capacity=capacity, busy_s=busy_s, n_done=kept, there_s=capacity * seconds)
    asked = {"m: calls": kept, "m: ok": kept, "m: tokens": 100 * kept, "m: tokens written": 10 * kept}
    return WorkFigures(seconds=seconds, passed={"kept": kept}, resources={"model m": resource}, asked=asked)


def test_workers_work_beside_each_other_and_runs_one_after_the_other() -> None:
    beside = figures(10, 5, busy_s=10).beside(figures(8, 3, busy_s=8))
    assert (beside.seconds, beside.passed, beside.asked["m: tokens"]) == (10, {"kept": 8}, 800)
    assert beside.resources["model m"] == ResourceFigures(capacity=4, busy_s=18, n_done=8, there_s=36)
    assert beside.resources["model m"].idle_share == 0.5
    then = figures(10, 5, busy_s=10).then(figures(8, 3, busy_s=8))
    assert (then.seconds, then.passed) == (18, {"kept": 8})
    assert then.resources["model m"] == ResourceFigures(capacity=2, busy_s=18, n_done=8, there_s=36)


def test_a_worker_leaves_its_figures_even_where_it_is_ended(tmp_path: Path) -> None:
    run = begin_run(tmp_path)
    counts = {"m: calls": 2}

    def one(n: int, fails: bool) -> None:
        with Funnel(run, lambda: {"model m": Use(3, 0.5, n)}, lambda: counts) as funnel:
            assert read_run(run).asked["m: calls"] >= 2  # there before it has ended
            threads = [threading.Thread(target=lambda: [funnel.add("edited") for _ in range(50)]) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            if fails:
                raise KeyboardInterrupt

    one(1, fails=False)
    with pytest.raises(KeyboardInterrupt):
        one(2, fails=True)
    found = read_run(run)
    assert found.passed == {"edited": 400}
    assert found.resources["model m"].n_done == 3
    assert found.asked == {"m: calls": 4}
    other = begin_run(tmp_path)
    with Funnel(other) as funnel:
        funnel.add("edited", 7)
    assert read_runs(tmp_path).passed == {"edited": 407}
    assert read_runs(tmp_path / "nothing") == WorkFigures()


def test_figures_that_are_none_are_named(tmp_path: Path) -> None:
    run = begin_run(tmp_path)
    run.mkdir(parents=True)
    (run / "a.json").write_text('{"seconds": -1}')
    with pytest.raises(RecordError, match=r"a\.json holds no figures of a run"):
        read_run(run)


def test_a_watch_tells_how_far_it_is(tmp_path: Path) -> None:
    run = begin_run(tmp_path)
    lines: list[str] = []
    told = threading.Event()

    def tell(line: str) -> None:
        lines.append(line)
        told.set()

    with Funnel(run) as funnel:
        funnel.add("planned", 1200)
        funnel._write()
        with FunnelWatch(run, 4, tell, every_s=0.001):
            assert told.wait(10)
    assert lines[0].startswith("planned 1,200, edited 0, passed 0, judged 0, kept 0 (0.0 pairs a second)")
    assert "left" not in lines[0]  # nothing is done yet from which it could be said
    half = WorkFigures(seconds=60, passed={"views": 2, "kept": 6})
    assert in_words(half, 4).endswith("kept 6 (0.1 pairs a second), about 1 min left")
    assert "left" not in in_words(half, 2)


def test_the_report_has_rates_tokens_cost_and_idle_shares() -> None:
    found = figures(20, 40, busy_s=10)
    tasks = {"m: compare/v1: ok": 30, "m: compare/v1: tokens": 900, "m: compare/v1: tokens written": 100,
             "m: rationale/v2: cached": 2, "m: answered without seed/x": 5}  # fmt: skip
    asked = {**found.asked, **tasks, "m: failed: timeout": 1, "m: failed: http_400": 2, "free: ok": 3, "free: calls": 3}
    prices = {"m": TokenPrice(input=2.0, output=10.0), "free": TokenPrice(input=1.0, output=1.0), "other": None}
    report = work_report(found.model_copy(update={"asked": asked}), prices)
    assert report["resources"]["model m"] == {
        "capacity": 2, "done": 40, "a_second": 2.0, "busy_s": 10.0, "idle_share": 0.75
    }  # fmt: skip
    assert report["models"]["m"] == {
        "calls": 40, "answered": 40, "cached": 0, "failed": 3, "tokens_read": 3600, "tokens_written": 400,
        "cost": round((3600 * 2 + 400 * 10) / 1e6, 4),
        "tasks": {
            "compare/v1": {"answered": 30, "cached": 0, "tokens_read": 800, "tokens_written": 100},
            "rationale/v2": {"answered": 0, "cached": 2, "tokens_read": 0, "tokens_written": 0},
        },
    }  # fmt: skip
    # A server that reports no tokens is not one that costs nothing.
    assert report["models"]["free"]["cost"] is None
    assert report["cost_unknown"] == ["free", "other"]
    assert report["cost"] == report["models"]["m"]["cost"]
    assert report["funnel"]["kept"] == 40
