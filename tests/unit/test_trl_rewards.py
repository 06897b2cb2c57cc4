"""The rewards as TRL calls them: the faults of published reward code, kept out."""

from __future__ import annotations

import math
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from scipy.stats import norm

from redaes.answers import render_verdict, stated
from redaes.errors import TrainingError
from redaes.evidence.measurements import Measurements, PairEvidence
from redaes.rewards.ranking_consistency import GAMMA, TAU, S
from redaes.rewards.reasoning import NEAR, SHOWN, WITHOUT_FIGURE
from redaes.rewards.trl import MEASURED, REWARDS, Completion, observations, reward_functions
from redaes.types import Rationale, winner_of


def said(text: str) -> Completion:
    return [{"role": "assistant", "content": text}]


def answer(delta: float, factor: str = "light", text: str | None = None) -> Completion:
    """An answer, whose reasoning says in true words and figures that the worse picture is dark."""
    better = winner_of(delta)
    worse = "A" if better == "B" else "B"
    told = f"{worse} suffers from underexposure, with brightness 30 against 60." if text is None else text
    rationale = Rationale(text=told, factors=() if better == "tie" else (factor,), better=better)
    return said(render_verdict(stated(delta, rationale)))


def dark(label: float | None) -> tuple[list[str | None], PairEvidence]:
    """The faults of A and of B, of which the worse one is underexposed, and what was measured of them."""
    worse = None if label is None or winner_of(label) == "tie" else "A" if label < 0 else "B"
    pictures = [
        Measurements(width=64, height=48, values={"brightness": 30.0 if side == worse else 60.0}) for side in "AB"
    ]
    faults = ["exposure_down" if side == worse else None for side in "AB"]
    return faults, PairEvidence(first=pictures[0], second=pictures[1], registration=None)


def joined(*batches: dict[str, Any]) -> dict[str, Any]:
    return {key: [value for one in batches for value in one[key]] for key in batches[0]}


def prompt(
    shown: tuple[str, ...],
    *completions: Completion,
    labels: dict[tuple[str, str], float | None],
    group: str = "g",
    factors: tuple[str, ...] = ("light",),
) -> dict[str, Any]:
    """The completions of one prompt, as TRL hands them over: a pair shown in an order, or a single picture."""
    n = len(completions)
    label = labels[shown] if shown in labels else labels.get(shown[::-1])  # type: ignore[index, call-overload]
    if label is not None and shown not in labels:
        label = -label
    faults, evidence = dark(label) if len(shown) == 2 else (None, None)
    return {
        "completions": list(completions),
        "mode": ["reasoned" if len(shown) == 2 else "score"] * n,
        "group": [group] * n,
        "shown": [list(shown)] * n,
        "edges": [[{"first": a, "second": b, "delta": delta} for (a, b), delta in labels.items()]] * n,
        "delta": [label] * n,
        "factors": [list(factors)] * n,
        "faults": [faults] * n,
        "evidence": [evidence] * n,
    }


def batch(*completions: Completion, group: str = "g", delta: float | None = 3.0) -> dict[str, Any]:
    """A group of one pair and its two pictures: half of the completions answer the one order, half the other."""
    half = len(completions) // 2
    labels = {("x", "y"): delta}
    return joined(
        prompt(("x", "y"), *completions[:half], labels=labels, group=group),
        prompt(("y", "x"), *completions[half:], labels=labels, group=group),
        prompt(("x",), said("Score: 6"), said("Score: 7"), labels=labels, group=group),
        prompt(("y",), said("Score: 3"), said("7.5"), labels=labels, group=group),
    )


GARBAGE = [
    "",
    " ",
    "A",
    "Winner: A",
    "Winner: A\nDifference: -3.0",
    "7.5",
    "<rationale>",
    "nan",
    "A" * 5000,
    "Score: 6",
]
PAIRED = [
    "format", "preference", "verdict", "difference", "swap_consistency", "group_consistency", "factor", "symptom",
    "evidence",
]  # fmt: skip


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("name", PAIRED)
def test_garbage_never_earns_reward(name: str, garbage: str) -> None:
    rewards = REWARDS[name](**batch(said(garbage), answer(3.0), answer(-3.0), said(garbage)))
    assert rewards[0] == rewards[3] == 0.0


@pytest.mark.parametrize(
    "garbage", [*GARBAGE[:-1], "Score: 10", "Score: -1", "Score: 6.5", "Winner: A\nDifference: +3.0"]
)
def test_garbage_scores_earn_nothing(garbage: str) -> None:
    labels = {("x", "y"): 2.0}
    both = joined(
        prompt(("x",), said(garbage), said("Score: 6"), labels=labels), prompt(("y",), said("Score: 4"), labels=labels)
    )
    assert REWARDS["format"](**both) == [0.0, 1.0, 1.0]
    assert REWARDS["thurstone"](**both)[0] == 0.0
    assert REWARDS["thurstone"](**both)[1] > 0.9


