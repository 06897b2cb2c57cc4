"""The embedded editor on a synthetic photograph: contract of every operation, and what each one does."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from redaes.datagen import plan
from redaes.datagen.editors.parametric import EDITOR, OPERATIONS, apply_edit, make_edit
from redaes.datagen.judges import visible_difference
from redaes.datagen.judges.cover import covered
from redaes.datagen.severity import COVERING, severity
from redaes.errors import InputError
from redaes.evidence.picture import measure
from redaes.types import FACTORS

Image = NDArray[np.uint8]

DEGRADING = [name for name, operation in OPERATIONS.items() if operation.direction == "degrade"]
NEUTRAL = [name for name, operation in OPERATIONS.items() if operation.direction == "neutral"]
RANDOM = {
    "uneven_light", "hue_shift", "motion_blur", "zoom_blur", "missed_focus", "noise_luma", "noise_chroma",
    "banding", "impulse", "tilt", "crop_off", "tight_crop", "stretch", "keystone", "clutter", "date_stamp",
    "dim_subject", "glare", "watermark", "lens_dirt", "lens_flare", "power_lines", "finger", "tiny_crop", "tiny_tone",
    "reencode",
}  # fmt: skip


def synthetic_photograph(height: int = 144, width: int = 192) -> Image:
    """A sky with a gradient, textured ground, a red house with a window, a green disc and a bright sun."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[0:height, 0:width]
    v, u = y / height, x / width
    picture = np.stack([0.45 + 0.3 * v, 0.6 + 0.2 * v, 0.85 - 0.1 * v], axis=2)
    ground = v > 0.6 + 0.03 * np.sin(9 * u)
    texture = 0.06 * rng.standard_normal((height, width)) + 0.08 * np.sin(60 * u + 25 * v) * np.sin(70 * v)
    picture[ground] = (np.array([0.35, 0.42, 0.2]) + texture[..., None])[ground]
    picture[(abs(u - 0.35) < 0.13) & (abs(v - 0.52) < 0.2)] = (0.66, 0.2, 0.16)
    picture[(abs(u - 0.35) < 0.04) & (abs(v - 0.47) < 0.06)] = (0.08, 0.08, 0.1)
    picture[np.hypot(u - 0.72, (v - 0.5) * height / width) < 0.1] = (0.15, 0.45, 0.18)
    picture[np.hypot(u - 0.85, (v - 0.15) * height / width) < 0.05] = (0.99, 0.96, 0.8)
    return (np.clip(picture, 0, 1) * 255).round().astype(np.uint8)


@pytest.fixture(scope="module")
def photograph() -> Image:
    image = synthetic_photograph()
    image.setflags(write=False)  # an operation that wrote into its input would raise
    return image


def mean_step(first: Image, second: Image) -> float:
    """Mean absolute difference in grey levels."""
    return float(np.abs(first.astype(float) - second.astype(float)).mean())


def test_every_factor_has_choices() -> None:
    per_factor = Counter(OPERATIONS[name].factor for name in DEGRADING)
    # Who is in the picture, and its mood, only generative editors change.
    assert set(per_factor) == set(FACTORS) - {"subject", "mood"}
    assert min(per_factor.values()) >= 3
    assert len(DEGRADING) >= 22
    assert len(NEUTRAL) >= 4


def test_registry_is_consistent() -> None:
    for operation in OPERATIONS.values():
        assert ("{amount}" in operation.instruction) == (operation.direction == "degrade")
    # Tables list them in this order: the factors', what costs nothing last.
    order = [(operation.direction, operation.factor) for operation in OPERATIONS.values()]
    degrading = [("degrade", factor) for factor in FACTORS if ("degrade", factor) in order]
    assert [kind for kind, _ in itertools.groupby(order)][: len(degrading)] == degrading
    assert [name for name in OPERATIONS if name in NEUTRAL] == list(OPERATIONS)[-len(NEUTRAL) :]
    # Draws do not follow it: sorted, one more operation moves none of the others.
    assert (tuple(sorted(DEGRADING)), tuple(sorted(NEUTRAL))) == (plan.DEGRADE, plan.NEUTRAL)


@pytest.mark.parametrize("name", OPERATIONS)
def test_shape_and_type_stay(name: str) -> None:
    for shape in ((64, 64), (97, 65)):
        image = synthetic_photograph(*shape)
        edited = apply_edit(image, name, 1.0, seed=2)
        assert edited.shape == image.shape
        assert edited.dtype == np.uint8


