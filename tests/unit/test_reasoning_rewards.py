"""The rewards for what a reasoning says, each rule by itself."""

from __future__ import annotations

from typing import Any

import pytest

from redaes.evidence.claims import CheckedClaim, Claim, Claims
from redaes.evidence.faults import FAULTS
from redaes.evidence.measurements import Measurements, PairEvidence
from redaes.evidence.quantities import QUANTITIES
from redaes.rewards.reasoning import (
    GENERIC,
    NEAR,
    SAME_FACT,
    SHOWN,
    TRIVIAL,
    WITHOUT_FIGURE,
    differences,
    evidence_reward,
    faults_shown,
    symptom_reward,
)
from redaes.types import Edit, Rationale, Verdict, Winner


def statement(
    side: str, relation: str, about: str, status: str = "supported", *, why: str = "", figures: bool = False
) -> CheckedClaim:
    """A statement: that a fault is present or absent, or how a quantity compares."""
    of_fault = about not in QUANTITIES or relation in ("present", "absent")
    claim = Claim(
        text=f"{side} {relation} {about}", start=0, end=1, side=side, relation=relation,
        quantity=None if of_fault else about, fault=about if of_fault else None,
        stated=(1.0, 2.0) if figures else (None, None),
    )  # fmt: skip
    assert about in (FAULTS if of_fault else QUANTITIES)
    return CheckedClaim(claim=claim, status=status, why=why, measured=(1.0, 2.0))


def claims(*checked: CheckedClaim) -> Claims:
    return Claims(checked=checked, version="test")


def verdict(better: Winner = "A", factor: str = "light") -> Verdict:
    said = Rationale(text="It was looked at.", factors=() if better == "tie" else (factor,), better=better)
    return Verdict(winner=better, delta={"A": 2.0, "B": -2.0, "tie": 0.0}[better], rationale=said)


def pair(**values: tuple[float, float]) -> PairEvidence:
    """Two pictures by what was measured in A and in B."""
    sides = [Measurements(width=64, height=48, values={name: both[n] for name, both in values.items()}) for n in (0, 1)]
    return PairEvidence(first=sides[0], second=sides[1], registration=None)


def far(name: str, low: float = 1.0) -> tuple[float, float]:
    """Two values that a person tells apart at once."""
    return low, low + 10 * QUANTITIES[name].visible


DIFFERENT = pair(
    noise=far("noise"), sharpness=far("sharpness")[::-1], edge_width=far("edge_width"), brightness=(50.0, 51.0),
    tilt=(0.0, 0.0),
)  # fmt: skip
"""In noise, sharpness and the width of edges; not in brightness and tilt."""


# --- the fault by its name ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "earned"),
    [
        ((statement("B", "present", "motion_blur"),), 1.0),
        ((statement("B", "present", "motion_blur", "not_measurable"),), 1.0),
        ((statement("B", "present", "motion_blur"),) * 3, 1.0),
        # On the other picture, on both, denied, turned around.
        ((statement("A", "present", "motion_blur"),), 0.0),
        ((statement("both", "present", "motion_blur"),), 0.0),
        ((statement("A", "present", "motion_blur"), statement("B", "present", "motion_blur")), 0.0),
        ((statement("B", "present", "motion_blur"), statement("B", "absent", "motion_blur")), 0.0),
        ((statement("B", "present", "motion_blur"), statement("both", "absent", "motion_blur")), 0.0),
        ((statement("B", "present", "motion_blur"), statement("A", "absent", "motion_blur")), 1.0),
        *(
            ((statement("B", "present", "motion_blur"), statement("B", "more", quantity, "contradicted", why=why)), pay)
            for quantity, why, pay in (
                ("sharpness", "sign", 0.0), ("motion", "side", 0.0), ("motion", "absent", 0.0),
                ("sharpness", "figure", 1.0), ("noise", "sign", 1.0),
            )
        ),
        # What is measured of it, said the right way round.
        ((statement("B", "less", "sharpness"),), SHOWN),
        ((statement("A", "more", "sharpness"),), SHOWN),
        ((statement("B", "more", "motion"),), SHOWN),
        ((statement("A", "less", "sharpness"),), 0.0),
        ((statement("B", "less", "sharpness", "contradicted", why="figure"),), 0.0),
        ((statement("B", "less", "noise"),), 0.0),
        # Guesses: another fault of the factor, of another factor, beside the right one, and beside what is measured.
        ((statement("B", "present", "defocus"),), NEAR),
        ((statement("A", "present", "defocus"),), 0.0),
        ((statement("B", "present", "haze", "contradicted"),), 0.0),
        ((statement("B", "present", "motion_blur"), statement("B", "present", "defocus")), 1 / 2),
        ((statement("B", "present", "motion_blur"), statement("B", "present", "haze")), 1.0),
        ((statement("B", "present", "motion_blur"), statement("B", "present", "haze", "not_measurable")), 1 / 2),
        ((statement("B", "present", "motion_blur"), statement("B", "present", "haze"),
          statement("B", "present", "haze", "contradicted")), 1.0),
        ((statement("B", "less", "sharpness"), statement("B", "present", "defocus")), SHOWN / 2),
        (
            tuple(statement("B", "present", name, "not_measurable") for name in ("defocus", "zoom_blur", "haze")),
            NEAR / 3,
        ),
        # What the better picture has is there too, and may be named.
        ((statement("B", "present", "motion_blur"), statement("A", "present", "watermark")), 1.0),
        ((statement("B", "present", "motion_blur"), statement("B", "present", "watermark", "contradicted")), 1 / 2),
        ((), 0.0),
    ],
)  # fmt: skip
def test_the_exact_fault_on_the_right_picture(said: tuple[CheckedClaim, ...], earned: float) -> None:
    found = symptom_reward(verdict("A", "focus"), claims(*said), ("watermark", "motion_blur"), "A")
    assert found == pytest.approx(earned)
    # In the other order the same is earned.
    other = {"A": "B", "B": "A", "both": "both"}
    turned = tuple(
        one.model_copy(update={"claim": one.claim.model_copy(update={"side": other[one.claim.side]})}) for one in said
    )
    assert symptom_reward(verdict("B", "focus"), claims(*turned), ("motion_blur", "watermark"), "B") == found


