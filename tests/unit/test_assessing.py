"""Reasons held against the pictures, and probabilities that mean what they say, as results carry them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from redaes.answers import render_verdict
from redaes.assessing import reasons
from redaes.assessing.measured import MOST_ROWS, marked, summary, swapped, table
from redaes.assessing.terminal import show
from redaes.assessor import Assessor, Result
from redaes.backends.base import Request
from redaes.backends.scripted import ScriptedBackend
from redaes.backends.temperatures import FILE, Temperature, read_temperatures, write_temperatures
from redaes.errors import BackendError, InputError
from redaes.evidence.checking import check_rationale
from redaes.evidence.claims import CheckedClaim, Claim, Claims, Status
from redaes.evidence.measurements import Measurements, PairEvidence
from redaes.evidence.quantities import QUANTITIES
from redaes.images import LoadedImage, load_image
from redaes.types import ImageRef, Rationale, Sampling, Verdict, winner_of

PAIR = (
    LoadedImage(Image.new("RGB", (8, 6), "red"), ImageRef(id="one", path=Path("one.jpg")), ()),
    LoadedImage(Image.new("RGB", (8, 6), "blue"), ImageRef(id="two", path=Path("two.jpg")), ()),
)
NOISY = "A is noisier. B is brighter. It is a cat."


def _odds(log_odds: float) -> dict[str, float]:
    return {" A": -2.0 + log_odds / 2, " B": -2.0 - log_odds / 2, " tie": -9.0}


def _answer(delta: float, text: str = "They differ.") -> str:
    better = winner_of(delta)
    return render_verdict(
        Verdict(winner=better, delta=delta, rationale=Rationale(text=text, factors=("light",), better=better))
    )


def _evidence(first: dict[str, float], second: dict[str, float]) -> PairEvidence:
    one, other = (Measurements(width=600, height=400, values=values) for values in (first, second))
    return PairEvidence(first=one, second=other, registration=None)


EVIDENCE = _evidence(
    {"noise": 60.0, "brightness": 50.0, "contrast": 9.0}, {"noise": 9.0, "brightness": 61.0, "contrast": 9.0}
)


def _claim(words: str, quantity: str | None, status: Status, why: str = "", text: str = NOISY) -> CheckedClaim:
    start = text.index(words)
    measured = (None, None)
    if quantity is not None:
        measured = (EVIDENCE.first.values[quantity], EVIDENCE.second.values[quantity])
    claim = Claim(
        text=words,
        start=start,
        end=start + len(words),
        side="A",
        relation="more",
        quantity=quantity,
        stated=(5.0, None),
    )
    return CheckedClaim(claim=claim, status=status, measured=measured, why=why)


CLAIMS = Claims(
    checked=(
        _claim("A is noisier", "noise", "supported"),
        _claim("B is brighter", "brightness", "contradicted", "sign"),
        _claim("It is a cat", None, "not_measurable"),
    ),
    version="test",
)


CLAIMS_OF_WARMTH = check_rationale("A is warmer.", EVIDENCE)


# --- words --------------------------------------------------------------------------------------------------


def test_the_summary_counts_and_quotes_what_is_false() -> None:
    said = summary(CLAIMS, "forward")
    assert said.startswith("1 of 3 statements confirmed; contradicted: “B is brighter” (it is the other way round: ")
    digits = QUANTITIES["brightness"].digits
    assert f"measured brightness {50:.{digits}f} in A, {61:.{digits}f} in B); 1 cannot be measured" in said
    # In the letters of the text that is quoted.
    assert f"{61:.{digits}f} in A, {50:.{digits}f} in B" in summary(CLAIMS, "swapped")


def test_a_difference_is_seen_in_the_figures_that_are_quoted() -> None:
    one = _claim("noisier", "brightness", "contradicted").model_copy(update={"measured": (49.6, 50.4)})
    assert "measured brightness 49.6 in A, 50.4 in B" in summary(Claims(checked=(one,), version="x"), "forward")
    none = one.model_copy(update={"measured": (-0.04, 0.04)})
    assert "measured brightness 0 in A, 0 in B" in summary(Claims(checked=(none,), version="x"), "forward")


def test_more_of_a_quantity_with_equal_figures_is_said_to_be_that() -> None:
    same = _evidence({"contrast": 22.3}, {"contrast": 22.1})
    said = summary(check_rationale("A is more contrasty: contrast 22 against 22.", same), "forward")
    assert "its own figures are equal" in said
    assert "the other way round" not in said


@pytest.mark.parametrize(
    ("statuses", "says"),
    [
        ((), "it states nothing that can be measured: none of it is confirmed"),
        (("not_measurable",), "its only statement cannot be measured: none of it is confirmed"),
        (("not_measurable",) * 2, "none of its 2 statements can be measured: none of it is confirmed"),
        (("supported",), "1 of 1 statement confirmed"),
        (("contradicted",), "none of 1 statement confirmed; contradicted"),
    ],
)
def test_where_nothing_is_confirmed_the_summary_says_so(statuses: tuple[Status, ...], says: str) -> None:
    claims = Claims(checked=tuple(_claim("A is noisier", "noise", one) for one in statuses), version="test")
    assert summary(claims, "forward").startswith(says)


def test_what_is_alike_in_both_is_not_said_to_be_absent() -> None:
    dark = _evidence({"vignetting": 1.1, "tilt": 4.0}, {"vignetting": 1.06, "tilt": 4.0})
    said = summary(check_rationale("A shows clearly more vignetting.", dark), "forward")
    assert "(the two hardly differ in it: measured darkening of the corners 1.1 in A" in said
    assert "(there is some: measured tilt 4.0 in A" in summary(check_rationale("A is level.", dark), "forward")


def test_contradicted_words_are_marked_and_none_is_lost() -> None:
    pieces = marked(NOISY, CLAIMS)
    assert "".join(piece for piece, _ in pieces) == NOISY
    assert [piece for piece, status in pieces if status == "contradicted"] == ["B is brighter"]
    assert marked(NOISY, None) == [(NOISY, None)]
    assert marked("", None) == []


def test_where_statements_overlap_the_worst_marks_the_words() -> None:
    one = CLAIMS.checked[0].claim
    overlapping = [
        CheckedClaim(claim=one.model_copy(update={"start": start, "end": end}), status=status)
        for status, start, end in (("contradicted", 4, 99), ("supported", 2, 6), ("not_measurable", 0, 99))
    ]
    claims = Claims(checked=tuple(overlapping), version="test")
    assert marked("abcdefgh", claims) == [("ab", "not_measurable"), ("cd", "supported"), ("efgh", "contradicted")]


def test_the_table_has_what_is_spoken_of_and_then_what_is_seen() -> None:
    rows = table(EVIDENCE, CLAIMS)
    assert [(row.quantity, row.status, row.visible) for row in rows] == [
        ("noise", "supported", True), ("brightness", "contradicted", True)
    ]  # fmt: skip
    assert [row.quantity for row in table(EVIDENCE, None)] == ["noise", "brightness"]  # the contrast is alike
    assert rows[0].shares() == (1.0, pytest.approx(0.15))
    for first, second, bars in (
        (10.0, 20.0, (0.5, 1.0)),
        (0.5, -0.3, (1.0, 0.0)),  # corners that are lighter than the middle are not darkened
        (-14.0, -7.0, (0.0, 0.0)),
        (0.0, 0.0, (0.0, 0.0)),
    ):
        (row,) = table(_evidence({"warmth": first}, {"warmth": second}), CLAIMS_OF_WARMTH)
        assert row.shares() == bars
    many = {name: 99.0 for name in ("noise", "haze", "cast", "border", "tilt", "halos", "banding", "impulse")}
    assert len(table(_evidence(many, dict.fromkeys(many, 0.0)), None)) == MOST_ROWS


def test_no_minus_before_a_zero() -> None:
    row = table(_evidence({"warmth": -0.3}, {"warmth": 9.0}), None)[0]
    assert row.shown(row.first) == "0 b*"


def test_a_claim_of_a_swapped_reasoning_changes_its_side() -> None:
    turned = swapped(CLAIMS.checked[0].claim)
    assert (turned.side, turned.stated, turned.text) == ("B", (None, 5.0), "A is noisier")
    both = CLAIMS.checked[0].claim.model_copy(update={"side": "both"})
    assert swapped(both).side == "both"


# --- choosing and drawing -----------------------------------------------------------------------------------


class _Support:
    """Stands in the place of measuring and checking: a statement that holds "true" is supported, "false" is not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sizes: list[tuple[int, ...]] = []
        monkeypatch.setattr(reasons, "_checked", self._check)
        monkeypatch.setattr(reasons, "evidence_of", self._measure)

    def _check(self, comparison: object, evidence: object) -> Claims | None:
        rationale = comparison.verdict.rationale  # type: ignore[attr-defined]
        found: list[CheckedClaim] = []
        for word, status in (("true", "supported"), ("false", "contradicted")):
            found += [_claim("A", None, status)] * rationale.text.count(word)  # type: ignore[arg-type]
        return Claims(checked=tuple(found), version="test")

    def _measure(self, first: object, second: object, pixels: object) -> tuple[PairEvidence, list[str]]:
        return EVIDENCE, []


