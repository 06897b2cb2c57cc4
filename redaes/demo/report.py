"""The demonstration's page: numbers with their intervals, curves, and pictures, in one file that fetches nothing."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup, escape

from redaes.estimates import Estimate, MeasureChange
from redaes.evaluation.truth import CheckedPair, ReasonTruth, reason_truth
from redaes.evidence.rationale_truth import Reason
from redaes.heldout import HeldOut, ReasonedOutcome, paired_change
from redaes.html_pages import jpeg_url, page_template
from redaes.progress_lines import duration_in_words
from redaes.records import PairRecord
from redaes.types import FACTORS, TIE_MARGIN, Edit, Factor, winner_of
from redaes.viewer.pair_table import PairRow, pair_table

MISSING = "–"
"""Text in place of a number that is not defined."""


@dataclass(frozen=True)
class LearningCurve:
    """A quantity that a stage logged."""

    title: str
    label: str
    """Name of the quantity."""
    points: tuple[tuple[int, float], ...]
    """Pairs of step and value."""


@dataclass(frozen=True)
class Moment:
    """One evaluation during the demonstration."""

    name: str
    evaluation: HeldOut
    curve: LearningCurve | None
    """Learning curve of the stage before it; None for the first evaluation."""
    checked: Mapping[str, CheckedPair] = field(default_factory=dict)
    """Its checked reasonings, by pair; empty if nothing was measured."""

    @property
    def truth(self) -> ReasonTruth | None:
        """How true the reasons of all its answers are; None if nothing was measured."""
        if not self.checked:
            return None
        return reason_truth([one for pair in self.checked.values() for one in pair.answers], self.evaluation.seed)

    def reason(self, pair: str) -> Reason | None:
        """Return how true the reasoning shown for a pair is; None if it was not measured."""
        found = self.checked.get(pair)
        return None if found is None else found.shown.reason


@dataclass(frozen=True)
class GalleryItem:
    """A held-out pair with the model's answers before and after training."""

    pictures: tuple[bytes, bytes]
    captions: tuple[str, str]
    label: float
    factors: tuple[Factor, ...]
    reasoning: str
    """The dataset's reasoning, with the first picture as A."""
    before: ReasonedOutcome
    after: ReasonedOutcome


@dataclass(frozen=True)
class DemoComparison:
    """A comparison by the trained model."""

    title: str
    about: str
    label: float | None
    """True difference, first minus second, in points; None if it is not known."""
    pictures: tuple[bytes, ...]
    captions: tuple[str, ...]
    result: Mapping[str, Any]
    """:class:`~redaes.assessor.Result` as JSON."""


def number(value: float | None, digits: int = 2) -> str:
    """Return a number as text, or a dash for None.

    >>> number(0.5), number(None), number(-0.001)
    ('0.50', '–', '0.00')
    """
    if value is None:
        return MISSING
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", "−")


def percent(value: float | None) -> str:
    """Return a share as text: ``83 %``."""
    return MISSING if value is None else f"{number(100 * value, 0)} %"


def signed(value: float | None, digits: int = 1) -> str:
    """Return a number with its sign."""
    if value is None:
        return MISSING
    text = number(value, digits)
    return text if text.startswith("−") or float(text) == 0 else f"+{text}"


def interval(estimate: Estimate, scale: float = 100.0, digits: int = 0) -> str:
    """Return the bounds in brackets, or a text that says that there are none."""
    if estimate.value is None:
        return ""
    if estimate.low is None or estimate.high is None:
        return "[no interval]"
    return f"[{number(scale * estimate.low, digits)}, {number(scale * estimate.high, digits)}]"


def settled(change: MeasureChange) -> bool:
    """Return whether the interval of a change is entirely on one side of zero."""
    return change.low is not None and change.high is not None and (change.low > 0 or change.high < 0)


def truth(label: float | None) -> str:
    """Return a labelled difference in words.

    >>> truth(2.345), truth(0.0)
    ('A is better by 2.3 points', 'no difference that matters')
    """
    if label is None:
        return "not labelled"
    if abs(label) < TIE_MARGIN:
        return "no difference that matters"
    return f"{winner_of(label)} is better by {abs(label):.1f} points"


