"""The writer says what is so and nothing for the worse picture, and the checker notices when it does not."""

from __future__ import annotations

import doctest
import itertools
import random
import re
from collections import Counter
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from redaes.answers import parse, render_rationale, render_verdict, stated
from redaes.datagen.editors.parametric import make_edit
from redaes.datagen.plan import DEGRADE
from redaes.datagen.rationales import (
    Look,
    PairObservation,
    check_text,
    choosing,
    contradictions,
    frames,
    look,
    looks,
    model_writer,
    regions,
    symptoms,
    write_from_factors,
    write_rationale,
)
from redaes.datagen.rationales.choosing import (
    BESIDES,
    MeasuredDifference,
    alike,
    geometry,
    leading_factor,
    of_factors,
    of_fault,
)
from redaes.datagen.rationales.looks import hue_name, traits
from redaes.datagen.rationales.quantity_words import PLAIN, SLIGHT, STRONG, WORDS, degrees
from redaes.datagen.rationales.symptoms import SYMPTOMS, named
from redaes.evidence.checking import check_rationale
from redaes.evidence.faults import FAULTS
from redaes.evidence.measurements import Measurements, PairEvidence, Place, Registration, SceneChange, Side
from redaes.evidence.quantities import QUANTITIES
from redaes.types import Edit, Rationale

USUAL = {
    "brightness": 52.0, "contrast": 22.0, "dynamic_range": 80.0, "clipped_shadows": 0.0, "clipped_highlights": 0.0,
    "haze": 10.0, "vignetting": 2.0, "colourfulness": 35.0, "warmth": 4.0, "magenta": 1.0, "cast": 2.0,
    "sharpness": 3.0, "edge_width": 1.0, "motion": 0.1, "halos": 1.0, "noise": 0.8, "chroma_noise": 0.8,
    "blocking": 0.05, "banding": 1.0, "impulse": 0.0, "pixelation": 1.0, "tilt": 0.2, "keystone": 0.5, "border": 0.0,
    "lettering": 0.0,
}  # fmt: skip


def measured(**changed: float) -> Measurements:
    return Measurements(width=256, height=192, values={**USUAL, **changed})


def seen(first: Measurements, second: Measurements, **more: Any) -> PairObservation:
    return PairObservation(
        PairEvidence(first=first, second=second, registration=more.pop("registration", None), **more)
    )


def change(side: Side, place: Place, area: float) -> SceneChange:
    return SceneChange(side=side, place=place, other_place=place, area=area, contrast=20.0)


CLEAN = measured()
DARK = measured(brightness=20.0, contrast=9.0, clipped_shadows=30.0, colourfulness=18.0, sharpness=1.1, noise=0.3)
PAIR = seen(CLEAN, DARK)


UNMEASURED = seen(*2 * [Measurements(width=256, height=192, values={})])


def _edit(operation: str = "exposure_down") -> Edit:
    return make_edit(operation, 0.7, seed=1)


def hash_of(name: str) -> int:
    """Operations draw their wording apart from each other."""
    return int.from_bytes(name.encode()[:6], "big")


def told(pair: PairObservation = PAIR, operation: str = "exposure_down", n: int = 60) -> list[str]:
    """Texts on a pair whose second picture carries the edit."""
    draws = [hash_of(operation) + number for number in range(n)]
    return [write_rationale(pair, (None, _edit(operation)), (0.0, 4.0), seed).text for seed in draws]


@pytest.mark.parametrize("module", [choosing, looks, regions, symptoms])
def test_examples_in_docstrings(module: ModuleType) -> None:
    assert doctest.testmod(module).failed == 0


# --- What is chosen -------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", DEGRADE)
def test_nothing_said_of_the_worse_picture_is_a_merit(operation: str) -> None:
    """Even where all that could be praised is larger there: a noisy picture is not "richer in detail"."""
    better = {
        name: value + (5 if quantity.better == "more" else -5 if quantity.better == "less" else 0) * quantity.visible
        for name, value in USUAL.items()
        for quantity in [QUANTITIES[name]]
    }
    for one in of_fault(operation, measured(**better), CLEAN):
        assert one.quantity.better is None
    for text in told(seen(CLEAN, measured(**better)), operation, 10):
        assert not re.search(r"B (?:is|looks|comes out)[^.]*(?:sharper|crisper|cleaner|less noisy|more level)", text)


