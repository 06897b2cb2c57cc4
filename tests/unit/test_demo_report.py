"""The demonstration's page, from invented results: valid, self-contained, nothing undefined printed."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("jinja2")

from redaes.answers import render_verdict
from redaes.backends.base import BatchBackend, Request
from redaes.datagen.editors.parametric import make_edit
from redaes.demo.answered_pairs import answered_pairs
from redaes.demo.report import (
    DemoComparison,
    LearningCurve,
    Moment,
    accuracy_svg,
    curve_svg,
    gallery,
    headline,
    interval,
    number,
    percent,
    render,
    signed,
)
from redaes.estimates import Estimate
from redaes.evaluation.truth import CheckedPair, CheckedReason
from redaes.evidence.claims import CheckedClaim, Claim, Claims, Status
from redaes.evidence.measurements import Measurements, PairEvidence
from redaes.evidence.rationale_truth import reason_of
from redaes.heldout import HeldOut, evaluate
from redaes.images import content_id
from redaes.records import PairRecord
from redaes.types import FACTORS, Factor, ImageRef, Pair, Rationale, Sampling, Verdict

HOSTILE = "<script>alert(1)</script> & “quotes”"
VOID = {"meta", "img", "br", "link", "input", "hr", "circle", "line", "path", "polyline"}


def _jpeg(level: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (24, 16), (level, 90, 255 - level)).save(buffer, "JPEG")
    return buffer.getvalue()


def _record(number: int, factor: Factor | None) -> PairRecord:
    first, second = _jpeg(2 * number), _jpeg(2 * number + 1)
    return PairRecord(
        pair=Pair(
            id=f"{number:016x}",
            first=ImageRef(id=content_id(first), path=Path("a.jpg")),
            second=ImageRef(id=content_id(second), path=Path("b.jpg")),
            delta=0.0 if factor is None else 3.0 * (-1) ** number,
            edit_first=None,
            edit_second=None if factor is None else make_edit("exposure_down", 0.5, 1),
            factors=() if factor is None else (factor,),
            group=f"g{number % 4}",
            source="s",
            split="test",
        ),
        first_bytes=first,
        second_bytes=second,
        rationale=Rationale(text="B is dark.", factors=("light",), better="A"),
        rationale_swapped=None,
        licence="",
    )


RECORDS = [_record(n, ([*FACTORS, None])[n % 9]) for n in range(27)]


class _Model(BatchBackend):
    """Answers from the pictures' colour: wrong on every third pair, silent on every fifth."""

    model = "invented <model>"
    revision = "abc"

    def __init__(self, skill: int) -> None:
        self.skill = skill

    def _sign(self, request: Request) -> int:
        level, other = (np.asarray(image)[0, 0, 0] for image in request.images)
        return 1 if (int(level) + int(other)) % self.skill else -1

    def read(self, requests: list[Request], choices: tuple[str, ...]) -> Any:
        return np.array([[-1.0 - self._sign(r), -1.0 + self._sign(r), -5.0][: len(choices)] for r in requests])

    def generate(self, requests: list[Request], sampling: Sampling) -> list[str]:
        texts = []
        for index, request in enumerate(requests):
            better = "A" if self._sign(request) > 0 else "B"
            verdict = Verdict(
                winner=better,  # type: ignore[arg-type]
                delta=2.0 if better == "A" else -2.0,
                rationale=Rationale(text=HOSTILE, factors=("light",), better=better),  # type: ignore[arg-type]
            )
            texts.append("no" if index % 5 == 0 else render_verdict(verdict))
        return texts


def _evaluation(skill: int, n_reasoned: int = 27) -> HeldOut:
    return evaluate(_Model(skill), RECORDS, n_reasoned=n_reasoned, sampling=Sampling(), seed=0)


CURVE = LearningCurve("stage 1: imitate", "loss", ((2, 1.5), (4, 0.75), (6, 0.5)))
MOMENTS = [
    Moment("before training", _evaluation(2), None),
    Moment("after stage 1", _evaluation(3), CURVE),
    Moment("after stage 2", _evaluation(5), CURVE),
    Moment("after stage 3", _evaluation(7), CURVE),
]
BUILD = {
    "photographs": {"train": 4, "test": 1},
    "pairs": {"train": 80, "test": 27},
    "kept_by_factor": {"light": 60, "tie": 47},
    "rejected_pairs": {"might_improve": 5},
    "rejected_photographs": [{"file": HOSTILE, "reason": "unreadable: damaged"}],
    "licences": {"CC0": 5},
}
RESULT = {
    "winner": "A",
    "delta": 2.25,
    "probability": 0.9,
    "failure": None,
    "rationale": HOSTILE,
    "rationale_order": "swapped",
    "order_consistent": True,
    "notes": ["a note"],
    "comparisons": [{"order": "forward", "raw": HOSTILE}],
}
PROVENANCE = {
    "data": "d" * 64,
    "settings": {"editor": "embedded/1", "settings": {"views": 8}},
    "scale": {"scale": {"sft_steps": 40}},
    "stages": {"stage1": {"seed": 0}},
    "environment": {"versions": {"redaes": "0.1"}, "python": "3.11", "machine": {"system": "Linux", "cpus": 2}},
}