def test_what_is_known_is_no_mistake_though_it_is_not_measured() -> None:
    """Both are noisy, one more so; measured against each other, the better one is not."""
    said = [
        CheckedClaim(
            claim=Claim(
                text="noise", start=0, end=1, side=side, relation="present", quantity="noise", fault="noise_luma"
            ),
            status=status,
            why=why,
        )
        for side, status, why in (
            ("B", "supported", ""),
            ("A", "contradicted", "side"),
            ("B", "contradicted", "absent"),
        )
    ]
    verdict_noise = verdict("A", "noise")
    both = ("noise_luma", "noise_luma")
    assert symptom_reward(verdict_noise, claims(*said[:2]), both, "A") == 1.0
    assert symptom_reward(verdict_noise, claims(said[2]), (None, "noise_luma"), "A") == 1.0
    assert symptom_reward(verdict_noise, claims(*said[:2]), (None, "noise_luma"), "A") == 0.0


def test_both_have_it_and_one_has_more() -> None:
    both = claims(statement("both", "present", "noise_luma"))
    assert symptom_reward(verdict("A", "noise"), both, ("noise_luma", "noise_luma"), "A") == 1.0


def test_what_several_faults_show_as_is_a_sign_and_no_name() -> None:
    dark = (None, "exposure_down")
    blocked = statement("B", "present", "crushed_shadows")
    assert symptom_reward(verdict(), claims(blocked), dark, "A") == SHOWN
    assert symptom_reward(verdict(), claims(blocked, statement("B", "present", "exposure_down")), dark, "A") == 1.0
    assert symptom_reward(verdict(), claims(statement("A", "present", "crushed_shadows")), dark, "A") == 0.0
    wrong = statement("B", "present", "crushed_shadows", "contradicted")
    assert symptom_reward(verdict(), claims(wrong), dark, "A") == NEAR
    assert symptom_reward(verdict(), claims(statement("B", "present", "blown_highlights")), dark, "A") == NEAR


def test_a_wrong_fault_of_the_right_factor_earns_little() -> None:
    """ "Obstruction by a finger", for power lines."""
    finger = claims(statement("B", "present", "finger"))
    assert symptom_reward(verdict("A", "content"), finger, (None, "power_lines"), "A") == NEAR <= 0.1
    assert NEAR < SHOWN < 1


@pytest.mark.parametrize(
    ("faults", "better"),
    [((None, "haze"), None), (None, "A"), ((None, None), "A"), (("haze", None), "A")],
    ids=["no label", "no faults", "none with a name", "only the better one's"],
)
def test_without_a_label_there_is_nothing_to_reward(faults: Any, better: Winner | None) -> None:
    named = claims(statement("B", "present", "haze"))
    assert symptom_reward(verdict(), named, faults, better) is None
    assert symptom_reward(None, None, faults, better) is None


def test_failed_silent_and_wrong_answers_earn_nothing() -> None:
    named = claims(statement("B", "present", "haze"))
    assert symptom_reward(None, None, (None, "haze"), "A") == 0.0
    assert symptom_reward(Verdict(winner="A", delta=1.0, rationale=None), None, (None, "haze"), "A") == 0.0
    assert symptom_reward(verdict("B"), named, (None, "haze"), "A") == 0.0
    assert symptom_reward(verdict("tie"), named, (None, "haze"), "A") == 0.0