class _Recording(ScriptedBackend):
    """Notes how each text was drawn."""

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[str]:
        self.drawn = [*getattr(self, "drawn", []), (len(requests), sampling.temperature, sampling.seed)]
        return super().generate(requests, sampling)


def _sampled(texts: list[str], samples: int) -> tuple[Result, _Recording]:
    backend = _Recording(texts, [_odds(2.0), _odds(-2.0)])
    (result,) = Assessor(backend).compare_many([PAIR], check=True, samples=samples)
    return result, backend


def test_the_best_supported_reasoning_of_the_verdict_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    _Support(monkeypatch)
    texts = [
        _answer(2.0, "false"), _answer(-2.0, "true false"),  # greedy
        _answer(3.0, "true"), _answer(3.0, "true true true true"),  # the second one for the other picture
        "no form true true", _answer(-1.0, "true true"),
        _answer(1.0, "true true"),
    ]  # fmt: skip
    result, backend = _sampled(texts, 5)
    assert result.rationale == "true true"
    assert result.rationale_order == "swapped"  # of equals, the one drawn first
    assert (result.winner, result.log_odds) == ("A", 2.0)  # never changed by it
    assert [one.order for one in result.draws] == ["forward", "swapped", "forward", "swapped", "forward"]
    assert backend.drawn == [(2, 0.0, 0), (2, 0.7, 1), (2, 0.7, 2), (1, 0.7, 3)]
    assert [one.sampling.seed for one in result.draws] == [1, 1, 2, 2, 3]


