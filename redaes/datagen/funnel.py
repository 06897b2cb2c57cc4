"""How far a judged dataset is, and how busy its resources were. Workers count; displays and reports read the counts.

Each run of a build has a folder ``runs/NAME`` in the dataset's folder. Each of its workers, on whatever machine, has a
file there with its figures so far. The file is rewritten every second, so that even a killed run leaves a record of
what it did and paid.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, ValidationError

from redaes.datagen.panel_entries import TokenPrice
from redaes.errors import RecordError
from redaes.file_writing import write_json
from redaes.progress_lines import duration_in_words
from redaes.types import Record

RUNS = "runs"
"""Folder of a dataset with the figures of its runs."""

WRITE_EVERY_S = 1.0
"""Seconds between two writes of a worker's figures."""

Step = Literal["photographs", "views", "planned", "edited", "passed", "judged", "kept"]
"""What is counted: photographs and views that are finished; edits that were planned, were made, and passed all filters;
pairs that were judged, and pairs that were kept."""

SHOWN: tuple[Step, ...] = ("planned", "edited", "passed", "judged", "kept")
"""The steps from a planned edit to a kept pair, in order."""

Amount = Annotated[float, Field(ge=0)]


class Use(NamedTuple):
    """How much a resource was used."""

    capacity: int
    """How much it can do at the same time."""
    busy_s: float
    """Seconds of work, in which two things done at once for a second count as two."""
    n_done: int
    """Number of finished pieces of work, such as edits or requests."""


class ResourceFigures(Record):
    """A :class:`Use`, with the time for which the resource was available."""

    capacity: Amount
    busy_s: Amount
    n_done: int
    there_s: Amount
    """Seconds of work that would have been possible: time multiplied by capacity."""

    @property
    def idle_share(self) -> float:
        """Share of the available time without work."""
        return max(0.0, 1.0 - self.busy_s / self.there_s) if self.there_s else 0.0


_NOTHING = ResourceFigures(capacity=0, busy_s=0, n_done=0, there_s=0)


class WorkFigures(Record):
    """What a worker, a run, or all runs have done."""

    seconds: Amount = 0.0
    """Seconds from beginning to end; consecutive runs are added."""
    passed: dict[str, int] = Field(default_factory=dict)
    """Number of items that passed each :data:`Step`."""
    resources: dict[str, ResourceFigures] = Field(default_factory=dict)
    asked: dict[str, int] = Field(default_factory=dict)
    """Number of outcomes of requests, by ``<model>: <outcome>``."""

    def beside(self, other: WorkFigures) -> WorkFigures:
        """Return the joint figures of two that worked at the same time."""
        return _added(self, other, max(self.seconds, other.seconds), sum)

    def then(self, other: WorkFigures) -> WorkFigures:
        """Return the joint figures of two that worked one after the other."""
        return _added(self, other, self.seconds + other.seconds, max)


def _added(
    one: WorkFigures, other: WorkFigures, seconds: float, capacity: Callable[[tuple[float, float]], float]
) -> WorkFigures:
    resources = dict(one.resources)
    for name, more in other.resources.items():
        had = resources.get(name, _NOTHING)
        resources[name] = ResourceFigures(
            capacity=capacity((had.capacity, more.capacity)),
            busy_s=had.busy_s + more.busy_s,
            n_done=had.n_done + more.n_done,
            there_s=had.there_s + more.there_s,
        )
    return WorkFigures(
        seconds=seconds,
        passed=dict(Counter(one.passed) + Counter(other.passed)),
        resources=resources,
        asked=dict(Counter(one.asked) + Counter(other.asked)),
    )


