"""Settings that make training on a CPU faster and change results only by rounding."""

from __future__ import annotations

import sys

import torch
from accelerate import PartialState
from transformers import TrainingArguments


def has_bfloat16_units() -> bool:
    """Return whether this CPU computes in bfloat16; other CPUs emulate it at a sixtieth of float32's speed."""
    supported: bool = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return supported


def without_imitated_bfloat16(config: TrainingArguments) -> None:
    """Turn ``bf16`` off, with a message, on a CPU that can only emulate it."""
    if config.bf16 and config.device.type == "cpu" and not has_bfloat16_units():
        config.bf16 = False
        config.mixed_precision = "no"
        if PartialState().is_main_process:
            sys.stderr.write("bf16: this CPU has no bfloat16 units; training in float32, which is faster here\n")
