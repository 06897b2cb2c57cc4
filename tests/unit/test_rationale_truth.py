"""How true reasonings are, from hand-made statements and measurements: what is counted, and what the page shows."""

from __future__ import annotations

import doctest
import io
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from redaes.errors import InputError
from redaes.estimates import Estimate, Proportion
from redaes.evaluation import truth
from redaes.evaluation.rationale_page import rationale_page, worst
from redaes.evaluation.rationales import rationale_quality
from redaes.evaluation.truth import (
    CheckedPair,
    CheckedReason,
    both_orders,
    check_measured,
    rationale_truth,
    reason_truth,
)
from redaes.evidence import rationale_truth as truth_of_claims
from redaes.evidence.claims import CheckedClaim, Claim, Claims, Relation, Status
from redaes.evidence.measurements import Measurements, PairEvidence
from redaes.evidence.rationale_truth import names_fault, reason_of, tells_fault
from redaes.heldout import FastSummary, HeldOut, PairOutcome, ReasonedOutcome, WrittenAnswer
from redaes.images import content_id
from redaes.records import PairRecord
from redaes.types import Edit, ImageRef, Order, Pair, Sampling, Winner

TEXT = "A is noisier: noise 6.0 against 0.9. B is brighter."


def _claim(
    status: Status, side: Any = "A", relation: Relation = "more", quantity: str | None = "noise", **more: Any
) -> CheckedClaim:
    why, fault = more.pop("why", "sign" if status == "contradicted" else ""), more.pop("fault", None)
    claim = Claim(text="A is noisier", start=0, end=12, side=side, relation=relation, quantity=quantity, fault=fault)
    return CheckedClaim(claim=claim, status=status, why=why, **more)


def _claims(*statuses: Status) -> Claims:
    return Claims(checked=tuple(_claim(status) for status in statuses), version="evidence/1 claims/1")


S: Status = "supported"
C: Status = "contradicted"
N: Status = "not_measurable"


@pytest.mark.parametrize("module", [truth_of_claims, truth])
def test_examples_in_docstrings(module: Any) -> None:
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ((), "unconfirmed"),
        ((N,), "unconfirmed"),
        ((S, N), "true"),
        ((S, S, C), "partly"),
        ((S, C), "false"),
        ((C,), "false"),
    ],
)
def test_what_a_reasoning_comes_to(statuses: tuple[Status, ...], expected: str) -> None:
    reason = reason_of(_claims(*statuses))
    assert reason.truth == expected
    assert (reason.n_supported, reason.n_contradicted, reason.n_unmeasured) == tuple(map(statuses.count, (S, C, N)))


@pytest.mark.parametrize(
    ("claim", "named", "told"),
    [
        (_claim(S, fault="noise_luma"), True, True),
        (_claim(S, relation="present", quantity=None, fault="noise_luma"), True, True),
        (_claim(N, relation="present", quantity=None, fault="noise_luma"), True, True),
        (_claim(S, "B", "less", fault="noise_luma"), True, True),  # the other has less of it: the same
        (_claim(S), False, True),  # the quantity that shows it
        (_claim(S, "B", "less"), False, True),
        (_claim(C, why="figure", fault="noise_luma"), True, True),
        (_claim(C, why="sign", fault="noise_luma"), False, False),
        (_claim(S, "B", fault="noise_luma"), False, False),  # the wrong picture
        (_claim(S, "both", "present", None, fault="noise_luma"), False, False),
        (_claim(S, "A", "less", fault="noise_luma"), False, False),
        (_claim(S, "A", "absent", None, fault="noise_luma"), False, False),
        (_claim(S, quantity="brightness"), False, False),
    ],
)
def test_the_fault_is_named_on_the_picture_that_has_it(claim: CheckedClaim, named: bool, told: bool) -> None:
    claims = Claims(checked=(_claim(N, quantity=None), claim), version="")
    assert names_fault(claims, "noise_luma", "A") is named
    assert tells_fault(claims, "noise_luma", "A") is told


