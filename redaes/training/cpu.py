"""What makes training on a CPU faster, and changes no result beyond rounding."""

from __future__ import annotations

import sys

import torch
from accelerate import PartialState
from transformers import TrainingArguments


def has_bfloat16_units() -> bool:
    """Return whether this CPU multiplies in bfloat16; one that does not imitates it at a sixtieth of float32's
    speed.
    """
    supported: bool = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return supported


def without_imitated_bfloat16(config: TrainingArguments) -> None:
    """Turn ``bf16`` off, and say so, where training would be on a CPU that can only imitate it."""
    if config.bf16 and config.device.type == "cpu" and not has_bfloat16_units():
        config.bf16 = False
        config.mixed_precision = "no"
        if PartialState().is_main_process:
            sys.stderr.write("bf16: this CPU has no bfloat16 units; training in float32, which is faster here\n")
