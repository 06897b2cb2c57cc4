"""The measuring filters: what they must let pass, what they must hold back, and under which name."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from redaes.datagen import filters
from redaes.datagen.editors.parametric import OPERATIONS, apply_edit
from redaes.errors import InputError


def scene(seed: int) -> filters.ByteImage:
    """Shapes of many sizes and greys: corners to find again, edges off any grid, no even border."""
    rng = np.random.default_rng(seed)
    picture = np.full((250, 330, 3), 120, dtype=np.uint8)
    for _ in range(120):
        corners = rng.uniform((-20, -20), (350, 270)) + rng.uniform(-35, 35, size=(4, 2))
        cv2.fillPoly(picture, [corners.astype(np.int32)], rng.integers(30, 220, 3).tolist(), cv2.LINE_AA)
    noise = rng.normal(0, 3, picture.shape[:2])[..., None]
    return np.clip(cv2.GaussianBlur(picture, (0, 0), 0.8) + noise, 0, 255).astype(np.uint8)


SOURCE = scene(1)


def through_jpeg(pixels: filters.ByteImage, quality: int) -> filters.ByteImage:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_an_edited_scene_is_the_same_scene(operation: str) -> None:
    assert filters.same_scene(SOURCE, apply_edit(SOURCE, operation, 0.5, 0))


def test_another_scene_is_not() -> None:
    assert not any(filters.same_scene(SOURCE, scene(seed)) for seed in range(2, 12))


@pytest.mark.parametrize("grey", [0, 127, 255])
def test_an_empty_picture_shows_no_scene(grey: int) -> None:
    empty = np.full_like(SOURCE, grey)
    assert filters.shared_places(SOURCE, empty) == 0
    assert filters.shared_places(empty, empty) == 0


def test_places_repeat() -> None:
    tilted = apply_edit(SOURCE, "tilt", 0.7, 0)
    assert len({filters.shared_places(SOURCE, tilted) for _ in range(3)}) == 1


def test_equal_pictures_do_not_change() -> None:
    assert filters.colour_change(SOURCE, SOURCE) == (0.0, 0.0)
    assert "no_effect" in filters.rejections(SOURCE, SOURCE, "light")


@pytest.mark.parametrize("operation", ["tiny_tone", "reencode"])
def test_invisible_edits_have_no_effect(operation: str) -> None:
    edited = apply_edit(SOURCE, operation, 1.0, 0)
    assert filters.rejections(SOURCE, edited, OPERATIONS[operation].factor) == ("no_effect",)


def test_a_small_but_visible_spot_is_an_effect() -> None:
    spotted = SOURCE.copy()
    spotted[100:112, 100:112] = 255 - spotted[100:112, 100:112]
    mean, cell = filters.colour_change(SOURCE, spotted)
    assert mean < filters.MIN_MEAN_CHANGE
    assert cell > filters.MIN_CELL_CHANGE
    assert filters.rejections(SOURCE, spotted, "content") == ()


@pytest.mark.parametrize("operation", ["exposure_down", "cast_warm", "defocus", "noise_luma", "tilt", "clutter"])
def test_honest_edits_pass(operation: str) -> None:
    edited = apply_edit(SOURCE, operation, 0.6, 0)
    assert filters.rejections(SOURCE, edited, OPERATIONS[operation].factor) == ()


def test_another_size_gives_away() -> None:
    assert filters.leaks(SOURCE, np.ascontiguousarray(SOURCE[:-2]), "light") == ("size_differs",)


@pytest.mark.parametrize("side", range(4))
@pytest.mark.parametrize("grey", [0, 255])
def test_an_added_border_gives_away(side: int, grey: int) -> None:
    framed = np.rot90(SOURCE, side).copy()
    framed[:6] = grey
    framed = np.ascontiguousarray(np.rot90(framed, -side))
    assert filters.leaks(SOURCE, framed, "light") == ("border",)
    assert filters.leaks(framed, framed, "light") == ()


def test_a_clear_sky_is_no_border() -> None:
    sky = SOURCE.copy()
    line = (60 + 25 * np.sin(np.arange(330) / 20)).astype(int)
    sky[np.arange(250)[:, None] < line[None, :]] = 255
    assert filters.leaks(SOURCE, sky, "mood") == ()


def test_block_grids_give_away_unless_asked_for() -> None:
    blocky = through_jpeg(SOURCE, 10)
    assert filters.leaks(SOURCE, blocky, "light") == ("jpeg_grid",)
    assert filters.leaks(SOURCE, blocky, "noise") == ()
    assert filters.leaks(blocky, blocky, "light") == ()
    # A picture that was cropped after it was compressed has its grid elsewhere.
    assert filters.leaks(SOURCE[3:, 5:], np.ascontiguousarray(blocky[3:, 5:]), "light") == ("jpeg_grid",)


def test_burnt_patches_give_away_unless_asked_for() -> None:
    burnt = SOURCE.copy()
    burnt[80:130, 60:130] = (255, 0, 200)
    assert filters.leaks(SOURCE, burnt, "mood") == ("neon",)
    assert filters.leaks(SOURCE, burnt, "colour") == ()


def test_several_reasons_are_all_given() -> None:
    other = np.zeros((100, 100, 3), dtype=np.uint8)
    assert filters.rejections(SOURCE, other, "light") == ("size_differs", "other_scene")


def test_tiny_pictures_are_measured_too() -> None:
    tiny = SOURCE[:9, :7]
    assert filters.rejections(tiny, tiny, "light") == ("no_effect",)


@pytest.mark.parametrize("wrong", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), SOURCE[:0]])
def test_what_is_no_picture_is_refused(wrong: filters.ByteImage) -> None:
    for function in (filters.shared_places, filters.colour_change):
        with pytest.raises(InputError, match="expected"):
            function(SOURCE, wrong)
    with pytest.raises(InputError, match="expected"):
        filters.leaks(wrong, SOURCE, "light")