def test_without_samples_the_forward_reasoning_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    _Support(monkeypatch)
    result, _ = _sampled([_answer(2.0, "false"), _answer(-2.0, "true")], 0)
    assert (result.rationale, result.draws) == ("false", ())
    assert result.claims is not None
    assert result.claims.count("contradicted") == 1


def test_nothing_is_drawn_for_what_is_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    _Support(monkeypatch)
    result, backend = _sampled([_answer(-2.0), _answer(2.0)], 4)
    assert (result.undecided, result.draws, result.claims) == ("reasons", (), None)
    assert len(backend.drawn) == 1
    assert result.measured  # what was measured is there all the same


def test_samples_need_reasons_and_something_to_choose_by() -> None:
    assessor = Assessor(ScriptedBackend())
    with pytest.raises(InputError, match="fast mode gives no rationales"):
        assessor.compare_many([PAIR], mode="fast", check=True, samples=1)
    with pytest.raises(InputError, match="give 0 or more"):
        assessor.compare_many([PAIR], check=True, samples=-1)
    with pytest.raises(InputError, match="set check=True"):
        assessor.compare_many([PAIR], samples=1)


# --- pixels -------------------------------------------------------------------------------------------------


def test_pictures_are_measured_at_their_own_resolution(tmp_path: Path) -> None:
    Image.effect_noise((1600, 1000), 30).convert("RGB").save(tmp_path / "large.png")
    large = load_image(tmp_path / "large.png")
    assert large.image.size != (1600, 1000)
    whole = reasons.from_file(large)
    assert whole is not None
    assert whole.size == (1600, 1000)
    small = LoadedImage(Image.new("RGB", (40, 30)), ImageRef(id="x", path=tmp_path / "absent.png"), ())
    assert reasons.from_file(small) is small.image  # was never shrunk
    Image.new("RGB", (1600, 1000)).save(tmp_path / "large.png")
    assert reasons.from_file(large) is None  # another picture by now
    (tmp_path / "large.png").unlink()
    assert reasons.from_file(large) is None


def test_what_is_too_small_is_not_measured() -> None:
    (result,) = Assessor(ScriptedBackend([_answer(2.0), _answer(-2.0)], [_odds(2.0), _odds(-2.0)])).compare_many(
        [PAIR], check=True
    )
    assert (result.evidence, result.claims, result.measured) == (None, None, ())
    assert "one.jpg: too small to be measured (8 x 6 pixels)" in result.notes


# --- calibration --------------------------------------------------------------------------------------------


def _temperature(**changes: object) -> Temperature:
    backend = ScriptedBackend()
    known = {
        "revision": backend.revision,
        "prompt_id": Assessor(backend, mode="fast").prompt_id,
        "mode": "fast",
        "temperature": 2.0,
        "data": "pairs of the tests",
        "n_pairs": 100,
        "n_photographs": 10,
    }
    return Temperature.model_validate({**known, **changes})


def _calibrated(*known: Temperature, mode: str = "fast") -> Result:
    backend = ScriptedBackend([_answer(2.0), _answer(-2.0)], [_odds(4.0), _odds(-2.0)])
    backend.temperatures = known  # type: ignore[attr-defined]
    return Assessor(backend, mode=mode).compare_many([PAIR])[0]  # type: ignore[arg-type]