def _page(**changes: Any) -> str:
    shown = DemoComparison("One photograph", "about", 3.2, (_jpeg(1), _jpeg(2)), ("clean", "dark"), RESULT)
    arguments: dict[str, Any] = {
        "moments": MOMENTS,
        "build": BUILD,
        "gallery": gallery(RECORDS, MOMENTS[0].evaluation, MOMENTS[-1].evaluation),
        "comparisons": [shown],
        "seconds": {"build": 3.0, "stage1": 70.0},
        "provenance": PROVENANCE,
        "credits": ["china: CC BY 2.0; somebody"],
        "pairs": answered_pairs(RECORDS, MOMENTS),
    }
    return render(**{**arguments, **changes})


class _Checker(HTMLParser):
    """Every element is closed in order; collects references, alternative texts and text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.references: list[str] = []
        self.alternatives: list[str] = []
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        values = dict(attrs)
        self.references += [v or "" for k, v in attrs if k in ("src", "href", "srcset", "xlink:href", "action")]
        if tag == "img":
            self.alternatives.append(values.get("alt") or "")
        if tag == "svg":
            assert values.get("role") == "img"
            assert values.get("aria-label")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def _checked(page: str) -> _Checker:
    checker = _Checker()
    checker.feed(page)
    checker.close()
    assert checker.open == []
    return checker


def test_it_is_valid_and_self_contained() -> None:
    page = _page()
    checked = _checked(page)
    assert checked.references
    assert all(reference.startswith("data:image/jpeg;base64,") for reference in checked.references)
    assert "@import" not in page
    assert not re.search(r"url\(", page)
    assert len(checked.alternatives) == len(checked.references) + page.count(" data-picture=")
    assert all(checked.alternatives)


def test_every_pair_that_was_answered_with_reasons_stands_before_and_after_training() -> None:
    rows = answered_pairs(RECORDS, MOMENTS)
    assert [row.run for row in rows] == ["before training", "after stage 3"] * 27
    assert [row.id for row in rows[::2]] == [row.id for row in rows[1::2]] == sorted(one.pair.id for one in RECORDS)
    by_id = {item.outcome.pair: item for item in MOMENTS[-1].evaluation.reasoned_outcomes}
    for row in rows[1::2]:
        item = by_id[row.id]
        assert (row.outcome == "right") == (item.winner is not None and item.outcome.decided and item.outcome.right)
        assert (row.outcome == "failed") == (item.winner is None)
    assert {row.outcome for row in rows} == {"right", "wrong", "open"}
    assert _page().count('<tr role="row" data-factor=') == 54
    assert "Every pair that was answered" not in _page(pairs=())


def test_what_files_and_models_say_is_escaped() -> None:
    page = _page()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "invented &lt;model&gt;" in page


def test_nothing_undefined_is_printed() -> None:
    text = _checked(_page()).text
    for word in ("nan", "None", "inf", "Undefined", "Infinity"):
        assert not re.search(rf"\b{word}\b", text), word


def test_all_intervals_are_shown() -> None:
    text = _checked(_page()).text
    for moment in MOMENTS:
        fast, reasoned = moment.evaluation.fast, moment.evaluation.reasoned
        assert reasoned is not None
        shares = [fast.accuracy, fast.order_consistency, *fast.by_factor.values()]
        shares += [reasoned.accuracy, reasoned.parse_rate, reasoned.factor_accuracy, reasoned.order_consistency]
        for share in shares:
            assert f"{percent(share.value)} {interval(share)}" in text
        assert f"{number(fast.srcc.value)} {interval(fast.srcc, 1.0, 2)}" in text


def test_every_part_is_there() -> None:
    text = _checked(_page()).text
    for part in ("not_the_form", "might improve", "damaged", "Limits", "d" * 64, "1 min 10 s", "2 cores", "CC BY 2.0"):
        assert part in text
    for moment in MOMENTS[1:]:
        assert moment.name in text
    assert text.count("model before training") == 9  # eight factors and a tie


def _with_reasons(moment: Moment, *statuses: Status) -> Moment:
    """As if every reasoning made these statements."""
    claim = Claim(text="A", start=0, end=1, side="A", relation="more", quantity="noise")
    claims = Claims(checked=tuple(CheckedClaim(claim=claim, status=one) for one in statuses), version="")
    evidence = PairEvidence(
        first=Measurements(width=9, height=9, values={}),
        second=Measurements(width=9, height=9, values={}),
        registration=None,
    )
    checked = {}
    for item in moment.evaluation.reasoned_outcomes:
        outcome = item.outcome
        one = CheckedReason(
            pair=outcome.pair, cluster=outcome.group, order="forward", text="A", claims=claims, symptom=None, told=None,
            reason=reason_of(claims), right=outcome.right if outcome.decided else None,
        )  # fmt: skip
        checked[outcome.pair] = CheckedPair(
            pair=outcome.pair, evidence=evidence, answers=(one, one), shown=one, winner=item.winner
        )
    return replace(moment, checked=checked)


def test_a_right_verdict_for_a_false_reason_is_marked() -> None:
    assert "reason wrong" not in _page()
    before, *between, after = MOMENTS
    moments = [before, *between, _with_reasons(after, "supported", "contradicted", "contradicted")]
    shown = gallery(RECORDS, before.evaluation, after.evaluation)
    right = [
        one.after for one in shown if one.after.outcome.decided and one.after.outcome.right and one.after.rationale
    ]
    text = _checked(_page(moments=moments)).text
    assert 0 < text.count("verdict right, reason wrong") == len(right)
    assert "measuring confirms 1 and contradicts 2 statements." in text
    assert f"33 % {interval(moments[-1].truth.claims_true)}" in text  # type: ignore[union-attr]
    assert "reason wrong" not in _checked(_page(moments=[*MOMENTS[:-1], _with_reasons(after, "supported")])).text


def test_one_group_and_no_reasons_still_make_a_page() -> None:
    records = RECORDS[:1]
    alone = [
        Moment(m.name, evaluate(_Model(2), records, n_reasoned=0, sampling=Sampling(), seed=0), m.curve)
        for m in MOMENTS
    ]
    text = _checked(
        _page(
            moments=alone,
            gallery=[],
            credits=[],
            comparisons=[],
            build={**BUILD, "rejected_pairs": {}, "rejected_photographs": []},
        )
    ).text
    assert "[no interval]" in text
    assert "nothing can be said about chance" in text
    assert "Every photograph was usable" in text


def test_a_silent_model_makes_a_page() -> None:
    silent = {**RESULT, "winner": None, "delta": None, "probability": None, "failure": "forward: empty"}
    shown = DemoComparison("Two", "about", None, (_jpeg(1), _jpeg(2)), ("a", "b"), silent)
    assert "no usable answer (forward: empty)" in _checked(_page(comparisons=[shown])).text


def test_the_headline_does_not_overstate() -> None:
    same = [MOMENTS[0], MOMENTS[0]]
    assert "not a proven change" in headline(same)
    assert "a change of 0.0 points [0, 0]" in headline(same)


def test_the_gallery_takes_the_first_of_each_kind() -> None:
    items = gallery(RECORDS, MOMENTS[0].evaluation, MOMENTS[-1].evaluation)
    assert [item.factors for item in items] == [*((factor,) for factor in FACTORS), ()]
    assert [item.after.outcome.pair for item in items] == [f"{n:016x}" for n in range(9)]


def test_curves_with_little_in_them() -> None:
    assert "nothing was logged" in curve_svg(LearningCurve("s", "loss", ()))
    for points in (((1, 2.0),), ((1, 2.0), (2, 2.0))):
        svg = str(curve_svg(LearningCurve("s", "loss", points)))
        _checked(svg)
        assert "nan" not in svg
    _checked(str(accuracy_svg(MOMENTS)))


def test_numbers_as_they_are_written() -> None:
    assert (number(None), percent(None), signed(None)) == ("–", "–", "–")
    assert (number(-0.5), signed(0.54), signed(-0.5), signed(0.01)) == ("−0.50", "+0.5", "−0.5", "0.0")
    assert interval(Estimate(value=0.5)) == "[no interval]"
    assert interval(Estimate(value=None)) == ""
