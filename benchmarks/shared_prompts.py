"""A step of stage 3 with each prompt read once, against TRL's own way, in the same run.

    python benchmarks/shared_prompts.py --data red --model redaes/nano-base --generations 4 8 16 --rounds 3

Both ways write answers of ``--tokens`` tokens to the same prompts, and train on them. Seconds are the processor's, user
and system; the order of the two ways changes from round to round. TRL's way processes and looks at every showing of a
picture, too; rows are read before either. Losses and gradients are compared on the same answers.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections import defaultdict
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from redaes.records import load_pairs
from redaes.rewards.trl import reward_functions
from redaes.training.group_batches import GroupSampler
from redaes.training.grpo import RankingGRPOConfig, RankingGRPOTrainer, forbidden_tokens
from redaes.training.patch_cache import PatchCache
from redaes.training.ranking_rows import groups_of, ranking_dataset
from redaes.training.recipes import parse
from redaes.training.stage_arguments import StageArguments
from redaes.training.stage_model import base_processor, load_model
from redaes.training.vision_cache import vision_tower

RECIPE = Path(__file__).resolve().parent.parent / "stages" / "configs" / "stage3_nano.yaml"


def parse_args() -> argparse.Namespace:
    """Data, model, sizes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="RED dataset folder")
    parser.add_argument("--model", default="redaes/nano-base", help="base model: folder or name")
    parser.add_argument("--generations", type=int, nargs="+", default=[4, 8, 16], help="answers to each prompt")
    parser.add_argument("--prompts", type=int, default=2, help="prompts in a step: a pair in both orders is two")
    parser.add_argument("--tokens", type=int, default=144, help="of each answer")
    parser.add_argument("--max_pixels", type=int, help="cap on a picture's area")
    parser.add_argument("--rounds", type=int, default=3, help="steps of each way, after one that warms up")
    return parser.parse_args()


def trainer_of(args: argparse.Namespace, n_generations: int, out: str) -> RankingGRPOTrainer:
    """A trainer that writes answers of one length, with a LoRA that adds something."""
    pixels = [] if args.max_pixels is None else ["--max_pixels", str(args.max_pixels)]
    size = args.prompts * n_generations
    stage, config = parse(
        RankingGRPOConfig,
        RECIPE,
        ["--model", args.model, "--data", str(args.data), "--output_dir", out, "--bf16", "false",
         "--pictures_per_group", "2", "--rewards", "format", "swap_consistency", "--reward_weights", "1", "1",
         "--steps_per_generation", "1",
         "--per_device_train_batch_size", str(size), "--num_generations", str(n_generations),
         "--max_completion_length", str(args.tokens), "--completion_page_steps", "0", *pixels],
    )  # fmt: skip
    assert isinstance(stage, StageArguments)
    pairs = load_pairs(args.data, "train")
    rows, numbers = ranking_dataset(pairs, groups_of(pairs, 2), "reasoned", with_scores=False)
    processor = base_processor(stage)
    processor.tokenizer.padding_side = "left"
    config.generation_kwargs = {"suppress_tokens": forbidden_tokens(processor), "min_new_tokens": args.tokens}
    trainer = RankingGRPOTrainer(
        sampler=GroupSampler(numbers, capacity=args.prompts, num_generations=n_generations, n_processes=1,
                             repeat_count=1, seed=0),
        model=load_model(stage, torch.float32), args=config, train_dataset=rows, processing_class=processor,
        reward_funcs=reward_functions(config.rewards),
    )  # fmt: skip
    torch.manual_seed(0)
    for name, parameter in trainer.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    return trainer


def choose(trainer: RankingGRPOTrainer, way: str) -> None:
    """Take one of the two ways from here on."""
    trainer.shares_prompts = way == "shared"
    cache: Any = trainer._vision_cache
    vision_tower(trainer.model).forward = cache._answer if way == "shared" else cache._tower
    cache._cached = []
    kept: Any = PatchCache(2 * trainer.args.capacity)
    if way == "TRL":
        kept.answering_for = lambda _: nullcontext()
    trainer._patches = kept


def learned(trainer: RankingGRPOTrainer, inputs: dict[str, Any]) -> tuple[float, Tensor]:
    """Loss and all gradients of a batch."""
    trainer.model.zero_grad()
    loss = trainer._compute_loss(trainer.model, inputs)
    loss.backward()
    return loss.item(), torch.cat([one.grad.flatten() for one in trainer.model.parameters() if one.grad is not None])


def measured(args: argparse.Namespace, n_generations: int) -> dict[str, Any]:
    """Seconds of both ways, and how far apart they are on the same answers."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer_of(args, n_generations, folder)
        batches = iter(trainer.get_train_dataloader())
        seconds: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        apart: dict[str, float] = defaultdict(float)
        for number in range(args.rounds + 1):
            batch = next(batches)
            for way in ("TRL", "shared") if number % 2 else ("shared", "TRL"):
                choose(trainer, way)
                torch.manual_seed(number)
                started = time.process_time()
                inputs = trainer._generate_and_score_completions(batch)
                sampled = time.process_time()
                inputs["advantages"] = torch.randn(len(inputs["advantages"]))  # random answers earn nothing
                learned(trainer, inputs)
                ended = time.process_time()
                if number:  # the first round warms up
                    for part, value in (("sampling", sampled - started), ("training", ended - sampled),
                                        ("step", ended - started)):  # fmt: skip
                        seconds[part][way].append(value)
            found = {}
            for way in ("TRL", "shared"):
                choose(trainer, way)
                found[way] = learned(trainer, inputs)
            apart["loss"] = max(apart["loss"], abs(found["TRL"][0] - found["shared"][0]))
            gradients = (found["TRL"][1] - found["shared"][1]).norm() / found["TRL"][1].norm()
            apart["gradients, relative"] = max(apart["gradients, relative"], gradients.item())
        ratios = {
            part: [trl / ours for trl, ours in zip(ways["TRL"], ways["shared"], strict=True)]
            for part, ways in seconds.items()
        }
        return {
            "generations": n_generations,
            "prompt tokens": int(inputs["prompt_mask"].sum(1).max()),
            "answer tokens": args.tokens,
            "seconds": {part: {way: statistics.median(all_) for way, all_ in ways.items()}
                        for part, ways in seconds.items()},
            "ratio": {part: [round(one, 2) for one in (statistics.median(all_), min(all_), max(all_))]
                      for part, all_ in ratios.items()},
            "apart": dict(apart),
        }  # fmt: skip


if __name__ == "__main__":
    given = parse_args()
    for generations in given.generations:
        print(json.dumps(measured(given, generations)), flush=True)
