"""What every dataset must keep: one potential per group, a certain direction, no tell-tale position."""

from __future__ import annotations

import io
import re
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from redaes.datagen import parametric_groups
from redaes.datagen.dataset_settings import DatasetSettings
from redaes.datagen.editors.parametric import OPERATIONS, apply_edit, make_edit
from redaes.datagen.judges.cover import covered
from redaes.datagen.parametric_groups import make_group, might_improve
from redaes.datagen.picture_groups import BuildCounts, GroupPicture, StoredPicture, encode
from redaes.datagen.plan import DEGRADE, NEUTRAL, SHARED, Frame, PlannedEdit, plan_view
from redaes.datagen.rationales import contradictions
from redaes.datagen.rationales.choosing import USUAL
from redaes.datagen.severity import LIKED, Severity
from redaes.datagen.sources import Source
from redaes.errors import InputError
from redaes.evidence.measurements import Measurements
from redaes.evidence.picture import measure
from redaes.records import PairRecord
from redaes.types import MAX_DELTA, TIE_MARGIN, winner_of

SOURCE = Source(id="a" * 64, path=Path("a.png"), licence="CC0", split="train")


def _scene(seed: int = 0, size: tuple[int, int] = (240, 160)) -> Image.Image:
    """A stand-in for a photograph: smooth colour, edges at several scales, grain."""
    rng = np.random.default_rng(seed)
    field = np.zeros((size[1], size[0], 3))
    for scale in (4, 12, 40):
        coarse = rng.integers(0, 256, (scale, scale, 3), dtype=np.uint8)
        field += np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)) / 3.0
    return Image.fromarray(np.clip(field + rng.normal(0, 2, field.shape), 0, 255).astype(np.uint8))


def _group(
    image: Image.Image, source: Source, view: int, settings: DatasetSettings, counts: BuildCounts | None = None
) -> list[PairRecord]:
    rows = plan_view(source.id, source.split, view, settings.variants, settings.seed)
    return make_group(image, source, rows, settings, BuildCounts() if counts is None else counts)


@pytest.fixture(scope="module")
def records() -> list[PairRecord]:
    """All pairs of 24 groups."""
    found: list[PairRecord] = []
    for number in range(8):
        source = replace(SOURCE, id=f"{number:x}" * 64)
        for index in range(3):
            found += _group(_scene(number, (400, 300)), source, index, DatasetSettings(max_side=160))
    assert len(found) > 60
    return found


def test_the_differences_of_a_group_come_from_one_potential(records: list[PairRecord]) -> None:
    groups: dict[str, list[PairRecord]] = defaultdict(list)
    for record in records:
        groups[record.pair.group].append(record)
    for group in groups.values():
        pictures = sorted({ref.id for r in group for ref in (r.pair.first, r.pair.second)})
        incidence = np.zeros((len(group), len(pictures)))
        for row, record in zip(incidence, group, strict=True):
            row[pictures.index(record.pair.first.id)] += 1
            row[pictures.index(record.pair.second.id)] -= 1
        deltas = np.array([record.pair.delta for record in group])
        potential, *_ = np.linalg.lstsq(incidence, deltas, rcond=None)
        assert np.allclose(incidence @ potential, deltas, atol=1e-3)


def test_the_better_picture_carries_less(records: list[PairRecord]) -> None:
    for record in records:
        pair = record.pair
        assert pair.delta is not None
        worse, better = (pair.edit_second, pair.edit_first) if pair.delta > 0 else (pair.edit_first, pair.edit_second)
        if abs(pair.delta) < TIE_MARGIN:
            continue
        assert worse is not None
        assert worse.direction == "degrade"
        if better is not None and better.operation == worse.operation:
            assert better.strength <= worse.strength


def test_only_neutral_edits_tie(records: list[PairRecord]) -> None:
    ties = [r.pair for r in records if abs(r.pair.delta or 0.0) < TIE_MARGIN]
    assert ties
    for pair in ties:
        assert (pair.edit_first, pair.edit_second, pair.delta, pair.factors) == (None, None, 0.0, ())
        assert pair.first.id != pair.second.id


def test_the_factor_is_that_of_the_worse_pictures_edit(records: list[PairRecord]) -> None:
    for record in records:
        pair = record.pair
        worse = pair.edit_second if (pair.delta or 0.0) > 0 else pair.edit_first
        assert pair.factors == (() if worse is None else (worse.factor,))


