"""The rewards as TRL calls them: the faults of published reward code, kept out."""

from __future__ import annotations

from typing import Any

import pytest

from redaes.answers import render_verdict, stated
from redaes.errors import TrainingError
from redaes.rewards.trl import REWARDS, Completion, reward_functions
from redaes.types import Rationale, winner_of


def said(text: str) -> Completion:
    return [{"role": "assistant", "content": text}]


def answer(delta: float, factor: str = "light") -> Completion:
    better = winner_of(delta)
    rationale = Rationale(text="A and B differ.", factors=() if better == "tie" else (factor,), better=better)
    return said(render_verdict(stated(delta, rationale)))


def batch(*completions: Completion, pair: str = "p", delta: float | None = 3.0) -> dict[str, Any]:
    """Half of the completions answer the forward order, half the swapped one."""
    n = len(completions)
    order = ["forward"] * (n // 2) + ["swapped"] * (n - n // 2)
    sign = {"forward": 1, "swapped": -1}
    return {
        "completions": list(completions),
        "mode": ["reasoned"] * n,
        "pair": [pair] * n,
        "order": order,
        "delta": [None if delta is None else sign[way] * delta for way in order],
        "factors": [["light"]] * n,
    }


def joined(*batches: dict[str, Any]) -> dict[str, Any]:
    return {key: [value for one in batches for value in one[key]] for key in batches[0]}


GARBAGE = ["", " ", "A", "Winner: A", "Winner: A\nDifference: -3.0", "7.5", "<rationale>", "nan", "A" * 5000]


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("name", list(REWARDS))
def test_garbage_never_earns_reward(name: str, garbage: str) -> None:
    rewards = REWARDS[name](**batch(said(garbage), answer(3.0), answer(-3.0), said(garbage)))
    assert rewards[0] == rewards[3] == 0.0


def test_a_good_answer_earns_the_most() -> None:
    good = batch(answer(3.0), answer(3.0), answer(-3.0), answer(-3.0))
    assert all(reward == pytest.approx(1.0) for name in REWARDS for reward in REWARDS[name](**good))


@pytest.mark.parametrize("name", list(REWARDS))
def test_a_reward_does_not_depend_on_who_shares_the_batch(name: str) -> None:
    own = batch(answer(2.0), answer(1.0), answer(-2.5), said("?"), pair="own")
    strangers = batch(answer(-4.0), answer(0.0), answer(4.0), answer(1.0), pair="strangers", delta=-1.0)
    alone = REWARDS[name](**own)
    assert REWARDS[name](**joined(own, strangers))[:4] == alone
    assert REWARDS[name](**joined(strangers, own))[4:] == alone


@pytest.mark.parametrize("name", ["preference", "difference", "swap_consistency", "factor"])
def test_swapping_everything_changes_nothing(name: str) -> None:
    one = REWARDS[name](**batch(answer(2.0), answer(-1.5), delta=3.0))
    other = REWARDS[name](**batch(answer(-1.5), answer(2.0), delta=-3.0))
    assert one == other[::-1]


def test_equal_labels_do_not_depend_on_order() -> None:
    tie = batch(answer(0.0), answer(0.0), delta=0.0)
    assert REWARDS["preference"](**tie) == [1.0, 1.0]
    lopsided = REWARDS["preference"](**batch(answer(2.0), answer(2.0), delta=0.0))
    assert lopsided[0] == lopsided[1] < 1


def test_an_unlabelled_pair_has_no_labelled_reward_and_keeps_the_others() -> None:
    unlabelled = batch(answer(2.0), answer(-2.0), delta=None)
    for name in ("preference", "difference", "factor"):
        assert REWARDS[name](**unlabelled) == [None, None]
    assert REWARDS["format"](**unlabelled) == [1.0, 1.0]
    assert REWARDS["swap_consistency"](**unlabelled) == [1.0, 1.0]


def test_an_incomplete_group_raises() -> None:
    cut = {key: value[:1] for key, value in batch(answer(2.0), answer(-2.0)).items()}
    with pytest.raises(TrainingError, match="incomplete ranking group: pair p"):
        REWARDS["swap_consistency"](**cut)


def test_unknown_component_lists_the_known() -> None:
    with pytest.raises(TrainingError, match="known: format, preference"):
        reward_functions(["beauty"])
