"""Memory of one GPU for weights, gradients and optimizer state, depending on how a run is sharded.

Sources. DDP: PyTorch's documentation of ``DistributedDataParallel`` (buckets are a second copy of the gradients unless
``gradient_as_bucket_view``). ZeRO: Rajbhandari et al., arXiv 1910.02054, table 1, and DeepSpeed's documentation
("ZeRO", "Memory Requirements", "Configuration JSON": sizes of buckets and of what is gathered, in elements).
"""

from __future__ import annotations

from dataclasses import dataclass

from redaes.training.dry_run.plan import DryRunPlan

REDUCE_BUCKET = 500_000_000
"""DeepSpeed's default ``reduce_bucket_size``, in elements, which accelerate does not change."""
MAX_LIVE = 1_000_000_000
"""DeepSpeed's default ``stage3_max_live_parameters``, in elements."""
PERSISTENT = 100_000
"""Weights up to this size, in elements, stay on every GPU (``stage3_param_persistence_threshold``)."""


@dataclass(frozen=True)
class Weight:
    """Size of one parameter of the model."""

    n: int
    """Number of elements."""
    size: int
    """Bytes of one element."""
    trained: bool


@dataclass(frozen=True)
class HeldMemory:
    """Memory in bytes on one GPU, and in the machine's memory for one GPU."""

    weights: int
    gathered: int
    """Weights of other processes, gathered for the layers that compute (ZeRO-3)."""
    gradients: int
    """Gradients of a whole step."""
    buckets: int
    """Buffers in which gradients are communicated."""
    optimizer: int
    host: int
    """What is offloaded to the machine's memory."""

    @property
    def on_gpu(self) -> int:
        """The sum of all parts on the GPU."""
        return self.weights + self.gathered + self.gradients + self.buckets + self.optimizer


def state_bytes(optimizer: str) -> float | None:
    """Return the bytes of an optimizer's state for each byte of a weight; None: not known."""
    if "8bit" in optimizer or "4bit" in optimizer:
        return None
    if optimizer.startswith("adamw_torch") or optimizer in ("adamw_apex_fused", "adamw_hf"):
        return 2.0
    return {"sgd": 0.0, "lion_32bit": 1.0, "rmsprop": 1.0, "adagrad": 1.0, "adafactor": 0.0}.get(optimizer)


def held(weights: list[Weight], plan: DryRunPlan, optimizer: str) -> HeldMemory:
    """Return the memory that one process needs.

    Args:
        weights: weights of the whole model, as a process without sharding would hold them.
        plan: sharding, number types, offloading.
        optimizer: ``TrainingArguments.optim``.
    """
    n = plan.n_processes
    trained = [weight for weight in weights if weight.trained]
    whole = sum(weight.n * weight.size for weight in weights)
    gradients = sum(weight.n * weight.size for weight in trained)
    states = state_bytes(optimizer)
    state = round(gradients * (2.0 if states is None else states))
    if not plan.sharding.startswith("zero"):
        buckets = gradients if plan.sharding == "ddp" else 0
        return HeldMemory(whole, 0, gradients, buckets, state, 0)
    size = 2 if plan.bf16 else 4  # DeepSpeed converts all weights to the number type of its configuration
    n_trained = sum(weight.n for weight in trained)
    n_all = sum(weight.n for weight in weights)
    optimizer_share = -(-n_trained // n) * 4 * 3  # float32 weights, and Adam's two moments of them
    bucket = min(REDUCE_BUCKET, n_trained) * size
    if plan.sharding != "zero3":
        # ZeRO-1 keeps whole gradients; ZeRO-2 shards them once a bucket is full.
        gradient = n_trained * size if plan.sharding == "zero1" else -(-n_trained // n) * size
        on_gpu = 0 if plan.offload_optimizer else optimizer_share
        return HeldMemory(n_all * size, 0, gradient, bucket, on_gpu, optimizer_share - on_gpu)
    persistent = sum(weight.n for weight in weights if weight.n <= PERSISTENT) * size
    share = -(-n_all // n) * size
    gathered = min(n_all, MAX_LIVE) * size if n > 1 or plan.offload_weights else 0
    on_gpu = 0 if plan.offload_optimizer else optimizer_share
    weights_here = persistent if plan.offload_weights else share + persistent
    host = (optimizer_share - on_gpu) + (share if plan.offload_weights else 0)
    return HeldMemory(weights_here, gathered, -(-n_trained // n) * size, bucket, on_gpu, host)
