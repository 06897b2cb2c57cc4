"""The embedded model's first warm-up: train its vision tower before the language model.

A vision tower that starts from random weights learns almost nothing from a language loss in the time of a CPU
(docs/log.md). Here it is trained by itself, with two small heads that are discarded afterwards: one names the edit of a
picture, the other says which picture of a pair is better. Labels are those of the RED pairs; real base models skip
this.

With two optional tasks it learns places too (`redaes.training.warmup_places`).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import TrainingArguments

from redaes import prompts
from redaes.answers import WINNER_PREFIX
from redaes.errors import TrainingError
from redaes.models.nano.same_place import favour_same_place
from redaes.records import PairRecord, record_of
from redaes.training import warmup_places
from redaes.training.alignment_losses import preference_loss, target_probability
from redaes.training.formatting import chat_text, decode
from redaes.training.stage_arguments import StageArguments
from redaes.training.stage_model import base_processor
from redaes.training.vision_cache import PictureBatch
from redaes.training.warmup_heads import NO_EDIT, HeadTrainer, run_with_heads
from redaes.types import SIDES, TAU

N_KEY = 64
"""Length of the key by which a cell is matched."""


@dataclass
class VisionConfig(TrainingArguments):
    """``TrainingArguments``, and the weights of the tasks about places."""

    place_weight: float = field(
        default=0.0,
        metadata={
            "help": "Loss weight of predicting, from each token, the colour of its cell times cosines of its position."
        },
    )
    matching_weight: float = field(
        default=0.0,
        metadata={
            "help": "Loss weight of finding, among the tokens of two views of a picture, the cells that show the "
            "same place."
        },
    )
    same_place_pixels: int = field(
        default=0,
        metadata={
            "help": "Initialise some heads of the language model so that they look at the same place of the other "
            "picture, for square pictures of this area in pixels, which is the area that the reading warm-up "
            "starts with. 0 means none."
        },
    )
    matching_pictures: int = field(
        default=8, metadata={"help": "Number of pictures of a batch of which two views are made."}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("place_weight", "matching_weight", "same_place_pixels"):
            if getattr(self, name) < 0:
                raise TrainingError(f"{name} is {getattr(self, name)}; give 0 or more")
        if self.matching_pictures < 1:
            raise TrainingError(f"matching_pictures is {self.matching_pictures}; give 1 or more, or matching_weight 0")


@dataclass(frozen=True)
class VisionAnswers:
    """Outputs of the heads for P pictures and views."""

    operation: Tensor
    """Logits of the edits, (P, n_operations)."""
    score: Tensor
    """(P,)"""
    layouts: Sequence[Tensor]
    """Predicted layouts (tokens, `N_LAYOUT`) of each level of tokens, views included; empty: not computed."""
    keys: Sequence[tuple[Tensor, Tensor]]
    """Keys (cells, `N_KEY`) of both views of each picture."""


class VisionWithHeads(nn.Module):
    """A vision tower, a classifier of edits and a scorer, both on the mean of a picture's tokens.

    Only the mean is used, because the language model's attention can compute a mean as well.

    Args:
        model: the whole vision-language model; its vision tower is trained in place.
        n_operations: classes, "none" included.
        tells_places: whether each token, also of each deepstack level, predicts colour and place.
        matches: whether cells of two views are matched.
    """

    def __init__(self, model: Any, n_operations: int, *, tells_places: bool = False, matches: bool = False) -> None:
        super().__init__()
        self.visual = model.model.visual
        self.merge = model.config.vision_config.spatial_merge_size**2
        width = model.config.vision_config.out_hidden_size
        self.norm = nn.LayerNorm(width)
        self.operation = nn.Linear(width, n_operations)
        self.score = nn.Linear(width, 1)
        n_levels = 1 + len(self.visual.deepstack_merger_list)
        self.layouts = nn.ModuleList(
            nn.Linear(width, warmup_places.N_LAYOUT) for _ in range(n_levels if tells_places else 0)
        )
        self.key = nn.Linear(width, N_KEY) if matches else None

    def forward(self, pixel_values: Tensor, image_grid_thw: Tensor, n_views: int = 0) -> VisionAnswers:
        """Return the heads' outputs for pictures in the processor's form.

        Args:
            pixel_values: pixel values of P pictures, then of the views.
            image_grid_thw: grids of the pictures and views, (P + n_views, 3).
            n_views: number of views; two consecutive ones are of the same picture.
        """
        seen = self.visual(pixel_values, grid_thw=image_grid_thw)
        counts = (image_grid_thw.prod(-1) // self.merge).tolist()
        pictures = torch.split(seen.pooler_output, counts)
        n_pictures = len(pictures) - n_views
        pooled = self.norm(torch.stack([picture.mean(0) for picture in pictures[:n_pictures]]))
        levels = (seen.pooler_output, *seen.deepstack_features)
        told = [tell(tokens) for tell, tokens in zip(self.layouts, levels, strict=False)]
        keys = [] if self.key is None else [self.key(view) for view in pictures[n_pictures:]]
        return VisionAnswers(
            self.operation(pooled), self.score(pooled).squeeze(-1), told, list(zip(keys[::2], keys[1::2], strict=True))
        )


class VisionCollator:
    """Turn rows of a RED dataset into their different pictures, the edits of these, and the pairs between them.

    Args:
        processor: processor of the model.
        operations: names of the classes.
        n_matched: number of pictures of which two views are made as well.
    """

    def __init__(self, processor: Any, operations: list[str], *, n_matched: int = 0) -> None:
        self.processor = processor
        self.n_matched = n_matched
        self.classes = {name: number for number, name in enumerate(operations)}

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the batch B rows with P different pictures.

        Returns:
            The inputs of the vision tower, ``operation`` (P,), ``singles`` (2, B) and ``delta`` (B,) in points; with
            views also ``n_views`` and ``same``, the matching cells from `warmup_places.same_cells`.
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
            **(self._with_views(records, pictures) if self.n_matched else {}),
            "operation": torch.tensor([self.classes[name] for name in carried]),
            "singles": torch.tensor([[pictures.place[pair[side]] for pair in shown] for side in range(2)]),
            "delta": torch.tensor([record.pair.delta for record in records], dtype=torch.float32),
        }

    def _with_views(self, records: Sequence[PairRecord], pictures: PictureBatch) -> dict[str, Any]:
        """Return the pictures and two views of some of them; the choice and the views are derived from the rows
        alone.
        """
        chance = random.Random("/".join(record.pair.id for record in records))
        drawn = chance.sample(records, k=min(self.n_matched, len(records)))
        images, windows = [], []
        for record in drawn:
            image = decode(record, chance.choice(SIDES))
            windows.append((warmup_places.draw_view(chance), warmup_places.draw_view(chance)))
            images += [warmup_places.disguised(view.see(image), chance) for view in windows[-1]]
        views = self.processor.image_processor(images=images, return_tensors="pt")
        merge = self.processor.image_processor.merge_size
        cells = warmup_places.cells_of(views["image_grid_thw"], merge)
        pairs = zip(windows, cells[::2], cells[1::2], strict=True)
        return {
            **{name: torch.cat([tensor, views[name]]) for name, tensor in pictures.tensors.items()},
            "n_views": len(images),
            "same": [warmup_places.same_cells(*two, (one, other)) for two, one, other in pairs],
        }


class VisionTrainer(HeadTrainer):
    """``Trainer`` whose loss is that of the heads; the parts about places are logged under their own names."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._parts: dict[str, list[float]] = {}

    def compute_loss(self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, **_: Any) -> Any:
        """Return the sum of the edits' cross-entropy, the preferences' soft cross-entropy, and the losses of the tasks
        about places.
        """
        found: VisionAnswers = model(inputs["pixel_values"], inputs["image_grid_thw"], inputs.get("n_views", 0))
        first, second = inputs["singles"]
        wanted = target_probability(inputs["delta"], TAU)
        loss = nn.functional.cross_entropy(found.operation.float(), inputs["operation"])
        loss = loss + preference_loss((found.score[first] - found.score[second]).float(), wanted)
        for name, weight, part in self._about_places(found, inputs):
            loss = loss + weight * part
            self._parts.setdefault(name, []).append(part.item())
        return (loss, found.operation) if return_outputs else loss

    def _about_places(self, found: VisionAnswers, inputs: dict[str, Any]) -> Iterator[tuple[str, float, Tensor]]:
        if found.layouts:
            merge = self.accelerator.unwrap_model(self.model).visual.spatial_merge_size
            wanted = warmup_places.layout_targets(inputs["pixel_values"], inputs["image_grid_thw"], merge)
            losses = [warmup_places.layout_loss(told.float(), wanted) for told in found.layouts]
            yield "place", self.args.place_weight, torch.stack(losses).mean()
        if found.keys:
            yield "matching", self.args.matching_weight, warmup_places.matching_loss(found.keys, inputs["same"])

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the mean of each part since the last log, of this process."""
        if "loss" in logs and self._parts:
            logs = {**logs, **{name: sum(values) / len(values) for name, values in self._parts.items()}}
            self._parts.clear()
        super().log(logs, start_time)


@torch.no_grad()
def settle(model: Any, batch: dict[str, Tensor]) -> None:
    """Centre the picture tokens and bring them to the size of text tokens.

    After the warm-up they are some 50 times as large, so text would be lost beside them. The change is made in the last
    linear layers, so it costs nothing: tokens get the spread of the text embedding, and the deepstack levels, which are
    added to tokens in later layers, half of it.

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


