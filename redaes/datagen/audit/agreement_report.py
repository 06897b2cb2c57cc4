"""The report of an audit: how far people agree with the labels, with each other and with themselves."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from statistics import NormalDist, fmean, median

import numpy as np

from redaes.datagen.audit.drawn_pairs import SIZES, AuditDraw, DrawnPair, Population, Stratum
from redaes.datagen.audit.given_answers import GivenAnswer, GivenAnswers, Remarks
from redaes.datagen.audit.krippendorff import Distance, alpha_estimate
from redaes.estimates import Estimate, Proportion, bootstrap, proportion
from redaes.types import FACTORS, TAU, Record, winner_of

N_RESAMPLES = 1000
LEAST_PHOTOGRAPHS = 10
"""With fewer photographs the bootstrap has too little to draw from."""

N_CONTRADICTED = 24
"""Largest number of pairs to be listed whose label people contradict."""


class LabelAgreement(Record):
    """How answers agree with labels, over some pairs."""

    n_pairs: int
    n_answers: int
    """Number of answers, one for each person and pair; if a person judged a pair twice, the first answer counts."""
    agrees: Proportion
    """Share of answers that call the same picture better as the label does. Answers and labels that call no picture
    better are left out.
    """
    alike: Proportion
    """Share of all answers that call the pictures alike."""
    expected: float | None
    """The share ``agrees`` that the scale of points predicts: the mean of Φ(size / TAU) over the same answers."""


class PersonReport(Record):
    """One person's answers."""

    n_answers: int
    agrees: Proportion
    """Agreement with the labels, as in :class:`LabelAgreement`."""
    alike: Proportion
    consistent: Proportion
    """Share of the pairs shown twice, in swapped order, that got the same answer."""
    left: Proportion
    """Share of the answers preferring one picture that prefer the left one; one half means no position bias."""
    median_seconds: float


class ContradictedPair(Record):
    """A pair for which people say the opposite of the label."""

    pair: str
    delta: float
    factor: str
    editor: str
    n_for: int
    """Number of people who agree with the label."""
    n_against: int
    n_alike: int


class AuditReport(Record):
    """What people say about a dataset's labels."""

    dataset: str
    """SHA-256 over the dataset's shards."""
    draws: tuple[AuditDraw, ...]
    n_labelled: int
    """Number of pairs in the dataset that could be drawn."""
    n_drawn: int
    overall: LabelAgreement
    """Agreement over all judged pairs, in which rare kinds of pairs weigh as much as frequent ones."""
    weighted: Estimate
    """``overall.agrees`` with each kind of pair weighted by its frequency in the dataset."""
    covered: float
    """Share of the dataset's pairs, ties aside, that are of a kind for which somebody has preferred a picture."""
    by_factor: dict[str, LabelAgreement]
    by_editor: dict[str, LabelAgreement]
    by_size: dict[str, LabelAgreement]
    by_label_source: dict[str, LabelAgreement]
    """Agreement by the source of the label: measurements, a panel's answers, and so on."""
    persons: dict[str, PersonReport]
    consistent: Proportion
    """Share of the pairs shown twice that got the same answer from the same person, over all people."""
    alpha_nominal: Estimate
    """Krippendorff's alpha between people, with all differences weighted alike; ``n`` is the number of pairs that at
    least two people have judged. There is an interval if these pairs come from at least :data:`LEAST_PHOTOGRAPHS`
    photographs and not all people agree."""
    alpha_ordinal: Estimate
    """Krippendorff's alpha with "alike" ordered between "the first" and "the second"."""
    n_contradicted: int
    """Number of pairs with more people against the label than for it."""
    contradicted: tuple[ContradictedPair, ...]
    """The contradicted pairs with the largest differences."""
    remarks: dict[str, Remarks]
    """The lines that were left out, by kind."""


