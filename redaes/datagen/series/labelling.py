"""Make a labelled series from votes: order, probabilities of pairs, comparative texts, and the split."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from redaes.assessor import delta_of
from redaes.datagen.rationales import PairObservation, write_from_factors
from redaes.datagen.rationales.choosing import leading_factor
from redaes.datagen.series.candidates import Dropped, SeriesCandidate
from redaes.datagen.series.kept_steps import Refinement, measured_series
from redaes.datagen.series.votes import CalibratedSeries, RefusedSeries, Votes
from redaes.errors import InputError
from redaes.evidence.measurements import Measurements, PairEvidence
from redaes.models.fgaesq.texts import comparative_text, rationale_text
from redaes.series_records import Series, SeriesPair
from redaes.types import TIE_MARGIN, Factor


def check_votes(votes: Sequence[Votes], refinements: Sequence[Refinement]) -> None:
    """Refuse votes on series or pictures that are not in the ballots.

    Raises:
        InputError: there is such a vote; the message names the series or picture.
    """
    known = {item.candidate.id: set(item.names) for item in refinements}
    for vote in votes:
        if vote.series not in known:
            raise InputError(f"there are votes on the series {vote.series!r}, which is not in the ballots")
        for name in (vote.first, vote.second):
            if name not in known[vote.series]:
                raise InputError(
                    f"series {vote.series}: there are votes on {name!r}; the ballots have "
                    f"{', '.join(sorted(known[vote.series]))}"
                )


def labelled_series(
    item: Refinement,
    calibrated: CalibratedSeries | RefusedSeries | None,
    files: Mapping[str, Mapping[int, Path]],
    factors: Mapping[str, Mapping[tuple[str, str], tuple[Factor, ...]]],
    seed: int,
    test_fraction: float,
    out: Path,
) -> tuple[Series | None, list[Dropped]]:
    """Return the series with its order, and the pictures or series that were dropped."""
    candidate = item.candidate
    if calibrated is None or isinstance(calibrated, RefusedSeries):
        reason = "no_votes" if calibrated is None else calibrated.reason
        return None, [Dropped(candidate.category, candidate.id, "", reason)]
    lost = [
        Dropped(candidate.category, candidate.id, candidate.pictures[place].shown, "no_votes")
        for name, place in item.names.items()
        if name not in calibrated.strengths
    ]
    if not calibrated.pairs:
        return None, [*lost, Dropped(candidate.category, candidate.id, "", "undecided")]
    names = [name for name in item.names if name in calibrated.strengths]
    place = {name: number for number, name in enumerate(names)}
    evidence = measured_series(item, names, out, files[candidate.id])
    probabilities = {}
    for pair in calibrated.pairs:
        # Texts are about pairs in the ballots' order, which does not tell whether the first one is better.
        if place[pair.first] < place[pair.second]:
            probabilities[pair.first, pair.second] = pair.probability
        else:
            probabilities[pair.second, pair.first] = 1 - pair.probability
    pairs = []
    for (first, second), probability in sorted(probabilities.items()):
        told = factors.get(candidate.id, {}).get((first, second), ())
        difference = calibrated.strengths[first] - calibrated.strengths[second]
        text = _text(evidence[first], evidence[second], told, difference, candidate, (first, second), seed)
        pairs.append(SeriesPair(first=place[first], second=place[second], probability=probability, text=text))
    draw = random.Random(f"split/{seed}/{candidate.source}").random()
    return (
        Series(
            id=candidate.id,
            category=candidate.category,
            split="test" if draw < test_fraction else "train",
            images=tuple(files[candidate.id][item.names[name]] for name in names),
            scores=tuple(calibrated.strengths[name] for name in names),
            pairs=tuple(pairs),
        ),
        lost,
    )


def _text(
    first: Measurements,
    second: Measurements,
    told: tuple[Factor, ...],
    difference: float,
    candidate: SeriesCandidate,
    names: tuple[str, str],
    seed: int,
) -> str:
    """Return a sentence or two on a pair for CTAlign, by the embedded writer of rationales.

    The deciding factors are those that the assessor named, or else the largest measured difference (for crops: the
    composition).
    """
    leading = "composition" if candidate.category == "cropping" else leading_factor(first, second)
    factors = told or (() if leading is None else (leading,))
    delta = delta_of(difference)
    if not factors or abs(delta) < TIE_MARGIN:
        return comparative_text(factors, better=difference > 0)
    wording = random.Random("/".join(("text", str(seed), candidate.id, *names))).randrange(2**31)
    seen = PairObservation(PairEvidence(first=first, second=second, registration=None))
    return rationale_text(write_from_factors(seen, factors, delta, wording))
