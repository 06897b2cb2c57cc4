"""Rewards: their formulas, and what must never earn or change one."""

from __future__ import annotations

import doctest
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from redaes.errors import TrainingError
from redaes.rewards import ranking_consistency
from redaes.rewards.ranking_consistency import (
    GAMMA,
    TAU,
    S,
    difference_reward,
    factor_reward,
    format_reward,
    group_consistency_reward,
    preference_reward,
    swap_consistency_reward,
    thurstone_reward,
    verdict_reward,
)
from redaes.types import Rationale, Verdict

deltas = st.floats(-9, 9)
answers = st.none() | deltas

EDGES = [("a", "b"), ("b", "c"), ("c", "a"), ("b", "a")]
PREDICTED: dict[tuple[str, str], list[float | None]] = {
    ("a", "b"): [1.0, 2.0, None],
    ("b", "c"): [1.0],
    ("c", "a"): [-2.0, -3.0],
    ("b", "a"): [-1.0],
}


def _verdict(better: str, *factors: str) -> Verdict:
    said = Rationale(text="", factors=factors, better=better)  # type: ignore[arg-type]
    return Verdict(winner=said.better, delta={"A": 1.0, "B": -1.0, "tie": 0.0}[better], rationale=said)


# --- the formulas ------------------------------------------------------------------------------------------


@given(deltas, deltas)
def test_preference_is_the_fidelity(stated: float, label: float) -> None:
    p, q = norm.cdf(stated / TAU), norm.cdf(label / TAU)
    expected = math.sqrt(p * q) + math.sqrt((1 - p) * (1 - q))
    assert preference_reward(stated, label) == pytest.approx(expected, abs=1e-7)


@given(deltas, deltas)
def test_difference_is_a_gaussian(stated: float, label: float) -> None:
    assert difference_reward(stated, label) == pytest.approx(math.exp(-(((stated - label) / S) ** 2) / 2))


def test_settings_change_the_width() -> None:
    assert difference_reward(0.0, 1.0, s=1.0) == pytest.approx(math.exp(-0.5))
    assert preference_reward(1.0, -1.0, tau=0.5) < preference_reward(1.0, -1.0, tau=4.0)
    assert swap_consistency_reward(1.0, [0.0], s=1.0) == pytest.approx(math.exp(-0.5))


def test_swap_consistency_uses_the_mean_of_what_was_parsed() -> None:
    assert swap_consistency_reward(-1.5, [1.0, None, 2.0]) == 1.0
    assert swap_consistency_reward(1.5, [1.0, None, 2.0]) == pytest.approx(math.exp(-0.5 * (3 / S) ** 2))


def test_group_consistency_by_hand() -> None:
    # Without a cycle the fit is exact: a - b = 1, b - c = 2, so a - c = 3.
    edges = [("a", "b"), ("b", "c"), ("a", "c")]
    consistent = {("a", "b"): [1.0], ("b", "c"): [2.0], ("a", "c"): [3.0]}
    assert group_consistency_reward(3.0, ("a", "c"), edges, consistent) == pytest.approx(1.0)
    # Now a - c = 0: least squares spreads the contradiction of 3 equally, so a - b becomes 0.
    contradiction = {**consistent, ("a", "c"): [0.0]}
    expected = math.exp(-0.5 * (1.0 / S) ** 2)
    assert group_consistency_reward(1.0, ("a", "b"), edges, contradiction) == pytest.approx(expected)
    assert group_consistency_reward(0.0, ("a", "b"), edges, contradiction) == pytest.approx(1.0)


def test_a_cycle_costs_reward() -> None:
    circle = [("a", "b"), ("b", "c"), ("c", "a")]
    cyclic = {edge: [2.0] for edge in circle}
    ordered = {("a", "b"): [2.0], ("b", "c"): [2.0], ("c", "a"): [-4.0]}
    in_cycle = group_consistency_reward(2.0, ("a", "b"), circle, cyclic)
    in_order = group_consistency_reward(2.0, ("a", "b"), circle, ordered)
    assert in_cycle == pytest.approx(math.exp(-0.5))
    assert in_order == pytest.approx(1.0)


def test_thurstone_by_hand() -> None:
    own = [6.0, 7.0, 8.0, None]
    others: list[tuple[list[float | None], float | None]] = [([5.0, 3.0], 2.0), ([7.0], -1.0), ([9.0], None)]
    rewards = []
    for mean, variance, label in ((4.0, 1.0, 2.0), (7.0, 0.0, -1.0)):
        p = norm.cdf((6.0 - mean) / math.sqrt(2 / 3 + variance + GAMMA))
        q = norm.cdf(label / TAU)
        rewards.append(math.sqrt(p * q) + math.sqrt((1 - p) * (1 - q)))
    assert thurstone_reward(6.0, own, others) == pytest.approx(np.mean(rewards))


