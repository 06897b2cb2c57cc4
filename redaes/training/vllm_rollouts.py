"""Rollouts by vLLM inside TRL: checks before the model is loaded, and corrections after it.

TRL drives vLLM in two ways, ``colocate`` (an engine in every training process) and ``server`` (one that runs by
itself and gets the weights over NCCL). With pictures, rollouts go wrong in four ways, which this module corrects around
TRL's own code, without copying it:

1. TRL hands over prompts whose picture tokens are expanded already, and vLLM expands them again
   (huggingface/trl#6294): the model answers another prompt than it is trained on, and nothing says so. Here each run
   of picture tokens is collapsed before ``LLM.generate``, and what vLLM made of it is compared with TRL's prompt.
2. vLLM reads the processor's settings and the number type from the model's folder: ``max_pixels`` would be ignored,
   and float32 weights would run as bfloat16 on a CPU. Here it gets the trainer's settings.
3. On a CPU vLLM packs the weights of linear layers for its kernels and drops the originals, so the weights of the next
   step have nowhere to go. Here they are kept, and the plain kernel is used.
4. TRL merges LoRA into the base weights for each sync and subtracts it again. In bfloat16 that does not restore
   them, so the frozen base drifts. Here the merged weights are separate sums.

Sampling is seeded by step, process and prompt, so that a resumed run samples what the uninterrupted one would have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import numpy as np
import torch
from torch import Tensor

from redaes.errors import TrainingError

if TYPE_CHECKING:
    from transformers import ProcessorMixin
    from trl import GRPOConfig

VLLM = "vllm==0.31.0"
"""The version of vLLM with which the corrections were tested; TRL 1.16 supports no later one."""

TrainerT = TypeVar("TrainerT")


def check_vllm(config: GRPOConfig, n_processes: int) -> None:
    """Refuse settings that vLLM cannot work with, before anything is loaded.

    Args:
        config: arguments of the trainer.
        n_processes: number of processes that share a generation batch.

    Raises:
        TrainingError: names the setting, its value and the remedy.
    """
    if find_spec("vllm") is None:
        raise TrainingError(f"use_vllm needs vLLM beside the trainer: pip install '{VLLM}' (docs/training.md)")
    if config.vllm_mode == "server":
        _check_server(config)
    elif config.vllm_mode == "colocate":
        _check_colocate(config, n_processes)
    else:
        raise TrainingError(f"vllm_mode is {config.vllm_mode!r}; give colocate or server")


def _check_server(config: GRPOConfig) -> None:
    if config.use_cpu or not torch.cuda.is_available():
        raise TrainingError(
            "vllm_mode server sends the weights to the server over NCCL, which needs GPUs on both sides; "
            "without one use vllm_mode: colocate"
        )
    url = config.vllm_server_base_url
    if url is not None and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname):
        raise TrainingError(f"vllm_server_base_url is {url!r}; give an address such as http://127.0.0.1:8000")


def _check_colocate(config: GRPOConfig, n_processes: int) -> None:
    length = config.vllm_max_model_length
    if length is None or length <= config.max_completion_length:
        raise TrainingError(
            f"vllm_max_model_length is {length}; give the tokens of the longest prompt, pictures included, and of an "
            f"answer ({config.max_completion_length}) together: vLLM reserves memory for it, and would for the "
            "model's whole context"
        )
    if n_processes % config.vllm_tensor_parallel_size:
        raise TrainingError(
            f"vllm_tensor_parallel_size is {config.vllm_tensor_parallel_size}, which does not divide the "
            f"{n_processes} processes"
        )
    if not 0 < config.vllm_gpu_memory_utilization < 1:
        raise TrainingError(
            f"vllm_gpu_memory_utilization is {config.vllm_gpu_memory_utilization}; give a share between 0 and 1"
        )
    if config.use_cpu and config.vllm_enable_sleep_mode:
        raise TrainingError("vllm_enable_sleep_mode frees a GPU's memory: leave it off on a CPU")


def mended_vllm(make: Callable[[], TrainerT], processor: ProcessorMixin, dtype: torch.dtype) -> TrainerT:
    """Make a GRPO trainer whose colocated vLLM gets the right prompts, pictures and weights.

    Args:
        make: function that makes the trainer.
        processor: processor of the trainer.
        dtype: number type of the trainer's weights.

    Returns:
        The trainer. In server mode only the weights are corrected: TRL sends token ids and picture features separately.
    """
    from trl.generation import vllm_generation

    with _engine(vllm_generation, processor, dtype):
        trainer: Any = make()
    generation = trainer.vllm_generation
    if generation.mode == "colocate":
        generation.llm.generate = _Rollouts(trainer, processor.image_token_id)
    if not trainer.is_fsdp_enabled and hasattr(generation.model, "peft_config"):
        generation._iter_named_params = partial(merged_weights, generation)
    return trainer


@contextmanager
def _engine(vllm_generation: Any, processor: ProcessorMixin, dtype: torch.dtype) -> Iterator[None]:
    """Make TRL create its engine with our settings within the context, and keep the weights on a CPU."""
    from vllm.model_executor.layers import utils
    from vllm.platforms import current_platform

    engine, dispatch = vllm_generation.LLM, utils.dispatch_cpu_unquantized_gemm
    vllm_generation.LLM = partial(
        engine,
        dtype=str(dtype).removeprefix("torch."),
        limit_mm_per_prompt={"image": 2, "video": 0},
        mm_processor_kwargs=picture_settings(processor),
        # Compiling pays off only for long runs on a GPU.
        enforce_eager=current_platform.is_cpu(),
    )
    utils.dispatch_cpu_unquantized_gemm = _plain_linear
    try:
        yield
    finally:
        vllm_generation.LLM, utils.dispatch_cpu_unquantized_gemm = engine, dispatch


def picture_settings(processor: ProcessorMixin) -> dict[str, Any]:
    """Return vLLM's picture settings, so that it shows pictures as the trainer does, not as the model's folder says."""
    size = dict(processor.image_processor.size)
    return {"size": {name: bound for name, bound in size.items() if bound is not None}}


def _plain_linear(layer: Any, remove_weight: bool) -> None:
    """Replace vLLM's weight packing: the layer keeps its weight and multiplies with it."""
    layer.cpu_linear = torch.nn.functional.linear


