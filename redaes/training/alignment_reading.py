"""Stage 2's questions and answers read by the model: each by itself, or all of a batch in one packed row.

A batch shows its pictures again and again: in two orders, alone, and with a whole answer; pairs of a group share them.
What rows have in common from their beginnings (the first picture, both pictures, and with a fast answer the question
too) stands once in a packed row (`redaes.attention.packed_sequences`), and logits are made where the losses look.
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
"""As `redaes.training.alignment.AlignmentCollator` makes it; a part whose loss has no weight is left out."""


@dataclass(frozen=True)
class AlignmentLogits:
    """What stage 2's losses look at; None: not in the batch."""

    verdicts: Tensor | None
    """(2B, V) where the verdict is to follow, all forward orders first."""
    scores: Tensor | None
    """(P, V) where the score is to follow."""
    nll: Tensor | None
    """Mean over the tokens of the answers."""


def read_padded(model: Any, cache: BatchVisionCache, batch: Batch) -> AlignmentLogits:
    """Return a forward pass for each kind of prompts."""
    verdicts, scores = (
        cache.forward(model, batch[kind], logits_to_keep=1).logits[:, -1] if kind in batch else None
        for kind in ("compare", "score")
    )
    return AlignmentLogits(verdicts, scores, cache.forward(model, batch["answer"]).loss if "answer" in batch else None)


@dataclass(frozen=True)
class PackedAlignment:
    """A batch in one row, and where the losses look."""

    packed: PackedSequences
    looked_at: Tensor
    """(n,) places in the row: before the verdicts, before the scores, before each token of the answers."""
    n_verdicts: int
    n_scores: int
    answer: Tensor
    """Tokens of the answers, one after the other."""

    @property
    def inputs(self) -> dict[str, Any]:
        """What `BatchVisionCache.forward` takes."""
        return {**self.packed.inputs, "place": torch.tensor(self.packed.shown)}


def pack_batch(network: Any, batch: Batch) -> PackedAlignment:
    """Pack a batch for a model.

    Args:
        network: a Qwen-VL, no LoRA around it.
        batch: of the collator.
    """
    device = batch["delta"].device
    questions = [_sequences(batch[kind], 0) if kind in batch else [] for kind in ("compare", "score")]
    answers = _sequences(batch["answer"], 1) if "answer" in batch else []  # nothing is asked of the last token
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
    """Return the rows of prompts, which all show as many pictures; their last tokens may be left out."""
    shown = prompts["place"].view(len(prompts["input_ids"]), -1).tolist()
    rows = zip(prompts["input_ids"].cpu(), prompts["attention_mask"].bool().cpu(), shown, strict=True)
    return [TokenSequence(ids[seen].tolist()[: -n_left_out or None], tuple(pictures)) for ids, seen, pictures in rows]


def read_packed(model: Any, cache: BatchVisionCache, network: Any, batch: Batch) -> AlignmentLogits:
    """Return one forward pass.

    Args:
        model: to be called.
        cache: of its vision tower.
        network: the model itself, no LoRA around it.
        batch: of the collator.
    """
    row = pack_batch(network, batch)
    logits = cache.forward(model, row.inputs, logits_to_keep=row.looked_at, use_cache=False).logits[0]
    verdicts, scores, answers = logits.split([row.n_verdicts, row.n_scores, len(row.answer)])
    return AlignmentLogits(
        verdicts if row.n_verdicts else None,
        scores if row.n_scores else None,
        cross_entropy(answers.float(), row.answer) if len(row.answer) else None,
    )