@pytest.mark.parametrize(
    ("said", "earned"),
    [
        ((), 1.0),
        ((statement("B", "present", "haze"),), 1.0),
        ((statement("B", "present", "tilt", "contradicted"),), 1 / 2),
        (
            (statement("B", "present", "tilt", "not_measurable"), statement("A", "present", "haze", "contradicted")),
            1 / 3,
        ),
        ((statement("B", "present", "reencode", "not_measurable"),), 1.0),
    ],
)
def test_a_tie_has_no_fault_that_decides(said: tuple[CheckedClaim, ...], earned: float) -> None:
    assert symptom_reward(verdict("tie"), claims(*said), (None, "reencode"), "tie") == pytest.approx(earned)
    assert symptom_reward(verdict("A"), claims(*said), (None, "reencode"), "tie") == 0.0


def test_the_faults_that_edits_leave() -> None:
    def edit(direction: str, operation: str = "haze") -> Edit:
        return Edit(factor="light", operation=operation, direction=direction, strength=0.5, instruction="do it",
                    editor="test", seed=0)  # fmt: skip

    assert faults_shown(edit("degrade"), edit("degrade", "tilt")) == ("haze", "tilt")
    assert faults_shown(None, edit("degrade", "make it gloomy")) == (None, None)
    assert faults_shown(edit("neutral", "mirror"), None) == (None, None)
    assert faults_shown(edit("improve"), None) == (None, "haze")
    assert faults_shown(None, edit("improve")) == ("haze", None)
    assert faults_shown(edit("improve"), edit("degrade", "tilt")) == (None, "tilt")
    assert faults_shown(edit("improve", "make it glow"), None) == (None, None)


@pytest.mark.parametrize("name", sorted(GENERIC))
def test_generic_faults_are_how_others_show(name: str) -> None:
    from redaes.datagen.editors.parametric import OPERATIONS

    sign, seen = FAULTS[name].shown_by[:1], FAULTS[name].found_in
    others = [FAULTS[other] for other in OPERATIONS if other != name]
    assert any(sign[0] in other.shown_by if sign else other.found_in == seen != "values" for other in others)


def test_what_is_measured_of_a_fault_is_no_other_name_for_it() -> None:
    wires = statement("B", "present", "power_lines")
    covered = statement("B", "present", "covered")
    said = verdict("A", "content")
    assert symptom_reward(said, claims(wires, covered), (None, "power_lines"), "A") == 1.0
    assert symptom_reward(said, claims(covered), (None, "power_lines"), "A") == SHOWN
    assert symptom_reward(verdict("A", "focus"), claims(covered), (None, "defocus"), "A") == 0.0
    # "Only 84 % of what is in A is left in B", beside the name and without it.
    crop, shows_less = statement("B", "present", "crop_off"), statement("B", "more", "tight_crop")
    said = verdict("A", "composition")
    assert symptom_reward(said, claims(crop, shows_less), (None, "crop_off"), "A") == 1.0
    assert symptom_reward(said, claims(shows_less), (None, "tight_crop"), "A") == 1.0
    assert symptom_reward(said, claims(crop, statement("B", "present", "tight_crop")), (None, "crop_off"), "A") == 0.5
    less = statement("B", "more", "tight_crop", "contradicted")
    assert symptom_reward(said, claims(crop, less), (None, "crop_off"), "A") == 0.5
    for several in ((crop, shows_less, less), (crop, less, shows_less)):
        assert symptom_reward(said, claims(*several), (None, "crop_off"), "A") == 1.0
    # How one picture lies over the other is no name either, though it is not so.
    turned = statement("B", "present", "turned", "contradicted")
    assert symptom_reward(said, claims(crop, turned), (None, "crop_off"), "A") == 1.0