@pytest.mark.parametrize(
    ("named", "better", "true", "expected"),
    [
        (("light",), "A", ("light",), 1.0),
        (("light", "noise"), "A", ("light",), 0.5),
        (("light", "colour", "focus", "noise", "composition", "content"), "A", ("light",), 1 / 6),
        (("light",), "A", ("focus",), 0.0),
        ((), "tie", ("focus",), 0.0),
        (("light",), "B", ("light",), 0.0),
        ((), "tie", (), 1.0),
        (("light",), "A", (), 0.0),
    ],
)
def test_factor_reward(named: tuple[str, ...], better: str, true: tuple[str, ...], expected: float) -> None:
    truth = "A" if true else "tie"
    reward = factor_reward(_verdict(better, *named), true, truth)  # type: ignore[arg-type]
    assert reward == pytest.approx(expected)


# --- named regressions -------------------------------------------------------------------------------------


def test_garbage_never_earns_reward() -> None:
    assert format_reward(None) == 0.0
    assert preference_reward(None, 0.0) == 0.0
    assert difference_reward(None, 0.0) == 0.0
    assert swap_consistency_reward(None, [0.0]) == 0.0
    assert group_consistency_reward(None, ("a", "b"), EDGES, PREDICTED) == 0.0
    assert thurstone_reward(None, [None, 5.0], [([5.0], 0.0)]) == 0.0
    assert factor_reward(None, (), "tie") == 0.0
    assert factor_reward(_verdict("A", "light"), (), "A") is None  # nobody said what decides
    assert factor_reward(None, (), "B") is None
    assert verdict_reward(None, "tie") == 0.0
    # An answer without a rationale has not named a factor, not even "none".
    assert factor_reward(Verdict(winner="tie", delta=0.0, rationale=None), (), "tie") == 0.0


def test_what_is_not_a_number_never_earns_reward() -> None:
    nan = float("nan")
    for call in (
        lambda: preference_reward(nan, 1.0),
        lambda: preference_reward(1.0, nan),
        lambda: difference_reward(math.inf, 1.0),
        lambda: swap_consistency_reward(1.0, [nan]),
        lambda: group_consistency_reward(nan, ("a", "b"), EDGES, PREDICTED),
        lambda: thurstone_reward(1.0, [1.0, nan], [([1.0], 1.0)]),
    ):
        with pytest.raises(TrainingError, match="must be finite"):
            call()


def test_a_missing_label_is_no_reward_whether_or_not_the_completion_failed() -> None:
    for stated in (1.0, None):
        assert preference_reward(stated, None) is None
        assert difference_reward(stated, None) is None
        assert swap_consistency_reward(stated, [None, None]) is None
        assert thurstone_reward(stated, [1.0, None], [([1.0], None), ([None], 2.0)]) is None
    for verdict in (_verdict("A", "light"), None):
        assert factor_reward(verdict, ("light",), None) is None
        assert verdict_reward(verdict, None) is None


@given(answers, deltas, st.lists(answers, min_size=1, max_size=4))
def test_every_reward_lies_between_0_and_1(stated: float | None, label: float, company: list[float | None]) -> None:
    predicted = {**PREDICTED, ("a", "b"): [*company, stated]}
    for reward in (
        preference_reward(stated, label),
        difference_reward(stated, label),
        swap_consistency_reward(stated, company),
        group_consistency_reward(stated, ("a", "b"), EDGES, predicted),
        thurstone_reward(stated, [*company, stated], [(company, label)]),
    ):
        assert reward is None or 0.0 <= reward <= 1.0


@given(answers, deltas, st.lists(answers, min_size=1, max_size=4), st.floats(-9, 9))
@settings(max_examples=50, deadline=None)
def test_a_reward_does_not_depend_on_who_shares_the_batch(
    stated: float | None, label: float, company: list[float | None], stranger: float
) -> None:
    def rewards() -> list[float | None]:
        return [
            preference_reward(stated, label),
            difference_reward(stated, label),
            swap_consistency_reward(stated, company),
            group_consistency_reward(stated, ("a", "b"), EDGES, PREDICTED),
            thurstone_reward(stated, [*company, stated], [(company, label)]),
        ]

    before = rewards()
    # Other items of the batch are scored in between; completions of another group are refused, not used.
    preference_reward(stranger, -label)
    swap_consistency_reward(stranger, [stranger])
    with pytest.raises(TrainingError, match="other pairs"):
        group_consistency_reward(stated, ("a", "b"), EDGES, {**PREDICTED, ("x", "y"): [stranger]})
    assert rewards() == before


