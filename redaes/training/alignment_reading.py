"""The forward passes of stage 2: over each prompt by itself, or over a whole batch in one packed row.

A batch shows its pictures many times: in two orders, alone, and with a whole answer; pairs of a group share pictures.
In a packed row (`redaes.attention.packed_sequences`) common beginnings of prompts (the first picture, both pictures,
with a fast answer the question too) occur once, and logits are computed only where the losses need them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from redaes.attention.packed_sequences import PackedSequences, TokenSequence, packed_sequences
from redaes.training.vision_cache import BatchVisionCache

Batch = Mapping[str, Any]
"""A batch as `redaes.training.alignment.AlignmentCollator` makes it; a part whose loss has no weight is left out."""


@dataclass(frozen=True)
class AlignmentLogits:
    """The logits that stage 2's losses need; None: the part is not in the batch."""

    verdicts: Tensor | None
    """Logits (2B, V) at the verdict token, all forward orders first."""
    scores: Tensor | None
    """Logits (P, V) at the score token."""
    nll: Tensor | None
    """Mean negative log-likelihood over the tokens of the answers."""


def read_padded(model: Any, cache: BatchVisionCache, batch: Batch) -> AlignmentLogits:
    """Run one forward pass for each kind of prompt, and return the logits."""
    verdicts, scores = (
        cache.forward(model, batch[kind], logits_to_keep=1).logits[:, -1] if kind in batch else None
        for kind in ("compare", "score")
    )
    return AlignmentLogits(verdicts, scores, cache.forward(model, batch["answer"]).loss if "answer" in batch else None)


@dataclass(frozen=True)
class PackedAlignment:
    """A batch in one packed row, and the places whose logits the losses need."""

    packed: PackedSequences
    looked_at: Tensor
    """Places in the row, shape (n,): before the verdicts, before the scores, before each token of the answers."""
    n_verdicts: int
    n_scores: int
    answer: Tensor
    """The tokens of the answers, one after the other."""

    @property
    def inputs(self) -> dict[str, Any]:
        """The inputs of `BatchVisionCache.forward`."""
        return {**self.packed.inputs, "place": torch.tensor(self.packed.shown)}


def pack_batch(network: Any, batch: Batch) -> PackedAlignment:
    """Pack a batch for a model.

    Args:
        network: a Qwen-VL without a LoRA around it.
        batch: batch of the collator.
    """
    device = batch["delta"].device
    questions = [_sequences(batch[kind], 0) if kind in batch else [] for kind in ("compare", "score")]
    answers = _sequences(batch["answer"], 1) if "answer" in batch else []  # the last token predicts nothing
    packed = packed_sequences(network, [*questions[0], *questions[1], *answers], batch["pictures"]["image_grid_thw"])
    n_questions = sum(map(len, questions))
    places = [*packed.places[:n_questions]]
    looked_at = [place[-1:] for place in places]
    targets = [torch.empty(0, dtype=torch.long, device=device)]
    if answers:
        labels = batch["answer"]["labels"]
        n_tokens = (labels >= 0).sum(1).tolist()
        looked_at += [place[-n:] for place, n in zip(packed.places[n_questions:], n_tokens, strict=True)]
        targets = [row[-n:] for row, n in zip(labels, n_tokens, strict=True)]
    return PackedAlignment(
        packed, torch.cat(looked_at).to(device), len(questions[0]), len(questions[1]), torch.cat(targets)
    )


def _sequences(prompts: Mapping[str, Tensor], n_left_out: int) -> list[TokenSequence]:
    """Return the rows of prompts that all show the same number of pictures, without their last ``n_left_out``
    tokens.
    """
    shown = prompts["place"].view(len(prompts["input_ids"]), -1).tolist()
    rows = zip(prompts["input_ids"].cpu(), prompts["attention_mask"].bool().cpu(), shown, strict=True)
    return [TokenSequence(ids[seen].tolist()[: -n_left_out or None], tuple(pictures)) for ids, seen, pictures in rows]


def read_packed(model: Any, cache: BatchVisionCache, network: Any, batch: Batch) -> AlignmentLogits:
    """Run one forward pass over the packed row, and return the logits.

    Args:
        model: the model to call.
        cache: cache of its vision tower.
        network: the model itself, without a LoRA around it.
        batch: batch of the collator.
    """
    row = pack_batch(network, batch)
    logits = cache.forward(model, row.inputs, logits_to_keep=row.looked_at, use_cache=False).logits[0]
    verdicts, scores, answers = logits.split([row.n_verdicts, row.n_scores, len(row.answer)])
    return AlignmentLogits(
        verdicts if row.n_verdicts else None,
        scores if row.n_scores else None,
        cross_entropy(answers.float(), row.answer) if len(row.answer) else None,
    )