def test_positions_tell_nothing(records: list[PairRecord]) -> None:
    wins = Counter(winner_of(r.pair.delta or 0.0) for r in records)
    n = wins["A"] + wins["B"]
    assert abs(wins["A"] - n / 2) < 3 * (n / 4) ** 0.5  # three standard deviations of a fair coin


def test_both_sides_are_encoded_alike(records: list[PairRecord]) -> None:
    for record in records:
        first, second = (Image.open(io.BytesIO(data)) for data in (record.first_bytes, record.second_bytes))
        assert first.size == second.size
        assert max(first.size) <= 160
        assert first.format == second.format == "JPEG"
        assert first.quantization == second.quantization  # type: ignore[attr-defined]


def _at_every_scale(size: tuple[int, int]) -> Image.Image:
    """Noise with as much detail at every scale, so that a part of it, shown larger, is as sharp as the whole."""
    rng = np.random.default_rng(0)
    width, height = size
    frequency = np.hypot(np.fft.fftfreq(height)[:, None] * height, np.fft.fftfreq(width) * width)
    frequency[0, 0] = 1
    white = np.fft.fft2(rng.standard_normal((3, height, width)))
    field = np.fft.ifft2(white / frequency**1.1).real
    return Image.fromarray(np.clip(120 + 45 * field / field.std(), 0, 255).astype(np.uint8).transpose(1, 2, 0))


def _fine(pixels: NDArray[np.uint8]) -> float:
    """Root mean square of grey between the blurs of 0.7 and 1.4 px."""
    grey = pixels.mean(axis=2, dtype=np.float32)
    band = cv2.GaussianBlur(grey, (0, 0), 0.7) - cv2.GaussianBlur(grey, (0, 0), 1.4)
    return float(np.sqrt(np.square(band).mean()))


@pytest.mark.parametrize("operation", [name for name in DEGRADE if OPERATIONS[name].factor == "composition"])
def test_softness_gives_no_composition_away(operation: str) -> None:
    edit = make_edit(operation, 1.0, 3)
    row = PlannedEdit("row", "train", SOURCE.id, 0, "member", edit, None, Frame(0.0, 0.0, 1.0))
    view = parametric_groups._reference_view(_at_every_scale((900, 600)), [row], 160)
    sharpness = _fine(view.pixels)
    plainly = _fine(apply_edit(view.pixels, operation, 1.0, 3))
    assert view.edited(edit).shape == view.pixels.shape
    edited = _fine(view.edited(edit))
    assert edited > 0.88 * sharpness
    assert edited > 1.02 * plainly


def test_a_photograph_with_few_pixels_gives_a_smaller_group() -> None:
    edit = make_edit("tight_crop", 1.0, 3)
    row = PlannedEdit("row", "train", SOURCE.id, 0, "member", edit, None, Frame(0.0, 0.0, 1.0))
    shown = OPERATIONS["tight_crop"].frame_share(1.0)
    view = parametric_groups._reference_view(_scene(size=(400, 300)), [row], 160)
    assert view.pixels.shape[1] == round(400 * shown / parametric_groups.SPARE) < 160
    assert view.large is not None
    assert view.large.shape == (300, 400, 3)


def test_the_reasoning_fits_in_both_orders(records: list[PairRecord]) -> None:
    for record in records:
        pair, delta = record.pair, record.pair.delta
        assert delta is not None
        assert record.rationale is not None
        assert record.rationale_swapped is not None
        assert contradictions(record.rationale, delta, pair.factors) == []
        assert contradictions(record.rationale_swapped, -delta, pair.factors) == []
        for rationale, edits in (
            (record.rationale, {"A": pair.edit_first, "B": pair.edit_second}),
            (record.rationale_swapped, {"A": pair.edit_second, "B": pair.edit_first}),
        ):
            if rationale.better == "tie":
                continue
            worse = "B" if rationale.better == "A" else "A"
            edit = edits[worse]
            assert edit is not None
            assert rationale.factors == (edit.factor,)
            first = rationale.text.partition(". ")[0]
            assert worse in re.findall(r"\b[AB]\b", first)


