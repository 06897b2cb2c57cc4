"""Rank many pictures, or place pictures among references that were ranked before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from redaes import ranking
from redaes.assessing import orders as both_orders
from redaes.assessing.agreement import USUAL_DRAWS
from redaes.assessing.choosing import known_references
from redaes.assessing.notebook import MOST_PICTURES
from redaes.assessing.results import (
    RankedPictures,
    ReferenceSet,
    Result,
    Score,
    Unplaced,
    answer_of,
    preference,
    questions_of,
)
from redaes.assessing.thumbnails import Thumbnails
from redaes.errors import ParseError
from redaes.images import LoadedImage, unchanged
from redaes.points import delta_of
from redaes.types import MAX_DELTA, ImageRef, PairAnswer

CompareMany = Callable[[Sequence[tuple[LoadedImage, LoadedImage]]], list[Result]]
"""A function that compares pairs, in the wanted mode and orders."""

_BATCH = 32
"""Number of comparisons that the backend gets at once, which bounds the pictures in memory."""

_CENTRE = MAX_DELTA / 2


def rank(
    compare: CompareMany,
    pictures: Sequence[LoadedImage | ImageRef],
    *,
    n_questions: int,
    top_k: int | None,
    max_calls: int | None,
    seed: int,
    known: Sequence[PairAnswer],
    on_answers: Callable[[Sequence[PairAnswer]], None] | None,
) -> RankedPictures:
    """Rank pictures; see :meth:`redaes.assessor.Assessor.rank`.

    Args:
        compare: asks the model.
        pictures: references are loaded when they are needed.
        n_questions: number of questions about a pair.
        top_k: as for the assessor's method.
        max_calls: as for the assessor's method.
        seed: as for the assessor's method.
        known: as for the assessor's method.
        on_answers: as for the assessor's method.

    Raises:
        ImageError, InputError, ParseError, BackendError: as for the assessor's method.
    """
    refs = [picture if isinstance(picture, ImageRef) else picture.ref for picture in pictures]
    found = {ref.id: picture for ref, picture in zip(refs, pictures, strict=True)}
    ids = sorted(found)  # the result must not depend on the order in which the pictures were listed
    n_pairs = None if max_calls is None else max_calls // n_questions
    schedule = ranking.Schedule(len(ids), max_pairs=n_pairs, top_k=top_k, seed=seed)
    answered: list[PairAnswer] = []
    remembered = {frozenset((answer.first, answer.second)): answer for answer in known}
    load = lru_cache(maxsize=2 * _BATCH)(lambda picture_id: unchanged(found[picture_id]))
    while pairs := schedule.next_round():
        for batch in (pairs[start : start + _BATCH] for start in range(0, len(pairs), _BATCH)):
            named = [(ids[i], ids[j]) for i, j in batch]
            new = [pair for pair in named if frozenset(pair) not in remembered]
            results = compare([(load(first), load(second)) for first, second in new])
            if all(answer.probability is None for answer in answered):
                _refuse_verdicts_alone(results)
            for pair, result in zip(new, results, strict=True):
                remembered[frozenset(pair)] = answer_of(result)
            for (i, j), pair in zip(batch, named, strict=True):
                answer = remembered[frozenset(pair)]
                answered.append(answer)
                probability = answer.probability
                if probability is not None and answer.first != pair[0]:
                    probability = 1.0 - probability
                schedule.record(i, j, probability, float(answer.n_calls - answer.n_failed))
            if new and on_answers is not None:
                on_answers(answered)
    ranked = ranking.rank(ids, answered, top_k)
    places = {ref.id: number for number, ref in reversed(list(enumerate(refs)))}
    indices = tuple(places[one] for one in ranked.order)
    found_order = RankedPictures(**dict(ranked), pictures=tuple(refs[number] for number in indices), indices=indices)
    best = (pictures[number] for number in indices[:MOST_PICTURES])
    found_order.keep(Thumbnails(picture for picture in best if isinstance(picture, LoadedImage)))
    return found_order


def _refuse_verdicts_alone(results: Sequence[Result]) -> None:
    """End early if the model answers but its answers cannot be used for a ranking.

    Raises:
        ParseError: some answers are verdicts, none has a probability, and no agreement was requested. If one was
            requested but an order gave none, the next pictures may still give one.
    """
    said = [result for result in results if result.delta is not None]
    if said and all(preference(result) is None and result.agreement is None for result in results):
        raise ParseError(
            "no_probability",
            f"{said[0].model} gives verdicts without probabilities, which ranks and scores need; count repeated "
            f"answers instead (Assessor(…, agreement={USUAL_DRAWS})), or use a server that reports probabilities",
        )


def score(compare: CompareMany, picture: LoadedImage, references: ReferenceSet) -> Score:
    """Score a picture against a set that this judge ranked; see :meth:`redaes.assessor.Assessor.score`.

    Raises:
        ImageError, ParseError, BackendError: as for the assessor's method.
    """
    outcomes: list[tuple[float, float, float]] = []
    n_calls = n_failed = 0
    for start in range(0, len(references.pictures), _BATCH):
        batch = references.pictures[start : start + _BATCH]
        results = compare([(picture, unchanged(reference)) for reference in batch])
        if not outcomes:
            _refuse_verdicts_alone(results)
        for reference, result in zip(batch, results, strict=True):
            calls, failed = questions_of(result)
            n_calls += calls
            n_failed += failed
            won = preference(result)
            if won is not None:
                # A copy of a reference is a tie without a question; it has the weight of an asked comparison.
                weight = calls - failed if calls else len(both_orders.ORDERS)
                outcomes.append((references.ranking.scores[reference.id], won, float(weight)))
    if not outcomes:
        raise ParseError("no_usable_answer", f"{picture.ref.path}: none of the {n_calls} answers could be used")
    strength, error = ranking.fit_one(outcomes)
    return _score(picture, references, strength, error, n_calls, n_failed)


def score_adaptively(
    compare: CompareMany,
    pictures: Sequence[LoadedImage],
    references: ReferenceSet,
    *,
    comparisons: int,
    enough: float,
    weight: float,
) -> list[Score | Unplaced]:
    """Score pictures against a set that this judge ranked; see :meth:`redaes.assessor.Assessor.score_many`. In each
    round, every unfinished picture is compared with the reference that tells most about it.

    Args:
        compare: asks the model.
        pictures: pictures, each of which is placed independently of the others.
        references: the set.
        comparisons: largest number of references that a picture is compared with.
        enough: standard error, in logits, below which nothing more is asked; 0: never stop early.
        weight: expected number of usable calls of a comparison.

    Raises:
        ImageError, BackendError: as for the assessor's method.
    """
    # Questions must not depend on the order in which the references were listed.
    listed = sorted(references.pictures, key=lambda reference: reference.id)
    ids = [reference.id for reference in listed]
    placements = ranking.Placements(
        len(pictures), known_references(ids, references.ranking, references.choice), weight=weight
    )
    load = lru_cache(maxsize=_BATCH)(lambda place: unchanged(listed[place]))
    n_calls, n_failed, n_usable = [0] * len(pictures), [0] * len(pictures), [0] * len(pictures)
    for _ in range(comparisons):
        wanted = placements.next_references().tolist()
        errors = placements.errors().tolist()
        asked = [
            (item, place)
            for item, place in enumerate(wanted)
            if place >= 0 and not (n_usable[item] and errors[item] <= enough)
        ]
        if not asked:
            break
        for start in range(0, len(asked), _BATCH):
            batch = asked[start : start + _BATCH]
            results = compare([(pictures[item], load(place)) for item, place in batch])
            for (item, place), result in zip(batch, results, strict=True):
                calls, failed = questions_of(result)
                won = preference(result)
                n_calls[item] += calls
                # A verdict without a probability cannot be used for a strength. Here it is a failure of this
                # comparison: the judge
                # normally gives probabilities, because it ranked the references.
                n_failed[item] += calls if won is None else failed
                if won is None:
                    placements.close(item, place)
                    continue
                n_usable[item] += 1
                # A copy of a reference is a tie without a question; it has the weight of an asked comparison.
                placements.record(item, place, won, float(calls - failed if calls else len(both_orders.ORDERS)))
    found: list[Score | Unplaced] = []
    for item, (strength, error) in enumerate(zip(placements.strengths(), placements.errors(), strict=True)):
        counts = n_calls[item], n_failed[item]
        if n_usable[item]:
            found.append(_score(pictures[item], references, float(strength), float(error), *counts))
        else:
            image = pictures[item].ref
            found.append(Unplaced(image=image, reason="no_usable_answer", n_calls=counts[0], n_failed=counts[1]))
    return found


def _score(
    picture: LoadedImage, references: ReferenceSet, strength: float, error: float, n_calls: int, n_failed: int
) -> Score:
    return Score(
        image=picture.ref,
        score=min(MAX_DELTA, max(0.0, _CENTRE + delta_of(strength))),
        error=(delta_of(strength + error) - delta_of(strength - error)) / 2,
        strength=strength,
        better_than=sum(strength > value for value in references.ranking.scores.values()),
        references=references.name,
        n_references=len(references.pictures),
        n_calls=n_calls,
        n_failed=n_failed,
        model=references.model,
        revision=references.revision,
        prompt_id=references.prompt_id,
        mode=references.mode,
    )