def test_no_fault_is_shown_by_what_would_be_a_merit() -> None:
    for operation in DEGRADE:
        shown_by = FAULTS[operation].shown_by + BESIDES.get(operation, ())
        assert not [name for name, direction in shown_by if QUANTITIES[name].better == direction], operation


def test_what_proves_a_fault_goes_before_what_goes_with_it_and_the_clearest_before_others() -> None:
    worse = measured(banding=1.6, noise=9.0)
    assert [one.quantity.name for one in of_fault("posterize", worse, CLEAN)] == ["banding", "noise"]
    dimmed = measured(brightness=50.0, clipped_shadows=4.0)
    assert [one.quantity.name for one in of_fault("exposure_down", dimmed, CLEAN)] == ["clipped_shadows", "brightness"]
    # 3.5 visible differences explain as well as 15 do, and brightness is the fault itself.
    very = measured(brightness=38.0, clipped_shadows=30.0)
    assert next(iter(of_fault("exposure_down", very, CLEAN))).quantity.name == "brightness"


def test_a_difference_below_the_noise_floor_is_none() -> None:
    floor = QUANTITIES["noise"].noise_floor
    assert of_fault("noise_luma", measured(noise=0.8 + 0.9 * floor), CLEAN) == []
    (one, *_) = of_fault("noise_luma", measured(noise=0.8 + 1.1 * floor), CLEAN)
    assert (one.quantity.name, one.more) == ("noise", True)


def test_a_difference_against_the_fault_explains_nothing() -> None:
    assert of_fault("exposure_down", measured(brightness=70.0), CLEAN) == []
    assert not any("bright" in text.partition(". ")[2] for text in told(seen(CLEAN, measured(brightness=70.0))))


def test_where_only_the_factor_is_known_the_picture_further_from_the_usual_is_the_worse() -> None:
    assert [one.quantity.name for one in of_factors(("light",), measured(brightness=85.0), CLEAN)] == ["brightness"]
    assert of_factors(("light",), measured(brightness=50.0), measured(brightness=85.0)) == []
    assert of_factors(("noise",), CLEAN, measured(noise=4.0)) == []
    assert leading_factor(CLEAN, measured(noise=4.0)) == "noise"
    assert leading_factor(CLEAN, measured(noise=0.9)) is None


# --- The words ------------------------------------------------------------------------------------------


def test_words_follow_the_sign_and_the_size() -> None:
    visible = QUANTITIES["sharpness"].visible
    for factor, words in ((0.6, SLIGHT), (1.5, PLAIN), (3.5, PLAIN), (4.5, STRONG)):
        texts = told(seen(CLEAN, measured(sharpness=3.0 - factor * visible)), "defocus")
        said = [re.search(r"B (?:is|looks|comes out)((?: [a-z]+)*) (?:softer|blurrier|less)", text) for text in texts]
        found = {match[1].strip() for match in said if match is not None}
        assert found
        assert found <= {word.removesuffix(" less") for word in words}, factor
        assert not any(re.search(r"B (?:is|looks)[^.]* (?:sharper|crisper)\b", text) for text in texts)


def test_more_of_it_is_called_more() -> None:
    for text in told(seen(CLEAN, measured(noise=4.0)), "noise_luma", 30):
        assert re.search(r"\b(?:noisier|grainier)\b", text), text
        assert not re.search(r"\b(?:cleaner|less noisy)\b", text)


def test_figures_that_round_alike_get_another_decimal() -> None:
    assert MeasuredDifference(QUANTITIES["brightness"], 52.4, 51.9).figures() == ("52.4", "51.9")
    assert MeasuredDifference(QUANTITIES["warmth"], -0.2, 3.6).figures() == ("0", "4")
    assert MeasuredDifference(QUANTITIES["brightness"], 52.0004, 52.0).figures() is None