@given(deltas, deltas, st.lists(answers, min_size=1, max_size=4))
def test_equal_labels_do_not_depend_on_order(stated: float, label: float, company: list[float | None]) -> None:
    opposite = [None if value is None else -value for value in company]
    # Exactly, to the last bit: exchanging the pictures must not tip a comparison of rewards.
    assert preference_reward(stated, label) == preference_reward(-stated, -label)
    assert difference_reward(stated, label) == difference_reward(-stated, -label)
    assert swap_consistency_reward(stated, company) == swap_consistency_reward(-stated, opposite)
    # A tie has no side.
    assert preference_reward(stated, 0.0) == preference_reward(-stated, 0.0)
    assert difference_reward(stated, 0.0) == difference_reward(-stated, 0.0)


def test_a_group_shown_the_other_way_round_earns_the_same() -> None:
    forward = group_consistency_reward(1.0, ("a", "b"), EDGES, PREDICTED)
    turned = {(b, a): [None if value is None else -value for value in values] for (a, b), values in PREDICTED.items()}
    assert group_consistency_reward(-1.0, ("b", "a"), list(turned), turned) == pytest.approx(forward)


def test_the_order_of_completions_pairs_and_edges_does_not_matter() -> None:
    company = [0.7, -4.7, None, 8.4, 5.5]  # their sum in floating point depends on the order
    expected = swap_consistency_reward(1.0, company)
    for order in itertools.permutations(company):
        assert swap_consistency_reward(1.0, order) == expected
    expected = group_consistency_reward(1.0, ("a", "b"), EDGES, PREDICTED)
    for edges in itertools.permutations(EDGES):
        predicted = {edge: PREDICTED[edge][::-1] for edge in edges}
        assert group_consistency_reward(1.0, ("a", "b"), edges, predicted) == expected
    others: list[tuple[list[float | None], float | None]] = [
        ([0.1, 0.7], 1.0),
        ([0.2], 0.3),
        ([9.0, 1.0], -2.0),
    ]
    expected = thurstone_reward(0.7, company, others)
    for order in itertools.permutations(others):
        assert thurstone_reward(0.7, company[::-1], order) == expected


def test_an_incomplete_group_raises() -> None:
    partial = {edge: values for edge, values in PREDICTED.items() if edge != ("b", "c")}
    with pytest.raises(TrainingError, match=r"incomplete: no completions for \[\('b', 'c'\)\]"):
        group_consistency_reward(1.0, ("a", "b"), EDGES, partial)
    with pytest.raises(TrainingError, match="incomplete"):
        group_consistency_reward(1.0, ("a", "b"), EDGES, {**PREDICTED, ("b", "c"): []})
    with pytest.raises(TrainingError, match="not an edge of its group"):
        group_consistency_reward(1.0, ("a", "c"), EDGES, PREDICTED)
    with pytest.raises(TrainingError, match="swapped order"):
        swap_consistency_reward(1.0, [])
    for own, others in (([], [([1.0], 1.0)]), ([1.0], []), ([1.0], [([1.0], 1.0), ([], 1.0)])):
        with pytest.raises(TrainingError, match="incomplete"):
            thurstone_reward(1.0, own, others)
    with pytest.raises(TrainingError, match="lacks this completion's own answer"):
        thurstone_reward(1.0, [2.0, None], [([1.0], 1.0)])


def test_failures_are_not_gaps_and_leave_the_rest_of_the_group_in_use() -> None:
    edges = [("a", "b"), ("b", "c"), ("a", "c")]
    predicted: dict[tuple[str, str], list[float | None]] = {
        ("a", "b"): [None, None], ("b", "c"): [-1.0], ("a", "c"): [2.0],
    }  # fmt: skip
    assert group_consistency_reward(3.0, ("a", "b"), edges, predicted) == pytest.approx(1.0)
    predicted["a", "c"] = [None]
    assert group_consistency_reward(3.0, ("a", "b"), edges, predicted) is None
    assert group_consistency_reward(None, ("a", "b"), edges, predicted) is None


def test_following_the_position_instead_of_the_pictures_loses() -> None:
    assert swap_consistency_reward(2.0, [-2.0]) == 1.0
    assert swap_consistency_reward(2.0, [2.0]) < 0.2


@pytest.mark.parametrize("width", [0.0, -1.0, float("nan"), float("inf")])
def test_widths_must_be_positive(width: float) -> None:
    for call in (
        lambda: preference_reward(None, None, tau=width),
        lambda: difference_reward(None, None, s=width),
        lambda: swap_consistency_reward(None, [], s=width),
        lambda: group_consistency_reward(None, ("a", "b"), EDGES, PREDICTED, s=width),
        lambda: thurstone_reward(None, [], [], tau=width),
        lambda: thurstone_reward(None, [], [], gamma=width),
    ):
        with pytest.raises(TrainingError, match="give a positive number"):
            call()


def test_doctests() -> None:
    result = doctest.testmod(ranking_consistency)
    assert result.failed == 0
    assert result.attempted >= 5
