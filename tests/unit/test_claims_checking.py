"""Claims held against what was measured, with evidence made by hand."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redaes.evidence.checking import check, check_rationale
from redaes.evidence.claims import CheckedClaim, Claim
from redaes.evidence.extraction import extract
from redaes.evidence.faults import FAULTS
from redaes.evidence.measurements import Measurements, PairEvidence, Registration, SceneChange
from redaes.evidence.presence import WEAK
from redaes.evidence.quantities import QUANTITIES

SAME_VIEW = Registration(
    rotation_deg=0.0, scale=1.0, stretch=1.0, shown_of_first=1.0, shown_of_second=1.0, n_points=400
)


def evidence(
    registration: Registration | None = None,
    changes: tuple[SceneChange, ...] = (),
    **values: tuple[float | None, float | None],
) -> PairEvidence:
    sides = [
        Measurements(
            width=900, height=600, values={name: two[at] for name, two in values.items() if two[at] is not None}
        )
        for at in (0, 1)
    ]
    return PairEvidence(first=sides[0], second=sides[1], registration=registration, changes=changes)


def only(text: str, known: PairEvidence) -> CheckedClaim:
    (checked,) = check_rationale(text, known).checked
    return checked


def found(text: str, known: PairEvidence) -> str:
    checked = only(text, known)
    assert (checked.why != "") == (checked.status == "contradicted")
    return checked.status + (f" {checked.why}" if checked.why else "")


# --- More, less, alike -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A is noisier than B.", "supported"),
        ("B is noisier than A.", "contradicted sign"),
        ("B is cleaner.", "supported"),
        ("A is noisier: noise 6.1 against 0.9.", "supported"),
        ("A is noisier: noise 9.0 against 0.9.", "contradicted figure"),
        ("A is noisier: noise 6.0 against 3.0.", "contradicted figure"),
        ("A is noisier: noise 6.0 against 1.0.", "supported"),  # off by a tenth of L*: within the noise floor
        ("A is cleaner: noise 6.0 against 0.9.", "contradicted sign"),
        ("A is noisier: noise 0.9 against 6.0.", "contradicted sign"),  # the adjective against its own figures
        ("The noise is alike.", "contradicted sign"),
        ("A is brighter.", "not_measurable"),
        ("A is much brighter.", "contradicted absent"),
        ("The light is alike.", "supported"),
        ("Brightness 50 in A and 74 in B: the light is alike.", "contradicted sign"),
        ("B is sharper.", "not_measurable"),  # not measured
        ("The composition of A is more balanced.", "not_measurable"),
        ("A's noise is 6.0.", "supported"),
        ("A's noise is 2.0.", "contradicted figure"),
    ],
)
def test_comparisons(text: str, expected: str) -> None:
    assert found(text, evidence(noise=(6.0, 0.9), brightness=(50.0, 50.05))) == expected


def test_alike_is_supported_within_what_one_sees_and_contradicted_well_beyond() -> None:
    visible = QUANTITIES["brightness"].visible
    for gap, status in ((0.9, "supported"), (1.5, "not_measurable"), (2.1, "contradicted")):
        known = evidence(brightness=(50.0, 50.0 + gap * visible))
        assert only("A is as bright as B.", known).status == status


def test_an_adjective_that_contradicts_its_own_figures_needs_no_measurement() -> None:
    assert found("A is flatter: contrast 17 against 11.", evidence()) == "contradicted sign"
    assert found("A is softer, sharpness 1.9 to 1.9.", evidence()) == "contradicted sign"


def test_the_margin_is_in_noise_floors_and_the_values_are_those_measured() -> None:
    checked = only("A is noisier than B.", evidence(noise=(6.0, 0.9)))
    assert checked.measured == (6.0, 0.9)
    assert checked.margin == pytest.approx(5.1 / QUANTITIES["noise"].noise_floor)
    assert only("B is noisier.", evidence(noise=(6.0, 0.9))).margin == pytest.approx(-(checked.margin or 0))


@pytest.mark.parametrize("name", list(QUANTITIES))
def test_every_quantity_both_ways_and_within_its_floor(name: str) -> None:
    quantity = QUANTITIES[name]
    more, less = quantity.more[0], quantity.less[0]
    apart = evidence(**{name: (20 + 2 * quantity.noise_floor, 20.0)})
    assert [one.status for one in check_rationale(f"A is {more}. B is {less}.", apart).checked] == ["supported"] * 2
    assert [one.why for one in check_rationale(f"B is {more}. A is {less}.", apart).checked] == ["sign"] * 2
    near = evidence(**{name: (20 + 0.4 * quantity.noise_floor, 20.0)})
    assert found(f"A is {more}.", near) == found(f"B is {more}.", near) == "not_measurable"


# --- Faults ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        fault.name
        for fault in FAULTS.values()
        if fault.shown_by and fault.found_in == "values" and fault.shown_by[0][0] not in WEAK
    ],
)
def test_faults_that_values_show(name: str) -> None:
    fault = FAULTS[name]
    values = {}
    for quantity, way in fault.shown_by:
        step = 3 * QUANTITIES[quantity].visible
        values[quantity] = (10 + step, 10.0) if way == "more" else (10.0, 10 + step)
    claim = Claim(text="it", start=0, end=2, side="A", relation="present", quantity=fault.shown_by[0][0], fault=name)
    other = claim.model_copy(update={"side": "B"})
    absent = claim.model_copy(update={"relation": "absent"})
    known = evidence(**values)
    assert check([claim], known).checked[0].status == "supported"
    assert check([absent], known).checked[0].status == "contradicted"
    if fault.shown_by[0][0] not in {"impulse", "border", "clipped_shadows", "clipped_highlights"}:
        assert check([other], known).checked[0].status == "contradicted"  # the others tell of a picture by itself
    assert check([claim], evidence()).checked[0].status == "not_measurable"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A has an orange colour cast.", "supported"),
        ("A has a blue cast.", "contradicted side"),  # there is a cast, of another colour
        ("B has a colour cast.", "contradicted side"),
        ("B is overexposed.", "not_measurable"),
        ("A has blown highlights.", "supported"),
        ("B has blown highlights.", "contradicted side"),
        ("B has no blown highlights.", "supported"),
        ("About 12 % of the frame in A is blown out.", "supported"),
        ("About 30 % of the frame in A is blown out.", "contradicted figure"),
        ("Neither has blown highlights.", "contradicted side"),
    ],
)
def test_faults(text: str, expected: str) -> None:
    known = evidence(cast=(9.0, 2.0), warmth=(15.0, 2.0), clipped_highlights=(12.0, 0.1), brightness=(50.0, 50.05))
    assert found(text, known) == expected


def finger(side: str | None) -> tuple[SceneChange, ...]:
    return (SceneChange(side=side, place="lower left", other_place="lower left", area=6.0, contrast=30.0),)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("registration", "changes", "expected"),
    [
        (SAME_VIEW, finger("A"), "supported"),
        (SAME_VIEW, finger("B"), "contradicted side"),
        (SAME_VIEW, finger(None), "not_measurable"),
        (SAME_VIEW, (), "contradicted absent"),
        (SAME_VIEW.model_copy(update={"n_points": 8}), (), "not_measurable"),
        (SAME_VIEW.model_copy(update={"shown_of_second": 0.2}), (), "not_measurable"),
        (None, (), "not_measurable"),
    ],
)
def test_what_only_one_picture_shows(
    registration: Registration | None, changes: tuple[SceneChange, ...], expected: str
) -> None:
    known = evidence(registration, changes)
    for name in ("A shows an obstruction by a finger.", "Power lines cross A.", "A is cluttered."):
        assert found(name, known) == expected


def test_what_can_be_too_faint_to_be_found_is_not_contradicted_by_an_unchanged_scene() -> None:
    assert found("There are smudges on A.", evidence(SAME_VIEW)) == "not_measurable"
    assert found("There are smudges on A.", evidence(SAME_VIEW, finger("A"))) == "supported"


def test_a_quantity_that_scenes_have_of_their_own_contradicts_nothing() -> None:
    visible = QUANTITIES["unevenness"].visible
    for rise, expected in ((1.1, "supported"), (0.5, "not_measurable"), (-3.0, "not_measurable")):
        assert found("A shows unevenness of the light.", evidence(unevenness=(2 + rise * visible, 2.0))) == expected


def test_the_place_of_what_only_one_picture_shows() -> None:
    known = evidence(SAME_VIEW, finger("A"))
    untold = SceneChange(side=None, place="upper right", other_place="upper left", area=1.0, contrast=30.0)
    assert found("A finger covers the lower left corner of A.", known) == "supported"
    assert found("A finger covers the left of A.", known) == "supported"  # the next cell
    assert found("A finger covers the upper right corner of A.", known) == "contradicted place"
    # A part that may be either's may be the rest of it; each picture has a place of its own for it.
    both = evidence(SAME_VIEW, (*finger("A"), untold))
    assert found("A finger covers the upper right corner of A.", both) == "supported"
    assert found("A finger covers the right of A.", both) == "supported"
    other = evidence(SAME_VIEW, (*finger("B"), untold))
    assert found("A finger covers the upper left corner of B.", other) == "supported"
    assert found("A finger covers the right of B.", other) == "contradicted place"


@pytest.mark.parametrize(
    ("share", "untold", "expected"),
    [
        (4.0, 0.0, "contradicted figure"),  # more than that was found
        (5.0, 0.0, "supported"),  # within a fifth
        (12.0, 0.0, "supported"),  # half of what is there is found as a rule ...
        (13.0, 0.0, "not_measurable"),
        (24.0, 0.0, "not_measurable"),  # ... and hardly ever less than a quarter
        (25.0, 0.0, "contradicted figure"),
        (25.0, 1.0, "not_measurable"),  # what may be either's counts for it
        (4.0, 9.0, "contradicted figure"),  # and not against it
        (10.0, 9.0, "supported"),
        (25.0, 9.0, "supported"),
    ],
)
def test_a_share_is_held_against_what_is_found_of_it(share: float, untold: float, expected: str) -> None:
    part = SceneChange(side=None, place="top", other_place="top", area=untold, contrast=30.0)
    known = evidence(SAME_VIEW, (*finger("A"), part) if untold else finger("A"))
    assert found(f"In A it takes up {share} % of the frame.", known) == expected
    assert found(f"In B it takes up {share} % of the frame.", known.swapped()) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("In A it takes up 5.9 % of the frame.", "not_measurable"),
        ("In A it takes up 6.1 % of the frame.", "contradicted absent"),
        ("A shows a faint watermark.", "not_measurable"),
        ("A shows a watermark.", "contradicted absent"),
        ("A shows a strong watermark.", "contradicted absent"),
    ],
)
def test_a_trace_that_was_not_found_may_be_there(text: str, expected: str) -> None:
    assert found(text, evidence(SAME_VIEW, lettering=(0.0, 0.0))) == expected
    if expected == "not_measurable":  # and yet is not, where something else is: the other picture has that
        assert found(text, evidence(SAME_VIEW, finger("B"), lettering=(0.0, 0.0))) == "contradicted side"


def test_that_nothing_is_there_is_supported_and_never_contradicted_by_a_change_of_unknown_kind() -> None:
    assert found("There are no power lines in A.", evidence(SAME_VIEW)) == "supported"
    assert found("There are no power lines in A.", evidence(SAME_VIEW, finger("A"))) == "not_measurable"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A shows a watermark.", "supported"),
        ("B shows a watermark.", "contradicted side"),
        ("B is free of lettering.", "supported"),
        ("A has no watermark.", "contradicted side"),
    ],
)
def test_lettering(text: str, expected: str) -> None:
    assert found(text, evidence(lettering=(3.0, 0.0))) == expected


def test_lettering_that_was_not_found_contradicts_only_with_two_views_that_agree() -> None:
    assert found("A shows a watermark.", evidence(lettering=(0.0, 0.0))) == "not_measurable"
    assert found("A shows a watermark.", evidence(SAME_VIEW, lettering=(0.0, 0.0))) == "contradicted absent"


def test_a_changed_part_is_no_finger_where_it_is_lettering_and_no_text_where_there_is_none() -> None:
    text = evidence(SAME_VIEW, finger("A"), lettering=(6.0, 0.0))
    none = evidence(SAME_VIEW, finger("A"), lettering=(0.0, 0.0))
    for told in ("A shows an obstruction by a finger.", "A has clutter along the borders.", "Power lines cross A."):
        assert found(told, text) == "not_measurable"
        assert found(told, none) == "supported"
    assert found("A shows a watermark.", text) == "supported"
    assert found("A shows a watermark.", none) == "not_measurable"


def test_what_both_may_have_is_not_contradicted_because_they_are_alike() -> None:
    assert found("A suffers from strong grain.", evidence(noise=(6.0, 6.1))) == "not_measurable"
    assert found("A suffers from strong grain.", evidence(noise=(0.3, 0.2))) == "contradicted absent"
    assert found("A suffers from strong underexposure.", evidence(brightness=(15.0, 15.1))) == "not_measurable"
    assert found("A suffers from strong underexposure.", evidence(brightness=(55.0, 55.1))) == "contradicted absent"
    assert found("A is clearly noisier.", evidence(noise=(6.0, 6.1))) == "contradicted absent"


def test_what_the_other_has_as_much_of_confirms_nothing_of_one() -> None:
    assert found("What stands out in B is a strong tilt.", evidence(SAME_VIEW, tilt=(5.5, 5.5))) == "not_measurable"
    assert found("What stands out in B is a strong tilt.", evidence(SAME_VIEW, tilt=(0.2, 5.5))) == "supported"
    assert found("Both are tilted.", evidence(SAME_VIEW, tilt=(5.5, 5.5))) == "supported"
    assert found("B is level.", evidence(SAME_VIEW, tilt=(5.5, 5.5))) == "contradicted absent"


def test_a_fault_that_is_called_strong_is_confirmed_only_where_one_sees_it() -> None:
    assert found("A suffers from strong overexposure.", evidence(brightness=(53.0, 52.0))) == "not_measurable"
    assert found("A is much brighter.", evidence(brightness=(53.0, 52.0))) == "not_measurable"
    assert found("A is brighter.", evidence(brightness=(53.0, 52.0))) == "supported"
    assert found("A is slightly overexposed.", evidence(brightness=(53.0, 52.0))) == "supported"
    assert found("A suffers from strong overexposure.", evidence(brightness=(63.0, 52.0))) == "supported"


def test_that_a_fault_is_there_is_confirmed_only_where_one_sees_it_or_a_trace_is_claimed() -> None:
    floor, visible = QUANTITIES["warmth"].noise_floor, QUANTITIES["warmth"].visible
    near, apart = evidence(warmth=(1.1 * floor, 0.0)), evidence(warmth=(1.1 * visible, 0.0))
    for amount in ("an", "a faint", "a slight"):
        assert found(f"A has {amount} orange cast.", apart) == "supported"
    assert found("A has an orange cast.", near) == "not_measurable"
    assert found("A has a slight orange cast.", near) == "supported"
    assert found("A is warmer.", near) == "supported"  # a comparison claims no more than a difference
    assert found("B has an orange cast.", near) == "contradicted side"
    claim = Claim(text="more haze", start=0, end=9, side="A", relation="more", quantity="haze", fault="haze")
    assert check([claim], evidence(haze=(12.0, 10.0))).checked[0].status == "supported"


def test_figures_that_make_a_difference_of_none() -> None:
    near = evidence(brightness=(64.0, 61.0))  # each figure is within a fifth
    assert found("A is brighter: brightness 70 against 53.", near) == "contradicted figure"
    assert found("A is brighter: brightness 66 against 60.", near) == "supported"


def test_faults_that_scenes_differ_in_are_not_told_from_two_scenes() -> None:
    known = evidence(magenta=(4.0, 17.0), motion=(0.0, 0.3), noise=(1.0, 6.0))
    claims = extract("B has a magenta cast. B shows motion blur. B shows grain. B is noisier. B is more magenta.")
    statuses = [one.status for one in check(claims, known, unrelated=True).checked]
    assert statuses == ["not_measurable", "not_measurable", "supported", "supported", "supported"]
    assert {one.status for one in check(claims, known).checked} == {"supported"}


@pytest.mark.parametrize(
    ("name", "beside"),
    [("cast_cool", "cast"), ("cast_green", "cast"), ("motion_blur", "sharpness"), ("banding", "noise"),
     ("pixelation", "sharpness")],
)  # fmt: skip
def test_what_goes_with_a_fault_does_not_show_it_by_itself(name: str, beside: str) -> None:
    telling, way = FAULTS[name].shown_by[0][0], dict(FAULTS[name].shown_by)[beside]
    pair = (90.0, 10.0) if way == "more" else (10.0, 90.0)
    claim = Claim(text="it", start=0, end=2, side="A", relation="present", quantity=telling, fault=name)
    for known in (evidence(**{telling: (1.0, 1.0), beside: pair}), evidence(**{beside: pair})):
        assert check([claim], known).checked[0].status == "not_measurable"


def test_another_quantity_shows_a_fault_where_the_telling_one_is_alike() -> None:
    floor, visible = QUANTITIES["edge_width"].noise_floor, QUANTITIES["edge_width"].visible
    for rise, expected in ((1.1 * visible, "supported"), (0.9 * floor, "not_measurable")):
        assert found("A is out of focus.", evidence(sharpness=(40.0, 41.0), edge_width=(2 + rise, 2.0))) == expected
    # What the telling quantity denies is no fault of the picture, unless another visibly differs its way.
    assert found("A is out of focus.", evidence(sharpness=(60.0, 40.0), edge_width=(2.0, 2.0))) == "contradicted side"
    torn = evidence(sharpness=(60.0, 40.0), edge_width=(2 + 2 * visible, 2.0))
    assert found("A is out of focus.", torn) == "not_measurable"
    # One that visibly denies it outweighs one that shows it.
    split = evidence(brightness=(50.0, 50.0), haze=(40.0, 40.0), clipped_highlights=(9.0, 0.0))
    assert found("A is overexposed.", split) == "supported"
    veiled = evidence(contrast=(20.0, 20.0), dynamic_range=(90.0, 70.0), haze=(50.0, 40.0))
    assert found("A shows a loss of contrast.", veiled) == "not_measurable"


def test_the_more_neutral_picture_has_no_cast_though_the_other_is_of_the_opposite_colour() -> None:
    warmed = evidence(warmth=(19.0, 2.0), cast=(16.0, 2.0))
    assert found("A has an orange cast.", warmed) == "supported"
    assert found("B has a blue cast.", warmed) == "not_measurable"
    assert found("B has no blue cast.", warmed) == "not_measurable"


def test_lettering_that_both_show_tells_of_neither() -> None:
    sign = evidence(SAME_VIEW, lettering=(3.0, 3.2))
    for text in ("B shows a watermark.", "A has a date stamp.", "A has no watermark."):
        assert found(text, sign) == "not_measurable"
    assert found("A shows a watermark.", evidence(SAME_VIEW, lettering=(9.0, 3.2))) == "supported"
    laid_over = evidence(SAME_VIEW, finger("A"), lettering=(3.0, 3.2))  # a part that only A has is no sign of the scene
    assert found("A has no watermark.", laid_over) == "contradicted absent"


def test_a_weak_registration_contradicts_nothing() -> None:
    lies = SAME_VIEW.model_copy(
        update={"n_points": 8, "rotation_deg": -4.1, "shown_of_first": 0.6, "stretch": 1.1, "scale": 1.3}
    )
    for text in (
        "B is mirrored.",
        "B looks stretched.",
        "A has a tighter crop.",
        "B leaves out 80 % of what A takes in.",
        "Measured against A, B is squeezed sideways by 9 %.",
        "Laid over A, B is turned by 9.0 degrees.",
    ):
        assert "contradicted" not in found(text, evidence(lies)), text
        assert "contradicted" in found(text, evidence(lies.model_copy(update={"n_points": 400}))) or "stretched" in text
    level = evidence(lies.model_copy(update={"rotation_deg": 0.0}), tilt=(None, 0.1))
    assert found("A is tilted.", level) == "not_measurable"


def test_views_that_are_not_turned_are_said_to_be_turned() -> None:
    assert found("Laid over A, B is turned by 4.0 degrees.", evidence(SAME_VIEW)) == "contradicted absent"


def test_a_level_picture_that_the_other_is_turned_against() -> None:
    turned = SAME_VIEW.model_copy(update={"rotation_deg": 3.0})
    assert found("A is level.", evidence(turned, tilt=(None, 0.1))) == "contradicted absent"
    assert found("A is level.", evidence(SAME_VIEW, tilt=(None, 0.1))) == "supported"
    assert found("A is tilted.", evidence(turned, tilt=(None, 2.0))) == "not_measurable"  # the other is not level
    assert found("A is tilted by 9 degrees.", evidence(turned, tilt=(None, None))) == "not_measurable"


def test_faults_of_both() -> None:
    visible = QUANTITIES["noise"].visible
    assert found("Both suffer from grain.", evidence(noise=(1.0 + 2.1 * visible, 1.0))) == "contradicted side"
    assert found("Both suffer from grain.", evidence(noise=(1.0 + 1.9 * visible, 1.0))) == "not_measurable"
    assert found("Neither has blown highlights.", evidence(clipped_highlights=(0.1, 0.2))) == "supported"
    assert found("Both have blown highlights.", evidence(clipped_highlights=(0.1, 5.0))) == "contradicted side"
    assert found("Both have blown highlights.", evidence(clipped_highlights=(1.0, 5.0))) == "not_measurable"


def test_what_an_own_value_between_floor_and_visible_leaves_open() -> None:
    middle = (QUANTITIES["tilt"].noise_floor + QUANTITIES["tilt"].visible) / 2
    assert found("A is tilted.", evidence(tilt=(middle, middle))) == "not_measurable"
    assert found("A is level.", evidence(tilt=(middle, middle))) == "not_measurable"


def test_strong_overexposure_of_two_bright_pictures_may_be_in_both() -> None:
    assert found("A suffers from strong overexposure.", evidence(brightness=(80.0, 80.1))) == "not_measurable"
    assert found("A suffers from strong overexposure.", evidence(brightness=(60.0, 60.1))) == "contradicted absent"


def test_a_figure_is_wrong_by_more_than_a_fifth_and_by_more_than_the_floor() -> None:
    for quoted, expected in ((59.0, "supported"), (61.0, "contradicted figure"), (39.0, "contradicted figure")):
        assert found(f"A's brightness is {quoted}.", evidence(brightness=(50.0, 9.0))) == expected
    for quoted, expected in ((0.55, "supported"), (0.75, "contradicted figure")):  # the floor is half a step of L*
        assert found(f"A's noise is {quoted}.", evidence(noise=(0.1, 0.1))) == expected
    for quoted, expected in ((4.7, "supported"), (5.0, "contradicted figure")):
        turned = SAME_VIEW.model_copy(update={"rotation_deg": 4.0})
        assert found(f"Laid over A, B is turned by {quoted} degrees.", evidence(turned)) == expected
    for quoted, expected in ((42.0, "supported"), (55.0, "contradicted figure")):
        cut = SAME_VIEW.model_copy(update={"shown_of_first": 0.6})
        assert found(f"B leaves out {quoted} % of what A takes in.", evidence(cut)) == expected


def test_figures_that_say_the_same_of_both_make_them_alike() -> None:
    known = evidence(brightness=(64.0, 63.0))
    assert found("Brightness 64 in A and 63 in B: the light is alike.", known) == "supported"


def test_what_only_one_of_two_pictures_was_measured_for_is_not_compared() -> None:
    for noise in ((6.0, None), (None, 6.0)):
        for text in ("A is noisier than B.", "B is noisier.", "The noise is alike.", "Both suffer from grain."):
            assert found(text, evidence(noise=noise)) == "not_measurable"


# --- How the views lie -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("B has a tighter crop.", "supported"),
        ("A shows more of the scene.", "supported"),
        ("B shows more of the scene.", "contradicted side"),
        ("B is cropped too tightly.", "supported"),
        ("A is cropped too tightly.", "contradicted side"),
        ("B shows an off-centre crop that cuts the subject.", "supported"),
    ],
)
def test_crops(text: str, expected: str) -> None:
    tighter = SAME_VIEW.model_copy(update={"scale": 1.3, "shown_of_first": 0.6})
    assert found(text, evidence(tighter)) == expected
    assert found(text, evidence()) == "not_measurable"
    assert found(text, evidence(SAME_VIEW)) == "not_measurable"


def test_mirrored_and_stretched() -> None:
    assert found("B is mirrored.", evidence(SAME_VIEW.model_copy(update={"mirrored": True}))) == "supported"
    assert found("B is mirrored.", evidence(SAME_VIEW)) == "contradicted absent"
    assert found("B looks stretched.", evidence(SAME_VIEW)) == "contradicted absent"
    # One of them is stretched, and nothing tells which.
    assert found("B looks stretched.", evidence(SAME_VIEW.model_copy(update={"stretch": 1.2}))) == "not_measurable"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What B shows is turned by 4.0 degrees against A.", "supported"),
        ("Laid over A, B is turned by 9.0 degrees.", "contradicted figure"),
        ("B keeps only 60 % of what A takes in.", "supported"),
        ("B keeps only 90 % of what A takes in.", "contradicted figure"),
        ("B leaves out 40 % of what A takes in.", "supported"),
        ("Only 60 % of what is in A is left in B.", "supported"),
        ("As much as 40 % of what A takes in is cut off in B.", "supported"),
        ("A leaves out 40 % of what B takes in.", "contradicted figure"),
        ("Shapes in B are 10 % wider for their height than in A.", "supported"),
        ("Everything in B is broadened by 25 % against A.", "contradicted figure"),
        ("Measured against B, A is squeezed sideways by 9 %.", "supported"),
        ("Measured against A, B is squeezed sideways by 9 %.", "contradicted sign"),
        ("Some 6.0 % of A is covered by it, in the lower left.", "supported"),
        ("6 % of A, in the lower left, shows what is not in B.", "supported"),
        ("In A it takes up 30 % of the frame.", "contradicted figure"),
    ],
)
def test_figures_of_how_the_views_lie(text: str, expected: str) -> None:
    lies = SAME_VIEW.model_copy(update={"rotation_deg": -4.1, "shown_of_first": 0.6, "stretch": 1.1})
    assert found(text, evidence(lies, finger("A"))) == expected


@pytest.mark.parametrize(
    ("tilts", "rotation", "text", "expected"),
    [
        ((3.0, 0.1), 0.0, "A is tilted by 3 degrees.", "supported"),
        ((3.0, 0.1), 0.0, "A is tilted by 6 degrees.", "contradicted figure"),
        ((3.0, 0.1), 0.0, "B's horizon is crooked.", "contradicted side"),
        ((3.0, 0.1), 0.0, "B is more level.", "supported"),
        ((3.0, 0.1), 0.0, "In B the horizon is level.", "supported"),
        ((3.0, 3.1), 0.0, "A is tilted.", "supported"),
        ((0.1, 0.1), 0.0, "A is tilted.", "contradicted absent"),
        ((None, None), 3.0, "A is tilted by 3 degrees.", "supported"),
        ((None, None), 3.0, "A is tilted.", "not_measurable"),  # which of the two is level cannot be told
        ((None, 0.1), 3.0, "A is tilted.", "supported"),
        ((None, 0.1), 0.0, "A is tilted.", "contradicted absent"),
        ((None, None), 0.0, "A is tilted.", "not_measurable"),
    ],
)
def test_tilt(tilts: tuple[float | None, float | None], rotation: float, text: str, expected: str) -> None:
    known = evidence(SAME_VIEW.model_copy(update={"rotation_deg": rotation}), tilt=tilts)
    assert found(text, known) == expected


# --- As a whole ------------------------------------------------------------------------------------------------------


def test_a_rationale_is_counted() -> None:
    text = "A shows strong grain. A is noisier: noise 6.0 against 0.9. B is more balanced. So B is clearly better."
    claims = check_rationale(text, evidence(noise=(6.0, 0.9)))
    assert claims.version == "evidence/1 claims/1"
    assert [claims.count(status) for status in ("supported", "contradicted", "not_measurable")] == [2, 0, 1]
    assert claims.checked == check(extract(text), evidence(noise=(6.0, 0.9))).checked


def test_nothing_read_is_nothing_claimed() -> None:
    assert check_rationale("So A is better.", evidence(noise=(6.0, 0.9))).checked == ()


_VALUE = st.none() | st.floats(-50, 150, allow_nan=False)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_claim_against_any_evidence_has_a_finding(data: st.DataObject) -> None:
    relation = data.draw(st.sampled_from(["more", "less", "alike", "present", "absent"]))
    claim = Claim(
        text=data.draw(st.sampled_from(["x", "clearly noisier"])),
        start=0,
        end=1,
        side=data.draw(st.sampled_from(["A", "B", "both"])),
        relation=relation,
        quantity=data.draw(st.none() | st.sampled_from([*QUANTITIES, "no_such_quantity"])),
        fault=data.draw(st.none() | st.sampled_from([*FAULTS, "no_such_fault"])),
        stated=(data.draw(_VALUE), data.draw(_VALUE)),
        place=data.draw(st.none() | st.sampled_from(["top", "lower right"])),
    )
    names = data.draw(st.lists(st.sampled_from(list(QUANTITIES)), max_size=12, unique=True))
    known = evidence(
        data.draw(
            st.sampled_from([None, SAME_VIEW, SAME_VIEW.model_copy(update={"n_points": 3, "rotation_deg": 5.0})])
        ),
        data.draw(st.sampled_from([(), finger("A"), finger(None)])),
        **{name: (data.draw(_VALUE), data.draw(_VALUE)) for name in names},
    )
    (checked,) = check([claim], known).checked
    assert (checked.why != "") == (checked.status == "contradicted")
    if checked.status == "contradicted" and checked.margin is not None:
        assert checked.margin < 0
