"""The ranking-consistency reward, in its parts (docs/rewards.md).

Every function takes one completion and, where it needs them, the completions of the same group as further arguments.
Conventions shared by all:

* a failed completion (``None`` instead of an answer) gets 0.0;
* a missing label or reference gives ``None``: there is nothing to reward, for any completion;
* differences are in points, in the letters of the order in which the pictures were shown.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from redaes.errors import TrainingError
from redaes.ranking import Edge, components, fit_potential
from redaes.types import TAU, Factor, Verdict, Winner

S = 2.0
"""Error of a stated difference, in points, at which its reward falls to exp(-1/2)."""

GAMMA = TAU**2
"""Variance, in squared points, of a comparison of two exactly known scores; consistent with ``TAU``."""


def format_reward(answer: Verdict | int | None) -> float:
    """Return 1 for a verdict or score that the parser accepted, otherwise 0; our definition.

    >>> format_reward(Verdict(winner="A", delta=1.0, rationale=None)), format_reward(0), format_reward(None)
    (1.0, 1.0, 0.0)
    """
    return 0.0 if answer is None else 1.0


def preference_reward(stated: float | None, label: float | None, tau: float = TAU) -> float | None:
    """Return the fidelity of the stated preference to the labelled one; our definition.

    sqrt(p p*) + sqrt((1 - p)(1 - p*)) with p = Phi(stated / tau) and p* = Phi(label / tau).

    >>> round(preference_reward(2.0, 2.0), 3), round(preference_reward(-2.0, 2.0), 3)
    (1.0, 0.731)

    Args:
        stated: the difference that the completion states, in points; None: it failed.
        label: the labelled difference, in points; None: not labelled.
        tau: points per standard deviation.

    Raises:
        TrainingError: ``tau`` is not positive, or a number is not finite.
    """
    _require_positive("tau", tau)
    if label is None:
        return None
    if stated is None:
        return 0.0
    return _fidelity(_finite("stated", stated) / tau, _finite("label", label) / tau)


def verdict_reward(answer: Verdict | None, winner: Winner | None) -> float | None:
    """Return 1 if the answer names the right picture, or calls a tie a tie; our definition.

    The rewards for closeness give "no difference" nearly as much as the truth; this one gives it nothing if there is a
    winner.

    >>> verdict_reward(Verdict(winner="A", delta=0.5, rationale=None), "A")
    1.0
    >>> verdict_reward(Verdict(winner="tie", delta=0.0, rationale=None), "A")
    0.0

    Args:
        answer: the parsed completion; None: it failed.
        winner: the winner of the label; None: not labelled.
    """
    if winner is None:
        return None
    return 0.0 if answer is None else float(answer.winner == winner)


def difference_reward(stated: float | None, label: float | None, s: float = S) -> float | None:
    """Return the closeness of the stated difference to the labelled one; our definition.

    exp(-((stated - label) / s)^2 / 2).

    >>> difference_reward(1.0, 1.0), round(difference_reward(3.0, 1.0), 3)
    (1.0, 0.607)

    Args:
        stated: the difference that the completion states, in points; None: it failed.
        label: the labelled difference, in points; None: not labelled.
        s: width, in points.

    Raises:
        TrainingError: ``s`` is not positive, or a number is not finite.
    """
    _require_positive("s", s)
    if label is None:
        return None
    if stated is None:
        return 0.0
    return _closeness(_finite("stated", stated), _finite("label", label), s)


def swap_consistency_reward(
    stated: float | None, other_order_stated: Sequence[float | None], s: float = S
) -> float | None:
    """Return the closeness to the opposite of the mean difference that the other order's completions state; our
    definition.

    exp(-((stated + mean) / s)^2 / 2). An answer that follows the position instead of the pictures states the
    same sign in both orders and loses.

    >>> swap_consistency_reward(1.0, [-1.5, -0.5, None]), round(swap_consistency_reward(2.0, [2.0]), 3)
    (1.0, 0.135)

    Args:
        stated: the difference that the completion states, in points; None: it failed.
        other_order_stated: the differences that the completions of the swapped prompt state, in the letters of that
            prompt; None: the completion failed. If all failed there is no reference, and the reward is None.
        s: width, in points.

    Raises:
        TrainingError: there are no completions of the other order, ``s`` is not positive, or a number is not
            finite.
    """
    _require_positive("s", s)
    if not other_order_stated:
        raise TrainingError("the group is incomplete: it has no completions of the swapped order")
    other = _mean(other_order_stated)
    if other is None:
        return None
    if stated is None:
        return 0.0
    return _closeness(_finite("stated", stated), -other, s)


def group_consistency_reward(
    stated: float | None,
    shown: tuple[str, str],
    edges: Collection[tuple[str, str]],
    predicted: Mapping[tuple[str, str], Sequence[float | None]],
    s: float = S,
) -> float | None:
    """Return the closeness to the difference that one common scale of the whole group implies; our definition.

    exp(-((stated - (score_A - score_B)) / s)^2 / 2), with the scores of :func:`group_scale`. Contradictions such as
    A > B > C > A cannot be fitted and cost reward. A group whose edges form no cycle cannot contradict itself: the
    reward then measures agreement with the pair's own mean.

    >>> circle = [("x", "y"), ("y", "z"), ("z", "x")]
    >>> round(group_consistency_reward(2.0, ("x", "y"), circle, {edge: [2.0] for edge in circle}), 3)
    0.607

    Args:
        stated: the difference that the completion states, in points; None: it failed.
        shown: ids of the pictures shown as A and as B; one of ``edges``.
        edges: every ordered pair of pictures that the group consists of. Both orders of a pair may occur.
        predicted: for every edge, the differences that its completions state; None: the completion failed.
        s: width, in points.

    Returns:
        The reward; None if so many completions failed that nothing connects the two pictures.

    Raises:
        TrainingError: as for :func:`group_scale`; or ``shown`` is not an edge, ``s`` is not positive, or ``stated`` is
            not finite.
    """
    return closeness_to_scale(stated, shown, group_scale(edges, predicted), s)


def group_scale(
    edges: Collection[tuple[str, str]], predicted: Mapping[tuple[str, str], Sequence[float | None]]
) -> dict[tuple[str, str], float | None]:
    """Return the differences that one scale of a whole group implies.

    Each edge's predictions are averaged, and scores are fitted to the averages by least squares.

    >>> scale = group_scale([("x", "y"), ("y", "x")], {("x", "y"): [3.0, None], ("y", "x"): [-1.0]})
    >>> {edge: round(delta, 9) for edge, delta in scale.items()}
    {('x', 'y'): 2.0, ('y', 'x'): -2.0}

    Args:
        edges: every ordered pair of pictures that the group consists of. Both orders of a pair may occur.
        predicted: for every edge, the differences that its completions state, in points; None: the completion failed.

    Returns:
        For every edge, score of the first picture minus that of the second, in points; None if so many completions
        failed that nothing connects the two.

    Raises:
        TrainingError: the group is incomplete (``predicted`` lacks an edge or holds one without completions)
            or mixed (it holds a foreign edge), or a number is not finite.
    """
    expected = sorted(set(edges))
    missing = [edge for edge in expected if not predicted.get(edge)]
    if missing:
        raise TrainingError(f"the group is incomplete: no completions for {missing}")
    foreign = sorted(set(predicted) - set(expected))
    if foreign:
        raise TrainingError(f"the group holds completions of other pairs: {foreign}")
    index = {picture: i for i, picture in enumerate(sorted({picture for edge in expected for picture in edge}))}
    means = {edge: _mean(predicted[edge]) for edge in expected}
    fitted: list[Edge] = [(index[a], index[b], mean, 1.0) for (a, b), mean in means.items() if mean is not None]
    part = {item: number for number, items in enumerate(components(len(index), fitted)) for item in items}
    scores = [float(score) for score in fit_potential(len(index), fitted).values]
    return {
        (a, b): scores[index[a]] - scores[index[b]] if part[index[a]] == part[index[b]] else None for a, b in expected
    }


def closeness_to_scale(
    stated: float | None, shown: tuple[str, str], scale: Mapping[tuple[str, str], float | None], s: float = S
) -> float | None:
    """Return the reward of :func:`group_consistency_reward` for a scale that was fitted before, once per group.

    >>> closeness_to_scale(2.0, ("x", "y"), {("x", "y"): 2.0})
    1.0

    Raises:
        TrainingError: ``shown`` is not in the scale, ``s`` is not positive, or ``stated`` is not finite.
    """
    _require_positive("s", s)
    if shown not in scale:
        raise TrainingError(f"the pair {shown} is not an edge of its group")
    implied = scale[shown]
    if implied is None:
        return None
    return 0.0 if stated is None else _closeness(_finite("stated", stated), implied, s)


def thurstone_reward(
    stated_score: float | None,
    own_scores: Sequence[float | None],
    others: Sequence[tuple[Sequence[float | None], float | None]],
    tau: float = TAU,
    gamma: float = GAMMA,
) -> float | None:
    """Return the fidelity of a single picture's score to the labels against the other pictures of its group.

    The comparison is Thurstone's, with the spread of the completions as its variance; our definition. Against
    a picture b: p = Phi((stated_score - mean_b) / sqrt(var_own + var_b + gamma)), p* = Phi(label / tau); the
    reward is the fidelity as in :func:`preference_reward`, averaged over the pictures b. With ``gamma`` =
    tau^2, scores that are certain and differ by exactly the label earn 1.

    >>> thurstone_reward(7.0, [7.0, 7.0], [([5.0, 5.0], 2.0)])
    1.0

    Args:
        stated_score: the score that the completion states, in points; None: it failed.
        own_scores: the scores that all completions for this picture state, including this one.
        others: for every other picture of the group: the scores that its completions state, and the label of
            this picture minus that one, in points. Failed completions and missing labels are None.
        tau: points per standard deviation of the labels.
        gamma: variance of a comparison of exactly known scores, in squared points.

    Returns:
        The reward; None if no other picture has both a label and a score.

    Raises:
        TrainingError: the group is incomplete (no other picture, or one without completions), ``own_scores``
            lacks ``stated_score``, ``tau`` or ``gamma`` is not positive, or a number is not finite.
    """
    _require_positive("tau", tau)
    _require_positive("gamma", gamma)
    if not own_scores or not others or not all(scores for scores, _ in others):
        raise TrainingError("the group is incomplete: every picture needs completions, and there must be two")
    if stated_score not in own_scores:
        raise TrainingError(f"own_scores lacks this completion's own answer, {stated_score}")
    usable = [
        (parsed, _finite("label", label))
        for scores, label in others
        if label is not None and (parsed := _parsed(scores))
    ]
    if not usable:
        return None
    if stated_score is None:
        return 0.0
    score, own_variance = _finite("stated_score", stated_score), _variance(_parsed(own_scores))
    rewards = [
        _fidelity(
            (score - math.fsum(scores) / len(scores)) / math.sqrt(own_variance + _variance(scores) + gamma),
            label / tau,
        )
        for scores, label in usable
    ]
    return math.fsum(rewards) / len(rewards)


def factor_reward(verdict: Verdict | None, factors: Collection[Factor], better: Winner | None) -> float | None:
    """Return how well the rationale names the edited factors, on the right picture; our definition.

    Jaccard overlap of the named and the true factors, or 0 if the rationale calls the wrong picture better.

    >>> from redaes.types import Rationale
    >>> said = Rationale(text="B is darker.", factors=("light", "colour"), better="A")
    >>> verdict = Verdict(winner="A", delta=1.0, rationale=said)
    >>> factor_reward(verdict, ("light",), "A"), factor_reward(verdict, ("light",), "B")
    (0.5, 0.0)

    Args:
        verdict: the parsed completion; None: it failed. Without a rationale it earns 0.
        factors: the factors that decide the pair; empty for a tie, where naming none is right, and where the deciding
            factors are not known.
        better: the picture that is better in them, in the letters shown; None: not labelled.

    Returns:
        The reward; None where there is no label, or a winner without factors.
    """
    if better is None or (better != "tie" and not factors):
        return None
    if verdict is None or verdict.rationale is None or verdict.rationale.better != better:
        return 0.0
    named, true = set(verdict.rationale.factors), set(factors)
    return len(named & true) / len(named | true) if named | true else 1.0


def _phi(z: float) -> float:
    """Return the standard normal distribution function."""
    return 0.5 * (1.0 + math.erf(z / math.sqrt(2.0)))


def _fidelity(z: float, z_label: float) -> float:
    """Return the fidelity of two preferences given as standard normal scores.

    Phi(-z) is used for 1 - Phi(z), so that swapping the pictures does not change even the last bit.
    """
    fidelity = math.sqrt(_phi(z) * _phi(z_label)) + math.sqrt(_phi(-z) * _phi(-z_label))
    return min(1.0, fidelity)  # rounding can give slightly more than 1


def _closeness(stated: float, reference: float, s: float) -> float:
    return math.exp(-0.5 * ((stated - reference) / s) ** 2)


def _parsed(values: Sequence[float | None]) -> list[float]:
    return [_finite("a stated value", value) for value in values if value is not None]


def _mean(values: Sequence[float | None]) -> float | None:
    """Return the mean of the parsed values; the sum is exact, so that their order does not matter."""
    parsed = _parsed(values)
    return math.fsum(parsed) / len(parsed) if parsed else None


def _variance(values: Sequence[float]) -> float:
    return float(np.var(sorted(values)))


def _finite(name: str, value: float) -> float:
    if not math.isfinite(value):
        raise TrainingError(f"{name} is {value}; answers and labels must be finite")
    return value


def _require_positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise TrainingError(f"{name} is {value}; give a positive number")
