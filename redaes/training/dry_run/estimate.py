"""Estimate the memory and time of a stage by taking its trainer, made as for a run but without weights, through a step.

The step is the trainer's own, on real rows, with fake tensors (`.fake_tensors`); the effect of sharding is computed
from formulas (`.sharding`). docs/training.md says what the estimate leaves out.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import ProcessorMixin, Trainer

from redaes.errors import TrainingError
from redaes.training.dry_run.fake_tensors import Allocations, Shapes
from redaes.training.dry_run.plan import DryRunPlan
from redaes.training.dry_run.sharding import HeldMemory, Weight, held, state_bytes


@dataclass(frozen=True)
class StepMemory:
    """Memory that one process allocates for a micro-batch, in bytes, without the weights."""

    inputs: int
    activations: int
    """Peak of all tensors that are neither weights, gradients nor inputs."""
    with_gradients: int
    """Peak of the activations together with the gradients that exist at that time."""
    logits: int
    """Largest tensor with a vocabulary dimension; part of the activations."""


@dataclass(frozen=True)
class BatchLengths:
    """Mean lengths of the sampled batches, for one process and micro-batch."""

    tokens: float
    """Tokens that pass the language model, padding included; where prompts are shared in stage 3, each counts once."""
    picture_tokens: float
    """Those of the tokens that stand for pictures."""
    patches: float
    """Patches that pass the vision tower's first layer."""


@dataclass(frozen=True)
class RunEstimate:
    """All figures of a dry run."""

    stage: str
    model: str
    parameters: int
    trainable: int
    plan: dict[str, Any]
    held: HeldMemory
    step: StepMemory
    generation: int
    """Peak of cache and activations while stage 3 samples answers, in bytes; 0 in other stages."""
    kept: int
    """Inputs that are kept for a whole generation batch of stage 3, in bytes."""
    peak: int
    """Peak memory of one GPU, in bytes."""
    gradient_checkpointing: bool
    optimizer: str
    optimizer_known: bool
    lengths: BatchLengths
    samples_per_step: float
    """Samples of one step: rows, in stage 2 pairs, in stage 3 completions."""
    tokens_per_step: float
    steps_per_epoch: float
    epochs: float
    steps: int
    hours: float | None
    """Hours of the run; None: no rate was given."""

    def as_json(self) -> dict[str, Any]:
        """Return the estimate as JSON."""
        return asdict(self)


def estimate(stage: str, model: str, trainer: Trainer, processor: ProcessorMixin, plan: DryRunPlan) -> RunEstimate:
    """Take a trainer without weights through a step, and return the estimate.

    Args:
        stage: name of the stage.
        model: the model's name in the arguments.
        trainer: the trainer, with a model that `redaes.backends.loading.weights_left_out` made.
        processor: processor of the model.
        plan: the run to estimate.

    Raises:
        TrainingError: there is no batch at all.
    """
    args = trainer.args
    shapes = Shapes.of(trainer.model)
    optimizer = str(getattr(args.optim, "value", args.optim))
    shapes.empty_out(trainer.model)
    batches = list(itertools.islice(_batches(trainer), plan.arguments.plan_batches))
    if not batches:
        raise TrainingError("the dataset has not one batch for a step; use more data or a smaller batch")
    generation = kept = 0
    if hasattr(trainer, "num_generations"):
        from redaes.training.dry_run.rollouts import micro_batches, sampling

        kept, generation, whole = sampling(trainer, processor, batches[0], shapes, plan)
        batches = micro_batches(trainer, whole, batches[0])
    as_read = getattr(trainer, "as_read", None)  # with packed rows, the batch has more tokens than the model reads
    lengths = [_lengths(batch if as_read is None else as_read(batch), processor) for batch in batches]
    largest = max(range(len(batches)), key=lambda number: (lengths[number].tokens, lengths[number].patches))
    step = _step(trainer, batches[largest], shapes)
    weights = _weights(trainer.model)
    share = held(weights, plan, optimizer)
    accumulates = args.gradient_accumulation_steps > 1 or plan.sharding != "single"
    training = step.activations + share.gradients if accumulates else step.with_gradients
    # Only the first step has no optimizer state yet.
    peak = share.on_gpu - share.gradients + max(training + step.inputs, share.gradients, generation) + kept
    mean = BatchLengths(*(sum(values) / len(batches) for values in zip(*(asdict(one).values() for one in lengths))))  # noqa: B905
    per_step = args.gradient_accumulation_steps * plan.n_processes
    per_epoch, steps = _steps(trainer, plan)
    samples, tokens = float(args.per_device_train_batch_size * per_step), mean.tokens * per_step
    return RunEstimate(
        stage=stage,
        model=model,
        parameters=sum(weight.n for weight in weights),
        trainable=sum(weight.n for weight in weights if weight.trained),
        plan={
            "processes": plan.n_processes,
            "sharding": plan.sharding,
            "offload_optimizer": plan.offload_optimizer,
            "offload_weights": plan.offload_weights,
            "device": "gpu" if plan.on_gpu else "cpu",
            "bf16": bool(args.bf16),
        },
        held=share,
        step=step,
        generation=generation,
        kept=kept,
        peak=peak,
        gradient_checkpointing=bool(args.gradient_checkpointing),
        optimizer=optimizer,
        optimizer_known=plan.sharding.startswith("zero") or state_bytes(optimizer) is not None,
        lengths=mean,
        samples_per_step=samples,
        tokens_per_step=tokens,
        steps_per_epoch=per_epoch,
        epochs=steps / per_epoch,
        steps=steps,
        hours=_hours(plan, samples, tokens, steps),
    )


