"""The fast verdict held in stage 3: stage 2's losses on each step's pairs, beside GRPO's; off, nothing is other."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection
from itertools import chain, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from families import build
from own_pairs import write_own_pairs
from safetensors.torch import load_file
from shared_trainers import distance, trainer_of
from torch import Tensor
from train_runs import POLICY, configured, train

from redaes import prompts
from redaes.answers import WINNER_PREFIX
from redaes.errors import TrainingError
from redaes.records import read_records, record_of
from redaes.rewards import trl as rewards
from redaes.training.alignment import both_orders, choice_ids, verdict_log_odds
from redaes.training.alignment_losses import antisymmetry_loss
from redaes.training.formatting import chat_text, ordered_images
from redaes.training.grpo import RankingGRPOTrainer
from redaes.training.held_verdicts import VERDICTS, HeldVerdicts, deal_pairs
from redaes.training.stage_arguments import StageArguments
from redaes.training.stage_model import base_processor, load_model
from redaes.training.stage_run import claim
from redaes.training.vision_cache import BatchVisionCache, PictureBatch, vision_tower

HELD = ["--fast_antisymmetry_weight", "3", "--fast_preference_weight", "0.5"]


def options(data: Path, out: Path, *more: str) -> list[str]:
    return ["--data", str(data), "--output_dir", str(out), "--max_steps", "4", "--save_steps", "2",
            "--learning_rate", "1e-3", "--warmup_steps", "0", "--bf16", "false", "--logging_steps", "1",
            "--disable_tqdm", "true", *POLICY, *more]  # fmt: skip


def history(final: Path) -> list[dict[str, Any]]:
    return json.loads((final / "trainer_state.json").read_text())["log_history"]


# --- which pairs are read when -------------------------------------------------------------------------------


@pytest.mark.parametrize("n_pairs", [1, 2, 3, 7, 12])
@pytest.mark.parametrize(
    ("n_batches", "per_step", "n_passes"), [(1, 1, 1), (9, 9, 1), (9, 3, 1), (9, 1, 1), (2, 8, 1), (6, 2, 2), (4, 4, 2)]
)
def test_no_step_is_without_a_pair_and_no_pair_is_left_out(
    n_pairs: int, n_batches: int, per_step: int, n_passes: int
) -> None:
    parts = deal_pairs(n_pairs, n_batches=n_batches, per_step=per_step, n_passes=n_passes)
    assert len(parts) == n_batches
    in_step = min(per_step, n_batches)
    steps = [[*chain(*parts[first : first + in_step])] for first in range(0, n_batches, in_step)]
    assert all(step and len(step) == len(set(step)) for step in steps)
    read = [*chain(*steps)]
    assert set(read) == set(range(n_pairs))
    assert len(read) <= max(n_pairs * n_passes, len(steps))
    assert all(later - earlier in (0, 1, 1 - n_pairs) for earlier, later in pairwise(read))  # neighbours stay so
    for step in range(len(steps)):  # no batch of a step has two more than another
        sizes = [len(part) for part in parts[step * in_step : (step + 1) * in_step]]
        assert max(sizes) - min(sizes) <= 1


def test_all_pairs_of_a_step_count_alike_in_all_processes() -> None:
    """Two processes of two and of five pairs, each in two batches: what gradients come to when they are averaged."""
    counts = {name: [len(part) for part in deal_pairs(n, n_batches=2, per_step=2, n_passes=1)]
              for name, n in (("a", 2), ("b", 5), ("one", 1))}  # fmt: skip

    def dealt(own: str, other: str) -> list[Any]:
        gather = lambda mine: torch.cat([mine, torch.tensor(counts[other])])  # noqa: E731
        trainer = object.__new__(HeldVerdicts)
        trainer.args = SimpleNamespace(steps_per_generation=2, num_iterations=1, gradient_accumulation_steps=2)
        trainer.accelerator = SimpleNamespace(device="cpu", num_processes=2, gather=gather)
        n = sum(counts[own])
        trainer._row_of_pair = {f"{number}": 100 + number for number in range(n)}
        singles = [{"pair": "0", "mode": "score"}]
        return trainer._deal([*singles, *({"pair": f"{number}", "mode": "reasoned"} for number in range(n))] * 2)

    for own, other in (("a", "b"), ("b", "a")):
        batches = dealt(own, other)
        assert [row for one in batches for row in one.rows] == [100 + number for number in range(sum(counts[own]))]
        # Each pair's part of the mean of its batch, times what that counts, over the processes: 1 / 7.
        assert all(one.scale / len(one.rows) / 2 == pytest.approx(1 / 7) for one in batches)
    first, second = dealt("one", "b")  # one pair for two batches: it is read twice, and counts once
    assert (first.rows, first.scale, second.rows) == ((100,), 0.0, (100,))
    assert second.scale / 2 == pytest.approx(1 / 6)


# --- the loss ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_own_pairs(tmp_path_factory.mktemp("own") / "pairs", 4)


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: build(name, tmp_path_factory.mktemp(name) / "model") for name in ("qwen3_vl", "qwen3_5")}


def gradients_of(trainer: RankingGRPOTrainer, losses: list[Any]) -> dict[str, Tensor]:
    trainer.model.zero_grad()
    for loss in losses:
        loss().backward()
    return {name: one.grad.clone() for name, one in trainer.model.named_parameters() if one.grad is not None}


def by_hand(trainer: RankingGRPOTrainer, rows: list[dict[str, Any]], labelled: Collection[int] = range(3)) -> Tensor:
    """The term as the documentation has it: each prompt by itself, pixels and all."""
    processor, network = trainer.processing_class, trainer.model
    text = chat_text(processor, prompts.load(prompts.COMPARE["fast"]), WINNER_PREFIX)
    a, b = (processor.tokenizer(f"{WINNER_PREFIX} {letter}")["input_ids"][-1] for letter in "AB")
    pairs = {one["id"]: one for one in trainer._verdict_pairs}
    terms = []
    for number, name in enumerate(dict.fromkeys(row["pair"] for row in rows)):
        record = record_of(pairs[name], "train")
        odds = []
        for order in ("forward", "swapped"):
            made = processor(text=[text], images=[ordered_images(record, order)], return_tensors="pt")
            logits = network(**made).logits[0, -1]
            odds.append(logits[a] - logits[b])
        target = 0.5 * (1 + torch.erf(torch.tensor(record.pair.delta) / 2 / 2**0.5))
        chances = [torch.sigmoid(one) for one in odds]
        entropy = sum(-(p * one.log() + (1 - p) * (1 - one).log())
                      for one, p in zip(chances, (target, 1 - target), strict=True))  # fmt: skip
        terms.append(3 * (chances[0] + chances[1] - 1) ** 2 + 0.5 * entropy / 2 * (number in labelled))
    return torch.stack(terms).mean()


@pytest.mark.parametrize("how", ["shared", "unlabelled", "apart", "all weights", "accumulated", "linear attention"])
def test_the_gradient_is_grpos_and_that_of_the_term(
    how: str, families: dict[str, Path], own_data: Path, tmp_path: Path
) -> None:
    more = {"apart": ["--share_prompts", "false"], "all weights": ["--full_training", "true"],
            "accumulated": ["--per_device_train_batch_size", "12", "--steps_per_generation", "3",
                            "--gradient_accumulation_steps", "3"]}.get(how, [])  # fmt: skip
    lora = [] if how == "all weights" else ["--lora_r", "4", "--lora_targets", "language"]
    folder = families["qwen3_5" if how == "linear attention" else "qwen3_vl"]
    trainer, inputs = trainer_of(folder, own_data, tmp_path / "run", *HELD, *lora, *more)
    trainer.model.eval()  # no part of this is about dropout
    assert trainer.shares_prompts is (how not in ("apart", "linear attention"))
    rows = next(iter(trainer.get_train_dataloader()))
    trainer.current_gradient_accumulation_steps = trainer.args.gradient_accumulation_steps
    batches = trainer.each_with_verdicts(inputs, rows)
    assert len(batches) == (3 if how == "accumulated" else 1)
    assert sum(len(batch[VERDICTS]["delta"]) for batch in batches) == len({row["pair"] for row in rows}) == 3
    if how == "unlabelled":  # as if nobody had said how far two of the three are apart
        read = batches[0][VERDICTS]
        read["labelled"], read["delta"] = read["labelled"][1:2], read["delta"][1:2]
    both = gradients_of(trainer, [lambda batch=batch: trainer.compute_loss(trainer.model, batch) for batch in batches])
    grpo = gradients_of(trainer, [lambda: trainer.compute_loss(trainer.model, inputs)] * len(batches))
    term = gradients_of(trainer, [lambda: by_hand(trainer, rows, [1] if how == "unlabelled" else range(3))])
    assert all(one.isfinite().all() for one in both.values())
    assert any(one.abs().max() > 1e-4 for one in term.values())
    assert distance(both, {name: one + term.get(name, 0) for name, one in grpo.items()}) <= 1e-5
    assert distance(both, grpo) > 1e-3
    n_labelled = 1 if how == "unlabelled" else 3
    assert {name: n for name, (_, n) in trainer._seen.items()} == {
        "antisymmetry": 3,
        "preference": n_labelled,
        "agreement": 3,
    }


def test_pictures_that_a_frozen_tower_has_seen_are_not_seen_again(
    families: dict[str, Path], own_data: Path, tmp_path: Path
) -> None:
    trainer, _ = trainer_of(families["qwen3_vl"], own_data, tmp_path / "run", *HELD, "--lora_r", "4")
    batch = trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
    assert (trainer._vision_cache.n_computed, trainer._patches.n_computed) == (3, 3)
    trainer.compute_loss(trainer.model, batch).backward()
    assert (trainer._vision_cache.n_computed, trainer._patches.n_computed) == (3, 3)


# --- runs ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def held(red_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a run with a reference, two steps for the answers of a generation batch."""
    out = tmp_path_factory.mktemp("held") / "run"
    more = ["--per_device_train_batch_size", "4", "--steps_per_generation", "2"]
    return train("stage3", options(red_folder, out, *HELD, *more)).parent


