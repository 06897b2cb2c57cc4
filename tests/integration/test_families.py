"""What training and asking take for granted of a model holds for the true class of every family."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from families import FAMILIES, build
from own_pairs import write_own_pairs

from redaes import prompts
from redaes.answers import parse
from redaes.backends.base import Request
from redaes.backends.local import LocalBackend
from redaes.json_form import parse_json
from redaes.records import load_pairs, record_of
from redaes.training.alignment import AlignmentCollator, AlignmentConfig
from redaes.training.formatting import chat_text, ordered_images
from redaes.training.stage_arguments import StageArguments
from redaes.training.stage_model import base_processor, load_model
from redaes.training.vision_cache import BatchVisionCache, FrozenVisionCache, vision_tower
from redaes.types import Sampling

OTHER_THAN_NANO = [family for family in FAMILIES if family != "qwen3_vl"]


@pytest.fixture(scope="module", params=OTHER_THAN_NANO)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(request.param, tmp_path_factory.mktemp(request.param) / "model")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Pairs of pictures of three sizes, so that prompts differ in length."""
    pairs = load_pairs(write_own_pairs(tmp_path_factory.mktemp("own") / "pairs", 4), "train")
    return [pairs[number] for number in (0, 1, 3, 9)]


def test_looking_once_or_before_changes_nothing(model: Path, rows: list[dict[str, Any]], tmp_path: Path) -> None:
    """Against the processor's own batch through transformers' own model."""
    from transformers import AutoModelForImageTextToText

    stage = StageArguments(model=str(model))
    processor = base_processor(stage)
    collate = AlignmentCollator(processor, AlignmentConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False))
    batch = collate(rows)
    texts = [chat_text(processor, collate.fast, "Winner:")] * (2 * len(rows))
    images = [ordered_images(record_of(row, "train"), order) for order in ("forward", "swapped") for row in rows]
    wanted = processor(text=texts, images=images, return_tensors="pt", padding=True, padding_side="left")
    for name in ("input_ids", "attention_mask", "mm_token_type_ids", "image_grid_thw"):
        assert torch.equal(wanted[name], batch["compare"][name].to(wanted[name].dtype)), name
    assert len(set(wanted["attention_mask"].sum(-1).tolist())) > 1  # there is padding

    ours = load_model(stage, torch.float32).eval()
    plain = AutoModelForImageTextToText.from_pretrained(model, dtype=torch.float32).eval()
    with torch.no_grad():
        logits = plain(**wanted).logits[:, -1]
        with BatchVisionCache(vision_tower(ours), batch["pictures"]) as cache:
            seen_once = cache.forward(ours, batch["compare"], logits_to_keep=1).logits[:, -1]
        before = FrozenVisionCache(vision_tower(ours), n_kept=64)
        seen_before = [ours(**wanted, logits_to_keep=1).logits[:, -1] for _ in range(2)]
    torch.testing.assert_close(seen_once, logits, atol=1e-4, rtol=1e-4)
    for found in seen_before:
        torch.testing.assert_close(found, logits, atol=1e-4, rtol=1e-4)
    assert before.n_computed == len(batch["pictures"]["image_grid_thw"])


def test_answers_do_not_depend_on_the_batch(model: Path, rows: list[dict[str, Any]]) -> None:
    """Left padding reaches neither positions nor the state of linear attention, in reading and in writing."""
    shown = [tuple(ordered_images(record_of(row, "train"), "forward")) for row in rows]
    requests = [Request(prompts.load(prompts.COMPARE["fast"]), images) for images in shown]
    backends = [LocalBackend(model, batch_size=size) for size in (1, len(rows))]
    alone, together = (backend.read(requests, ("Winner", "tie")) for backend in backends)
    assert together == pytest.approx(alone, abs=1e-3)
    sampling = Sampling(max_new_tokens=6, temperature=0.0)
    texts = [backend.generate(requests, sampling) for backend in backends]
    assert texts[0] == texts[1]


def test_a_cache_writes_what_reading_anew_would(model: Path, rows: list[dict[str, Any]]) -> None:
    """Each greedy token is the likeliest after the whole text so far."""
    images = tuple(ordered_images(record_of(rows[0], "train"), "forward"))
    prompt = prompts.load(prompts.COMPARE["fast"])
    backend = LocalBackend(model)
    inputs = backend._inputs([Request(prompt, images)], [backend._text(Request(prompt, images))])
    n_prompt = inputs["input_ids"].shape[1]
    with torch.no_grad():
        written = backend._network.generate(**inputs, max_new_tokens=6, do_sample=False)
        anew = {**inputs, "input_ids": written, "attention_mask": torch.ones_like(written)}
        padded = torch.zeros(1, written.shape[1] - n_prompt, dtype=inputs["mm_token_type_ids"].dtype)
        anew["mm_token_type_ids"] = torch.cat([inputs["mm_token_type_ids"], padded], dim=1)
        logits = backend._network(**anew).logits[0, n_prompt - 1 : -1]
    assert torch.equal(logits.argmax(-1), written[0, n_prompt:])


def test_every_answer_can_be_read(model: Path, rows: list[dict[str, Any]]) -> None:
    """Random weights, held to each form; batches are padded."""
    shown = [tuple(ordered_images(record_of(row, "train"), "forward")) for row in rows]
    half = LocalBackend(model, dtype=torch.bfloat16)
    for backend, temperature in ((LocalBackend(model), 0.0), (half, 1.5)):
        sampling = Sampling(max_new_tokens=150, temperature=temperature)
        for prompt in ("compare/v1", "compare_json/v1"):
            requests = [Request(prompts.load(prompt), images) for images in shown]
            for answer in backend.write(requests, sampling):
                text = answer.text or ""
                assert (parse(text, "reasoned") if prompt == "compare/v1" else parse_json(text)).rationale is not None
