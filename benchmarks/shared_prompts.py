"""Steps of stage 3 with each prompt read once, against TRL's own way, in the same run.

    python benchmarks/shared_prompts.py --data red --models redaes/nano-base qwen2_5_vl --generations 4 8 16 \\
        --sides 192 352 512 --rounds 3

Both ways write answers of ``--tokens`` tokens to the same prompts, and train on them in ``--batches`` batches: with
more than one, TRL reads the answers again for the old policy's log-probabilities, as in the embedded model's recipe.
Seconds are the processor's, user and system; the order of the two ways changes from round to round. TRL's way processes
and looks at every showing of a picture, too; rows are read before either. Losses, log-probabilities and gradients are
compared on the same answers. Pictures are stretched to squares. ``qwen2_5_vl`` is a model of that family of the
embedded one's size, with random weights.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from stages_at_scale import build
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
WAYS = ("TRL", "shared")
PARTS = ("sampling", "training", "step")
QWEN2_5_VL: dict[str, dict[str, Any]] = {
    "text": {
        "vocab_size": 1536, "hidden_size": 192, "intermediate_size": 512, "num_hidden_layers": 4,
        "num_attention_heads": 6, "num_key_value_heads": 3, "sections": [6, 5, 5],
    },
    "vision": {"depth": 4, "hidden_size": 128, "intermediate_size": 384, "num_heads": 4, "fullatt_block_indexes": [3]},
}  # fmt: skip


def parse_args() -> argparse.Namespace:
    """Data, models, sizes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="RED dataset folder")
    parser.add_argument("--models", nargs="+", default=["redaes/nano-base"], help="base models, or qwen2_5_vl")
    parser.add_argument("--generations", type=int, nargs="+", default=[4, 8, 16], help="answers to each prompt")
    parser.add_argument("--sides", type=int, nargs="+", default=[512], help="of a picture, pixels")
    parser.add_argument("--prompts", type=int, default=2, help="prompts in a step: a pair in both orders is two")
    parser.add_argument("--batches", type=int, default=2, help="that the answers of a step are trained in")
    parser.add_argument("--tokens", type=int, default=144, help="of each answer")
    parser.add_argument("--rounds", type=int, default=3, help="steps of each way, after one that warms up")
    args = parser.parse_args()
    if args.prompts % args.batches:
        parser.error(f"--prompts is {args.prompts} and --batches {args.batches}: give batches of whole prompts")
    return args


