"""Stage 3's generation batch in a dry run: prompts of real rows, answers of the greatest length, the cache."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from peft.tuners.lora import Linear
from torch import Tensor
from transformers import ProcessorMixin

from redaes.training.dry_run.fake_tensors import Allocations, Shapes
from redaes.training.dry_run.plan import DryRunPlan

N_SAMPLED = 4
"""Number of sequences with which the forward pass over prompts is measured; memory is proportional to it."""


def sampling(
    trainer: Any, processor: ProcessorMixin, rows: list[dict[str, Any]], shapes: Shapes, plan: DryRunPlan
) -> tuple[int, int, dict[str, Any]]:
    """Return the memory that a process's generation batch needs, and the batch itself.

    Args:
        trainer: a `GRPOTrainer`.
        processor: processor that pads on the left.
        rows: rows of the generation batch, every prompt as often as it is answered.
        shapes: the run's fake tensors.
        plan: the plan; with vLLM, another process or the engine samples.

    Returns:
        Bytes of inputs that are kept for the whole batch; bytes at the peak of sampling; and the batch as the trainer
        keeps it: ``prompt_ids``, ``prompt_mask`` (N, P), ``completion_ids``, ``completion_mask`` (N, C), pictures,
        ``advantages`` (N,), ``num_images``.
    """
    texts = [processor.apply_chat_template(row["prompt"], add_generation_prompt=True, tokenize=False) for row in rows]
    images = [row["images"] for row in rows]
    encoded = dict(processor(text=texts, images=images, return_tensors="pt", padding=True, padding_side="left"))
    n, longest = len(rows), trainer.max_completion_length
    kept = sum(one.numel() * one.element_size() for one in encoded.values())
    few = min(n, N_SAMPLED)
    part = _first(encoded, few, sum(len(one) for one in images[:few]))
    # Every tensor of the pass has a row for each sequence, or patches of its pictures.
    if plan.uses_vllm:
        peak = 0
    else:
        read, cache = _prompts_read(trainer, part, shapes)
        per_token = cache // (few * int(encoded["input_ids"].shape[1]))
        # A dry run for ZeRO-3 does not itself run under ZeRO-3.
        if trainer.samples_itself() and plan.sharding != "zero3":
            n_prompts = n // trainer.num_generations
            # The cache of the packed row, the prompts' caches side by side, and the space for all answers exist at
            # once.
            kept_once = 2 * cache * n_prompts // few + n * longest * per_token
            peak = _lora_added(trainer.model) + max(read * n_prompts // few, kept_once)
        else:
            # The cache grows token by token; meanwhile one of its layers exists twice.
            peak = max(read, cache + few * longest * per_token) * n // few
    ids: Tensor = encoded.pop("input_ids")
    mask: Tensor = encoded.pop("attention_mask")
    types = encoded.pop("mm_token_type_ids", torch.zeros_like(ids))
    answer = torch.full((n, longest), processor.tokenizer.pad_token_id or 0)
    whole = {
        **encoded,
        "prompt_ids": ids,
        "prompt_mask": mask,
        "mm_token_type_ids": torch.cat([types, torch.zeros_like(answer, dtype=types.dtype)], dim=1),
        "completion_ids": answer,
        "completion_mask": torch.ones_like(answer),
        "advantages": torch.zeros(n),
        "num_images": [len(one) for one in images],
        "num_items_in_batch": torch.tensor(float(n * longest)),
    }
    if trainer.beta != 0:
        whole["ref_per_token_logps"] = torch.zeros(n, longest)
    return kept, peak, whole


def _prompts_read(trainer: Any, encoded: dict[str, Tensor], shapes: Shapes) -> tuple[int, int]:
    """Return the peak bytes of the forward pass over prompts, and the bytes of the cache that it leaves."""
    model = trainer.model
    was_training = model.training
    model.eval()
    inputs = shapes.inputs(encoded)
    count = Allocations()
    count.ignore([*model.parameters(), *model.buffers(), inputs])
    with torch.no_grad(), shapes.running(), count, trainer.compute_loss_context_manager():
        out = model(**inputs, use_cache=True, logits_to_keep=1)
    prompts = int(encoded["input_ids"].shape[1])
    cache = sum(
        one.numel() * one.element_size()
        for layer in getattr(out.past_key_values, "layers", ())
        for one in (getattr(layer, "keys", None), getattr(layer, "values", None))
        if isinstance(one, Tensor) and one.dim() == 4 and one.shape[2] >= prompts
    )
    model.train(was_training)
    return count.peak, cache


def _lora_added(model: torch.nn.Module) -> int:
    """Return the bytes of the weights with a LoRA, which exist twice while answers are sampled."""
    layers: Iterator[Any] = model.modules()
    weights = (layer.get_base_layer().weight for layer in layers if type(layer) is Linear)
    return sum(weight.numel() * weight.element_size() for weight in weights)


def micro_batches(trainer: Any, whole: dict[str, Any], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the first ``per_device_train_batch_size`` answers of a generation batch.

    Where the fast verdict is held, they are returned once for each batch of the generation, each time with the pairs
    whose verdicts are read with that batch.
    """
    size: int = trainer.args.per_device_train_batch_size
    found: list[dict[str, Any]] = trainer.each_with_verdicts(_first(whole, size, sum(whole["num_images"][:size])), rows)
    return found


def _first(whole: dict[str, Any], size: int, n_pictures: int) -> dict[str, Any]:
    """Return the first sequences of a batch, with their pictures."""
    n_patches = int(whole["image_grid_thw"][:n_pictures].prod(-1).sum())
    part: dict[str, Any] = {}
    for name, value in whole.items():
        if name == "pixel_values":
            part[name] = value[:n_patches]
        elif name == "image_grid_thw":
            part[name] = value[:n_pictures]
        elif name == "num_items_in_batch":
            part[name] = value
        else:
            part[name] = value[:size]
    return part
