"""Steps of stages 1 and 2 with what rows share read once, against each row by itself, in the same run.

    python benchmarks/shared_prompts_stages.py --data red --model redaes/nano-base --stages align dpo sft --rounds 5

A step is what a trainer does with a batch: rows to tensors, losses, gradients. Seconds are the processor's, user and
system; the order of the two ways changes from step to step. Both have the same rows, on which losses and gradients are
compared, with a LoRA that adds something. For stage 1 there is a third way: the same rows in batches of like length, as
it makes them where rows are read by themselves.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections import defaultdict
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from shared_prompts import begin_step
from torch import Tensor

from redaes.records import load_pairs
from redaes.training.alignment import AlignmentConfig, AlignmentTrainer
from redaes.training.dpo import PairDPOConfig, PairDPOTrainer
from redaes.training.formatting import preference_dataset, sft_dataset
from redaes.training.recipes import parse
from redaes.training.sft import PairSFTConfig, PairSFTTrainer
from redaes.training.stage_model import base_processor, load_model

RECIPES = Path(__file__).resolve().parent.parent / "stages" / "configs"
STAGES = {"sft": ("stage1", PairSFTConfig), "align": ("stage2", AlignmentConfig), "dpo": ("stage2_dpo", PairDPOConfig)}


def parse_args() -> argparse.Namespace:
    """Data, model, sizes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="RED dataset folder")
    parser.add_argument("--model", default="redaes/nano-base", help="base model: folder or name")
    parser.add_argument("--stages", nargs="+", choices=sorted(STAGES), default=["align", "dpo", "sft"])
    parser.add_argument("--batch", type=int, help="rows of a batch; left out: the recipe's")
    parser.add_argument("--max_pixels", type=int, help="cap on a picture's area")
    parser.add_argument("--bf16", action="store_true", help="autocast, as recipes have it; gradients differ more")
    parser.add_argument("--rounds", type=int, default=5, help="steps of each way, after one that warms up")
    return parser.parse_args()


def trainer_of(args: argparse.Namespace, name: str, share: bool, out: str) -> Any:
    """A stage's trainer on the recipe of the embedded model, with a LoRA that adds something."""
    recipe, config_class = STAGES[name]
    more = [] if args.max_pixels is None else ["--max_pixels", str(args.max_pixels)]
    more += [] if args.batch is None else ["--per_device_train_batch_size", str(args.batch)]
    stage, config = parse(
        config_class,
        RECIPES / f"{recipe}_nano.yaml",
        ["--model", args.model, "--data", str(args.data), "--output_dir", out, "--share_prompts", str(share),
         "--bf16", str(args.bf16), *more],
    )  # fmt: skip
    torch.manual_seed(0)
    processor, model = base_processor(stage), load_model(stage, torch.float32)
    if name == "align":
        trainer: Any = AlignmentTrainer(
            processor=processor, model=model, args=config, train_dataset=load_pairs(args.data, "train")
        )
    elif name == "sft":
        rows, lengths = sft_dataset(args.data, "train")
        trainer = PairSFTTrainer(
            lengths=lengths, model=model, args=config, train_dataset=rows, processing_class=processor
        )
    else:
        rows, lengths, _ = preference_dataset(args.data, "train")
        trainer = PairDPOTrainer(
            lengths=lengths, model=model, args=config, train_dataset=rows, processing_class=processor
        )
    begin_step(trainer)
    return trainer


def autocast(trainer: Any) -> AbstractContextManager[Any]:
    """As a run has it."""
    return torch.autocast("cpu", torch.bfloat16) if trainer.args.bf16 else nullcontext()


def step(trainer: Any, rows: list[dict[str, Any]]) -> tuple[float, Tensor, int]:
    """Loss, gradients, and how many tokens the language model read."""
    batch = trainer.data_collator(rows)
    n_tokens = sum(one.numel() for one in token_ids(trainer.as_read(batch)))
    trainer.model.zero_grad()
    with autocast(trainer):
        loss = trainer.compute_loss(trainer.model, batch)
    loss.backward()
    gradients = [one.grad.flatten() for one in trainer.model.parameters() if one.grad is not None]
    return loss.item(), torch.cat(gradients), n_tokens


def token_ids(batch: dict[str, Any]) -> list[Tensor]:
    """Of a batch, however deep."""
    found = [value for name, value in batch.items() if name == "input_ids"]
    return found + [one for value in batch.values() if isinstance(value, dict) for one in token_ids(value)]


def measured(args: argparse.Namespace, name: str) -> dict[str, Any]:
    """Seconds of both ways, and how far apart they are."""
    with tempfile.TemporaryDirectory() as folder:
        ways = {"shared": trainer_of(args, name, True, folder), "apart": trainer_of(args, name, False, folder)}
        shared = ways["shared"]
        size = shared.args.per_device_train_batch_size
        order = list(shared._get_train_sampler())
        by_place = {row: place for place, row in enumerate(ways["apart"]._get_train_sampler())}
        seconds: dict[str, list[float]] = defaultdict(list)
        tokens: dict[str, int] = defaultdict(int)
        apart: dict[str, float] = defaultdict(float)
        for number in range(args.rounds + 1):
            numbers = order[number * size : (number + 1) * size]
            found: dict[str, tuple[float, Tensor, int]] = {}
            for way in ("shared", "apart") if number % 2 else ("apart", "shared"):
                started = time.process_time()
                found[way] = step(ways[way], [ways[way].train_dataset[row] for row in numbers])
                if number:  # the first round warms up
                    seconds[way].append(time.process_time() - started)
                    tokens[way] += found[way][2]
            apart["loss"] = max(apart["loss"], abs(found["apart"][0] - found["shared"][0]))
            gradients = (found["apart"][1] - found["shared"][1]).norm() / found["apart"][1].norm()
            apart["gradients, relative"] = max(apart["gradients, relative"], gradients.item())
        if name == "sft":
            rows = sorted(order[size : (args.rounds + 1) * size], key=lambda row: by_place[row])
            rows.sort(key=lambda row: ways["apart"]._lengths[row])
            for start in range(0, len(rows), size):
                started = time.process_time()
                step(ways["apart"], [ways["apart"].train_dataset[row] for row in rows[start : start + size]])
                seconds["apart, of like length"].append(time.process_time() - started)
        ratios = [old / new for old, new in zip(seconds["apart"], seconds["shared"], strict=True)]
        return {
            "stage": name,
            "rows": size,
            "tokens": {way: round(all_ / args.rounds) for way, all_ in tokens.items()},
            "seconds": {way: round(statistics.median(all_), 3) for way, all_ in seconds.items()},
            "ratio": [round(one, 2) for one in (statistics.median(ratios), min(ratios), max(ratios))],
            "ratio of all": {
                way: round(sum(all_) / sum(seconds["shared"]), 2) for way, all_ in seconds.items() if way != "shared"
            },
            "apart": dict(apart),
        }


if __name__ == "__main__":
    given = parse_args()
    for stage_name in given.stages:
        print(json.dumps(measured(given, stage_name)), flush=True)
