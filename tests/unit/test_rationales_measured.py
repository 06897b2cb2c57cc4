"""What the writer says of real pictures holds against what is measured in them, for every fault."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from redaes.answers import render_rationale
from redaes.datagen.editors.parametric import OPERATIONS, apply_edit, make_edit
from redaes.datagen.overlays import covering, laid_over
from redaes.datagen.picture_groups import GroupPicture, StoredPicture, ViewChange, encode, seen_in
from redaes.datagen.plan import DEGRADE
from redaes.datagen.rationales import check_text, write_rationale
from redaes.evidence.checking import check_rationale
from redaes.evidence.pair import measure_pair
from redaes.evidence.picture import measure
from redaes.evidence.quantities import QUANTITIES
from redaes.samples import sample_photographs

SIDE = 224
STRENGTHS = (0.3, 0.9)


def photograph(number: int) -> NDArray[np.uint8]:
    with Image.open(sample_photographs()[number].path) as image:
        small = image.convert("RGB")
        small.thumbnail((SIDE, SIDE))
        return np.asarray(small)


def member(pixels: NDArray[np.uint8], operation: str, strength: float) -> GroupPicture:
    edit = make_edit(operation, strength, seed=7)
    edited = apply_edit(pixels, operation, strength, seed=7)
    view = ViewChange()
    if edit.factor == "composition":
        view = ViewChange(moved=True, registration=laid_over(pixels, edited))
    elif edit.factor == "content":
        view = ViewChange(changes=covering(pixels, edited))
    return GroupPicture(f"{operation}-{strength}", StoredPicture(encode(edited)), edit, 8 * strength, view_change=view)


def claims_of(pixels: NDArray[np.uint8], operations: tuple[str, ...]) -> Counter[str]:
    """How the statements on every fault stand, with a text that the checks refuse as a failure."""
    clean = GroupPicture("reference", StoredPicture(encode(pixels)), None, 0.0)
    found: Counter[str] = Counter()
    for operation in operations:
        for strength in STRENGTHS:
            worse = member(pixels, operation, strength)
            assert worse.edit is not None
            seen = seen_in(clean, worse)
            for seed in range(3):
                written = write_rationale(seen, (None, worse.edit), (0.0, worse.loss), seed)
                claims = check_rationale(written.text, seen.evidence)
                wrong = [one.claim.text for one in claims.checked if one.status == "contradicted"]
                assert not wrong, (operation, strength, wrong, written.text)
                found[operation if claims.count("supported") else "nothing supported"] += 1
                refused = check_text(render_rationale(written), worse.loss, (worse.edit.factor,)).reasons
                assert set(refused) <= {"too_short"}, (refused, written.text)
                assert re.match(r"[^<>\n]{1,600}$", written.text)
    return found


@pytest.mark.parametrize("half", [0, 1])
def test_nothing_written_of_a_photograph_is_contradicted(half: int) -> None:
    operations = DEGRADE[half::2]
    found = claims_of(photograph(half), operations)
    assert found["nothing supported"] <= 0.15 * sum(found.values()), found


@pytest.mark.slow
@pytest.mark.parametrize("number", range(6))
def test_nothing_written_of_any_sample_is_contradicted(number: int) -> None:
    found = claims_of(photograph(number), DEGRADE)
    assert found["nothing supported"] <= 0.15 * sum(found.values()), found


def test_only_what_is_wanted_is_measured_and_it_is_the_same() -> None:
    pixels = photograph(0)
    whole = measure(pixels)
    stored = StoredPicture(encode(pixels))
    assert set(stored.measurements(frozenset({"noise"})).values) < set(whole.values)
    both = stored.measurements(frozenset({"noise", "tilt", "brightness"})).values
    assert {"noise", "brightness"} <= set(both)
    everything = stored.measurements().values
    assert everything.items() >= both.items()
    assert everything == measure(stored.pixels).values
    for name in QUANTITIES:
        if name in whole.values:
            assert measure(pixels, {name}).values[name] == whole.values[name]


def test_the_quick_way_to_lay_pictures_over_each_other_agrees_with_the_thorough_one() -> None:
    pixels = photograph(0)
    for operation in ("tilt", "tight_crop", "stretch"):
        edited = apply_edit(pixels, operation, 0.4, seed=3)
        quick, thorough = laid_over(pixels, edited), measure_pair(pixels, edited).registration
        assert quick is not None
        assert thorough is not None
        assert quick.rotation_deg == pytest.approx(thorough.rotation_deg, abs=0.6)
        assert quick.scale == pytest.approx(thorough.scale, rel=0.03)
        assert quick.stretch == pytest.approx(thorough.stretch, rel=0.03)
        assert quick.shown_of_first == pytest.approx(thorough.shown_of_first, abs=0.04)
    other = photograph(1)[: pixels.shape[0], : pixels.shape[1]]
    same = min(pixels.shape[0], other.shape[0]), min(pixels.shape[1], other.shape[1])
    assert laid_over(pixels[: same[0], : same[1]], other[: same[0], : same[1]]) is None


def test_what_covers_is_found_where_it_is() -> None:
    pixels = photograph(0)
    spot = pixels.copy()
    spot[-40:-10, 10:40] = 255 - spot[-40:-10, 10:40] // 4
    first, *_ = covering(pixels, spot)
    assert (first.side, first.place) == ("B", "lower left")
    assert covering(pixels, pixels) == ()
    brighter = np.clip(pixels.astype(int) + 20, 0, 255).astype(np.uint8)
    assert covering(pixels, brighter) == ()  # light covers nothing
    grey = np.full((90, 90, 3), 100, dtype=np.uint8)
    for step, seen in ((11, False), (13, True)):
        veiled = grey.copy()
        veiled[:30, 30:60] += step
        assert [(one.place, one.area) for one in covering(grey, veiled)] == (
            [("top", pytest.approx(100 / 9))] if seen else []
        )


@pytest.mark.parametrize("operation", ["tilt", "crop_off", "finger", "defocus"])
def test_which_of_two_is_the_first_changes_the_letters_alone(operation: str) -> None:
    pixels = photograph(0)
    clean, worse = GroupPicture("reference", StoredPicture(encode(pixels)), None, 0.0), member(pixels, operation, 0.6)
    forward, backward = seen_in(clean, worse), seen_in(worse, clean)
    assert backward.looks == (worse.stored.look, clean.stored.look)
    assert backward.same_frame is forward.same_frame is (OPERATIONS[operation].factor != "composition")
    assert backward.evidence.first == forward.evidence.second
    assert backward.evidence.changes == tuple(change.swapped() for change in forward.evidence.changes)
    registrations = backward.evidence.registration, forward.evidence.registration
    if OPERATIONS[operation].factor == "composition":
        assert registrations[0] is not None
        assert registrations[1] is not None
        assert registrations[0] == registrations[1].swapped() != registrations[1]
    else:
        assert registrations == (None, None)
