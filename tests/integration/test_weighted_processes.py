"""A built and an imported set merged with weights: two processes draw what one draws, and a killed run what was left;
a merge that is killed leaves nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from own_pairs import write_own_pairs
from own_votes import import_votes
from safetensors.torch import load_file
from test_processes import BIN, curve, finish, launch
from train_runs import GROUPED, POLICY, STAGES, train

from redaes.datagen.merged_dataset import merge_datasets
from redaes.datagen.merged_sets import sets_to_merge
from redaes.datagen.validation import validate
from redaes.file_writing import read_json
from redaes.records import load_pairs, read_records, write_shard

TORCHRUN = [str(BIN / "torchrun"), "--nproc_per_node", "2"]
BATCH = {"stage1": 12, "stage2": 6, "stage2_dpo": 12}
"""Rows of a step, which part an epoch of the set below evenly: several processes fill a last one up."""
STEPS = {"stage1": 8, "stage2": 6, "stage2_dpo": 8, "stage3": 4}
"""More than an epoch; of stage 3, two generations and more."""


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve built pairs that come every other time, and imported ones, most without reasoning, that come twice."""
    place = tmp_path_factory.mktemp("mixed")
    built = write_own_pairs(place / "built", 4, 2)
    merge_datasets(sets_to_merge([built, import_votes(place, 9)], [0.5, 2]), place / "both")
    return place / "both"


def arguments(stage: str, data: Path, out: Path, n_processes: int) -> list[str]:
    more = POLICY if stage in GROUPED else ["--model", "redaes/nano"]
    if stage not in GROUPED:
        more = [*more, "--per_device_train_batch_size", str(BATCH[stage] // n_processes)]
    return [
        *more, "--data", str(data), "--output_dir", str(out), "--max_steps", str(STEPS[stage]),
        "--save_steps", str(STEPS[stage] // 2), "--learning_rate", "1e-3", "--warmup_steps", "0", "--bf16", "false",
        "--disable_tqdm", "true", "--logging_steps", "1",
    ]  # fmt: skip


def test_two_processes_draw_what_one_draws(mixed: Path, tmp_path: Path) -> None:
    stages = ["stage1", "stage2"]
    finish(
        TORCHRUN,
        [(stage, arguments(stage, mixed, tmp_path / f"{stage}-two", 2)) for stage in stages],
        tmp_path,
        ACCELERATE_USE_CPU="true",
    )
    for stage in stages:
        train(stage, arguments(stage, mixed, tmp_path / f"{stage}-one", 1))
        names = ("preference", "antisymmetry", "thurstone", "nll") if stage == "stage2" else ()
        one, two = (tmp_path / f"{stage}-{n}" / "final" for n in ("one", "two"))
        for got, wanted in zip(curve(two, *names), curve(one, *names), strict=True):
            assert got == pytest.approx(wanted, rel=2e-3), stage
        assert read_json(two / "trainer_state.json")["epoch"] > 1
        assert {part["weight"] for part in read_json(two / "run_record.json")["merged_from"].values()} == {0.5, 2.0}


@pytest.mark.slow
@pytest.mark.parametrize("stage", [*STAGES, *GROUPED])
def test_two_processes_that_are_killed_draw_what_was_left(stage: str, mixed: Path, tmp_path: Path) -> None:
    runs = {name: [(stage, arguments(stage, mixed, tmp_path / name, 2))] for name in ("whole", "cut")}
    finish(TORCHRUN, runs["whole"], tmp_path, ACCELERATE_USE_CPU="true")
    killed = launch(TORCHRUN, runs["cut"], tmp_path, "kill", ACCELERATE_USE_CPU="true")
    assert killed.returncode != 0
    assert not (tmp_path / "cut" / "final").exists()
    finish(TORCHRUN, runs["cut"], tmp_path, ACCELERATE_USE_CPU="true")
    whole, cut = (tmp_path / name / "final" for name in ("whole", "cut"))
    assert "checkpoint-" in read_json(cut / "run_record.json")["resumed_from"]
    wanted, got = (load_file(folder / "adapter_model.safetensors") for folder in (whole, cut))
    for name, value in wanted.items():
        torch.testing.assert_close(got[name], value, atol=1e-6, rtol=1e-4)


def test_a_merge_that_is_killed_leaves_no_dataset_and_comes_again(mixed: Path, tmp_path: Path) -> None:
    """Many small shards, so that it can be killed between two."""
    sets = [tmp_path / name for name in ("built", "set")]
    for one in sets:
        shutil.copytree(mixed.parent / one.name, one)
    (first,) = (sets[0] / "data").glob("train-*.parquet")
    records = list(read_records(sets[0], "train"))
    first.unlink()
    for number, record in enumerate(records):
        write_shard(sets[0] / "data" / f"train-{number:05d}.parquet", [record])
    out = tmp_path / "both"
    command = [sys.executable, "-m", "redaes", "data", "merge", *map(str, sets), "--out", str(out)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    begun = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while len(list(tmp_path.glob(".both*/data/*.parquet"))) < 2:
            assert begun.poll() is None, "it was done before it could be killed"
            time.sleep(0.002)
    finally:
        begun.send_signal(signal.SIGKILL)
        begun.wait()
    assert not out.exists()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    assert not validate(out).wrong
    assert len(load_pairs(out, "train")) == len(load_pairs(mixed, "train"))
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".both")] == []
