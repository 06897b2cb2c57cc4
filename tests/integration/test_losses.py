"""Stage 2's losses against numpy/scipy references, their limits, and their gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import expit
from scipy.stats import norm

from redaes.training.alignment_losses import (
    antisymmetry_loss,
    expected_score,
    fidelity_loss,
    preference_loss,
    target_probability,
    thurstone_probability,
)

RNG = np.random.default_rng(0)
DELTA = RNG.uniform(-9, 9, 7)
ODDS = RNG.normal(0, 2, 7)


def tensor(values: np.ndarray, grad: bool = False) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=grad)


def test_target_probability_is_the_normal_distribution() -> None:
    assert np.allclose(target_probability(tensor(DELTA), 2.0), norm.cdf(DELTA / 2.0))
    assert target_probability(torch.zeros(1), 2.0).item() == 0.5


def test_preference_loss_is_the_soft_cross_entropy() -> None:
    p, q = expit(ODDS), norm.cdf(DELTA / 2)
    reference = -(q * np.log(p) + (1 - q) * np.log(1 - p)).mean()
    assert preference_loss(tensor(ODDS), tensor(q)).item() == pytest.approx(reference)


def test_preference_loss_is_least_at_the_target() -> None:
    q = torch.tensor([0.8])
    at_target = preference_loss(torch.logit(q), q)
    assert all(preference_loss(torch.logit(q) + shift, q) > at_target for shift in (-0.3, 0.3))


def test_antisymmetry_is_zero_exactly_when_the_orders_agree() -> None:
    assert antisymmetry_loss(tensor(ODDS), tensor(-ODDS)).item() == pytest.approx(0, abs=1e-12)
    assert antisymmetry_loss(tensor(np.ones(3)), tensor(np.ones(3))).item() == pytest.approx((2 * expit(1) - 1) ** 2)


def test_expected_score_of_a_sure_and_of_an_even_distribution() -> None:
    sure = torch.full((1, 10), -1e9)
    sure[0, 7] = 0
    mean, variance = expected_score(sure)
    assert (mean.item(), variance.item()) == (7.0, 0.0)
    mean, variance = expected_score(torch.zeros(1, 10))
    assert mean.item() == pytest.approx(4.5)
    assert variance.item() == pytest.approx(np.arange(10).var())


def test_thurstone_is_antisymmetric_and_agrees_with_the_reference() -> None:
    first = (tensor(RNG.uniform(0, 9, 5)), tensor(RNG.uniform(0, 4, 5)))
    second = (tensor(RNG.uniform(0, 9, 5)), tensor(RNG.uniform(0, 4, 5)))
    p = thurstone_probability(first, second, 4.0)
    z = (first[0] - second[0]).numpy() / np.sqrt((first[1] + second[1]).numpy() + 4.0)
    assert np.allclose(p, norm.cdf(z))
    assert torch.allclose(p + thurstone_probability(second, first, 4.0), torch.ones_like(p))


def test_fidelity_is_zero_at_the_target_and_one_at_the_opposite() -> None:
    q = tensor(np.array([0.2, 0.5, 0.9]))
    assert fidelity_loss(q, q).item() == pytest.approx(0, abs=1e-6)
    assert fidelity_loss(torch.ones(1), torch.zeros(1)).item() == pytest.approx(1, abs=5e-3)


def test_gradients() -> None:
    q = target_probability(tensor(DELTA), 2.0)
    logits = tensor(RNG.normal(size=(3, 10)), grad=True)
    assert torch.autograd.gradcheck(lambda x: preference_loss(x, q), tensor(ODDS, grad=True))
    assert torch.autograd.gradcheck(antisymmetry_loss, (tensor(ODDS, grad=True), tensor(ODDS[::-1].copy(), grad=True)))
    assert torch.autograd.gradcheck(lambda x: expected_score(x)[0] + expected_score(x)[1], logits)
    assert torch.autograd.gradcheck(
        lambda x: fidelity_loss(
            thurstone_probability(expected_score(x), (torch.full((3,), 4.0), torch.ones(3)), 4.0).double(), q[:3]
        ),
        logits,
    )


def test_gradient_is_finite_where_probabilities_saturate() -> None:
    p = torch.tensor([0.0, 1.0], requires_grad=True)
    fidelity_loss(p, torch.tensor([1.0, 0.0])).backward()
    assert p.grad is not None
    assert torch.isfinite(p.grad).all()


def test_gradient_is_finite_where_targets_saturate() -> None:
    p = torch.tensor([0.5, 0.5], requires_grad=True)
    fidelity_loss(p, torch.tensor([1.0, 0.0])).backward()
    assert p.grad is not None
    assert torch.isfinite(p.grad).all()
