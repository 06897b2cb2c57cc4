"""Stage 3 with each prompt passed through the model once, however many answers it has.

TRL gives the model every answer after its whole prompt, and the prompt (two pictures and a question) is longer than the
answer. Here the answers of a batch are packed into one row (`redaes.attention.packed_answers`), for the policy, the old
policy and the reference alike, and the answers to a prompt stay in the same batch. Log-probabilities, losses and
gradients are the same up to rounding. Answers are sampled in the same way (`redaes.training.shared_sampling`), from the
same probabilities; vLLM has its own prefix cache and is left alone.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers.integrations import is_deepspeed_zero3_enabled
from trl.models.utils import unwrap_model_for_generation
from trl.trainer.utils import split_pixel_values_by_grid, split_tensor_dict, unsplit_pixel_values_by_grid

from redaes.attention.packed_answers import PromptedAnswers, packed_answers, pictures_by_row
from redaes.errors import TrainingError
from redaes.training.sampled_log_probs import SampledLogProbs, needs_old_policy, policy_at_work, reads_as_it_writes
from redaes.training.shared_rows import begin_sharing, network_of
from redaes.training.shared_sampling import AskedPrompts, SampledAnswers, lora_added, sample_answers

_NEEDED = ("pixel_values", "image_grid_thw", "num_images", "mm_token_type_ids")
"""Entries of a batch that a packed row needs, besides tokens."""

_SAMPLING = frozenset({"suppress_tokens", "min_new_tokens"})
"""Further settings of ``generate`` that sampling from packed rows supports."""


def check_sharing(*, batch_size: int, num_generations: int) -> None:
    """Refuse batch sizes that would split the answers to a prompt unevenly; called before anything is loaded.

    Args:
        batch_size: ``per_device_train_batch_size``.
        num_generations: number of answers to each prompt.

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
    """Return a generation batch with its prompts shuffled, and the answers to each prompt still consecutive.

    Args:
        batch: tensors and lists with an entry for each answer, scalars, or None.
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


def _padded(rows: list[list[int]], value: int, device: torch.device) -> Tensor:
    """Return rows of tokens as a tensor (rows, longest), padded on the left."""
    longest = max(map(len, rows))
    return torch.tensor([[value] * (longest - len(row)) + list(row) for row in rows], device=device)


class SharedPrompts:
    """Mixin for TRL's ``GRPOTrainer``; its ``args`` have ``share_prompts``.

    Attributes:
        shares_prompts: whether prompts are shared. If the model or the settings do not allow it, TRL's own code runs,
            and standard error has the reason.
    """

    accelerator: Any
    args: Any
    model: Any
    num_generations: int

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        reason = None
        if getattr(self, "aux_loss_enabled", False):
            reason = "the loss that balances experts counts the tokens of every prompt (router_aux_loss_coef)"
        self._sampled: SampledLogProbs | None = (
            None  # log-probabilities of the answers just written, for when TRL asks for them
        )
        self.shares_prompts = begin_sharing(
            bool(self.args.share_prompts), self._models(), reason, "each answer is read with a prompt of its own"
        )

    def _models(self) -> list[Any]:
        reference = getattr(self, "ref_model", None)
        found = [self.model] if reference is None else [self.model, reference]
        return [self.accelerator.unwrap_model(model) for model in found]

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        """Prepare inputs as TRL does, but shuffle prompts instead of answers, so that those of a prompt stay
        together.
        """
        steps: int = self.args.steps_per_generation
        trainer: Any = self
        due = trainer._step % (steps * trainer.num_iterations) == 0 or trainer._buffered_inputs is None
        if not (self.shares_prompts and self.model.training and due):
            return super()._prepare_inputs(generation_batch)  # type: ignore[misc]  # the GRPOTrainer's
        batch = split_pixel_values_by_grid(trainer._generate_and_score_completions(generation_batch))
        parts = split_tensor_dict(prompts_shuffled(batch, self.num_generations), steps)
        trainer._buffered_inputs = [unsplit_pixel_values_by_grid(part) for part in parts]
        return trainer._buffered_inputs[trainer._step % steps]

    def as_read(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return what the model reads of a batch in TRL's form, for a dry run's lengths; a prompt's answers are
        consecutive.
        """
        if not self.shares_prompts:
            return batch
        firsts = range(0, len(batch["prompt_ids"]), self.num_generations)
        prompts = [batch["prompt_ids"][row][batch["prompt_mask"][row].bool()][:-1] for row in firsts]
        answers = batch["completion_ids"][batch["completion_mask"].bool()]
        pictures = pictures_by_row(
            batch["image_grid_thw"], batch["pixel_values"], batch["num_images"], self.num_generations
        )
        patches = torch.cat([pictures[row].patches for row in firsts])
        return {"input_ids": torch.cat([*prompts, answers])[None], "pixel_values": patches}

    def samples_itself(self) -> bool:
        """Return whether answers are sampled here, and not by TRL's own loop or vLLM."""
        given = set(self.args.generation_kwargs or {}) - _SAMPLING
        cut_up = is_deepspeed_zero3_enabled()  # all processes would have to write the same number of tokens
        return self.shares_prompts and not (self.args.use_vllm or self.args.cache_implementation or given or cut_up)

    def notes_log_probs(self) -> bool:
        """Return whether the old policy's log-probabilities are those with which the answers were sampled."""
        return (
            self.samples_itself()
            and needs_old_policy(self.args)
            and self.accelerator.mixed_precision == "no"
            and reads_as_it_writes(self.accelerator.unwrap_model(self.model))
        )

    def _generate_single_turn(
        self,
        prompt_ids: list[list[int]],
        images: list[Any] | None,
        multimodal_fields: dict[str, Any],
        num_generations: int,
        *more: Any,
        **named: Any,
    ) -> tuple[list[list[int]], None]:
        """Return the tokens of an answer to each prompt, as TRL does; each prompt occurs ``num_generations`` times in a
        row.
        """
        if (
            not self.samples_itself()
            or images is None
            or not {"pixel_values", "image_grid_thw"} <= {*multimodal_fields}
        ):
            return super()._generate_single_turn(  # type: ignore[misc]  # the GRPOTrainer's
                prompt_ids, images, multimodal_fields, num_generations, *more, **named
            )
        trainer: Any = self
        device, pad_token = self.accelerator.device, trainer._tokenizer.pad_token_id
        asked = range(0, len(prompt_ids), num_generations)
        ids = _padded([prompt_ids[row] for row in asked], pad_token, device)
        mask = _padded([[1] * len(prompt_ids[row]) for row in asked], 0, device)
        grid, patches = (torch.as_tensor(multimodal_fields[name]) for name in ("image_grid_thw", "pixel_values"))
        pictures = pictures_by_row(grid, patches, [len(shown) for shown in images], num_generations)
        batch = PromptedAnswers(
            prompt_ids=ids,
            prompt_mask=mask,
            picture_tokens=_padded([multimodal_fields["mm_token_type_ids"][row] for row in asked], 0, device),
            answer_ids=torch.zeros_like(ids[:, :1]),
            answer_mask=torch.ones_like(ids[:, :1]),
            pictures=[pictures[row].to(device) for row in asked],
        )
        scored_at = float(self.args.temperature) if self.notes_log_probs() else None
        asked_prompts = AskedPrompts(batch, num_generations, trainer.eos_token_ids, scored_at)
        with (
            unwrap_model_for_generation(
                trainer.model_wrapped,
                self.accelerator,
                generation_kwargs=trainer.generation_kwargs,
                gradient_checkpointing_kwargs=self.args.gradient_checkpointing_kwargs,
            ) as model,
            torch.no_grad(),
            lora_added(model),
        ):
            policy = policy_at_work(model)
            written: SampledAnswers = network_of(model).generate(
                input_ids=ids,
                attention_mask=mask,
                generation_config=trainer.generation_config,
                custom_generate=partial(sample_answers, asked=asked_prompts),
            )
        known = written.log_probs
        self._sampled = None if known is None else SampledLogProbs(policy, written.tokens, known)
        return [[token for token in answer if token >= 0] for answer in written.tokens.tolist()], None

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
        """Return log-probabilities and entropies (B, C) of the answers' tokens, as TRL does, without a loss that
        balances experts.

        Answers that the mask leaves out have zeros, as in TRL.
        """
        if not self.shares_prompts or any(shown.get(name) is None for name in _NEEDED):
            return super()._get_per_token_logps_and_entropies(  # type: ignore[misc]  # the GRPOTrainer's
                model, input_ids, attention_mask, logits_to_keep, batch_size, compute_entropy, compute_aux_loss, **shown
            )
        n_prompt = input_ids.shape[1] - logits_to_keep
        if self._sampled is not None and not torch.is_grad_enabled():
            sampled, self._sampled = self._sampled, None  # they are asked for once, before those of the reference
            if not compute_entropy and sampled.policy == policy_at_work(self.accelerator.unwrap_model(model)):
                old = sampled.of(input_ids[:, n_prompt:], attention_mask[:, n_prompt:])
                if old is not None:
                    return old, None, None
        pictures = pictures_by_row(
            shown["image_grid_thw"], shown["pixel_values"], shown["num_images"], self.num_generations
        )
        network = network_of(self.accelerator.unwrap_model(model))
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
