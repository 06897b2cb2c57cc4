"""Stage 2 with each different picture looked at once, against the plain way, in the same run.

    python benchmarks/vision_cache.py --data red --model redaes/nano-base --pairs 12 --rounds 5

The plain way hands every showing of a picture to the processor and to the model, as their own documentation does. Both
make the same batches of pairs in both orders, of single pictures and of whole answers, and the same gradients
(tests/integration/test_stages.py holds them equal).
"""

from __future__ import annotations

import argparse
import re
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from redaes import prompts
from redaes.answers import SCORE_PREFIX, WINNER_PREFIX
from redaes.records import load_pairs, picture_of, record_of
from redaes.training.alignment import AlignmentCollator, AlignmentConfig
from redaes.training.formatting import MODES, chat_text, ordered_images
from redaes.training.stage_arguments import StageArguments
from redaes.training.stage_model import base_processor, load_model
from redaes.training.vision_cache import BatchVisionCache, PictureBatch, vision_tower


def parse_args() -> argparse.Namespace:
    """Data, model, size."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="RED dataset folder")
    parser.add_argument("--model", default="redaes/nano-base", help="base model: folder or name")
    parser.add_argument("--pairs", type=int, default=12, help="pairs in a batch")
    parser.add_argument("--rounds", type=int, default=5, help="batches of each kind")
    return parser.parse_args()


def plain_batches(processor: Any, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Pairs in both orders, single pictures, whole answers: every showing processed by itself."""
    records = [record_of(row, "train") for row in rows]
    singles = {
        found.ref.id: found.image for r in records for found in (picture_of(r, "first"), picture_of(r, "second"))
    }
    both = [ordered_images(record, order) for order in ("forward", "swapped") for record in records]
    fast = chat_text(processor, prompts.load(prompts.COMPARE["fast"]), WINNER_PREFIX)
    score = chat_text(processor, prompts.load(prompts.SCORE), SCORE_PREFIX)
    answers = PictureBatch(processor, records).answers(MODES)
    run = re.compile(f"(?:{re.escape(processor.image_token)})+")
    texts = [
        run.sub(processor.image_token, processor.tokenizer.decode(ids[mask.bool()]))
        for ids, mask in zip(answers["input_ids"], answers["attention_mask"], strict=True)
    ]
    batches = []
    for text, images in (
        ([fast] * len(both), both),
        ([score] * len(singles), [[image] for image in singles.values()]),
        (texts, both[: len(records)]),
    ):
        batches.append(
            dict(processor(text=text, images=images, return_tensors="pt", padding=True, padding_side="left"))
        )
    return batches


def main(args: argparse.Namespace) -> None:
    """Time both ways in turn."""
    stage = StageArguments(model=args.model, data=str(args.data))
    processor = base_processor(stage)
    model = load_model(StageArguments(model=args.model, full_training=True), torch.float32)
    rows = load_pairs(args.data, "train")
    collate = AlignmentCollator(processor, AlignmentConfig(output_dir="unused", use_cpu=True, bf16=False))
    seconds: dict[str, list[float]] = {"plain": [], "once": []}
    for number in range(args.rounds + 1):
        batch = [rows[number * args.pairs + place] for place in range(args.pairs)]
        started = time.perf_counter()
        for inputs in plain_batches(processor, batch):
            with torch.autocast("cpu", torch.bfloat16):
                model(**inputs, logits_to_keep=1).logits.sum().backward()
        between = time.perf_counter()
        made = collate(batch)
        with BatchVisionCache(vision_tower(model), made["pictures"]) as cache, torch.autocast("cpu", torch.bfloat16):
            total = torch.zeros(())
            for kind in ("compare", "score", "answer"):
                inputs = {name: value for name, value in made[kind].items() if name != "labels"}
                total = total + cache.forward(model, inputs, logits_to_keep=1).logits.sum()
        total.backward()
        if number:  # the first round warms up
            seconds["plain"].append(between - started)
            seconds["once"].append(time.perf_counter() - between)
    for name, values in seconds.items():
        spread = f"[{min(values):.2f}, {max(values):.2f}]"
        print(f"{name}: {statistics.median(values):.2f} s {spread} a batch of {args.pairs} pairs")
    ratios = [plain / once for plain, once in zip(*seconds.values(), strict=True)]
    spread = f"[{min(ratios):.1f}, {max(ratios):.1f}]"
    print(f"ratio: {statistics.median(ratios):.1f} {spread}, {torch.get_num_threads()} threads")


if __name__ == "__main__":
    main(parse_args())