def test_a_temperature_changes_the_probability_and_nothing_else() -> None:
    plain, calibrated = _calibrated(), _calibrated(_temperature())
    assert plain.calibration is None
    assert calibrated.calibration == _temperature()
    assert plain.probability == pytest.approx(1 / (1 + math.exp(-3.0)))
    assert calibrated.probability == pytest.approx(1 / (1 + math.exp(-1.5)))
    same = {"winner", "delta", "log_odds", "comparisons", "undecided", "order_consistent"}
    assert plain.model_dump(include=same) == calibrated.model_dump(include=same)
    assert calibrated.comparisons[0].log_odds == 4.0  # raw


def test_ranks_and_scores_keep_their_scale() -> None:
    from redaes.assessor import answer_of

    assert answer_of(_calibrated(_temperature())) == answer_of(_calibrated())


def test_a_ceiling_bounds_what_is_claimed() -> None:
    assert _calibrated(_temperature(temperature=0.1, ceiling=0.9)).probability == 0.9


@pytest.mark.parametrize("other", [{"revision": "other"}, {"prompt_id": "compare_fast/v9@0"}, {"mode": "reasoned"}])
def test_what_was_fitted_on_something_else_does_not_count(other: dict[str, str]) -> None:
    assert _calibrated(_temperature(**other)).calibration is None


def test_each_mode_has_its_own() -> None:
    known = _temperature(), _temperature(mode="reasoned", temperature=3.0)
    assert _calibrated(*known, mode="reasoned").probability == pytest.approx(1 / (1 + math.exp(-1.0)))


def test_one_order_alone_is_not_calibrated() -> None:
    backend = ScriptedBackend(log_probs=[_odds(4.0)])
    backend.temperatures = (_temperature(),)  # type: ignore[attr-defined]
    (result,) = Assessor(backend, mode="fast").compare_many([PAIR], orders="random")
    assert result.log_odds is not None
    assert result.calibration is None
    assert result.probability == pytest.approx(1 / (1 + math.exp(-result.log_odds)))


def test_all_that_a_result_holds_is_read_back_as_it_was(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, spread in (("clean", 2), ("grainy", 40)):
        grain = rng.normal(128, spread, (64, 96, 1)) + np.zeros(3)
        Image.fromarray(np.clip(grain, 0, 255).astype(np.uint8)).save(tmp_path / f"{name}.png")
    pair = load_image(tmp_path / "clean.png"), load_image(tmp_path / "grainy.png")
    texts = [_answer(2.0, "B is noisier."), _answer(-2.0, "A is noisier."), _answer(2.0, "B is noisier: noise 99 L*.")]
    backend = ScriptedBackend(texts, [_odds(2.0), _odds(-2.0)])
    backend.temperatures = (_temperature(mode="reasoned"),)  # type: ignore[attr-defined]
    (result,) = Assessor(backend).compare_many([pair], check=True, samples=1)
    assert all((result.claims, result.claims_summary, result.evidence, result.measured, result.draws))
    assert result.calibration is not None
    assert Result.model_validate_json(json.dumps(result.as_json())) == result


def test_temperatures_lie_beside_the_weights(tmp_path: Path) -> None:
    assert read_temperatures(tmp_path) == read_temperatures(None) == ()
    write_temperatures(tmp_path, [_temperature()])
    write_temperatures(tmp_path, [_temperature(mode="reasoned"), _temperature(temperature=3.0)])
    assert {(one.mode, one.temperature) for one in read_temperatures(tmp_path)} == {("fast", 3.0), ("reasoned", 2.0)}
    (tmp_path / FILE).write_text('[{"temperature": 0}]')
    with pytest.raises(BackendError, match="calibrate"):
        read_temperatures(tmp_path)


def test_the_same_picture_twice_is_not_checked() -> None:
    picture = load_array(np.zeros((40, 40, 3), np.uint8))
    result = Assessor(ScriptedBackend()).compare_many([(picture, picture)], check=True)[0]
    assert (result.winner, result.claims, result.undecided) == ("tie", None, None)


def load_array(array: NDArray[np.uint8]) -> LoadedImage:
    return LoadedImage(Image.fromarray(array), ImageRef(id="same", path=Path("same.png")), ())


def test_an_undecided_answer_that_leans_nowhere_says_so_and_names_the_order_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("gray", "brown"):
        Image.new("RGB", (64, 64), name).save(tmp_path / f"{name}.png")
    pair = load_image(tmp_path / "gray.png"), load_image(tmp_path / "brown.png")
    backend = ScriptedBackend([_answer(2.0), _answer(2.0)], [_odds(2.0), _odds(2.0)])
    (result,) = Assessor(backend).compare_many([pair])
    show(result)
    said = capsys.readouterr().out
    assert "leaning      to neither" in said
    assert said.count("the answer changes with the order") == 1


@pytest.mark.parametrize("content", ["{}", '""', "null", "3"])
def test_temperatures_that_are_no_list_are_damaged(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content)
    with pytest.raises(BackendError, match="is not a list of temperatures"):
        read_temperatures(tmp_path)
