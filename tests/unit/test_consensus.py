"""From judgements to labels: what must hold for all judgements, and values worked out by hand."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from redaes.datagen.consensus import Consensus, ConsensusRules, consensus
from redaes.datagen.judges import Judgement
from redaes.errors import InputError

# A grid of tenths, as answers are written, so that thresholds are hit exactly.
_deltas = st.integers(-90, 90).map(lambda tenths: tenths / 10)


def judgement(name: str, forward: list[float], swapped: list[float], failures: tuple[str, ...] = ()) -> Judgement:
    return Judgement(
        pair="pair",
        judge=name,
        revision="1",
        forward=tuple(forward),
        swapped=tuple(swapped),
        probability=None,
        failures=failures,
    )


@st.composite
def judgements(draw: st.DrawFn) -> list[Judgement]:
    answers = st.lists(_deltas, max_size=4)
    return [judgement(f"judge{index}", draw(answers), draw(answers)) for index in range(draw(st.integers(1, 4)))]


@st.composite
def rules(draw: st.DrawFn) -> ConsensusRules:
    return ConsensusRules(
        min_judges=draw(st.integers(1, 3)),
        min_answers=draw(st.integers(1, 3)),
        min_sign_agreement=draw(st.floats(0, 1)),
        max_bias=draw(st.floats(0, 4)),
        max_spread=draw(st.floats(0, 9)),
    )


@given(judgements(), rules())
def test_exchanging_the_pictures_turns_the_sign_and_nothing_else(given_: list[Judgement], by: ConsensusRules) -> None:
    there = consensus(given_, by)
    back = consensus([each.swapped_pictures() for each in given_], by)
    expected = None if there.delta is None else -there.delta
    assert back == there.model_copy(update={"delta": expected})


@given(judgements(), rules(), st.randoms())
def test_the_order_of_judges_and_answers_does_not_matter(
    given_: list[Judgement], by: ConsensusRules, random: object
) -> None:
    def shuffled(values: tuple[float, ...]) -> list[float]:
        mixed = list(values)
        random.shuffle(mixed)  # type: ignore[attr-defined]
        return mixed

    mixed = [judgement(each.judge, shuffled(each.forward), shuffled(each.swapped)) for each in given_]
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert consensus(mixed, by) == consensus(given_, by)


@given(judgements(), rules())
def test_a_label_or_a_reason(given_: list[Judgement], by: ConsensusRules) -> None:
    found = consensus(given_, by)
    assert (found.delta is None) == (found.rejected is not None)
    assert (found.spread is None) == (found.rejected == "too_few_answers")
    if found.spread is not None and found.disagreement is not None:
        assert found.disagreement <= found.spread + 1e-9
    if found.delta is not None:
        means = [value for each in given_ for value in (*each.forward, *each.swapped)]
        assert min(means) - 1e-9 <= found.delta <= max(means) + 1e-9


@given(st.integers(-60, 60), st.integers(-15, 15), st.integers(1, 4))
@example(12, 15, 3)  # the mean of three answers is above the accepted lean by rounding alone
def test_a_lean_towards_a_position_cancels(tenths: int, lean_tenths: int, samples: int) -> None:
    delta, lean = tenths / 10, lean_tenths / 10
    found = consensus([judgement("leaning", [delta + lean] * samples, [delta - lean] * samples)])
    assert found.delta == pytest.approx(delta, abs=1e-9)
    assert found.bias == pytest.approx(lean, abs=1e-9)
    assert found.spread == pytest.approx(0, abs=1e-9)


def test_by_hand() -> None:
    """Judge 1: 3 and 1, so 2 with lean 1; judge 2: 4 and 4; median 3."""
    found = consensus([judgement("one", [3.5, 2.5], [1.0], ("empty",)), judgement("two", [4.0], [4.0])])
    assert found.delta == 3.0
    assert found.bias == 0.5
    assert found.disagreement == 1.0
    # Judge 1 freed of its lean: 2.5, 1.5 | 2, squared distances .25 2.25 | 1, mean of means 1.125; judge 2: 1.
    assert found.spread == pytest.approx(((1.125 + 1.0) / 2) ** 0.5)
    assert found.sign_agreement == 1.0
    assert (found.n_judges, found.n_answers, found.n_failed) == (2, 5, 1)


def test_the_median_of_three_bears_one_that_is_far_off() -> None:
    found = consensus(
        [judgement(str(value), [value], [value]) for value in (1.0, 1.2, 4.0)], ConsensusRules(max_spread=3)
    )
    assert found.delta == 1.2


@pytest.mark.parametrize(
    ("given_", "reason"),
    [
        ([judgement("a", [], [])], "too_few_answers"),
        ([judgement("a", [2.0], [])], "too_few_answers"),
        ([judgement("a", [2.0], [2.0]), judgement("b", [-1.0], [-1.0])], "sign_disagreement"),
        ([judgement("a", [0.3], [0.3]), judgement("b", [-0.3], [-0.3])], "sign_disagreement"),
        # Always the picture shown as A: no difference remains, and that is not a tie.
        ([judgement("a", [3.0, 3.0], [-3.0, -3.0])], "order_inconsistent"),
        ([judgement("a", [4.0], [4.0]), judgement("b", [3.0], [-3.0])], "order_inconsistent"),
        ([judgement("a", [8.0, 0.0], [8.0, 0.0])], "spread_too_large"),
        ([judgement("a", [1.0], [1.0]), judgement("b", [7.0], [7.0])], "spread_too_large"),
    ],
)
def test_what_is_rejected(given_: list[Judgement], reason: str) -> None:
    found = consensus(given_)
    assert found.rejected == reason
    assert found.delta is None


@pytest.mark.parametrize(
    ("given_", "delta"),
    [
        ([judgement("a", [0.0], [0.0])], 0.0),
        ([judgement("a", [2.0], [2.0]), judgement("b", [0.0], [0.0])], 1.0),  # a tie opposes nobody
        ([judgement("a", [7.0], [3.0])], 5.0),  # leans by 2, but sees 5
        ([judgement("a", [2.0], [2.0]), judgement("b", [9.0], [])], 2.0),  # half a judge does not count
    ],
)
def test_what_is_kept(given_: list[Judgement], delta: float) -> None:
    found = consensus(given_)
    assert found.rejected is None
    assert found.delta == delta


def test_rules_ask_for_more() -> None:
    one = [judgement("a", [2.0, 2.0], [2.0])]
    assert consensus(one, ConsensusRules(min_judges=2)).rejected == "too_few_answers"
    assert consensus(one, ConsensusRules(min_answers=2)).rejected == "too_few_answers"
    three = [judgement(str(value), [value], [value]) for value in (1.0, 1.5, -0.5)]
    assert consensus(three).rejected == "sign_disagreement"
    kept = consensus(three, ConsensusRules(min_sign_agreement=0.6))
    assert kept.delta == 1.0
    assert kept.sign_agreement == pytest.approx(2 / 3)


def test_what_is_no_question() -> None:
    one = judgement("a", [1.0], [1.0])
    with pytest.raises(InputError, match="exactly one pair"):
        consensus([])
    with pytest.raises(InputError, match="exactly one pair"):
        consensus([one, one.model_copy(update={"pair": "other", "judge": "b"})])
    with pytest.raises(InputError, match="twice"):
        consensus([one, one])


def test_it_is_a_row_of_a_table() -> None:
    found = consensus([judgement("a", [1.0], [1.0])])
    assert Consensus.model_validate_json(found.model_dump_json()) == found
