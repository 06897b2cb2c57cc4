"""Whether what written answers say is true: each statement held against the pixels of the pair.

Two things are looked at: every answer, two for each pair (one per order), and what is shown to whoever asks, one
reasoning for each pair. A statement counts once wherever it stands; intervals resample what those of the evaluation do.
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
    """What intervals resample."""
    order: Order | None
    """In which it was written; None: there is none."""
    text: str | None
    """None: no reasoning that could be read."""
    claims: Claims | None
    reason: Reason
    right: bool | None
    """Whether its verdict names the better picture; None: the label is a tie."""
    symptom: bool | None
    """Whether it names the fault that decides the pair, on the right side; None: no single known fault decides."""
    told: bool | None
    """Whether it names that fault or tells what is measured of it."""


class CheckedPair(Record):
    """A pair, what was measured of it, and what was said about it."""

    pair: str
    evidence: PairEvidence | None
    """With the pair's first picture as A; None: too small to be measured."""
    answers: tuple[CheckedReason, ...]
    """Forward, then swapped; as often as it was asked."""
    shown: CheckedReason
    """The one that is shown for the pair."""
    winner: Winner | None
    """The picture that is called better, the pair's first as A; None: undecided, or no usable answer."""
    undecided: Undecided | None = None
    """Why the assessor calls neither picture better; None: it decides, or nobody asked it for more than texts."""


class ReasonTruth(Record):
    """How true reasonings are."""

    n: int
    """Reasonings, those that could not be read included."""
    n_claims: int
    claims_true: Estimate
    """Of the statements that can be measured, the share that the pixels support."""
    true_but_for_figures: Estimate
    """The same where a figure that is off is forgiven: who has more of what is right."""
    measurable: Estimate
    """Of all statements, the share that can be measured."""
    claims_per_reason: FiniteFloat | None
    symptom: Estimate
    """Where one known fault decides the pair: reasonings that name it, on the right side."""
    told: Estimate
    """Of those, the reasonings that name it or tell what is measured of it: "softer" for motion blur."""
    n_symptom: int
    false_though_right: Estimate
    """Of the reasonings whose verdict is right, the share that is false."""
    false_but_for_figures: Estimate
    """The same where a figure that is off is forgiven."""
    confirmed_though_right: Estimate
    """Of those, the share of which something is supported and nothing contradicted."""
    n_right: int
    truths: dict[Truth, Estimate]
    """Shares of the reasonings."""
    contradictions: dict[str, int]
    """Why statements are contradicted: ``sign``, ``figure``, ``side``, ``absent``, ``place``."""
    by_quantity: dict[str, tuple[int, int]]
    """Supported and contradicted statements by what they speak of."""


class RationaleTruth(Record):
    """How true the reasoning of a model is."""

    version: str
    """Of the measurements and of the reader of claims."""
    answers: ReasonTruth
    shown: ReasonTruth
    undecided: Estimate
    """Pairs on which the assessor calls neither picture better although it answered."""
    agreement: Estimate
    """Of the others, those for which a reasoning is shown, which agrees with the verdict."""


Evidence = Mapping[Order, PairEvidence]
"""What was measured of a pair, in both orders: A is the picture that is shown first."""


def measured_orders(record: PairRecord) -> Evidence | None:
    """Return what is measured of a row's pictures; None: one of them is too small.

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
    """Check what the answers of an evaluation say.

    Args:
        records: the pairs; others are passed over.
        evaluation: with reasoned outcomes.
        evidence: by pair.

    Raises:
        InputError: a pair that was answered is not among the records.
    """
    pairs = {record.pair.id: record.pair for record in records}
    if absent := [one.outcome.pair for one in evaluation.reasoned_outcomes if one.outcome.pair not in pairs]:
        raise InputError(f"pair {absent[0]} was answered and is not in the dataset; give the one that was evaluated")
    return [
        _pair(pairs[item.outcome.pair], evaluation, item, evidence[item.outcome.pair], item)
        for item in evaluation.reasoned_outcomes
    ]


def check_results(records: Sequence[PairRecord], results: Sequence[Result], evaluation: HeldOut) -> list[CheckedPair]:
    """Check what the answers say, and the reasoning that the assessor shows for each pair.

    Args:
        records: labelled pairs.
        results: about them, in their order, with ``check``.
        evaluation: made of the same results.
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
        checked: from :func:`check_measured` or :func:`check_results`.
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
