"""Stage 2: relative-pair alignment, as a ``Trainer`` whose loss is read at single tokens.

Every item is one pair. It is shown in both orders with the fast prompt, and the logits are read at the verdict token;
each of its pictures is shown alone, and the logits are read at the score token; and one order is answered in full, so
that the language does not drift. Nothing is generated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import ProcessorMixin, TrainingArguments

from redaes import prompts
from redaes.answers import SCORE_CHOICES, SCORE_PREFIX, WINNER_PREFIX
from redaes.errors import TrainingError
from redaes.records import PairRecord, load_pairs, record_of, without_operations
from redaes.training.alignment_losses import (
    antisymmetry_loss,
    expected_score,
    fidelity_loss,
    preference_loss,
    target_probability,
    thurstone_probability,
)
from redaes.training.alignment_reading import pack_batch, read_packed, read_padded
from redaes.training.checkpoints import ExactCheckpoints
from redaes.training.formatting import MODES, chat_text
from redaes.training.group_batches import ShuffledGroups
from redaes.training.refused_settings import ALIGNMENT, refuse_what_spoils
from redaes.training.row_checks import RowNeeds, check_rows
from redaes.training.shared_rows import begin_sharing, network_of
from redaes.training.stage_arguments import StageArguments
from redaes.training.stage_model import base_processor, load_model, training_dtype
from redaes.training.stage_run import claim, train
from redaes.training.validated_trainer import ValidatedTrainer, prepare
from redaes.training.vision_cache import BatchVisionCache, PictureBatch, vision_tower
from redaes.training.weighted_draws import draw_weights
from redaes.types import TAU


@dataclass
class AlignmentConfig(TrainingArguments):
    """``TrainingArguments`` and the weights of stage 2's losses."""

    objective: str = field(
        default="relative",
        metadata={"help": "Marks a recipe for the relative alignment, as against preferences (redaes train dpo)."},
    )
    tau: float = field(default=TAU, metadata={"help": "Standard deviation of a judgement in points."})
    gamma: float = field(
        default=TAU**2, metadata={"help": "Variance that is added in the denominator of Thurstone's law, in points²."}
    )
    preference_weight: float = field(
        default=1.0, metadata={"help": "Loss weight of the soft cross-entropy of the verdict, in both orders."}
    )
    antisymmetry_weight: float = field(
        default=1.0, metadata={"help": "Loss weight of the agreement between the two orders."}
    )
    thurstone_weight: float = field(
        default=1.0, metadata={"help": "Loss weight of the fidelity of the single-picture scores."}
    )
    nll_weight: float = field(default=0.1, metadata={"help": "Loss weight of the token likelihood of one full answer."})
    short_question: bool = field(
        default=False,
        metadata={
            "help": "Ask for the verdict without the words of the question, which reads more pairs per second. Use "
            "it only at the beginning."
        },
    )
    share_prompts: bool = field(
        default=True,
        metadata={
            "help": "Read only once what the questions and answers of a batch have in common, above all the "
            "pictures, where the model allows it. With false, it is read with each of them."
        },
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        # Rows are turned into tensors by the collator, which needs all their columns.
        self.remove_unused_columns = False
        refuse_what_spoils(self, ALIGNMENT)
        if self.objective != "relative":  # an abbreviated option, or another script
            raise TrainingError(
                f"objective is {self.objective!r}; write --objective dpo as a separate option, or set it to relative"
            )
        for name in ("tau", "gamma"):
            if not getattr(self, name) > 0:
                raise TrainingError(f"{name} is {getattr(self, name)}; give a positive number")
        weights = [getattr(self, f"{name}_weight") for name in ("preference", "antisymmetry", "thurstone", "nll")]
        if min(weights) < 0 or not any(weights):
            raise TrainingError(
                f"the loss weights are {weights}; give no negative weight and at least one positive one"
            )


def choice_ids(processor: ProcessorMixin, prefix: str, choices: tuple[str, ...]) -> list[int]:
    """Return the token with which each choice continues ``prefix``.

    Raises:
        TrainingError: the tokenizer gives two choices the same token.
    """
    tokenizer = processor.tokenizer
    start = tokenizer(prefix, add_special_tokens=False)["input_ids"]
    ids: list[int] = []
    for choice in choices:
        whole = tokenizer(prefix + choice, add_special_tokens=False)["input_ids"]
        if whole[: len(start)] != start or len(whole) == len(start):
            raise TrainingError(f"{choice!r} after {prefix!r} is not a single token in this tokenizer")
        ids.append(whole[len(start)])
    if len(set(ids)) != len(ids):
        raise TrainingError(f"{choices} after {prefix!r} begin with the same token in this tokenizer")
    return ids


def both_orders(pictures: PictureBatch, records: Sequence[PairRecord], prompt: prompts.Prompt) -> dict[str, Tensor]:
    """2B prompts that ask about B pairs and end before the verdict token, all forward orders first.

    Args:
        pictures: of these pairs, and perhaps of others.
        records: the pairs.
        prompt: of the fast mode.
    """
    shown = [(record.pair.first.id, record.pair.second.id) for record in records]
    both = [*shown, *(pair[::-1] for pair in shown)]
    return pictures.prompts([chat_text(pictures.processor, prompt, WINNER_PREFIX)] * len(both), both)


def verdict_log_odds(logits: Tensor, tokens: Sequence[int]) -> Tensor:
    """(2B,) log-odds that the picture shown first is better.

    Args:
        logits: (2B, V) where the verdict is to follow.
        tokens: of " A" and " B", as `choice_ids` finds them.
    """
    verdicts = logits.float()
    return verdicts[:, tokens[0]] - verdicts[:, tokens[1]]


class AlignmentCollator:
    """Turn rows of a RED dataset into the batches that the losses need; parts whose loss has weight 0 are left out."""

    def __init__(self, processor: ProcessorMixin, config: AlignmentConfig) -> None:
        self.processor = processor
        # Not the whole configuration, because it would have to be sent to spawned workers.
        self.compares = bool(config.preference_weight or config.antisymmetry_weight)
        self.scores = bool(config.thurstone_weight)
        self.answers = bool(config.nll_weight)
        self.fast = prompts.load(prompts.SHORT if config.short_question else prompts.COMPARE["fast"])
        self.score = prompts.load(prompts.SCORE)

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the batch of B rows.

        Returns:
            ``delta``: (B,) labels in points, for the forward order.
            ``pictures``: tensors of the different pictures.
            ``compare``: 2B prompts ending before the verdict token, all forward orders first.
            ``score``: P prompts ending before the score token, one for each different picture.
            ``singles``: (2, B) which of the P is the first and which the second picture of each pair.
            ``answer``: B full answers with ``labels`` on the answer only.
        """
        records = [record_of(row, "train") for row in rows]
        pictures = PictureBatch(self.processor, records)
        shown = [(record.pair.first.id, record.pair.second.id) for record in records]
        batch: dict[str, Any] = {
            "delta": torch.tensor([_label(record) for record in records]),
            "pictures": pictures.tensors,
        }
        if self.compares:
            batch["compare"] = both_orders(pictures, records, self.fast)
        if self.scores:
            batch["singles"] = torch.tensor([[pictures.place[pair[side]] for pair in shown] for side in range(2)])
            ending = chat_text(self.processor, self.score, SCORE_PREFIX)
            batch["score"] = pictures.prompts([ending] * len(pictures.place), [[name] for name in pictures.place])
        if self.answers:
            batch["answer"] = pictures.answers(MODES)
        return batch


def _label(record: PairRecord) -> float:
    if record.pair.delta is None:
        raise TrainingError(f"pair {record.pair.id} has no delta: stage 2 learns from labelled pairs only")
    return record.pair.delta


class AlignmentTrainer(ExactCheckpoints, ValidatedTrainer):
    """``Trainer`` with stage 2's loss; each part is logged under its own name."""

    def __init__(self, *, processor: ProcessorMixin, **kwargs: Any) -> None:
        super().__init__(
            data_collator=AlignmentCollator(processor, kwargs["args"]), processing_class=processor, **kwargs
        )
        self._verdict_ids = choice_ids(processor, WINNER_PREFIX, (" A", " B"))
        self._score_ids = choice_ids(processor, SCORE_PREFIX, SCORE_CHOICES)
        # Otherwise the trainer divides by gradient_accumulation_steps a second time.
        self.model_accepts_loss_kwargs = False
        self._visual = vision_tower(self.model)
        self._network = network_of(self.model)
        balances = getattr(self._network.config.get_text_config(), "output_router_logits", False)
        self.shares_prompts = begin_sharing(
            self.args.share_prompts,
            [self.model],
            "the loss that balances experts counts the tokens of every row (output_router_logits)"
            if balances
            else None,
            "questions and answers are read with pictures of their own",
        )
        """Whether the common beginnings of a batch's rows are read only once."""
        self._parts: dict[str, list[float]] = {}

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | None = None,
    ) -> Any:
        """Return the weighted sum of stage 2's losses over B pairs."""
        config: AlignmentConfig = self.args
        wanted = target_probability(inputs["delta"], config.tau)  # (B,)
        parts: dict[str, Tensor] = {}
        with BatchVisionCache(self._visual, inputs["pictures"]) as cache:
            if self.shares_prompts:
                found = read_packed(model, cache, self._network, inputs)
            else:
                found = read_padded(model, cache, inputs)
        if found.verdicts is not None:
            log_odds = verdict_log_odds(found.verdicts, self._verdict_ids)  # (2B,)
            parts["preference"] = preference_loss(log_odds, torch.cat([wanted, 1 - wanted]))
            parts["antisymmetry"] = antisymmetry_loss(*log_odds.chunk(2))
        if found.scores is not None:
            mean, variance = expected_score(found.scores[:, self._score_ids].float())  # (P,)
            first, second = ((mean[side], variance[side]) for side in inputs["singles"])
            parts["thurstone"] = fidelity_loss(thurstone_probability(first, second, config.gamma), wanted)
        if found.nll is not None:
            # The mean over the answer tokens of all processes: gradients, and losses, are averaged over processes.
            n_tokens = (inputs["answer"]["labels"] >= 0).sum().float()
            parts["nll"] = found.nll * n_tokens / self.accelerator.reduce(n_tokens, "mean")
        for name, value in parts.items():
            self._parts.setdefault(name, []).append(value.item())
        loss = torch.stack([getattr(config, f"{name}_weight") * value for name, value in parts.items()]).sum()
        return (loss, parts) if return_outputs else loss

    def as_read(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return the parts of a batch that pass the language model (``input_ids``) and the vision tower
        (``pixel_values``).
        """
        if not self.shares_prompts:
            return batch
        return {**pack_batch(self._network, batch).packed.inputs, "pixel_values": batch["pictures"]["pixel_values"]}

    def _get_train_sampler(self, train_dataset: Any = None) -> ShuffledGroups:
        weights = draw_weights(self.train_dataset)
        return ShuffledGroups(self.train_dataset["group"], seed=self.args.seed, weights=weights)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the mean of each part since the last log, over all processes; all of them call this."""
        if "loss" in logs and self._parts:
            means = torch.tensor([sum(values) / len(values) for values in self._parts.values()])
            means = self.accelerator.reduce(means.to(self.accelerator.device), "mean")
            logs = {**logs, **dict(zip(self._parts, means.tolist(), strict=True))}
            self._parts.clear()
        super().log(logs, start_time)


def run_align(arguments: StageArguments, config: AlignmentConfig) -> Path:
    """Train stage 2.

    Returns:
        The folder with the result. A finished stage is not trained again.
    """
    run = claim("stage2_align", arguments, config)
    if run.final is not None:
        return run.final
    answers = config.nll_weight > 0
    check_rows(
        arguments,
        RowNeeds(reasoning=False, answers=answers),
        without="count for the ranking losses, and give a fast answer to the token likelihood" if answers else "",
    )
    validation = prepare(arguments.data_folder, arguments, config, arguments.leave_out)
    torch.manual_seed(config.seed)
    if config.use_liger_kernel:
        # Liger's fused loss replaces the forward pass, and with it the choice of the logits to keep.
        config.liger_kernel_config = {**(config.liger_kernel_config or {}), "fused_linear_cross_entropy": False}
    processor = base_processor(arguments)
    trainer = AlignmentTrainer(
        validation=validation,
        processor=processor,
        model=load_model(arguments, training_dtype(config, arguments.plan)),
        args=config,
        train_dataset=without_operations(load_pairs(arguments.data_folder, "train"), arguments.leave_out),
    )
    return train(run, trainer, processor, arguments, lambda: {"shares_prompts": trainer.shares_prompts})
