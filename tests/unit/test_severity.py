"""What edits cost: one scale, strengths that meet KADID-10k's levels, and curves that grow."""

from __future__ import annotations

import itertools
import math
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from redaes.datagen.editors.parametric import OPERATIONS, apply_edit
from redaes.datagen.judges import Reference
from redaes.datagen.judges.cover import covered, place_weights
from redaes.datagen.parametric_groups import CERTAIN_ACROSS, CERTAIN_CLEAN, MIN_DELTA, MIN_LOSS
from redaes.datagen.plan import DEGRADE
from redaes.datagen.severity import (
    ARGUED,
    ARGUED_STRENGTHS,
    BY_CHANGE,
    BY_STRENGTH,
    CLEAN,
    COUNTERPARTS,
    COVERING,
    LIKED,
    LIKED_LOSS,
    SPREAD,
    TASTE,
    TRANSFER,
    SeverityCurve,
    points_of,
    severity,
)
from redaes.errors import InputError
from redaes.samples import sample_photographs

DOSES = {name: operation.dose for name, operation in OPERATIONS.items() if operation.dose is not None}


def test_every_degrading_operation_has_one_source_of_its_cost() -> None:
    assert set(COUNTERPARTS) | set(ARGUED) == set(DEGRADE)
    assert not set(COUNTERPARTS) & set(ARGUED)
    assert set(BY_STRENGTH) == set(BY_CHANGE) == set(SPREAD) == set(DEGRADE)
    assert set(COUNTERPARTS) == set(DOSES)
    assert set(DEGRADE) > COVERING > {name for name in DEGRADE if OPERATIONS[name].factor == "content"}


def test_the_scale_runs_from_a_clean_picture_to_the_worst_opinion() -> None:
    assert (points_of(CLEAN), points_of(1.0), points_of(5.0)) == (0.0, 9.0, 0.0)
    assert points_of(3.6) == pytest.approx(2.5)


@pytest.mark.parametrize("name", DEGRADE)
def test_curves_grow_from_nothing_and_stay_on_the_scale(name: str) -> None:
    for curve, top in ((BY_STRENGTH[name], 1.0), (BY_CHANGE[name], 1.5 * BY_CHANGE[name].scale)):
        points = [curve(x) for x in np.linspace(0, top, 21)]
        assert points[0] == 0
        assert all(later > earlier for earlier, later in itertools.pairwise(points))
        assert points[-1] <= 9


MEANS = {
    ("darken", 4): ("exposure_down", 3.535),
    ("brighten", 4): ("exposure_up", 2.701),
    ("lens_blur", 2): ("defocus", 2.654),
    ("motion_blur", 3): ("motion_blur", 2.848),
    ("high_sharpen", 2): ("oversharpen", 2.636),
    ("white_noise", 4): ("noise_luma", 2.71),
    ("white_noise_color_component", 4): ("noise_chroma", 2.687),
    ("impulse_noise", 3): ("impulse", 2.613),
    ("jpeg", 4): ("jpeg_blocks", 1.945),
    ("color_saturation_2", 2): ("saturation_up", 3.33),
    ("quantization", 4): ("posterize", 3.373),
    ("contrast_change", 1): ("contrast_up", 3.419),
    ("contrast_change", 5): ("contrast_down", 3.324),
}
"""Mean opinions that KADID-10k publishes, of a level in the middle of each distortion."""


@pytest.mark.parametrize(("distortion", "level"), MEANS)
def test_a_level_of_the_database_costs_what_people_said(distortion: str, level: int) -> None:
    operation, opinion = MEANS[distortion, level]
    counterpart = COUNTERPARTS[operation]
    assert counterpart.distortion == distortion
    dose = counterpart.dose(counterpart.levels[level])
    strengths = np.linspace(0, 1, 2001)
    strength = strengths[np.argmin([abs(DOSES[operation](s) - dose) for s in strengths])]
    assert DOSES[operation](strength) == pytest.approx(dose, rel=0.01)
    assert BY_STRENGTH[operation](strength) == pytest.approx(points_of(opinion), abs=1.1)


