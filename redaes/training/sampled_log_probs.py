"""The old policy's log-probabilities as they were when the answers were drawn, in place of reading the answers again.

TRL reads a generation batch again before it is trained on wherever its answers outlive an optimizer step. The policy
that it asks is the one that has just written them. Where both times the same numbers are calculated, up to float32's
rounding, those of the sampler are taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor


def needs_old_policy(config: Any) -> bool:
    """Return whether TRL asks for the old policy's log-probabilities of a generation batch, vLLM left aside.

    Args:
        config: ``gradient_accumulation_steps``, ``steps_per_generation`` and ``num_iterations`` of the trainer.
    """
    return bool(config.gradient_accumulation_steps % (config.steps_per_generation * config.num_iterations))


def reads_as_it_writes(model: torch.nn.Module) -> bool:
    """Return whether a model gives a token the same log-probability when it draws it and when it reads it again.

    So it does in float32 and without dropout. In fewer bits the LoRA that is added into the weights is rounded with
    them, and autocast is on in one of the two alone.
    """
    if torch.get_float32_matmul_precision() != "highest":
        return False
    return all(parameter.dtype == torch.float32 for parameter in model.parameters()) and not any(
        (isinstance(module, torch.nn.Dropout) and module.p > 0) or getattr(module, "attention_dropout", 0.0)
        for module in model.modules()
    )


def policy_at_work(model: Any) -> tuple[Any, ...]:
    """Return what tells whether it is the same policy: the model, and of its adapters those that take part.

    Args:
        model: nothing of DDP or DeepSpeed around it.
    """
    if not isinstance(model, PeftModel):
        return (id(model),)
    status = model.get_model_status()
    return (id(model), tuple(model.active_adapters), status.enabled)


@dataclass(frozen=True)
class SampledLogProbs:
    """Answers and the log-probabilities of their tokens, as they were drawn."""

    policy: tuple[Any, ...]
    """`policy_at_work` then."""
    tokens: Tensor
    """(B, T), -1 behind the end of each."""
    log_probs: Tensor
    """(B, T), 0 behind the end."""

    def of(self, answer_ids: Tensor, answer_mask: Tensor) -> Tensor | None:
        """Return (B, C) log-probabilities, 0 where the mask is; None: these are not the answers.

        Args:
            answer_ids: (B, C).
            answer_mask: (B, C); a row of zeros leaves its answer out.
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