@pytest.mark.parametrize("name", OPERATIONS)
def test_same_seed_same_picture(name: str, photograph: Image) -> None:
    first, second = (apply_edit(photograph, name, 0.7, seed=11) for _ in range(2))
    assert np.array_equal(first, second)


@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - {"mirror", "reencode"}))
def test_strength_zero_is_the_input(name: str, photograph: Image) -> None:
    assert mean_step(apply_edit(photograph, name, 0.0, seed=3), photograph) < 0.05


@pytest.mark.parametrize("name", DEGRADING)
def test_loss_grows_with_strength(name: str, photograph: Image) -> None:
    change = covered if name in COVERING else visible_difference
    losses = [
        severity(name, strength, change(photograph, apply_edit(photograph, name, strength, seed=4))).loss
        for strength in (0.2, 0.4, 0.6, 0.8, 1.0)
    ]
    assert all(later > earlier for earlier, later in itertools.pairwise(losses)), losses
    assert losses[-1] > 1.5 * losses[0], losses
    assert 1.5 < losses[-1] < 9, losses


@pytest.mark.parametrize("name", ["tiny_crop", "tiny_tone", "reencode"])
def test_neutral_edits_are_hardly_seen(name: str, photograph: Image) -> None:
    assert visible_difference(photograph, apply_edit(photograph, name, 1.0, seed=6)) < 0.056


def test_a_moved_frame_is_as_sharp_as_it_was(photograph: Image) -> None:
    moved = apply_edit(photograph, "tiny_crop", 1.0, seed=6)
    assert not np.array_equal(moved, photograph)
    height, width = photograph.shape[:2]
    inside = moved[4:-4, 4:-4]
    shifts = itertools.product(range(-3, 4), range(-3, 4))
    assert any(np.array_equal(inside, photograph[4 + y : height - 4 + y, 4 + x : width - 4 + x]) for y, x in shifts)


def test_mirror_is_its_own_inverse(photograph: Image) -> None:
    mirrored = apply_edit(photograph, "mirror", 0.5, seed=0)
    assert not np.array_equal(mirrored, photograph)
    assert np.array_equal(apply_edit(mirrored, "mirror", 0.1, seed=1), photograph)


@pytest.mark.parametrize("name", OPERATIONS)
def test_seed_moves_the_random_part_only(name: str, photograph: Image) -> None:
    edits = [apply_edit(photograph, name, 1.0, seed=seed) for seed in range(6)]
    differs = any(not np.array_equal(edits[0], other) for other in edits[1:])
    assert differs == (name in RANDOM)


@pytest.mark.parametrize("name", OPERATIONS)
def test_random_part_is_drawn_before_strength_is_used(name: str, photograph: Image) -> None:
    states = []
    for strength in (0.0, 0.15, 1.0):
        rng = np.random.default_rng(9)
        OPERATIONS[name].apply(photograph, strength, rng)
        states.append(rng.bit_generator.state)
    assert all(state == states[0] for state in states)


def test_impulse_keeps_its_pixels_when_strength_grows(photograph: Image) -> None:
    weak, strong = (apply_edit(photograph, "impulse", strength, seed=8) for strength in (0.5, 1.0))
    hit_weak, hit_strong = weak != photograph, strong != photograph
    assert 0 < hit_weak.sum() < hit_strong.sum()
    assert np.array_equal(weak[hit_weak], strong[hit_weak])


@pytest.mark.parametrize("name", ["tilt", "crop_off", "uneven_light", "lens_dirt", "clutter", "power_lines"])
def test_two_strengths_of_one_seed_resemble_each_other(name: str, photograph: Image) -> None:
    """The weaker edit lies nearer to the strong one of its own seed than to those of other seeds."""
    weak = apply_edit(photograph, name, 0.8, seed=20)
    own = mean_step(weak, apply_edit(photograph, name, 1.0, seed=20))
    others = [mean_step(weak, apply_edit(photograph, name, 1.0, seed=seed)) for seed in range(21, 29)]
    assert own < np.median(others)


@pytest.mark.parametrize(
    ("name", "quantity", "sign"),
    [
        ("exposure_down", "brightness", -1),
        ("exposure_up", "clipped_highlights", 1),
        ("contrast_down", "contrast", -1),
        ("contrast_up", "contrast", 1),
        ("crushed_shadows", "clipped_shadows", 1),
        ("vignette", "brightness", -1),
        ("haze", "contrast", -1),
        ("cast_warm", "warmth", 1),
        ("cast_cool", "warmth", -1),
        ("cast_green", "magenta", -1),
        ("cast_magenta", "magenta", 1),
        ("saturation_down", "colourfulness", -1),
        ("saturation_up", "colourfulness", 1),
        ("defocus", "sharpness", -1),
        ("motion_blur", "sharpness", -1),
        ("zoom_blur", "sharpness", -1),
        ("oversharpen", "sharpness", 1),
        ("noise_luma", "noise", 1),
    ],
)
def test_edit_moves_what_it_names(name: str, quantity: str, sign: int, photograph: Image) -> None:
    before = measure(photograph).values[quantity]
    after = measure(apply_edit(photograph, name, 0.8, seed=1)).values[quantity]
    assert sign * (after - before) > 0.1 * max(1.0, abs(before))


