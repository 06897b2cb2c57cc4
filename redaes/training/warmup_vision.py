"""The embedded model's first warm-up: teach its vision tower to see, before it is asked to speak.

A vision tower that starts from random weights learns next to nothing from a language loss in any time that a CPU
has (docs/log.md). Here it is trained by itself, with two small heads that are thrown away: which edit a picture
carries, and which picture of a pair is better. Labels are those of the RED pairs; real base models skip this.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import TrainingArguments

from redaes.records import record_of
from redaes.training.alignment_losses import preference_loss, target_probability
from redaes.training.stage_arguments import StageArguments
from redaes.training.vision_cache import PictureBatch
from redaes.training.warmup_heads import NO_EDIT, HeadTrainer, run_with_heads
from redaes.types import TAU


class VisionWithHeads(nn.Module):
    """A vision tower, a classifier of edits and a scorer, both on the mean of a picture's tokens.

    The mean and nothing else, because the language model's attention can take a mean as well.

    Args:
        model: the whole vision-language model; its vision tower is trained in place.
        n_operations: classes, "none" included.
    """

    def __init__(self, model: Any, n_operations: int) -> None:
        super().__init__()
        self.visual = model.model.visual
        self.merge = model.config.vision_config.spatial_merge_size**2
        width = model.config.vision_config.out_hidden_size
        self.norm = nn.LayerNorm(width)
        self.operation = nn.Linear(width, n_operations)
        self.score = nn.Linear(width, 1)

    def forward(self, pixel_values: Tensor, image_grid_thw: Tensor) -> tuple[Tensor, Tensor]:
        """(P, n_operations) logits and (P,) scores of P pictures, given as the processor gives them."""
        tokens = self.visual(pixel_values, grid_thw=image_grid_thw).pooler_output
        pictures = torch.split(tokens, (image_grid_thw.prod(-1) // self.merge).tolist())
        pooled = self.norm(torch.stack([picture.mean(0) for picture in pictures]))
        return self.operation(pooled), self.score(pooled).squeeze(-1)


class VisionCollator:
    """Rows of a RED dataset to their different pictures, the edits they carry, and the pairs between them."""

    def __init__(self, processor: Any, operations: list[str]) -> None:
        self.processor = processor
        self.classes = {name: number for number, name in enumerate(operations)}

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Batch B rows with P different pictures.

        Returns:
            What the vision tower takes, ``operation`` (P,), ``singles`` (2, B) and ``delta`` (B,) in points.
        """
        records = [record_of(row, "train") for row in rows]
        pictures = PictureBatch(self.processor, records)
        carried = [NO_EDIT] * len(pictures.place)
        for record in records:
            for ref, edit in (
                (record.pair.first, record.pair.edit_first),
                (record.pair.second, record.pair.edit_second),
            ):
                carried[pictures.place[ref.id]] = NO_EDIT if edit is None else edit.operation
        shown = [(record.pair.first.id, record.pair.second.id) for record in records]
        return {
            **pictures.tensors,
            "operation": torch.tensor([self.classes[name] for name in carried]),
            "singles": torch.tensor([[pictures.place[pair[side]] for pair in shown] for side in range(2)]),
            "delta": torch.tensor([record.pair.delta for record in records], dtype=torch.float32),
        }


class VisionTrainer(HeadTrainer):
    """``Trainer`` whose loss is that of the two heads."""

    def compute_loss(self, model: nn.Module, inputs: dict[str, Tensor], return_outputs: bool = False, **_: Any) -> Any:
        """Cross-entropy of the edits plus soft cross-entropy of the preferences."""
        logits, scores = model(inputs["pixel_values"], inputs["image_grid_thw"])
        first, second = inputs["singles"]
        wanted = target_probability(inputs["delta"], TAU)
        loss = nn.functional.cross_entropy(logits.float(), inputs["operation"])
        loss = loss + preference_loss((scores[first] - scores[second]).float(), wanted)
        return (loss, logits) if return_outputs else loss


@torch.no_grad()
def settle(model: Any, batch: dict[str, Tensor]) -> None:
    """Centre the picture tokens and bring them to the size of text tokens.

    After the warm-up they are some 50 times as large, and text would be lost beside them. The change is made in the
    last linear layers, so it costs nothing: tokens to the spread of the text embedding, each of the deepstack
    levels, which are added to tokens further up, to half of it.

    Args:
        model: the whole model; changed in place.
        batch: pictures to measure on, as `VisionCollator` makes them.
    """
    visual = model.model.visual
    wanted = model.get_input_embeddings().weight.std()
    seen = visual(batch["pixel_values"], grid_thw=batch["image_grid_thw"])
    common = seen.pooler_output.mean(0)
    gain = wanted / (seen.pooler_output - common).std()
    last = visual.merger.linear_fc2
    last.bias.sub_(common).mul_(gain)
    last.weight.mul_(gain)
    for tokens, merger in zip(seen.deepstack_features, visual.deepstack_merger_list, strict=True):
        gain = wanted / 2 / tokens.std()
        merger.linear_fc2.weight.mul_(gain)
        merger.linear_fc2.bias.mul_(gain)


@torch.no_grad()
def held_out_figures(network: VisionWithHeads, batches: Iterator[dict[str, Tensor]]) -> dict[str, float]:
    """How well the heads see: share of edits named, and of decided pairs put in the right order."""
    named: list[Tensor] = []
    right: list[Tensor] = []
    network.eval()
    for batch in batches:
        logits, scores = network(batch["pixel_values"], batch["image_grid_thw"])
        named.append(logits.argmax(-1) == batch["operation"])
        first, second = batch["singles"]
        decided = batch["delta"] != 0
        right.append(((scores[first] - scores[second]) * batch["delta"] > 0)[decided])
    return {
        "held_out_pictures": sum(map(len, named)),
        "held_out_edit_accuracy": torch.cat(named).float().mean().item(),
        "held_out_pairs": sum(map(len, right)),
        "held_out_pair_accuracy": torch.cat(right).float().mean().item(),
    }


def run_vision(arguments: StageArguments, config: TrainingArguments) -> Path:
    """Train the vision tower of ``arguments.model`` and leave the whole model with it.

    Returns:
        The folder with the model. A finished run is not repeated.
    """
    return run_with_heads(
        "warmup_vision",
        arguments,
        config,
        network=VisionWithHeads,
        collator=VisionCollator,
        trainer_class=VisionTrainer,
        evaluate=held_out_figures,
        settle=settle,
    )
