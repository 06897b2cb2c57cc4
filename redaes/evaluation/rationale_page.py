"""Reasonings beside their pictures and what was measured in them, as one HTML page that fetches nothing.

First how true they are, in numbers; then the worst: a right verdict for a false reason before all else. A card shows
the pictures as the reasoning's letters have them, the labelled answer framed; the text is behind a click.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redaes.assessing.measured import marked
from redaes.evaluation.rationales import RationaleQuality
from redaes.evaluation.report import cell
from redaes.evaluation.truth import CheckedPair, CheckedReason, RationaleTruth
from redaes.evidence.claims import CheckedClaim
from redaes.evidence.measurements import OTHER_SIDE, PairEvidence
from redaes.evidence.prompting import told
from redaes.evidence.quantities import QUANTITIES, figures
from redaes.evidence.rationale_truth import Truth
from redaes.heldout import HeldOut, place_drawn
from redaes.html_pages import jpeg_bytes, jpeg_url, page_template
from redaes.records import PairRecord, picture_of
from redaes.types import Edit, winner_of

N_WORST = 24
"""Cards of the worst reasonings."""

N_DRAWN = 8
"""Cards of reasonings that are drawn without looking at them."""

_THUMBNAIL = 420
"""Longest side of a picture, in pixels."""

WORDS: dict[Truth, str] = {
    "true": "the pixels confirm the reason",
    "partly": "the reason is partly contradicted by the pixels",
    "false": "the reason is false: the pixels contradict it",
    "unconfirmed": "nothing of the reason can be confirmed by measuring",
    "none": "no reasoning that could be read",
}


def rationale_page(
    records: Sequence[PairRecord],
    evaluation: HeldOut,
    checked: Sequence[CheckedPair],
    quality: RationaleQuality,
    truth: RationaleTruth,
) -> str:
    """Return the page.

    Args:
        records: the pairs, with their pictures.
        evaluation: their answers.
        checked: the statements of the answers, checked.
        quality: what the reasoning is worth by factors.
        truth: how true it is.

    Raises:
        RecordError: a picture does not decode.
        MissingDependency: jinja2 is absent.
    """
    by_id = {record.pair.id: record for record in records}

    def cards(chosen: Sequence[CheckedPair]) -> list[dict[str, Any]]:
        return [_card(by_id[one.pair], one) for one in chosen]

    drawn = sorted(checked, key=lambda one: place_drawn(evaluation.seed, one.pair))[:N_DRAWN]
    return page_template("redaes.evaluation", "rationales.html.j2", extra="eval", filters={"cell": cell}).render(
        evaluation=evaluation,
        quality=quality,
        truth=truth,
        words=WORDS,
        sections=[
            (
                "The worst",
                "A right verdict for a false reason first, then the most contradicted.",
                cards(worst(checked)),
            ),
            ("Drawn by lot", "Without regard to what they say.", cards(drawn)),
        ],
    )


def worst(checked: Sequence[CheckedPair]) -> list[CheckedPair]:
    """Return the pairs whose shown reasoning is contradicted, worst first, at most :data:`N_WORST`."""

    def rank(one: CheckedPair) -> tuple[bool, int, str]:
        reason = one.shown.reason
        return (
            not (one.shown.right and reason.truth == "false"),
            reason.n_supported - reason.n_contradicted,
            one.pair,
        )

    return sorted((one for one in checked if one.shown.reason.n_contradicted), key=rank)[:N_WORST]


def _card(record: PairRecord, checked: CheckedPair) -> dict[str, Any]:
    pair, shown = record.pair, checked.shown
    swapped = shown.order == "swapped"
    sides = [("first", pair.edit_first), ("second", pair.edit_second)]
    label = pair.delta or 0.0
    if swapped:
        sides, label = sides[::-1], 0.0 - label
    better = winner_of(label)
    said = checked.winner
    if swapped and said is not None and said != "tie":
        said = OTHER_SIDE[said]
    return {
        "pair": pair.id,
        "pictures": [
            {
                "letter": letter,
                "url": _thumbnail(record, side),
                "edit": _edit(edit),
                "better": better == letter,
            }
            for letter, (side, edit) in zip("AB", sides, strict=True)
        ],
        "label": label,
        "better": better,
        "said": said,
        "undecided": checked.undecided is not None,
        "right": None if checked.undecided else shown.right,
        "swapped": swapped,
        "truth": shown.reason.truth,
        "reason": shown.reason,
        "symptom": shown.symptom,
        "text": [] if shown.text is None else marked(shown.text, shown.claims),
        "claims": [_claim(one) for one in _claims(shown)],
        "measured": [] if checked.evidence is None else _measured(checked.evidence, swapped),
    }


def _measured(evidence: PairEvidence, swapped: bool) -> list[dict[str, Any]]:
    first, second = evidence.first.values, evidence.second.values
    a, b = (second, first) if swapped else (first, second)
    return [
        {"name": one.spoken, "unit": one.unit, "values": figures(one, (a[one.name], b[one.name]))}
        for one in told(evidence)
    ]


def _claims(shown: CheckedReason) -> tuple[CheckedClaim, ...]:
    return () if shown.claims is None else shown.claims.checked


def _claim(one: CheckedClaim) -> dict[str, Any]:
    claim = one.claim
    quantity = QUANTITIES.get(claim.quantity or "")
    return {
        "text": claim.text,
        "about": quantity.spoken if quantity else (claim.fault or "").replace("_", " "),
        "status": one.status,
        "why": one.why,
        "stated": [_figure(value) for value in claim.stated],
        "measured": [_figure(value) for value in one.measured],
        "unit": quantity.unit if quantity else "",
    }


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _edit(edit: Edit | None) -> str:
    return "no edit" if edit is None else f"{edit.operation.replace('_', ' ')}, strength {edit.strength:.2f}"


def _thumbnail(record: PairRecord, side: Any) -> str:
    image = picture_of(record, side).image.copy()
    image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    return jpeg_url(jpeg_bytes(image, 85))