def test_figures_stand_with_the_picture_that_they_are_of() -> None:
    said = [text for text in told() if "brightness" in text]
    assert said
    for text in said:
        assert not re.search(r"20 in A|52 in B|brightness 52 (?:against|to) 20", text), text


def test_every_word_is_for_a_quantity_that_is_measured() -> None:
    assert set(WORDS) <= set(QUANTITIES)


@pytest.mark.parametrize("operation", DEGRADE)
def test_a_fault_is_called_what_it_is_known_by(operation: str) -> None:
    for name in SYMPTOMS[operation]:
        called = named(name, "evident")
        known = "|".join(FAULTS[operation].words)
        assert re.search(rf"\b(?:{known})\b", called, re.IGNORECASE), called
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", called)


def test_degrees_grow() -> None:
    assert [degrees(size) for size in (0.5, 1.0, 10.0)] == [SLIGHT, PLAIN, STRONG]


# --- The text -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", DEGRADE)
def test_it_names_fault_side_and_winner(operation: str) -> None:
    edit = _edit(operation)
    known = "|".join(FAULTS[operation].words)
    for seed in range(20):
        # Nothing is measured, so nothing speaks against the fault.
        written = write_rationale(UNMEASURED, (None, edit), (0.0, 4.0), seed)
        assert written.better == "A"
        assert written.factors == (edit.factor,)
        first = written.text.partition(". ")[0]
        assert re.search(rf"\b(?:{known})\b", first, re.IGNORECASE), first
        assert "B" in first
        assert contradictions(written, 4.0, (edit.factor,)) == []
        assert parse(render_verdict(stated(4.0, written)), "reasoned").rationale == written
        assert set(check_text(render_rationale(written), 4.0, (edit.factor,)).reasons) <= {"too_short"}


def test_a_fault_that_the_pixels_speak_against_is_not_named() -> None:
    """A picture without black has no crushed shadows, and one that is smoother than the other no grain."""
    for operation, worse in (("crushed_shadows", measured()), ("noise_luma", measured(noise=0.1))):
        pair = seen(CLEAN, worse)
        for text in told(pair, operation, 20):
            assert not re.search(r"\b(?:grain|noise|crush\w*)\b", text), text
            assert re.search(r"\b(?:light|pixels?)\b", text.partition(". ")[0])
            assert check_rationale(text, pair.evidence).count("contradicted") == 0


def turned(text: str) -> str:
    """The same with each picture's letter exchanged."""
    return re.sub(r"\b[AB]\b", lambda letter: "BA"["AB".index(letter[0])], text)


def test_the_order_turns_the_letters() -> None:
    views = Registration(rotation_deg=3.0, scale=1.3, stretch=1.0, shown_of_first=0.6, shown_of_second=1.0, n_points=90)
    evidence = seen(CLEAN, DARK, registration=views, changes=(change("B", "top", 4.0),)).evidence
    pair = PairObservation(evidence, (halves((40, 60, 200), (200, 200, 200)), halves((90, 60, 20), (90, 90, 90))))
    assert not pair.aligned
    level = PairObservation(evidence.model_copy(update={"registration": None}), pair.looks, same_frame=True)
    texts = {write_rationale(level, (None, _edit("cast_warm")), (0.0, 4.0), seed).text for seed in range(10)}
    assert any(re.search(r"blue.* B", text) for text in texts)
    for seed in range(10):
        forward = write_rationale(level, (None, _edit("cast_warm")), (0.0, 4.0), seed)
        swapped = write_rationale(level.swapped(), (_edit("cast_warm"), None), (4.0, 0.0), seed)
        assert turned(forward.text) == swapped.text
    for operation, seed in itertools.product(("exposure_down", "tilt", "tight_crop", "finger"), range(10)):
        forward = write_rationale(pair, (None, _edit(operation)), (0.0, 4.0), seed)
        swapped = write_rationale(pair.swapped(), (_edit(operation), None), (4.0, 0.0), seed)
        assert (forward.better, swapped.better) == ("A", "B")
        assert forward.factors == swapped.factors
        assert turned(forward.text) == swapped.text


