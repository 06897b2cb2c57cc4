"""The benchmarks that say whether something holds, at small sizes: they end with 0 where it does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from redaes.samples import sample_photographs

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def benchmark(name: str, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / name), *map(str, arguments)],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=1200,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_a_folder_is_ranked_although_killed_twice(tmp_path: Path) -> None:
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    for sample in sample_photographs():
        shutil.copy(sample.path, photographs / f"{sample.name}{sample.path.suffix}")
    said = benchmark("rank_folder.py", photographs, "--pictures", 24, "--work", tmp_path / "work")
    assert said.count("killed with") == 2
    assert "byte for byte: True" in said


def test_held_answers_of_random_weights_are_all_read(tmp_path: Path) -> None:
    sizes = ("--vocabulary", 3000, "--hidden", 64, "--layers", 2, "--tokens", 150, "--repeats", 1)
    benchmark("constrained.py", *sizes, "--out", tmp_path / "held.json")
    for found in json.loads((tmp_path / "held.json").read_text()):
        assert found["read"] == {"free": 0, "held": found["answers"]}


def test_the_service_withstands_attacks(tmp_path: Path) -> None:
    sizes = ("--examples", 5, "--pictures", 40, "--connections", 30)
    benchmark("service_attack.py", *sizes, "--out", tmp_path / "attack.json")
    found = json.loads((tmp_path / "attack.json").read_text())
    assert found["schema"]["sent"] >= 10
    assert found["pictures"]["sent"] == 40
    assert any(kind.endswith(": 413") for kind in found["pictures"]["ended"])
    assert len(found["cache"]["pairs"]) == 6


def test_the_service_under_load(tmp_path: Path) -> None:
    sizes = ("--requests", 60, "--clients", 20, "--seconds", 2)
    benchmark("service_load.py", *sizes, "--out", tmp_path / "load.json")
    found = json.loads((tmp_path / "load.json").read_text())
    assert found["failures"] == {}
    assert found["status_after_sigterm"] == 0


def test_goals_are_told_met_or_missed_and_kept(tmp_path: Path) -> None:
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    for sample in sample_photographs():
        shutil.copy(sample.path, photographs / f"{sample.name}{sample.path.suffix}")
    sizes = (
        "--limit",
        2,
        "--each",
        1,
        "--reasoned",
        2,
        "--cases",
        1,
        "--test-fraction",
        0.4,
        "--out",
        tmp_path / "goals",
    )
    said = benchmark("independent_edits.py", photographs, "--against", "redaes/nano-base", *sizes)
    rows = [line.split("|") for line in said.splitlines() if line.startswith("| ")][1:]
    assert {row[4].strip() for row in rows} <= {"met", "missed", "not measured", ""}
    assert {row[1].strip() for row in rows} >= {"light: right", "all: right", "tilt 4°: preferred the right way"}
    kept = sorted((tmp_path / "goals").iterdir())
    assert len(kept) == 2  # of each model
    before = [file.stat().st_mtime_ns for file in kept]
    assert benchmark("independent_edits.py", photographs, "--against", "redaes/nano-base", *sizes) == said
    assert [file.stat().st_mtime_ns for file in kept] == before
