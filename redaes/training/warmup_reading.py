"""The embedded model's second warm-up: it learns to attend to both pictures, and to write what it sees.

Even with a trained tower (`redaes.training.warmup_vision`), stage 1's loss alone leads to the same text for every pair
instead of attention to the pictures (docs/log.md). Here the whole model is trained with that loss on reasoned answers,
and with three heads that are discarded afterwards: at the token where the fast mode gives its verdict, and at the token
from which the reasoning begins, they name the edit of A, name the edit of B, and say which picture is better. The fast
verdict itself is left to the stages. Real base models skip this.

Attending can be learned first, without writing (``answers: false``), on small pictures (``max_pixels``) and without the
words of the question (``short_question``), which is several times as fast (docs/training.md).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import ProcessorMixin, TrainingArguments

from redaes import prompts
from redaes.answers import WINNER_PREFIX
from redaes.records import record_of
from redaes.training.alignment_losses import preference_loss, target_probability
from redaes.training.formatting import IGNORED, chat_text, order_drawn
from redaes.training.stage_arguments import StageArguments
from redaes.training.vision_cache import BatchVisionCache, PictureBatch, vision_tower
from redaes.training.warmup_heads import NO_EDIT, HeadTrainer, run_with_heads
from redaes.types import TAU


@dataclass
class ReadingConfig(TrainingArguments):
    """``TrainingArguments``, and the settings of this warm-up."""

    answers: bool = field(
        default=True,
        metadata={"help": "Also learn to write answers. With false, learn only to look, at both orders of each pair."},
    )
    short_question: bool = field(
        default=False,
        metadata={
            "help": "Ask for the verdict without the words of the question, which reads more pairs per second. Use "
            "it only at the beginning."
        },
    )


TOWER_RATE = 0.5
"""The vision tower's learning rate relative to that of the rest, because the tower has been trained already."""


