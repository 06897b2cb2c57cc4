"""The embedded model's second warm-up: teach it to look at both pictures, and to write what it sees.

With a tower that sees (`redaes.training.vision`), stage 1's loss alone still finds it easier to write the same text for
every pair than to attend to the pictures (docs/log.md). Here the whole model is trained with that loss on reasoned
answers, and with two heads that are thrown away: at the token where the fast mode gives its verdict, they name the edit
that A carries and the edit that B carries. That verdict itself is left to the stages. Real base models skip this.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import ProcessorMixin, TrainingArguments

from redaes import prompts
from redaes.answers import WINNER_PREFIX
from redaes.records import record_of
from redaes.training.formatting import IGNORED, chat_text
from redaes.training.heads import NO_EDIT, HeadTrainer, run_with_heads
from redaes.training.pictures import LookedAtOnce, Pictures, vision_tower
from redaes.training.setup import StageArguments

TOWER_RATE = 0.3
"""The vision tower's learning rate, relative to the rest's: it has learned already, and the rest begins."""


class ReadingWithHeads(nn.Module):
    """A whole model with a classifier of edits for each picture, on the last token's hidden state.

    Args:
        model: the whole model, its embeddings tied; trained in place.
        n_operations: classes, "none" included.
    """

    def __init__(self, model: Any, n_operations: int) -> None:
        super().__init__()
        self.network = model.model
        width = model.config.text_config.hidden_size
        self.first = nn.Linear(width, n_operations)
        self.second = nn.Linear(width, n_operations)

    def forward(
        self, pictures: dict[str, Tensor], prompts: dict[str, Tensor], answers: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What is read of A and of B, and how unlikely the answers are.

        Args:
            pictures: of a batch, as `Pictures` has them.
            prompts: N of them, as `Pictures.prompts` makes them.
            answers: as `Pictures.answers` makes them.

        Returns:
            (N, n_operations) logits for picture A, the same for B, and the mean negative log-likelihood of a token.
        """
        with LookedAtOnce(self.network.visual, pictures) as once:
            last = self.network(**once.showing(prompts)).last_hidden_state[:, -1]  # (N, hidden)
            labels = answers["labels"][:, 1:]
            shown = {name: value for name, value in answers.items() if name != "labels"}
            hidden = self.network(**once.showing(shown)).last_hidden_state[:, :-1][
                labels != IGNORED
            ]  # (tokens, hidden)
        logits = nn.functional.linear(hidden, self.network.get_input_embeddings().weight)
        nll = nn.functional.cross_entropy(logits.float(), labels[labels != IGNORED])
        return self.first(last), self.second(last), nll


class ReadingCollator:
    """Rows of a RED dataset to fast prompts in both orders, ending before the verdict, and to reasoned answers."""

    def __init__(self, processor: ProcessorMixin, operations: list[str]) -> None:
        self.processor = processor
        self.classes = {name: number for number, name in enumerate(operations)}
        self.text = chat_text(processor, prompts.load(prompts.COMPARE["fast"]), WINNER_PREFIX)

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Batch B rows.

        Returns:
            ``pictures``: their tensors; ``prompts``: 2B of them, all forward orders first; ``edits``: (2, 2B) classes
            of A's and of B's edit; ``answers``: B.
        """
        records = [record_of(row, "train") for row in rows]
        shown = [(record.pair.first.id, record.pair.second.id) for record in records]
        shown += [pair[::-1] for pair in shown]
        pictures = Pictures(self.processor, records)
        carried = [
            [self.classes[NO_EDIT if edit is None else edit.operation] for edit in edits]
            for edits in ([r.pair.edit_first for r in records], [r.pair.edit_second for r in records])
        ]
        return {
            "pictures": pictures.tensors,
            "prompts": pictures.prompts([self.text] * len(shown), shown),
            "answers": pictures.answers(["reasoned"]),
            "edits": torch.tensor([carried[0] + carried[1], carried[1] + carried[0]]),
        }


class ReadingTrainer(HeadTrainer):
    """``Trainer`` whose loss is that of the heads and of the answers."""

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """The trainer's own, with the vision tower in groups of their own rate."""
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
        """Mean cross-entropy of A's edit and of B's, plus that of the answers' tokens."""
        first, second, nll = model(inputs["pictures"], inputs["prompts"], inputs["answers"])
        cross_entropy = nn.functional.cross_entropy
        edits = cross_entropy(first.float(), inputs["edits"][0]) + cross_entropy(second.float(), inputs["edits"][1])
        loss = edits / 2 + nll
        return (loss, first) if return_outputs else loss


@torch.no_grad()
def look(network: ReadingWithHeads, batches: Iterator[dict[str, Any]]) -> dict[str, float]:
    """The share of edits that the heads name, of both places, and how unlikely the answers are."""
    network.eval()
    right: list[Tensor] = []
    nll: list[Tensor] = []
    for batch in batches:
        *read, unlikely = network(batch["pictures"], batch["prompts"], batch["answers"])
        nll.append(unlikely)
        for logits, edits in zip(read, batch["edits"], strict=True):
            right.append(logits.argmax(-1) == edits)
    return {
        "held_out_edits": sum(map(len, right)),
        "held_out_edit_accuracy": torch.cat(right).float().mean().item(),
        "held_out_nll": torch.stack(nll).mean().item(),
    }


def run_reading(arguments: StageArguments, config: TrainingArguments) -> Path:
    """Train all of ``arguments.model`` and leave it without the heads.

    Returns:
        The folder with the model. A finished run is not repeated.
    """
    return run_with_heads(
        "warmup_reading",
        arguments,
        config,
        network=ReadingWithHeads,
        collator=ReadingCollator,
        trainer_class=ReadingTrainer,
        look=look,
    )
