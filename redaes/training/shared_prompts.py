"""Stage 3's log-probabilities with each prompt read once, however many answers it has.

TRL gives the model every answer behind its whole prompt, two pictures and a question, that is longer than the answer.
Here the answers of a batch are packed into one row (`redaes.training.packed_answers`), for the policy, the old policy
and the reference alike, and the answers to a prompt stay in the same batch. Log-probabilities, losses and gradients
are the same up to rounding.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from accelerate import PartialState
from peft import PeftModel
from torch import Tensor
from trl.trainer.utils import split_pixel_values_by_grid, split_tensor_dict, unsplit_pixel_values_by_grid

from redaes.errors import TrainingError
from redaes.training.packed_answers import PromptedAnswers, packed_answers, pictures_by_row
from redaes.training.prompt_branches import use_branch_attention, why_no_branches

_NEEDED = ("pixel_values", "image_grid_thw", "num_images", "mm_token_type_ids")
"""What of a batch a packed row is made of, besides tokens."""


def check_sharing(*, batch_size: int, num_generations: int) -> None:
    """Refuse batches that would cut the answers to a prompt unevenly; called before anything is loaded.

    Args:
        batch_size: ``per_device_train_batch_size``.
        num_generations: answers to each prompt.

    Raises:
        TrainingError: with the next size that fits.
    """
    if batch_size % num_generations and num_generations % batch_size:
        fits = -(-batch_size // num_generations) * num_generations
        raise TrainingError(
            f"per_device_train_batch_size is {batch_size} and num_generations {num_generations}: batches would cut the "
            "answers to a prompt unevenly, and each part would read it again; make per_device_train_batch_size a "
            f"multiple or a divisor of num_generations, for example {fits}, or set "
            "share_prompts: false"
        )


def prompts_shuffled(batch: dict[str, Any], num_generations: int) -> dict[str, Any]:
    """A generation batch with its prompts in another order, and the answers to each still in a row.

    Args:
        batch: tensors and lists with an entry for each answer, tensors without a dimension, None.
        num_generations: answers to each prompt.
    """
    n_prompts = len(batch["prompt_ids"]) // num_generations
    order = torch.randperm(n_prompts)
    rows = (order[:, None] * num_generations + torch.arange(num_generations)).flatten()

    def moved(value: Any) -> Any:
        if isinstance(value, list):
            return [value[row] for row in rows.tolist()]
        return value[rows.to(value.device)] if isinstance(value, Tensor) and value.dim() else value

    return {name: moved(value) for name, value in batch.items()}


def _network(model: Any) -> Any:
    """The model itself, without a LoRA around it."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


class SharedPrompts:
    """Mixin for TRL's ``GRPOTrainer``; its ``args`` have ``share_prompts``.

    Attributes:
        shares_prompts: whether it does. Where the model or the settings do not allow it, TRL's own way is taken, and
            standard error has the reason.
    """

    accelerator: Any
    args: Any
    model: Any
    num_generations: int

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.shares_prompts = bool(self.args.share_prompts)
        reason = self._why_not() if self.shares_prompts else None
        if reason is not None:
            self.shares_prompts = False
            if PartialState().is_main_process:
                sys.stderr.write(f"share_prompts: {reason}; each answer is read with a prompt of its own\n")
        if self.shares_prompts:
            for model in self._models():
                use_branch_attention(_network(model))

    def _models(self) -> list[Any]:
        reference = getattr(self, "ref_model", None)
        found = [self.model] if reference is None else [self.model, reference]
        return [self.accelerator.unwrap_model(model) for model in found]

    def _why_not(self) -> str | None:
        """What keeps the model, or the loss, from packed rows; None: nothing."""
        if getattr(self, "aux_loss_enabled", False):
            return "the loss that balances experts counts the tokens of every prompt (router_aux_loss_coef)"
        return next((why for model in self._models() if (why := why_no_branches(_network(model))) is not None), None)

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        """As TRL has it, but prompts are shuffled and not answers: those of a prompt stay together."""
        steps: int = self.args.steps_per_generation
        trainer: Any = self
        due = trainer._step % (steps * trainer.num_iterations) == 0 or trainer._buffered_inputs is None
        if not (self.shares_prompts and self.model.training and due):
            return super()._prepare_inputs(generation_batch)  # type: ignore[misc]  # the GRPOTrainer's
        batch = split_pixel_values_by_grid(trainer._generate_and_score_completions(generation_batch))
        parts = split_tensor_dict(prompts_shuffled(batch, self.num_generations), steps)
        trainer._buffered_inputs = [unsplit_pixel_values_by_grid(part) for part in parts]
        return trainer._buffered_inputs[trainer._step % steps]

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: Tensor,
        attention_mask: Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        compute_aux_loss: bool = False,
        **shown: Any,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """As TRL has it: (B, C) log-probabilities and entropies of the answers' tokens, no loss that balances experts.

        Answers that the mask leaves out have zeros, as in TRL.
        """
        if not self.shares_prompts or any(shown.get(name) is None for name in _NEEDED):
            return super()._get_per_token_logps_and_entropies(  # type: ignore[misc,no-any-return]  # the GRPOTrainer's
                model, input_ids, attention_mask, logits_to_keep, batch_size, compute_entropy, compute_aux_loss, **shown
            )
        n_prompt = input_ids.shape[1] - logits_to_keep
        pictures = pictures_by_row(
            shown["image_grid_thw"], shown["pixel_values"], shown["num_images"], self.num_generations
        )
        network = _network(self.accelerator.unwrap_model(model))
        log_probs: list[Tensor] = []
        entropies: list[Tensor] = []
        size = batch_size or len(input_ids)
        for start in range(0, len(input_ids), size):
            part = slice(start, start + size)
            packed = packed_answers(
                network,
                PromptedAnswers(
                    prompt_ids=input_ids[part, :n_prompt],
                    prompt_mask=attention_mask[part, :n_prompt],
                    picture_tokens=shown["mm_token_type_ids"][part, :n_prompt],
                    answer_ids=input_ids[part, n_prompt:],
                    answer_mask=attention_mask[part, n_prompt:],
                    pictures=pictures[part],
                ),
            )
            with self.accelerator.autocast():
                outputs = model(**packed.inputs, fused_lm_head=True)
            log_probs.append(packed.unpacked(outputs.log_probs))
            if compute_entropy:
                entropies.append(packed.unpacked(outputs.entropy))
        return torch.cat(log_probs), torch.cat(entropies) if compute_entropy else None, None
