"""The three stages on a model of real size with random weights: samples/s, tokens/s, MFU, peak memory.

    python benchmarks/stages_at_scale.py --work runs/scale --shape 7b --accelerate accelerate_configs/zero2.yaml \\
        --processes 1 --steps 12 --peak_tflops 989

Builds a Qwen2.5-VL from configuration (no download; nothing it says means anything), then runs each stage on it
through ``accelerate launch`` with that stage's recipe for the 7B model: LoRA, bfloat16. ``--shape tiny`` runs the same
code on a CPU in a minute.

Model FLOPs: 2 for each weight and token of a forward pass, 2 more for the backward pass through frozen weights
(nothing is accumulated for them); vision tower forward only. Attention's own products, the LoRA, and what gradient
checkpointing repeats are left out, so MFU is on the low side. Tokens are those that the model reads: a prompt's once
for all its answers in a batch, unless ``--share_prompts false`` is given. Answers of random weights never end, so stage
3 always writes ``--completion`` tokens.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from redaes.cli.running import reporting_errors
from redaes.cli.train.stages import run_stage

ROOT = Path(__file__).resolve().parent.parent
STAGES = {"1": "sft", "2": "align", "3": "grpo"}

# Qwen2.5-VL-7B-Instruct's own config.json (Apache-2.0, huggingface.co/Qwen/Qwen2.5-VL-7B-Instruct), and a tiny one.
SHAPES: dict[str, dict[str, dict[str, Any]]] = {
    "7b": {
        "text": {
            "vocab_size": 152_064, "hidden_size": 3584, "intermediate_size": 18_944, "num_hidden_layers": 28,
            "num_attention_heads": 28, "num_key_value_heads": 4, "sections": [16, 24, 24],
        },
        "vision": {
            "depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16,
            "fullatt_block_indexes": [7, 15, 23, 31],
        },
    },
    "tiny": {
        "text": {
            "vocab_size": 1536, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
            "num_attention_heads": 2, "num_key_value_heads": 2, "sections": [6, 5, 5],
        },
        "vision": {
            "depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "fullatt_block_indexes": [1],
        },
    },
}  # fmt: skip

TINY_RUN = ["--use_cpu", "true", "--bf16", "false", "--gradient_checkpointing", "false", "--max_pixels", "3136",
            "--dataloader_num_workers", "0"]  # fmt: skip
TINY_GROUPS = ["--per_device_train_batch_size", "36", "--num_generations", "4", "--steps_per_generation", "1",
               "--gradient_accumulation_steps", "1"]  # fmt: skip
"""Nine prompts of a group of three pictures, four completions each: a CPU's share of the recipe's 72."""


def parse_args() -> argparse.Namespace:
    """What to build and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for the model, the data and the runs")
    parser.add_argument("--shape", choices=SHAPES, default="7b")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--accelerate", type=Path, default=ROOT / "accelerate_configs" / "zero2.yaml")
    parser.add_argument("--processes", type=int, default=1, help="one for each GPU")
    parser.add_argument("--steps", type=int, default=12, help="optimizer steps; the first two are not timed")
    parser.add_argument("--completion", type=int, default=256, help="tokens of an answer in stage 3")
    parser.add_argument("--data", type=Path, help="RED dataset; without one, a small one from samples")
    parser.add_argument("--peak_tflops", type=float, help="of one device in bfloat16, dense; without it no MFU")
    parser.add_argument("--rollouts", choices=("transformers", "vllm"), default="transformers", help="in stage 3")
    parser.add_argument("--share_prompts", choices=("true", "false"), default="true", help="in stage 3")
    parser.add_argument("--json", type=Path, help="file that a line of JSON is added to for each stage")
    parser.add_argument("--measure", choices=STAGES, help=argparse.SUPPRESS)  # how the launched process is called
    args, args.options = parser.parse_known_args()
    if args.measure is None and args.options:
        parser.error(f"unknown arguments {args.options}")
    if args.steps < 3:
        parser.error(f"--steps is {args.steps}; give 3 or more, the first two are not timed")
    return args


