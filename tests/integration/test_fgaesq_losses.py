"""FGAesQ's losses against numpy references, their limits, and their gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import expit, logsumexp, softmax

from redaes.models.fgaesq.losses import align_loss, emd_loss, expected_score, listmle_loss, pair_loss

RNG = np.random.default_rng(0)


def tensor(values: object, grad: bool = False) -> torch.Tensor:
    return torch.tensor(np.asarray(values, dtype=np.float64), requires_grad=grad)


def test_expected_score_is_the_mean_over_1_to_10() -> None:
    logits = RNG.normal(size=(4, 10))
    assert np.allclose(expected_score(tensor(logits)), softmax(logits, axis=-1) @ np.arange(1, 11))


def test_align_loss_is_one_minus_the_cosine() -> None:
    x, y, t = RNG.normal(size=(3, 5, 8))
    d = x - y
    cosine = (d * t).sum(-1) / np.linalg.norm(d, axis=-1) / np.linalg.norm(t, axis=-1)
    assert align_loss(tensor(x), tensor(y), tensor(t)).item() == pytest.approx((1 - cosine).mean())
    assert align_loss(tensor(x), tensor(y), tensor(d)).item() == pytest.approx(0)
    assert align_loss(tensor(x), tensor(y), tensor(-d)).item() == pytest.approx(2)


def test_pair_loss_is_bradley_terrys_cross_entropy() -> None:
    a, b, p = RNG.normal(size=6), RNG.normal(size=6), RNG.uniform(size=6)
    q = expit(a - b)
    reference = -(p * np.log(q) + (1 - p) * np.log(1 - q)).mean()
    assert pair_loss(tensor(a), tensor(b), tensor(p)).item() == pytest.approx(reference)
    assert pair_loss(tensor(b), tensor(a), tensor(1 - p)).item() == pytest.approx(reference)


def listmle_reference(scores: np.ndarray, quality: np.ndarray) -> float:
    """Place by place: the chosen one against all that are left, ties included."""
    total = 0.0
    for i in range(len(scores)):
        total += logsumexp(scores[quality <= quality[i]]) - scores[i]
    return total / len(scores)


def test_listmle_is_the_plackett_luce_likelihood_of_the_order() -> None:
    scores, quality = RNG.normal(size=4), np.array([0.3, 2.0, -1.0, 1.0])
    order = np.argsort(-quality)
    likelihood = np.prod([np.exp(scores[order[k]]) / np.exp(scores[order[k:]]).sum() for k in range(4)])
    found = listmle_loss(tensor([scores]), tensor([quality]), torch.ones(1, 4, dtype=torch.bool))
    assert found.item() == pytest.approx(-np.log(likelihood) / 4)


def test_listmle_with_ties_and_padding_is_the_mean_over_series() -> None:
    scores, quality = RNG.normal(size=(2, 5)), np.array([[2, 2, 1, 0, 0], [1, 0, 3, 9, 9]], dtype=float)
    present = np.array([[True] * 5, [True, True, True, False, False]])
    reference = np.mean([listmle_reference(s[m], q[m]) for s, q, m in zip(scores, quality, present, strict=True)])
    found = listmle_loss(tensor(scores), tensor(quality), torch.tensor(present))
    assert found.item() == pytest.approx(reference)


def test_listmle_rewards_no_order_among_ties() -> None:
    quality = tensor([[1.0, 1.0, 0.0]])
    present = torch.ones(1, 3, dtype=torch.bool)
    one = listmle_loss(tensor([[2.0, 1.0, 0.0]]), quality, present)
    other = listmle_loss(tensor([[1.0, 2.0, 0.0]]), quality, present)
    even = listmle_loss(tensor([[1.5, 1.5, 0.0]]), quality, present)
    assert one.item() == pytest.approx(other.item())
    assert even.item() < one.item()


def test_emd_is_the_root_mean_square_of_the_cumulative_difference() -> None:
    logits, target = RNG.normal(size=(3, 10)), softmax(RNG.normal(size=(3, 10)), axis=-1)
    difference = np.cumsum(softmax(logits, axis=-1), -1) - np.cumsum(target, -1)
    assert emd_loss(tensor(logits), tensor(target)).item() == pytest.approx(
        np.sqrt((difference**2).mean(-1)).mean(), abs=1e-9
    )


def test_emd_has_a_finite_gradient_at_a_perfect_fit() -> None:
    logits = tensor(np.zeros((1, 10)), grad=True)
    emd_loss(logits, tensor(np.full((1, 10), 0.1))).backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_gradients() -> None:
    check = torch.autograd.gradcheck
    x, y, t = (tensor(values, grad=True) for values in RNG.normal(size=(3, 3, 4)))
    assert check(align_loss, (x, y, t))
    assert check(lambda a, b: pair_loss(a, b, tensor([0.2, 0.9, 0.5])), (x[:, 0], y[:, 0]))
    quality, present = tensor([[1, 1, 0, 2], [0, 2, 1, 0]]), torch.tensor([[True] * 4, [True, True, True, False]])
    assert check(lambda s: listmle_loss(s, quality, present), (tensor(RNG.normal(size=(2, 4)), grad=True),))
    target = tensor(softmax(RNG.normal(size=(2, 10)), axis=-1))
    assert check(lambda s: emd_loss(s, target), (tensor(RNG.normal(size=(2, 10)), grad=True),))
    assert check(expected_score, (tensor(RNG.normal(size=(2, 10)), grad=True),))