def audit_report(found: Population, given: GivenAnswers) -> AuditReport:
    """Return the report of an audit.

    Raises:
        MissingDependency: evalica is absent.
    """
    answers = given.first
    weighted, covered = _weighted(found, answers)
    people = sorted({one.person for one in answers})
    by_pair: defaultdict[str, list[GivenAnswer]] = defaultdict(list)
    for one in answers:
        by_pair[one.pair.pair].append(one)
    said = [{one.person: float(one.says) for one in members} for members in by_pair.values()]
    sources = [members[0].pair.source for members in by_pair.values()]
    contradicted = _contradicted(by_pair)
    sizes = [name for _, name in SIZES]
    return AuditReport(
        dataset=found.dataset,
        draws=given.draws,
        n_labelled=len(found.rows),
        n_drawn=len({pair.pair for pair in given.pairs.values()}),
        overall=label_agreement(answers),
        weighted=weighted,
        covered=covered,
        by_factor=_by(answers, lambda pair: pair.stratum.factor, _place_of_factor),
        by_editor=_by(answers, lambda pair: pair.stratum.editor, str),
        by_size=_by(answers, lambda pair: pair.stratum.size, sizes.index),
        by_label_source=_by(answers, lambda pair: pair.label_source, str),
        persons={person: _person(person, given) for person in people},
        consistent=_consistent(given.repeated),
        alpha_nominal=_alpha(said, sources, "nominal"),
        alpha_ordinal=_alpha(said, sources, "ordinal"),
        n_contradicted=len(contradicted),
        contradicted=tuple(contradicted[:N_CONTRADICTED]),
        remarks=given.remarks,
    )


def _alpha(said: Sequence[Mapping[str, float]], photographs: Sequence[str], distance: Distance) -> Estimate:
    return alpha_estimate(said, photographs, distance, least_clusters=LEAST_PHOTOGRAPHS, n_resamples=N_RESAMPLES)


def label_agreement(answers: Sequence[GivenAnswer]) -> LabelAgreement:
    """Return how these answers agree with the labels of their pairs."""
    decided = _decided(answers)
    return LabelAgreement(
        n_pairs=len({one.pair.pair for one in answers}),
        n_answers=len(answers),
        agrees=shares([one.says == _label(one) for one in decided], [one.pair.source for one in decided]),
        alike=shares([one.says == 0 for one in answers], [one.pair.source for one in answers]),
        expected=fmean(NormalDist().cdf(abs(one.pair.delta) / TAU) for one in decided) if decided else None,
    )


def shares(right: Sequence[bool], clusters: Sequence[str]) -> Proportion:
    """Return a share with its 95 % interval over photographs.

    The interval comes from a bootstrap. Where that has too little to draw from (few photographs, or all alike) it is
    Wilson's, with the number of photographs as the number of cases: answers about one photograph are not independent.

    >>> round(shares([True, True, True], ["a", "b", "c"]).low, 3)
    0.439
    """
    found = proportion(right, clusters, n_resamples=N_RESAMPLES)
    n_photographs = len(set(clusters))
    if found.value is None or _is_spread(found, n_photographs):
        return found
    low, high = wilson(found.value, n_photographs)
    return found.model_copy(update={"low": low, "high": high})


def _is_spread(found: Estimate, n_photographs: int) -> bool:
    """Return whether resampling photographs gave a usable interval."""
    if found.low is None or found.high is None or n_photographs < LEAST_PHOTOGRAPHS:
        return False
    return found.high - found.low > 1e-9  # resamples of weighted answers that are all alike differ by rounding