def trainer_of(args: argparse.Namespace, model: str, side: int, n_generations: int, out: str) -> RankingGRPOTrainer:
    """A trainer that writes answers of one length, with a LoRA that adds something."""
    stage, config = parse(
        RankingGRPOConfig,
        RECIPE,
        ["--model", model, "--data", str(args.data), "--output_dir", out, "--bf16", "false",
         "--pictures_per_group", "2", "--rewards", "format", "swap_consistency", "--reward_weights", "1", "1",
         "--steps_per_generation", str(args.batches), "--save_strategy", "no",
         "--per_device_train_batch_size", str(args.prompts // args.batches * n_generations),
         "--num_generations", str(n_generations), "--max_pixels", str(side**2),
         "--max_completion_length", str(args.tokens), "--completion_page_steps", "0",
         "--fast_antisymmetry_weight", "0", "--fast_preference_weight", "0"],
    )  # fmt: skip
    assert isinstance(stage, StageArguments)
    pairs = load_pairs(args.data, "train")
    rows, numbers = ranking_dataset(pairs, groups_of(pairs, 2), "reasoned", with_scores=False)
    processor = base_processor(stage)
    processor.tokenizer.padding_side = "left"
    config.generation_kwargs = {"suppress_tokens": forbidden_tokens(processor), "min_new_tokens": args.tokens}
    trainer = RankingGRPOTrainer(
        sampler=GroupSampler(numbers, capacity=args.prompts, num_generations=n_generations, n_processes=1,
                             repeat_count=args.batches, seed=0),
        model=load_model(stage, torch.float32), args=config, train_dataset=rows, processing_class=processor,
        reward_funcs=reward_functions(config.rewards),
    )  # fmt: skip
    begin_step(trainer)
    return trainer


def begin_step(trainer: Any) -> None:
    """Have a trainer's LoRA add something, the same each time, and the trainer where a step begins."""
    torch.manual_seed(0)
    for name, parameter in trainer.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1


def with_squares(row: dict[str, Any], side: int) -> dict[str, Any]:
    """A row whose prompt has a known length."""
    return {**row, "images": [picture.resize((side, side)) for picture in row["images"]]}


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


def written(trainer: RankingGRPOTrainer, rows: Any) -> list[dict[str, Any]]:
    """The batches of a step, with answers, and with advantages by chance: random answers earn nothing."""
    trainer._step, trainer._buffered_inputs = 0, None
    trainer._prepare_inputs(rows)
    batches: list[dict[str, Any]] = trainer._buffered_inputs
    for batch in batches:
        batch["advantages"] = torch.randn(len(batch["advantages"]))
    return batches


def trained_on(trainer: RankingGRPOTrainer, batches: list[dict[str, Any]]) -> float:
    """Loss of the batches, and gradients of all of them together."""
    trainer.model.zero_grad()
    total = 0.0
    for batch in batches:
        loss = trainer._compute_loss(trainer.model, batch)
        loss.backward()
        total += loss.item()
    return total


@dataclass
class Learned:
    """What a way makes of given answers."""

    loss: float
    gradients: Tensor
    log_probs: list[Tensor] = field(default_factory=list)
    """Of the tokens of each batch."""


def learned(trainer: RankingGRPOTrainer, batches: list[dict[str, Any]]) -> Learned:
    """Loss, gradients and log-probabilities of the batches."""
    seen: list[Tensor] = []
    plain = trainer._get_per_token_logps_and_entropies

    def noted(*given: Any, **named: Any) -> Any:
        found = plain(*given, **named)
        seen.append(found[0].detach())
        return found

    of_trainer: Any = trainer
    of_trainer._get_per_token_logps_and_entropies = noted
    loss = trained_on(trainer, batches)
    del of_trainer._get_per_token_logps_and_entropies
    gradients = [one.grad.flatten() for one in trainer.model.parameters() if one.grad is not None]
    masks = [batch["completion_mask"].bool() for batch in batches]
    return Learned(loss, torch.cat(gradients), [one[mask] for one, mask in zip(seen, masks, strict=True)])


def differences(trainer: RankingGRPOTrainer, batches: list[dict[str, Any]]) -> dict[str, float]:
    """How far the two ways are apart on the same answers; old log-probabilities are those of the sampler."""
    found = {}
    for way in WAYS:
        choose(trainer, way)
        found[way] = learned(trainer, batches)
    trl, ours = found["TRL"], found["shared"]

    def furthest(some: list[Tensor]) -> float:
        return max(float((one - other).abs().max()) for one, other in zip(some, trl.log_probs, strict=True))

    apart = {
        "loss": abs(trl.loss - ours.loss),
        "log-probabilities": furthest(ours.log_probs),
        "gradients, relative": float((trl.gradients - ours.gradients).norm() / trl.gradients.norm()),
    }
    if "old_per_token_logps" in batches[0]:
        apart["old log-probabilities"] = furthest(
            [batch["old_per_token_logps"][batch["completion_mask"].bool()] for batch in batches]
        )
    return apart


def peak_of(work: Callable[[], Any]) -> tuple[Any, float | None]:
    """What some work gives, and the MiB of memory that it took beyond what was there; None: the system does not say."""
    status = Path("/proc/self/status")
    gc.collect()
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)  # what was given back is no longer held
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = _kib(status, "VmRSS")
    except (OSError, AttributeError):
        return work(), None
    found = work()
    return found, (_kib(status, "VmHWM") - before) / 1024