def test_both_faults_are_named_and_the_larger_decides() -> None:
    for seed in range(20):
        written = write_rationale(PAIR, (_edit("motion_blur"), _edit()), (1.0, 4.0), seed)
        assert written.factors == ("light",)
        assert re.search(r"underexposure.*\b(?:motion blur|camera shake)\b", written.text)


def test_the_lesser_fault_is_measured_on_the_picture_that_has_it() -> None:
    pair = seen(measured(noise=4.0), DARK)
    texts = [write_rationale(pair, (_edit("noise_luma"), _edit()), (1.0, 4.0), seed).text for seed in range(40)]
    found = [text for text in texts if re.search(r"nois(?:e|ier)[^.]* 4\.0|grainier", text)]
    assert 4 <= len(found) < 36
    assert all(re.search(r"\bA\b[^.]*(?:noisier|grainier)|(?:noisier|grainier)", text) for text in found)


def test_what_one_sees_is_told_only_of_what_can_be_seen() -> None:
    visible = QUANTITIES["noise"].visible
    clauses = "|".join(WORDS["noise"].seen_more)
    for factor, often in ((0.9, 0), (2.0, 20)):
        texts = told(seen(CLEAN, measured(noise=0.8 + factor * visible)), "noise_luma")
        assert sum(bool(re.search(clauses, text)) for text in texts) >= often
        assert factor > 1 or not any(re.search(clauses, text) for text in texts)


def test_a_unit_stands_behind_the_first_figure_and_percent_behind_both() -> None:
    tilted = " ".join(told(seen(CLEAN, measured(tilt=6.0)), "tilt"))
    assert re.search(r"6\.0 degrees[^.]* 0\.2\b", tilted)
    assert not re.search(r"0\.2 degrees", tilted)
    assert re.search(r"30\.0 % .{1,30} 0\.0 %", " ".join(told()))


def test_the_same_fault_twice_is_not_told_twice() -> None:
    for seed in range(20):
        text = write_rationale(PAIR, (_edit(), _edit()), (1.0, 4.0), seed).text
        assert text.count("underexposure") == 1


def test_no_sentence_begins_with_an_article() -> None:
    """ "A" is a picture."""
    texts = [text for operation in DEGRADE for text in told(operation=operation, n=30)]
    texts += [write_from_factors(PAIR, ("light", "colour"), 4.0, seed).text for seed in range(50)]
    texts += [write_rationale(PAIR, (None, None), (0.0, 0.0), seed).text for seed in range(50)]
    for text in texts:
        assert all(sentence[0].isupper() or sentence[0].isdigit() for sentence in re.split(r"(?<=[.!]) ", text)), text
        begins = re.findall(r"(?:^|[.!] )(?:A|An) ([a-z]+)", text)
        assert set(begins) <= {"is", "shows", "has", "sets", "holds", "and", "shares", "for"}, text


def test_what_is_measured_is_told_of_the_worse_picture() -> None:
    for text in told():
        assert not re.search(
            r"\bA (?:is|looks|comes out) (?!clearly|plainly|distinctly|noticeably|far|much|consid|vast)", text
        )


def test_a_conclusion_does_not_begin_as_the_sentences_before_it_do() -> None:
    texts = told() + [write_from_factors(PAIR, ("light",), 4.0, seed).text for seed in range(60)]
    for text in texts:
        last = re.split(r"(?<=[.!]) ", text)[-1]
        assert re.search(r"\bA (?:is )?(?:far|much|considerably|vastly) (?:the )?better\b", last), text
        assert not last.startswith(("A ", "B "))


@pytest.mark.parametrize("conclusion", ["B is far better.", "So B is clearly better.", "That leaves B far better."])
def test_a_conclusion_about_the_other_picture_is_noticed(conclusion: str) -> None:
    written = Rationale(text=f"B is dark. {conclusion}", factors=("light",), better="A")
    assert contradictions(written, 4.0, ("light",)) == ["its text concludes that B is better"]


