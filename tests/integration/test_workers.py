"""Batches are the same whoever makes them: this process, or workers that are started afresh and get all by pickling.

``spawn`` is how macOS and Windows start workers, ``forkserver`` Linux from Python 3.14 on.
"""

from __future__ import annotations

import dataclasses
import hashlib
import multiprocessing
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from test_fgaesq_training import data as series_lists  # noqa: F401  # a fixture
from test_fgaesq_training import settings
from test_stages import RECIPES, STAGES, arguments
from transformers import Trainer

from redaes.training.fgaesq import run_fgaesq
from redaes.training.recipes import parse
from redaes.training.warmup_reading import ReadingConfig, run_reading
from redaes.training.warmup_vision import VisionConfig, run_vision

METHODS = ("spawn", "forkserver")


class _Ready(Exception):
    """The trainer would begin."""


def digest(value: Any) -> str:
    """What a batch holds, tensors and pictures included."""
    if isinstance(value, torch.Tensor):
        return hashlib.sha256(value.contiguous().numpy().tobytes()).hexdigest()
    if isinstance(value, dict) or hasattr(value, "items"):
        return str({name: digest(part) for name, part in value.items()})
    if isinstance(value, list | tuple):
        return str([digest(part) for part in value])
    if dataclasses.is_dataclass(value):
        return digest(vars(value))
    return hashlib.sha256(value.tobytes()).hexdigest() if hasattr(value, "tobytes") else repr(value)


def first_batch(dataset: Any, collate: Callable[[list[Any]], Any], rows: list[Any]) -> str:
    """As torch's workers make it."""
    return digest(
        collate(dataset.__getitems__(rows) if hasattr(dataset, "__getitems__") else [dataset[r] for r in rows])
    )


def in_a_worker(sent: bytes, results: Any) -> None:
    """Of a fresh process."""
    for name, dataset, collate, init, rows in pickle.loads(sent):
        assert callable(init) or init is None
        results.put((name, first_batch(dataset, collate, rows)))


@pytest.fixture
def loaders(
    tiny_model: Path, red_folder: Path, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[Any, ...]]:
    """What each stage's first batch is made with."""
    trainers: list[Trainer] = []

    def stop(self: Trainer, *_: Any, **__: Any) -> None:
        trainers.append(self)
        raise _Ready

    monkeypatch.setattr(Trainer, "train", stop)
    for stage in STAGES:
        with pytest.raises(_Ready):
            STAGES[stage][1](*arguments(stage, tiny_model, red_folder, tmp_path / stage))
    warm_ups = (("warmup_vision", VisionConfig, run_vision), ("warmup_reading", ReadingConfig, run_reading))
    for name, config_class, run in warm_ups:
        argv = ["--model", str(tiny_model), "--data", str(red_folder), "--output_dir", str(tmp_path / name),
                "--per_device_train_batch_size", "4", "--bf16", "false", "--leave_out", "tilt"]  # fmt: skip
        argv += ["--matching_weight", "1"] if name == "warmup_vision" else []
        with pytest.raises(_Ready):
            run(*parse(config_class, RECIPES / f"{name}_nano.yaml", argv))
    with pytest.raises(_Ready):
        run_fgaesq(*settings(request.getfixturevalue("series_lists"), tmp_path / "fgaesq"))
    found = []
    for name, trainer in zip([*STAGES, "warmup_vision", "warmup_reading", "fgaesq"], trainers, strict=True):
        loader = trainer.get_train_dataloader()
        rows = list(next(iter(loader.batch_sampler)))
        found.append((name, loader.dataset, loader.collate_fn, loader.worker_init_fn, rows))
    return found


def test_workers_that_are_started_afresh_make_the_same_batches(loaders: list[tuple[Any, ...]]) -> None:
    here = {name: first_batch(dataset, collate, rows) for name, dataset, collate, _, rows in loaders}
    sent = pickle.dumps(loaders)
    for method in METHODS:
        context: Any = multiprocessing.get_context(method)
        results = context.Queue()
        worker = context.Process(target=in_a_worker, args=(sent, results))
        worker.start()
        there = dict(results.get(timeout=120) for _ in loaders)
        worker.join()
        assert there == here, method


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_runs_with_workers_that_are_started_afresh(
    stage: str, method: str, tiny_model: Path, red_folder: Path, tmp_path: Path
) -> None:
    more = ["--dataloader_num_workers", "2", "--dataloader_multiprocessing_context", method]
    STAGES[stage][1](*arguments(stage, tiny_model, red_folder, tmp_path / stage, "--max_steps", "1", *more))
