"""Stages 1 and 2 with what rows share read once are those with each row by itself: losses, gradients, steps."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from families import build
from own_pairs import write_own_pairs
from safetensors.torch import load_file
from shared_trainers import checkpoint, distance
from torch import Tensor

from redaes.cli.train.stages import run_stage
from redaes.records import load_pairs
from redaes.training.alignment import AlignmentConfig, AlignmentTrainer, run_align
from redaes.training.dpo import PairDPOConfig, PairDPOTrainer, run_dpo
from redaes.training.formatting import preference_dataset, sft_dataset
from redaes.training.length_batches import LikeLengths
from redaes.training.recipes import parse
from redaes.training.sft import PairSFTConfig, PairSFTTrainer, answers_about_the_same, run_sft
from redaes.training.shared_rows import SHOWN
from redaes.training.stage_arguments import StageArguments
from redaes.training.stage_model import base_processor, load_model
from redaes.training.vision_cache import vision_tower

RECIPES = Path(__file__).parents[2] / "stages" / "configs"
STAGES: dict[str, tuple[type, Callable[[StageArguments, Any], Path]]] = {
    "stage1": (PairSFTConfig, run_sft),
    "stage2": (AlignmentConfig, run_align),
    "stage2_dpo": (PairDPOConfig, run_dpo),
}


@pytest.fixture(scope="module")
def own_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_own_pairs(tmp_path_factory.mktemp("own") / "pairs", 4)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model of each family that can, of one that cannot, and of one that can unless experts are balanced."""
    families = ("qwen2_5_vl", "qwen3_vl", "qwen3_5", "qwen3_vl_moe")
    return {name: build(name, tmp_path_factory.mktemp(name) / "model") for name in families}


def arguments(stage: str, model: Path, data: Path, out: Path, *more: str) -> tuple[StageArguments, Any]:
    return parse(
        STAGES[stage][0],
        RECIPES / f"{stage}_nano.yaml",
        ["--model", str(model), "--data", str(data), "--output_dir", str(out), "--bf16", "false", "--disable_tqdm",
         "true", "--per_device_train_batch_size", "6", *more],
    )  # fmt: skip


def trainer_of(stage: str, model: Path, data: Path, out: Path, *more: str) -> Any:
    """A trainer with weights that are not those of its start; the same ones each time."""
    settings, config = arguments(stage, model, data, out, *more)
    torch.manual_seed(0)
    common = {"model": load_model(settings, torch.float32), "args": config}
    processor = base_processor(settings)
    if stage == "stage2":
        trainer: Any = AlignmentTrainer(processor=processor, train_dataset=load_pairs(data, "train"), **common)
    elif stage == "stage1":
        rows, lengths = sft_dataset(data, "train")
        trainer = PairSFTTrainer(lengths=lengths, train_dataset=rows, processing_class=processor, **common)
    else:
        rows, lengths, _ = preference_dataset(data, "train")
        trainer = PairDPOTrainer(lengths=lengths, train_dataset=rows, processing_class=processor, **common)
    for name, parameter in trainer.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    trainer.model.train()
    return trainer