class ReadingWithHeads(nn.Module):
    """A whole model with two classifiers of edits and a comparison, on the hidden state before an answer's first token.

    Args:
        model: the whole model, its embeddings tied; trained in place.
        n_operations: number of classes, "none" included.
    """

    def __init__(self, model: Any, n_operations: int) -> None:
        super().__init__()
        self.network = model.model
        width = model.config.text_config.hidden_size
        self.first = nn.Linear(width, n_operations)
        self.second = nn.Linear(width, n_operations)
        self.better = nn.Linear(width, 1)

    def forward(
        self, pictures: dict[str, Tensor], prompts: dict[str, Tensor], answers: dict[str, Tensor] | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Return the logits of A's and B's edit, the log-odds of the comparison, and the loss of the answers.

        Args:
            pictures: pictures of a batch, as `PictureBatch` has them.
            prompts: N prompts from `PictureBatch.prompts`.
            answers: M answers from `PictureBatch.answers`; None: there are none, and M is 0.

        Returns:
            (N + M, n_operations) logits for picture A, the same for B, (N + M,) log-odds that A is better, and the mean
            negative log-likelihood of a token; None: there are no answers.
        """
        with BatchVisionCache(self.network.visual, pictures) as cache:
            last = cache.forward(self.network, prompts).last_hidden_state[:, -1]  # (N, hidden)
            if answers is None:
                return *self._heads(last), None
            labels = answers["labels"][:, 1:]
            unlabelled = {name: value for name, value in answers.items() if name != "labels"}
            states = cache.forward(self.network, unlabelled).last_hidden_state[:, :-1]  # (M, T - 1, hidden)
        begins = (labels != IGNORED).int().argmax(-1)  # (M,): the place that predicts the answer's first token
        read = torch.cat([last, states[torch.arange(len(states)), begins]])
        hidden = states[labels != IGNORED]  # (tokens, hidden)
        logits = nn.functional.linear(hidden, self.network.get_input_embeddings().weight)
        nll = nn.functional.cross_entropy(logits.float(), labels[labels != IGNORED])
        return *self._heads(read), nll

    def _heads(self, read: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.first(read), self.second(read), self.better(read).squeeze(-1)


class ReadingCollator:
    """Turn rows of a RED dataset into reasoned answers in one order, and fast prompts, ending before the verdict, in
    the other.

    Args:
        processor: processor of the model.
        operations: names of the classes.
        answers: whether to make answers; without them, there are fast prompts in both orders.
        short_question: whether fast prompts have no words.
    """

    def __init__(
        self, processor: ProcessorMixin, operations: list[str], *, answers: bool = True, short_question: bool = False
    ) -> None:
        self.processor = processor
        self.classes = {name: number for number, name in enumerate(operations)}
        self.has_answers = answers
        question = prompts.load(prompts.SHORT if short_question else prompts.COMPARE["fast"])
        self.text = chat_text(processor, question, WINNER_PREFIX)

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the batch B rows.

        Returns:
            ``pictures``: their tensors; ``prompts`` and ``answers``: B of each, or 2B prompts and None;
            ``edits``: (2, 2B) classes of A's and B's edit; ``delta``: (2B,) in points. Edits and differences are of the
            prompts, then of the answers.
        """
        records = [record_of(row, "train") for row in rows]
        pictures = PictureBatch(self.processor, records)
        answered = [r.pair if order_drawn(r) == "forward" else r.pair.swapped() for r in records]
        pairs = [*(pair.swapped() for pair in answered), *answered]
        carried = [
            [self.classes[NO_EDIT if edit is None else edit.operation] for edit in edits]
            for edits in ([pair.edit_first for pair in pairs], [pair.edit_second for pair in pairs])
        ]
        asked = pairs[: len(rows)] if self.has_answers else pairs
        return {
            "pictures": pictures.tensors,
            "prompts": pictures.prompts([self.text] * len(asked), [(pair.first.id, pair.second.id) for pair in asked]),
            "answers": pictures.answers(["reasoned"]) if self.has_answers else None,
            "edits": torch.tensor(carried),
            "delta": torch.tensor([pair.delta for pair in pairs], dtype=torch.float32),
        }


class ReadingTrainer(HeadTrainer):
    """``Trainer`` whose loss is that of the heads and the answers."""

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Return the trainer's optimizer, in which the vision tower has its own learning rate."""
        optimizer = super().create_optimizer(model)
        tower = {id(parameter) for parameter in vision_tower(self.model).parameters()}
        groups = []
        for group in optimizer.param_groups:
            for rate, inside in ((1.0, False), (TOWER_RATE, True)):
                parameters = [parameter for parameter in group["params"] if (id(parameter) in tower) is inside]
                groups.append({**group, "params": parameters, "lr": group["lr"] * rate})
        optimizer.param_groups = groups
        return optimizer

    def compute_loss(self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, **_: Any) -> Any:
        """Return the mean cross-entropy of A's edit and of B's, that of the comparison, and that of the answers'
        tokens.
        """
        first, second, better, nll = model(inputs["pictures"], inputs["prompts"], inputs["answers"])
        cross_entropy = nn.functional.cross_entropy
        edits = cross_entropy(first.float(), inputs["edits"][0]) + cross_entropy(second.float(), inputs["edits"][1])
        loss = edits / 2 + preference_loss(better.float(), target_probability(inputs["delta"], TAU))
        loss = loss if nll is None else loss + nll
        return (loss, first) if return_outputs else loss


@torch.no_grad()
def held_out_figures(network: ReadingWithHeads, batches: Iterator[dict[str, Any]]) -> dict[str, float]:
    """Return the accuracies of the heads before a fast and before a reasoned answer, and the loss of the answers.

    Returns:
        For each mode the share of edits that are named correctly, for both pictures, and of decided pairs in the right
        order.
    """
    network.eval()
    named: dict[str, list[Tensor]] = defaultdict(list)
    ordered: dict[str, list[Tensor]] = defaultdict(list)
    nll: list[Tensor] = []
    n_pairs = 0
    for batch in batches:
        first, second, better, unlikely = network(batch["pictures"], batch["prompts"], batch["answers"])
        modes = ["fast"] if unlikely is None else ["fast", "reasoned"]
        nll += [] if unlikely is None else [unlikely]
        n_pairs += len(better) // 2
        right = torch.stack([first.argmax(-1), second.argmax(-1)]) == batch["edits"]  # (2, 2B)
        for mode, its in zip(modes, right.chunk(len(modes), dim=1), strict=True):
            named[mode].append(its.flatten())
        parts = (one.chunk(len(modes)) for one in (better, batch["delta"]))
        for mode, odds, delta in zip(modes, *parts, strict=True):
            ordered[mode].append((odds * delta > 0)[delta != 0])
    return {
        "held_out_pairs": n_pairs,
        **{f"held_out_edit_accuracy_{mode}": torch.cat(seen).float().mean().item() for mode, seen in named.items()},
        **{f"held_out_pair_accuracy_{mode}": torch.cat(seen).float().mean().item() for mode, seen in ordered.items()},
        **({"held_out_nll": torch.stack(nll).mean().item()} if nll else {}),
    }


def run_reading(arguments: StageArguments, config: ReadingConfig) -> Path:
    """Train all of ``arguments.model``, and save it without the heads.

    Returns:
        The folder with the model. A finished run is not repeated.
    """
    return run_with_heads(
        "warmup_reading",
        arguments,
        config,
        network=ReadingWithHeads,
        collator=partial(ReadingCollator, answers=config.answers, short_question=config.short_question),
        trainer_class=ReadingTrainer,
        evaluate=held_out_figures,
        reasoning=config.answers,
    )
