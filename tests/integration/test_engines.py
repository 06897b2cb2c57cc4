"""The engines make the same dataset; a failing row loses itself; what was killed goes on, with either engine."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from redaes.datagen.dataset_settings import DatasetSettings
from redaes.datagen.engine import run_local
from redaes.datagen.pipeline import build
from redaes.datagen.plan import PLAN, PlannedEdit, read_plan, write_plan
from redaes.errors import InputError
from redaes.records import data_hash, read_records
from redaes.types import SPLITS
from tests.conftest import synthetic_photograph

SETTINGS = DatasetSettings(views=1, variants=2, max_side=96, test_fraction=0.2, seed=3)
ROOT = Path(__file__).resolve().parents[2]
BUILD = """
import sys
from pathlib import Path
from redaes.datagen.dataset_settings import DatasetSettings
from redaes.datagen.pipeline import build
if __name__ == "__main__":
    settings = DatasetSettings(views=1, variants=2, max_side=96, test_fraction=0.2, seed=3)
    build([Path(sys.argv[1])], Path(sys.argv[2]), settings, workers=2, engine=sys.argv[3])
"""


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 photographs: four shards."""
    folder = tmp_path_factory.mktemp("photographs")
    for number in range(60):
        synthetic_photograph(number, 180, 140).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def whole(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built without interruption, in this process."""
    folder = tmp_path_factory.mktemp("whole") / "pairs"
    build([photographs], folder, SETTINGS)
    return folder


def _threads(_: int) -> dict[str, Any]:
    """Most threads that a library of this process may take."""
    import cv2
    import numpy  # noqa: F401  # its BLAS is among those counted
    from threadpoolctl import threadpool_info

    return {"BLAS": max(pool["num_threads"] for pool in threadpool_info()), "OpenCV": cv2.getNumThreads()}


def test_workers_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    found = [result for _, result in run_local(_threads, range(2), 2)]
    assert found == [{"BLAS": 1, "OpenCV": 1}] * 2


def _with_a_bad_row_in_each_shard(whole: Path, folder: Path) -> list[PlannedEdit]:
    """The plan of ``whole``, with one edit in each chunk that no editor knows; returns those."""
    folder.mkdir()
    (folder / "plan.json").write_bytes((whole / "plan.json").read_bytes())
    chunks = [read_plan(whole / PLAN, number) for number in range(4)]
    spoiled = []
    for rows in chunks:
        place = next(n for n, row in enumerate(rows) if row.role == "member")
        rows[place] = replace(rows[place], edit=rows[place].edit.model_copy(update={"operation": "no_such"}))
        spoiled.append(rows[place])
    write_plan(folder / PLAN, chunks)
    return spoiled


@pytest.mark.parametrize("engine", ["local", "ray"])
def test_a_failing_row_in_each_shard_loses_only_that_row(
    engine: str, photographs: Path, whole: Path, tmp_path: Path
) -> None:
    if engine == "ray":
        pytest.importorskip("ray")
    folder = tmp_path / "pairs"
    spoiled = _with_a_bad_row_in_each_shard(whole, folder)
    report = build([photographs], folder, SETTINGS, workers=2, engine=engine)
    assert sorted(item["row"] for item in report["failed"]) == sorted(row.id for row in spoiled)
    assert all("no_such" in item["error"] for item in report["failed"])
    groups = {row.group for row in spoiled}
    lost = 0
    for split in SPLITS:
        before, after = ({r.pair.id: r for r in read_records(f, split)} for f in (whole, folder))
        lost += len(set(before) - set(after))
        assert {id_ for id_, r in before.items() if r.pair.group not in groups} <= set(after)
        assert all(after[id_] == before[id_] for id_ in after)
    assert lost > 0


def test_ray_makes_the_same_dataset(photographs: Path, whole: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    build([photographs], tmp_path / "pairs", SETTINGS, workers=2, engine="ray")
    assert data_hash(tmp_path / "pairs") == data_hash(whole)


def test_an_unknown_engine_is_named(photographs: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="engine is 'spark'; give one of local, ray"):
        build([photographs], tmp_path / "pairs", SETTINGS, engine="spark")


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_workers_end_with_their_parent(photographs: Path, tmp_path: Path) -> None:
    psutil = pytest.importorskip("psutil")
    script, out = tmp_path / "build.py", tmp_path / "pairs"
    script.write_text(BUILD)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, str(script), str(photographs), str(out), "local"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not list(out.glob("shards/*.json")) and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.01)
        workers = psutil.Process(process.pid).children(recursive=True)
        process.kill()
    assert workers
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert not alive


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize("engine", ["local", pytest.param("ray", marks=pytest.mark.slow)])
def test_killed_at_ten_random_moments(engine: str, photographs: Path, whole: Path, tmp_path: Path) -> None:
    if engine == "ray":
        pytest.importorskip("ray")
    script, out = tmp_path / "build.py", tmp_path / "pairs"
    script.write_text(BUILD)
    command = [sys.executable, str(script), str(photographs), str(out), engine]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    rng = random.Random(7)
    # From the first import to the last shard; a build that ended is begun again with one shard less.
    longest = 20.0 if engine == "ray" else 6.0
    for _ in range(10):
        if (out / "report.json").exists():
            (out / "report.json").unlink()
            rng.choice(sorted((out / "data").glob("*.parquet"))).unlink()
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        ) as process:
            deadline = time.monotonic() + rng.uniform(0.5, longest)
            while process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.02)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert data_hash(out) == data_hash(whole)
    assert json.loads((out / "report.json").read_text()) == json.loads((whole / "report.json").read_text())
    ids = [record.pair.id for split in SPLITS for record in read_records(out, split)]
    assert len(set(ids)) == len(ids)