@pytest.mark.parametrize("name", ARGUED)
def test_an_argued_curve_passes_where_the_argument_says(name: str) -> None:
    for strength, points in zip(ARGUED_STRENGTHS, ARGUED[name].points, strict=True):
        assert BY_STRENGTH[name](strength) == pytest.approx(points, abs=0.4)


def test_the_median_photograph_changes_by_what_its_strength_costs() -> None:
    """Of six photographs, so roughly: an edit that was changed without its curve would show."""
    changes: dict[str, list[float]] = {name: [] for name in DEGRADE}
    for number, photograph in enumerate(sample_photographs()):
        with Image.open(photograph.path) as image:
            small = image.convert("RGB")
            small.thumbnail((256, 256))
            pixels = np.asarray(small)
        reference = Reference(pixels)
        for name in DEGRADE:
            edited = apply_edit(pixels, name, 0.6, number)
            changes[name].append(covered(pixels, edited) if name in COVERING else reference.difference(edited))
    for name, found in changes.items():
        assert BY_CHANGE[name](float(np.median(found))) == pytest.approx(BY_STRENGTH[name](0.6), abs=1.7), name


def test_doses_are_what_the_editor_does() -> None:
    """Not only what the table says: noise, grain and hot pixels are measured on a grey card."""
    grey = np.full((400, 400, 3), 128, dtype=np.uint8)
    grain = apply_edit(grey, "noise_luma", 0.8, 0).astype(float)[..., 0] / 255
    assert grain.std() == pytest.approx(DOSES["noise_luma"](0.8), rel=0.05)
    hit = apply_edit(grey, "impulse", 0.9, 0) != grey
    assert hit.mean() == pytest.approx(DOSES["impulse"](0.9), rel=0.05)
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    tones = len(np.unique(apply_edit(np.repeat(ramp, 8, axis=0), "posterize", 0.9, 0)))
    assert abs(tones - DOSES["posterize"](0.9)) <= 1
    slope = apply_edit(ramp, "contrast_up", 0.5, 0).astype(float)[0, [120, 136], 0]
    assert (slope[1] - slope[0]) / 16 - 1 == pytest.approx(DOSES["contrast_up"](0.5), abs=0.1)


def test_what_cannot_be_seen_costs_nothing() -> None:
    assert severity("defocus", 0.8, 0.0).loss == 0.0
    assert severity("watermark", 0.8, 0.0).loss == 0.0


def test_the_loss_lies_between_both_readings_and_their_gap_makes_it_less_certain() -> None:
    planned = BY_STRENGTH["defocus"](0.5)
    median = BY_CHANGE["defocus"].scale * (-math.log1p(-planned / 9)) ** (1 / BY_CHANGE["defocus"].power)
    usual, odd = severity("defocus", 0.5, median), severity("defocus", 0.5, 3 * median)
    assert usual.loss == pytest.approx(planned)
    assert usual.uncertainty == pytest.approx(math.hypot(SPREAD["defocus"], TRANSFER))
    assert planned < odd.loss < BY_CHANGE["defocus"](3 * median)
    gap = BY_CHANGE["defocus"](3 * median) - planned
    assert odd.loss == pytest.approx(math.sqrt(planned * (planned + gap)))
    assert odd.uncertainty == pytest.approx(math.hypot(SPREAD["defocus"], TRANSFER, gap / 2))


def test_what_photographers_like_is_less_certain() -> None:
    liked = severity("saturation_down", 0.5, 0.0)
    assert liked.uncertainty > math.hypot(SPREAD["saturation_down"], TASTE)
    assert TASTE == 1.5
    assert set(DEGRADE) > LIKED


def test_an_operation_without_a_curve_is_named() -> None:
    with pytest.raises(InputError, match=r"'mirror'.*defocus"):
        severity("mirror", 0.5, 0.1)


def test_a_curve_is_its_formula() -> None:
    assert SeverityCurve(2.0, 1.5)(2.0) == pytest.approx(9 * (1 - math.exp(-1)))
    assert SeverityCurve(2.0, 1.5)(-1.0) == 0.0


