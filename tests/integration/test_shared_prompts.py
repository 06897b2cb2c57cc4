"""Stage 3 with each prompt read once is stage 3 as TRL has it: log-probabilities, gradients, steps, and what cannot."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from families import build
from own_pairs import write_own_pairs
from safetensors.torch import load_file
from shared_trainers import N_GENERATIONS, arguments, checkpoint, distance, learned, trainer_of
from torch import Tensor

from redaes.attention.packed_answers import PackedAnswers, PromptedAnswers
from redaes.attention.token_trees import BRANCHES
from redaes.records import load_pairs
from redaes.rewards import trl as rewards
from redaes.training import shared_prompts
from redaes.training.grpo import RankingGRPOTrainer, run_grpo
from redaes.training.patch_cache import PatchCache
from redaes.training.ranking_rows import groups_of, ranking_dataset
from redaes.training.stage_arguments import StageArguments
from redaes.training.stage_model import base_processor


@pytest.fixture(scope="module")
def own_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_own_pairs(tmp_path_factory.mktemp("own") / "pairs", 4)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model of each family that can, of one that cannot, and of one that can unless experts are balanced."""
    families = ("qwen2_5_vl", "qwen3_vl", "qwen3_5", "qwen3_vl_moe")
    return {name: build(name, tmp_path_factory.mktemp(name) / "model") for name in families}


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
@pytest.mark.parametrize("how", ["lora", "lora-checkpointed", "lora-reentrant", "all weights"])
def test_log_probabilities_and_gradients_are_those_of_whole_rows(
    family: str, how: str, folders: dict[str, Path], own_data: Path, tmp_path: Path
) -> None:
    more = ["--full_training", "true"] if how == "all weights" else ["--lora_r", "4", "--lora_targets", "language"]
    trainer, inputs = trainer_of(folders[family], own_data, tmp_path / "run", *more)
    checkpoint(trainer.model, how)
    assert trainer.shares_prompts
    read: list[tuple[int, int]] = []
    before = trainer.model.register_forward_pre_hook(
        lambda _, __, named: read.append(tuple(named["input_ids"].shape)), with_kwargs=True
    )
    loss, seen, gradients = learned(trainer, inputs)
    trainer.shares_prompts = False
    plain_loss, plain_seen, plain_gradients = learned(trainer, inputs)
    before.remove()
    (one, n_packed), (n_rows, n_padded) = read
    assert (one, n_rows) == (1, 16)
    assert n_packed < n_rows * n_padded / 3
    mask = inputs["completion_mask"].bool()
    for found, wanted in zip(seen, plain_seen, strict=True):
        assert found.shape == wanted.shape
        assert (found - wanted)[mask].abs().max() <= 1e-5
        assert bool((found[~mask] == 0).all())
    assert len({tuple(row) for row in plain_seen[0].tolist()}) > 12, "the prompts would be told apart by nothing"
    assert abs(loss - plain_loss) <= 1e-6
    assert distance(gradients, plain_gradients) <= 1e-5
    assert all(one.abs().max() > 0 for name, one in gradients.items() if "lora_A" in name)
    # In batches that cut the answers to a prompt, and without gradients, as the reference is asked.
    named = {name: inputs[name] for name in ("pixel_values", "image_grid_thw", "num_images", "mm_token_type_ids")}
    ids, attention = (
        torch.cat([inputs[f"prompt_{what}"], inputs[f"completion_{what}"]], 1) for what in ("ids", "mask")
    )
    trainer.shares_prompts = True
    with torch.no_grad():
        cut, nothing, _ = trainer._get_per_token_logps_and_entropies(
            trainer.model, ids, attention, mask.shape[1], batch_size=5, **named
        )
    assert nothing is None
    assert (cut - plain_seen[0])[mask].abs().max() <= 1e-5


def test_no_answer_at_all_is_a_loss_of_nothing(folders: dict[str, Path], own_data: Path, tmp_path: Path) -> None:
    trainer, inputs = trainer_of(folders["qwen3_vl"], own_data, tmp_path / "run", "--lora_r", "4")
    inputs["completion_mask"].zero_()
    inputs["num_items_in_batch"] = torch.tensor(1)
    loss, _, gradients = learned(trainer, inputs)
    assert loss == 0
    assert all(not one.any() for one in gradients.values())


LINEAR = "it has layers of linear_attention, in which nothing can branch off"
EXPERTS = "the loss that balances experts counts the tokens of every prompt (router_aux_loss_coef)"
EAGER = "its attention is eager, and only sdpa takes packed rows"