def test_where_it_is_off_nothing_is_other(red_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for name in ("off", "without"):
        if name == "without":
            for method in ("_prepare_inputs", "compute_loss", "log", "as_read"):
                monkeypatch.delattr(HeldVerdicts, method)
        final = train("stage3", options(red_folder, tmp_path / name, "--max_steps", "2"))
        curve = [{key: value for key, value in entry.items() if "time" not in key} for entry in history(final)[:2]]
        found.append((load_file(final / "adapter_model.safetensors"), curve))
    (one, curve), (other, other_curve) = found
    assert any(bool(value.any()) for key, value in one.items() if "lora_B" in key)
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert curve == other_curve
    assert not any(key.startswith("fast/") for entry in curve for key in entry)


def test_a_run_logs_the_terms_by_name_and_leaves_the_reference_alone(held: Path) -> None:
    entries = [entry for entry in history(held / "final") if "loss" in entry]
    assert len(entries) == 4
    for entry in entries:
        assert 0 <= entry["fast/antisymmetry"] <= 1
        assert entry["fast/preference"] > 0
        assert 0 <= entry["fast/agreement"] <= 1
    arguments = json.loads((held / "final" / "run_record.json").read_text())["training_arguments"]
    assert (arguments["fast_antisymmetry_weight"], arguments["fast_preference_weight"]) == (3, 0.5)
    assert any(entry["kl"] > 0 for entry in entries)  # a policy that leaves its reference, which stays


def test_a_resumed_run_is_the_whole_one(held: Path, red_folder: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    shutil.copytree(held, cut)
    shutil.rmtree(cut / "final")
    shutil.rmtree(cut / "checkpoint-4")
    more = ["--per_device_train_batch_size", "4", "--steps_per_generation", "2"]
    final = train("stage3", options(red_folder, cut, *HELD, *more))
    wanted, resumed = (load_file(folder / "adapter_model.safetensors") for folder in (held / "final", final))
    assert all(torch.equal(wanted[name], resumed[name]) for name in wanted)
    for name in ("loss", "fast/antisymmetry", "fast/preference", "fast/agreement"):
        curves = [[entry[name] for entry in history(one) if name in entry] for one in (final, held / "final")]
        assert curves[0] == curves[1]


def test_a_run_of_an_earlier_version_goes_on_without_it(held: Path, red_folder: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    shutil.copytree(held, cut)
    shutil.rmtree(cut / "final")
    more = ["--per_device_train_batch_size", "4", "--steps_per_generation", "2"]
    for file in cut.rglob("settings.json"):
        kept = json.loads(file.read_text())
        assert kept.pop("fast_antisymmetry_weight") == 3
        del kept["fast_preference_weight"]
        file.write_text(json.dumps(kept))
    for weights, refused in ((HELD, True), ([], False)):
        stage, config = configured("stage3", options(red_folder, cut, "--fast_antisymmetry_weight", "0",
                                                     "--fast_preference_weight", "0", *weights, *more))  # fmt: skip
        if not refused:
            assert claim("stage3_grpo", stage, config).checkpoint is not None
            continue
        with pytest.raises(TrainingError, match=r"set fast_antisymmetry_weight: 0\.0, fast_preference_weight: 0\.0 to"):
            claim("stage3_grpo", stage, config)


@pytest.mark.slow
def test_a_reward_that_pulls_the_orders_apart_does_not_where_they_are_held(
    red_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reward_format(completions: list[Any], **_: Any) -> list[float]:
        """Pays for saying that the first picture is better, whatever the pictures are."""
        return [float(rewards.completion_text(one).startswith(f"{WINNER_PREFIX} A")) for one in completions]

    monkeypatch.setitem(rewards.REWARDS, "format", reward_format)
    records = list(read_records(red_folder, "test"))

    def apart(adapter: Path | None) -> float:
        """Mean square of how far the chances of both orders are from adding up to one, on held-out pairs."""
        stage = StageArguments(model="redaes/nano", adapter=None if adapter is None else str(adapter))
        processor, model = base_processor(stage), load_model(stage, torch.float32).eval()
        pictures = PictureBatch(processor, records)
        asked = both_orders(pictures, records, prompts.load(prompts.COMPARE["fast"]))
        with torch.no_grad(), BatchVisionCache(vision_tower(model), pictures.tensors) as cache:
            logits = cache.forward(model, asked, logits_to_keep=1).logits[:, -1]
        odds = verdict_log_odds(logits, choice_ids(processor, WINNER_PREFIX, (" A", " B")))
        return antisymmetry_loss(*odds.chunk(2)).item()

    found = {"before": apart(None)}
    for name, weights in (("without", []), ("with", ["--fast_antisymmetry_weight", "20"])):
        more = [
            "--max_steps",
            "20",
            "--save_steps",
            "20",
            "--beta",
            "0",
            "--rewards",
            "format",
            "--reward_weights",
            "1",
        ]
        found[name] = apart(train("stage3", options(red_folder, tmp_path / name, *more, *weights)))
    assert found["before"] < 0.02, found
    assert found["without"] > 0.3, found
    assert found["with"] < 0.02, found


# --- what cannot be ------------------------------------------------------------------------------------------


def test_what_cannot_hold_is_refused(
    tiny_model: Path, red_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*more: str) -> None:
        configured("stage3", options(red_folder, tmp_path / "run", *more))

    for name in HELD[::2]:
        with pytest.raises(TrainingError, match=f"{name.removeprefix('--')} is -1; give a weight above 0"):
            read(name, "-1")
    reentrant = ["--gradient_checkpointing", "true", "--gradient_checkpointing_kwargs", '{"use_reentrant": true}']
    read(*HELD, *reentrant)
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    with pytest.raises(TrainingError, match="remove use_reentrant from gradient_checkpointing_kwargs"):
        read(*HELD, *reentrant)
