"""Rows of a table of all pairs of the demonstration that were answered with reasons, before and after training."""

from __future__ import annotations

from collections.abc import Sequence

from redaes.assessing.measured import marked
from redaes.demo.report import Moment, edit_in_words, signed, truth
from redaes.heldout import ReasonedOutcome
from redaes.html_pages import jpeg_url
from redaes.records import PairRecord
from redaes.types import winner_of
from redaes.viewer.pair_table import Outcome, PairPicture, PairRow


def answered_pairs(records: Sequence[PairRecord], moments: Sequence[Moment]) -> list[PairRow]:
    """Return two rows for each pair: one of the model before training and one of the last model.

    Args:
        records: the held-out pairs, with their pictures.
        moments: the evaluations; that before training comes first.
    """
    by_id = {record.pair.id: record for record in records}
    rows = []
    for moment in (moments[0], moments[-1]):
        for item in moment.evaluation.reasoned_outcomes:
            record = by_id.get(item.outcome.pair)
            if record is not None:
                rows.append(_row(record, item, moment))
    return sorted(rows, key=lambda row: row.id)  # sorting is stable, so the row before training stays first


def _row(record: PairRecord, item: ReasonedOutcome, moment: Moment) -> PairRow:
    pair, outcome = record.pair, item.outcome
    reason = moment.reason(pair.id)
    checked = moment.checked.get(pair.id)
    claims = None if checked is None or checked.shown.text != item.rationale else checked.shown.claims
    notes = []
    if item.rationale_order == "swapped":
        notes.append("Said with the pictures in the other order: its A is the picture called B here.")
    if item.winner is None:
        notes += [f"{answer.order} order: {answer.failure}" for answer in item.answers if answer.failure]
    said = item.winner
    return PairRow(
        id=pair.id,
        pictures=(
            PairPicture(edit_in_words(pair.edit_first), jpeg_url(record.first_bytes)),
            PairPicture(edit_in_words(pair.edit_second), jpeg_url(record.second_bytes)),
        ),
        factor=", ".join(pair.factors) or "tie",
        better=winner_of(outcome.label),
        label=truth(outcome.label),
        size=abs(outcome.label),
        run=moment.name,
        outcome=_outcome(item),
        verdict="" if said is None else f"{'a tie' if said == 'tie' else f'{said} is better'}, {signed(outcome.delta)}",
        stated=None if outcome.delta is None else abs(outcome.delta),
        truth=None if reason is None else reason.truth,
        text=() if item.rationale is None else marked(item.rationale, claims),
        counts=None if reason is None else reason.counts,
        notes=notes,
    )


def _outcome(item: ReasonedOutcome) -> Outcome:
    if item.winner is None:
        return "failed"
    if not item.outcome.decided:
        return "open"
    return "right" if item.outcome.right else "wrong"