def test_differences_stay_on_the_scale(records: list[PairRecord]) -> None:
    sizes = [abs(r.pair.delta or 0.0) for r in records if r.pair.factors]
    assert min(sizes) >= parametric_groups.MIN_DELTA
    assert max(sizes) <= MAX_DELTA


def test_ids_are_unique_and_the_same_again(records: list[PairRecord]) -> None:
    assert len({r.pair.id for r in records}) == len(records)
    source = replace(SOURCE, id="0" * 64)
    again = _group(_scene(0, (400, 300)), source, 0, DatasetSettings(max_side=160))
    assert again == [r for r in records if r.pair.group == again[0].pair.group]


def test_two_edits_with_the_same_result_make_one_pair() -> None:
    counts, settings = BuildCounts(), DatasetSettings(max_side=160)
    for view in range(6):
        rows = plan_view(SOURCE.id, "train", view, 3, 0)
        found = make_group(_scene(), SOURCE, [*rows, replace(rows[-1], id="again")], settings, counts)
        assert len({r.pair.id for r in found}) == len(found)
    assert counts.rejected["identical"] > 6


def test_the_seed_changes_the_edits() -> None:
    one, other = (_group(_scene(), SOURCE, 0, DatasetSettings(max_side=160, seed=seed)) for seed in (0, 1))
    assert {r.pair.id for r in one}.isdisjoint(r.pair.id for r in other)


def _member(
    key: str, operation: str | None, strength: float, loss: float, uncertainty: float = 1.0, seed: int = 1
) -> GroupPicture:
    edit = None if operation is None else make_edit(operation, strength, seed)
    return GroupPicture(key, StoredPicture(key.encode()), edit, loss, uncertainty if edit else 0.0)


def test_edits_of_two_kinds_whose_order_is_not_settled_get_no_label() -> None:
    """1.75 standard deviations of the difference, 2.47 points where each loss has one of 1."""
    blurred = _member("a", "defocus", 0.5, 5.0)
    assert parametric_groups._why_not(blurred, _member("b", "tilt", 0.5, 2.51)) is None
    assert parametric_groups._why_not(blurred, _member("b", "tilt", 0.5, 2.54)) == "undecided"
    assert parametric_groups._why_not(_member("b", "tilt", 0.5, 2.54), blurred) == "undecided"
    assert parametric_groups._why_not(blurred, _member("b", "tilt", 0.5, 2.51, uncertainty=1.1)) == "undecided"


def test_the_same_edit_less_and_more_is_certain_and_one_drawn_anew_is_not() -> None:
    strong = _member("a", "finger", 0.8, 3.0)
    assert parametric_groups._why_not(strong, _member("b", "finger", 0.5, 2.19)) is None
    assert parametric_groups._why_not(strong, _member("b", "finger", 0.5, 2.21)) == "indiscernible"
    assert parametric_groups._why_not(strong, _member("b", "finger", 0.5, 2.19, seed=2)) == "undecided"
    assert parametric_groups._why_not(strong, _member("b", "finger", 0.5, 4.0)) == "direction_uncertain"


def test_the_clean_picture_wins_where_the_loss_is_larger_than_taste() -> None:
    clean = _member("a", None, 0.0, 0.0)
    assert parametric_groups._why_not(clean, _member("b", "tilt", 0.5, 1.21, uncertainty=2.0)) is None
    assert parametric_groups._why_not(clean, _member("b", "tilt", 0.5, 1.19, uncertainty=2.0)) == "undecided"
    assert parametric_groups._why_not(clean, _member("b", "jpeg_blocks", 0.3, 0.81, uncertainty=1.0)) is None
    assert parametric_groups._why_not(clean, _member("b", "jpeg_blocks", 0.3, 0.79, uncertainty=1.0)) == "indiscernible"


@pytest.mark.parametrize("operation", sorted(LIKED))
def test_a_little_of_what_photographers_do_on_purpose_gets_no_label(operation: str) -> None:
    clean = _member("a", None, 0.0, 0.0)
    assert parametric_groups._why_not(clean, _member("b", operation, 0.5, 2.99)) == "undecided"
    assert parametric_groups._why_not(_member("b", operation, 0.5, 2.99), clean) == "undecided"
    assert parametric_groups._why_not(clean, _member("b", operation, 0.5, 3.01)) is None


