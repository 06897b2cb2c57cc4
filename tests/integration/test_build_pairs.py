"""``data_gen/build_pairs.py`` as a user runs it, on synthetic photographs."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from redaes.records import read_records
from redaes.types import SPLITS

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "data_gen" / "build_pairs.py"
FAST = ("--views", "1", "--variants", "2", "--max-side", "96")


def _photograph(path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = (180, 140)
    field = np.zeros((size[1], size[0], 3))
    for scale in (3, 10, 30):
        coarse = rng.integers(0, 256, (scale, scale, 3), dtype=np.uint8)
        field += np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)) / 3.0
    Image.fromarray(field.astype(np.uint8)).save(path)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 different photographs: three shards."""
    folder = tmp_path_factory.mktemp("photographs")
    for number in range(40):
        _photograph(folder / f"{number:02d}.png", number)
    with (folder / "LICENCES.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "licence"])
        rows.writerows([f"{number:02d}.png", "CC0"] for number in range(39))
    return folder


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}


def _run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        env=_environment(),
    )


def _build(photographs: Path, out: Path, *more: object) -> dict[str, object]:
    done = _run(photographs, "--out", out, *FAST, *more)
    assert done.returncode == 0, done.stderr
    report: dict[str, object] = json.loads((out / "report.json").read_text())
    return report


def _refused(*arguments: object) -> str:
    done = _run(*arguments)
    assert done.returncode == 2, (done.returncode, done.stderr)
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


