"""Workers of a panel that end otherwise than they should are told of, and nobody waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from redaes.datagen import panel_crew
from redaes.datagen.chunks import Chunk
from redaes.datagen.dataset_settings import DatasetSettings
from redaes.datagen.panel import Panel
from redaes.datagen.panel_crew import PanelJob, run_panel
from redaes.errors import RedaesError

PANEL = Panel(endpoint="http://127.0.0.1:1/v1", judges=("judge",), writer="writer", editors=("embedded",))
TASKS = [(number, Chunk(f"train-{number:05d}", ())) for number in range(2)]


class _Worker:
    """The first of them fails as no program should; the other takes long to begin."""

    n_chunks_ahead = 2

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def __aenter__(self) -> _Worker:
        try:
            (self.folder / "first").touch(exist_ok=False)
        except FileExistsError:
            await asyncio.sleep(60)
            (self.folder / "awake").touch()
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def write_chunk(self, number: int, chunk: Chunk) -> dict[str, Any]:
        await asyncio.sleep(0.5)  # its other hand has asked for a chunk by now, and gets no answer yet
        raise ValueError("a fault of the program")


class _Job(PanelJob):
    def worker(self, devices: Sequence[str]) -> Any:
        return _Worker(self.folder)


def test_a_fault_in_a_process_ends_the_run_at_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    job = _Job(PANEL, tmp_path, DatasetSettings(), tmp_path / "run")
    with pytest.raises(RedaesError, match="code 1, for the error above"):
        run_panel(job, TASKS, lambda task, counts: None, engine="local", workers=2)
    assert "a fault of the program" in capfd.readouterr().err
    assert not (tmp_path / "awake").exists()


class _Ray:
    """Two actors, the second of which is never ready."""

    class exceptions:  # as Ray has it
        class RayActorError(Exception):
            pass

    def __init__(self) -> None:
        self.n_hired = 0
        self.closed = 0

    def cluster_resources(self) -> dict[str, float]:
        return {}

    def remote(self, kind: type) -> _Ray:
        return self

    def options(self, **_: object) -> _Hire:
        return _Hire(self)

    def wait(
        self, references: list[Any], num_returns: int, timeout: float | None = None
    ) -> tuple[list[Any], list[Any]]:
        if not 0 < num_returns <= len(references):
            raise ValueError("num_returns cannot be greater than the number of ray_waitables provided")
        ready = [reference for reference in references if reference.answer is not None]
        return ready[:num_returns], []

    def get(self, reference: _Reference) -> Any:
        return reference.answer


class _Hire:
    def __init__(self, ray: _Ray) -> None:
        self.ray = ray

    def remote(self, job: PanelJob) -> _FakeActor:
        self.ray.n_hired += 1
        return _FakeActor(self.ray, is_ready=self.ray.n_hired == 1)


class _Reference:
    def __init__(self, answer: Any) -> None:
        self.answer = answer


class _Call:
    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def remote(self, *_: object) -> _Reference:
        return _Reference(self.answer() if callable(self.answer) else self.answer)


class _FakeActor:
    def __init__(self, ray: _Ray, *, is_ready: bool) -> None:
        numbers = iter(range(1, 100))
        self.open = _Call(2 if is_ready else None)
        self.write = _Call(lambda: {"pairs": next(numbers)})

        def close() -> str:
            ray.closed += 1
            return "closed"

        self.close = _Call(close)


def test_an_actor_that_never_began_does_not_spoil_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray, taken = _Ray(), []

    @contextmanager
    def cluster(workers: int) -> Iterator[_Ray]:
        yield ray

    monkeypatch.setattr(panel_crew, "ray_cluster", cluster)
    job = PanelJob(PANEL, tmp_path, DatasetSettings(), tmp_path / "run")
    run_panel(job, TASKS * 2, lambda task, counts: taken.append(counts), engine="ray", workers=2)
    assert len(taken) == 4
    assert ray.closed == 1
