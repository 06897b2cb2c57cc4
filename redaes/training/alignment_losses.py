"""Stage 2's losses: pure functions of tensors, relative only (docs/training.md has the formulas).

All of them take and return tensors with gradients, average over the batch, and expect differences in points (see
``redaes.types``).
"""

from __future__ import annotations

import torch
from torch import Tensor


def normal_cdf(x: Tensor) -> Tensor:
    """Return Φ, the distribution function of the standard normal; any shape."""
    return 0.5 * (1 + torch.erf(x / 2**0.5))


def target_probability(delta: Tensor, tau: float) -> Tensor:
    """Return p* = Φ(Δ/τ): how probable it is that the first picture is judged better [our definition].

    Args:
        delta: (B,) labelled differences, in points.
        tau: one standard deviation of judgements, in points.
    """
    return normal_cdf(delta / tau)


def preference_loss(log_odds: Tensor, target: Tensor) -> Tensor:
    """Return the soft cross-entropy of P(A≻B) = σ(log-odds) against p*.

    Args:
        log_odds: (B,) logit of " A" minus logit of " B" at the verdict token.
        target: (B,) p* in [0, 1].

    Returns:
        Scalar, at least the entropy of the targets.
    """
    return torch.nn.functional.binary_cross_entropy_with_logits(log_odds, target)


def antisymmetry_loss(forward: Tensor, swapped: Tensor) -> Tensor:
    """Return the mean square of P(A≻B | forward) + P(A≻B | swapped) − 1: zero when the order does not matter.

    Args:
        forward: (B,) log-odds in one order.
        swapped: (B,) log-odds of the same pairs in the other order.
    """
    return (torch.sigmoid(forward) + torch.sigmoid(swapped) - 1).square().mean()


def expected_score(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and variance of the score that a distribution over the digits 0…9 stands for.

    Args:
        logits: (B, 10) at the score token, digits only.

    Returns:
        (B,) mean in points and (B,) variance in points².
    """
    digits = torch.arange(10, dtype=logits.dtype, device=logits.device)
    probabilities = logits.softmax(-1)
    mean = (probabilities * digits).sum(-1)
    variance = (probabilities * (digits - mean.unsqueeze(-1)).square()).sum(-1)
    return mean, variance


def thurstone_probability(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor], gamma: float) -> Tensor:
    """Return Φ((μ_a − μ_b) / √(σ_a² + σ_b² + γ)): Thurstone's law of comparative judgement, case III (1927).

    Args:
        first: (B,) mean and (B,) variance of the first picture's score.
        second: the same of the second picture.
        gamma: variance that keeps the denominator from vanishing, in points².
    """
    (mean_a, variance_a), (mean_b, variance_b) = first, second
    return normal_cdf((mean_a - mean_b) / (variance_a + variance_b + gamma).sqrt())


def fidelity_loss(probability: Tensor, target: Tensor, epsilon: float = 1e-6) -> Tensor:
    """Return 1 − √(p·p*) − √((1−p)(1−p*)), the fidelity loss of Tsai et al. (FRank, SIGIR 2007).

    Args:
        probability: (B,) predicted, in [0, 1].
        target: (B,) p*, in [0, 1].
        epsilon: keeps the square roots differentiable at 0 and 1.

    Returns:
        Scalar in [0, 1], zero where both agree.
    """
    p = probability.clamp(epsilon, 1 - epsilon)
    q = target.clamp(epsilon, 1 - epsilon)
    return (1 - (p * q).sqrt() - ((1 - p) * (1 - q)).sqrt()).mean()