def build(folder: Path, shape: dict[str, dict[str, Any]]) -> None:
    """Write the model with random weights, in bfloat16, and a processor with the embedded model's vocabulary."""
    import torch
    from transformers import (
        AutoTokenizer,
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Qwen2VLImageProcessor,
        Qwen2VLVideoProcessor,
    )
    from trl.chat_template_utils import qwen2_5_vl_chat_template

    from redaes.models import nano

    tokenizer = AutoTokenizer.from_pretrained(nano.weights(nano.BASE))
    tokenizer.chat_template = qwen2_5_vl_chat_template
    token = tokenizer.convert_tokens_to_ids
    text = {name: value for name, value in shape["text"].items() if name != "sections"}
    config = Qwen2_5_VLConfig(
        text_config={
            **text,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": shape["text"]["sections"]},
            "max_position_embeddings": 32_768,
            "bos_token_id": token("<|endoftext|>"),
            "eos_token_id": token("<|im_end|>"),
            "pad_token_id": token("<|endoftext|>"),
        },
        vision_config={**shape["vision"], "out_hidden_size": text["hidden_size"]},
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)  # 16 GB of weights at 7B, not 32
    with torch.device(device):
        model = Qwen2_5_VLForConditionalGeneration(config)
    torch.set_default_dtype(before)
    model.generation_config.eos_token_id = config.text_config.eos_token_id
    model.generation_config.pad_token_id = config.text_config.pad_token_id
    model.save_pretrained(folder)
    size = {"shortest_edge": 28 * 28, "longest_edge": 512 * 512}
    Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=size),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(size=size),
        chat_template=tokenizer.chat_template,
    ).save_pretrained(folder)  # written last: it tells a whole folder from one that was cut off


