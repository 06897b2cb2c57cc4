"""FGAesQ's losses: pure functions of tensors that carry gradients (docs/fgaesq.md has the formulas).

Source: Yang et al., arXiv 2603.03907, for what is combined and how; each part's own source stands with it.
"""

from __future__ import annotations

import torch
from torch import Tensor

N_SCORES = 10
"""Scores are distributions over 1 .. 10."""

ALIGN_WEIGHT = 10.0
"""Weight of CTAlign beside RankReg [paper]."""


def expected_score(logits: Tensor) -> Tensor:
    """(..., 10) logits over the scores 1 .. 10 -> (...) the expected score."""
    scores = torch.arange(1, logits.shape[-1] + 1, dtype=logits.dtype, device=logits.device)
    return (logits.softmax(-1) * scores).sum(-1)


def align_loss(first: Tensor, second: Tensor, text: Tensor) -> Tensor:
    """Return CTAlign: mean of 1 - cos(E(x) - E(y), T), T the embedding of a text that compares x with y.

    Args:
        first: (P, d) features of x.
        second: (P, d) features of y.
        text: (P, d) embeddings of the texts.
    """
    return (1 - torch.nn.functional.cosine_similarity(first - second, text, dim=-1)).mean()


def pair_loss(first: Tensor, second: Tensor, probability: Tensor) -> Tensor:
    """Return the cross-entropy of P(x beats y) = e^s_x / (e^s_x + e^s_y) against a probability (Bradley and Terry
    1952).

    Args:
        first: (P,) scores of x.
        second: (P,) scores of y.
        probability: (P,) of x being preferred, in [0, 1]; 0.5 is a tie.
    """
    return torch.nn.functional.binary_cross_entropy_with_logits(first - second, probability)


def listmle_loss(scores: Tensor, quality: Tensor, present: Tensor) -> Tensor:
    """Return ListMLE (Xia et al. 2008): negative log-likelihood of the true order under Plackett-Luce, per place.

    Ties: pictures of equal quality share the set of pictures that they are chosen from (Breslow 1974, for the
    partial likelihood, which has the same form); no order among them is rewarded.

    Args:
        scores: (S, n) predicted.
        quality: (S, n) true; higher is better, equal is a tie.
        present: (S, n) bool; False: padding.

    Returns:
        Scalar: mean over the series of the mean over their pictures.
    """
    left = (quality[:, None, :] <= quality[:, :, None]) & present[:, None, :]  # (S, i, j): j is there when i is chosen
    left = left | torch.eye(scores.shape[1], dtype=torch.bool, device=scores.device)  # for padding rows: no empty set
    choices = scores[:, None, :].masked_fill(~left, -torch.inf).logsumexp(-1)  # (S, n)
    loss = (choices - scores).masked_fill(~present, 0.0)
    return (loss.sum(-1) / present.sum(-1)).mean()


def emd_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return the earth mover's distance of score distributions, r = 2 (NIMA, Talebi and Milanfar 2018).

    Args:
        logits: (B, 10).
        target: (B, 10) distributions.

    Returns:
        Scalar: mean of the root mean square difference of the cumulative distributions.
    """
    difference = logits.softmax(-1).cumsum(-1) - target.cumsum(-1)
    # At a perfect fit the root has no gradient; the small constant gives it one.
    return (difference.square().mean(-1) + 1e-12).sqrt().mean()