@pytest.mark.parametrize(("loss", "kept"), [(0.61, True), (0.59, False)])
def test_an_edit_that_costs_less_than_six_tenths_of_a_point_is_not_seen(
    loss: float, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = PlannedEdit("row", "train", SOURCE.id, 0, "member", make_edit("defocus", 0.3, 3), None, Frame(0.0, 0.0, 1.0))
    view = parametric_groups._reference_view(_scene(), [row], 160)
    monkeypatch.setattr(parametric_groups, "severity", lambda *_: Severity(loss, 1.0))
    counts = BuildCounts()
    assert (parametric_groups._member(row, view, counts.rejected) is not None) == kept
    assert counts.rejected["no_visible_effect"] == (not kept)


def test_what_covers_a_picture_is_measured_by_what_it_covers() -> None:
    edit = make_edit("power_lines", 0.9, 3)
    row = PlannedEdit("row", "train", SOURCE.id, 0, "member", edit, None, Frame(0.0, 0.0, 1.0))
    view = parametric_groups._reference_view(_scene(), [row], 160)
    edited = view.edited(edit)
    assert view.change(edit, edited) == covered(view.pixels, edited) != view.reference.difference(edited)
    blur = make_edit("defocus", 0.9, 3)
    assert view.change(blur, edited) == view.reference.difference(edited)


def test_what_may_do_good_is_no_degradation() -> None:
    dark, middle = (measure(np.full((32, 32, 3), level, dtype=np.uint8)) for level in (30, 110))
    assert might_improve("exposure_up", dark, middle)
    assert not might_improve("exposure_down", middle, dark)
    assert not might_improve("motion_blur", dark, middle)


USUAL_OF = {
    "brightness": ("exposure_down", "exposure_up", "sunken_shadows", "crushed_shadows"),
    "contrast": ("contrast_down", "contrast_up", "haze", "ungraded"),
    "colourfulness": ("saturation_down", "saturation_up"),
    "warmth": ("cast_warm", "cast_cool"),
    "magenta": ("cast_green", "cast_magenta"),
}


@pytest.mark.parametrize(("quantity", "operation"), [(q, name) for q, names in USUAL_OF.items() for name in names])
def test_a_move_towards_the_usual_may_do_good(quantity: str, operation: str) -> None:
    usual, odd = (Measurements(width=64, height=64, values={quantity: value})
                  for value in (USUAL[quantity], USUAL[quantity] + 9))  # fmt: skip
    assert might_improve(operation, odd, usual)
    assert might_improve(operation, odd, odd)
    assert not might_improve(operation, usual, odd)


def test_what_may_do_good_is_left_out_and_counted() -> None:
    dark = np.asarray(_scene()) // 2
    for operation, kept in (("exposure_up", False), ("exposure_down", True)):
        row = PlannedEdit(
            "row", "train", SOURCE.id, 0, "member", make_edit(operation, 0.6, 3), None, Frame(0.0, 0.0, 1.0)
        )
        counts = BuildCounts()
        found = parametric_groups._member(
            row, parametric_groups._reference_view(Image.fromarray(dark), [row], 160), counts.rejected
        )
        assert (found is not None) == kept
        assert counts.rejected == ({} if kept else {"might_improve": 1})


def test_what_lies_on_top_may_move_the_view() -> None:
    whole = Frame(0.0, 0.0, 1.0)
    for operation, mirrored, moved in (("defocus", False, False), ("defocus", True, True), ("finger", True, True)):
        cover = make_edit("mirror", 0.5, 1) if mirrored else None
        row = PlannedEdit("row", "train", SOURCE.id, 0, "member", make_edit(operation, 0.7, 3), cover, whole)
        view = parametric_groups._reference_view(_scene(), [row], 160)
        seen_as = parametric_groups._seen_as(row, view, view.edited(row.edit))
        assert (seen_as.moved, seen_as.registration, seen_as.changes) == (moved, None, ())


def test_what_is_measured_of_a_pair_is_what_its_faults_show_in() -> None:
    pixels = np.asarray(_scene())
    clean = GroupPicture("reference", StoredPicture(encode(pixels)), None, 0.0)
    blocks = make_edit("jpeg_blocks", 1.0, 3)
    worse = GroupPicture("row", StoredPicture(encode(apply_edit(pixels, "jpeg_blocks", 1.0, 3))), blocks, 5.0)
    record = parametric_groups._record(clean, worse, "group", SOURCE)
    assert record.rationale is not None
    assert record.rationale_swapped is not None
    assert all(re.search(r"block(?:y|ier|ing|ed).*\d|\d.*block", one.text)
               for one in (record.rationale, record.rationale_swapped))  # fmt: skip
    # The other order is worded anew.
    letters = re.sub(r"\b[AB]\b", lambda letter: "BA"["AB".index(letter[0])], record.rationale.text)
    assert record.rationale_swapped.text != letters


def test_half_of_the_clean_twins_are_ties(records: list[PairRecord]) -> None:
    ties = [record.pair.group for record in records if not record.pair.factors]
    assert len(set(ties)) == len(ties)
    assert 6 <= len(ties) <= 18  # of 24 groups


def test_operations_are_sorted_by_direction() -> None:
    assert not set(DEGRADE) & set(NEUTRAL)
    assert set(SHARED) < set(DEGRADE)
    assert set(parametric_groups.TYPICAL) <= set(DEGRADE)


def test_small_photographs_are_not_enlarged() -> None:
    found = _group(_scene(size=(140, 130)), SOURCE, 0, DatasetSettings(max_side=256))
    assert all(Image.open(io.BytesIO(r.first_bytes)).size == (140, 130) for r in found)


@pytest.mark.parametrize("size", [(900, 129), (129, 900), (1000, 128)])
def test_thin_photographs_work(size: tuple[int, int]) -> None:
    for index in range(4):
        _group(_scene(size=size), SOURCE, index, DatasetSettings(max_side=64))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("views", 0),
        ("views", float("nan")),
        ("views", 2.0),
        ("variants", True),
        ("variants", None),
        ("max_side", 10),
        ("max_side", 10**9),
        ("seed", -1),
        ("test_fraction", 0.0),
        ("test_fraction", float("nan")),
        ("test_fraction", "half"),
    ],
)
def test_wrong_settings_are_named(name: str, value: object) -> None:
    with pytest.raises(InputError, match=rf"^{name} is .*; it should be "):
        DatasetSettings(**{name: value})  # type: ignore[arg-type]