def _row(
    claims: Claims | None, right: bool | None = True, symptom: bool | None = None, cluster: str = "s"
) -> CheckedReason:
    return CheckedReason(
        pair="p", cluster=cluster, order="forward", text=None if claims is None else TEXT, claims=claims,
        reason=reason_of(claims), right=right, symptom=symptom, told=symptom,
    )  # fmt: skip


def test_statements_are_counted_over_all_reasonings_and_verdicts_over_the_right_ones() -> None:
    found = reason_truth(
        [
            _row(_claims(S, S, N), True, True, "a"),
            _row(_claims(C), True, False, "b"),
            _row(_claims(S, C), False, False, "c"),
            _row(_claims(N), None, None, "d"),
            _row(None, False, False, "e"),
        ]
    )
    assert (found.n, found.n_claims, found.claims_per_reason) == (5, 7, 7 / 4)
    assert found.claims_true.value == pytest.approx(3 / 5)
    assert found.measurable.value == pytest.approx(5 / 7)
    assert found.true_but_for_figures == found.claims_true
    assert (found.symptom.value, found.n_symptom) == (pytest.approx(1 / 4), 4)
    assert (found.false_though_right.value, found.confirmed_though_right.value, found.n_right) == (0.5, 0.5, 2)
    assert {name: share.value for name, share in found.truths.items()} == {
        "true": 0.2, "partly": 0.0, "false": 0.4, "unconfirmed": 0.2, "none": 0.2
    }  # fmt: skip
    assert found.contradictions == {"sign": 2}
    assert found.by_quantity == {"noise": (3, 2)}
    assert found.claims_true.low is not None
    assert found.claims_true.low < found.claims_true.value < found.claims_true.high  # type: ignore[operator]


def test_figures_that_are_off_can_be_forgiven() -> None:
    off = Claims(checked=(_claim(C, why="figure"), _claim(C, why="figure"), _claim(C, why="side")), version="")
    found = reason_truth([_row(off), _row(_claims(C)), _row(None)])
    assert (found.claims_true.value, found.true_but_for_figures.value) == (0.0, 0.5)
    assert found.false_though_right.value == pytest.approx(2 / 3)
    assert found.false_but_for_figures.value == pytest.approx(1 / 3)
    assert reason_of(None).but_for_figures == "none"


def test_intervals_resample_photographs() -> None:
    alone = reason_truth([_row(_claims(S), cluster="one"), _row(_claims(C), cluster="one")])
    assert (alone.claims_true.value, alone.claims_true.low) == (0.5, None)


def test_nothing_said_is_no_number() -> None:
    found = reason_truth([_row(None, False)])
    assert (found.claims_true.value, found.measurable.value, found.claims_per_reason) == (None, None, None)
    assert found.truths["none"].value == 1.0
    assert found.false_though_right.value is None


def _edit(operation: str, direction: Any = "degrade") -> Edit:
    return Edit(
        factor="noise", operation=operation, direction=direction, strength=0.5, instruction="Add noise.", editor="e",
        seed=0,
    )  # fmt: skip


def _png(level: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (24, 16), (level, 90, 255 - level)).save(buffer, "PNG")
    return buffer.getvalue()


def _record(number: int, delta: float, first: Edit | None, second: Edit | None) -> PairRecord:
    one, other = _png(number), _png(number + 100)
    pair = Pair(
        id=f"p{number}", first=ImageRef(id=content_id(one), path=Path("a.png")),
        second=ImageRef(id=content_id(other), path=Path("b.png")), delta=delta, edit_first=first, edit_second=second,
        factors=("noise",) if delta else (), group=f"g{number}", source=f"s{number}", split="test",
    )  # fmt: skip
    return PairRecord(
        pair=pair, first_bytes=one, second_bytes=other, rationale=None, rationale_swapped=None, licence=""
    )  # fmt: skip


