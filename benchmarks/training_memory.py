"""Whether a long training leaks: memory over 1,000 steps of each stage, and its slope.

    python benchmarks/training_memory.py --data red --work runs/memory --steps 1000

Small batches on the embedded base, one process a stage. The slope is that of a least-squares line through the samples
after the first fifth, in which caches fill.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from stages_at_scale import run_with

SMALL = ["--per_device_train_batch_size", "2"]
STAGES = {
    "sft": SMALL,
    "align": SMALL,
    "grpo": ["--pictures_per_group", "2", "--num_generations", "2", "--per_device_train_batch_size", "4",
             "--steps_per_generation", "1", "--max_completion_length", "8",
             "--completion_page_steps", "0"],
}  # fmt: skip
EVERY = 10
"""Steps between two samples."""


def parse_args() -> argparse.Namespace:
    """Data and length."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="RED dataset folder")
    parser.add_argument("--work", type=Path, required=True, help="folder for the runs")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--measure", choices=STAGES, help=argparse.SUPPRESS)  # how each stage's process is called
    args, args.options = parser.parse_known_args()
    if args.measure is None and args.options:
        parser.error(f"unknown arguments {args.options}")
    args.options += ["--data", str(args.data)]
    return args


def own_mib() -> float:
    """Memory of this process in RAM that no file holds (Linux): pages of the dataset's mapped files come and go."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["RssAnon"].split()[0]) / 1024


def sampler(samples: list[tuple[int, float]]) -> Any:
    """A trainer's callback that notes steps and memory."""
    from transformers import TrainerCallback

    class Sampler(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step % EVERY == 0:
                samples.append((state.global_step, own_mib()))

    return Sampler()


def measure(args: argparse.Namespace) -> None:
    """In a stage's own process: train, and write what was sampled."""
    samples: list[tuple[int, float]] = []
    run_with(lambda: sampler(samples), args.measure, args.options)
    (args.work / f"{args.measure}.json").write_text(json.dumps(samples))


def main(args: argparse.Namespace) -> None:
    """Run the stages one after the other and print the table."""
    args.work = args.work.resolve()
    args.work.mkdir(parents=True, exist_ok=True)
    if args.measure is not None:
        measure(args)
        return
    print(
        "| stage | MiB after a fifth | MiB at the end | slope, MiB per 1,000 steps | minutes |\n|---|---|---|---|---|"
    )
    for stage in args.stages:
        started = time.monotonic()
        command = [sys.executable, str(Path(__file__).resolve()), "--measure", stage, "--work", str(args.work)]
        command += ["--data", str(args.data.resolve()), "--output_dir", str(args.work / f"{stage}-{time.time_ns()}")]
        command += ["--max_steps", str(args.steps), "--save_strategy", "no"]
        command += ["--logging_steps", "100", *STAGES[stage]]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{stage} ended with exit code {done.returncode}\n{done.stderr[-3000:]}")
        steps, mib = np.array(json.loads((args.work / f"{stage}.json").read_text())).T
        late = steps > args.steps / 5
        slope = np.polyfit(steps[late], mib[late], 1)[0] * 1000
        minutes = (time.monotonic() - started) / 60
        print(f"| {stage} | {mib[late][0]:.0f} | {mib[-1]:.0f} | {slope:+.1f} | {minutes:.1f} |", flush=True)


if __name__ == "__main__":
    main(parse_args())