def test_an_edit_that_cannot_be_made_loses_only_itself() -> None:
    settings = DatasetSettings(max_side=160)
    rows = plan_view(SOURCE.id, "train", 1, 3, 0)
    member = next(number for number, planned in enumerate(rows) if planned.role == "member")
    broken = replace(rows[member], edit=rows[member].edit.model_copy(update={"operation": "no_such"}))
    counts = BuildCounts()
    found = make_group(_scene(), SOURCE, [*rows[:member], broken, *rows[member + 1 :]], settings, counts)
    whole = make_group(_scene(), SOURCE, rows, settings, BuildCounts())
    assert counts.rejected["edit_failed"] == 1
    assert [item["row"] for item in counts.failed] == [broken.id]
    assert "no_such" in counts.failed[0]["error"]
    pictures = {ref.id for r in whole for ref in (r.pair.first, r.pair.second)}
    assert found
    assert {ref.id for r in found for ref in (r.pair.first, r.pair.second)} < pictures


def test_what_a_picture_does_not_show_is_looked_for_once() -> None:
    stored = StoredPicture(encode(np.full((96, 96, 3), 128, np.uint8)))
    found = stored.measurements(frozenset({"tilt"}))
    assert not found.values
    # Both come of the same lines: there is nothing left to measure.
    assert stored.measurements(frozenset({"keystone"})) is found


@pytest.mark.parametrize("size", [(240, 160), (160, 240)])
def test_a_view_is_kept_larger_for_the_edits_that_enlarge_and_for_no_other(size: tuple[int, int]) -> None:
    tilt, blur = make_edit("tilt", 0.9, 3), make_edit("defocus", 0.5, 3)
    rows = [
        PlannedEdit(edit.operation, "train", SOURCE.id, 0, "member", edit, None, Frame(0.0, 0.0, 1.0))
        for edit in (blur, tilt)
    ]
    view = parametric_groups._reference_view(_scene(size=size), rows, 60)
    assert max(view.pixels.shape[:2]) == 60
    assert view.large is not None
    assert np.array_equal(view.edited(blur), parametric_groups._apply(view.pixels, blur))
    assert not np.array_equal(view.edited(tilt), parametric_groups._apply(view.pixels, tilt))