@pytest.mark.parametrize(
    ("delta", "first", "second", "expected"),
    [
        (2.0, None, _edit("noise_luma"), True),
        (-2.0, _edit("noise_luma"), _edit("unheard_of"), True),
        (2.0, _edit("noise_luma", "improve"), None, True),
        (2.0, _edit("noise_luma"), None, None),
        (2.0, _edit("noise_luma"), _edit("unheard_of"), None),
        (0.0, _edit("noise_luma"), _edit("noise_luma"), None),
        (2.0, None, _edit("noise_luma", "improve"), None),
    ],
)
def test_the_fault_that_decides_is_the_worse_pictures(
    delta: float, first: Edit | None, second: Edit | None, expected: bool | None
) -> None:
    record = _record(1, delta, first, second)
    text = "A suffers from strong noise." if delta < 0 else "B suffers from strong noise."
    evidence = {"p1": both_orders(_evidence(6.0, 0.9) if delta < 0 else _evidence(0.9, 6.0))}
    (checked,) = check_measured([record], _held_out(_reasoned(record, delta, "forward", text)), evidence)
    assert checked.shown.symptom is expected
    assert checked.shown.told is expected


def _evidence(first: float, second: float) -> PairEvidence:
    values = [
        Measurements(width=24, height=16, values={"noise": noise, "brightness": 50.0}) for noise in (first, second)
    ]
    return PairEvidence(first=values[0], second=values[1], registration=None)


def _share() -> Proportion:
    return Proportion.counted(0, 0)


def _held_out(*items: ReasonedOutcome) -> HeldOut:
    none = Estimate(value=None)
    fast = FastSummary(accuracy=_share(), by_factor={}, srcc=none, order_consistency=_share())
    return HeldOut(
        model="<model>", revision="r", prompt_ids=("compare/v1@0",), sampling=Sampling(), seed=0, n_pairs=len(items),
        n_photographs=len(items), cluster="group", n_clusters=len(items), fast=fast, reasoned=None, outcomes=(),
        reasoned_outcomes=items,
    )  # fmt: skip


def _reasoned(record: PairRecord, delta: float, order: Order | None, text: str | None = TEXT) -> ReasonedOutcome:
    pair = record.pair
    answers = tuple(
        WrittenAnswer(
            order=one, failure=None if text else "not_the_form", winner=None, factors=(), right_factor=False,
            rationale=text, text=text or "",
        )
        for one in ("forward", "swapped")
    )  # fmt: skip
    outcome = PairOutcome(
        pair=pair.id, group=pair.group, source=pair.source, factors=pair.factors, label=pair.delta or 0.0, delta=delta,
        probability=None, order_consistent=True, asked=True,
    )  # fmt: skip
    winner: Any = "A" if delta > 0 else "B"
    return ReasonedOutcome(outcome=outcome, winner=winner, rationale=text, rationale_order=order, answers=answers)


def _checked(record: PairRecord, shown: CheckedReason, winner: Winner | None = "A") -> CheckedPair:
    own = shown.model_copy(update={"pair": record.pair.id})
    return CheckedPair(pair=record.pair.id, evidence=_evidence(6.0, 0.9), answers=(own, own), shown=own, winner=winner)


