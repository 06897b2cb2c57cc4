"""The embedded judge: the axioms of its distance, what it tolerates, and values worked out by hand."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from redaes.datagen.judges import visible_difference
from redaes.errors import InputError

Image = NDArray[np.uint8]


def flat(*colour: int, height: int = 128, width: int = 192) -> Image:
    return np.full((height, width, 3), colour, dtype=np.uint8)


@pytest.fixture(scope="module")
def scene() -> Image:
    """Smooth light, a texture in one half, and edges."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[0:192, 0:256]
    picture = np.stack([0.3 + 0.4 * x / 256, 0.35 + 0.3 * y / 192, 0.5 - 0.2 * x / 256], axis=2)
    texture = cv2.GaussianBlur(rng.standard_normal((192, 256)), (0, 0), 1.2)
    picture[96:] += 0.25 * texture[96:, :, None]
    picture[40:120, 60:110] = (0.75, 0.3, 0.2)
    picture[70:150, 160:220] = (0.12, 0.2, 0.35)
    return (np.clip(picture, 0, 1) * 255).round().astype(np.uint8)


def noisy(image: Image, sigma: float) -> Image:
    noise = sigma * np.random.default_rng(1).standard_normal((*image.shape[:2], 1))
    return np.clip(image + noise, 0, 255).round().astype(np.uint8)


def blurred(image: Image, sigma: float) -> Image:
    return cv2.GaussianBlur(image, (0, 0), sigma)


def brightened(image: Image, gain: float) -> Image:
    return np.clip(image * gain, 0, 255).round().astype(np.uint8)


def test_a_picture_does_not_differ_from_itself(scene: Image) -> None:
    assert visible_difference(scene, scene) == 0
    assert visible_difference(scene, scene.copy()) == 0


def test_symmetric_and_deterministic(scene: Image) -> None:
    edited = brightened(scene, 0.6)
    there, back = visible_difference(scene, edited), visible_difference(edited, scene)
    assert there == pytest.approx(back, rel=1e-6)
    assert visible_difference(scene, edited) == there


def test_black_against_white_is_as_far_as_it_goes(scene: Image) -> None:
    assert visible_difference(flat(0, 0, 0), flat(255, 255, 255)) > 4.5 > visible_difference(scene, blurred(scene, 2.0))


@pytest.mark.parametrize("edit", [noisy, blurred])
def test_more_is_worse(edit, scene: Image) -> None:
    differences = [visible_difference(scene, edit(scene, sigma)) for sigma in (1.0, 2.0, 4.0, 8.0)]
    assert differences == sorted(differences)
    assert differences[-1] - differences[0] > 0.25


def test_both_darker_and_brighter_cost(scene: Image) -> None:
    assert visible_difference(scene, brightened(scene, 0.6)) > 0.24
    assert visible_difference(scene, brightened(scene, 1.5)) > 0.24


def test_a_shift_by_a_pixel_costs_next_to_nothing(scene: Image) -> None:
    """A pixel-wise distance would see the texture as replaced; statistics do not."""
    shifted = np.roll(scene, 1, axis=1)
    shifted[:, 0] = scene[:, 0]
    pixelwise = np.abs(shifted.astype(float) - scene).mean()
    as_noise = noisy(scene, float(pixelwise) * 1.2533)  # the noise with this mean absolute value
    assert visible_difference(scene, shifted) < 0.033
    assert visible_difference(scene, as_noise) > 5 * visible_difference(scene, shifted)


def test_invisible_changes_are_ties(scene: Image) -> None:
    assert visible_difference(scene, brightened(scene, 1.01)) < 0.011
    assert visible_difference(scene, noisy(scene, 0.5)) < 0.056


def test_resolution_does_not_matter(scene: Image) -> None:
    smaller = cv2.resize(blurred(scene, 1.0), (224, 168), interpolation=cv2.INTER_AREA)
    twice = cv2.resize(scene, (512, 384), interpolation=cv2.INTER_LINEAR)
    dark = brightened(scene, 0.5)
    dark_twice = cv2.resize(dark, (512, 384), interpolation=cv2.INTER_LINEAR)
    assert visible_difference(twice, dark_twice) == pytest.approx(visible_difference(scene, dark), abs=0.1)
    assert visible_difference(scene, smaller) < visible_difference(scene, dark)


def test_a_local_defect_counts_more_than_its_share(scene: Image) -> None:
    """A twentieth of the area costs far more than a twentieth of the same defect everywhere."""
    everywhere, local = blurred(scene, 6.0), scene.copy()
    local[140:184, 20:78] = (250, 240, 60)
    garish = np.broadcast_to(np.array([250, 240, 60], dtype=np.uint8), scene.shape)
    share = 44 * 58 / (192 * 256)
    assert visible_difference(scene, local) > 2 * share * visible_difference(scene, garish)
    assert 0.12 < visible_difference(scene, local) < visible_difference(scene, everywhere) + 0.6


def test_geometry_is_seen(scene: Image) -> None:
    matrix = cv2.getRotationMatrix2D((128, 96), 15, 1.45)
    tilted = cv2.warpAffine(scene, matrix, (256, 192), borderMode=cv2.BORDER_REFLECT_101)
    assert visible_difference(scene, tilted) > 0.24


def test_orientation_is_seen_by_itself() -> None:
    """Stripes that lean left and right have the same lightness, contrast and detail everywhere."""
    y, x = np.mgrid[0:256, 0:256]
    left, right = (
        np.repeat((128 + 60 * np.sin(2 * np.pi * (x + lean * y) / 32))[..., None], 3, axis=2).astype(np.uint8)
        for lean in (-0.5, 0.5)
    )
    assert visible_difference(left, right) > 0.82


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((64, 64), dtype=np.uint8),
        np.zeros((64, 64, 3), dtype=np.float64),
        np.zeros((64, 0, 3), dtype=np.uint8),
    ],
)
def test_not_an_rgb_byte_picture(image: NDArray[np.generic], scene: Image) -> None:
    for call in (
        lambda: visible_difference(scene, image),
        lambda: visible_difference(image, scene),
    ):
        with pytest.raises(InputError, match="bytes"):
            call()