@pytest.mark.parametrize("seed", range(12))
def test_every_contradiction_is_found(seed: int) -> None:
    good = write_rationale(PAIR, (None, _edit()), (0.0, 4.0), seed)
    turned = Rationale(text=good.text, factors=good.factors, better="B")
    assert any("names B" in line for line in contradictions(turned, 4.0, ("light",)))
    assert any("decided by" in line for line in contradictions(good, 4.0, ("focus",)))
    # The text concludes for A while label and closing sentence say B.
    assert any("concludes" in line for line in contradictions(turned, -4.0, ("light",)))


def test_words_grow_with_the_difference() -> None:
    sizes = (("slightly", "marginally", "somewhat"), ("clearly", "plainly", "distinctly", "noticeably"),
             ("far", "much", "considerably", "vastly"))  # fmt: skip
    for loss, words in zip((1.0, 2.5, 8.0), sizes, strict=True):
        for seed in range(30):
            text = write_rationale(PAIR, (None, _edit()), (0.0, loss), seed).text
            assert re.search(rf"A (?:is )?(?:{'|'.join(words)}) (?:the )?better", text), text


def test_a_difference_without_a_cause_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing explains"):
        write_rationale(PAIR, (None, None), (0.0, 4.0), seed=0)


def test_wording_varies_and_repeats_with_its_seed() -> None:
    texts = [text for operation in DEGRADE for text in told(operation=operation, n=40)]
    openings = Counter(" ".join(text.split()[:3]) for text in texts)
    assert openings.most_common(1)[0][1] < 0.05 * len(texts)
    words = {word for text in texts for word in re.findall(r"[a-z]+", text.lower())}
    assert len(words) > 300
    assert told()[7] == told()[7]
    assert max(map(len, texts)) <= 600


# --- View, place, scene -----------------------------------------------------------------------------------


def test_composition_is_measured_by_how_the_pictures_lie_over_each_other() -> None:
    cut = Registration(rotation_deg=0.0, scale=1.4, stretch=1.0, shown_of_first=0.52, shown_of_second=1.0, n_points=99)
    for text in told(seen(CLEAN, CLEAN, registration=cut), "tight_crop", 20):
        assert re.search(r"\b(?:52|48) %", text), text
    turned = cut.model_copy(update={"rotation_deg": -6.25, "scale": 1.0, "shown_of_first": 0.95})
    for text in told(seen(CLEAN, CLEAN, registration=turned), "tilt", 20):
        assert "turn" in text
        assert "6.2 degrees" in text
    leaning = cut.model_copy(update={"keystone_deg": -4.0, "scale": 1.0, "shown_of_first": 0.95})
    for text in told(seen(CLEAN, CLEAN, registration=leaning), "keystone", 20):
        assert "4.0 degrees" in text
    for stretch, word in ((1.2, "wider|broad|pulled"), (0.8, "narrower|slim|squeezed")):
        wide = cut.model_copy(update={"stretch": stretch, "scale": 1.0, "shown_of_first": 1.0})
        for text in told(seen(CLEAN, CLEAN, registration=wide), "stretch", 20):
            assert re.search(rf"(?:{word}).*20 %|20 %.*(?:{word})", text), text


def test_of_how_pictures_lie_over_each_other_only_what_shows_the_fault_is_told() -> None:
    lies = Registration(
        rotation_deg=6.0, scale=1.3, stretch=1.1, shown_of_first=0.7, shown_of_second=1.0, keystone_deg=3.0, n_points=99
    )
    evidence = seen(CLEAN, CLEAN, registration=lies, changes=(change("B", "top", 4.0),)).evidence
    kinds = {name: [one.kind for one in geometry(evidence, "B", name)] for name in DEGRADE}
    assert kinds["tilt"] == ["turned"]
    assert kinds["crop_off"] == kinds["tight_crop"] == ["cut"]
    assert (kinds["stretch"], kinds["keystone"], kinds["finger"]) == (["stretched"], ["converging"], ["covered"])
    assert kinds["defocus"] == []
    # Where no fault is known, only what has a direction by itself; and the wider view leaves nothing out.
    assert [one.kind for one in geometry(evidence, "B", None)] == ["cut", "covered"]
    wider = lies.model_copy(update={"scale": 0.9})
    assert geometry(PairEvidence(first=CLEAN, second=CLEAN, registration=wider), "B", None) == []