def test_answers_of_both_orders_are_read_in_their_own_letters() -> None:
    record = _record(1, 2.0, None, _edit("noise_luma"))
    item = _reasoned(record, 2.0, "swapped")
    said = ("B suffers from strong noise.", "A suffers from strong noise.")
    answers = [
        one.model_copy(update={"rationale": text, "winner": w})
        for one, text, w in zip(item.answers, said, "AB", strict=True)
    ]
    item = item.model_copy(update={"answers": tuple(answers), "rationale": said[1]})
    evidence = {"p1": both_orders(_evidence(0.9, 6.0))}
    (checked,) = check_measured([record], _held_out(item), evidence)
    for one in (*checked.answers, checked.shown):
        assert (one.reason.truth, one.right, one.symptom) == ("true", True, True)
    assert [one.claims.checked[0].measured for one in checked.answers] == [(0.9, 6.0), (6.0, 0.9)]  # type: ignore[union-attr]
    turned = [one.model_copy(update={"rationale": text}) for one, text in zip(answers, said[::-1], strict=True)]
    (checked,) = check_measured([record], _held_out(item.model_copy(update={"answers": tuple(turned)})), evidence)
    for one in checked.answers:
        assert (one.reason.truth, one.symptom) == ("false", False)
    found = rationale_truth([checked])
    assert found.version == "evidence/1 claims/1"
    assert (found.answers.claims_true.value, found.shown.claims_true.value) == (0.0, 1.0)
    with pytest.raises(InputError, match="p1 was answered and is not in the dataset"):
        check_measured([], _held_out(item), evidence)


def test_pictures_too_small_to_be_measured_confirm_nothing() -> None:
    record = _record(1, 2.0, None, _edit("noise_luma"))
    (checked,) = check_measured([record], _held_out(_reasoned(record, 2.0, "forward")), {"p1": None})
    assert (checked.evidence, checked.shown.claims, checked.shown.reason.truth) == (None, None, "none")


def test_a_right_verdict_for_a_false_reason_is_the_worst() -> None:
    records = [_record(number, 2.0, None, None) for number in range(4)]
    rows = [_row(_claims(S)), _row(_claims(C, C, C), False), _row(_claims(S, C)), _row(_claims(S, S, C))]
    found = worst([_checked(record, row) for record, row in zip(records, rows, strict=True)])
    assert [one.pair for one in found] == ["p2", "p1", "p3", "p0"]


def test_the_page_shows_pictures_in_the_reasonings_letters_and_escapes_texts() -> None:
    record = _record(1, -2.0, _edit("noise_luma"), None)
    hostile = "<script>alert(1)</script>"
    shown = _row(_claims(C), True, False).model_copy(update={"order": "swapped", "text": hostile})
    checked = [_checked(record, shown, "B")]
    evaluation = _held_out(_reasoned(record, -1.0, "swapped", hostile))
    page = rationale_page([record], evaluation, checked, rationale_quality(evaluation), rationale_truth(checked))
    assert "<script>alert" not in page
    assert "right verdict, wrong reason</span>" in page
    # The second picture, unedited and better, is the reasoning's A, and is framed.
    framed = re.search(r'<span class="lettered better"><img alt="(.): (.*?)"', page)
    assert framed is not None
    assert framed.groups() == ("A", "no edit")
    assert 'alt="B: noise luma, strength 0.50"' in page
    assert '<p>A is better</p><p class="good">✓ right</p>' in page
    assert re.search(r'<th scope="row">noise, L\*</th><td>0\.9</td><td>6\.0</td>', page)
    assert "http" not in page.replace("http-equiv", "")


@pytest.mark.parametrize(
    ("winner", "undecided", "says"),
    [
        (None, "reasons", '<p class="soft">undecided</p>'),
        ("tie", None, '<p>a tie</p><p class="bad">✗ wrong</p>'),
    ],
)
def test_the_page_tells_the_verdict_and_not_what_was_written_beside_it(
    winner: Winner | None, undecided: Any, says: str
) -> None:
    record = _record(1, -2.0, _edit("noise_luma"), None)
    evaluation = _held_out(_reasoned(record, -1.0, None))  # it writes that the second is better, and it is
    checked = [_checked(record, _row(None, False), winner).model_copy(update={"undecided": undecided})]
    page = rationale_page([record], evaluation, checked, rationale_quality(evaluation), rationale_truth(checked))
    assert f'data-name="Verdict" data-value="">{says}</td>' in page
