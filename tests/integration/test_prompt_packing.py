"""Prompts read in packed rows are read as each is by itself, and what they share is read once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from families import build
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from redaes import prompts
from redaes.answers import SCORE_CHOICES, SCORE_PREFIX, WINNER_PREFIX
from redaes.attention.token_trees import BRANCHES
from redaes.backends.base import Request
from redaes.backends.local import LocalBackend
from redaes.backends.prompt_packing import PromptPacker
from redaes.types import Sampling

CHOICES = (" A", " B", " tie")
PACKED = ("qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe")
SIZES = [(64, 64), (96, 64), (64, 96), (90, 70), (64, 64)]


def picture(seed: int) -> Image.Image:
    width, height = SIZES[seed]
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


PICTURES = [picture(seed) for seed in range(len(SIZES))]


def asked(pictures: list[Image.Image], name: str = "compare_fast/v1") -> list[Request]:
    """About every pair, in both orders."""
    return [Request(prompts.load(name), pair, WINNER_PREFIX) for pair in permutations(pictures, 2)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: build(name, tmp_path_factory.mktemp(name) / "model") for name in (*PACKED, "qwen3_5")}


class Watched:
    """What a backend's network reads from now on."""

    def __init__(self, backend: Any) -> None:
        self.rows: list[dict[str, Any]] = []
        self.n_looked_at = 0
        network = backend._network
        network.register_forward_pre_hook(lambda _, __, named: self.rows.append(named), with_kwargs=True)
        forward = network.model.visual.forward

        def looked_at(patches: Tensor, grid_thw: Tensor, **named: Any) -> Any:
            self.n_looked_at += len(grid_thw)
            return forward(patches, grid_thw=grid_thw, **named)

        network.model.visual.forward = looked_at

    @property
    def n_tokens(self) -> int:
        return sum(row["input_ids"].numel() for row in self.rows)


def padded(folder: Path, requests: list[Request], batch_size: int = 8, **dtype: Any) -> NDArray[np.float64]:
    """Read in padded batches."""
    backend = LocalBackend(folder, device="cpu", batch_size=batch_size, **dtype)
    backend._packs = False
    watched = Watched(backend)
    rows = backend.read(requests, CHOICES)
    assert all(BRANCHES not in row for row in watched.rows)
    return rows


@pytest.mark.parametrize("family", PACKED)
def test_packed_rows_are_read_as_padded_ones(family: str, folders: dict[str, Path]) -> None:
    requests = asked(PICTURES)
    wanted = padded(folders[family], requests)
    assert np.ptp(wanted, axis=0).min() > 1e-2  # the requests do differ
    for batch_size in (1, 3, 64):
        backend = LocalBackend(folders[family], device="cpu", batch_size=batch_size)
        watched = Watched(backend)
        assert np.abs(backend.read(requests, CHOICES) - wanted).max() <= 1e-5
        assert watched.n_looked_at == len(PICTURES)
        n_whole = [len(backend._inputs([one], [backend._text(one)])["input_ids"][0]) for one in requests]
        assert all(row["input_ids"].numel() <= batch_size * max(n_whole) for row in watched.rows)
        assert watched.n_tokens < 0.85 * sum(n_whole)
        # What was kept is taken up, in another order and beside new questions.
        before = watched.n_tokens
        assert np.abs(backend.read(requests[::-1], CHOICES)[::-1] - wanted).max() <= 1e-5
        assert watched.n_looked_at == len(PICTURES)
        assert watched.n_tokens - before < before


def test_what_is_kept_changes_no_digit(folders: dict[str, Path]) -> None:
    """A run that goes on after a kill has kept nothing, and must come to the same answers."""
    rounds = [asked(PICTURES[:3]), asked(PICTURES[2:]), asked([PICTURES[0], PICTURES[3]]), asked(PICTURES[1:4])]
    backend = LocalBackend(folders["qwen3_vl"], device="cpu", batch_size=3)
    for requests in rounds:
        fresh = LocalBackend(folders["qwen3_vl"], device="cpu", batch_size=3)
        assert np.array_equal(backend.read(requests, CHOICES), fresh.read(requests, CHOICES))


def test_what_is_asked_about_one_pair_is_read_as_before(folders: dict[str, Path]) -> None:
    requests = asked(PICTURES[:2])
    backend = LocalBackend(folders["qwen3_vl"], device="cpu")
    watched = Watched(backend)
    assert np.abs(backend.read(requests, CHOICES) - padded(folders["qwen3_vl"], requests)).max() <= 1e-5
    assert (len(watched.rows), watched.n_looked_at) == (1, 2)