def test_a_good_answer_earns_the_most() -> None:
    good = batch(answer(3.0), answer(3.0), answer(-3.0), answer(-3.0))
    assert all(reward == pytest.approx(1.0) for name in PAIRED for reward in REWARDS[name](**good)[:4])


def test_single_pictures_and_pairs_each_have_their_own_components() -> None:
    one = batch(answer(2.0), answer(-2.0))
    for name in PAIRED[1:]:
        rewards = REWARDS[name](**one)
        assert None not in rewards[:2]
        assert rewards[2:] == [None] * 4
    assert REWARDS["format"](**one) == [1.0, 1.0, 1.0, 1.0, 1.0, 0.0]
    thurstone = REWARDS["thurstone"](**one)
    assert thurstone[:2] == [None, None]
    assert thurstone[5] == 0.0
    assert None not in thurstone[2:]


@pytest.mark.parametrize("name", list(REWARDS))
def test_a_reward_does_not_depend_on_who_shares_the_batch(name: str) -> None:
    own = batch(answer(2.0), answer(1.0), answer(-2.5), said("?"), group="own")
    # The same pictures, too: a group can share some with another one.
    strangers = batch(answer(-4.0), answer(0.0), answer(4.0), answer(1.0), group="strangers", delta=-1.0)
    alone = REWARDS[name](**own)
    n = len(alone)
    assert REWARDS[name](**joined(own, strangers))[:n] == alone
    assert REWARDS[name](**joined(strangers, own))[n:] == alone


@pytest.mark.parametrize("name", list(REWARDS))
def test_the_order_of_prompts_does_not_matter(name: str) -> None:
    own = batch(answer(2.0), answer(1.0), answer(-2.5), answer(0.7))
    expected = REWARDS[name](**own)
    for order in list(permutations(range(len(expected))))[:: len(expected) * 7]:
        mixed = {key: [values[i] for i in order] for key, values in own.items()}
        assert REWARDS[name](**mixed) == [expected[i] for i in order]


@pytest.mark.parametrize("name", ["preference", "verdict", "difference", "swap_consistency", "factor"])
def test_swapping_everything_changes_nothing(name: str) -> None:
    one = REWARDS[name](**batch(answer(2.0), answer(-1.5), delta=3.0))[:2]
    other = REWARDS[name](**batch(answer(-1.5), answer(2.0), delta=-3.0))[:2]
    assert one == other[::-1]


def test_equal_labels_do_not_depend_on_order() -> None:
    tie = batch(answer(0.0), answer(0.0), delta=0.0)
    assert REWARDS["preference"](**tie)[:2] == [1.0, 1.0]
    lopsided = REWARDS["preference"](**batch(answer(2.0), answer(2.0), delta=0.0))
    assert lopsided[0] == lopsided[1] < 1


def test_no_difference_is_no_verdict_where_there_is_a_winner() -> None:
    assert REWARDS["verdict"](**batch(answer(0.0), answer(-0.5), answer(0.5), answer(0.0)))[:4] == [0.0, 0.0, 0.0, 0.0]
    assert REWARDS["verdict"](**batch(answer(0.5), answer(9.0), answer(-0.5), answer(-9.0)))[:4] == [1.0, 1.0, 1.0, 1.0]
    assert REWARDS["verdict"](**batch(answer(0.0), answer(2.0), delta=0.0))[:2] == [1.0, 0.0]


def test_an_unlabelled_pair_has_no_labelled_reward_and_keeps_the_others() -> None:
    unlabelled = batch(answer(2.0), answer(-2.0), delta=None)
    for name in ("preference", "verdict", "difference", "factor", "thurstone"):
        assert REWARDS[name](**unlabelled) == [None] * 6
    assert REWARDS["format"](**unlabelled)[:2] == [1.0, 1.0]
    assert REWARDS["swap_consistency"](**unlabelled)[:2] == [1.0, 1.0]
    assert REWARDS["group_consistency"](**unlabelled)[:2] == [1.0, 1.0]


TRIANGLE: dict[tuple[str, str], float | None] = {("x", "y"): 2.0, ("y", "z"): 1.0, ("x", "z"): 3.0}


def triangle(stated_by_pair: dict[tuple[str, str], list[float | None]]) -> dict[str, Any]:
    def completion(value: float | None) -> Completion:
        return said("?") if value is None else answer(value)

    return joined(
        *(prompt(shown, *map(completion, values), labels=TRIANGLE) for shown, values in stated_by_pair.items())
    )


