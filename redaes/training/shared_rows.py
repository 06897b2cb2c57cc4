"""Stage 1 and its preference variant, with the parts that rows of a batch share passed through the model once.

TRL gives the model every row by itself, with two pictures and a question for each answer about them. Here the rows of a
batch are packed into one (`redaes.attention.packed_sequences`) inside the model's forward pass, and the results are
arranged as TRL expects them. So every model that TRL calls, policy and reference alike, reads packed rows, and TRL's
losses and figures are unchanged. Pictures that rows share are processed once.
"""

from __future__ import annotations

import functools
import hashlib
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import PartialState
from peft import PeftModel
from torch import Tensor
from transformers import ProcessorMixin

from redaes.attention.packed_sequences import PackedSequences, TokenSequence, packed_sequences
from redaes.attention.token_trees import use_branch_attention, why_no_branches
from redaes.training.patch_cache import PatchCache
from redaes.training.vision_cache import BatchVisionCache, vision_tower

SHOWN = "shown_pictures"
"""Key of a batch's tensor (rows, pictures of a row) that says which of the different pictures each row shows."""


def network_of(model: Any) -> Any:
    """Return the model itself, without a LoRA around it."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def begin_sharing(wanted: bool, models: Sequence[Any], reason: str | None, otherwise: str) -> bool:
    """Make models read packed rows if that is wanted and possible; standard error says if it is not possible.

    Args:
        wanted: ``share_prompts``.
        models: all models that read rows, not wrapped for distribution.
        reason: the setting that prevents it; None: none does.
        otherwise: what is done instead, in words.

    Returns:
        Whether the models read packed rows.
    """
    if not wanted:
        return False
    networks = [network_of(model) for model in models]
    reason = reason or next((why for network in networks if (why := why_no_branches(network)) is not None), None)
    if reason is not None:
        if PartialState().is_main_process:
            sys.stderr.write(f"share_prompts: {reason}; {otherwise}\n")
        return False
    for network in networks:
        use_branch_attention(network)
    return True


@dataclass
class DifferentPictures:
    """TRL's collator, except that each different picture of a batch is processed and passed on once.

    Args:
        collate: TRL's collator for rows with pictures; it may make several rows of an example.
        processor: processor with the image processor that the collator uses.
    """

    collate: Callable[[list[dict[str, Any]]], dict[str, Any]]
    processor: ProcessorMixin

    def __post_init__(self) -> None:
        self._patches = PatchCache(n_kept=0)  # a picture rarely occurs again in the next batch

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the batch of TRL's collator, with ``pixel_values`` and ``image_grid_thw`` of the P different pictures,
        and with `SHOWN`.
        """
        place: dict[tuple[Any, ...], int] = {}
        shown = [
            [
                place.setdefault((one.size, one.mode, hashlib.sha256(one.tobytes()).digest()), len(place))
                for one in example["images"]
            ]
            for example in examples
        ]
        with self._patches.answering_for(self.processor.image_processor):
            batch = dict(self.collate(examples))
        shown *= len(batch["input_ids"]) // len(examples)  # the chosen answers, then the rejected ones
        grid = batch["image_grid_thw"]
        patches = batch["pixel_values"].split(grid.prod(-1).tolist())
        showings = [number for row in shown for number in row]
        firsts = [showings.index(number) for number in range(len(place))]
        batch["image_grid_thw"] = grid[firsts]
        batch["pixel_values"] = torch.cat([patches[first] for first in firsts])
        batch[SHOWN] = torch.tensor(shown)
        return batch


@dataclass(frozen=True)
class PackedRows:
    """B padded rows of T tokens in one packed row, and the places of their predictions in it."""

    packed: PackedSequences
    labels: Tensor
    """The token that each place has to predict, (1, L); -100: none."""
    places: Tensor
    """The place that predicts the next token of a row, (B, T - 1); -1: none."""

    def unpacked(self, values: Tensor) -> Tensor:
        """Return the values (1, L) of predictions as (B, T - 1), with 0 where there is no prediction."""
        return values[0][self.places.clamp(min=0)].masked_fill(self.places < 0, 0)


