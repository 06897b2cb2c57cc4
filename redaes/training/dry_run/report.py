"""The report of a dry run, and its arguments: those of the run, but on the CPU and in a temporary folder."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from redaes.training.dry_run.plan import DryRunPlan

if TYPE_CHECKING:
    from transformers import ProcessorMixin, Trainer

    from redaes.training.dry_run.estimate import RunEstimate

GIB = 2**30


def instead_of_a_run(argv: Sequence[str], config_class: type, folder: str) -> list[str]:
    """Return a run's command line, changed so that a dry run does not use a GPU, write, report, start vLLM or
    upload.
    """
    names = {item.name for item in fields(config_class)}
    changes = {
        "use_cpu": "true", "output_dir": folder, "report_to": "none", "use_vllm": "false", "push_to_hub": "false",
        "use_liger_kernel": "false", "dataloader_num_workers": "0", "resume_from_checkpoint": "true",
    }  # fmt: skip
    changed = [f"--{name}={value}" for name, value in changes.items() if name in names]
    return [*argv, *changed]


def print_estimate(stage: str, model: str, trainer: Trainer, processor: ProcessorMixin, plan: DryRunPlan) -> None:
    """Print the estimate instead of starting the run."""
    from redaes.training.dry_run.estimate import estimate

    found = estimate(stage, model, trainer, processor, plan)
    sys.stdout.write(json.dumps(found.as_json(), indent=2) + "\n" if plan.arguments.plan_json else table(found, plan))


def table(found: RunEstimate, plan: DryRunPlan) -> str:
    """Return the estimate as a readable table."""

    def size(value: float) -> str:
        return f"{value / GIB:9.2f} GiB" if value >= GIB / 10 else f"{value / 2**20:9.2f} MiB"

    step, share = found.step, found.held
    rows = [
        ("weights", size(share.weights + share.gathered), "of which gathered for the layers at work "
         + size(share.gathered).strip() if share.gathered else ""),
        ("gradients", size(share.gradients + share.buckets),
         f"buckets {size(share.buckets).strip()}" if share.buckets else ""),
        ("optimizer state", size(share.optimizer), found.optimizer),
        ("activations", size(step.activations),
         f"gradient checkpointing {'on' if found.gradient_checkpointing else 'off'}"
         + (f"; one tensor over the vocabulary is {size(step.logits).strip()}" if step.logits else "")),
        ("inputs", size(step.inputs + found.kept), ""),
    ]  # fmt: skip
    if found.generation:
        rows.append(("sampling", size(found.generation), "prompts, cache and one step; not at the time of activations"))
    rows.append(("peak", size(found.peak), "without the driver's own, communication and fragmentation"))
    if share.host:
        rows.append(("machine's memory", size(share.host), "for each GPU (offloading)"))
    length = found.lengths
    where = f"{plan.n_processes} x {found.plan['device'].upper()}, {plan.sharding}"
    lines = [
        f"dry run of {found.stage} on {found.model}: {where}; nothing was loaded or written",
        f"parameters        {found.parameters:,}, trained {found.trainable:,} "
        f"({found.trainable / found.parameters:.2%})",
        "memory of one " + found.plan["device"].upper(),
        *(f"  {name:16}{value}   {note}".rstrip() for name, value, note in rows),
        f"a batch           {length.tokens:,.0f} tokens with padding "
        f"({length.picture_tokens:,.0f} of pictures), {length.patches:,.0f} patches",
        f"a step            {found.samples_per_step:g} samples, {found.tokens_per_step:,.0f} tokens, "
        "of all processes together",
        f"steps             {found.steps:,}; {found.steps_per_epoch:g} an epoch, {found.epochs:.2f} epochs",
    ]
    if found.hours is None:
        lines.append(
            "time              not known without a rate: measure it (benchmarks/stages_at_scale.py, or some steps of "
            "the run itself)\n                  and give --assume_tokens_per_s or --assume_samples_per_s"
        )
    else:
        lines.append(f"time              {found.hours:.2f} hours at the rate that was given")
    if not found.optimizer_known:
        lines.append(f"note              the state of {found.optimizer} is not known here; Adam's in full is reckoned")
    if plan.uses_vllm:
        lines.append(
            "note              vLLM's own memory is what vllm_gpu_memory_utilization gives it, and not in here"
        )
    return "\n".join(lines) + "\n"
