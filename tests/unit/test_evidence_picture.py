"""Measurements of one picture: what they show of known edits, and what they leave out."""

from __future__ import annotations

import io
import math
from functools import lru_cache

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from redaes.datagen.editors.parametric import apply_edit
from redaes.errors import InputError
from redaes.evidence.measurements import Measurements
from redaes.evidence.picture import Planes, measure, measured_along
from redaes.evidence.picture.grids import find_comb
from redaes.evidence.picture.jpeg import jpeg_quality
from redaes.evidence.picture.planes import median, place_at
from redaes.evidence.quantities import QUANTITIES
from redaes.images import load_image
from redaes.samples import sample_photographs

ByteImage = NDArray[np.uint8]


@lru_cache(maxsize=8)
def _photograph(name: str) -> ByteImage:
    """A sample photograph, cut to at most 448 pixels a side."""
    sample = next(one for one in sample_photographs() if one.name == name)
    image = np.asarray(load_image(sample.path).image)
    top, left = (max(0, (n - 448) // 2) for n in image.shape[:2])
    cut = np.ascontiguousarray(image[top : top + 448, left : left + 448])
    cut.setflags(write=False)
    return cut


@lru_cache(maxsize=8)
def _measured(name: str) -> Measurements:
    return measure(_photograph(name))


def _facade(angle_deg: float = 0.0, converge_deg: float = 0.0, noise: int = 2) -> ByteImage:
    """A wall of windows, turned by an angle, or with uprights that lean more at the right than at the left."""
    height, width = 480, 640
    image = np.full((height, width, 3), 150, np.uint8)

    def at(x: float, y: float) -> tuple[int, int]:
        lean = math.tan(math.radians(converge_deg * (x / width - 0.5)))
        x, y = x - width / 2 + lean * (height / 2 - y), y - height / 2
        cos, sin = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
        return round((x * cos + y * sin + width / 2) * 16), round((-x * sin + y * cos + height / 2) * 16)

    for column in range(-100, width + 100, 70):
        for row in range(-100, height + 100, 80):
            corners = [at(column, row), at(column + 40, row), at(column + 40, row + 55), at(column, row + 55)]
            cv2.fillPoly(image, [np.array(corners, np.int32)], (60, 70, 90), cv2.LINE_AA, shift=4)
    grain = np.random.default_rng(0).integers(-noise, noise + 1, image.shape)
    return np.clip(image + grain, 0, 255).astype(np.uint8)


def _jpeg(image: ByteImage, quality: int) -> ByteImage:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


def _change(after: Measurements, before: Measurements, name: str) -> float:
    return after.values[name] - before.values[name]


SHOWN = [
    ("coffee", "exposure_up", 0.4, {"brightness": 1, "clipped_highlights": 1}),
    ("coffee", "exposure_down", 0.4, {"brightness": -1}),
    ("coffee", "contrast_up", 0.4, {"contrast": 1, "dynamic_range": 1}),
    ("astronaut", "contrast_down", 0.4, {"contrast": -1, "dynamic_range": -1}),
    ("coffee", "crushed_shadows", 0.6, {"clipped_shadows": 1}),
    ("china", "haze", 0.5, {"haze": 1, "contrast": -1}),
    ("astronaut", "vignette", 0.4, {"vignetting": 1}),
    ("chelsea", "uneven_light", 0.8, {"unevenness": 1}),
    ("china", "saturation_up", 0.4, {"colourfulness": 1}),
    ("china", "saturation_down", 0.4, {"colourfulness": -1}),
    ("astronaut", "cast_warm", 0.5, {"warmth": 1, "cast": 1}),
    ("coffee", "cast_cool", 0.6, {"warmth": -1}),
    ("astronaut", "cast_magenta", 0.5, {"magenta": 1, "cast": 1}),
    ("astronaut", "cast_green", 0.5, {"magenta": -1, "cast": 1}),
    ("china", "posterize", 0.6, {"banding": 1}),
    ("china", "defocus", 0.4, {"sharpness": -1, "edge_width": 1}),
    ("chelsea", "motion_blur", 0.5, {"sharpness": -1, "edge_width": 1, "motion": 1}),
    ("chelsea", "missed_focus", 0.6, {"centre_sharpness": -1}),
    ("coffee", "soft_glow", 0.6, {"sharpness": -1}),
    ("china", "oversharpen", 0.4, {"halos": 1}),
    ("china", "noise_luma", 0.3, {"noise": 1}),
    ("coffee", "noise_chroma", 0.3, {"chroma_noise": 1}),
    ("coffee", "jpeg_blocks", 0.7, {"blocking": 1}),
    ("coffee", "banding", 0.4, {"stripes": 1}),
    ("coffee", "impulse", 0.4, {"impulse": 1}),
    ("coffee", "pixelation", 0.7, {"pixelation": 1}),
    ("coffee", "date_stamp", 0.8, {"lettering": 1}),
    ("coffee", "watermark", 0.8, {"lettering": 1}),
]


@pytest.mark.parametrize(("name", "operation", "strength", "shown"), SHOWN, ids=[row[1] for row in SHOWN])
def test_an_edit_is_shown(name: str, operation: str, strength: float, shown: dict[str, int]) -> None:
    before, after = _measured(name), measure(apply_edit(_photograph(name), operation, strength, seed=3))
    for quantity, sign in shown.items():
        assert sign * _change(after, before, quantity) > QUANTITIES[quantity].visible, quantity


def test_every_quantity_has_an_edit_that_shows_it() -> None:
    tested = {quantity for row in SHOWN for quantity in row[3]} | {"tilt", "keystone", "border"}
    assert tested == set(QUANTITIES)


def test_what_is_visible_is_above_the_noise_and_changes_a_digit() -> None:
    for quantity in QUANTITIES.values():
        assert 0 < quantity.noise_floor <= quantity.visible, quantity.name
        assert quantity.visible >= 10**-quantity.digits, quantity.name
        assert not set(quantity.more) & set(quantity.less), quantity.name


def test_exposure_and_contrast_are_not_taken_for_focus() -> None:
    before = _measured("china")
    for operation in ("exposure_down", "contrast_up", "contrast_down"):
        after = measure(apply_edit(_photograph("china"), operation, 0.4, seed=0))
        for quantity in ("sharpness", "motion"):
            assert abs(_change(after, before, quantity)) < QUANTITIES[quantity].visible, (operation, quantity)


def test_defocus_is_no_motion_and_a_texture_of_one_direction_neither() -> None:
    before = _measured("china")
    assert abs(_change(measure(apply_edit(_photograph("china"), "defocus", 0.5, 0)), before, "motion")) < 0.15
    stripes = np.full((300, 300, 3), 90, np.uint8)
    stripes[:, ::12] = stripes[:, 1::12] = stripes[:, 2::12] = 180
    assert "motion" not in measure(stripes).values


def test_what_nobody_sees_changes_nothing_visible() -> None:
    for name in ("coffee", "astronaut"):
        image, before = _photograph(name), _measured(name)
        smaller = cv2.resize(image, None, fx=0.98, fy=0.98, interpolation=cv2.INTER_AREA)
        for after in (measure(_jpeg(image, 92)), measure(np.ascontiguousarray(image[1:, 1:])), measure(smaller)):
            for quantity in before.values.keys() & after.values.keys():
                assert abs(_change(after, before, quantity)) < QUANTITIES[quantity].visible, quantity


def test_blocks_are_found_at_any_offset_and_enlarged() -> None:
    clean = _photograph("astronaut")
    strong = _jpeg(clean, 8)
    shifted = np.ascontiguousarray(strong[3:, 5:])
    enlarged = cv2.resize(strong, None, fx=1.5, fy=1.5, interpolation=cv2.INTER_LINEAR)
    least = _measured("astronaut").values["blocking"] + QUANTITIES["blocking"].visible
    for image in (strong, shifted, enlarged):
        assert measure(image).values["blocking"] > least


def test_the_side_of_enlarged_pixels_is_told() -> None:
    small = cv2.resize(_photograph("coffee"), (64, 64), interpolation=cv2.INTER_AREA)
    enlarged = cv2.resize(small, (448, 448), interpolation=cv2.INTER_NEAREST)
    assert measure(enlarged).values["pixelation"] == pytest.approx(7, abs=0.5)
    assert _measured("coffee").values["pixelation"] == 1


def test_a_comb_is_found_at_a_period_that_is_no_whole_number() -> None:
    profile = np.random.default_rng(0).random(500)
    profile[np.rint(3 + 5.53 * np.arange(89)).astype(int)] += 4
    comb = find_comb(profile, (2.0, 64.0))
    assert comb is not None
    assert comb.period == pytest.approx(5.53, abs=0.03)


@pytest.mark.parametrize("angle", [0.0, 2.0, -6.0, 15.0])
def test_tilt_is_told_in_degrees(angle: float) -> None:
    assert measure(_facade(angle)).values["tilt"] == pytest.approx(abs(angle), abs=0.4)


def test_converging_verticals_are_told_and_are_no_tilt() -> None:
    upright, converging = measure(_facade()), measure(_facade(converge_deg=16))
    assert upright.values["keystone"] < QUANTITIES["keystone"].noise_floor
    assert converging.values["keystone"] == pytest.approx(16, abs=2)
    assert converging.values["tilt"] < 1


def test_without_lines_there_is_no_tilt() -> None:
    assert not {"tilt", "keystone"} & _measured("chelsea").values.keys()


def test_a_border_is_measured_and_its_black_is_no_shadow() -> None:
    image = _photograph("coffee").copy()
    before = measure(image)
    image[:30] = image[-30:] = 0
    after = measure(image)
    assert before.values["border"] == 0
    assert after.values["border"] == pytest.approx(100 * 60 / image.shape[0], abs=0.01)
    assert after.values["clipped_shadows"] - before.values["clipped_shadows"] < QUANTITIES["clipped_shadows"].visible


def test_a_plain_sky_is_no_border() -> None:
    image = np.full((200, 300, 3), (120, 160, 220), np.uint8)
    image[80:, 100:160] = (60, 50, 40)
    assert measure(image).values["border"] == 0


def test_places() -> None:
    image = _photograph("china")
    blurred = cv2.GaussianBlur(image, (0, 0), 6)
    part = image.copy()
    part[:, :300] = blurred[:, :300]
    places = measure(part).places
    assert "right" in places["sharpness"]
    assert "right" not in places["softest"]
    stamped = measure(apply_edit(_photograph("coffee"), "date_stamp", 0.8, seed=3))
    assert stamped.places["lettering"] in ("bottom", "lower left", "lower right")
    assert place_at(0.99, 0.01) == "upper right"
    assert place_at(1.0, 1.0) == "lower right"


def test_bars_are_no_lettering() -> None:
    bars = np.full((240, 320, 3), 200, np.uint8)
    for left in range(20, 300, 14):
        bars[60:110, left : left + 5] = 60
    assert measure(bars).values["lettering"] == 0


def test_a_grey_picture_has_no_colour() -> None:
    grey = np.repeat(_photograph("coffee").mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)
    values = measure(grey).values
    for quantity in ("colourfulness", "warmth", "magenta", "cast", "chroma_noise"):
        assert abs(values[quantity]) < 0.05, quantity


def test_black_white_and_plain_pictures_are_measured() -> None:
    black, white, plain = (measure(np.full((120, 160, 3), tone, np.uint8)).values for tone in (0, 255, 119))
    assert (black["clipped_shadows"], black["brightness"], black["clipped_highlights"]) == (100, 0, 0)
    assert (white["clipped_highlights"], round(white["brightness"]), white["clipped_shadows"]) == (100, 100, 0)
    for values in (black, white):
        # Nothing can be told of its haze, noise or focus.
        assert not {"haze", "noise", "sharpness", "edge_width"} & values.keys()
    assert not {"warmth", "magenta"} & black.keys()
    assert plain["noise"] == 0
    assert "sharpness" not in plain


@pytest.mark.parametrize(
    "shape",
    [
        (1, 1),
        (1, 2),
        (2, 1),
        (3, 3),
        (5, 7),
        (1, 3000),
        (3000, 1),
        (7, 900),
        (17, 31),
        (33, 65),
        (101, 203),
        (40, 2500),
    ],
)
def test_small_odd_and_long_pictures_are_measured(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    for image in (rng.integers(0, 256, (*shape, 3), dtype=np.uint8), np.full((*shape, 3), 200, np.uint8)):
        measured = measure(image)
        assert (measured.height, measured.width) == shape
        assert all(math.isfinite(value) for value in measured.values.values())
        assert {"brightness", "contrast", "colourfulness"} <= measured.values.keys()
        assert set(measured.values) <= set(QUANTITIES)


def test_measuring_again_gives_the_same_and_leaves_the_picture() -> None:
    image = _photograph("china").copy()
    first = measure(image)
    assert np.array_equal(image, _photograph("china"))
    assert first == measure(np.asfortranarray(image))
    assert list(first.values) == [name for name in QUANTITIES if name in first.values]


def test_a_large_picture_is_sampled_at_its_own_resolution() -> None:
    large = np.tile(_photograph("coffee"), (6, 7, 1))
    assert measure(large).values["noise"] == pytest.approx(_measured("coffee").values["noise"], abs=0.1)


def test_other_arrays_are_refused() -> None:
    for image in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(InputError, match="expected"):
            measure(image)  # type: ignore[arg-type]


@pytest.mark.parametrize("quality", [5, 30, 50, 75, 92, 100])
def test_the_quality_of_a_jpeg_file_is_told(quality: int) -> None:
    buffer = io.BytesIO()
    Image.fromarray(_photograph("coffee")[:32, :32]).save(buffer, "JPEG", quality=quality)
    assert jpeg_quality(buffer.getvalue()) == quality


def test_other_files_have_no_jpeg_quality() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    assert jpeg_quality(buffer.getvalue()) is None
    assert jpeg_quality(b"\xff\xd8\xff damaged") is None
    assert jpeg_quality(b"") is None


def test_one_quantity_alone_has_the_value_that_it_has_among_all() -> None:
    image = _facade(3.0)
    everything, planes = measure(image), Planes(image)
    for name in reversed(QUANTITIES):  # another order than that of the parts: what one leaves behind changes no other
        alone = measure(planes, {name})
        assert alone.values.keys() <= measured_along({name})
        assert alone.values.get(name) == everything.values.get(name), name
        assert alone.places.items() <= everything.places.items()


def test_a_quantity_is_measured_without_those_that_it_does_not_need() -> None:
    assert measure(_photograph("china"), {"noise"}).values.keys() == {"noise"}
    assert measure(_photograph("china"), {"warmth"}).values.keys() == {"warmth", "magenta"}


@pytest.mark.parametrize("shape", [(1,), (2,), (9,), (10,), (4, 7), (4, 8)])
def test_medians_are_those_of_numpy(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    assert np.array_equal(median(values), np.median(values, axis=-1))


def _bytes(linear: NDArray[np.float64]) -> ByteImage:
    """sRGB bytes of linear light in [0, 1]."""
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 0) ** (1 / 2.4) - 0.055)
    return np.rint(255 * np.clip(encoded, 0, 1)).astype(np.uint8)


def _grey(lightness: NDArray[np.float64]) -> ByteImage:
    """(H, W, 3) greys of that L*, at least 8."""
    return np.repeat(_bytes(((lightness + 16) / 116) ** 3)[..., None], 3, axis=2)


class TestFormulas:
    """Pictures of which the value is known."""

    def test_light(self) -> None:
        light = np.full((100, 200), 50.0)
        light[:5], light[-5:] = 20, 80
        values = measure(_grey(light), {"brightness"}).values
        assert values["brightness"] == pytest.approx(50, abs=0.5)
        assert values["contrast"] == pytest.approx(math.sqrt(0.1 * 30**2), abs=0.3)
        assert values["dynamic_range"] == pytest.approx(60, abs=1)

    def test_light_that_rises_is_uneven_whichever_way(self) -> None:
        rise = np.broadcast_to(0.1 * 2 ** np.linspace(0, 2, 240)[None, :, None], (160, 240, 3))
        for image in (_bytes(rise), _bytes(rise[:, ::-1])):
            values = measure(image, {"unevenness"}).values
            assert values["unevenness"] == pytest.approx(2, abs=0.05)
            assert values["vignetting"] == pytest.approx(0, abs=0.1)

    def test_one_dark_corner_of_four(self) -> None:
        linear = np.full((200, 200, 3), 0.4)
        linear[:60, :60] /= 2**4
        assert measure(_bytes(linear), {"vignetting"}).values["vignetting"] == pytest.approx(1, abs=0.05)

    def test_clipping_counts_areas_and_says_where(self) -> None:
        image = np.full((120, 120, 3), 119, np.uint8)
        image[60:72, :30] = 3
        image[:12, 90:], image[20:32, 90:] = 252, 251
        image[100:102, 60:62] = 0  # no area
        found = measure(image, {"clipped_shadows"})
        assert found.values["clipped_shadows"] == pytest.approx(100 * 12 * 30 / 120**2)
        assert found.values["clipped_highlights"] == pytest.approx(100 * 12 * 30 / 120**2)
        assert (found.places["clipped_shadows"], found.places["clipped_highlights"]) == ("left", "upper right")

    def test_haze_is_what_the_air_adds(self) -> None:
        scene = np.full((128, 128, 3), 0.6)
        scene[:, ::8] = scene[:, 1::8] = scene[:, 2::8] = 0
        hazy = 0.7 * scene + 0.3
        hazy[:40] = 1  # a sky that is clipped is no haze
        found = measure(np.rint(255 * hazy).astype(np.uint8), {"haze"}).values["haze"]
        assert found == pytest.approx(30, abs=2)

    def test_colourfulness(self) -> None:
        image = np.random.default_rng(0).integers(0, 256, (60, 90, 3)) // np.array([1, 2, 3])
        red, green, blue = image.astype(float).transpose(2, 0, 1)
        rg, yb = red - green, (red + green) / 2 - blue
        expected = math.hypot(rg.std(), yb.std()) + 0.3 * math.hypot(rg.mean(), yb.mean())
        found = measure(image.astype(np.uint8), {"colourfulness"}).values["colourfulness"]
        assert found == pytest.approx(expected, abs=0.01)

    def test_tint_is_that_of_a_mid_grey_in_the_mean_light(self) -> None:
        light = np.array([1.2, 0.95, 0.6])
        light *= 0.1842 / float(light @ [0.2126, 0.7152, 0.0722])
        _, a, b = cv2.cvtColor(_bytes(light[None, None]).astype(np.float32) / np.float32(255), cv2.COLOR_RGB2Lab)[0, 0]
        for exposure in (0.5, 1.0, 2.0):
            values = measure(np.tile(_bytes(exposure * light), (40, 60, 1)), {"warmth"}).values
            assert values["warmth"] == pytest.approx(b, abs=1)
            assert values["magenta"] == pytest.approx(a, abs=1)

    def test_the_colour_of_the_subject_is_no_cast(self) -> None:
        rng = np.random.default_rng(0)
        grain = rng.uniform(0.3, 1.0, (120, 160, 1))
        painted = _bytes(grain * np.array([0.6, 0.05, 0.03]))  # all of one strong colour
        thing = np.repeat(_bytes(0.3 * grain), 3, axis=2)
        thing[:, 60:] = _bytes(np.array([0.8, 0.4, 0.1]))  # bright, smooth, and of another colour than the edges
        for image in (painted, thing):
            assert "cast" not in measure(image, {"cast"}).values

    @pytest.mark.parametrize("sigma", [1.5, 6.0])
    def test_edge_width_is_the_full_width_at_half_maximum(self, sigma: float) -> None:
        light = np.full((420, 560), 40.0)
        light[:, 140:280] = light[:, 420:] = 65
        light = np.where(np.arange(420)[:, None] // 105 % 2, light, 105 - light)
        image = _grey(cv2.GaussianBlur(light, (0, 0), sigma))
        expected = 2.355 * math.hypot(sigma, 0.7) / 700 * 1000
        assert measure(image, {"edge_width"}).values["edge_width"] == pytest.approx(expected, rel=0.15)

    def test_halos_are_in_percent_of_the_step(self) -> None:
        profile = np.full(80, 30.0)
        profile[40:] = 70
        profile[40:46], profile[34:40] = 78, 26
        image = _grey(np.tile(np.concatenate([profile, profile[::-1]]), (200, 2)))
        assert measure(image, {"halos"}).values["halos"] == pytest.approx(100 * 6 / 52, abs=1.5)

    def test_noise_is_the_standard_deviation(self) -> None:
        grain = np.random.default_rng(0).normal(0, 2.0, (200, 300))
        assert measure(_grey(50 + grain), {"noise"}).values["noise"] == pytest.approx(2, rel=0.08)


def test_noise_is_not_taken_for_detail() -> None:
    noisy = np.random.default_rng(0).integers(60, 180, (200, 300, 3), dtype=np.uint8)
    assert not {"sharpness", "centre_sharpness"} & measure(noisy, {"sharpness"}).values.keys()
    before = _measured("china")
    after = measure(apply_edit(_photograph("china"), "noise_luma", 0.3, seed=0), {"sharpness"})
    assert abs(_change(after, before, "sharpness")) < QUANTITIES["sharpness"].visible


def test_the_middle_is_apart_from_the_rest() -> None:
    image = _photograph("china")
    height, width = image.shape[:2]
    middle = np.ix_(*(np.arange(round(0.25 * n), round(0.75 * n)) for n in (height, width)))
    soft = cv2.GaussianBlur(image, (0, 0), 5)
    soft_middle, soft_rest = image.copy(), soft.copy()
    soft_middle[middle], soft_rest[middle] = soft[middle], image[middle]
    before = _measured("china")
    visible = QUANTITIES["centre_sharpness"].visible
    assert _change(measure(soft_middle, {"sharpness"}), before, "centre_sharpness") < -visible
    assert abs(_change(measure(soft_rest, {"sharpness"}), before, "centre_sharpness")) < visible


@pytest.mark.parametrize("flip", [False, True])
def test_motion_is_seen_in_every_direction(flip: bool) -> None:
    kernel = np.eye(15, dtype=np.float32)[:: -1 if flip else 1] / 15
    after = measure(cv2.filter2D(_photograph("china"), -1, kernel), {"motion"})
    assert _change(after, _measured("china"), "motion") > QUANTITIES["motion"].visible
