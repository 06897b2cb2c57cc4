"""How much of a model a LoRA trains, and whether vLLM could serve it: printed at the start and kept in the run
record.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping
from typing import Any

from accelerate import PartialState
from peft import PeftModel

from redaes.backends.adapters import vllm_limits
from redaes.training.lora import LAYERS, adapted, expert_weights, linear_layers, shape_of


def lora_reach(model: PeftModel) -> dict[str, Any]:
    """Return the description of a LoRA for the run record.

    Shares are computed over weights, not over layers: over the linear layers and the stacked expert weights of a part.

    Returns:
        The adapter's settings; ``share_of_language_model`` and ``share_of_vision_tower`` (with the merger), each from 0
        to 1; ``left_out``: kinds of matrices of the language model without a LoRA, including routers and convolutions,
        which cannot be targets; ``trained_parameters``; ``vllm``: what vLLM would refuse or leave out.
    """
    config = model.peft_config["default"]
    where = adapted(model)
    base = model.get_base_model()
    counted = {f"{name}.weight" for name in linear_layers(base)} | {*expert_weights(base)}
    total, reached = dict.fromkeys(LAYERS, 0), dict.fromkeys(LAYERS, 0)
    left_out: set[str] = set()
    for name, parameter in base.named_parameters():
        shape, plain = shape_of(parameter), name.replace(".base_layer", "")
        if ".lora_" in name or len(shape) < 2 or "embed_tokens" in name:
            continue
        covered = plain.removesuffix(".weight") in where.modules or plain in where.parameters
        for part, path in LAYERS.items():
            if name in counted and re.fullmatch(path, plain):
                total[part] += math.prod(shape)
                reached[part] += math.prod(shape) if covered else 0
        if not covered and re.fullmatch(LAYERS["language"], plain):
            left_out.add(".".join(plain.removesuffix(".weight").split(".")[-2:]))
    trained = {n: math.prod(shape_of(p)) for n, p in model.named_parameters() if p.requires_grad}
    settings = config.to_dict()
    targets = settings["target_modules"]
    return {
        "r": config.r,
        "alpha": config.lora_alpha,
        "dropout": config.lora_dropout,
        "target_modules": sorted(targets) if isinstance(targets, set | list) else targets,
        "target_parameters": sorted(settings["target_parameters"] or []),
        "share_of_language_model": _share(reached["language"], total["language"]),
        "share_of_vision_tower": _share(reached["tower"], total["tower"]),
        "left_out": sorted(left_out),
        "trained_parameters": sum(trained.values()),
        "vllm": vllm_limits(settings, trained),
    }


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0


def describe(reach: Mapping[str, Any]) -> str:
    """Return the findings of `lora_reach` in one line of text."""
    left_out = ", ".join(reach["left_out"])
    return (
        f"LoRA of rank {reach['r']}, {reach['trained_parameters']:,} weights to train: reaches "
        f"{reach['share_of_language_model']:.1%} of the language model's linear weights and "
        f"{reach['share_of_vision_tower']:.1%} of the vision tower's"
        + (f"; not reached in the language model: {left_out}" if left_out else "")
    )


def announce(model: PeftModel) -> None:
    """Print, in one process, what is trained and what of it vLLM would not serve."""
    if not PartialState().is_main_process:
        return
    reach = lora_reach(model)
    sys.stderr.write(f"{describe(reach)}\n")
    if reach["vllm"]:
        sys.stderr.write(
            f"vLLM would not serve this adapter as it is trained: {'; '.join(reach['vllm'])}; its merged model "
            "(redaes train merge) it would\n"
        )
