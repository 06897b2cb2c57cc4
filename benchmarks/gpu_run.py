"""Everything of this project that wants a GPU, measured in parts, each with its own time limit, within one budget.

    benchmarks/gpu_run.sh            # installs, and calls this

Parts: the three stages on a Qwen2.5-VL of the 7B shape with random weights (samples/s, tokens/s, MFU, peak memory);
stage 3 with vLLM's rollouts in the training process; one diffusion editor at full size with random weights; the
embedded model's vision warm-up (pair views per second). A part that fails is reported and the next one begins; what the
budget leaves no time for is named. Leaves ``results.jsonl``, a line for each part, and ``summary.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LEAST = 20.0
"""Seconds below which a part is not begun."""


def parse_args() -> argparse.Namespace:
    """What to run, and for how long."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "gpu", help="folder; default: %(default)s")
    parser.add_argument("--budget", type=float, default=540.0, help="seconds for everything; default: %(default)s")
    parser.add_argument("--spent", type=float, default=0.0, help="seconds that the installation took of them")
    parser.add_argument("--peak_tflops", type=float, default=989.0, help="of the GPU in bfloat16, dense; default: H200")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="default: all")
    parser.add_argument("--data", type=Path, help="RED dataset; without one, a small one from samples")
    parser.add_argument("--tiny", action="store_true", help="tiny shapes on a CPU; what needs a GPU is left out")
    return parser.parse_args()


@dataclass(frozen=True)
class Part:
    """One thing to measure."""

    limit_s: float
    command: Callable[[argparse.Namespace], list[list[str]]]
    """The processes to run, one after the other."""
    read: Callable[[argparse.Namespace, str], dict[str, Any]]
    """The figures, from the arguments and from what the last process printed."""
    lacks: Callable[[argparse.Namespace], str | None] = lambda args: None
    """Why the part cannot run here; None: it can."""


def _stage(number: str, *more: str) -> Callable[[argparse.Namespace], list[list[str]]]:
    def command(args: argparse.Namespace) -> list[list[str]]:
        shape = ["--shape", "tiny", "--steps", "3", "--completion", "8"] if args.tiny else ["--shape", "7b"]
        launch = "cpu.yaml" if args.tiny else "single_gpu.yaml"
        steps = [] if args.tiny else ["--steps", "4" if number == "3" else "8"]
        return [[
            sys.executable, "benchmarks/stages_at_scale.py", "--work", str(args.work / "scale"), *shape, *steps,
            "--stages", number, "--accelerate", f"accelerate_configs/{launch}", "--data", str(_data(args)),
            "--peak_tflops", str(args.peak_tflops), "--json", str(args.work / "scale.jsonl"), *more,
        ]]  # fmt: skip

    return command