def _card(box: tuple[slice, slice] | None = None, level: int = 250) -> np.ndarray:
    picture = np.full((120, 160, 3), 90, dtype=np.uint8)
    if box is not None:
        picture[box] = level
    return picture


def test_cover_grows_with_area_contrast_and_nearness_to_the_middle() -> None:
    clean = _card()
    middle, wide = (slice(50, 70), slice(70, 90)), (slice(40, 80), slice(60, 100))
    corner = (slice(0, 20), slice(0, 20))
    assert covered(clean, clean) == 0
    assert covered(clean, _card(wide)) > 3 * covered(clean, _card(middle))
    assert covered(clean, _card(middle)) > 2 * covered(clean, _card(middle, 110))
    assert covered(clean, _card(middle)) > 2 * covered(clean, _card(corner))
    # From L* 38.0 to 73.0, which is VISIBLE apart: 63 % of the picture is taken.
    assert covered(clean, _card((slice(None), slice(None)), 178)) == pytest.approx(1 - math.exp(-1), abs=0.01)


def test_what_covers_detail_counts_more_than_what_covers_emptiness() -> None:
    light = np.full((120, 160), 50, dtype=np.float32)
    light[40:80, 20:60] += 20 * (np.indices((40, 40)).sum(axis=0) % 2)
    weights = place_weights(light)
    assert weights.mean() == pytest.approx(1, abs=1e-4)
    assert weights[40:80, 20:60].mean() > 1.5 * weights[40:80, 100:140].mean()


def test_cover_refuses_two_shapes() -> None:
    with pytest.raises(InputError, match="one shape"):
        covered(_card(), _card()[:100])


def _documented(name: str) -> list[str]:
    """The cells of an operation's first row in docs/labels.md, without its name."""
    page = (Path(__file__).parents[2] / "docs" / "labels.md").read_text(encoding="utf-8")
    row = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
    return [cell.strip() for cell in row.strip("|").split("|")][1:]


@pytest.mark.parametrize("name", DEGRADE)
def test_the_page_on_labels_says_what_the_code_does(name: str) -> None:
    spread = f"{math.hypot(SPREAD[name], TRANSFER, TASTE if name in LIKED else 0.0):.1f}"
    if name in ARGUED:
        argument = ARGUED[name]
        assert _documented(name) == [", ".join(f"{p:g}" for p in argument.points), spread, argument.because]
        return
    known = COUNTERPARTS[name]
    points = ", ".join(f"{BY_STRENGTH[name](strength):.1f}" for strength in ARGUED_STRENGTHS)
    distortion, levels, *rest = _documented(name)
    assert (distortion, rest) == (known.distortion, [points, spread])
    told = dict(level.split(" → ") for level in levels.split(", "))
    assert [float(parameter) for parameter in told] == list(known.levels.values())
    for parameter, strength in told.items():
        dose = known.dose(float(parameter))
        if strength == "–":  # beyond twice what the editor does
            assert DOSES[name](2.0) < dose
        else:
            assert DOSES[name](float(strength)) == pytest.approx(dose, rel=0.02, abs=0.02 * abs(DOSES[name](1.0)))


def test_the_page_on_labels_has_the_rules() -> None:
    page = (Path(__file__).parents[2] / "docs" / "labels.md").read_text(encoding="utf-8")
    rules = page.partition("## What gets no label")[2].partition("## Check")[0]
    liked = next(line for line in rules.splitlines() if "photographers do a little of it" in line)
    assert set(re.findall(r"`(\w+)`", liked)) == LIKED
    for told in (
        f"loss below {MIN_LOSS:g} points",
        f"difference below {CERTAIN_ACROSS:g} standard deviations",
        f"loss below {CERTAIN_CLEAN:g} standard deviations",
        f"loss below {LIKED_LOSS:g} points, and {TASTE:g} points more uncertain",
        f"difference below {MIN_DELTA:g} points",
        f"{TRANSFER:g} points for carrying opinions over",
    ):
        assert told in rules
    covering = page.partition("lies in front of the scene (")[2].partition(")")[0]
    assert set(re.findall(r"`(\w+)`", covering)) == COVERING