def test_a_model_is_told_how_the_pictures_lie_over_each_other_and_what_only_one_shows() -> None:
    lies = Registration(rotation_deg=3.0, scale=1.3, stretch=1.0, shown_of_first=0.6, shown_of_second=0.9, n_points=90)
    pair = seen(CLEAN, DARK, registration=lies, changes=(change("B", "top", 4.0),))
    lines = model_writer._evidence(pair)
    assert "brightness: A 52, B 20 L*" in lines
    assert "haze: A 10, B 10 % (no difference)" in lines
    assert lines[-2:] == [
        "framing: B is turned by 3.0 degrees against A; B shows 60 % of what A shows, A shows 90 % of what B shows",
        "only in B: something at top, 4.0 % of the frame",
    ]


@pytest.mark.parametrize(
    "differs",
    [{"rotation_deg": 1.0}, {"stretch": 1.05}, {"shown_of_first": 0.9}, {"shown_of_second": 0.9}, {"mirrored": True}],
)
def test_pictures_of_another_frame_are_not_compared_by_place(differs: dict[str, Any]) -> None:
    same = Registration(rotation_deg=0.1, scale=1.0, stretch=1.0, shown_of_first=1.0, shown_of_second=1.0, n_points=99)
    assert seen(CLEAN, DARK, registration=same).aligned
    assert not seen(CLEAN, DARK, registration=same.model_copy(update=differs)).aligned


def test_what_covers_a_picture_is_told_with_area_and_place() -> None:
    same = Registration(rotation_deg=0.0, scale=1.0, stretch=1.0, shown_of_first=1.0, shown_of_second=1.0, n_points=99)
    changes = (change("B", "lower left", 11.0), change("A", "top", 30.0))
    for text in told(seen(CLEAN, CLEAN, registration=same, changes=changes), "finger", 20):
        assert "11 %" in text
        assert "lower left" in text
        assert "30 %" not in text


def halves(left: tuple[int, int, int], right: tuple[int, int, int]) -> Look:
    picture = np.zeros((120, 120, 3), dtype=np.uint8)
    picture[:, :80], picture[:, 80:] = left, right
    return look(picture)


def test_what_stands_where() -> None:
    seen_ = halves((20, 20, 20), (120, 170, 250))
    assert traits(seen_, 3)["light"] == "dark"
    assert traits(seen_, 5)["light"] == "bright"
    assert traits(seen_, 5)["hue"] == "blue"
    assert hue_name(60.0, 40.0, 50.0) == "red"
    assert hue_name(30.0, 45.0, 30.0) == "brown"
    assert hue_name(3.0, 3.0, 30.0) is None
    assert "light" not in traits(light_of(*(60.0,) * 8, 68.0), 8)
    assert traits(light_of(*(60.0,) * 8, 70.0), 8)["light"] == "bright"
    grass = Look((60.0,) * 9, (0.0,) * 9, (0.0,) * 9, (1.0,) * 7 + (4.0, 0.2))
    assert [traits(grass, cell).get("detail") for cell in (0, 7, 8)] == [None, "busy", "plain"]


@pytest.mark.parametrize(
    ("colour", "name"),
    [
        ((0, 0, 255), "blue"), ((20, 30, 110), "blue"), ((90, 140, 210), "blue"), ((138, 43, 226), "purple"),
        ((128, 0, 128), "purple"), ((255, 150, 190), "pink"), ((255, 0, 0), "red"), ((255, 150, 0), "orange"),
        ((110, 70, 30), "brown"), ((255, 230, 0), "yellow"), ((80, 140, 50), "green"), ((0, 220, 220), "turquoise"),
        ((120, 125, 130), None),
    ],
)  # fmt: skip
def test_a_colour_is_called_what_it_is(colour: tuple[int, int, int], name: str | None) -> None:
    shown = halves(colour, colour)
    assert hue_name(shown.a[4], shown.b[4], shown.lightness[4]) == name