def collapse(ids: list[int], image_token: int) -> list[int]:
    """Return the prompt with each run of picture tokens collapsed into one token, which vLLM expands.

    >>> collapse([1, 9, 9, 9, 2, 9, 3], 9)
    [1, 9, 2, 9, 3]
    """
    return [token for place, token in enumerate(ids) if token != image_token or place == 0 or ids[place - 1] != token]


class _Rollouts:
    """``LLM.generate`` with collapsed prompts, and a seed for each."""

    def __init__(self, trainer: Any, image_token: int) -> None:
        self.trainer = trainer
        self.image_token = image_token
        self.generate: Callable[..., Any] = trainer.vllm_generation.llm.generate
        self.step, self.call = -1, 0

    def __call__(self, prompts: list[dict[str, Any]], *, sampling_params: Any, **kwargs: Any) -> Any:
        """Sample the answers of one process's generation batch; TRL calls this.

        Raises:
            TrainingError: vLLM's prompt differs from the trainer's.
        """
        step = self.trainer.state.global_step
        # Several generations can belong to one step; there is never a checkpoint between them.
        self.step, self.call = step, self.call + 1 if step == self.step else 0
        seeds = self._seeds(len(prompts))
        params = [sampling_params.clone() for _ in prompts]
        for one, seed in zip(params, seeds, strict=True):
            one.seed = seed
        collapsed = [
            {**prompt, "prompt_token_ids": collapse(prompt["prompt_token_ids"], self.image_token)} for prompt in prompts
        ]
        outputs = self.generate(collapsed, sampling_params=params, **kwargs)
        for prompt, output in zip(prompts, outputs, strict=True):
            if list(output.prompt_token_ids) != list(prompt["prompt_token_ids"]):
                raise TrainingError(
                    f"vLLM reads a prompt of {len(output.prompt_token_ids)} tokens where the trainer has "
                    f"{len(prompt['prompt_token_ids'])}: their processors differ, and training on its answers would "
                    f"be wrong; use {VLLM}, and a processor that is the one in the model's folder"
                )
        return outputs

    def _seeds(self, n: int) -> list[int]:
        generation, args = self.trainer.vllm_generation, self.trainer.args
        # Processes that share an engine by tensor parallelism must sample alike.
        engine = self.trainer.accelerator.process_index // generation.tensor_parallel_size
        drawn = np.random.SeedSequence([args.seed, self.step, self.call, engine]).generate_state(n, np.uint32)
        return [int(seed) for seed in drawn]


def merged_weights(generation: Any) -> Iterator[tuple[str, Tensor]]:
    """Yield the weights with LoRA added, by their names in the base model; the model itself is unchanged.

    This replaces ``VLLMGeneration._iter_named_params``.
    """
    from peft.tuners.lora import LoraLayer

    model = generation.model
    with generation._dist.gather_params(list(model.parameters())):
        layers = {name: module for name, module in model.named_modules() if isinstance(module, LoraLayer)}
        for name, weight in model.named_parameters():
            if model.prefix in name:  # the LoRA's own weights
                continue
            layer = layers.get(name.removesuffix(".base_layer.weight"))
            merged = weight.data
            if layer is not None:
                for adapter in layer.active_adapters:
                    merged = merged + layer.get_delta_weight(adapter)  # in float32, so that it is rounded only once
            yield name.removeprefix("base_model.model.").replace(".base_layer", ""), merged.to(weight.dtype)
