"""One self-contained HTML page of reasonings beside their pictures and measurements.

It begins with figures on how true the reasonings are. Then come all pairs with their shown reasonings, the worst first:
right verdicts with false reasons come before all others. A row shows the pictures in the order of the reasoning's
letters.
"""

from __future__ import annotations

from collections.abc import Sequence

from redaes.assessing.measured import WHY, marked
from redaes.evaluation.rationales import RationaleQuality
from redaes.evaluation.report import cell
from redaes.evaluation.truth import CheckedPair, RationaleTruth
from redaes.evidence.claims import CheckedClaim
from redaes.evidence.measurements import OTHER_SIDE, PairEvidence
from redaes.evidence.prompting import told
from redaes.evidence.quantities import QUANTITIES, figures
from redaes.evidence.rationale_truth import Truth
from redaes.heldout import HeldOut
from redaes.html_pages import jpeg_bytes, jpeg_url, page_template
from redaes.records import PairRecord, picture_of
from redaes.types import Edit, Side, winner_of
from redaes.viewer.pair_table import Outcome, PairPicture, PairRow, Statement, pair_table

MAX_SHOWN = 2000
"""Most pairs on a page."""

_THUMBNAIL, _SMALL_THUMBNAIL = 320, 200
"""Longest side of a picture, in pixels, and the same if there are many pairs."""

_MANY = 300
"""Number of pairs from which on the pictures are small."""

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
        quality: quality of the reasoning by factors.
        truth: how true it is.

    Raises:
        RecordError: a picture does not decode.
        MissingDependency: jinja2 is absent.
    """
    from markupsafe import Markup

    by_id = {record.pair.id: record for record in records}
    shown = worst(checked)[:MAX_SHOWN]
    side = _SMALL_THUMBNAIL if len(shown) > _MANY else _THUMBNAIL
    return page_template("redaes.evaluation", "rationales.html.j2", extra="eval", filters={"cell": cell}).render(
        evaluation=evaluation,
        quality=quality,
        truth=truth,
        words=WORDS,
        pairs=Markup(pair_table([_row_of(by_id[one.pair], one, side) for one in shown])),
        n_shown=len(shown),
        n_pairs=len(checked),
    )


def worst(checked: Sequence[CheckedPair]) -> list[CheckedPair]:
    """Return the pairs, worst first: those with a wrong reason for a right verdict, then the contradicted ones."""

    def rank(one: CheckedPair) -> tuple[bool, bool, int, str]:
        reason = one.shown.reason
        return (
            not (one.shown.right and reason.truth == "false"),
            reason.n_contradicted == 0,
            reason.n_supported - reason.n_contradicted,
            one.pair,
        )

    return sorted(checked, key=rank)


def _row_of(record: PairRecord, checked: CheckedPair, longest: int) -> PairRow:
    pair, shown = record.pair, checked.shown
    swapped = shown.order == "swapped"
    sides: list[tuple[Side, Edit | None]] = [("first", pair.edit_first), ("second", pair.edit_second)]
    label = pair.delta or 0.0
    if swapped:
        sides, label = sides[::-1], 0.0 - label
    better = winner_of(label)
    said = checked.winner
    if swapped and said is not None and said != "tie":
        said = OTHER_SIDE[said]
    (a, edit_a), (b, edit_b) = sides
    notes = ["Written with the pair's second picture as A; the pictures stand as the letters say."] if swapped else []
    if shown.symptom is not None:
        notes.append(f"The fault that decides is {'named' if shown.symptom else 'not named'}.")
    return PairRow(
        id=pair.id,
        pictures=(
            PairPicture(_edit(edit_a), _thumbnail(record, a, longest)),
            PairPicture(_edit(edit_b), _thumbnail(record, b, longest)),
        ),
        factor=", ".join(pair.factors) or "tie",
        better=better,
        label="a tie" if better == "tie" else f"{better} is better by {abs(label):.1f} points",
        size=abs(label),
        outcome=_outcome(checked),
        verdict="" if said is None else "a tie" if said == "tie" else f"{said} is better",
        truth=shown.reason.truth,
        text=() if shown.text is None else marked(shown.text, shown.claims),
        counts=shown.reason.counts,
        statements=[] if shown.claims is None else [_statement(one) for one in shown.claims.checked],
        measured=[] if checked.evidence is None else _measured(checked.evidence, swapped),
        notes=(*notes, f"Pair {pair.id}"),
    )


def _outcome(checked: CheckedPair) -> Outcome:
    if checked.undecided is not None:
        return "undecided"
    if checked.winner is None:
        return "failed"
    right = checked.shown.right
    return "open" if right is None else "right" if right else "wrong"


def _measured(evidence: PairEvidence, swapped: bool) -> list[tuple[str, str, str]]:
    first, second = evidence.first.values, evidence.second.values
    a, b = (second, first) if swapped else (first, second)
    return [
        (f"{one.spoken}, {one.unit}" if one.unit else one.spoken, *figures(one, (a[one.name], b[one.name])))
        for one in told(evidence)
    ]


def _statement(one: CheckedClaim) -> Statement:
    quantity = QUANTITIES.get(one.claim.quantity or "")
    about = quantity.spoken if quantity else (one.claim.fault or "").replace("_", " ")
    details = [WHY[one.why]] if one.why else []
    if any(value is not None for value in one.measured):
        unit = f" {quantity.unit}" if quantity and quantity.unit else ""
        a, b = (_figure(value) for value in one.measured)
        details.append(f"measured {about} {a}{unit} in A, {b}{unit} in B")
    return Statement(one.claim.text, one.status, "; ".join(details))


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _edit(edit: Edit | None) -> str:
    return "no edit" if edit is None else f"{edit.operation.replace('_', ' ')}, strength {edit.strength:.2f}"


def _thumbnail(record: PairRecord, side: Side, longest: int) -> str:
    image = picture_of(record, side).image.copy()
    image.thumbnail((longest, longest))
    return jpeg_url(jpeg_bytes(image, 75))