def test_prompts_of_several_kinds_and_equal_pictures(folders: dict[str, Path]) -> None:
    """Of other words before, between and after the pictures; a picture with itself, and another object like it."""
    measured = prompts.load("compare_fast_measured/v1")
    kinds = [prompts.load("compare_fast/v1"), *map(prompts.load, prompts.PARAPHRASES["fast"])]
    kinds += [measured.fill(evidence=words) for words in ("noise | 0.9 | 3.2", "noise | 3.2 | 0.9")]
    same = PICTURES[0].copy()
    pairs = [(PICTURES[0], PICTURES[1]), (same, PICTURES[4]), (PICTURES[0], same), (PICTURES[4], PICTURES[0])]
    requests = [Request(kind, pair, WINNER_PREFIX) for pair in pairs for kind in kinds]
    backend = LocalBackend(folders["qwen3_vl"], device="cpu", batch_size=5)
    watched = Watched(backend)
    assert np.abs(backend.read(requests, CHOICES) - padded(folders["qwen3_vl"], requests)).max() <= 1e-5
    assert watched.n_looked_at == 3


def test_single_pictures_are_scored_as_before(folders: dict[str, Path]) -> None:
    requests = [Request(prompts.load("score/v1"), (one,), SCORE_PREFIX) for one in (*PICTURES, PICTURES[0])]
    backends = [LocalBackend(folders["qwen3_vl"], device="cpu", batch_size=3) for _ in range(2)]
    backends[1]._packs = False
    packed, wanted = (backend.read(requests, SCORE_CHOICES) for backend in backends)
    assert np.abs(packed - wanted).max() <= 1e-5


@pytest.mark.parametrize("most_bytes", [0, 40_000, 500_000])
def test_what_does_not_fit_is_read_again(most_bytes: int, folders: dict[str, Path]) -> None:
    requests = asked(PICTURES)
    wanted = padded(folders["qwen3_vl"], requests)
    backend = LocalBackend(folders["qwen3_vl"], device="cpu", batch_size=3)
    packer = PromptPacker(backend._network, backend._processor, 3, most_bytes=most_bytes)
    backend._packer = packer
    for _ in range(2):
        assert np.abs(backend.read(requests, CHOICES) - wanted).max() <= 1e-5
        for kept in (packer._pictures, packer._beginnings):
            assert kept.n_bytes <= most_bytes
            assert (kept.n_bytes == 0) == (most_bytes == 0)


def test_half_precision_is_as_near_as_padded_batches_are(folders: dict[str, Path]) -> None:
    requests = asked(PICTURES)
    half = {"dtype": torch.bfloat16}
    exact = padded(folders["qwen3_vl"], requests)
    packed = LocalBackend(folders["qwen3_vl"], device="cpu", **half).read(requests, CHOICES)
    before = padded(folders["qwen3_vl"], requests, **half)
    assert np.abs(packed - exact).mean() < 1.5 * np.abs(before - exact).mean()


def test_a_model_under_training_is_left_as_it_was(folders: dict[str, Path]) -> None:
    backend = LocalBackend(folders["qwen3_vl"], device="cpu")
    model, requests = backend._network, asked(PICTURES[:3])
    attention = model.config.text_config._attn_implementation
    borrowed = LocalBackend.from_model(model, backend._processor, "run", "step 7")
    before = borrowed.read(requests, CHOICES)
    assert model.config.text_config._attn_implementation == attention
    assert "forward" not in vars(model.model.visual)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.1)
    after = borrowed.read(requests, CHOICES)
    assert np.abs(after - before).max() > 1e-3  # nothing was kept of the weights of before
    borrowed._packs = False
    assert np.abs(after - borrowed.read(requests, CHOICES)).max() <= 1e-5


def test_other_models_read_in_padded_batches(folders: dict[str, Path]) -> None:
    backend = LocalBackend(folders["qwen3_5"], device="cpu")
    assert not backend._packs
    watched = Watched(backend)
    requests = asked(PICTURES[:3])
    assert np.isfinite(backend.read(requests, CHOICES)).all()
    assert [row["input_ids"].shape[0] for row in watched.rows] == [6]


def test_several_threads_may_ask_one_model(folders: dict[str, Path]) -> None:
    """Packed rows borrow its attention and its vision tower, which another thread must not meet."""
    backend = LocalBackend(folders["qwen3_vl"], device="cpu", batch_size=3)
    questions = [asked(PICTURES[:3]), asked(PICTURES[2:]), asked([PICTURES[0], PICTURES[3]]), asked(PICTURES[1:4])]
    alone = [backend.read(requests, CHOICES) for requests in questions]
    short = Sampling(max_new_tokens=4)
    said = backend.generate(questions[0], short)
    with ThreadPoolExecutor(4) as threads:
        for _ in range(3):
            written = threads.submit(backend.generate, questions[0], short)
            found = threads.map(lambda requests: backend.read(requests, CHOICES), questions)
            assert all(np.array_equal(one, wanted) for one, wanted in zip(found, alone, strict=True))
            assert written.result() == said