def offset_of_pictures(model: Any, processor: Any, pixels: int) -> int:
    """Return the number of positions from a cell of picture A to the same cell of B, in the fast question about square
    pictures.

    Args:
        model: the whole model.
        processor: processor of the model.
        pixels: area of each picture.
    """
    pictures, token = processor.image_processor, processor.image_token
    cells = max(1, round(pixels**0.5 / pictures.patch_size / pictures.merge_size))  # cells along a side
    n_cells = cells**2
    text = chat_text(processor, prompts.load(prompts.COMPARE["fast"]), WINNER_PREFIX).replace(token, token * n_cells)
    ids = processor.tokenizer([text], return_tensors="pt")["input_ids"]
    shown = ids == processor.image_token_id
    grid = torch.tensor([[1, cells * pictures.merge_size, cells * pictures.merge_size]] * 2)
    positions, _ = model.model.get_rope_index(ids, mm_token_type_ids=shown.int(), image_grid_thw=grid)
    first, second = positions[0, 0][shown[0]][[0, n_cells]].tolist()
    return int(second - first)


@torch.no_grad()
def held_out_figures(network: VisionWithHeads, batches: Iterator[dict[str, Any]]) -> dict[str, float]:
    """Return the accuracies of the heads: the share of edits named correctly, and of decided pairs in the right
    order.
    """
    named: list[Tensor] = []
    right: list[Tensor] = []
    network.eval()
    places: dict[str, list[float]] = {}
    for batch in batches:
        found: VisionAnswers = network(batch["pixel_values"], batch["image_grid_thw"], batch.get("n_views", 0))
        named.append(found.operation.argmax(-1) == batch["operation"])
        first, second = batch["singles"]
        decided = batch["delta"] != 0
        right.append(((found.score[first] - found.score[second]) * batch["delta"] > 0)[decided])
        if found.layouts:
            merge = network.visual.spatial_merge_size
            wanted = warmup_places.layout_targets(batch["pixel_values"], batch["image_grid_thw"], merge)
            left = [warmup_places.layout_loss(told, wanted).item() for told in found.layouts]
            places.setdefault("held_out_place_loss", []).append(sum(left) / len(left))
        if found.keys:
            part = warmup_places.matching_loss(found.keys, batch["same"]).item()
            places.setdefault("held_out_matching_loss", []).append(part)
    return {
        "held_out_pictures": sum(map(len, named)),
        "held_out_edit_accuracy": torch.cat(named).float().mean().item(),
        "held_out_pairs": sum(map(len, right)),
        "held_out_pair_accuracy": torch.cat(right).float().mean().item(),
        **{name: sum(values) / len(values) for name, values in places.items()},
    }


def run_vision(arguments: StageArguments, config: VisionConfig) -> Path:
    """Train the vision tower of ``arguments.model``, and save the whole model with it.

    Returns:
        The folder with the model. A finished run is not repeated.
    """

    def settled(model: Any, batch: dict[str, Any]) -> None:
        settle(model, batch)
        if config.same_place_pixels:
            offset = offset_of_pictures(model, base_processor(arguments), config.same_place_pixels)
            favour_same_place(model, offset)

    return run_with_heads(
        "warmup_vision",
        arguments,
        config,
        network=partial(VisionWithHeads, tells_places=config.place_weight > 0, matches=config.matching_weight > 0),
        collator=partial(VisionCollator, n_matched=config.matching_pictures if config.matching_weight > 0 else 0),
        trainer_class=VisionTrainer,
        evaluate=held_out_figures,
        settle=settled,
    )
