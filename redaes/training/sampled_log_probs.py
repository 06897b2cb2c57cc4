"""Reuse the log-probabilities with which answers were sampled as the old policy's, instead of computing them again.

If answers are used for more than one optimizer step, TRL runs the generation batch through the policy again before
training, although the same policy has just written them. Where both computations give the same numbers, up to float32's
rounding, those of the sampler are used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor


def needs_old_policy(config: Any) -> bool:
    """Return whether TRL needs the old policy's log-probabilities of a generation batch (without vLLM).

    Args:
        config: ``gradient_accumulation_steps``, ``steps_per_generation`` and ``num_iterations`` of the trainer.
    """
    return bool(config.gradient_accumulation_steps % (config.steps_per_generation * config.num_iterations))


def reads_as_it_writes(model: torch.nn.Module) -> bool:
    """Return whether a model gives a token the same log-probability when it samples it and when it reads it again.

    This holds in float32 without dropout. With fewer bits, the LoRA that is added to the weights for sampling is
    rounded with them, and autocast is used in only one of the two passes.
    """
    if torch.get_float32_matmul_precision() != "highest":
        return False
    return all(parameter.dtype == torch.float32 for parameter in model.parameters()) and not any(
        (isinstance(module, torch.nn.Dropout) and module.p > 0) or getattr(module, "attention_dropout", 0.0)
        for module in model.modules()
    )


def policy_at_work(model: Any) -> tuple[Any, ...]:
    """Return an identity of the policy: the model, and its active adapters.

    Args:
        model: the model, not wrapped by DDP or DeepSpeed.
    """
    if not isinstance(model, PeftModel):
        return (id(model),)
    status = model.get_model_status()
    return (id(model), tuple(model.active_adapters), status.enabled)


@dataclass(frozen=True)
class SampledLogProbs:
    """Answers and the log-probabilities with which their tokens were sampled."""

    policy: tuple[Any, ...]
    """`policy_at_work` at the time of sampling."""
    tokens: Tensor
    """Tokens, (B, T); -1 after the end of each answer."""
    log_probs: Tensor
    """Log-probabilities, (B, T); 0 after the end of each answer."""

    def of(self, answer_ids: Tensor, answer_mask: Tensor) -> Tensor | None:
        """Return the log-probabilities (B, C) of these answers, 0 where the mask is 0; None: they are other answers.

        Args:
            answer_ids: tokens of the answers, (B, C).
            answer_mask: mask of the answers, (B, C); a row of zeros leaves its answer out.
        """
        n_rows, n = answer_ids.shape
        if len(self.tokens) != n_rows:
            return None
        tokens, log_probs = (
            torch.nn.functional.pad(one[:, :n], (0, max(0, n - one.shape[1])), value=empty)
            for one, empty in ((self.tokens, -1), (self.log_probs, 0.0))
        )
        seen = answer_mask.bool()
        whole = seen.sum(1) == (self.tokens >= 0).sum(1)
        if not bool((whole | ~seen.any(1)).all()) or not torch.equal(tokens[seen], answer_ids[seen]):
            return None
        return torch.where(seen, log_probs, 0.0)
