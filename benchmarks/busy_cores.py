"""Stage 2's step with different numbers of threads and ways of waiting, on cores that are free and on busy ones.

    python benchmarks/busy_cores.py --data red --pairs 6 --rounds 3

Each setting is a process of its own, because OpenMP reads its environment once. All of them load, take one step to warm
up, and then take steps in turn: so what else the machine does meets all alike. With ``--load N`` (default: as many as
there are cores; 0: none) a second set of rounds runs beside N processes that only count. CPU-seconds are of the whole
process. The digest of the gradients says whether a setting changes the result.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

SETTINGS: dict[str, dict[str, str]] = {
    "1 thread": {"OMP_NUM_THREADS": "1"},
    "2 threads, as libraries have it": {"OMP_NUM_THREADS": "2"},
    "2 threads, passive": {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"},
    "2 threads, GOMP_SPINCOUNT=1000": {"OMP_NUM_THREADS": "2", "GOMP_SPINCOUNT": "1000"},
}
COUNTING = "while True: pass"


def parse_args() -> argparse.Namespace:
    """Data, model, size, load."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="RED dataset folder")
    parser.add_argument("--model", default="redaes/nano-base", help="base model: folder or name")
    parser.add_argument("--pairs", type=int, default=6, help="pairs in a batch")
    parser.add_argument("--rounds", type=int, default=3, help="steps of each setting, of which the median counts")
    parser.add_argument("--load", type=int, default=os.cpu_count() or 1, help="processes that only count")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def worker(args: argparse.Namespace) -> None:
    """Take a step for each line on standard input, and say what it took."""
    import torch

    from redaes.records import load_pairs
    from redaes.training.alignment import AlignmentCollator, AlignmentConfig
    from redaes.training.stage_arguments import StageArguments
    from redaes.training.stage_model import base_processor, load_model
    from redaes.training.vision_cache import BatchVisionCache, vision_tower

    torch.manual_seed(0)
    model = load_model(StageArguments(model=args.model, full_training=True), torch.float32)
    processor = base_processor(StageArguments(model=args.model, data=str(args.data)))
    rows = load_pairs(args.data, "train")
    collate = AlignmentCollator(processor, AlignmentConfig(output_dir="unused", use_cpu=True, bf16=False))
    batch = [rows[place] for place in range(args.pairs)]

    def step() -> str:
        made = collate(batch)
        model.zero_grad()
        with BatchVisionCache(vision_tower(model), made["pictures"]) as cache, torch.autocast("cpu", torch.bfloat16):
            total = torch.zeros(())
            for kind in ("compare", "score", "answer"):
                inputs = {name: value for name, value in made[kind].items() if name != "labels"}
                total = total + cache.forward(model, inputs, logits_to_keep=1).logits.sum()
        total.backward()
        gradients = hashlib.sha256()
        for weight in model.parameters():
            if weight.grad is not None:
                gradients.update(weight.grad.numpy().tobytes())
        return gradients.hexdigest()[:12]

    step()
    print(json.dumps({"ready": torch.get_num_threads()}), flush=True)
    for _ in sys.stdin:
        before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        gradients = step()
        wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(json.dumps({"wall": wall, "cpu": used, "gradients": gradients}), flush=True)


def ask(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The next line that a worker writes."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SystemExit("a worker ended; see its message above")
    return json.loads(line)


def main(args: argparse.Namespace) -> None:
    """All settings in turn, first beside nothing of ours, then beside the load."""
    command = [sys.executable, __file__, *sys.argv[1:], "--worker"]
    workers: dict[str, subprocess.Popen[str]] = {}
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "MKL_"))}
    load: list[subprocess.Popen[bytes]] = []
    try:
        for name, variables in SETTINGS.items():
            workers[name] = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**clean, **variables}
            )
            ask(workers[name])
        for n_load in sorted({0, args.load}):
            load = [subprocess.Popen([sys.executable, "-c", COUNTING]) for _ in range(n_load)]
            found: dict[str, list[dict[str, Any]]] = {name: [] for name in workers}
            for _ in range(args.rounds):
                for name, process in workers.items():
                    assert process.stdin is not None
                    process.stdin.write("step\n")
                    process.stdin.flush()
                    found[name].append(ask(process))
            print(
                f"beside {n_load} processes that count; load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores"
            )
            for name, steps in found.items():
                words = []
                for kind in ("wall", "cpu"):
                    values = [one[kind] for one in steps]
                    words.append(f"{kind} {statistics.median(values):.2f} s [{min(values):.2f}, {max(values):.2f}]")
                print(f"  {name:33} {', '.join(words)}, gradients {steps[-1]['gradients']}", flush=True)
            for one in load:
                one.kill()
                one.wait()
    finally:
        for one in (*workers.values(), *load):
            one.kill()


if __name__ == "__main__":
    options = parse_args()
    (worker if options.worker else main)(options)
