"""Stage 1 and the preferences with what the rows of a batch share read once.

TRL gives the model every row by itself: two pictures and a question again for each answer about them. Here the rows of
a batch are packed into one (`redaes.attention.packed_sequences`) inside the model's forward pass, and what comes out is
laid out as TRL expects it. So every model that TRL asks, the policy and its reference alike, reads packed rows, and
TRL's losses and figures are what they are. Pictures that rows share are processed and looked at once.
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
"""In a batch, (rows, pictures of a row): which of the batch's different pictures each row shows."""


def network_of(model: Any) -> Any:
    """Return the model itself, without a LoRA around it."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def begin_sharing(wanted: bool, models: Sequence[Any], reason: str | None, otherwise: str) -> bool:
    """Have models take packed rows where that is wanted and can be; standard error says where it cannot.

    Args:
        wanted: ``share_prompts``.
        models: all that read rows, without what distributes them.
        reason: what in the settings keeps them from it; None: nothing.
        otherwise: what is done instead, in words.

    Returns:
        Whether they do.
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
    """A collator of TRL's, with each different picture of a batch processed and handed on once.

    Args:
        collate: TRL's, for rows with pictures; its rows may be the examples' several times over.
        processor: whose image processor it uses.
    """

    collate: Callable[[list[dict[str, Any]]], dict[str, Any]]
    processor: ProcessorMixin

    def __post_init__(self) -> None:
        self._patches = PatchCache(n_kept=0)  # a picture seldom comes again in the next batch

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """Return what TRL's collator makes, but ``pixel_values`` and ``image_grid_thw`` of the P different pictures,
        and `SHOWN`, (rows, pictures of a row): which of them each row shows."""
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
        shown *= len(batch["input_ids"]) // len(examples)  # chosen answers, then those rejected
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
    """B padded rows of T tokens in one packed row, and where their predictions are in it."""

    packed: PackedSequences
    labels: Tensor
    """(1, L) the token that each place is to predict, -100 where none is asked for."""
    places: Tensor
    """(B, T - 1) the place that predicts the next token of a row; -1 where none is asked for."""

    def unpacked(self, values: Tensor) -> Tensor:
        """Return (1, L) values of the predictions as (B, T - 1), 0 where none is asked for."""
        return values[0][self.places.clamp(min=0)].masked_fill(self.places < 0, 0)


def packed_rows(network: Any, ids: Tensor, mask: Tensor, labels: Tensor, shown: Tensor, grids: Tensor) -> PackedRows:
    """Pack padded rows for a model.

    Args:
        network: a Qwen-VL, no LoRA around it.
        ids: (B, T).
        mask: (B, T), 1 where a token counts.
        labels: (B, T) what is to be predicted, -100 elsewhere, as TRL has it.
        shown: (B, pictures of a row) numbers of the pictures.
        grids: (pictures, 3).
    """
    all_ids, seen, wanted = ids.cpu(), mask.bool().cpu(), (labels != -100).cpu()
    columns = [row.nonzero()[:, 0] for row in seen]
    scored = [row[column] for row, column in zip(wanted, columns, strict=True)]
    # What comes behind the last prediction is not read; the last token is never.
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
        predicted = one[1:].nonzero()[:, 0]  # the token after each
        at = place[predicted]
        places[row, column[predicted + 1] - 1] = at
        targets[at] = all_ids[row, column[predicted + 1]]
    return PackedRows(packed, targets[None].to(ids.device), places.to(ids.device))


class PackedForward:
    """A model's forward pass that reads the rows of a batch packed, where TRL asks for their log-probabilities.

    Args:
        network: a Qwen-VL, no LoRA around it, with TRL's ``fused_lm_head``. Its ``forward`` is replaced for good.
    """

    def __init__(self, network: Any) -> None:
        self._network = network
        self._plain = network.forward
        self._visual = vision_tower(network)

        @functools.wraps(type(network).forward)  # whose parameters `generate` looks at
        def forward(_: Any, *given: Any, **named: Any) -> Any:
            return self._read(*given, **named)

        network.forward = types.MethodType(forward, network)

    def pack(self, batch: Mapping[str, Any]) -> PackedRows:
        """Return a batch of `DifferentPictures` as the model reads it."""
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
        shares_prompts: whether the rows of a batch are read packed. Where the model or the settings do not allow it,
            TRL's own way is taken, and standard error has the reason.
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
        """Return what in the settings keeps rows from being packed; None: nothing."""
        if getattr(self, "aux_loss_enabled", False):
            return "the loss that balances experts counts the tokens of every row (router_aux_loss_coef)"
        return None

    def as_read(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return what of a batch passes the language model (``input_ids``) and the vision tower (``pixel_values``)."""
        if not self.shares_prompts:
            return batch
        return {**self._packed[0].pack(batch).packed.inputs, "pixel_values": batch["pixel_values"]}