def wilson(share: float, n: float) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share of ``n`` cases (E. B. Wilson, J. Am. Stat. Assoc. 22, 1927).

    >>> [round(end, 3) for end in wilson(0.9, 10)]
    [0.596, 0.982]
    """
    z = 1.959963984540054
    middle = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, (middle - half) / (1 + z * z / n)), min(1.0, (middle + half) / (1 + z * z / n))


def _label(answer: GivenAnswer) -> int:
    return {"A": 1, "B": -1, "tie": 0}[winner_of(answer.pair.delta)]


def _decided(answers: Sequence[GivenAnswer]) -> list[GivenAnswer]:
    """Return the answers that prefer one picture, about pairs whose label does so, too."""
    return [one for one in answers if _label(one) and one.says]


def _consistent(repeated: Sequence[tuple[GivenAnswer, GivenAnswer]]) -> Proportion:
    return shares([one.says == other.says for one, other in repeated], [one.pair.source for one, _ in repeated])


def _by(
    answers: Sequence[GivenAnswer], kind: Callable[[DrawnPair], str], place: Callable[[str], object]
) -> dict[str, LabelAgreement]:
    members: defaultdict[str, list[GivenAnswer]] = defaultdict(list)
    for one in answers:
        members[kind(one.pair)].append(one)
    return {name: label_agreement(members[name]) for name in sorted(members, key=place)}  # type: ignore[arg-type]


def _place_of_factor(name: str) -> tuple[int, str]:
    first = name.partition(",")[0]
    return (FACTORS.index(first) if first in FACTORS else len(FACTORS), name)


def _person(person: str, given: GivenAnswers) -> PersonReport:
    mine = [one for one in given.first if one.person == person]
    found = label_agreement(mine)
    both = [pair for pair in given.repeated if pair[0].person == person]
    shown = mine + [again for _, again in both]
    better = [one for one in shown if one.says]
    return PersonReport(
        n_answers=found.n_answers,
        agrees=found.agrees,
        alike=found.alike,
        consistent=_consistent(both),
        left=shares([one.says == one.on_left for one in better], [one.pair.source for one in better]),
        median_seconds=round(median(one.seconds for one in shown), 1),
    )


def _weighted(found: Population, answers: Sequence[GivenAnswer]) -> tuple[Estimate, float]:
    """Return the agreement with every stratum weighted by its number of pairs in the dataset, and the share of the
    dataset's pairs that the judged strata cover.
    """
    both = _decided(answers)
    judged: defaultdict[Stratum, int] = defaultdict(int)
    for one in both:
        judged[one.pair.stratum] += 1
        # Ties have no better picture to agree with, so they are not part of the estimate.
    all_decided = sum(n for stratum, n in found.strata.items() if stratum.size != SIZES[0][1])
    rows = []
    of_photograph: defaultdict[str, float] = defaultdict(float)
    for one in both:
        weight = found.strata[one.pair.stratum] / judged[one.pair.stratum]
        rows.append((weight * (one.says == _label(one)), weight))
        of_photograph[one.pair.source] += weight

    def ratio(values: np.ndarray) -> float | None:
        total = float(values[:, 1].sum())
        return float(values[:, 0].sum()) / total if total else None

    table = np.array(rows, dtype=np.float64).reshape(-1, 2)
    estimate = bootstrap(table, [one.pair.source for one in both], ratio, n_resamples=N_RESAMPLES)
    if estimate.value is not None and not _is_spread(estimate, len(of_photograph)):
        # The number of photographs that would tell as much with equal weights (L. Kish, Survey Sampling, 1965).
        weights = of_photograph.values()
        low, high = wilson(estimate.value, sum(weights) ** 2 / sum(weight**2 for weight in weights))
        estimate = estimate.model_copy(update={"low": low, "high": high})
    covered = sum(found.strata[stratum] for stratum in judged) / all_decided if all_decided else 0.0
    return estimate.over(len(both)), covered


def _contradicted(by_pair: Mapping[str, Sequence[GivenAnswer]]) -> list[ContradictedPair]:
    """Return the pairs whose label people contradict, those with the largest differences first."""
    rows = []
    for name, answers in by_pair.items():
        label, pair = _label(answers[0]), answers[0].pair
        n_for = sum(one.says == label for one in answers)
        n_against = sum(one.says == -label for one in answers)
        if label and n_against > n_for:
            rows.append(
                ContradictedPair(
                    pair=name,
                    delta=pair.delta,
                    factor=pair.stratum.factor,
                    editor=pair.stratum.editor,
                    n_for=n_for,
                    n_against=n_against,
                    n_alike=len(answers) - n_for - n_against,
                )
            )
    rows.sort(key=lambda one: (-abs(one.delta), one.pair))
    return rows