@pytest.fixture(scope="module")
def dataset(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("built") / "pairs"
    _build(photographs, out)
    return out


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def test_datasets_loads_the_folder_with_pictures(dataset: Path, tmp_path: Path) -> None:
    import datasets

    loaded = datasets.load_dataset(str(dataset), cache_dir=str(tmp_path))
    assert set(loaded) == set(SPLITS)
    for split in SPLITS:
        assert isinstance(loaded[split].features["first"], datasets.Image)
        row = loaded[split][0]
        assert row["first"].size == row["second"].size
        assert max(row["first"].size) == 96
        assert row["rationale"]["text"]


def test_no_photograph_is_in_two_splits(dataset: Path) -> None:
    sources = {split: {r.pair.source for r in read_records(dataset, split)} for split in SPLITS}
    assert sources["train"].isdisjoint(sources["test"])
    ids = {split: {r.pair.first.id for r in read_records(dataset, split)} for split in SPLITS}
    assert ids["train"].isdisjoint(ids["test"])


def test_the_report_adds_up(dataset: Path) -> None:
    report = json.loads((dataset / "report.json").read_text())
    read = {split: list(read_records(dataset, split)) for split in SPLITS}
    assert {split: len(found) for split, found in read.items()} == report["pairs"]
    assert sum(report["kept_by_factor"].values()) == sum(report["pairs"].values())
    assert report["photographs"] == {"train": 32, "test": 8}
    assert report["licences"] == {"CC0": 39, "not stated": 1}
    parts = [json.loads(path.read_text()) for path in (dataset / "shards").glob("*.json")]
    assert sum(part["pairs"] for part in parts) == sum(report["pairs"].values())
    for record in read["train"]:
        assert (", ".join(record.pair.factors) or "tie") in report["kept_by_factor"]


def test_another_place_and_more_workers_give_the_same_bytes(photographs: Path, dataset: Path, tmp_path: Path) -> None:
    _build(photographs, tmp_path / "elsewhere", "--workers", 2)
    assert _files(tmp_path / "elsewhere") == _files(dataset)


def test_a_lost_shard_is_made_again(photographs: Path, dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs"
    _build(photographs, out)
    kept = (out / "data" / "train-00001.parquet").stat().st_mtime_ns
    (out / "data" / "train-00000.parquet").unlink()
    (out / "report.json").unlink()
    (out / "data" / ".train-00000.parquet.1.tmp").write_bytes(b"half")
    _build(photographs, out)
    assert _files(out) == _files(dataset)
    assert (out / "data" / "train-00001.parquet").stat().st_mtime_ns == kept


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_build_goes_on(photographs: Path, dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs"
    command = [sys.executable, str(SCRIPT), str(photographs), "--out", str(out), *FAST]
    with subprocess.Popen(command, env=_environment(), stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not list(out.glob("shards/*.json")) and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
    assert not (out / "report.json").exists()
    assert 0 < len(list(out.glob("data/*.parquet"))) < 3
    _build(photographs, out)
    assert _files(out) == _files(dataset)


def test_other_settings_or_photographs_are_refused(photographs: Path, dataset: Path, tmp_path: Path) -> None:
    before = _files(dataset)
    assert "views: 1 -> 2" in _refused(photographs, "--out", dataset, *FAST, "--views", "2")
    for number in range(2):
        _photograph(tmp_path / f"{number}.png", 100 + number)
    assert "other photographs" in _refused(tmp_path, "--out", dataset, *FAST)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train-00000.parquet").write_bytes(b"someone's")
    assert "not built here" in _refused(photographs, "--out", tmp_path, *FAST)
    assert _files(dataset) == before


def test_unusable_photographs_are_named_and_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    for number in range(3):
        _photograph(folder / f"{number}.png", number)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut off")
    (folder / "copy.png").write_bytes((folder / "0.png").read_bytes())
    Image.new("RGB", (20, 20)).save(folder / "tiny.png")
    done = _run(folder, "--out", tmp_path / "out", *FAST, "--views", "3")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    rejected = {item["file"]: item["reason"].partition(":")[0] for item in report["rejected_photographs"]}
    assert rejected == {"broken.jpg": "unreadable", "copy.png": "duplicate", "tiny.png": "too_small"}
    assert sum(report["photographs"].values()) == 3
    for name in rejected:
        assert name in done.stdout


def _arguments(folder: Path, case: str) -> Sequence[object]:
    (folder / "empty").mkdir()
    (folder / "file").write_text("x")
    (folder / "one").mkdir()
    _photograph(folder / "one" / "a.png", 0)
    (folder / "badcsv").mkdir()
    _photograph(folder / "badcsv" / "a.png", 0)
    (folder / "badcsv" / "LICENCES.csv").write_bytes(b"file;licence\n\xff")
    for name, text in (
        ("unknown", "vews: 3"),
        ("list", "- 3"),
        ("broken", "views: ["),
        ("nan", "views: .nan"),
        ("workers", "workers: many"),
    ):
        (folder / f"{name}.yaml").write_text(text)
    out = ("--out", folder / "out")
    return {
        "empty": (folder / "empty", *out),
        "missing": (folder / "gone", *out),
        "one": (folder / "one", *out),
        "fraction": ("--test-fraction", "nan", *out),
        "zero": ("--workers", "0", *out),
        "csv": (folder / "badcsv", *out),
        "recipe": ("--config", folder / "gone.yaml", *out),
        **{
            name: ("--config", folder / f"{name}.yaml", *out)
            for name in ("unknown", "list", "broken", "nan", "workers")
        },
    }[case]


@pytest.mark.parametrize(
    ("case", "says"),
    [
        ("empty", "no pictures found"),
        ("missing", "no such file or folder"),
        ("one", "give at least two"),
        ("fraction", "test_fraction"),
        ("zero", "workers is 0"),
        ("csv", "LICENCES.csv"),
        ("recipe", "gone.yaml cannot be read"),
        ("unknown", "unknown keys: vews; known: views, variants"),
        ("list", "not a YAML mapping"),
        ("broken", "broken.yaml is not YAML"),
        ("nan", "views is nan"),
        ("workers", "workers is 'many'"),
    ],
)
def test_bad_input_is_one_clear_line(tmp_path: Path, case: str, says: str) -> None:
    assert says in _refused(*_arguments(tmp_path, case))


def test_a_value_that_is_no_number_is_said_of_its_option(tmp_path: Path) -> None:
    done = _run("--views", "nan", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "Invalid value for '--views'" in done.stderr


def test_an_output_that_is_a_file_is_named(photographs: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert "file cannot be created" in _refused(photographs, "--out", tmp_path / "file", *FAST)


def test_the_command_line_goes_before_the_recipe(photographs: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("views: 1\nvariants: 4\nmax_side: 96\nseed: 5\n")
    done = _run(
        photographs / "00.png", photographs / "01.png", "--config", recipe, "--seed", "6", "--out", tmp_path / "o"
    )
    assert done.returncode == 0, done.stderr
    settings = json.loads((tmp_path / "o" / "plan.json").read_text())["settings"]
    assert (settings["views"], settings["seed"]) == (1, 6)


@pytest.mark.parametrize("recipe", sorted((ROOT / "data_gen" / "configs").glob("*.yaml")), ids=lambda p: p.stem)
def test_the_recipes_that_ship_are_valid(recipe: Path, tmp_path: Path) -> None:
    _photograph(tmp_path / "only.png", 0)  # far enough to have read the recipe
    assert "give at least two" in _refused(tmp_path, "--config", recipe, "--out", tmp_path / "out")