def headline(moments: Sequence[Moment]) -> str:
    """Return the result in one sentence, with its uncertainty."""
    before, after = moments[0].evaluation, moments[-1].evaluation
    change = paired_change(before, after)
    old, new = before.fast.accuracy, after.fast.accuracy
    photographs = f"{after.n_photographs} photograph{'s' if after.n_photographs != 1 else ''}"
    sentence = (
        f"Of {new.n} held-out pairs of {photographs} that it was not trained on, the model picked the better "
        f"picture in {old.n_right} before training ({percent(old.value)} {interval(old)}) and in {new.n_right} "
        f"after the three stages ({percent(new.value)} {interval(new)}), a change of "
        f"{signed(_hundredfold(change.value))} points {interval(change)}"
    )
    if change.low is None:
        return sentence + "; with one group only, nothing can be said about chance."
    if not settled(change):
        return sentence + "; the interval holds zero, so this is not a proven change."
    return sentence + "."


def gallery(records: Sequence[PairRecord], before: HeldOut, after: HeldOut) -> list[GalleryItem]:
    """Return for each factor, and for ties, the first pair by id that was answered with reasons; none is
    hand-picked.
    """
    by_id = {record.pair.id: record for record in records}
    old = {item.outcome.pair: item for item in before.reasoned_outcomes}
    chosen: dict[tuple[Factor, ...], GalleryItem] = {}
    for item in sorted(after.reasoned_outcomes, key=lambda reasoned: reasoned.outcome.pair):
        record = by_id.get(item.outcome.pair)
        if record is None or item.outcome.pair not in old or item.outcome.factors in chosen:
            continue
        pair = record.pair
        chosen[pair.factors] = GalleryItem(
            pictures=(record.first_bytes, record.second_bytes),
            captions=(edit_in_words(pair.edit_first), edit_in_words(pair.edit_second)),
            label=item.outcome.label,
            factors=pair.factors,
            reasoning="" if record.rationale is None else record.rationale.text,
            before=old[pair.id],
            after=item,
        )
    order: dict[tuple[Factor, ...], int] = {(factor,): rank for rank, factor in enumerate(FACTORS)}
    return [chosen[key] for key in sorted(chosen, key=lambda key: order.get(key, len(order)))]


def curve_svg(curve: LearningCurve) -> Markup:
    """Return a learning curve with its extremes written on the axes."""
    width, height, left, bottom, top, right = 320, 170, 46, 28, 12, 12
    steps = [step for step, _ in curve.points]
    values = [value for _, value in curve.points]
    if not values:
        return Markup("<p>nothing was logged</p>")
    low, high = min(values), max(values)
    span_x, span_y = max(steps) - min(steps) or 1, high - low or 1.0

    def place(step: int, value: float) -> tuple[float, float]:
        x = left + (step - min(steps)) / span_x * (width - left - right)
        y = top + (high - value) / span_y * (height - top - bottom)
        return round(x, 1), round(y, 1)

    places = [place(step, value) for step, value in curve.points]
    line = " ".join(f"{x},{y}" for x, y in places)
    text = f"{curve.label}: {number(values[0])} at step {steps[0]}, {number(values[-1])} at step {steps[-1]}"
    dots = "".join(f'<circle cx="{x}" cy="{y}" r="2.2"/>' for x, y in places)
    floor = height - bottom
    return Markup(
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(text)}" class="curve">'
        f'<path class="axis" d="M{left} {top}V{floor}H{width - right}"/>'
        f'<polyline points="{line}"/>{dots}'
        f'<text x="{left - 6}" y="{top + 8}" text-anchor="end">{number(high)}</text>'
        f'<text x="{left - 6}" y="{floor}" text-anchor="end">{number(low)}</text>'
        f'<text x="{left}" y="{height - 8}">step {steps[0]}</text>'
        f'<text x="{width - right}" y="{height - 8}" text-anchor="end">{steps[-1]}</text>'
        f'<text x="{(left + width - right) / 2}" y="{height - 8}" text-anchor="middle">{escape(curve.label)}</text>'
        "</svg>"
    )


