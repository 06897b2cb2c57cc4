"""The bookkeeping of an evaluation, on a scripted model: what counts, what is wrong, what is left out."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from redaes.answers import render_verdict
from redaes.backends.scripted import ScriptedBackend
from redaes.errors import InputError
from redaes.evaluation.rationales import rationale_quality
from redaes.heldout import HeldOut, evaluate, paired_change
from redaes.images import content_id
from redaes.records import PairRecord
from redaes.types import Factor, ImageRef, Pair, Rationale, Sampling, Verdict

SAMPLING = Sampling()


def _jpeg(level: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (level, level, level)).save(buffer, "PNG")
    return buffer.getvalue()


def _record(number: int, delta: float | None, factor: Factor = "light", source: int = 0) -> PairRecord:
    first, second = _jpeg(number), _jpeg(number + 100)
    return PairRecord(
        pair=Pair(
            id=f"{number:016x}",
            first=ImageRef(id=content_id(first), path=Path("a.png")),
            second=ImageRef(id=content_id(second), path=Path("b.png")),
            delta=delta,
            edit_first=None,
            edit_second=None,
            factors=(factor,) if delta else (),
            group=f"g{number % 3}",
            source=f"s{source}",
            split="test",
        ),
        first_bytes=first,
        second_bytes=second,
        rationale=None,
        rationale_swapped=None,
        licence="",
    )


def _odds(log_odds: float) -> dict[str, float]:
    return {" A": -2.0 + log_odds / 2, " B": -2.0 - log_odds / 2, " tie": -9.0}


def _both(log_odds: float) -> list[dict[str, float]]:
    """A model whose preference for the first picture does not depend on the order."""
    return [_odds(log_odds), _odds(-log_odds)]


def _fast(records: Sequence[PairRecord], log_odds: Sequence[float]) -> HeldOut:
    backend = ScriptedBackend(log_probs=[row for value in log_odds for row in _both(value)])
    return evaluate(backend, records, n_reasoned=0, sampling=SAMPLING, seed=0)


def _answer(delta: float, factor: Factor = "light", text: str = "They differ.") -> str:
    better = "A" if delta > 0 else "B"
    rationale = Rationale(text=text, factors=(factor,), better=better)  # type: ignore[arg-type]
    return render_verdict(Verdict(winner=better, delta=delta, rationale=rationale))  # type: ignore[arg-type]


def test_accuracy_counts_ties_apart() -> None:
    records = [_record(0, 3.0), _record(1, -3.0), _record(2, 0.0), _record(3, 2.0, "focus")]
    found = _fast(records, [1.0, 1.0, 5.0, 2.0])
    accuracy = found.fast.accuracy
    assert (accuracy.n_right, accuracy.n, accuracy.n_excluded, accuracy.n_failed) == (2, 3, 1, 0)
    assert accuracy.value == pytest.approx(2 / 3)
    assert {name: (p.n_right, p.n) for name, p in found.fast.by_factor.items()} == {
        "light": (1, 2),
        "focus": (1, 1),
    }
    assert found.fast.order_consistency.value == 1.0
    assert (found.n_pairs, found.n_photographs, found.reasoned) == (4, 1, None)


def test_a_lean_towards_a_position_is_seen() -> None:
    backend = ScriptedBackend(log_probs=[_odds(3.0), _odds(2.0)])
    found = evaluate(backend, [_record(0, 1.0)], n_reasoned=0, sampling=SAMPLING, seed=0)
    assert found.fast.accuracy.value == 1.0
    assert found.fast.order_consistency.value == 0.0


def test_the_correlation_is_of_signed_differences() -> None:
    records = [_record(n, delta) for n, delta in enumerate([-4.0, -1.0, 0.0, 2.0, 5.0])]
    assert _fast(records, [-3.0, -1.0, 0.1, 1.0, 2.0]).fast.srcc.value == pytest.approx(1.0)
    assert _fast(records, [1.0] * 5).fast.srcc.value is None


def test_intervals_resample_photographs_when_there_are_enough() -> None:
    few = [_record(n, 3.0, source=n % 9) for n in range(12)]
    many = [_record(n, 3.0, source=n % 10) for n in range(12)]
    assert (_fast(few, [1.0] * 12).cluster, _fast(few, [1.0] * 12).n_clusters) == ("group", 3)
    assert (_fast(many, [1.0] * 12).cluster, _fast(many, [1.0] * 12).n_clusters) == ("photograph", 10)


def test_a_single_cluster_has_no_interval() -> None:
    accuracy = _fast([_record(0, 3.0)], [1.0]).fast.accuracy
    assert (accuracy.value, accuracy.low, accuracy.high) == (1.0, None, None)


def test_reasoned_answers_are_taken_apart() -> None:
    records = [_record(0, 3.0), _record(1, -3.0), _record(2, 2.0, "focus")]
    answers = {
        0: [_answer(2.0), _answer(-2.0, "noise")],  # right twice, the second for a wrong reason
        1: [_answer(2.0), "no answer at all"],  # wrong, then unusable
        2: ["", ""],
    }
    order = [int(item.outcome.pair, 16) for item in _drawn(records)]
    backend = ScriptedBackend(
        [text for number in order for text in answers[number]],
        [row for _ in records for row in _both(1.0)]
        + [row for number in order if any(answers[number]) for row in _both(1.0)],
    )
    found = evaluate(backend, records, n_reasoned=3, sampling=SAMPLING, seed=0)
    summary = found.reasoned
    assert summary is not None
    assert (summary.accuracy.n_right, summary.accuracy.n, summary.accuracy.n_failed) == (1, 3, 1)
    assert (summary.parse_rate.n_right, summary.parse_rate.n, summary.parse_rate.n_failed) == (3, 6, 3)
    assert (summary.factor_accuracy.n_right, summary.factor_accuracy.n) == (1, 6)
    assert summary.failures == {"empty": 2, "not_the_form": 1}
    assert summary.n_distinct == 1
    assert summary.mean_words == 2.0
    assert (summary.order_consistency.n_right, summary.order_consistency.n_failed) == (1, 2)
    texts = {item.outcome.pair: [a.text for a in item.answers] for item in found.reasoned_outcomes}
    assert texts[f"{1:016x}"] == answers[1]


def test_the_reasoned_mode_is_what_is_written_though_something_else_is_read() -> None:
    backend = ScriptedBackend([_answer(2.0), _answer(-3.0)], [*_both(-1.0), *_both(-1.0)])
    found = evaluate(backend, [_record(0, 3.0)], n_reasoned=1, sampling=SAMPLING, seed=0)
    (item,) = found.reasoned_outcomes
    assert (found.fast.accuracy.value, found.reasoned and found.reasoned.accuracy.value) == (0.0, 1.0)
    assert (item.outcome.delta, item.outcome.order_consistent, item.winner) == (2.5, True, "A")
    assert (item.rationale, item.rationale_order) == ("They differ.", "forward")
    assert item.outcome.probability is not None
    assert item.outcome.probability < 0.5


def _drawn(records: Sequence[PairRecord], seed: int = 0) -> tuple[object, ...]:
    """The reasoned outcomes, for their order, from a model that never gives a usable answer."""
    backend = ScriptedBackend([""] * 2 * len(records), [row for _ in records for row in _both(1.0)])
    return evaluate(backend, records, n_reasoned=len(records), sampling=SAMPLING, seed=seed).reasoned_outcomes


def test_the_reasoned_pairs_are_drawn_by_the_seed() -> None:
    records = [_record(n, 3.0) for n in range(20)]
    orders = [[item.outcome.pair for item in _drawn(records, seed)] for seed in (0, 0, 1)]  # type: ignore[attr-defined]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2])


def test_a_named_factor_on_the_wrong_side_is_wrong() -> None:
    backend = ScriptedBackend([_answer(-2.0), _answer(2.0)], [*_both(1.0), _odds(1.0), _odds(1.0)])
    found = evaluate(backend, [_record(0, 3.0)], n_reasoned=1, sampling=SAMPLING, seed=0).reasoned
    assert found is not None
    assert found.factor_accuracy.value == 0.0


def test_factors_count_where_it_is_known_what_decides() -> None:
    known, unknown = _record(0, 3.0), _record(1, 3.0)
    unknown = unknown.model_copy(update={"pair": unknown.pair.model_copy(update={"factors": ()})})
    backend = ScriptedBackend([_answer(2.0), _answer(-2.0)] * 2, [row for _ in range(4) for row in _both(1.0)])
    found = evaluate(backend, [known, unknown], n_reasoned=2, sampling=SAMPLING, seed=0)
    assert found.reasoned is not None
    factors = found.reasoned.factor_accuracy
    assert (factors.n_right, factors.n, factors.n_excluded) == (2, 2, 2)
    assert found.reasoned.parse_rate.n == 4
    quality = rationale_quality(found)
    assert (quality.n_answers, quality.factor_precision.value, quality.hallucination.value) == (4, 1.0, 0.0)


def test_equal_files_are_no_question() -> None:
    record = _record(0, 0.0)
    record = record.model_copy(
        update={
            "second_bytes": record.first_bytes,
            "pair": record.pair.model_copy(update={"second": record.pair.first}),
        }
    )
    found = evaluate(ScriptedBackend(), [record], n_reasoned=1, sampling=SAMPLING, seed=0)
    assert (found.fast.order_consistency.n, found.fast.order_consistency.n_excluded) == (0, 1)
    assert found.reasoned is not None
    assert found.reasoned.parse_rate.n == 0
    assert found.reasoned.mean_words is None


def test_the_change_is_paired() -> None:
    records = [_record(n, 3.0 if n else 0.0) for n in range(7)]
    before = _fast(records, [1.0, -1.0, -1.0, -1.0, 1.0, 1.0, 1.0])
    after = _fast(records, [1.0, 1.0, 1.0, -1.0, -1.0, 1.0, 1.0])
    change = paired_change(before, after)
    assert (change.n, change.n_gained, change.n_lost) == (6, 2, 1)
    assert change.value == pytest.approx(1 / 6)
    assert change.low is not None
    assert change.low <= 1 / 6 <= (change.high or 0)
    assert change.measure == "fast accuracy"
    nothing = paired_change(before, before)
    assert nothing == paired_change(before, before)
    assert (nothing.value, nothing.low, nothing.high) == (0.0, 0.0, 0.0)


def test_a_change_between_different_pairs_is_refused() -> None:
    with pytest.raises(InputError, match="different pairs"):
        paired_change(_fast([_record(0, 3.0)], [1.0]), _fast([_record(1, 3.0)], [1.0]))


def test_a_record_survives_json() -> None:
    found = _fast([_record(n, 3.0 - n) for n in range(5)], [1.0, -1.0, 0.0, 2.0, 3.0])
    assert HeldOut.model_validate_json(found.model_dump_json()) == found


def test_progress_covers_both_modes() -> None:
    records = [_record(n, 3.0) for n in range(20)]
    seen: list[tuple[int, int]] = []
    backend = ScriptedBackend([""] * 6, [row for _ in records for row in _both(1.0)])
    evaluate(backend, records, n_reasoned=3, sampling=SAMPLING, seed=0, progress=lambda *step: seen.append(step))
    assert seen == [(0, 23), (16, 23), (20, 23), (23, 23)]


@pytest.mark.parametrize(
    ("records", "n_reasoned", "says"),
    [
        ([], 0, "no pairs"),
        ([_record(0, None)], 0, "no label"),
        ([_record(0, 1.0), _record(0, 1.0)], 0, "comes 2 times"),
        ([_record(0, 1.0)], -1, "n_reasoned"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(records: list[PairRecord], n_reasoned: int, says: str) -> None:
    with pytest.raises(InputError, match=says):
        evaluate(ScriptedBackend(), records, n_reasoned=n_reasoned, sampling=SAMPLING, seed=0)
