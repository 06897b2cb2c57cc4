"""Stage 3's trainer on tiny models, with a batch of answers, to be asked with shared prompts and in TRL's own way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from redaes.records import load_pairs
from redaes.rewards import trl as rewards
from redaes.training import grpo
from redaes.training.grpo import RankingGRPOConfig, RankingGRPOTrainer
from redaes.training.ranking_rows import groups_of, ranking_dataset
from redaes.training.recipes import parse
from redaes.training.stage_arguments import StageArguments
from redaes.training.stage_model import base_processor, load_model

RECIPE = Path(__file__).parents[2] / "stages" / "configs" / "stage3_nano.yaml"
N_GENERATIONS = 4


def arguments(model: Path, data: Path, out: Path, *more: str) -> tuple[StageArguments, RankingGRPOConfig]:
    return parse(
        RankingGRPOConfig,
        RECIPE,
        ["--model", str(model), "--data", str(data), "--output_dir", str(out), "--bf16", "false", "--disable_tqdm",
         "true", "--max_completion_length", "6", "--pictures_per_group", "3", "--rewards", "format", "thurstone",
         "--reward_weights", "1", "1", "--per_device_train_batch_size", "36", "--steps_per_generation", "1",
         "--num_generations", str(N_GENERATIONS), "--save_steps", "8",
         "--fast_antisymmetry_weight", "0", "--fast_preference_weight", "0", *more],
    )  # fmt: skip


def trainer_of(
    model: Path, data: Path, out: Path, *more: str, attention: str | None = None
) -> tuple[RankingGRPOTrainer, dict[str, Any]]:
    """A trainer with weights that are not those of its start, and a batch with answers of 0 to 5 tokens.

    With ``attention`` the model has another one than the stage gives it.
    """
    stage, config = arguments(model, data, out, *more)
    pairs = load_pairs(data, "train")
    rows, numbers = ranking_dataset(pairs, groups_of(pairs, 3), "reasoned", with_scores=True)
    processor = base_processor(stage)
    processor.tokenizer.padding_side = "left"
    network = load_model(stage, torch.float32)
    if attention is not None:
        network.set_attn_implementation(attention)
    trainer = RankingGRPOTrainer(
        sampler=grpo.GroupSampler(numbers, capacity=9, num_generations=4, n_processes=1, repeat_count=1, seed=0),
        model=network, args=config, train_dataset=rows, verdict_pairs=pairs, processing_class=processor,
        reward_funcs=rewards.reward_functions(config.rewards),
    )  # fmt: skip
    torch.manual_seed(1)
    for name, parameter in trainer.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    # Pictures of two shapes, one picture and two, two prompts of the same words; they meet again out of turn.
    asked = [numbers[0].pairs[0][0], numbers[0].pairs[1][0], numbers[1].pairs[0][1], numbers[0].singles[0]]
    batch = [rows[number] for number in (*(row for row in asked for _ in range(N_GENERATIONS - 1)), *asked)]
    texts = processor.apply_chat_template([row["prompt"] for row in batch], add_generation_prompt=True, tokenize=False)
    made = dict(processor(images=[row["images"] for row in batch], text=texts, padding=True, return_tensors="pt"))
    n, longest = len(batch), 5
    lengths = torch.tensor([5, 0, 3, 1]).repeat(n)[:n]
    types = made.pop("mm_token_type_ids")
    inputs = {
        "prompt_ids": made.pop("input_ids"), "prompt_mask": made.pop("attention_mask"),
        "completion_ids": torch.randint(5, 300, (n, longest)),
        "completion_mask": (torch.arange(longest) < lengths[:, None]).int(),
        "mm_token_type_ids": torch.cat([types, torch.zeros(n, longest, dtype=types.dtype)], dim=1),
        "picture_types": types,
        "advantages": torch.randn(n), "num_images": [len(row["images"]) for row in batch],
        "num_items_in_batch": lengths.sum(), **made,
    }  # fmt: skip
    trainer.current_gradient_accumulation_steps = 1
    trainer.model.train()
    return trainer, inputs


def learned(trainer: RankingGRPOTrainer, inputs: dict[str, Any]) -> tuple[float, list[Tensor], dict[str, Tensor]]:
    """Loss; log-probabilities and entropies; gradients."""
    seen: list[Tensor] = []
    found = trainer._get_per_token_logps_and_entropies

    def noted(*given: Any, **named: Any) -> Any:
        log_probs, entropies, nothing = found(*given, **named)
        assert nothing is None
        seen.extend((log_probs.detach(), entropies.detach()))
        return log_probs, entropies, nothing

    trainer._get_per_token_logps_and_entropies = noted
    trainer.model.zero_grad()
    loss = trainer._compute_loss(trainer.model, inputs)
    loss.backward()
    del trainer._get_per_token_logps_and_entropies
    gradients = {name: one.grad for name, one in trainer.model.named_parameters() if one.grad is not None}
    return loss.item(), seen, gradients


def checkpoint(model: Any, how: str) -> None:
    """Have a model calculate parts of a pass again, in the way that the end of a name says; else leave it as it is."""
    if how.endswith(("-checkpointed", "-reentrant")):
        model.enable_input_require_grads()  # as trainers do: reentrant, nothing would be learned without it
        model.gradient_checkpointing_enable({"use_reentrant": how.endswith("-reentrant")})


def distance(some: dict[str, Tensor], others: dict[str, Tensor]) -> float:
    """Of all gradients together, relative to their length."""
    assert some.keys() == others.keys()
    apart = sum((some[name] - others[name]).double().square().sum() for name in some)
    return float((apart / sum(one.double().square().sum() for one in some.values())).sqrt())
