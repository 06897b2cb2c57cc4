"""What a view's judges are asked, round by round, with judges of whom it is known what they say."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from redaes.datagen.call_savings import CallSavings
from redaes.datagen.consensus import ConsensusRules
from redaes.datagen.judges import Judgement
from redaes.datagen.pair_choice import PicturePlaces, n_questions
from redaes.datagen.view_judging import JudgingRound, ViewJudgements, judging_rounds
from redaes.errors import InputError

N = 8
PAIRS = list(itertools.combinations(range(N), 2))
TWO = ConsensusRules(min_judges=2)

Says = Callable[[int, PicturePlaces], float]
"""Judge, pair -> the difference that it states in both orders."""


def honest(judge: int, pair: PicturePlaces) -> float:
    return float(pair[1] - pair[0])


def play(
    says: Says, *, savings: CallSavings, reserve: frozenset[int] = frozenset(), rules: ConsensusRules = TWO
) -> tuple[ViewJudgements, list[JudgingRound]]:
    """Answer every round; what came of it, and what was asked."""
    rounds = judging_rounds("view", N, PAIRS, 3, rules, savings, reserve)
    asked: list[JudgingRound] = []
    try:
        now = next(rounds)
        while True:
            asked.append(now)
            now = rounds.send(
                [[judgement(judge, pair, says(judge, pair)) for judge in now.judges] for pair in now.pairs]
            )
    except StopIteration as end:
        return end.value, asked


def judgement(judge: int, pair: PicturePlaces, delta: float) -> Judgement:
    return Judgement(
        pair=f"{pair}", judge=f"judge-{judge}", revision="1", forward=(delta,), swapped=(delta,), probability=None,
        failures=(),
    )  # fmt: skip


def test_unless_savings_are_wanted_everybody_is_asked_everything_at_once() -> None:
    found, asked = play(honest, savings=CallSavings())
    assert asked == [JudgingRound(tuple(PAIRS), (0, 1, 2))]
    assert list(found.judged) == PAIRS
    assert found.not_asked == ()
    assert all(each.label is each.everyone and len(each.judgements) == 3 for each in found.judged.values())


def test_a_share_of_the_pairs_is_asked_and_the_others_are_said_not_to_be() -> None:
    found, asked = play(honest, savings=CallSavings(pair_share=0.4))
    assert [len(each.pairs) for each in asked] == [n_questions(N, 0.4)]
    assert sorted([*found.judged, *found.not_asked]) == PAIRS
    assert found.counts == {"joining": 0, "reserve": 0}


def test_the_reserve_is_asked_only_where_the_others_disagree_and_decides_there() -> None:
    contested = {(0, 1), (2, 5)}

    def says(judge: int, pair: PicturePlaces) -> float:
        return -honest(judge, pair) if pair in contested and judge == 0 else honest(judge, pair) + 0.5 * (judge == 1)

    found, asked = play(says, savings=CallSavings(reserve=("x",)), reserve=frozenset({1}))
    assert [(each.judges, set(each.pairs)) for each in asked] == [((0, 2), set(PAIRS)), ((1,), contested)]
    for pair, each in found.judged.items():
        if pair not in contested:
            assert (each.label.delta, len(each.judgements)) == (honest(0, pair), 2)
            continue
        # The reserve's own answers are the label, and what all three said is kept beside it, in the panel's order.
        assert (each.label.delta, each.label.n_judges, each.label.n_answers) == (honest(1, pair) + 0.5, 1, 2)
        assert [said.judge for said in each.judgements] == ["judge-0", "judge-1", "judge-2"]
        assert (each.everyone.n_judges, each.everyone.rejected) == (3, "sign_disagreement")
    assert found.counts == {"joining": 0, "reserve": 2}


def test_a_reserve_that_contradicts_itself_gives_no_label() -> None:
    def biased(judge: int, pair: PicturePlaces) -> Judgement:
        delta = honest(judge, pair) * (-1 if judge == 0 else 1)
        own = judgement(judge, pair, delta)
        return own.model_copy(update={"forward": (5.0,), "swapped": (-5.0,)}) if judge == 1 else own

    rounds = judging_rounds("view", 2, [(0, 1)], 3, TWO, CallSavings(reserve=("x",)), {1})
    first = next(rounds)
    second = rounds.send([[biased(judge, (0, 1)) for judge in first.judges]])
    with pytest.raises(StopIteration) as end:
        rounds.send([[biased(judge, (0, 1)) for judge in second.judges]])
    assert end.value.value.judged[0, 1].label.rejected == "order_inconsistent"


def test_pictures_that_rejected_pairs_leave_apart_are_asked_about_again() -> None:
    first_asked = play(honest, savings=CallSavings(pair_share=0.3))[1][0].pairs

    def says(judge: int, pair: PicturePlaces) -> float:
        # Of what is asked first about picture 3, nothing is agreed on.
        return honest(judge, pair) * (-1 if judge == 0 and 3 in pair and pair in first_asked else 1)

    found, asked = play(says, savings=CallSavings(pair_share=0.3))
    assert len(asked) == 2
    [more] = asked[1].pairs
    assert 3 in more
    assert more not in first_asked
    assert found.judged[more].label.delta is not None
    assert found.counts["joining"] == 1


def test_a_picture_nobody_agrees_about_is_given_up() -> None:
    found, asked = play(
        lambda judge, pair: honest(judge, pair) * (-1 if judge == 0 and 3 in pair else 1),
        savings=CallSavings(pair_share=0.3),
    )
    assert len(asked) == 3
    assert found.counts["joining"] == 2
    assert sum(3 in pair for pair in found.not_asked) > 0


@pytest.mark.parametrize(
    ("reserve", "min_judges", "words"),
    [
        (("c",), 1, "name some of the panel's judges"),
        (("b", "b"), 1, "each once"),
        (("b",), 2, "reserve leaves 1 of 2 judges"),
        (("a", "b"), 1, "reserve leaves 0 of 2 judges"),
    ],
)
def test_reserves_that_make_no_sense(reserve: tuple[str, ...], min_judges: int, words: str) -> None:
    with pytest.raises(InputError, match=words):
        CallSavings(reserve=reserve).reserve_places(("a", "b"), min_judges)


def test_settings() -> None:
    assert CallSavings(reserve=("b",)).reserve_places(("a", "b", "c"), 2) == {1}
    for values, words in [
        ({"pair_share": 0}, "savings: pair_share is 0; it should be greater than 0"),
        ({"pair_share": 1.5}, "pair_share is 1.5"),
        ({"max_error": 0}, "max_error is 0"),
        ({"share": 0.5}, "savings: unknown keys: share; known: pair_share, max_error, reserve"),
    ]:
        with pytest.raises(InputError, match=words):
            CallSavings.model_validate(values)