def accuracy_svg(moments: Sequence[Moment]) -> Markup:
    """Return a chart of the accuracy with its interval at each moment, from 0 to 100 %, with chance marked."""
    row, left, width, right, top = 34, 128, 640, 150, 8
    height = top + row * len(moments) + 22

    def x(value: float) -> float:
        return round(left + value * (width - left - right), 1)

    floor = top + row * len(moments)
    parts = [
        f'<line class="chance" x1="{x(0.5)}" x2="{x(0.5)}" y1="{top}" y2="{floor}"/>',
        f'<text x="{x(0.5)}" y="{floor + 16}" text-anchor="middle">chance</text>',
        f'<text x="{x(0)}" y="{floor + 16}" text-anchor="middle">0 %</text>',
        f'<text x="{x(1)}" y="{floor + 16}" text-anchor="middle">100 %</text>',
        f'<path class="axis" d="M{x(0)} {floor}H{x(1)}"/>',
    ]
    said = []
    for index, moment in enumerate(moments):
        accuracy = moment.evaluation.fast.accuracy
        y = top + row * index + row / 2
        words = f"{percent(accuracy.value)} {interval(accuracy)}"
        said.append(f"{moment.name}: {words}")
        parts.append(f'<text x="{left - 12}" y="{y + 4}" text-anchor="end">{escape(moment.name)}</text>')
        parts.append(f'<text x="{x(1) + 14}" y="{y + 4}">{escape(words)}</text>')
        if accuracy.low is not None and accuracy.high is not None:
            parts.append(f'<line class="range" x1="{x(accuracy.low)}" x2="{x(accuracy.high)}" y1="{y}" y2="{y}"/>')
        if accuracy.value is not None:
            parts.append(f'<circle cx="{x(accuracy.value)}" cy="{y}" r="5"/>')
    label = escape("Accuracy in the fast mode. " + "; ".join(said))
    return Markup(
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{label}" class="accuracy">{"".join(parts)}</svg>'
    )


def render(
    *,
    moments: Sequence[Moment],
    build: Mapping[str, Any],
    gallery: Sequence[GalleryItem],
    comparisons: Sequence[DemoComparison],
    seconds: Mapping[str, float],
    provenance: Mapping[str, Any],
    credits: Sequence[str],
    pairs: Sequence[PairRow] = (),
) -> str:
    """Return the page.

    Args:
        moments: the evaluations, all of the same pairs; that before training comes first.
        build: content of the dataset's ``report.json``.
        gallery: the result of :func:`gallery`.
        comparisons: further comparisons by the trained model.
        seconds: wall time of each step.
        provenance: ``data`` (hash), ``settings`` (plan of the dataset), ``scale``, ``stages`` (run records),
            ``environment``.
        credits: name, licence and author of each photograph, if they are known.
        pairs: rows of the table of pairs (:func:`redaes.demo.answered_pairs.answered_pairs`).

    Raises:
        InputError: the evaluations are of different pairs.
    """
    base = moments[0].evaluation
    return page_template(
        "redaes.demo",
        "report.html.j2",
        extra="demo",
        filters={
            "number": number,
            "percent": percent,
            "signed": signed,
            "picture": jpeg_url,
            "truth": truth,
            "in_words": duration_in_words,
        },
    ).render(
        headline=headline(moments),
        moments=moments,
        base=base,
        last=moments[-1].evaluation,
        changes=_changes(moments, "fast"),
        reasoned_changes=_changes(moments, "reasoned") if base.reasoned is not None else [],
        factors=sorted(base.fast.by_factor, key=FACTORS.index),
        interval=interval,
        settled=settled,
        curve_svg=curve_svg,
        accuracy_svg=accuracy_svg,
        build=build,
        gallery=gallery,
        comparisons=comparisons,
        seconds=seconds,
        total_seconds=sum(seconds.values()),
        provenance=provenance,
        credits=credits,
        pairs=Markup(pair_table(pairs, runs="Model")) if pairs else None,
    )


def _changes(moments: Sequence[Moment], mode: Any) -> list[tuple[MeasureChange, MeasureChange] | None]:
    """Return for each moment the changes from the first and from the previous one; None for the first."""
    changes: list[tuple[MeasureChange, MeasureChange] | None] = [None]
    for previous, moment in itertools.pairwise(moments):
        changes.append(
            (
                paired_change(moments[0].evaluation, moment.evaluation, mode),
                paired_change(previous.evaluation, moment.evaluation, mode),
            )
        )
    return changes


def edit_in_words(edit: Edit | None) -> str:
    """Return the edit of a picture as text."""
    return "no edit of its own" if edit is None else f"{edit.instruction.rstrip('.')} (strength {edit.strength:.2f})"


def _hundredfold(value: float | None) -> float | None:
    return None if value is None else 100 * value