def packed_rows(network: Any, ids: Tensor, mask: Tensor, labels: Tensor, shown: Tensor, grids: Tensor) -> PackedRows:
    """Pack padded rows for a model.

    Args:
        network: a Qwen-VL without a LoRA around it.
        ids: token ids, (B, T).
        mask: (B, T), 1 where a token counts.
        labels: tokens to predict, (B, T), -100 elsewhere, as in TRL.
        shown: numbers of the pictures, (B, pictures of a row).
        grids: grids of the pictures, (pictures, 3).
    """
    all_ids, seen, wanted = ids.cpu(), mask.bool().cpu(), (labels != -100).cpu()
    columns = [row.nonzero()[:, 0] for row in seen]
    scored = [row[column] for row, column in zip(wanted, columns, strict=True)]
    # What follows the last prediction is not read, so the last token never is.
    kept = [max(1, int(one.nonzero()[-1])) if bool(one.any()) else len(one) for one in scored]
    sequences = [
        TokenSequence(row[column[:n]].tolist(), tuple(pictures))
        for row, column, n, pictures in zip(all_ids, columns, kept, shown.tolist(), strict=True)
    ]
    packed = packed_sequences(network, sequences, grids, repeat_last=True)
    n_places = packed.inputs["input_ids"].shape[1]
    places = torch.full((ids.shape[0], ids.shape[1] - 1), -1)
    targets = torch.full((n_places,), -100)
    for row, (column, one, place) in enumerate(zip(columns, scored, packed.places, strict=True)):
        predicted = one[1:].nonzero()[:, 0]  # the token after each place
        at = place[predicted]
        places[row, column[predicted + 1] - 1] = at
        targets[at] = all_ids[row, column[predicted + 1]]
    return PackedRows(packed, targets[None].to(ids.device), places.to(ids.device))


class PackedForward:
    """A forward pass that packs the rows of a batch when TRL asks for their log-probabilities.

    Args:
        network: a Qwen-VL without a LoRA around it, with TRL's ``fused_lm_head``. Its ``forward`` is replaced
            permanently.
    """

    def __init__(self, network: Any) -> None:
        self._network = network
        self._plain = network.forward
        self._visual = vision_tower(network)

        @functools.wraps(type(network).forward)  # `generate` inspects its parameters
        def forward(_: Any, *given: Any, **named: Any) -> Any:
            return self._read(*given, **named)

        network.forward = types.MethodType(forward, network)

    def pack(self, batch: Mapping[str, Any]) -> PackedRows:
        """Return a batch of `DifferentPictures` as the packed row that the model reads."""
        labels = batch.get("labels")
        if labels is None:
            labels = batch["input_ids"].masked_fill(batch["completion_mask"] == 0, -100)
        return packed_rows(
            self._network,
            batch["input_ids"],
            batch["attention_mask"],
            labels,
            batch[SHOWN],
            batch["image_grid_thw"],
        )

    def _read(self, *given: Any, **named: Any) -> Any:
        if SHOWN not in named:
            return self._plain(*given, **named)
        rows = self.pack(named)
        pictures = {name: named[name] for name in ("pixel_values", "image_grid_thw")}
        inputs = {**rows.packed.inputs, "place": torch.tensor(rows.packed.shown)}
        with BatchVisionCache(self._visual, pictures) as cache:
            found = cache.forward(self._plain, inputs, fused_lm_head=True, shift_labels=rows.labels)
        values = {
            name: rows.unpacked(value)
            for name, value in found.items()
            if isinstance(value, Tensor) and value.shape == rows.labels.shape
        }
        n_tokens = values["label_mask"].sum().clamp(min=1)
        return type(found)(**{**values, "loss": -values["log_probs"].sum() / n_tokens})


class SharedRows:
    """Mixin for TRL's trainers of rows with pictures; their ``args`` have ``share_prompts``.

    Attributes:
        shares_prompts: whether the rows of a batch are packed. If the model or the settings do not allow it, TRL's own
            code runs, and standard error has the reason.
    """

    args: Any
    model: Any
    data_collator: Any

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        reference = getattr(self, "ref_model", None)
        models = [self.model] if reference is None else [self.model, reference]
        self.shares_prompts = begin_sharing(
            self.args.share_prompts, models, self.why_apart(), "each row is read with pictures of its own"
        )
        self._packed: list[PackedForward] = []
        if self.shares_prompts:
            trainer: Any = self
            self.data_collator = DifferentPictures(self.data_collator, trainer.processing_class)
            self._packed = [PackedForward(network_of(model)) for model in models]

    def why_apart(self) -> str | None:
        """Return the setting that prevents packing rows; None: none does."""
        if getattr(self, "aux_loss_enabled", False):
            return "the loss that balances experts counts the tokens of every row (router_aux_loss_coef)"
        return None

    def as_read(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return the parts of a batch that pass the language model (``input_ids``) and the vision tower
        (``pixel_values``).
        """
        if not self.shares_prompts:
            return batch
        return {**self._packed[0].pack(batch).packed.inputs, "pixel_values": batch["pixel_values"]}