def test_group_consistency_is_agreement_with_the_least_squares_scale() -> None:
    stated_by_pair: dict[tuple[str, str], list[float | None]] = {
        ("x", "y"): [2.0, 3.0], ("y", "x"): [-1.0, None],
        ("y", "z"): [0.5, 1.5], ("z", "y"): [2.0, 2.0],
        ("x", "z"): [-4.0, None], ("z", "x"): [-1.0, -3.0],
    }  # fmt: skip
    # The reference: least squares over the means of the six ordered pairs, by the pseudo-inverse.
    names = ["x", "y", "z"]
    means = {shown: np.mean([v for v in values if v is not None]) for shown, values in stated_by_pair.items()}
    design = np.array([[(name == a) - (name == b) for name in names] for a, b in means], dtype=float)
    scale = dict(zip(names, np.linalg.pinv(design) @ np.array(list(means.values())), strict=True))
    expected = [
        0.0 if value is None else math.exp(-0.5 * ((value - (scale[a] - scale[b])) / S) ** 2)
        for (a, b), values in stated_by_pair.items()
        for value in values
    ]
    assert REWARDS["group_consistency"](**triangle(stated_by_pair)) == pytest.approx(expected)


def test_a_cycle_costs_every_pair_of_the_group_reward() -> None:
    ways = {("x", "y"): 2.0, ("y", "z"): 2.0, ("z", "x"): 2.0}
    cycle = {**{k: [v] for k, v in ways.items()}, **{(b, a): [-v] for (a, b), v in ways.items()}}
    assert REWARDS["group_consistency"](**triangle(cycle)) == pytest.approx([math.exp(-0.5)] * 6)
    # No order says so alone: each agrees perfectly with its own swapped one.
    assert REWARDS["swap_consistency"](**triangle(cycle)) == [1.0] * 6


def test_a_group_whose_answers_connect_nothing_has_no_reference() -> None:
    silent: dict[tuple[str, str], list[float | None]] = {
        ("x", "y"): [None], ("y", "x"): [None], ("y", "z"): [None], ("z", "y"): [None],
        ("x", "z"): [1.0], ("z", "x"): [-1.0],
    }  # fmt: skip
    assert REWARDS["group_consistency"](**triangle(silent)) == [None] * 4 + [pytest.approx(1.0)] * 2


def test_thurstone_is_the_fidelity_to_the_labels_of_the_group() -> None:
    said_scores: dict[str, list[int | None]] = {"x": [8, 6], "y": [5, 5], "z": [2, None]}
    labels: dict[tuple[str, str], float | None] = {**TRIANGLE, ("y", "z"): None}
    whole = joined(
        *(
            prompt((name,), *(said("?" if value is None else f"Score: {value}") for value in values), labels=labels)
            for name, values in said_scores.items()
        )
    )
    parsed = {name: [v for v in values if v is not None] for name, values in said_scores.items()}

    def fidelity(value: int, own: str, other: str, label: float) -> float:
        spread = math.sqrt(np.var(parsed[own]) + np.var(parsed[other]) + GAMMA)
        p, q = norm.cdf((value - np.mean(parsed[other])) / spread), norm.cdf(label / TAU)
        return math.sqrt(p * q) + math.sqrt((1 - p) * (1 - q))

    expected = [
        np.mean([fidelity(8, "x", "y", 2.0), fidelity(8, "x", "z", 3.0)]),
        np.mean([fidelity(6, "x", "y", 2.0), fidelity(6, "x", "z", 3.0)]),
        fidelity(5, "y", "x", -2.0),  # y and z have no label
        fidelity(5, "y", "x", -2.0),
        fidelity(2, "z", "x", -3.0),
        0.0,
    ]
    assert REWARDS["thurstone"](**whole) == pytest.approx(expected)


def test_an_incomplete_group_raises() -> None:
    whole = triangle({shown: [1.0] for pair in TRIANGLE for shown in (pair, pair[::-1])})
    one_order = {key: value[:5] for key, value in whole.items()}
    with pytest.raises(
        TrainingError, match="incomplete ranking group: 1 completions of group g show x as A and z as B"
    ):
        REWARDS["swap_consistency"](**one_order)
    without_a_pair = {key: value[:4] for key, value in whole.items()}
    with pytest.raises(TrainingError, match="group is incomplete: no completions for"):
        REWARDS["group_consistency"](**without_a_pair)
    alone = prompt(("x",), said("Score: 6"), labels=TRIANGLE)
    with pytest.raises(TrainingError, match="group is incomplete: every picture needs completions"):
        REWARDS["thurstone"](**alone)


