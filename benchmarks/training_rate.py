"""Pairs a second of one thread in the embedded model's warm-ups and stage 2, by size of pictures, and where time goes.

    python benchmarks/training_rate.py --data red --sides 96 128 192 224 --rounds 4

A step is what the trainer does with a batch: rows to tensors (pictures read and cut into patches), the losses forward,
their gradients, the optimizer. Of both passes the vision tower's share is told apart. Seconds are the processor's, user
and system; the kinds of step take turns. Weights are those of the embedded base, which a step costs the same with.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from redaes.records import load_pairs, operations_in
from redaes.training.alignment import AlignmentConfig, AlignmentTrainer
from redaes.training.group_batches import ShuffledGroups
from redaes.training.recipes import parse
from redaes.training.stage_model import base_processor, load_model
from redaes.training.vision_cache import vision_tower
from redaes.training.warmup_heads import NO_EDIT
from redaes.training.warmup_reading import ReadingCollator, ReadingConfig, ReadingTrainer, ReadingWithHeads
from redaes.training.warmup_vision import VisionCollator, VisionConfig, VisionTrainer, VisionWithHeads

RECIPES = Path(__file__).resolve().parent.parent / "stages" / "configs"
VERDICT = ["--thurstone_weight", "0", "--nll_weight", "0"]
KINDS: dict[str, tuple[str, int, list[str]]] = {
    "vision": ("warmup_vision", 64, []),
    "vision, places": ("warmup_vision", 64, ["--place_weight", "1", "--matching_weight", "0.5"]),
    "reading": ("warmup_reading", 16, []),
    "looking": ("warmup_reading", 32, ["--answers", "false"]),
    "looking, short": ("warmup_reading", 32, ["--answers", "false", "--short_question", "true"]),
    "stage 2": ("stage2", 16, []),
    "verdict": ("stage2", 32, VERDICT),
    "verdict, short": ("stage2", 32, [*VERDICT, "--short_question", "true"]),
}
"""Recipe, pairs of a step, and options of each kind of step."""
PARTS = ("pictures and tokens", "tower forward", "rest forward", "rest backward", "tower backward", "optimizer")


@dataclass
class Step:
    """One kind of step at one size."""

    collate: Any
    loss_of: Any
    parameters: list[torch.nn.Parameter]
    tower: Any
    size: int
    bf16: bool


def step_of(args: argparse.Namespace, kind: str, side: int, folder: str) -> Step:
    """As the stage would make it."""
    recipe, size, more = KINDS[kind]
    warms_up = recipe.startswith("warmup")
    config_class: Any = (
        AlignmentConfig if not warms_up else ReadingConfig if recipe == "warmup_reading" else VisionConfig
    )
    argv = ["--model", args.model, "--data", str(args.data), "--output_dir", folder, "--max_pixels", str(side * side)]
    argv += ["--per_device_train_batch_size", str(size), "--bf16", str(args.bf16), *more]
    stage, config = parse(config_class, RECIPES / f"{recipe}_nano.yaml", argv)
    stage.check()
    torch.manual_seed(0)
    pairs = load_pairs(args.data, "train")
    processor, model = base_processor(stage), load_model(stage, torch.float32)
    if not warms_up:
        trainer = AlignmentTrainer(processor=processor, model=model, args=config, train_dataset=pairs)
        trainer.model.train()
        trainer.current_gradient_accumulation_steps = 1
        trained = [one for one in trainer.model.parameters() if one.requires_grad]
        return Step(
            trainer.data_collator,
            lambda batch: trainer.compute_loss(trainer.model, batch),
            trained,
            vision_tower(trainer.model),
            size,
            args.bf16,
        )
    classes = [NO_EDIT, *sorted(operations_in(pairs))]
    network: Any
    if recipe == "warmup_vision":
        asked = config.place_weight > 0
        network = VisionWithHeads(model, len(classes), tells_places=asked, matches=asked)
        collate = VisionCollator(processor, classes, n_matched=config.matching_pictures if asked else 0)
        trainer_class: Any = VisionTrainer
    else:
        network = ReadingWithHeads(model, len(classes))
        options = {"answers": config.answers, "short_question": config.short_question}
        collate = ReadingCollator(processor, classes, **options)
        trainer_class = ReadingTrainer
    trainer = trainer_class(model=network, args=config, train_dataset=pairs, data_collator=collate)
    network.train()
    return Step(
        collate,
        lambda batch: trainer.compute_loss(network, batch),
        [*network.parameters()],
        vision_tower(network),
        size,
        args.bf16,
    )


@contextmanager
def tower_timed(tower: Any) -> Iterator[dict[str, float]]:
    """When the tower had its answer, in seconds that it took, and when gradients had come back to it."""
    seen = {"forward": 0.0, "reached": 0.0}
    before = tower.forward

    def reached(gradient: torch.Tensor) -> None:
        seen["reached"] = time.process_time()

    def forward(*arguments: Any, **more: Any) -> Any:
        started = time.process_time()
        answer = before(*arguments, **more)
        seen["forward"] += time.process_time() - started
        for tokens in (answer.pooler_output, *answer.deepstack_features):
            if tokens.requires_grad:
                tokens.register_hook(reached)
        return answer

    tower.forward = forward
    try:
        yield seen
    finally:
        del tower.forward


def timed(step: Step, rows: list[dict[str, Any]], optimizer: torch.optim.Optimizer) -> list[float]:
    """Seconds of each of `PARTS`."""
    clock = [time.process_time()]
    batch = step.collate(rows)
    clock.append(time.process_time())
    with tower_timed(step.tower) as seen:
        with torch.autocast("cpu", torch.bfloat16, enabled=step.bf16):
            loss = step.loss_of(batch)
        clock.append(time.process_time())
        loss.backward()
    clock.append(time.process_time())
    optimizer.step()
    optimizer.zero_grad()
    clock.append(time.process_time())
    begin, made, forth, back, end = clock
    reached = max(seen["reached"], forth) if seen["reached"] else back
    return [made - begin, seen["forward"], forth - made - seen["forward"], reached - forth, back - reached, end - back]


def main(args: argparse.Namespace) -> None:
    """Prints a table for each size."""
    torch.set_num_threads(1)
    pairs = load_pairs(args.data, "train")
    order = list(ShuffledGroups(pairs["group"], seed=0))
    print("| side | step | pairs a step | pairs a second, median [least, most] | " + " | ".join(PARTS) + " |")
    print("|---" * (4 + len(PARTS)) + "|")
    for side in args.sides:
        with tempfile.TemporaryDirectory() as folder:
            steps = {kind: step_of(args, kind, side, folder) for kind in args.kinds}
            optimizers = {kind: torch.optim.AdamW(step.parameters, lr=1e-6) for kind, step in steps.items()}
            found: dict[str, list[list[float]]] = defaultdict(list)
            for number in range(args.rounds + 1):
                for kind, step in steps.items():
                    places = [(number * step.size + one) % len(order) for one in range(step.size)]
                    seconds = timed(step, [pairs[order[place]] for place in places], optimizers[kind])
                    if number:  # the first round warms up
                        found[kind].append(seconds)
        for kind, rounds in found.items():
            rates = sorted(steps[kind].size / sum(one) for one in rounds)
            total = sum(map(sum, rounds))
            shares = [f"{sum(part) / total:.0%}" for part in zip(*rounds, strict=True)]
            shown = f"{statistics.median(rates):.1f} [{rates[0]:.1f}, {rates[-1]:.1f}]"
            print(f"| {side} | {kind} | {steps[kind].size} | {shown} | " + " | ".join(shares) + " |", flush=True)


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="RED dataset folder")
    parser.add_argument("--model", default="redaes/nano-base", help="base model: folder or name")
    parser.add_argument("--sides", type=int, nargs="+", default=[96, 128, 192, 224], help="of a square of equal area")
    parser.add_argument("--kinds", nargs="+", choices=sorted(KINDS), default=list(KINDS), help="of steps")
    parser.add_argument("--compile", action="store_true", help="the language model's layers in the reading warm-up")
    parser.add_argument("--bf16", action="store_true", help="by autocast, as the recipes have it where the CPU can")
    parser.add_argument("--rounds", type=int, default=4, help="steps of each kind; default: %(default)s")
    return parser.parse_args()


if __name__ == "__main__":
    main(parse_args())
