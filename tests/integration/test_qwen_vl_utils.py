"""Against qwen-vl-utils, with which Qwen's own examples prepare pictures: where patches agree, and where not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from qwen_vl_utils import process_vision_info, smart_resize

BOUNDS = [(3136, 200_704), (1024, 50_176), (65_536, 262_144), (12_544, 12_544)]
"""Smallest and largest area: of Qwen2.5-VL, of the embedded model, of Qwen3-VL, of one that is capped below its own."""
SIZES = [(640, 480), (480, 640), (1000, 1000), (96, 72), (333, 217), (31, 45), (1400, 200), (1024, 1024), (157, 600)]


def processor(patch_size: int, bounds: tuple[int, int]) -> Any:
    """Qwen2.5-VL's and Qwen3-VL's share a class, and differ in the size of a patch."""
    from transformers import Qwen2VLImageProcessor

    shortest, longest = bounds
    size = {"shortest_edge": shortest, "longest_edge": longest}
    return Qwen2VLImageProcessor(patch_size=patch_size, merge_size=2, temporal_patch_size=2, size=size)


def photo(width: int, height: int) -> Image.Image:
    rough = np.random.default_rng(width).integers(0, 256, (height // 8 + 2, width // 8 + 2, 3), dtype=np.uint8)
    return Image.fromarray(rough).resize((width, height), Image.Resampling.BICUBIC)


def patched(ours: Any, image: Image.Image) -> tuple[tuple[int, int], Any]:
    """Height and width to which our processor brings a picture, and its patches in grey levels."""
    found = ours(images=[image], return_tensors="pt")
    _, rows, columns = found["image_grid_thw"][0].tolist()
    scale = np.tile(np.repeat(np.array(ours.image_std), 2 * ours.patch_size**2), (1, 1))
    shift = np.repeat(np.array(ours.image_mean), 2 * ours.patch_size**2)
    return (rows * ours.patch_size, columns * ours.patch_size), (found["pixel_values"].numpy() * scale + shift) * 255


@pytest.mark.parametrize("patch_size", [14, 16])
@pytest.mark.parametrize("bounds", BOUNDS)
def test_sizes_are_those_of_smart_resize(patch_size: int, bounds: tuple[int, int]) -> None:
    ours = processor(patch_size, bounds)
    for width, height in SIZES:
        wanted = smart_resize(height, width, factor=2 * patch_size, min_pixels=bounds[0], max_pixels=bounds[1])
        assert patched(ours, photo(width, height))[0] == wanted, (width, height)


@pytest.mark.parametrize("patch_size", [14, 16])
def test_patches_are_those_of_process_vision_info(patch_size: int) -> None:
    shortest, longest = 1024, 200_704
    ours = processor(patch_size, (shortest, longest))
    for width, height in SIZES:
        image = photo(width, height)
        part = {"type": "image", "image": image, "min_pixels": shortest, "max_pixels": longest}
        (theirs,), _ = process_vision_info([{"role": "user", "content": [part]}], image_patch_size=patch_size)
        size, patches = patched(ours, image)
        assert size == theirs.size[::-1]
        again, resized = patched(ours, theirs)  # as Qwen's examples hand it on to the processor
        assert again == size
        # Both shrink with a bicubic filter over all pixels; Pillow and torchvision round differently on the way.
        assert np.abs(patches - resized).max() <= 2.0 + 1e-3
        assert np.abs(patches - resized).mean() < 0.5


@pytest.mark.parametrize(
    ("size", "bounds", "ours", "theirs"),
    [
        # A side below half of a block: theirs becomes a block at once, ours nothing, so that the smallest area decides.
        ((900, 12), (1024, 200_704), (32, 288), (32, 896)),
        # Shrunk so far that a side is below a block: ours keeps one block, theirs has no pixels left.
        ((2000, 130), (12_544, 12_544), (32, 416), (0, 416)),
    ],
)
def test_where_thin_pictures_differ(
    size: tuple[int, int], bounds: tuple[int, int], ours: tuple[int, int], theirs: tuple[int, int]
) -> None:
    width, height = size
    assert smart_resize(height, width, factor=32, min_pixels=bounds[0], max_pixels=bounds[1]) == theirs
    assert patched(processor(16, bounds), photo(width, height))[0] == ours


def test_a_wrong_patch_size_gives_another_picture() -> None:
    """14 is the default of ``image_patch_size``; a Qwen3-VL needs 16."""
    part = {"type": "image", "image": photo(640, 480), "min_pixels": 1024, "max_pixels": 200_704}
    (wrong,), _ = process_vision_info([{"role": "user", "content": [part]}])
    wanted = patched(processor(16, (1024, 200_704)), photo(640, 480))[0]
    assert wrong.size[::-1] != wanted


def test_the_limit_of_thin_pictures_is_theirs() -> None:
    from qwen_vl_utils.vision_process import MAX_RATIO

    from redaes.backends.local import MAX_ASPECT

    assert MAX_ASPECT == MAX_RATIO


def test_a_stage_s_processor_and_theirs_agree(tiny_model: Path) -> None:
    from redaes.backends.loading import load_processor
    from redaes.backends.preprocessing import picture_size

    cap = 48 * 48
    ours = load_processor(tiny_model, cap).image_processor
    bounds = picture_size(tiny_model)
    assert bounds is not None
    bounds = bounds.capped(cap)
    part = {"type": "image", "min_pixels": bounds.shortest_edge, "max_pixels": bounds.longest_edge}
    for width, height in SIZES[:5]:
        image = photo(width, height)
        messages = [{"role": "user", "content": [{**part, "image": image}]}]
        (theirs,), _ = process_vision_info(messages, image_patch_size=ours.patch_size)
        assert patched(ours, image)[0] == theirs.size[::-1]