def test_a_prompt_that_is_repeated_to_fill_a_batch_only_adds_completions() -> None:
    whole = triangle({shown: [1.0, 2.0] for pair in TRIANGLE for shown in (pair, pair[::-1])})
    again = {key: value + value[:4] for key, value in whole.items()}
    for name in ("swap_consistency", "group_consistency"):
        once, twice = REWARDS[name](**whole), REWARDS[name](**again)
        assert twice[:12] == once  # both orders again, so that no mean has moved
        assert twice[12:] == once[:4]


def test_unknown_component_lists_the_known() -> None:
    with pytest.raises(TrainingError, match="give some of format, preference"):
        reward_functions(["beauty"])
    with pytest.raises(TrainingError, match="give each once"):
        reward_functions(["format", "format"])


def test_observations_by_hand() -> None:
    labels = {("x", "y"): 3.0, ("y", "z"): 1.0}
    seen = joined(
        prompt(("x", "y"), answer(3.0), answer(1.0), said("?"), labels=labels),
        prompt(("y", "x"), answer(-1.0), answer(-2.0), said("?"), labels=labels),  # agrees: mean +2 against -1.5
        prompt(("y", "z"), answer(1.0), answer(0.0), labels=labels),
        prompt(("z", "y"), answer(2.0), said("?"), labels=labels),  # always A: mean +0.5 against +2
        prompt(("x",), said("Score: 3"), labels=labels),
    )
    figures: dict[str, list[float]] = {}
    for name, value in observations(seen["completions"], seen["mode"], seen["group"], seen["shown"]):
        figures.setdefault(name, []).append(value)
    means = {name: float(np.mean(values)) for name, values in figures.items()}
    assert means == pytest.approx(
        {
            "answers/parsed": 8 / 11,
            "answers/A": 4 / 7,
            "answers/B": 2 / 7,
            "answers/tie": 1 / 7,
            "swap/agreement": 1 / 2,
            "swap/gap": (0.5 + 2.5) / 2,
        }
    )


# --- what reasonings say ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "symptom", "evidence"),
    [
        ("B suffers from underexposure, with brightness 30 against 60.", 1.0, 1.0),
        ("A suffers from underexposure, with brightness 30 against 60.", 0.0, 0.0),  # contradicted, figures and all
        ("B suffers from underexposure. B is darker: brightness 60 against 30.", 0.0, 0.0),
        ("B suffers from underexposure. B is darker: brightness 10 against 90.", 1.0, 0.0),
        ("B is darker.", SHOWN, WITHOUT_FIGURE),
        ("B suffers from a grey haze.", NEAR, 0.0),
        ("B suffers from obstruction by a finger.", 0.0, 0.0),
        ("They were looked at.", 0.0, 0.0),
    ],
)
def test_what_is_said_is_held_against_the_pixels(text: str, symptom: float, evidence: float) -> None:
    one = prompt(("x", "y"), answer(3.0, text=text), labels={("x", "y"): 3.0})
    assert REWARDS["symptom"](**one) == [pytest.approx(symptom)]
    assert REWARDS["evidence"](**one) == [pytest.approx(evidence)]


def test_pairs_that_were_not_measured_or_not_labelled_have_no_such_reward() -> None:
    one = prompt(("x", "y"), answer(3.0), said("?"), labels={("x", "y"): 3.0})
    for name in MEASURED:
        assert REWARDS[name](**{**one, "evidence": [None, None]}) == [None, None]
    assert REWARDS["symptom"](**{**one, "delta": [None, None]}) == [None, None]
    assert REWARDS["symptom"](**{**one, "faults": [[None, None]] * 2}) == [None, None]
    assert REWARDS["evidence"](**{**one, "delta": [None, None], "faults": [[None, None]] * 2}) == [1.0, 0.0]


def test_a_wrong_fault_of_the_right_factor_is_paid_little_and_by_the_factor_in_full() -> None:
    """ "Obstruction by a finger", for power lines: all that the reason could earn before there was a symptom."""
    evidence = dark(None)[1].model_copy(update={"changes": ()})
    one = prompt(
        ("x", "y"), answer(3.0, "content", "B suffers from obstruction by a finger."), labels={("x", "y"): 3.0},
        factors=("content",),
    )  # fmt: skip
    one = {**one, "faults": [[None, "power_lines"]], "evidence": [evidence]}
    assert REWARDS["factor"](**one) == [1.0]
    assert REWARDS["symptom"](**one) == [pytest.approx(0.1)]
    recipe = yaml.safe_load((Path(__file__).parents[2] / "stages" / "configs" / "stage3_nano.yaml").read_text())
    weights = dict(zip(recipe["rewards"], recipe["reward_weights"], strict=True))
    reasons = ("factor", "symptom", "evidence")
    earned = sum(weights[name] * REWARDS[name](**one)[0] for name in reasons)  # type: ignore[operator]
    assert earned <= 0.25 * sum(weights[name] for name in reasons)
