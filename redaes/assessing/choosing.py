"""Choose the pictures of a reference set: different files, and of many candidates those that tell most about others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from redaes import ranking
from redaes.assessing.results import ReferenceChoice, ReferenceSet
from redaes.errors import InputError
from redaes.images import LoadedImage, content_id
from redaes.ranking.strengths import PRIOR_SD
from redaes.types import ImageRef, PairAnswer, Ranking

COMPARISONS = 8
"""Default number of references that a picture is compared with; docs/evaluation.md shows the gain from more."""

PAIRS_PER_CANDIDATE = 4
"""Number of comparisons for each candidate; more made no measurable difference there."""

REFERENCES = 32
"""Number of pictures of a chosen set: four times as many as each picture is compared with, so that some are near
each.
"""


def different_files(name: str, pictures: Sequence[LoadedImage | ImageRef]) -> dict[str, ImageRef]:
    """Return the pictures of a set by id, each once.

    Raises:
        InputError: there are fewer than two different pictures, or some are only in memory.
    """
    different: dict[str, ImageRef] = {}
    for number, picture in enumerate(pictures):
        if isinstance(picture, LoadedImage):
            raise InputError(
                f"pictures[{number}] is in memory, but references are read again whenever a picture is scored; give "
                "paths of files"
            )
        different[picture.id] = picture
    if len(different) < 2:
        raise InputError(f"reference set {name} has {len(different)} different pictures; give at least 2")
    return different


def digest_of(ids: Iterable[str]) -> str:
    """Return a digest of pictures' ids that does not depend on their order."""
    return content_id("\n".join(sorted(ids)).encode())[:12]


def refuse_other_judge(references: ReferenceSet, own: tuple[str, str, str], agreement: int) -> None:
    """Refuse a set that was ranked in another way than it will be used.

    Args:
        references: the set.
        own: model, revision and prompt id of the judge that will use it.
        agreement: number of answers that this judge samples in each order.

    Raises:
        InputError: they are refused.
    """
    theirs = (references.model, references.revision, references.prompt_id)
    if own != theirs:
        raise InputError(
            f"reference set {references.name} was ranked by {' '.join(theirs)}, not by {' '.join(own)}, and scores of "
            "different models cannot be compared; rank the set again"
        )
    if references.agreement != agreement:
        then, now = (
            f"the agreement of {n} answers in each order" if n else "probabilities"
            for n in (references.agreement, agreement)
        )
        raise InputError(
            f"reference set {references.name} was ranked with {then}, but scores are asked for with {now}; rank the "
            "set again"
        )


def check_placing(comparisons: int, enough: float) -> None:
    """Refuse impossible settings for placing pictures.

    Raises:
        InputError: they are refused.
    """
    if comparisons < 1 or not enough >= 0.0:
        raise InputError(f"comparisons is {comparisons} and enough is {enough}; give at least 1 and at least 0")


def check_choice(n_candidates: int, keep: int, comparisons: int) -> None:
    """Refuse an impossible choice of references.

    Raises:
        InputError: they are refused.
    """
    if comparisons < 1:
        raise InputError(f"comparisons is {comparisons}; give at least 1 comparison for each picture")
    if n_candidates < 2:
        raise InputError(f"there are {n_candidates} different candidates for references; give at least 2 that differ")
    if keep < 2 or keep > n_candidates:
        raise InputError(
            f"{keep} references cannot be chosen from {n_candidates} different candidates; give a number from 2 to "
            f"{n_candidates}"
        )


def choose(
    ranked: Ranking, answers: Sequence[PairAnswer], keep: int, comparisons: int, weight: float
) -> tuple[Ranking, ReferenceChoice]:
    """Return the candidates that tell most about others (:func:`redaes.ranking.choose_informative`), by the judge's
    answers alone.

    Args:
        ranked: all candidates.
        answers: answers about them, in any order; answers about other pictures are ignored.
        keep: number of references to choose.
        comparisons: number of references that a picture will be compared with.
        weight: expected number of usable calls of a comparison.

    Returns:
        The ranking of the chosen, with zero mean and the counts of all candidates' comparisons; and the choice.

    Raises:
        InputError: as for :func:`check_choice`.
    """
    ids = sorted(ranked.order)
    check_choice(len(ids), keep, comparisons)
    places = {one: place for place, one in enumerate(ids)}
    # In a fixed order, so that earlier answers give the same sums as new ones.
    usable = sorted(
        (one for one in answers if one.probability is not None and {one.first, one.second} <= places.keys()),
        key=lambda one: sorted((one.first, one.second)),
    )
    outcomes = [
        (places[one.first], places[one.second], one.probability, float(one.n_calls - one.n_failed))
        for one in usable
        if one.probability is not None
    ]
    values = np.array([ranked.scores[one] for one in ids])
    variances = np.array([ranked.errors[one] for one in ids]) ** 2
    spread = ranking.dispersions(values, outcomes, [one.lean for one in usable])
    mean, deviation = ranking.population(values, variances)
    known = ranking.KnownReferences(values, variances, spread, mean, deviation)
    found = ranking.choose_informative(known, keep, comparisons, weight)
    chosen = {ids[place] for place in found.indices}
    zero = float(values[list(found.indices)].mean())
    scores = {one: ranked.scores[one] - zero for one in ids if one in chosen}
    return (
        Ranking(
            order=tuple(one for one in ranked.order if one in chosen),
            scores=scores,
            errors={one: ranked.errors[one] for one in scores},
            n_comparisons=ranked.n_comparisons,
            n_calls=ranked.n_calls,
            n_failed=ranked.n_failed,
            n_cycles=ranked.n_cycles,
            settled=None,
        ),
        ReferenceChoice(
            n_candidates=len(ids),
            candidates=digest_of(ids),
            comparisons=comparisons,
            expected_error=found.expected_errors[-1],
            mean=mean - zero,
            deviation=deviation,
            dispersions={one: float(spread[places[one]]) for one in scores},
        ),
    )


def known_references(ids: Sequence[str], ranked: Ranking, choice: ReferenceChoice | None) -> ranking.KnownReferences:
    """Return the references of a set, in the order of ``ids``. For a set that was not chosen, the prior of pictures is
    the usual one, and answers have the dispersion of coin tosses.
    """
    values = np.array([ranked.scores[one] for one in ids])
    variances = np.array([ranked.errors[one] for one in ids]) ** 2
    if choice is None:
        return ranking.KnownReferences(values, variances, np.ones(len(ids)), 0.0, PRIOR_SD)
    spread = np.array([choice.dispersions[one] for one in ids])
    return ranking.KnownReferences(values, variances, spread, choice.mean, choice.deviation)