def _batches(trainer: Trainer) -> Iterator[Any]:
    """Yield batches in the order of a run."""
    loader = trainer.get_train_dataloader()
    for setter in (getattr(loader, "set_epoch", None),):
        if setter is not None:
            setter(0)
    yield from loader


def _steps(trainer: Trainer, plan: DryRunPlan) -> tuple[float, int]:
    """Return the optimizer steps of an epoch, and of the run, over all processes."""
    args = trainer.args
    batches = len(trainer.get_train_dataloader())
    if hasattr(trainer, "num_generations"):
        batches = batches // args.steps_per_generation // plan.n_processes * args.steps_per_generation
    else:
        batches = -(-batches // plan.n_processes)
    per_epoch = max(1, -(-batches // args.gradient_accumulation_steps))
    steps = args.max_steps if args.max_steps > 0 else round(-(-args.num_train_epochs * per_epoch // 1))
    return float(per_epoch), int(steps)


def _hours(plan: DryRunPlan, samples: float, tokens: float, steps: int) -> float | None:
    asked = plan.arguments
    if asked.assume_tokens_per_s is not None:
        return tokens * steps / asked.assume_tokens_per_s / 3600
    if asked.assume_samples_per_s is not None:
        return samples * steps / asked.assume_samples_per_s / 3600
    return None


def _weights(model: torch.nn.Module) -> list[Weight]:
    return [Weight(one.numel(), one.element_size(), one.requires_grad) for one in model.parameters()]


def _named(batch: Any, name: str) -> Iterator[Tensor]:
    """Yield every tensor of a name in a batch, however deep."""
    if isinstance(batch, Mapping):
        for key, value in batch.items():
            if key == name and isinstance(value, Tensor):
                yield value
            else:
                yield from _named(value, name)


def _lengths(batch: Any, processor: ProcessorMixin) -> BatchLengths:
    ids = [*_named(batch, "input_ids")]
    if "prompt_ids" in batch:
        ids.append(torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1))
    tokens = sum(one.numel() for one in ids)
    pictures = sum(int((one == processor.image_token_id).sum()) for one in ids)
    patches = sum(one.shape[0] for one in _named(batch, "pixel_values"))
    return BatchLengths(tokens, pictures, patches)


def _step(trainer: Trainer, batch: Any, shapes: Shapes) -> StepMemory:
    model = trainer.model
    model.train()
    trainer.current_gradient_accumulation_steps = trainer.args.gradient_accumulation_steps  # as in a run
    if trainer.args.gradient_checkpointing:
        model.gradient_checkpointing_enable(trainer.args.gradient_checkpointing_kwargs or {"use_reentrant": False})
        if hasattr(model, "enable_input_require_grads") and any(not one.requires_grad for one in model.parameters()):
            model.enable_input_require_grads()
    inputs = shapes.inputs(batch)
    activations, everything, logits = Allocations(), Allocations(), [0]
    activations.ignore([*model.parameters(), *model.buffers(), inputs])
    everything.ignore([*model.parameters(), *model.buffers(), inputs])
    hooks = [
        one.register_post_accumulate_grad_hook(lambda weight: activations.ignore(weight.grad))
        for one in model.parameters()
        if one.requires_grad
    ]
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None

    def seen(_: Any, __: Any, out: Tensor) -> None:
        logits[0] = max(logits[0], out.numel() * out.element_size())

    if head is not None:
        hooks.append(head.register_forward_hook(seen))
    with shapes.running(), activations, everything:
        with trainer.compute_loss_context_manager():
            loss = trainer.compute_loss(model, inputs)
        torch.autograd.backward(loss)
    for hook in hooks:
        hook.remove()
    model.zero_grad(set_to_none=True)
    size = sum(one.numel() * one.element_size() for one in _tensors(batch))
    return StepMemory(size, activations.peak, everything.peak, logits[0])


def _tensors(batch: Any) -> Iterator[Tensor]:
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, Mapping):
        for value in batch.values():
            yield from _tensors(value)