@pytest.mark.parametrize(
    ("family", "attention", "why"),
    [("qwen3_5", None, LINEAR), ("qwen3_vl_moe", None, EXPERTS), ("qwen3_vl", "eager", EAGER)],
)
def test_a_model_that_cannot_says_so_and_trains_as_before(
    family: str,
    attention: str | None,
    why: str,
    folders: dict[str, Path],
    own_data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    more = ["--lora_r", "4", "--lora_targets", "language"]
    folder = folders[family]
    if why is EXPERTS:  # as some of its makers' configurations have it
        folder = shutil.copytree(folder, tmp_path / "balanced")
        config = json.loads((folder / "config.json").read_text())
        config["text_config"] |= {"output_router_logits": False, "router_aux_loss_coef": 0.01}
        (folder / "config.json").write_text(json.dumps(config))
    trainer, inputs = trainer_of(folder, own_data, tmp_path / "run", *more, attention=attention)
    said = f"share_prompts: {why}; each answer is read with a prompt of its own\n"
    assert capsys.readouterr().err.count(said) == 1
    assert not trainer.shares_prompts
    assert not trainer.samples_itself()
    read: list[int] = []
    trainer.model.register_forward_pre_hook(lambda _, __, named: read.append(len(named["input_ids"])), with_kwargs=True)
    trainer._compute_loss(trainer.model, inputs).backward()
    assert read == [len(inputs["prompt_ids"])]


def test_experts_that_need_not_be_balanced_are_asked_once(
    folders: dict[str, Path], own_data: Path, tmp_path: Path
) -> None:
    more = ["--lora_r", "4", "--lora_targets", "language"]
    trainer, inputs = trainer_of(folders["qwen3_vl_moe"], own_data, tmp_path / "run", *more)
    assert trainer.shares_prompts
    loss, seen, gradients = learned(trainer, inputs)
    trainer.shares_prompts = False
    plain_loss, plain_seen, plain_gradients = learned(trainer, inputs)
    assert (seen[0] - plain_seen[0])[inputs["completion_mask"].bool()].abs().max() <= 1e-5
    assert abs(loss - plain_loss) <= 1e-6
    assert distance(gradients, plain_gradients) <= 1e-5


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_in_bfloat16_it_is_as_far_from_float32_as_whole_rows_are(
    family: str, folders: dict[str, Path], own_data: Path, tmp_path: Path
) -> None:
    found: dict[str, tuple[Tensor, dict[str, Tensor]]] = {}
    for bf16 in ("true", "false"):
        trainer, inputs = trainer_of(
            folders[family], own_data, tmp_path / "run", "--lora_r", "4", "--lora_targets", "language", "--bf16", bf16
        )
        for way in ("shared", "whole") if bf16 == "true" else ("exact",):
            trainer.shares_prompts = way == "shared"
            _, seen, gradients = learned(trainer, inputs)
            found[way] = seen[0][inputs["completion_mask"].bool()], gradients
    off = {way: float((found[way][0] - found["exact"][0]).abs().mean()) for way in ("shared", "whole")}
    turned = {way: distance(found["exact"][1], found[way][1]) for way in ("shared", "whole")}
    assert off["whole"] > 1e-3  # it is bfloat16
    assert off["shared"] <= 1.3 * off["whole"]
    assert turned["shared"] <= 1.3 * turned["whole"]


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_the_likeliest_answers_are_those_that_generate_writes(
    family: str, folders: dict[str, Path], own_data: Path, tmp_path: Path
) -> None:
    trainer, inputs = trainer_of(folders[family], own_data, tmp_path / "run", "--lora_r", "4")
    assert trainer.samples_itself()
    n_picked = 4 * (N_GENERATIONS - 1)  # prompts of which three in a row are the same
    lengths = inputs["prompt_mask"].sum(1)[:n_picked].tolist()
    ids, types = ([
        row[-length:].tolist() for row, length in zip(inputs[name][:n_picked], lengths, strict=True)
    ] for name in ("prompt_ids", "picture_types"))  # fmt: skip
    n_pictures = inputs["num_images"][:n_picked]
    grid = inputs["image_grid_thw"][: sum(n_pictures)]
    fields = {
        "image_grid_thw": grid, "pixel_values": inputs["pixel_values"][: int(grid.prod(-1).sum())],
        "mm_token_type_ids": types,
    }  # fmt: skip
    given = (ids, [[None] * n for n in n_pictures], fields, N_GENERATIONS - 1)
    settings = trainer.generation_config
    settings.do_sample, settings.max_new_tokens = False, 8
    for setting in ("temperature", "top_p", "top_k", "min_p"):
        setattr(settings, setting, None)
    weights = {name: one.clone() for name, one in trainer.model.state_dict().items()}
    trainer.eos_token_ids = settings.eos_token_id = list(settings.suppress_tokens)[:1]  # no answer ends
    plain, _ = super(shared_prompts.SharedPrompts, trainer)._generate_single_turn(*given)
    assert len({tuple(answer) for answer in plain}) >= 3
    assert {len(answer) for answer in plain} == {8}
    # Answers end on the way, at different places; those to the same prompt at once.
    trainer.eos_token_ids = settings.eos_token_id = [plain[0][2], plain[-1][5]]
    wanted, _ = super(shared_prompts.SharedPrompts, trainer)._generate_single_turn(*given)
    found, nothing = trainer._generate_single_turn(*given)
    assert nothing is None
    assert found == wanted
    assert len({len(answer) for answer in wanted}) > 1
    after = trainer.model.state_dict()
    assert all(torch.equal(one, after[name]) for name, one in weights.items())


def test_sampled_answers_are_those_of_the_policy_and_drawn_anew(
    folders: dict[str, Path], own_data: Path, tmp_path: Path
) -> None:
    trainer, _ = trainer_of(folders["qwen3_vl"], own_data, tmp_path / "run", "--lora_r", "4")
    batch = next(iter(trainer.get_train_dataloader()))
    torch.manual_seed(3)
    one = trainer._prepare_inputs(batch)
    assert one["completion_ids"].shape[0] == 36
    assert len({tuple(row) for row in one["completion_ids"].tolist()}) > 18
    # Three pictures, in six prompts with two and three with one of four answers each, to sample and to train.
    assert (trainer._patches.n_computed, trainer._patches.n_asked) == (3, 2 * 4 * 15)
    trainer._buffered_inputs = None
    torch.manual_seed(3)
    again = trainer._prepare_inputs(batch)
    assert torch.equal(one["completion_ids"], again["completion_ids"])


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_patches_that_were_kept_are_those_of_the_processor(
    family: str, folders: dict[str, Path], own_data: Path
) -> None:
    processor = base_processor(StageArguments(model=str(folders[family])))
    pairs = load_pairs(own_data, "train")
    rows, _ = ranking_dataset(pairs, groups_of(pairs, 3), "reasoned", with_scores=True)
    images = [rows[number]["images"] for number in (0, 1, 0, 9, 10)]
    texts = [processor.image_token * len(shown) for shown in images]
    wanted = processor(text=texts, images=images, return_tensors="pt", padding=True)
    cache = PatchCache(n_kept=3)
    for _ in range(2):
        with cache.answering_for(processor.image_processor):
            found = processor(text=texts, images=images, return_tensors="pt", padding=True)
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    assert "preprocess" not in vars(processor.image_processor)  # which would be saved with it
    assert cache.n_computed < cache.n_asked == 2 * sum(map(len, images))
    with cache.answering_for(processor.image_processor):
        smaller = processor.image_processor(images[0], size={"shortest_edge": 32 * 32, "longest_edge": 64 * 64})
    assert len(smaller["pixel_values"]) < int(wanted["image_grid_thw"][:2].prod(-1).sum())


def history(final: Path) -> list[dict[str, Any]]:
    return json.loads((final / "trainer_state.json").read_text())["log_history"]


@pytest.mark.parametrize("how", ["one batch", "beta", "several batches"])
def test_steps_are_those_of_whole_rows(
    how: str, folders: dict[str, Path], own_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reward_format(completions: list[Any], **_: Any) -> list[float]:
        texts = (rewards.completion_text(completion) for completion in completions)
        return [hashlib.sha256(text.encode()).digest()[0] / 255 for text in texts]

    monkeypatch.setitem(rewards.REWARDS, "format", reward_format)  # which random text can earn
    drawn = RankingGRPOTrainer._generate_single_turn

    def seeded(self: RankingGRPOTrainer, *given: Any, **named: Any) -> Any:
        torch.manual_seed(100 + self.state.global_step)
        return drawn(self, *given, **named)

    # The same answers for both.
    monkeypatch.setattr(RankingGRPOTrainer, "samples_itself", lambda _: False)
    monkeypatch.setattr(RankingGRPOTrainer, "_generate_single_turn", seeded)
    packed: list[PackedAnswers] = []
    pack = shared_prompts.packed_answers

    def noted(network: Any, batch: PromptedAnswers) -> PackedAnswers:
        packed.append(pack(network, batch))
        return packed[-1]

    monkeypatch.setattr(shared_prompts, "packed_answers", noted)
    more = {
        "one batch": [], "beta": ["--beta", "0.1"],
        "several batches": ["--per_device_train_batch_size", "12", "--steps_per_generation", "3",
                            "--gradient_accumulation_steps", "3"],
    }[how]  # fmt: skip
    runs = {}
    for share in ("true", "false"):
        final = run_grpo(
            *arguments(
                folders["qwen3_vl"], own_data, tmp_path / share, "--max_steps", "3", "--learning_rate", "0.01",
                "--lora_r", "4", "--share_prompts", share, *more,
            )
        )  # fmt: skip
        steps = [(entry["loss"], entry["grad_norm"], entry["entropy"]) for entry in history(final) if "loss" in entry]
        record = json.loads((final / "run_record.json").read_text())
        assert record["metrics"]["shares_prompts"] is (share == "true")
        runs[share] = torch.tensor(steps), load_file(final / "adapter_model.safetensors")
    assert len(packed) == {"one batch": 3, "beta": 6, "several batches": 9}[how]
    for row in packed:  # no answer is parted from those of its prompt
        answers = Counter(segment.parent for segment in row.inputs[BRANCHES] if segment.parent is not None)
        assert {*answers.values()} <= {N_GENERATIONS, 2 * N_GENERATIONS}
    torch.testing.assert_close(runs["true"][0], runs["false"][0], atol=1e-5, rtol=1e-3)
    for name, weight in runs["false"][1].items():
        torch.testing.assert_close(runs["true"][1][name], weight, atol=1e-4, rtol=1e-2)
