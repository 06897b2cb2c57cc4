"""Load what a stage trains: the processor, and the model with or without a LoRA, in a suitable number type."""

from __future__ import annotations

from pathlib import Path

import torch
from accelerate import PartialState
from peft import PeftModel
from transformers import (
    PreTrainedModel,
    ProcessorMixin,
    TrainingArguments,
)
from transformers.integrations import is_deepspeed_zero3_enabled

from redaes.attention.float32 import use_float32_attention
from redaes.backends.adapters import check_base
from redaes.backends.loading import load_network, model_folder, weights_left_out
from redaes.training import lora
from redaes.training.dry_run.fake_tensors import Shapes
from redaes.training.dry_run.plan import DryRunPlan
from redaes.training.formatting import check_chat
from redaes.training.processor import training_processor
from redaes.training.stage_arguments import StageArguments


def base_processor(arguments: StageArguments) -> ProcessorMixin:
    """Return the processor to train with, at the requested picture size: the adapter's, or else the base model's.

    Its chat template renders a prompt in one way only.
    """
    return check_chat(training_processor(model_folder(arguments.model), arguments.adapter_folder, arguments.max_pixels))


def load_model(arguments: StageArguments, dtype: torch.dtype) -> PreTrainedModel | PeftModel:
    """Return the model to train: with a new LoRA, with that of an earlier stage, or fully trainable; for a dry run
    without weights.
    """
    if arguments.plan is None:
        return _load_model(arguments, dtype)
    with weights_left_out():
        model = _load_model(arguments, dtype)
    if arguments.plan.on_gpu:
        model.set_attn_implementation("sdpa")
    Shapes().empty_out(model)
    return model


def _load_model(arguments: StageArguments, dtype: torch.dtype) -> PreTrainedModel | PeftModel:
    folder = model_folder(arguments.model)
    if arguments.adapter and arguments.plan is None and PartialState().is_main_process:
        check_base(Path(arguments.adapter), arguments.model, folder)
    model = load_network(folder, dtype)
    if not torch.cuda.is_available():
        use_float32_attention(model)
    if arguments.full_training:
        return model
    # peft keeps a LoRA in float32 on weights of fewer bits, but ZeRO-3 gathers both together and needs one number type.
    autocast = not is_deepspeed_zero3_enabled()
    return lora.put_on(model, arguments, autocast_adapter_dtype=autocast)


def training_dtype(config: TrainingArguments, plan: DryRunPlan | None = None) -> torch.dtype:
    """Return the number type of the weights: float32 on a CPU (autocast does the rest), bfloat16 with ``bf16`` on a
    GPU.
    """
    if plan is not None:
        return torch.bfloat16 if plan.half_weights else torch.float32
    return torch.bfloat16 if config.bf16 and not config.use_cpu and torch.cuda.is_available() else torch.float32