# --- every statement against the pixels ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "earned"),
    [
        ((), 0.0),
        ((statement("B", "present", "finger", "not_measurable"),), 0.0),
        ((statement("B", "more", "noise", figures=True),), 1.0),
        ((statement("B", "more", "noise"),), WITHOUT_FIGURE),
        ((statement("B", "more", "noise"), statement("B", "less", "sharpness")), 1.0),
        # Repeated, in the same words and in others.
        ((statement("B", "more", "noise"),) * 4, WITHOUT_FIGURE),
        ((statement("B", "more", "noise"), statement("A", "less", "noise"), statement("B", "present", "noise_luma")),
         WITHOUT_FIGURE),
        ((statement("B", "less", "sharpness"), statement("B", "more", "edge_width")), WITHOUT_FIGURE),
        ((statement("B", "more", "noise"), statement("B", "more", "noise", figures=True)), 1.0),
        # Contradicted, beside true ones, and of one quantity.
        ((statement("B", "less", "noise", "contradicted", why="sign"),), 0.0),
        ((statement("B", "more", "noise", figures=True), statement("A", "more", "tilt", "contradicted")), 0.0),
        ((statement("B", "more", "noise", figures=True), statement("B", "less", "sharpness", figures=True),
          statement("A", "more", "tilt", "contradicted")), 1 / 3),
        ((statement("B", "more", "noise", figures=True), statement("B", "less", "sharpness", figures=True),
          *(statement("A", way, "tilt", "contradicted") for way in ("more", "less"))), 1 / 3),
        ((statement("A", "more", "sharpness"), statement("B", "more", "sharpness", "contradicted")), 0.0),
        # True of nearly any two pictures.
        ((statement("both", "alike", "tilt"),), TRIVIAL),
        ((statement("both", "alike", "tilt", figures=True),), TRIVIAL),
        ((statement("B", "more", "brightness", figures=True),), TRIVIAL),
        ((statement("both", "present", "noise_luma"),), TRIVIAL),
        ((statement("A", "absent", "tilt"),), TRIVIAL),
        ((statement("A", "absent", "noise_luma"),), WITHOUT_FIGURE),  # of B it would not be true
        ((statement("A", "absent", "finger"),), TRIVIAL),
        ((statement("B", "more", "noise", figures=True), statement("both", "alike", "tilt")), 1.0),
        ((statement("B", "more", "noise", figures=True), *(statement("both", "alike", name) for name in
          ("tilt", "brightness", "haze", "cast"))), (1 + TRIVIAL) / (1 + 4 * TRIVIAL)),
        # What covers the scene is there once, whatever it is called; and so is a frame that was moved.
        (tuple(statement("B", "present", name) for name in ("finger", "power_lines", "watermark", "lens_dirt")),
         WITHOUT_FIGURE),
        ((statement("B", "present", "finger"), statement("B", "more", "lettering")), WITHOUT_FIGURE),
        (tuple(statement("B", "present", name) for name in ("crop_off", "tight_crop", "stretch")), WITHOUT_FIGURE),
        ((statement("B", "present", "tight_crop"), statement("B", "present", "finger")), 1.0),
        ((statement("B", "present", "tight_crop"), statement("B", "present", "tilt")), 1.0),  # tilt is measured
    ],
)  # fmt: skip
def test_the_share_of_statements_that_are_so(said: tuple[CheckedClaim, ...], earned: float) -> None:
    assert evidence_reward(claims(*said), DIFFERENT) == pytest.approx(earned)
    assert evidence_reward(claims(*said[::-1]), DIFFERENT) == pytest.approx(earned)


def test_of_two_that_do_not_differ_alike_is_all_there_is_to_say() -> None:
    same = pair(brightness=(50.0, 51.0), noise=(1.0, 1.1))
    assert evidence_reward(claims(statement("both", "alike", "brightness", figures=True)), same) == 1.0
    assert evidence_reward(claims(statement("both", "alike", "brightness")), same) == WITHOUT_FIGURE


def test_a_pair_that_was_not_measured_has_no_label_and_a_failed_answer_earns_nothing() -> None:
    assert evidence_reward(claims(statement("B", "more", "noise")), None) is None
    assert evidence_reward(None, None) is None
    assert evidence_reward(None, DIFFERENT) == 0.0


def test_figures_pay_and_guesses_do_not() -> None:
    """Half of all guesses at a side are right; told without figures they earn less than a third on average."""
    right, wrong = statement("B", "more", "noise"), statement("B", "more", "noise", "contradicted", why="sign")
    one = [evidence_reward(claims(first), DIFFERENT) for first in (right, wrong)]
    other, false = statement("B", "less", "sharpness"), statement("B", "less", "sharpness", "contradicted", why="sign")
    two = [evidence_reward(claims(first, second), DIFFERENT) for first in (right, wrong) for second in (other, false)]
    assert max(sum(one) / 2, sum(two) / 4) <= 0.25  # type: ignore[arg-type]


def test_what_a_person_sees_counts_as_a_difference() -> None:
    visible = QUANTITIES["brightness"].visible
    assert differences(pair(brightness=(50.0, 50.0 + visible))) == {"brightness"}
    assert differences(pair(brightness=(50.0, 50.01 - visible))) == frozenset()
    assert differences(DIFFERENT) == {"noise", "sharpness", "edge_width"}
    only_one = PairEvidence(first=DIFFERENT.first, second=pair(noise=(1.0, 1.0)).second, registration=None)
    assert differences(only_one) == frozenset()
    assert SAME_FACT.keys() <= QUANTITIES.keys()
