"""Make the result about a pair from its answers, with notes for its reader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from redaes import lenient
from redaes.assessing import orders as both_orders
from redaes.assessing import reasons
from redaes.assessing.agreement import SampleAgreement
from redaes.assessing.measured import summary, table
from redaes.assessing.results import Result
from redaes.backends.temperatures import Temperature
from redaes.images import LoadedImage
from redaes.points import believed, sigmoid
from redaes.prompts import Mode, form_of
from redaes.types import Comparison


@dataclass(frozen=True)
class AskedAs:
    """The model that was asked about a pair, and how it was asked."""

    model: str
    revision: str
    prompt_id: str
    """``name/version@hash``."""
    mode: Mode
    calibration: Temperature | None
    """Calibration of the probabilities of both orders together; None: there is none."""


def of_answers(
    pair: tuple[LoadedImage, LoadedImage],
    comparisons: Sequence[Comparison],
    draws: Sequence[Comparison],
    asked: AskedAs,
    measuring: reasons.Measuring | None,
    agreement: SampleAgreement | None = None,
) -> Result:
    """Return the result about a pair, with both orders combined by the rules of docs/reading.md.

    Args:
        pair: the pictures.
        comparisons: one for each order.
        draws: further reasonings.
        asked: the model and how it was asked.
        measuring: measurements to check the reasoning against; None: it is not checked.
        agreement: agreement of repeated answers; None: it was not requested.
    """
    first, second = pair
    mode = asked.mode
    decision = both_orders.decide(comparisons, mode)
    notes = [*_notes(first, second), *_told(comparisons, decision, mode)]
    log_odds = None if decision is None else decision.log_odds
    # The temperature was fitted on the mean of both orders, and does not apply to a single one with its position bias.
    both = sum(comparison.log_odds is not None for comparison in comparisons) == len(both_orders.ORDERS)
    calibration = asked.calibration if both and log_odds is not None else None
    evidence, shown = None, None
    if mode == "reasoned" and decision is not None:
        if measuring is not None:
            evidence, about = measuring.found
            notes += about
        candidates = both_orders.supporting([*comparisons, *draws], decision.winner)
        # Without further samples, the forward reasoning comes before the swapped one, however well each is supported.
        shown = reasons.best_supported(candidates if draws else candidates[:1], evidence)
        if shown is None and decision.winner is not None:
            notes.append("no rationale agrees with the verdict, so none is shown")
    rationale = None
    if shown is not None and shown.comparison.verdict is not None:
        rationale = shown.comparison.verdict.rationale
    claims = None if shown is None else shown.claims
    return Result(
        winner=None if decision is None else decision.winner,
        undecided=None if decision is None else decision.undecided,
        probability=None if log_odds is None else _believed(log_odds, calibration),
        delta=None if decision is None else decision.delta,
        log_odds=log_odds,
        agreement=agreement,
        calibration=calibration,
        failure="; ".join(both_orders.failures(comparisons)) if decision is None else None,
        rationale=None if rationale is None else rationale.text,
        rationale_order=None if rationale is None or shown is None else shown.comparison.order,
        factors=() if rationale is None else rationale.factors,
        order_consistent=None if decision is None else decision.consistent,
        comparisons=tuple(comparisons),
        draws=tuple(draws),
        claims=claims,
        claims_summary=None if claims is None or shown is None else summary(claims, shown.comparison.order),
        evidence=evidence,
        measured=() if evidence is None else table(evidence, claims),
        first=first.ref,
        second=second.ref,
        model=asked.model,
        revision=asked.revision,
        prompt_id=asked.prompt_id,
        mode=mode,
        form=form_of(asked.prompt_id),
        notes=tuple(notes),
    )


def of_same(first: LoadedImage, second: LoadedImage, asked: AskedAs) -> Result:
    """Return the result about two copies of one picture."""
    return Result(
        winner="tie",
        probability=0.5,
        delta=0.0,
        failure=None,
        rationale=None,
        rationale_order=None,
        factors=(),
        order_consistent=None,
        comparisons=(),
        first=first.ref,
        second=second.ref,
        model=asked.model,
        revision=asked.revision,
        prompt_id=asked.prompt_id,
        mode=asked.mode,
        form=form_of(asked.prompt_id),
        notes=(
            *_notes(first, second),
            "both files contain the same picture, byte for byte or pixel for pixel, so the model was not asked",
        ),
    )


def _believed(log_odds: float, calibration: Temperature | None) -> float:
    """Return the calibrated probability."""
    if calibration is None:
        return sigmoid(log_odds)
    return believed(log_odds, calibration.temperature, calibration.ceiling)


def _told(comparisons: Sequence[Comparison], decision: both_orders.Decision | None, mode: Mode) -> list[str]:
    """Return notes, as sentences, on how the verdict of a result was found."""
    notes = []
    failures = both_orders.failures(comparisons)
    read = decision is not None and decision.log_odds is not None
    if len(comparisons) == 1:
        notes.append(
            f"the model was asked in one order only ({comparisons[0].order}), so its preference for a position is not "
            "cancelled"
        )
    elif len(failures) == 1 and mode == "reasoned" and read:
        notes.append(f"only one order gave usable reasons ({failures[0]}); the verdict is that of both orders")
    elif len(failures) == 1:
        notes.append(
            f"only one order gave a usable answer ({failures[0]}), so the preference for a position is not cancelled"
        )
    unread = [
        f"{one.order}: {one.probability_failure}"
        for one in comparisons
        if one.verdict is not None and one.probability_failure is not None
    ]
    if unread and decision is not None and not read:
        notes.append(f"there is no probability, because it could not be read ({'; '.join(unread)})")
    if any(one.probability_from == "listed" for one in comparisons):
        notes.append("the probability is computed from the few most likely tokens that the server lists")
    if any(one.reader != lenient.STRICT for one in comparisons):
        notes.append(f"the model did not follow the answer form exactly; the answer was read by {lenient.LENIENT}")
    if any(one.form == "json" and one.held_by is None and one.failure is not None for one in comparisons):
        notes.append("only the prompt, and no grammar, asked the model for JSON")
    return notes


def _notes(first: LoadedImage, second: LoadedImage) -> list[str]:
    """Return the notes of loading the pictures, each with the file's name."""
    return [f"{image.ref.path.name}: {note}" for image in (first, second) for note in image.notes]