def test_the_place_is_where_the_difference_is_largest() -> None:
    better, worse = halves((90, 90, 90), (200, 200, 200)), halves((90, 90, 90), (90, 90, 90))
    pair = PairObservation(PAIR.evidence, (better, worse), same_frame=True)
    said = [text for text in told(pair) if re.search(r"\bright\b", text)]
    assert len(said) > 20
    assert not any(re.search(r"\b(?:left|centre)\b", text) for text in said)
    # Without knowing that both show the same, nothing is said of where they differ.
    elsewhere = PairObservation(PAIR.evidence, (better, worse), same_frame=False)
    assert not any("most in" in text for text in told(elsewhere))


def light_of(*lightness: float) -> Look:
    return Look(lightness, (0.0,) * 9, (0.0,) * 9, (1.0,) * 9)


@pytest.mark.parametrize(
    ("darker_by", "templates"),
    [
        ((10.0,) * 9, frames.EVENLY),
        ((10.0,) * 8 + (6.0,), frames.EVENLY),
        ((10.0,) * 8 + (5.0,), ()),  # neither in one place nor all over
        ((2.0,) * 8 + (10.0,), frames.WHERE),
        ((2.9,) + (0.0,) * 8, ()),  # too little for a word
    ],
)
def test_a_difference_lies_in_one_place_or_all_over(darker_by: tuple[float, ...], templates: tuple[str, ...]) -> None:
    there = light_of(*(60.0,) * 9)
    here = light_of(*(60.0 - step for step in darker_by))
    patterns = [re.escape(one).replace(r"\{region\}", ".+").replace(r"\{other\}", ".+") for one in templates]
    for seed in range(20):
        said = regions.where(random.Random(seed), here, there, "light", "B", aligned=True)
        assert (said is not None) == bool(templates)
        assert said is None or any(re.fullmatch(one, said, re.IGNORECASE) for one in patterns), said


# --- Ties and factors ---------------------------------------------------------------------------------------


def test_a_tie_names_nothing_and_calls_alike_only_what_is() -> None:
    pair = seen(CLEAN, measured(brightness=62.0))
    assert "brightness" not in {one.quantity.name for one in alike(CLEAN, measured(brightness=62.0))}
    for seed in range(40):
        written = write_rationale(pair, (None, None), (0.0, 0.0), seed)
        assert (written.better, written.factors) == ("tie", ())
        assert contradictions(written, 0.0, ()) == []
        assert "brightness" not in written.text.lower()
        assert parse(render_verdict(stated(0.0, written)), "reasoned").rationale == written


def test_what_differs_by_more_than_the_noise_floor_is_not_called_alike() -> None:
    floor = QUANTITIES["brightness"].noise_floor
    for factor, same in ((0.9, True), (1.1, False)):
        found = {one.quantity.name for one in alike(CLEAN, measured(brightness=52.0 + factor * floor))}
        assert ("brightness" in found) == same


def test_a_tie_is_called_mirrored_where_it_is() -> None:
    lies = Registration(rotation_deg=0.0, scale=1.0, stretch=1.0, shown_of_first=1.0, shown_of_second=1.0, n_points=99)
    for mirrored in (False, True):
        pair = seen(CLEAN, CLEAN, registration=lies.model_copy(update={"mirrored": mirrored}))
        text = write_rationale(pair, (None, None), (0.0, 0.0), 1).text
        assert any(one in text for one in frames.TIE_MIRRORED) == mirrored


def test_every_operation_has_names_of_its_own() -> None:
    assert set(SYMPTOMS) == set(DEGRADE)
    assert all(len(names) > 1 for names in SYMPTOMS.values())