def test_exposure_is_a_gain_in_linear_light() -> None:
    """3.6 stops at full strength, 0.9 at a quarter: sRGB 188 is linear 0.503, 0.269 is sRGB 142."""
    grey = np.full((64, 64, 3), 188, dtype=np.uint8)
    darkened = apply_edit(grey, "exposure_down", 0.25, seed=0)
    assert np.unique(darkened).tolist() == [142]


def test_tilt_shows_no_border() -> None:
    """The frame is cut to what the turned picture covers: a flat picture stays flat."""
    flat = np.full((80, 120, 3), (10, 200, 90), dtype=np.uint8)
    framed = flat.copy()
    framed[:2], framed[-2:], framed[:, :2], framed[:, -2:] = 0, 0, 0, 0
    tilted = apply_edit(framed, "tilt", 1.0, seed=0)
    # The black frame is seen at most where the inscribed rectangle touches it.
    assert (tilted.sum(axis=2) < 60).mean() < 0.02


def test_edits_look_alike_at_other_sizes() -> None:
    """Lengths follow the diagonal, so that the loss of a blur or a flare does not hang on the resolution."""
    small, large = synthetic_photograph(144, 192), synthetic_photograph(432, 576)
    for name in ("defocus", "vignette", "lens_flare", "crop_off"):
        change = covered if name in COVERING else visible_difference
        losses = [
            severity(name, 1.0, change(image, apply_edit(image, name, 1.0, seed=5))).loss for image in (small, large)
        ]
        assert losses[0] == pytest.approx(losses[1], abs=1.6), name


def test_large_picture_takes_the_reduced_paths() -> None:
    image = synthetic_photograph(560, 700)
    for name in ("jpeg_blocks", "impulse", "noise_luma", "banding"):
        edited = apply_edit(image, name, 1.0, seed=1)
        assert edited.shape == image.shape
        assert mean_step(edited, image) > 1.0


@pytest.mark.parametrize("strength", [-0.01, 1.01, float("nan"), float("inf")])
def test_bad_strength_is_refused(strength: float, photograph: Image) -> None:
    with pytest.raises(InputError, match="strength"):
        apply_edit(photograph, "defocus", strength, seed=0)
    with pytest.raises(InputError, match="strength"):
        make_edit("defocus", strength, seed=0)


def test_unknown_operation_lists_the_known_ones(photograph: Image) -> None:
    with pytest.raises(InputError, match=r"'sharpen'.*defocus.*tilt"):
        apply_edit(photograph, "sharpen", 0.5, seed=0)
    with pytest.raises(InputError, match="known"):
        make_edit("sharpen", 0.5, seed=0)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((64, 64), dtype=np.uint8),
        np.zeros((64, 64, 4), dtype=np.uint8),
        np.zeros((64, 64, 3), dtype=np.float32),
        np.zeros((0, 64, 3), dtype=np.uint8),
    ],
)
def test_not_an_rgb_byte_picture(image: NDArray[np.generic]) -> None:
    with pytest.raises(InputError, match="bytes"):
        apply_edit(image, "defocus", 0.5, seed=0)  # type: ignore[arg-type]


def test_record_says_what_was_done() -> None:
    edit = make_edit("cast_green", 0.9, seed=12)
    assert edit.model_dump() == {
        "factor": "colour",
        "operation": "cast_green",
        "direction": "degrade",
        "strength": 0.9,
        "instruction": "Strongly tint the picture green.",
        "editor": EDITOR,
        "seed": 12,
        "revision": "",
        "licence": "Apache-2.0",
        "commercial": True,
    }
    amounts = [make_edit("tilt", strength, seed=0).instruction.split()[0] for strength in (0.2, 0.5, 0.8)]
    assert amounts == ["Slightly", "Noticeably", "Strongly"]
    assert make_edit("mirror", 1.0, seed=0).instruction == "Mirror the picture left to right."


def test_import_redaes_leaves_opencv_alone() -> None:
    code = "import sys, redaes; sys.exit('cv2' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