class Funnel:
    """The figures of one worker. It is used as ``with funnel: …``; any thread may report to it."""

    def __init__(
        self,
        run: Path,
        resources: Callable[[], Mapping[str, Use]] = dict,
        asked: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        """
        Args:
            run: folder of the run, made by :func:`begin_run`.
            resources: returns how much each resource was used since this worker began.
            asked: returns the outcomes of this worker's requests.
        """
        self._file = run / f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}.json"
        self._resources = resources
        self._asked = asked
        self._passed = Counter[str]()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_writing, name="redaes-funnel", daemon=True)
        self._begun = time.monotonic()

    def add(self, step: Step, n: int = 1) -> None:
        """Count n more items that have reached a step."""
        with self._lock:
            self._passed[step] += n

    def figures(self) -> WorkFigures:
        """Return the figures so far."""
        seconds = time.monotonic() - self._begun
        with self._lock:
            passed = dict(self._passed)
        return WorkFigures(
            seconds=seconds,
            passed=passed,
            resources={
                name: ResourceFigures(
                    capacity=use.capacity, busy_s=use.busy_s, n_done=use.n_done, there_s=use.capacity * seconds
                )
                for name, use in self._resources().items()
            },
            asked=dict(sorted(self._asked().items())),
        )

    def __enter__(self) -> Funnel:
        """Begin to count and to write the figures.

        Raises:
            RecordError: the folder cannot be written to.
        """
        self._begun = time.monotonic()
        self._write()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Write the last figures."""
        self._ended.set()
        self._thread.join()
        if error is None:
            self._write()
        else:
            self._write_if_possible()

    def _write(self) -> None:
        write_json(self._file, self.figures().as_json())

    def _write_if_possible(self) -> None:
        try:
            self._write()
        except RecordError:  # such as a full disk; the work itself will report it
            return

    def _keep_writing(self) -> None:
        while not self._ended.wait(WRITE_EVERY_S):
            self._write_if_possible()


def begin_run(folder: Path) -> Path:
    """Return a folder for the figures of a run of the dataset ``folder``."""
    return folder / RUNS / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{os.getpid()}-{secrets.token_hex(2)}"


def read_run(run: Path) -> WorkFigures:
    """Return the figures of a run, joined over its workers, which work at the same time.

    Raises:
        RecordError: a file there does not hold such figures.
    """
    found = WorkFigures()
    for file in sorted(run.glob("*.json")):
        try:
            found = found.beside(WorkFigures.model_validate_json(file.read_bytes()))
        except FileNotFoundError:
            continue
        except (OSError, ValidationError) as error:
            raise RecordError(f"{file} holds no figures of a run; delete it") from error
    return found


def read_runs(folder: Path) -> WorkFigures:
    """Return the figures of all runs of the dataset ``folder``, which follow one another.

    Raises:
        RecordError: a file does not hold such figures.
    """
    found = WorkFigures()
    for run in sorted((folder / RUNS).glob("*")):
        found = found.then(read_run(run))
    return found


def in_words(figures: WorkFigures, n_views: int) -> str:
    """Return the progress of a run as text: the counts, the rate of pairs, and the time that is left.

    >>> in_words(WorkFigures(seconds=10, passed={"views": 5, "planned": 60, "edited": 50, "kept": 100}), 20)
    'planned 60, edited 50, passed 0, judged 0, kept 100 (10.0 pairs a second), about 30 s left'
    """
    line = ", ".join(f"{step} {figures.passed.get(step, 0):,}" for step in SHOWN)
    if figures.seconds <= 0:
        return line
    line += f" ({figures.passed.get('kept', 0) / figures.seconds:.1f} pairs a second)"
    done = figures.passed.get("views", 0)
    if 0 < done < n_views:
        line += f", about {duration_in_words(figures.seconds * (n_views - done) / done)} left"
    return line


class FunnelWatch:
    """Reports the progress of a run at intervals: a context manager in the process that started the workers."""

    def __init__(self, run: Path, n_views: int, tell: Callable[[str], object], *, every_s: float | None = None) -> None:
        """
        Args:
            run: folder of the run.
            n_views: number of views that the run has to make.
            tell: called with a line of text, from another thread.
            every_s: seconds between two lines; None means :data:`WRITE_EVERY_S`.
        """
        self._run = run
        self._n_views = n_views
        self._tell = tell
        self._every_s = WRITE_EVERY_S if every_s is None else every_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_telling, name="redaes-funnel-watch", daemon=True)

    def __enter__(self) -> FunnelWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _keep_telling(self) -> None:
        while not self._ended.wait(self._every_s):
            try:
                self._tell(in_words(read_run(self._run), self._n_views))
            except RecordError:  # the report at the end will raise it
                return


def work_report(figures: WorkFigures, prices: Mapping[str, TokenPrice | None]) -> dict[str, Any]:
    """Return the part of a dataset's report about the work: rates, tokens, cost, and how idle each resource was.

    Args:
        figures: figures of all runs.
        prices: prices of the panel's models, by name; None if a price is not known.
    """
    models = {model: _model_report(model, figures.asked, price) for model, price in prices.items()}
    costs = [each["cost"] for each in models.values() if each["cost"] is not None]
    return {
        "seconds": round(figures.seconds, 1),
        "funnel": {step: figures.passed.get(step, 0) for step in ("photographs", "views", *SHOWN)},
        "resources": {
            name: {
                "capacity": each.capacity,
                "done": each.n_done,
                "a_second": round(each.n_done / figures.seconds, 4) if figures.seconds else 0.0,
                "busy_s": round(each.busy_s, 1),
                "idle_share": round(each.idle_share, 3),
            }
            for name, each in sorted(figures.resources.items())
        },
        "models": models,
        "cost": round(sum(costs), 4) if costs else None,
        "cost_unknown": sorted(model for model, each in models.items() if each["cost"] is None),
    }


def _model_report(model: str, asked: Mapping[str, int], price: TokenPrice | None) -> dict[str, Any]:
    tokens, written = (asked.get(f"{model}: {what}", 0) for what in ("tokens", "tokens written"))
    answered = asked.get(f"{model}: ok", 0)
    # A server that reports no tokens must not appear to cost nothing.
    is_known = tokens > 0 or not answered
    return {
        "calls": asked.get(f"{model}: calls", 0),
        "answered": answered,
        "cached": asked.get(f"{model}: cached", 0),
        "failed": _failed(model, asked.items()),
        "tokens_read": tokens - written,
        "tokens_written": written,
        "cost": round(price.of(tokens, written), 4) if price is not None and is_known else None,
        "tasks": _task_reports(model, asked),
    }


def _task_reports(model: str, asked: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """Return the same figures for each prompt, by its name."""
    reports: dict[str, dict[str, int]] = {}
    for key in asked:
        named, _, outcome = key.rpartition(": ")
        prompt = named.removeprefix(f"{model}: ")
        if outcome not in ("ok", "cached") or prompt == named:
            continue
        tokens, written = (asked.get(f"{named}: {what}", 0) for what in ("tokens", "tokens written"))
        reports[prompt] = {
            "answered": asked.get(f"{named}: ok", 0),
            "cached": asked.get(f"{named}: cached", 0),
            "tokens_read": tokens - written,
            "tokens_written": written,
        }
    return dict(sorted(reports.items()))


def _failed(model: str, asked: Iterable[tuple[str, int]]) -> int:
    return sum(n for what, n in asked if what.startswith(f"{model}: failed: "))
