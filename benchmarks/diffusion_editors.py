"""How long an edit takes and how much memory it needs, with random weights: nothing is fetched.

    python benchmarks/diffusion_editors.py                      # tiny pipelines; on CUDA also FLUX.2-klein-4B in full
    python benchmarks/diffusion_editors.py --full --side 768 --batch_size 4 --compile

The time of a pipeline does not depend on what its weights hold, so the figures of the full size are those of the
real model. The tiny ones only show that every pipeline runs on this device in this number format.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from redaes.datagen.editors.base import EditJob
from redaes.datagen.editors.diffusion import DiffusionEditor
from redaes.datagen.editors.diffusion.pipelines import ADAPTERS

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the tiny pipelines are the tests'
from tests.integration.tiny_pipelines import BUILDERS, build, qwen_tokenizer, small_area

TINY_SIDE = 64
"""Of the picture for the tiny pipelines; they also work at about that size."""
DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}


def parse_args() -> argparse.Namespace:
    """What to measure, and where."""
    parser = argparse.ArgumentParser(description="seconds per edit and peak memory of the diffusion editors")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="bfloat16")
    parser.add_argument("--full", action="store_true", help="the full-size model only")
    parser.add_argument("--side", type=int, default=1024, help="of the square picture for the full size, in pixels")
    parser.add_argument("--jobs", type=int, default=8, help="edits that are timed")
    parser.add_argument("--batch_size", type=int, default=1, help="instructions per call of the full size")
    parser.add_argument("--compile", action="store_true", help="compile the blocks of the full size")
    return parser.parse_args()


def klein_4b(device: str, dtype: torch.dtype, tokenizer: Any) -> Any:
    """FLUX.2-klein-4B as it is published, with random weights made on the device.

    Its vocabulary is kept to what the small tokenizer needs: the table of embeddings takes memory (0.8 GB at
    bfloat16 in the published model) but no time.
    """
    from diffusers import (
        AutoencoderKLFlux2,
        FlowMatchEulerDiscreteScheduler,
        Flux2KleinPipeline,
        Flux2Transformer2DModel,
    )
    from transformers import Qwen3Config, Qwen3ForCausalLM

    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)  # made as float32, the weights would need twice the memory
    try:
        with torch.device(device):
            transformer = Flux2Transformer2DModel(
                num_layers=5,
                num_single_layers=20,
                num_attention_heads=24,
                joint_attention_dim=7680,
                guidance_embeds=False,
            )
            vae = AutoencoderKLFlux2()
            encoder = Qwen3ForCausalLM(
                Qwen3Config(
                    vocab_size=len(tokenizer),
                    hidden_size=2560,
                    intermediate_size=9728,
                    num_hidden_layers=36,
                    num_attention_heads=32,
                    num_key_value_heads=8,
                    head_dim=128,
                )
            )
    finally:
        torch.set_default_dtype(before)
    return Flux2KleinPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=vae.eval(),
        text_encoder=encoder.eval(),
        tokenizer=tokenizer,
        transformer=transformer.eval(),
        is_distilled=True,
    ).to(device)


def measure(make: Callable[[], DiffusionEditor], side: int, n_jobs: int, device: str) -> tuple[str, ...]:
    """One row of the table: the first edit, the others, and the peak of the device's memory."""
    cuda = device.startswith("cuda")
    gc.collect()
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    editor = make()
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (side, side, 3), dtype=np.uint8))

    def seconds(jobs: list[EditJob]) -> float:
        start = time.perf_counter()
        failures = [
            outcome.detail for outcome in editor.edit(picture, jobs) if outcome.failure
        ]  # pictures: synchronous
        if failures:
            raise SystemExit(f"{editor.name}: {failures[0]}")
        return (time.perf_counter() - start) / len(jobs)

    jobs = [EditJob(f"Make the picture darker, number {number}.", number) for number in range(n_jobs)]
    first = seconds(jobs[:1])
    seconds(jobs)  # a batch is another shape, which compiles and warms up on its own
    rest = statistics.median(seconds(jobs) for _ in range(3))
    peak = f"{torch.cuda.max_memory_allocated(device) / 2**30:.2f}" if cuda else "-"
    return editor.name.rpartition("/")[2], str(side), str(editor.steps), f"{first:.2f}", f"{rest:.3f}", peak


def main(args: argparse.Namespace) -> None:
    """Measure and print."""
    dtype = DTYPES[args.dtype]
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for name in () if args.full else sorted(BUILDERS):
            folder = Path(scratch) / name
            build(name, folder)

            # Some pipelines choose their area themselves and take no cap.
            area = None if ADAPTERS[name].max_pixels is None else TINY_SIDE**2

            def tiny(folder: Path = folder, area: int | None = area) -> DiffusionEditor:
                return DiffusionEditor.load(folder, device=args.device, dtype=dtype, steps=2, max_pixels=area)

            with small_area():
                rows.append(measure(tiny, TINY_SIDE, min(args.jobs, 2), args.device))
    if args.full or args.device.startswith("cuda"):

        def full() -> DiffusionEditor:
            pipeline = klein_4b(args.device, dtype, qwen_tokenizer())
            if args.compile:
                pipeline.transformer.compile_repeated_blocks()
            return DiffusionEditor(pipeline, "klein-4B", "random", batch_size=args.batch_size)

        rows.append(measure(full, args.side, args.jobs, args.device))
    table = Table("pipeline", "side, px", "steps", "first edit, s", "edit, s", "peak, GiB")
    for row in rows:
        table.add_row(*row)
    place = torch.cuda.get_device_name(args.device) if args.device.startswith("cuda") else "CPU"
    Console().print(table, f"{place}, {args.dtype}, torch {torch.__version__}")


if __name__ == "__main__":
    main(parse_args())