def meter(result: Path) -> Any:
    """A trainer's callback that counts tokens and patches, times steps, and writes both at the end."""
    import torch
    from transformers import TrainerCallback

    from redaes.training.vision_cache import vision_tower

    class Meter(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            self.counts = dict.fromkeys(("trained_tokens", "other_tokens", "patches"), 0)
            visual = vision_tower(model)
            language = next(m for name, m in model.named_modules() if name.rpartition(".")[2] == "language_model")
            embedding = model.get_input_embeddings()

            def saw_tokens(module: Any, inputs: tuple[Any, ...]) -> None:
                kind = "trained_tokens" if torch.is_grad_enabled() else "other_tokens"
                self.counts[kind] += inputs[0].numel()

            def saw_patches(module: Any, inputs: tuple[Any, ...]) -> None:
                self.counts["patches"] += inputs[0].shape[0]

            embedding.register_forward_pre_hook(saw_tokens)
            visual.patch_embed.register_forward_pre_hook(saw_patches)

            def weights(module: Any) -> int:
                return sum(p.numel() for p in module.parameters() if not p.requires_grad)

            # The table of embeddings is looked up, not multiplied; the output's projection, as large, is multiplied.
            self.language = weights(language)
            self.vision = weights(visual)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if state.global_step == 2:
                self.started, self.before = time.perf_counter(), dict(self.counts)
            self.ended, self.after = time.perf_counter(), dict(self.counts)

        def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if not state.is_world_process_zero:
                return
            cuda = torch.cuda.is_available()
            if cuda:
                peak = torch.cuda.max_memory_allocated()
            else:
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            found = {name: self.after[name] - self.before[name] for name in self.counts}
            about = {
                "seconds": self.ended - self.started,
                "steps": state.global_step - 2,
                "samples_per_step": args.per_device_train_batch_size * args.gradient_accumulation_steps,
                "language_weights": self.language,
                "vision_weights": self.vision,
                "peak_gib": peak / 2**30,
                "device": torch.cuda.get_device_name() if cuda else f"CPU, {torch.get_num_threads()} threads",
            }
            result.write_text(json.dumps({**found, **about}))

    return Meter()


def run_with(make_callback: Callable[[], Any], stage: str, argv: list[str]) -> None:
    """Run a stage in this process; its trainer gets a callback, made once transformers can be imported."""
    import transformers.trainer

    transformers.trainer.DEFAULT_CALLBACKS.append(make_callback())
    with reporting_errors():
        run_stage(stage, argv)


def launch(args: argparse.Namespace, stage: str, model: Path) -> dict[str, Any]:
    """Run one stage and read what its first process measured, which is of one process."""
    result = args.work / f"stage{stage}.json"
    result.unlink(missing_ok=True)
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(args.accelerate)]
    command += ["--num_processes", str(args.processes), str(Path(__file__).resolve()), "--measure", stage]
    command += ["--work", str(args.work), "--steps", str(args.steps), "--model", str(model)]
    command += ["--config", "qwen2_5_vl_7b"]
    command += ["--output_dir", str(args.work / f"run{stage}-{time.time_ns()}"), "--max_steps", str(args.steps)]
    command += ["--save_strategy", "no", "--logging_steps", "1"]
    command += ["--eval_strategy", "no", "--eval_on_start", "false", "--load_best_model_at_end", "false"]
    command += [] if args.data is None else ["--data", str(args.data)]
    if stage == "3":
        command += ["--max_completion_length", str(args.completion), "--share_prompts", args.share_prompts]
    if stage == "3" and args.rollouts == "vllm":
        command += ["--use_vllm", "true", "--vllm_mode", "colocate", "--vllm_gpu_memory_utilization", "0.3"]
        command += ["--vllm_max_model_length", str(2048 + args.completion)]
    command += TINY_RUN if args.shape == "tiny" else []
    command += TINY_GROUPS if args.shape == "tiny" and stage == "3" else []
    done = subprocess.run(command, check=False, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    if done.returncode != 0 or not result.is_file():
        sys.exit(f"stage {stage} ended with exit code {done.returncode}; its messages stand above")
    found: dict[str, Any] = json.loads(result.read_text())
    return found


def figures(stage: str, found: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """What was measured, as rates of all processes together; TFLOP/s and memory are of one device."""
    seconds = found["seconds"]
    samples = found["steps"] * found["samples_per_step"] * args.processes
    tokens = (found["trained_tokens"] + found["other_tokens"]) * args.processes
    flops = found["language_weights"] * (4 * found["trained_tokens"] + 2 * found["other_tokens"])
    flops += found["vision_weights"] * 2 * found["patches"]
    return {
        "stage": stage,
        "rollouts": args.rollouts if stage == "3" else None,
        "share_prompts": args.share_prompts == "true" if stage == "3" else None,
        "seconds_per_step": seconds / found["steps"],
        "samples_per_s": samples / seconds,
        "tokens_per_s": tokens / seconds,
        "tflops": flops / seconds / 1e12,
        "mfu": None if args.peak_tflops is None else flops / seconds / args.peak_tflops / 1e12,
        "peak_gib": found["peak_gib"],
        "weights": found["language_weights"] + found["vision_weights"],
        "device": found["device"],
        "processes": args.processes,
        "accelerate": args.accelerate.name,
    }


def row(measured: dict[str, Any]) -> str:
    """One line of the table. Samples: answers, pairs, completions."""
    mfu = "-" if measured["mfu"] is None else f"{measured['mfu']:.1%}"
    rates = f"{measured['samples_per_s']:.2f} | {measured['tokens_per_s']:,.0f} | {measured['tflops']:.3g} | {mfu}"
    return f"| {measured['stage']} | {measured['seconds_per_step']:.2f} | {rates} | {measured['peak_gib']:.1f} |"


def main(args: argparse.Namespace) -> None:
    """Build, run the stages, print the table."""
    args.work = args.work.resolve()
    args.work.mkdir(parents=True, exist_ok=True)
    if args.measure is not None:
        run_with(lambda: meter(args.work / f"stage{args.measure}.json"), STAGES[args.measure], args.options)
        return
    model = args.work / args.shape
    if not (model / "processor_config.json").is_file():
        build(model, SHAPES[args.shape])
    measured = {stage: launch(args, stage, model) for stage in args.stages}
    one = next(iter(measured.values()))
    size = (one["language_weights"] + one["vision_weights"]) / 1e9
    devices = f"{args.processes} x {one['device']}, {args.accelerate.name}"
    print(f"\nQwen2.5-VL of {size:.4g} billion frozen weights, {devices}\n")
    print("| stage | s/step | samples/s | tokens/s | TFLOP/s a device | MFU | peak GiB |")
    print("|---|---|---|---|---|---|---|")
    for stage, found in measured.items():
        told = figures(stage, found, args)
        print(row(told))
        if args.json is not None:
            with args.json.open("a", encoding="utf-8") as file:
                file.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main(parse_args())
