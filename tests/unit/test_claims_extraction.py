"""Reading claims: against 300 sentences read by hand, our own writer's words, and texts made to break it."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redaes.datagen.editors.parametric import OPERATIONS
from redaes.datagen.rationales.symptoms import SYMPTOMS, named
from redaes.evidence import faults, lexicon
from redaes.evidence.claims import Claim
from redaes.evidence.extraction import MAX_CHARACTERS, extract
from redaes.evidence.fault_words import WORDS
from redaes.evidence.faults import FAULTS
from redaes.evidence.quantities import QUANTITIES
from tests.unit.claims_scoring import scores
from tests.unit.claims_sentences import AFRESH, FRESH, GOLD_HELD_OUT, PARAGRAPHS, SENTENCES


def one(text: str) -> Claim:
    claims = extract(text)
    assert len(claims) == 1, claims
    return claims[0]


def test_300_sentences_are_read() -> None:
    assert len(SENTENCES) == len({text for text, _ in SENTENCES}) == 300
    assert len(GOLD_HELD_OUT) == 100
    precision, recall = scores(SENTENCES)
    assert precision >= 0.95
    assert recall >= 0.85


def test_further_texts_are_read() -> None:
    precision, recall = scores((*GOLD_HELD_OUT, *FRESH, *AFRESH, *PARAGRAPHS))
    assert precision >= 0.95
    assert recall >= 0.85


# --- Our own words --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(QUANTITIES))
def test_every_word_of_the_registry_is_read(name: str) -> None:
    quantity = QUANTITIES[name]
    for relation, words in (("more", quantity.more), ("less", quantity.less)):
        a, b = (6.5, 2.5) if relation == "more" else (2.5, 6.5)
        for word in words:
            for side, rival, stated in (("A", "B", (a, b)), ("B", "A", (b, a))):
                for text in (
                    f"{side} is {word}: {quantity.spoken} {a} against {b}.",
                    f"{side} looks {word} than {rival}, {quantity.spoken} {a} to {b}.",
                    f"Measured {quantity.spoken} is {a} in {side} and {b} in {rival}, so {side} is {word}.",
                ):
                    claim = one(text)
                    found = (claim.side, claim.relation, claim.quantity, claim.stated)
                    assert found == (side, relation, name, stated), text


def test_terms_that_begin_with_another_letter_are_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [one[0].lower() for one in SENTENCES]
    found = [list(lexicon.find(text, 0, len(text))) for text in texts]
    assert sum(map(len, found)) > 300
    monkeypatch.setattr(lexicon, "_beginning", lambda _letter: lexicon.terms())
    assert [list(lexicon.find(text, 0, len(text))) for text in texts] == found


def test_a_word_of_the_registry_stands_in_no_other_list() -> None:
    registry = {term.pattern for term in lexicon._registry()}
    others = [branch for term in lexicon._CRITICS for branch in lexicon._branches(term.pattern)]
    assert registry.isdisjoint(others)
    assert len(others) == len(set(others))


def test_a_fault_has_one_entry() -> None:
    names = [fault.name for fault in faults._ALL]
    assert len(names) == len(set(names))
    assert set(names) == set(WORDS)


FORMER = {
    "exposure_down": ("{} underexposure with blocked shadows",),
    "exposure_up": ("{} overexposure with burnt highlights",),
}
"""What an earlier writer called faults, which models may have learnt."""


@pytest.mark.parametrize("operation", list(SYMPTOMS))
def test_every_name_that_the_writer_has_for_a_fault_is_read(operation: str) -> None:
    assert FAULTS[operation].factor == OPERATIONS[operation].factor
    for name in (*SYMPTOMS[operation], *FORMER.get(operation, ())):
        symptom, sized = named(name, ""), named(name, "strong")
        for text in (
            f"A shows {symptom}.",
            f"A suffers from {sized}.",
            f"What stands out in A is {sized}.",
            f"A has {symptom}, which weighs less.",
            f"Less harm comes to A from {sized}.",
        ):
            claim = one(text)
            assert (claim.side, claim.relation, claim.fault) == ("A", "present", operation), text


@pytest.mark.parametrize(
    "text",
    [
        "So A is clearly better.",
        "That makes B far better.",
        "What tells them apart is noise and focus.",
        "They differ in light.",
        "noise sets them apart.",
        "Nothing that matters differs between A and B.",
        "Neither picture gains anything over the other.",
        "Decisive: noise, better in B.",
        "Overall, image B is the stronger photograph and I prefer it.",
        "Winner: A",
        "",
        "   \n",
    ],
)
def test_verdicts_claim_nothing(text: str) -> None:
    assert extract(text) == ()


# --- What a claim holds ---------------------------------------------------------------------------------------------


def test_a_claim_points_at_its_words() -> None:
    text = "All in all A is much noisier than B, noise 6.0 against 0.9, and a watermark lies in the upper left of B."
    noise, watermark = extract(text)
    assert noise.text == text[noise.start : noise.end]
    assert "much noisier" in noise.text
    assert "6.0 against 0.9" in noise.text
    assert watermark.text == "watermark"
    assert (watermark.side, watermark.place) == ("B", "upper left")


def test_a_claim_holds_the_words_that_say_how_much() -> None:
    for amount in ("slight", "faint", "minor", "strong", "clear"):
        assert one(f"A shows a {amount} haze.").text == f"{amount} haze"
    assert one("A is a little overexposed.").text == "little overexposed"


def test_curly_apostrophes_and_odd_blanks_are_read_alike() -> None:
    assert one("B’s horizon isn’t level.").fault == "tilt"
    assert one("A\u00a0is\u00a0noisier, noise 3.0 against 1.0.").stated == (3.0, 1.0)


def test_the_article_is_not_picture_a() -> None:
    claim = one("A slight tilt is visible in B.")
    assert (claim.side, claim.fault) == ("B", "tilt")
    assert extract("A dog sits on a red chair.") == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A is clean, B is not.", [("A", "less", "noise"), ("B", "more", "noise")]),
        ("A has a watermark, and B has none.", [("A", "present", "watermark"), ("B", "absent", "watermark")]),
        ("A is not tilted, unlike B.", [("A", "absent", "tilt"), ("B", "present", "tilt")]),
        ("B is free of the blue cast seen in A.", [("B", "absent", "cast_cool"), ("A", "present", "cast_cool")]),
        ("Wires cross A. They are absent in B.", [("A", "present", "power_lines"), ("B", "absent", "power_lines")]),
        ("Both suffer from noise, B more so.", [("both", "present", "noise_luma"), ("B", "more", "noise")]),
    ],
)
def test_what_is_left_unsaid(text: str, expected: list[tuple[str, str, str]]) -> None:
    assert [(claim.side, claim.relation, claim.fault or claim.quantity) for claim in extract(text)] == expected


# --- Any text at all ------------------------------------------------------------------------------------------------

_PIECES = [
    "A", "B", "is", "not", "more", "less", "noisy", "noise", "than", "and", ",", ".", ":", "(", ")", "6.0", "against",
    "in", "the", "upper", "left", "both", "neither", "nor", "as", "which", "%", "\n", "'s", "horizon", "watermark", "'",
    "\u0130", "\u00df", "—", "no", "difference", "level", "-", "3", "degrees", "image", "far", "from",
]  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(max_size=200), st.lists(st.sampled_from(_PIECES), max_size=60).map(" ".join)))
def test_no_text_raises(text: str) -> None:
    for claim in extract(text):
        assert claim.text == text[claim.start : claim.end]
        assert claim.quantity is None or claim.quantity in QUANTITIES
        assert claim.fault is None or claim.fault in FAULTS


@pytest.mark.parametrize(
    "piece",
    [
        "A is noisier than B, and ", "noise ", "a", "A", " ", "1.1 against ", "not ", "in the upper left ", "no ", "'s",
        "shadows in a are ", "more ", "1", "1.", "\n", "(", "A and B ", "as sharp as ", "heavy jpeg compression ",
    ],
)  # fmt: skip
def test_time_grows_with_the_text_and_not_with_its_square(piece: str) -> None:
    def seconds(n_characters: int) -> float:
        text = (piece * (n_characters // len(piece) + 1))[:n_characters]
        begin = time.process_time()
        extract(text)
        return time.process_time() - begin

    extract(piece)  # compiles
    # The least of three: what else runs on the machine makes single figures larger, never smaller.
    short, long = (min(seconds(n_characters) for _ in range(3)) for n_characters in (2_500, 10_000))
    assert long < 2.0
    assert long < 12 * max(short, 0.01)


def test_a_text_without_end_is_cut() -> None:
    claims = extract("A is noisier. " * 10_000)
    assert 0 < len(claims) <= MAX_CHARACTERS / len("A is noisier. ") + 1


def test_words_in_random_order_take_no_longer() -> None:
    rng = random.Random(0)
    text = " ".join(rng.choices(_PIECES, k=2_500))[:10_000]
    begin = time.process_time()
    extract(text)
    assert time.process_time() - begin < 2.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I wouldn't say A is sharper.", [("A", "less", "sharpness", None)]),
        ("I don't think that B is noisier.", [("B", "less", "noise", None)]),
        ("A blurry thumb intrudes into the lower left corner of B.", [("B", "present", None, "lower left")]),
        ("The background is sharp in A.", [("A", "present", None, None)]),  # another plane than the subject's
        ("B's lighting is uneven.", [("B", "present", "unevenness", None)]),
        ("B is brighter on the left than on the right.", []),  # of parts of one picture
        ("A can't be called sharp.", [("A", "less", "sharpness", None)]),
        ("A doesn't show nearly as much grain as B.", [("A", "less", "noise", None)]),
        ("B doesn't have as much contrast as A.", [("B", "less", "contrast", None)]),
        ("Both frames are similarly exposed.", [("both", "alike", "brightness", None)]),
        ("Sharpness favors A, while noise favors B.", [
            ("A", "more", "sharpness", None), ("B", "less", "noise", None),
        ]),
        ("B is monochrome.", [("B", "present", "colourfulness", None)]),
        ("B is the mirror image of A.", [("B", "present", None, None)]),
        ("In terms of brightness the two are virtually indistinguishable.", [("both", "alike", "brightness", None)]),
        ("Saturation has been pushed too far in B.", [("B", "present", "colourfulness", None)]),
        ("B is too dark; the first, by contrast, is sharp.", [
            ("B", "present", "brightness", None), ("A", "more", "sharpness", None),
        ]),
        ("A is a little overexposed.", [("A", "present", "brightness", None)]),
        ("B shows a little bit of grain.", [("B", "present", "noise", None)]),
        ("B shows only a little grain.", [("B", "less", "noise", None)]),
        ("B shows little grain.", [("B", "less", "noise", None)]),
        ("Both suffer from noise, but it's worse in A.", [
            ("both", "present", "noise", None), ("A", "more", "noise", None),
        ]),
    ],
)  # fmt: skip
def test_manners_of_speaking(text: str, expected: list[tuple[str, str, str | None, str | None]]) -> None:
    assert [(one.side, one.relation, one.quantity, one.place) for one in extract(text)] == expected


def test_a_figure_of_nought_is_a_figure() -> None:
    (claim,) = extract("A: noise 0. B: noise 4.2.")
    assert (claim.side, claim.relation, claim.stated) == ("A", "less", (0.0, 4.2))