def _last_stage(args: argparse.Namespace, _: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((args.work / "scale.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    return found


def _needs_vllm(args: argparse.Namespace) -> str | None:
    return _needs_gpu(args) or (None if find_spec("vllm") else "vllm is not installed")


def _needs_gpu(args: argparse.Namespace) -> str | None:
    if args.tiny:
        return "needs a GPU (--tiny)"
    import torch

    return None if torch.cuda.is_available() else "this torch sees no GPU"


def _editor(args: argparse.Namespace) -> list[list[str]]:
    return [[sys.executable, "benchmarks/diffusion_editors.py", "--full", "--jobs", "4"]]


def _editor_figures(_: argparse.Namespace, printed: str) -> dict[str, Any]:
    return {"table": [line.strip() for line in printed.splitlines() if line.strip()]}


WARMUP_STEPS = {True: 4, False: 60}
WARMUP_PAIRS = {True: 8, False: 256}


def _warmup(args: argparse.Namespace) -> list[list[str]]:
    model = args.work / "nano_random"
    build = [sys.executable, "stages/build_nano.py", "--data", str(_data(args)), "--out", str(model)]
    train = [
        sys.executable, "stages/warmup_vision.py", "--model", str(model), "--data", str(_data(args)), "--output_dir",
        str(args.work / f"vision-{time.time_ns()}"), "--max_steps", str(WARMUP_STEPS[args.tiny]),
        "--save_strategy", "no",
        "--per_device_train_batch_size", str(WARMUP_PAIRS[args.tiny]), "--config", str(_warmup_recipe(args)),
        "--use_cpu", str(args.tiny).lower(), "--bf16", str(not args.tiny).lower(),
    ]  # fmt: skip
    return [*([] if model.is_dir() else [build]), train]


def _warmup_recipe(args: argparse.Namespace) -> Path:
    """The shipped recipe without the edits that it leaves out, for a small dataset may not have them."""
    recipe = (ROOT / "stages" / "configs" / "warmup_vision_nano.yaml").read_text(encoding="utf-8")
    file: Path = args.work / "warmup.yaml"
    file.write_text("".join(line for line in recipe.splitlines(True) if not line.startswith("leave_out")), "utf-8")
    return file


def _warmup_figures(args: argparse.Namespace, printed: str) -> dict[str, Any]:
    final = Path(next(line.rpartition(": ")[2] for line in printed.splitlines() if "warm-up finished" in line))
    record = json.loads((final / "run_record.json").read_text(encoding="utf-8"))
    rate = record["metrics"]["train_samples_per_second"]
    return {"pair_views_per_s": rate, "steps": WARMUP_STEPS[args.tiny], "pairs_per_step": WARMUP_PAIRS[args.tiny]}


PARTS: dict[str, Part] = {
    "stage1": Part(110, _stage("1"), _last_stage),
    "stage2": Part(80, _stage("2"), _last_stage),
    "stage3": Part(120, _stage("3"), _last_stage),
    "warmup": Part(60, _warmup, _warmup_figures),
    "editor": Part(80, _editor, _editor_figures, _needs_gpu),
    "vllm": Part(150, _stage("3", "--rollouts", "vllm"), _last_stage, _needs_vllm),
}
"""In the order in which they are run: what the budget cuts off comes last."""


def _data(args: argparse.Namespace) -> Path:
    return args.data or args.work / "pairs"


def _run(command: list[str], limit_s: float, log: Path) -> tuple[str | None, str]:
    """Why a process failed, None when it did not; and what it printed. Its children end with it."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "PYTHONUNBUFFERED": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    with log.open("a", encoding="utf-8") as errors:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=errors, start_new_session=True
        )
        try:
            printed, _ = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            printed, _ = process.communicate()
            return f"took longer than {limit_s:.0f} s", printed
    if process.returncode:
        tail = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()][-1:]
        return f"exit code {process.returncode}: {' '.join(tail)[:300]}", printed
    return None, printed


def measure(name: str, args: argparse.Namespace, left_s: float) -> dict[str, Any]:
    """Run one part.

    Returns:
        ``part``, ``status`` (``measured``, ``failed``, ``skipped``), ``seconds``, and figures or a reason.
    """
    part = PARTS[name]
    reason = part.lacks(args)
    if reason is None and left_s < LEAST:
        reason = f"{left_s:.0f} s of the budget were left"
    if reason is not None:
        return {"part": name, "status": "skipped", "seconds": 0.0, "reason": reason}
    started = time.monotonic()
    end = started + min(part.limit_s, left_s)
    printed = ""
    for command in part.command(args):
        failure, printed = _run(command, max(1.0, end - time.monotonic()), args.work / f"{name}.log")
        if failure is not None:
            seconds = round(time.monotonic() - started, 1)
            return {"part": name, "status": "failed", "seconds": seconds, "reason": failure}
    seconds = round(time.monotonic() - started, 1)
    return {"part": name, "status": "measured", "seconds": seconds, "figures": part.read(args, printed)}


def summary(results: list[dict[str, Any]]) -> str:
    """The results for people."""
    lines = ["| part | seconds | what was found |", "|---|---|---|"]
    for result in results:
        found = result.get("figures", {})
        if result["status"] != "measured":
            told = f"{result['status']}: {result['reason']}"
        elif "stage" in found:
            told = (
                f"{found['samples_per_s']:.2f} samples/s, {found['tokens_per_s']:,.0f} tokens/s, "
                f"{found['tflops']:.3g} TFLOP/s, MFU {found['mfu']:.1%}, peak {found['peak_gib']:.1f} GiB "
                f"({found['weights'] / 1e9:.3g} billion frozen weights, {found['device']})"
            )
        elif "pair_views_per_s" in found:
            told = f"{found['pair_views_per_s']:.1f} pair views/s, {found['pairs_per_step']} pairs a step"
        else:
            told = "<br>".join(found["table"])
        lines.append(f"| {result['part']} | {result['seconds']:.0f} | {told} |")
    return "\n".join(lines) + "\n"


def main(args: argparse.Namespace) -> int:
    """Run the parts; 1 when one of them failed."""
    end = time.monotonic() + args.budget - args.spent
    args.work = args.work.resolve()
    args.work.mkdir(parents=True, exist_ok=True)
    file = args.work / "results.jsonl"
    file.write_text("", encoding="utf-8")
    results: list[dict[str, Any]] = []
    if not (_data(args) / "data").is_dir():
        build = [sys.executable, "data_gen/build_pairs.py", "--out", str(_data(args))]
        failure, _ = _run(build, min(60.0, max(1.0, end - time.monotonic())), args.work / "pairs.log")
        if failure is not None:
            print(f"error: no dataset could be built: {failure}; see {args.work / 'pairs.log'}", file=sys.stderr)
            return 1
    for name in args.parts:
        result = measure(name, args, end - time.monotonic())
        results.append(result)
        with file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(result) + "\n")
        print(f"{name}: {result['status']} in {result['seconds']:.0f} s", flush=True)
        (args.work / "summary.md").write_text(summary(results), encoding="utf-8")
    print("\n" + summary(results))
    print(f"{file}; logs of failed parts beside it")
    return int(any(result["status"] == "failed" for result in results))


if __name__ == "__main__":
    sys.exit(main(parse_args()))
