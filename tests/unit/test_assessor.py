"""The rules of docs/reading.md, on a scripted model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from redaes.answers import WINNER_PREFIX, render_verdict
from redaes.assessor import Assessor, Result, answer_of, delta_of, known_mode
from redaes.backends.base import Answer, Request
from redaes.backends.failures import Failure
from redaes.backends.scripted import ScriptedBackend
from redaes.errors import BackendError, InputError
from redaes.images import IN_MEMORY, LoadedImage
from redaes.types import Factor, ImageRef, Rationale, Sampling, Verdict, Winner, winner_of

LIGHT: tuple[Factor, ...] = ("light",)


def _picture(name: str, colour: str = "grey", *notes: str) -> LoadedImage:
    return LoadedImage(Image.new("RGB", (8, 6), colour), ImageRef(id=name, path=Path(f"{name}.jpg")), notes)


PAIR = _picture("one", "red"), _picture("two", "blue")


def _odds(log_odds: float, tie: float = -9.0) -> dict[str, float]:
    return {" A": -2.0 + log_odds / 2, " B": -2.0 - log_odds / 2, " tie": tie}


def _answer(delta: float, text: str = "A and B differ.", factors: tuple[Factor, ...] = LIGHT) -> str:
    """A reasoned answer; ``delta`` is A minus B in the letters of its own order."""
    better: Winner = "tie" if delta == 0 else ("A" if delta > 0 else "B")
    rationale = Rationale(text=text, factors=() if better == "tie" else factors, better=better)
    return render_verdict(Verdict(winner=better, delta=delta, rationale=rationale))


def _fast(forward: float, swapped: float, tie: float = -9.0) -> tuple[Result, ScriptedBackend]:
    backend = ScriptedBackend(log_probs=[_odds(forward, tie), _odds(swapped, tie)])
    return Assessor(backend, mode="fast").compare_many([PAIR])[0], backend


def _reasoned(forward: str, swapped: str, *log_odds: float) -> tuple[Result, ScriptedBackend]:
    backend = ScriptedBackend([forward, swapped], [_odds(value) for value in log_odds])
    return Assessor(backend).compare_many([PAIR])[0], backend


def test_both_orders_are_shown() -> None:
    _, backend = _fast(1.0, -1.0)
    forward, swapped = (request.images for request in backend.asked)
    assert forward == (PAIR[0].image, PAIR[1].image)
    assert swapped == (PAIR[1].image, PAIR[0].image)
    assert forward != swapped


# --- fast ---------------------------------------------------------------------------------------------------


def test_fast_reads_after_the_prefix_of_the_fast_prompt() -> None:
    result, backend = _fast(1.0, -1.0)
    assert [request.prefix for request in backend.asked] == [WINNER_PREFIX] * 2
    assert {request.prompt.name for request in backend.asked} == {"compare_fast/v1"}
    assert result.prompt_id == backend.asked[0].prompt.id
    assert result.mode == "fast"


def test_fast_averages_log_odds_over_the_orders() -> None:
    result, _ = _fast(2.0, -1.0)
    assert result.probability == pytest.approx(1 / (1 + math.exp(-1.5)))
    assert result.delta == pytest.approx(delta_of(1.5))
    assert result.winner == "A"
    assert result.order_consistent is True
    assert (result.failure, result.rationale, result.rationale_order, result.factors) == (
        None,
        None,
        None,
        (),
    )
    assert result.notes == ()


def test_fast_a_lean_to_one_position_cancels_and_decides_nothing() -> None:
    result, _ = _fast(3.0, 3.0)
    assert (result.winner, result.probability, result.delta) == (None, 0.5, 0.0)
    assert (result.undecided, result.failure) == ("orders", None)
    assert result.order_consistent is False


def test_orders_that_contradict_each_other_are_neither_tie_nor_failure() -> None:
    result, _ = _fast(4.0, 1.0)  # the first picture, and then the second
    assert (result.winner, result.undecided, result.failure) == (None, "orders", None)
    assert result.probability == pytest.approx(1 / (1 + math.exp(-1.5)))  # what a ranking takes
    assert answer_of(result).probability == result.probability
    assert answer_of(result).n_failed == 0


def test_a_tie_is_not_undecided() -> None:
    result, _ = _fast(0.1, -0.1)
    assert (result.winner, result.undecided, result.order_consistent) == ("tie", None, True)


def test_a_tie_in_one_order_contradicts_nothing() -> None:
    result, _ = _fast(4.0, 0.1)
    assert (result.winner, result.undecided, result.order_consistent) == ("A", None, False)


def test_fast_each_order_is_recorded_as_it_was_read() -> None:
    result, backend = _fast(2.0, -1.0)
    forward, swapped = result.comparisons
    assert (forward.order, swapped.order) == ("forward", "swapped")
    assert (forward.raw, swapped.raw) == ("Winner: A", "Winner: B")
    assert forward.probability == pytest.approx(1 / (1 + math.exp(-2.0)))
    assert swapped.probability == pytest.approx(1 / (1 + math.exp(1.0)))
    assert forward.verdict == Verdict(winner="A", delta=round(delta_of(2.0), 1), rationale=None)
    assert swapped.verdict == Verdict(winner="B", delta=round(delta_of(-1.0), 1), rationale=None)
    assert (forward.model, forward.revision) == (backend.model, backend.revision)
    assert forward.failure is None


def test_fast_raw_is_the_likeliest_token_even_against_the_verdict() -> None:
    result, _ = _fast(2.0, -2.0, tie=-0.01)
    assert [comparison.raw for comparison in result.comparisons] == ["Winner: tie"] * 2
    assert result.winner == "A"


@given(st.floats(-2000, 2000), st.floats(-2000, 2000))
def test_fast_exchanging_the_pictures_exchanges_the_answer(forward: float, swapped: float) -> None:
    result, _ = _fast(forward, swapped)
    turned, _ = _fast(swapped, forward)
    assert result.delta is not None
    assert result.probability is not None
    assert turned.probability == pytest.approx(1 - result.probability)
    assert turned.delta == pytest.approx(-result.delta)
    assert abs(result.delta) <= 9.0
    assert result.undecided == turned.undecided
    assert result.winner == (None if result.undecided else winner_of(result.delta))


def test_delta_of_is_the_thurstone_scale() -> None:
    odds_of_one_sigma = math.log(0.841344746 / 0.158655254)
    assert delta_of(odds_of_one_sigma) == pytest.approx(2.0)
    assert delta_of(-odds_of_one_sigma) == pytest.approx(-2.0)
    assert (delta_of(0.0), delta_of(1e6), delta_of(-1e6)) == (0.0, 9.0, -9.0)


@given(st.floats(-30, 30), st.floats(-30, 30))
def test_delta_of_never_turns_the_order(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert delta_of(low) <= delta_of(high)


# --- reasoned -----------------------------------------------------------------------------------------------


def test_reasoned_verdicts_are_read_and_their_reasons_written() -> None:
    result, backend = _reasoned(_answer(3.0, "B is dark."), _answer(-2.0, "A is dark."), 2.0, -4.0)
    assert (result.winner, result.delta) == ("A", delta_of(3.0))
    assert result.probability == pytest.approx(1 / (1 + math.exp(-3.0)))
    assert result.log_odds == 3.0
    assert result.order_consistent is True
    assert (result.rationale, result.rationale_order, result.factors) == ("B is dark.", "forward", ("light",))
    assert [request.prompt.name for request in backend.asked] == ["compare/v1"] * 2 + ["compare_fast/v1"] * 2
    assert (result.failure, result.undecided, result.notes) == (None, None, ())


def test_reasoned_and_fast_mode_give_one_verdict() -> None:
    reasoned, _ = _reasoned(_answer(3.0), _answer(-2.0), 2.0, -1.0)
    fast, _ = _fast(2.0, -1.0)
    assert (reasoned.winner, reasoned.probability, reasoned.delta) == (fast.winner, fast.probability, fast.delta)
    assert reasoned.prompt_id != fast.prompt_id


def test_reasoned_reads_without_the_reasons() -> None:
    _, backend = _reasoned(_answer(3.0), "\n" + _answer(-2.0), 2.0, -4.0)
    generated, read = backend.asked[:2], backend.asked[2:]
    assert [request.prefix for request in generated] == ["", ""]
    assert [request.prefix for request in read] == [WINNER_PREFIX] * 2
    assert read[1].images == (PAIR[1].image, PAIR[0].image)


def test_reasoned_records_what_was_said_and_read() -> None:
    forward = _answer(3.0)
    sampling = Sampling(temperature=0.7, max_new_tokens=99, seed=5)
    backend = ScriptedBackend([forward, _answer(-2.0)], [_odds(2.0), _odds(-4.0)])
    (result,) = Assessor(backend, sampling=sampling).compare_many([PAIR])
    comparison = result.comparisons[0]
    assert comparison.raw == forward
    assert comparison.sampling == sampling
    assert (comparison.prompt_id, comparison.read_with) == (backend.asked[0].prompt.id, backend.asked[2].prompt.id)
    assert comparison.log_odds == 2.0
    assert comparison.probability == pytest.approx(1 / (1 + math.exp(-2.0)))
    assert comparison.verdict is not None
    assert comparison.verdict.delta == 3.0


def test_the_swapped_reasoning_is_given_when_only_it_agrees() -> None:
    result, _ = _reasoned(_answer(0.0, "Alike."), _answer(-4.0, "A is noisy.", ("noise",)), 1.0, -3.0)
    assert result.winner == "A"
    assert (result.rationale, result.rationale_order) == ("A is noisy.", "swapped")
    assert result.factors == ("noise",)
    assert result.order_consistent is False


@pytest.mark.parametrize(
    ("written", "read", "why"),
    [
        ((2.0, 2.0), (1.0, -1.0), "orders"),  # what is written changes with the order
        ((2.0, -2.0), (4.0, 1.0), "orders"),  # what is read does
        ((-2.0, 2.0), (1.0, -1.0), "reasons"),  # both orders write against what is read
        ((-2.0, 0.0), (1.0, -1.0), "reasons"),
        ((0.0, 0.0), (1.0, -1.0), None),
        ((-2.0, 2.0), (0.1, -0.1), None),  # read as a tie
    ],
)
def test_what_is_undecided_shows_no_reasons_and_keeps_its_numbers(
    written: tuple[float, float], read: tuple[float, float], why: str | None
) -> None:
    result, _ = _reasoned(_answer(written[0]), _answer(written[1]), *read)
    turned, _ = _reasoned(_answer(written[1]), _answer(written[0]), *read[::-1])
    mean = (read[0] - read[1]) / 2
    assert (result.undecided, turned.undecided) == (why, why)
    assert (result.winner is None) == (why is not None)
    assert result.failure is None
    assert (result.log_odds, result.delta) == (pytest.approx(mean), pytest.approx(delta_of(mean)))
    if why is not None:
        assert (result.rationale, result.rationale_order, result.factors) == (None, None, ())


def test_reasons_for_another_verdict_are_not_shown() -> None:
    result, _ = _reasoned(_answer(0.0, "Alike."), _answer(0.0, "Alike."), 2.0, -2.0)
    assert (result.winner, result.undecided, result.rationale) == ("A", None, None)
    assert "no rationale agrees with the verdict, so none is shown" in result.notes


def test_two_ties_agree() -> None:
    result, _ = _reasoned(_answer(0.0, "Same."), _answer(0.0, "Same."), 0.1, -0.1)
    assert (result.winner, result.order_consistent) == ("tie", True)
    assert result.rationale == "Same."


@pytest.mark.parametrize(("forward", "swapped", "kept"), [(_answer(3.0), "Hm.", 0), ("Hm.", _answer(-2.0), 1)])
def test_one_order_without_usable_reasons(forward: str, swapped: str, kept: int) -> None:
    result, _ = _reasoned(forward, swapped, 2.0, -1.0)
    assert (result.winner, result.delta) == ("A", delta_of(1.5))
    assert result.order_consistent is True  # of the two that were read
    assert result.rationale_order == ("forward", "swapped")[kept]
    assert result.failure is None
    assert any("only one order gave usable reasons" in note and "not_the_form" in note for note in result.notes)
    failed = result.comparisons[1 - kept]
    assert (failed.verdict, failed.failure, failed.raw) == (None, "not_the_form", "Hm.")
    assert failed.log_odds is not None


def test_no_usable_order_is_a_failure_and_no_number() -> None:
    result, backend = _reasoned("Hm.", "")
    assert (result.winner, result.delta, result.probability, result.order_consistent) == (None,) * 4
    assert (result.rationale, result.factors, result.undecided) == (None, (), None)
    assert result.failure == "forward: not_the_form; swapped: empty"
    assert [comparison.raw for comparison in result.comparisons] == ["Hm.", ""]
    assert len(backend.asked) == 2  # nothing is read where nothing is said


class _Mute(ScriptedBackend):
    """A model whose probabilities cannot be read."""

    def answer(self, requests: Sequence[Request]) -> list[Answer | Failure]:
        if requests[0].choices:
            return [Failure("no_logprob", "none") for _ in requests]
        return super().answer(requests)


def test_without_probabilities_the_written_verdict_counts() -> None:
    (result,) = Assessor(_Mute([_answer(3.0), _answer(-2.0)])).compare_many([PAIR])
    assert (result.winner, result.delta, result.probability, result.log_odds) == ("A", 2.5, None, None)
    assert [one.probability_failure for one in result.comparisons] == ["no_logprob"] * 2
    assert any("no probability" in note for note in result.notes)
    (result,) = Assessor(_Mute([_answer(3.0), _answer(3.0)])).compare_many([PAIR])
    assert (result.winner, result.undecided, result.delta, result.probability) == (None, "orders", 0.0, None)


def test_answers_stay_with_their_pairs() -> None:
    same = _picture("one"), _picture("one")
    pairs = [PAIR, same, (_picture("three"), _picture("four")), (_picture("five"), _picture("six"))]
    backend = ScriptedBackend(
        [_answer(1.0), _answer(-1.0), "Hm.", _answer(-2.0), _answer(-3.0), _answer(3.0)],
        [_odds(1.0), _odds(-1.0), _odds(2.0), _odds(-2.0), _odds(-3.0), _odds(3.0)],
    )
    results = Assessor(backend).compare_many(pairs)
    assert [result.log_odds for result in results] == [1.0, None, 2.0, -3.0]
    assert [result.delta for result in results] == [delta_of(1.0), 0.0, delta_of(2.0), delta_of(-3.0)]
    assert [result.first.id for result in results] == ["one", "one", "three", "five"]
    assert results[3].probability == pytest.approx(1 / (1 + math.exp(3.0)))


# --- both ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["fast", "reasoned"])
def test_identical_bytes_are_a_tie_without_asking(tmp_path: Path, mode: str) -> None:
    Image.new("RGB", (8, 6), "red").save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes())
    backend = ScriptedBackend()
    result = Assessor(backend, mode=known_mode(mode)).compare(tmp_path / "a.png", str(tmp_path / "b.png"))
    assert (result.winner, result.probability, result.delta, result.comparisons) == ("tie", 0.5, 0.0, ())
    assert result.order_consistent is None
    assert backend.asked == []
    assert any("not asked" in note for note in result.notes)
    assert result.first.id == result.second.id
    assert (result.first.path.name, result.second.path.name) == ("a.png", "b.png")


def test_notes_of_loading_are_passed_on() -> None:
    backend = ScriptedBackend(log_probs=[_odds(1.0), _odds(-1.0)])
    pair = _picture("one", "red", "was CMYK"), _picture("two", "blue", "was animated")
    (result,) = Assessor(backend, mode="fast").compare_many([pair])
    assert result.notes == ("one.jpg: was CMYK", "two.jpg: was animated")


def test_pictures_in_memory_are_named_by_their_pixels() -> None:
    red, grey = Image.new("RGB", (8, 6), "red"), Image.new("L", (8, 6), 100)
    backend = ScriptedBackend(log_probs=[_odds(1.0), _odds(-1.0)])
    assessor = Assessor(backend, mode="fast")
    result = assessor.compare(red, grey)
    assert result.first.path == IN_MEMORY
    assert result.first.id != result.second.id
    assert backend.asked[0].images[1].mode == "RGB"
    assert assessor.compare(red, red.copy()).winner == "tie"
    assert assessor.compare(grey, grey.convert("RGB")).winner == "tie"


def test_large_pictures_in_memory_are_shrunk_like_files() -> None:
    backend = ScriptedBackend(log_probs=[_odds(1.0), _odds(-1.0)])
    Assessor(backend, mode="fast").compare(Image.new("RGB", (2048, 1024)), Image.new("RGB", (8, 6)))
    width, height = backend.asked[0].images[0].size
    assert width * height <= 1_048_576
    assert width == pytest.approx(2 * height, rel=0.01)


def test_unknown_modes_are_refused() -> None:
    with pytest.raises(InputError, match="known: reasoned, fast"):
        Assessor(ScriptedBackend(), mode="slow")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="known: reasoned, fast"):
        Assessor(ScriptedBackend()).compare_many([PAIR], mode="slow")  # type: ignore[arg-type]


def test_the_mode_of_one_call_overrides() -> None:
    backend = ScriptedBackend(log_probs=[_odds(1.0), _odds(-1.0)])
    (result,) = Assessor(backend, mode="reasoned").compare_many([PAIR], mode="fast")
    assert result.mode == "fast"


@pytest.mark.parametrize("broken", [math.nan, -math.inf])
def test_probabilities_that_are_no_numbers_are_an_error(broken: float) -> None:
    class Broken(ScriptedBackend):
        def read(self, requests: list, choices: list) -> NDArray[np.float64]:  # type: ignore[override]
            return np.full((len(requests), len(choices)), broken)

    with pytest.raises(BackendError, match="not numbers"):
        Assessor(Broken(), mode="fast").compare_many([PAIR])


def test_no_pairs_no_questions() -> None:
    for mode in ("fast", "reasoned"):
        assert Assessor(ScriptedBackend(), mode=known_mode(mode)).compare_many([]) == []


def test_results_survive_json() -> None:
    result, _ = _reasoned(_answer(3.0), "Hm.", 2.0, -1.0)
    assert Result.model_validate_json(result.model_dump_json()) == result


def test_the_script_running_out_is_an_error() -> None:
    with pytest.raises(BackendError, match="no answer for request 2"):
        Assessor(ScriptedBackend([_answer(1.0)])).compare_many([PAIR])
    with pytest.raises(BackendError, match="no log-probabilities for request 1"):
        Assessor(ScriptedBackend(), mode="fast").compare_many([PAIR])
    with pytest.raises(BackendError, match="tie"):
        Assessor(ScriptedBackend(log_probs=[{" A": -1.0, " B": -1.0}]), mode="fast").compare_many([PAIR])


# --- one order, ranking -----------------------------------------------------------------------------------------


def test_one_order_shows_the_same_picture_first_however_the_pair_is_listed() -> None:
    backend = ScriptedBackend(log_probs=[_odds(1.0)] * 2)
    assessor = Assessor(backend, mode="fast")
    (listed,) = assessor.compare_many([PAIR], orders="random")
    (turned,) = assessor.compare_many([PAIR[::-1]], orders="random")
    assert backend.asked[0].images == backend.asked[1].images
    assert listed.probability is not None
    assert turned.probability == pytest.approx(1 - listed.probability)
    assert (len(listed.comparisons), listed.order_consistent) == (1, None)
    assert any("asked in one order only" in note for note in listed.notes)


def test_both_places_are_drawn_about_equally_often() -> None:
    pictures = [_picture(f"p{index}", "red" if index % 2 else "blue") for index in range(21)]
    pairs = [(pictures[0], other) for other in pictures[1:]]
    assessor = Assessor(ScriptedBackend(log_probs=[_odds(0.0)] * 20), mode="fast")
    orders = [result.comparisons[0].order for result in assessor.compare_many(pairs, orders="random")]
    assert 5 <= orders.count("forward") <= 15


def test_ranking_counts_every_unusable_answer_and_weighs_what_is_left() -> None:
    pictures = [_picture("a", "red"), _picture("b", "blue"), _picture("c", "green")]
    said = [_answer(1.0), "Hm.", _answer(1.0), _answer(-1.0), "Hm.", "Hm."]
    seen: list[int] = []
    read = [_odds(2.0), _odds(-2.0), _odds(2.0), _odds(-2.0)]
    ranking = Assessor(ScriptedBackend(said, read)).rank(pictures, on_answers=lambda answers: seen.append(len(answers)))
    assert ranking.order[0] == "a"
    assert (ranking.n_comparisons, ranking.n_calls, ranking.n_failed) == (3, 6, 3)
    assert seen == [3]
