"""Check whether the statements of written answers are true, against measurements of the pair's pictures.

Two sets are checked: every answer, two for each pair (one for each order), and the shown reasonings, one for each pair.
A statement counts once wherever it occurs; intervals resample the same clusters as those of the evaluation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from pydantic import FiniteFloat

from redaes.assessing.orders import Undecided
from redaes.assessing.reasons import evidence_of, from_file
from redaes.assessing.results import Result
from redaes.errors import InputError
from redaes.estimates import Estimate, Statistic, bootstrap, bootstrap_mean
from redaes.evaluation.rationales import ratio
from redaes.evidence.checking import check_rationale
from redaes.evidence.claims import Claims
from redaes.evidence.measurements import OTHER_SIDE, PairEvidence
from redaes.evidence.rationale_truth import TRUTHS, Reason, Truth, names_fault, reason_of, tells_fault
from redaes.heldout import HeldOut, ReasonedOutcome
from redaes.records import PairRecord, picture_of
from redaes.rewards.reasoning import deciding, faults_shown
from redaes.types import Order, Pair, Record, Winner, winner_of


class CheckedReason(Record):
    """One reasoning about a pair, with its statements checked."""

    pair: str
    cluster: str
    """The cluster that intervals resample."""
    order: Order | None
    """The order in which it was written; None: there is none."""
    text: str | None
    """The reasoning; None: none could be read."""
    claims: Claims | None
    reason: Reason
    right: bool | None
    """Whether its verdict names the better picture; None: the label is a tie."""
    symptom: bool | None
    """Whether it names the deciding fault, on the right side; None: no single known fault decides."""
    told: bool | None
    """Whether it names that fault or describes its measured quantity."""


class CheckedPair(Record):
    """A pair with its measurements and its checked reasonings."""

    pair: str
    evidence: PairEvidence | None
    """Measurements, with the pair's first picture as A; None: a picture is too small to be measured."""
    answers: tuple[CheckedReason, ...]
    """The answers, forward and then swapped, as far as they were asked."""
    shown: CheckedReason
    """The reasoning that is shown for the pair."""
    winner: Winner | None
    """The picture that is called better, with the pair's first as A; None: undecided, or no usable answer."""
    undecided: Undecided | None = None
    """Why the assessor calls neither picture better; None: it decides, or it was asked for texts only."""


class ReasonTruth(Record):
    """How true reasonings are."""

    n: int
    """Number of reasonings, including unreadable ones."""
    n_claims: int
    claims_true: Estimate
    """Share of the measurable statements that the measurements support."""
    true_but_for_figures: Estimate
    """The same share if wrong figures are ignored and only which picture has more of a quantity counts."""
    measurable: Estimate
    """Share of all statements that are measurable."""
    claims_per_reason: FiniteFloat | None
    symptom: Estimate
    """Share of reasonings that name the deciding fault on the right side, over pairs that one known fault decides."""
    told: Estimate
    """Share of those reasonings that name it or describe its measured quantity: "softer" for motion blur."""
    n_symptom: int
    false_though_right: Estimate
    """Share of the reasonings with a right verdict that are false."""
    false_but_for_figures: Estimate
    """The same share if wrong figures are ignored."""
    confirmed_though_right: Estimate
    """Share of the reasonings with a right verdict of which something is supported and nothing contradicted."""
    n_right: int
    truths: dict[Truth, Estimate]
    """Share of each kind of truth among the reasonings."""
    contradictions: dict[str, int]
    """Number of contradicted statements by reason: ``sign``, ``figure``, ``side``, ``absent``, ``place``."""
    by_quantity: dict[str, tuple[int, int]]
    """Numbers of supported and contradicted statements by quantity."""


class RationaleTruth(Record):
    """How true a model's reasoning is."""

    version: str
    """Version of the measurements and of the claim reader."""
    answers: ReasonTruth
    shown: ReasonTruth
    undecided: Estimate
    """Share of pairs on which the assessor calls neither picture better although it answered."""
    agreement: Estimate
    """Share of the other pairs with a shown reasoning, which agrees with the verdict."""


Evidence = Mapping[Order, PairEvidence]
"""Measurements of a pair in both orders; A is the picture that is shown first."""


def measured_orders(record: PairRecord) -> Evidence | None:
    """Return the measurements of a row's pictures; None: one of them is too small.

    Raises:
        RecordError: a picture does not decode.
    """
    first, second = picture_of(record, "first"), picture_of(record, "second")
    evidence, _ = evidence_of(first, second, from_file)
    return None if evidence is None else both_orders(evidence)


def both_orders(evidence: PairEvidence) -> Evidence:
    """Return the evidence of a pair, and of the same pair shown in the other order."""
    return {"forward": evidence, "swapped": evidence.swapped()}


def check_measured(
    records: Sequence[PairRecord], evaluation: HeldOut, evidence: Mapping[str, Evidence | None]
) -> list[CheckedPair]:
    """Check the statements of an evaluation's answers.

    Args:
        records: the pairs; further ones are ignored.
        evaluation: an evaluation with reasoned outcomes.
        evidence: measurements by pair.

    Raises:
        InputError: an answered pair is not among the records.
    """
    pairs = {record.pair.id: record.pair for record in records}
    if absent := [one.outcome.pair for one in evaluation.reasoned_outcomes if one.outcome.pair not in pairs]:
        raise InputError(f"pair {absent[0]} was answered and is not in the dataset; give the one that was evaluated")
    return [
        _pair(pairs[item.outcome.pair], evaluation, item, evidence[item.outcome.pair], item)
        for item in evaluation.reasoned_outcomes
    ]