def _kib(status: Path, name: str) -> int:
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(f"{name}:"))


def measured(args: argparse.Namespace, model: str, side: int, n_generations: int) -> dict[str, Any]:
    """Seconds and memory of both ways, and how far apart they are on the answers of the last step."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer_of(args, model, side, n_generations, folder)
        assert trainer.shares_prompts
        steps = iter(trainer.get_train_dataloader())
        seconds: dict[str, dict[str, list[float]]] = {part: defaultdict(list) for part in PARTS}
        peaks: dict[str, list[float]] = defaultdict(list)
        for number in range(args.rounds + 1):
            rows = [with_squares(row, side) for row in next(steps)]
            for _ in range(args.batches - 1):
                next(steps)  # the same rows come for each batch
            for way in WAYS if number % 2 else reversed(WAYS):
                choose(trainer, way)
                torch.manual_seed(number)
                spent = [time.process_time()]

                def step(spent: list[float] = spent, rows: Any = rows) -> list[dict[str, Any]]:
                    batches = written(trainer, rows)
                    spent.append(time.process_time())
                    trained_on(trainer, batches)
                    spent.append(time.process_time())
                    return batches

                batches, peak = peak_of(step)
                if number:  # the first round warms up
                    for part, value in zip(PARTS, (spent[1] - spent[0], spent[2] - spent[1], spent[2] - spent[0]),
                                           strict=True):  # fmt: skip
                        seconds[part][way].append(value)
                    if peak is not None:
                        peaks[way].append(peak)
                if way == "shared":
                    kept = batches
        ratios = {
            part: [trl / ours for trl, ours in zip(ways["TRL"], ways["shared"], strict=True)]
            for part, ways in seconds.items()
        }
        return {
            "model": model,
            "generations": n_generations,
            "prompt_tokens": int(kept[0]["prompt_mask"].sum(1).max()),
            "answer_tokens": args.tokens,
            "batches": args.batches,
            "seconds": {part: {way: statistics.median(all_) for way, all_ in ways.items()}
                        for part, ways in seconds.items()},
            "ratio": {part: (statistics.median(all_), min(all_), max(all_)) for part, all_ in ratios.items()},
            "peak_mib": {way: max(all_) for way, all_ in peaks.items()},
            "apart": differences(trainer, kept),
        }  # fmt: skip


def row(found: dict[str, Any]) -> str:
    """A line of the table; ratios as median [least, most]."""
    ratios = ["{:.2f} [{:.2f}, {:.2f}]".format(*found["ratio"][part]) for part in PARTS]
    times = [f"{found['seconds']['step'][way]:.2f}" for way in WAYS]
    peaks = [f"{found['peak_mib'][way]:.0f}" if way in found["peak_mib"] else "-" for way in WAYS]
    apart = [f"{value:.1e}" for name, value in found["apart"].items() if name != "loss"]
    first = [Path(found["model"]).name, str(found["prompt_tokens"]), str(found["generations"])]
    return f"| {' | '.join([*first, *ratios, ' → '.join(times), ' → '.join(peaks), ' / '.join(apart)])} |"


if __name__ == "__main__":
    given = parse_args()
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as made:
        if "qwen2_5_vl" in given.models:
            build(Path(made) / "qwen2_5_vl", QWEN2_5_VL)
        for name in given.models:
            for side in given.sides:
                for generations in given.generations:
                    base = str(Path(made) / name) if name == "qwen2_5_vl" else name
                    result = measured(given, base, side, generations)
                    print(json.dumps(result), flush=True)
                    lines.append(row(result))
    print("\n| model | prompt | answers | sampling | training | step | step, s | peak, MiB | apart |")
    print("|---|---|---|---|---|---|---|---|---|", *lines, sep="\n")
