"""The embedded model's second warm-up: teach its language model to look at both pictures, before it is asked to speak.

With a tower that sees (`redaes.training.vision`), stage 1's loss still finds it easier to write the same text for every
pair than to attend to the pictures (docs/log.md). Here the whole model is trained with two heads that are thrown away:
at the token where the verdict will be given, they name the edit that A carries and the edit that B carries. The verdict
itself is left to the stages. Real base models skip this.
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
from redaes.training.formatting import ORDERS, ordered_images
from redaes.training.heads import NO_EDIT, HeadTrainer, run_with_heads
from redaes.training.setup import StageArguments


class ReadingWithHeads(nn.Module):
    """A whole model with a classifier of edits for each picture, on the last token's hidden state.

    Args:
        model: the whole model; trained in place.
        n_operations: classes, "none" included.
    """

    def __init__(self, model: Any, n_operations: int) -> None:
        super().__init__()
        self.network = model.model
        width = model.config.text_config.hidden_size
        self.first = nn.Linear(width, n_operations)
        self.second = nn.Linear(width, n_operations)

    def forward(self, **inputs: Tensor) -> tuple[Tensor, Tensor]:
        """(N, n_operations) logits for picture A and for picture B of N prompts, padded on the left."""
        last = self.network(**inputs).last_hidden_state[:, -1]  # (N, hidden)
        return self.first(last), self.second(last)


class ReadingCollator:
    """Rows of a RED dataset to fast prompts in both orders, ending before the verdict."""

    def __init__(self, processor: ProcessorMixin, operations: list[str]) -> None:
        self.processor = processor
        self.classes = {name: number for number, name in enumerate(operations)}
        messages = prompts.load(prompts.COMPARE["fast"]).messages()
        head: str = processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        self.text = head + WINNER_PREFIX

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Batch B rows.

        Returns:
            ``prompt``: 2B prompts, all forward orders first; ``edits``: (2, 2B) classes of A's and of B's edit.
        """
        records = [record_of(row, "train") for row in rows]
        images = [ordered_images(record, order) for order in ORDERS for record in records]
        carried = [
            [self.classes[NO_EDIT if edit is None else edit.operation] for edit in edits]
            for edits in ([r.pair.edit_first for r in records], [r.pair.edit_second for r in records])
        ]
        batch = self.processor(
            text=[self.text] * len(images), images=images, return_tensors="pt", padding=True, padding_side="left"
        )
        return {
            "prompt": dict(batch),
            "edits": torch.tensor([carried[0] + carried[1], carried[1] + carried[0]]),
        }


class ReadingTrainer(HeadTrainer):
    """``Trainer`` whose loss is that of the two heads."""

    def compute_loss(self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, **_: Any) -> Any:
        """Mean cross-entropy of A's edit and of B's."""
        first, second = model(**inputs["prompt"])
        cross_entropy = nn.functional.cross_entropy
        loss = cross_entropy(first.float(), inputs["edits"][0]) + cross_entropy(second.float(), inputs["edits"][1])
        return (loss / 2, first) if return_outputs else loss / 2


@torch.no_grad()
def _named(network: ReadingWithHeads, batches: Iterator[dict[str, Any]]) -> dict[str, float]:
    """The share of edits that the heads name, of both places."""
    network.eval()
    right: list[Tensor] = []
    for batch in batches:
        for logits, edits in zip(network(**batch["prompt"]), batch["edits"], strict=True):
            right.append(logits.argmax(-1) == edits)
    return {"held_out_edits": sum(map(len, right)), "held_out_edit_accuracy": torch.cat(right).float().mean().item()}


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
        look=_named,
    )