def check_results(records: Sequence[PairRecord], results: Sequence[Result], evaluation: HeldOut) -> list[CheckedPair]:
    """Check the statements of the answers, and of the reasoning that the assessor shows for each pair.

    Args:
        records: labelled pairs.
        results: results about them, in their order, made with ``check``.
        evaluation: evaluation that was made of the same results.
    """
    outcomes = {item.outcome.pair: item for item in evaluation.reasoned_outcomes}
    return [
        _pair(
            record.pair,
            evaluation,
            outcomes[record.pair.id],
            None if result.evidence is None else both_orders(result.evidence),
            result,
            result.undecided,
        )
        for record, result in zip(records, results, strict=True)
    ]


def rationale_truth(checked: Sequence[CheckedPair], seed: int = 0) -> RationaleTruth:
    """Return how true the reasonings of an evaluation are.

    Args:
        checked: pairs from :func:`check_measured` or :func:`check_results`.
        seed: seed of the intervals.
    """
    versions = sorted({one.claims.version for pair in checked for one in pair.answers if one.claims is not None})
    return RationaleTruth(
        version="; ".join(versions),
        answers=reason_truth([one for pair in checked for one in pair.answers], seed),
        shown=reason_truth([pair.shown for pair in checked], seed),
        undecided=bootstrap_mean([(one.undecided is not None, one.shown.cluster) for one in checked], seed=seed),
        agreement=bootstrap_mean(
            [(one.shown.text is not None, one.shown.cluster) for one in checked if one.undecided is None], seed=seed
        ),
    )


def reason_truth(reasons: Sequence[CheckedReason], seed: int = 0) -> ReasonTruth:
    """Return how true reasonings are; see :class:`ReasonTruth`."""
    counts = np.array(
        [(*one.reason.counts, one.reason.n_figures) for one in reasons],
        dtype=np.float64,
    ).reshape(-1, 4)
    clusters = [one.cluster for one in reasons]
    right = [one for one in reasons if one.right]
    symptoms = [one for one in reasons if one.symptom is not None]
    told = [one for one in reasons if one.claims is not None]

    def of(statistic: Statistic) -> Estimate:
        return bootstrap(counts, clusters, statistic, seed=seed)

    def share(of: Sequence[CheckedReason], holds: Callable[[CheckedReason], bool | None]) -> Estimate:
        return bootstrap_mean([(bool(holds(one)), one.cluster) for one in of], seed=seed)

    claims = [claim for one in told if one.claims is not None for claim in one.claims.checked]
    measured = [claim for claim in claims if claim.status != "not_measurable"]
    spoken: dict[str, tuple[int, int]] = {}
    for claim in measured:
        name = claim.claim.quantity or claim.claim.fault or ""
        supported = claim.status == "supported"
        before = spoken.get(name, (0, 0))
        spoken[name] = (before[0] + supported, before[1] + (not supported))
    return ReasonTruth(
        n=len(reasons),
        n_claims=len(claims),
        claims_true=of(lambda part: ratio(part[:, 0].sum(), part[:, :2].sum())),
        true_but_for_figures=of(lambda part: ratio(part[:, [0, 3]].sum(), part[:, :2].sum())),
        measurable=of(lambda part: ratio(part[:, :2].sum(), part[:, :3].sum())),
        claims_per_reason=len(claims) / len(told) if told else None,
        symptom=share(symptoms, lambda one: one.symptom),
        told=share(symptoms, lambda one: one.told),
        n_symptom=len(symptoms),
        false_though_right=share(right, partial(_is, "false")),
        false_but_for_figures=share(right, lambda one: one.reason.but_for_figures == "false"),
        confirmed_though_right=share(right, partial(_is, "true")),
        n_right=len(right),
        truths={truth: share(reasons, partial(_is, truth)) for truth in TRUTHS},
        contradictions=dict(sorted(Counter(one.why for one in claims if one.status == "contradicted").items())),
        by_quantity=dict(sorted(spoken.items(), key=lambda item: (-sum(item[1]), item[0]))),
    )


def _pair(
    pair: Pair,
    evaluation: HeldOut,
    item: ReasonedOutcome,
    evidence: Evidence | None,
    shown: ReasonedOutcome | Result,
    undecided: Undecided | None = None,
) -> CheckedPair:
    label, cluster = item.outcome.label, evaluation.cluster_of(pair)
    right = _right(label, shown.winner, "forward")
    return CheckedPair(
        pair=pair.id,
        evidence=None if evidence is None else evidence["forward"],
        answers=tuple(
            _checked(pair, cluster, evidence, one.order, one.rationale, _right(label, one.winner, one.order))
            for one in item.answers
        ),
        shown=_checked(pair, cluster, evidence, shown.rationale_order, shown.rationale, right),
        winner=shown.winner,
        undecided=undecided,
    )


def _checked(
    pair: Pair, cluster: str, evidence: Evidence | None, order: Order | None, text: str | None, right: bool | None
) -> CheckedReason:
    fault = deciding(faults_shown(pair.edit_first, pair.edit_second), winner_of(pair.delta or 0.0))
    claims = None
    if order is not None and text is not None and evidence is not None:
        claims = check_rationale(text, evidence[order])
    symptom = told = None
    if fault is not None:
        name, side = fault if order != "swapped" else (fault[0], OTHER_SIDE[fault[1]])
        symptom = claims is not None and names_fault(claims, name, side)
        told = claims is not None and tells_fault(claims, name, side)
    return CheckedReason(
        pair=pair.id,
        cluster=cluster,
        order=order,
        text=text,
        claims=claims,
        reason=reason_of(claims),
        right=right,
        symptom=symptom,
        told=told,
    )


def _is(truth: Truth, one: CheckedReason) -> bool:
    return one.reason.truth == truth


def _right(label: float, winner: str | None, order: Order) -> bool | None:
    true = winner_of(label if order == "forward" else -label)
    return None if true == "tie" else winner == true