def some_rows(trainer: Any) -> list[dict[str, Any]]:
    """Of several groups, orders and modes: pictures of two shapes, the same words about different ones."""
    n = len(trainer.train_dataset)
    # In stage 2 rows are pairs, else they are in blocks of orders and modes.
    numbers = range(7) if n == 12 else (0, 2, n // 4, n // 4 + 5, n // 2, 3 * n // 4 + 5)
    return [trainer.train_dataset[number] for number in numbers]


def learned(trainer: Any) -> tuple[dict[str, float], dict[str, Tensor], list[tuple[int, ...]], list[int]]:
    """Loss and figures, gradients, shapes of what the language model read, patches that the tower looked at."""
    read: list[tuple[int, ...]] = []
    looked: list[int] = []
    parts = dict(trainer.model.named_modules())
    text = next(module for name, module in parts.items() if name.endswith("language_model"))

    def noted(_: Any, __: Any, named: dict[str, Any]) -> None:
        read.append(tuple(named["inputs_embeds"].shape[:2]))

    def seen(_: Any, given: tuple[Tensor, ...]) -> None:
        looked.append(len(given[0]))

    hooks = [
        text.register_forward_pre_hook(noted, with_kwargs=True),
        vision_tower(trainer.model).patch_embed.register_forward_pre_hook(seen),
    ]
    batch = trainer.data_collator(some_rows(trainer))
    trainer.model.zero_grad()
    loss = trainer.compute_loss(trainer.model, batch)
    loss.backward()
    for hook in hooks:
        hook.remove()
    kept = trainer._parts if isinstance(trainer, AlignmentTrainer) else trainer._metrics["train"]
    figures = {"loss": loss.item(), **{name: values[-1] for name, values in kept.items()}}
    gradients = {name: one.grad for name, one in trainer.model.named_parameters() if one.grad is not None}
    return figures, gradients, read, looked


@pytest.mark.parametrize("stage", list(STAGES))
def test_a_row_that_is_drawn_twice_counts_twice(
    stage: str, folders: dict[str, Path], own_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As rows with a weight above 1 may be within a batch: packed, they are read once and learned from twice."""
    rows = some_rows
    monkeypatch.setattr(sys.modules[__name__], "some_rows", lambda trainer: [*rows(trainer)[:3], rows(trainer)[0]])
    shared, apart = (
        learned(trainer_of(stage, folders["qwen2_5_vl"], own_data, tmp_path / one, "--share_prompts", one))
        for one in ("true", "false")
    )
    assert shared[0]["loss"] == pytest.approx(apart[0]["loss"], rel=1e-4)
    assert distance(shared[1], apart[1]) < 1e-3


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
@pytest.mark.parametrize("how", ["lora", "lora-checkpointed", "lora-reentrant", "all weights"])
@pytest.mark.parametrize("stage", list(STAGES))
def test_losses_and_gradients_are_those_of_rows_by_themselves(
    stage: str, how: str, family: str, folders: dict[str, Path], own_data: Path, tmp_path: Path
) -> None:
    if (stage, how) == ("stage2_dpo", "all weights"):
        pytest.skip("preferences train a LoRA")
    more = ["--full_training", "true"] if how == "all weights" else ["--lora_r", "4"]
    found = {}
    for share in (True, False):
        trainer = trainer_of(stage, folders[family], own_data, tmp_path / "run", "--share_prompts", str(share), *more)
        checkpoint(trainer.model, how)
        assert trainer.shares_prompts is share
        found[share] = learned(trainer)
        batch = trainer.as_read(trainer.data_collator(some_rows(trainer)))
        assert not share or tuple(batch["input_ids"].shape) == found[share][2][0]
    (ours, gradients, read, looked), (plain, plain_gradients, plain_read, plain_looked) = found[True], found[False]
    assert ours.keys() == plain.keys()
    for name, value in plain.items():
        assert ours[name] == pytest.approx(value, rel=1e-5, abs=2e-6), name
    assert distance(gradients, plain_gradients) <= 1e-5
    assert all(one.abs().max() > 0 for name, one in gradients.items() if "lora_A" in name)
    n_read, n_plain = (sum(rows * length for rows, length in one) for one in (read, plain_read))
    assert n_read < n_plain / 1.25
    assert len(read) == (2 if stage == "stage2_dpo" else 1)  # the policy, and the reference
    assert sum(looked) <= sum(plain_looked) / {"stage1": 2, "stage2": 1, "stage2_dpo": 4}[stage]


@pytest.mark.parametrize("alone", ["preference", "thurstone", "nll"])
def test_a_part_of_stage_2_is_the_same_without_the_others(
    alone: str, folders: dict[str, Path], own_data: Path, tmp_path: Path
) -> None:
    weights = [part for name in ("preference", "antisymmetry", "thurstone", "nll")
               for part in (f"--{name}_weight", "1" if name == alone else "0")]  # fmt: skip
    found = {
        share: learned(
            trainer_of("stage2", folders["qwen3_vl"], own_data, tmp_path / "run", "--lora_r", "4", "--share_prompts",
                       share, *weights)
        )
        for share in ("true", "false")
    }  # fmt: skip
    assert alone in found["true"][0]
    assert found["true"][0] == pytest.approx(found["false"][0], rel=1e-5)
    assert distance(found["true"][1], found["false"][1]) <= 1e-5


@pytest.mark.parametrize("stage", list(STAGES))
def test_a_model_that_cannot_says_so_and_trains_as_before(
    stage: str, folders: dict[str, Path], own_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = trainer_of(stage, folders["qwen3_5"], own_data, tmp_path / "run", "--lora_r", "4")
    assert capsys.readouterr().err.count("share_prompts: it has layers of linear_attention") == 1
    assert not trainer.shares_prompts
    assert SHOWN not in trainer.data_collator(some_rows(trainer))
    assert learned(trainer)[1]


@pytest.mark.parametrize("stage", list(STAGES))
def test_rows_are_read_by_themselves_where_experts_are_balanced(
    stage: str, folders: dict[str, Path], own_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(folders["qwen3_vl_moe"], tmp_path / "balanced")
    config = json.loads((folder / "config.json").read_text())
    for balanced in (False, True):
        config["text_config"] |= {"output_router_logits": balanced, "router_aux_loss_coef": 0.01 if balanced else 0.0}
        (folder / "config.json").write_text(json.dumps(config))
        trainer = trainer_of(stage, folder, own_data, tmp_path / "run", "--lora_r", "4", "--lora_targets", "language")
        said = capsys.readouterr().err.count("share_prompts: the loss that balances experts counts the tokens of every")
        assert (trainer.shares_prompts, said) == (not balanced, int(balanced))


@pytest.mark.parametrize("stage", list(STAGES))
def test_steps_are_those_of_rows_by_themselves(
    stage: str, folders: dict[str, Path], own_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def same_order(self: PairSFTTrainer, _: Any = None) -> LikeLengths:
        return LikeLengths.of_run(self._lengths, self.args, answers_about_the_same(self.train_dataset))

    monkeypatch.setattr(PairSFTTrainer, "_get_train_sampler", same_order)  # without sharing it has another one
    runs = {}
    for share in ("true", "false"):
        final = STAGES[stage][1](
            *arguments(
                stage, folders["qwen3_vl"], own_data, tmp_path / share, "--max_steps", "3", "--learning_rate", "0.01",
                "--warmup_steps", "0", "--lora_r", "4", "--logging_steps", "1", "--gradient_accumulation_steps", "2",
                "--per_device_train_batch_size", "2", "--share_prompts", share,
            )
        )  # fmt: skip
        history = json.loads((final / "trainer_state.json").read_text())["log_history"]
        steps = torch.tensor([(entry["loss"], entry["grad_norm"]) for entry in history if "loss" in entry])
        assert len(steps) == 3
        record = json.loads((final / "run_record.json").read_text())
        assert record["metrics"]["shares_prompts"] is (share == "true")
        runs[share] = steps, load_file(final / "adapter_model.safetensors")
    torch.testing.assert_close(runs["true"][0], runs["false"][0], atol=1e-5, rtol=1e-3)
    for name, weight in runs["false"][1].items():
        torch.testing.assert_close(runs["true"][1][name], weight, atol=1e-4, rtol=1e-2)


@pytest.mark.parametrize("name", ["sft", "align", "dpo"])
def test_a_dry_run_counts_the_tokens_that_are_read(
    name: str, folders: dict[str, Path], own_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {}
    for share in ("true", "false"):
        capsys.readouterr()
        run_stage(
            name,
            ["--model", str(folders["qwen3_vl"]), "--data", str(own_data), "--output_dir", str(tmp_path / "run"),
             "--bf16", "false", "--share_prompts", share, "--dry_run", "--plan_json"],
        )  # fmt: skip
        text = capsys.readouterr().out
        found[share] = json.loads(text[text.index("{") :])
    for part in ("tokens", "picture_tokens"):
        assert found["true"]["lengths"][part] < found["false"]["lengths"][part] / 1.2
    assert found["true"]["step"]["activations"] < found["false"]["step"]["activations"]
