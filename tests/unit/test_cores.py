"""Cores that may be used, cores that are free, and how threads wait."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from redaes import cores


@pytest.fixture
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


def groups(tmp_path: Path, own: str, **files: str) -> tuple[Path, Path]:
    """A kernel's control groups; names of files have ``__`` for ``/`` and ``_`` for what they have."""
    root = tmp_path / "cgroup"
    root.mkdir()
    for name, text in files.items():
        file = root / name.replace("__", "/").replace("cpu_max", "cpu.max").replace("cpu_cfs", "cpu.cfs")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (tmp_path / "own").write_text(own)
    return root, tmp_path / "own"


@pytest.mark.usefixtures("eight")
@pytest.mark.parametrize(
    ("own", "files", "usable"),
    [
        ("0::/\n", {"cpu_max": "max 100000\n"}, 8),
        ("0::/\n", {"cpu_max": "250000 100000\n"}, 2),
        ("0::/\n", {"cpu_max": "50000 100000\n"}, 1),
        ("0::/\n", {"cpu_max": "9900000 100000\n"}, 8),
        ("0::/a/b\n", {"a__b__cpu_max": "max 100000", "a__cpu_max": "300000 100000"}, 3),
        ("0::/not/shown\n", {"cpu_max": "400000 100000"}, 4),
        ("4:cpu,cpuacct:/x\n0::/\n", {"cpu,cpuacct__x__cpu_cfs_quota_us": "200000\n",
                                      "cpu,cpuacct__x__cpu_cfs_period_us": "100000\n"}, 2),
        ("4:cpu,cpuacct:/x\n", {"cpu__cpu_cfs_quota_us": "150000\n", "cpu__cpu_cfs_period_us": "50000\n"}, 3),
        ("4:cpu:/\n", {"cpu__cpu_cfs_quota_us": "-1\n", "cpu__cpu_cfs_period_us": "100000\n"}, 8),
        ("0::/\n", {"cpu_max": "nonsense"}, 8),
        ("0::/\n", {}, 8),
    ],
)  # fmt: skip
def test_a_containers_share_bounds_the_cores(tmp_path: Path, own: str, files: dict[str, str], usable: int) -> None:
    assert cores.usable_cores(*groups(tmp_path, own, **files)) == usable


@pytest.mark.usefixtures("eight")
def test_without_control_groups_all_open_cores_are_usable(tmp_path: Path) -> None:
    assert cores.usable_cores(tmp_path / "no", tmp_path / "none") == 8


def test_idle_time_is_that_of_the_open_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 2}, raising=False)
    stat = tmp_path / "stat"
    # user nice system idle iowait irq softirq steal guest
    stat.write_text(
        "cpu  9 9 9 9\ncpu0 0 0 0 100 0 0 0 0 0\ncpu1 0 0 0 0 0 0 0 0 0\ncpu2 50 0 0 50 0 0 0 0 0\nintr 1\n"
    )

    def meanwhile(_: float) -> None:
        stat.write_text(
            "cpu  9 9 9 9\ncpu0 5 0 0 110 5 0 0 0 0\ncpu1 0 0 0 20 0 0 0 0 0\ncpu2 60 5 5 50 0 0 0 0 9\nintr 1\n"
        )

    monkeypatch.setattr(cores.time, "sleep", meanwhile)
    assert cores.idle_cores(stat=stat) == pytest.approx(15 / 20 + 0 / 20)


@pytest.mark.usefixtures("eight")
@pytest.mark.parametrize(("idle", "free"), [(7.8, 8), (2.4, 2), (0.1, 1), (0.0, 1)])
def test_free_cores_are_at_least_one(monkeypatch: pytest.MonkeyPatch, idle: float, free: int) -> None:
    monkeypatch.setattr(cores, "_share", lambda *_: None)
    monkeypatch.setattr(cores, "idle_cores", lambda: idle)
    assert cores.free_cores() == free


@pytest.mark.usefixtures("eight")
def test_without_the_kernels_count_the_load_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (5.5, 0.0, 0.0), raising=False)
    assert cores.idle_cores(stat=tmp_path / "none") == pytest.approx(2.5)


@pytest.mark.usefixtures("eight")
def test_threads_wait_asleep_and_are_as_many_as_the_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "_share", lambda *_: None)
    found: dict[str, str] = {}
    cores.prepare_threads(found)
    assert found == {"OMP_WAIT_POLICY": "passive"}
    monkeypatch.setattr(cores, "_share", lambda *_: 2.0)
    cores.prepare_threads(found)
    assert found == {"OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": "2"}


@pytest.mark.usefixtures("eight")
@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"])
def test_what_the_user_said_stands(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(cores, "_share", lambda *_: 2.0)
    said = {name: "0", "OMP_NUM_THREADS": "5"}
    found = dict(said)
    cores.prepare_threads(found)
    assert found == said


@pytest.mark.usefixtures("eight")
def test_processes_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "_share", lambda *_: None)
    monkeypatch.setattr(cores, "_threads_said", False)
    assert cores.threads_of_each(3) == {"OMP_NUM_THREADS": "2"}
    assert cores.threads_of_each(20) == {"OMP_NUM_THREADS": "1"}
    monkeypatch.setattr(cores, "_threads_said", True)
    assert cores.threads_of_each(3) == {}


def test_the_command_prepares_its_threads_before_anything_else() -> None:
    code = (
        "import sys, os; sys.argv = ['redaes', '--version']\nfrom redaes.cli import main\ntry:\n    main()\n"
        "except SystemExit:\n    pass\nprint(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    )
    clean = {name: value for name, value in os.environ.items() if name not in cores.WAITING}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=clean, timeout=60, check=True
    )
    assert done.stdout.splitlines()[-1] == "passive False"
