"""Pictures in every form in which callers have them: equal pixels are one picture, and what is none is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from redaes.assessor import Assessor
from redaes.backends.scripted import ScriptedBackend
from redaes.errors import ImageError, InputError
from redaes.images import IN_MEMORY, MAX_PIXELS, load_image, named_picture, picture_in_memory, take_picture

PIXELS = np.random.default_rng(0).integers(0, 256, (7, 11, 3), dtype=np.uint8)
GREY = PIXELS[..., 0]
TENSOR = torch.tensor(PIXELS).permute(2, 0, 1)

SAME = {
    "PIL": Image.fromarray(PIXELS),
    "PIL, opaque": Image.fromarray(PIXELS).convert("RGBA"),
    "array": PIXELS,
    "array, not contiguous": np.asfortranarray(PIXELS),
    "array, float64": PIXELS / 255,
    "array, float32": (PIXELS / 255).astype(np.float32),
    "array, float16": (PIXELS / 255).astype(np.float16),
    "tensor": TENSOR,
    "tensor, float": TENSOR / 255,
    "tensor, double": TENSOR.double() / 255,
    "tensor with a gradient": (TENSOR / 255).requires_grad_(),
    "batch of one": TENSOR[None],
    "loaded": picture_in_memory(Image.fromarray(PIXELS)),
}
SAME_GREY = {
    "PIL": Image.fromarray(GREY),
    "PIL, RGB": Image.fromarray(GREY).convert("RGB"),
    "rows x columns": GREY,
    "one channel": GREY[..., None],
    "tensor": TENSOR[:1],
    "tensor, rows x columns": TENSOR[0],
    "three channels": np.stack([GREY] * 3, axis=-1),
}


@pytest.mark.parametrize("form", SAME)
def test_equal_pixels_are_one_picture(form: str) -> None:
    loaded = take_picture(SAME[form]).loaded
    assert np.array_equal(np.asarray(loaded.image), PIXELS)
    assert loaded.ref == take_picture(SAME["PIL"]).loaded.ref
    assert loaded.ref.path == IN_MEMORY


@pytest.mark.parametrize("form", SAME_GREY)
def test_grey_pixels_are_one_picture(form: str) -> None:
    loaded = take_picture(SAME_GREY[form]).loaded
    assert np.array_equal(np.asarray(loaded.image)[..., 2], GREY)
    assert loaded.ref == take_picture(SAME_GREY["PIL"]).loaded.ref


def test_files_and_references_are_what_they_were(tmp_path: Path) -> None:
    file = tmp_path / "p.png"
    Image.fromarray(PIXELS).save(file)
    loaded = load_image(file)
    for value in (file, str(file), loaded.ref, loaded):
        taken = take_picture(value)
        assert (taken.loaded.ref, taken.whole) == (loaded.ref, None)
        assert np.array_equal(np.asarray(taken.loaded.image), PIXELS)


def test_bfloat16_is_right_to_a_level() -> None:
    found = np.asarray(take_picture((TENSOR / 255).bfloat16()).loaded.image).astype(int)
    assert np.abs(found - PIXELS).max() <= 1


def test_a_picture_in_memory_keeps_its_own_size_beside_the_shrunk_one() -> None:
    array = np.zeros((1200, 1200, 3), np.uint8)
    taken = take_picture(array)
    assert taken.whole is not None
    assert taken.whole.size == (1200, 1200)
    assert taken.loaded.image.width * taken.loaded.image.height <= MAX_PIXELS


def test_a_large_picture_is_shrunk_as_its_file_is(tmp_path: Path) -> None:
    array = np.random.default_rng(1).integers(0, 256, (1500, 2100, 3), dtype=np.uint8)
    Image.fromarray(array).save(tmp_path / "large.png", compress_level=1)
    assert load_image(tmp_path / "large.png").image.tobytes() == take_picture(array).loaded.image.tobytes()


def test_a_pil_picture_is_treated_as_its_file_is(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PIXELS).save(tmp_path / "turned.png", exif=exif)
    Image.fromarray(GREY.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    Image.fromarray(PIXELS).convert("P").save(tmp_path / "palette.png")
    Image.fromarray(PIXELS).convert("CMYK").save(tmp_path / "cmyk.tif")
    for name in ("turned.png", "deep.png", "palette.png", "cmyk.tif"):
        with Image.open(tmp_path / name) as image:
            taken, loaded = take_picture(image).loaded, load_image(tmp_path / name)
        assert taken.image.tobytes() == loaded.image.tobytes(), name
        assert taken.image.size == loaded.image.size, name
        assert taken.notes == loaded.notes, name


def _nan() -> np.ndarray[Any, Any]:
    array = PIXELS / 255
    array[1, 2, 0] = np.nan
    return array


NO_PICTURES: dict[str, tuple[Any, str]] = {
    "RGBA": (Image.new("RGBA", (8, 6)), r"mode RGBA\) are transparent.*alpha_composite"),
    "transparent palette": (Image.new("LA", (8, 6)), r"mode LA\) are transparent"),
    "floating-point PIL": (Image.new("F", (8, 6)), "its pixels are floating-point numbers"),
    "no pixels": (Image.new("RGB", (0, 6)), r"no pixels \(size \(0, 6\)\)"),
    "alpha": (np.zeros((9, 8, 4), np.uint8), r"shape \(9, 8, 4\) has 4 channels, .*array\[\.\.\., :3\]"),
    "alpha, tensor": (torch.zeros(4, 9, 8), r"\(4, 9, 8\) has 4 channels, and transparency.*tensor\[:3\]"),
    "five channels": (np.zeros((9, 8, 5), np.uint8), "5 channels; give rows x columns x channels, with 1 channel or 3"),
    "five channels, tensor": (torch.zeros(5, 9, 8), "5 channels; give channels x rows x columns"),
    "channels first, array": (np.zeros((3, 9, 8), np.uint8), r"channels first; .*: array\.transpose\(1, 2, 0\)"),
    "channels last, tensor": (torch.zeros(9, 8, 3), r"channels last; .*: tensor\.permute\(2, 0, 1\)"),
    "ambiguous array": (np.zeros((3, 9, 3), np.uint8), "channels first or last; convert it to a PIL picture"),
    "ambiguous tensor": (torch.zeros(3, 9, 3), "channels first or last; convert it to a PIL picture"),
    "batch": (torch.zeros(2, 3, 9, 8), r"a batch of 2 pictures \(shape \(2, 3, 9, 8\)\).*batch\[0\]"),
    "empty batch": (torch.zeros(0, 3, 9, 8), "a batch of 0 pictures"),
    "no rows": (np.zeros((0, 8, 3), np.uint8), "has no pixels"),
    "thin": (np.zeros((402, 2), np.uint8), r"2 x 402 pixels are too thin .*; crop it"),
    "one dimension": (np.zeros(9, np.uint8), r"shape \(9,\) is not a picture"),
    "four dimensions": (np.zeros((1, 9, 8, 3), np.uint8), "is not a picture; give rows x columns"),
    "NaN": (_nan(), "1 of 231 values are not finite"),
    "infinity": (torch.full((3, 9, 8), float("inf")), "216 of 216 values are not finite"),
    "0 to 255 as floats": (PIXELS.astype(np.float32), r"values from \d+ to 255, .* lie in \[0, 1\]; divide by 255"),
    "-1 to 1": (PIXELS / 127.5 - 1, r"values from -1 to 1, .*; scale or clip them"),
    "overshoot": (TENSOR / 255 + 0.01, r"values from .* to 1\.01,"),
    "whole numbers of 64 bits": (PIXELS.astype(np.int64), r"type int64; .*array\.astype\(np\.uint8\)"),
    "16 bits": (PIXELS.astype(np.uint16), r"type uint16; give uint8, .*array / 65535"),
    "bool": (GREY > 99, "type bool"),
    "sparse": (torch.zeros(3, 9, 8).to_sparse(), r"of the layout torch.sparse_coo; give a dense one"),
    "masked": (np.ma.masked_less(np.arange(216, dtype=np.uint8).reshape(9, 8, 3), 9), r"a part is masked; fill it"),
    "meta": (torch.zeros(3, 9, 8, device="meta"), r"without values \(device meta\)"),
    "complex": (torch.zeros(3, 9, 8, dtype=torch.complex64), "kind complex64"),
    "nothing": (None, "NoneType is not a picture; give a path, a PIL picture, a numpy array or a tensor"),
    "bytes": (b"\xff\xd8", "bytes is not a picture"),
    "a list": ([[0]], "list is not a picture"),
}  # fmt: skip


@pytest.mark.parametrize("kind", NO_PICTURES)
def test_what_is_no_picture_is_refused_by_name(kind: str) -> None:
    value, said = NO_PICTURES[kind]
    assessor = Assessor(ScriptedBackend(), mode="fast")
    calls = {
        r"first: ": lambda: assessor.compare(value, PIXELS),
        r"second: ": lambda: assessor.compare(PIXELS, value),
        r"pairs\[1\]\[0\]: ": lambda: assessor.compare_many([(PIXELS, GREY), (value, PIXELS)]),
        r"pictures\[2\]: ": lambda: assessor.rank([PIXELS, GREY, value]),
        r"picture: ": lambda: assessor.score(value),
    }
    for place, call in calls.items():
        with pytest.raises(ImageError, match=f"^{place}.*{said}"):
            call()


def test_what_floats_overshoot_by_when_rounded_is_cut_off() -> None:
    low, high = take_picture(np.full((4, 4), -0.0009)).loaded.image, take_picture(np.full((4, 4), 1.0009)).loaded.image
    assert low.getextrema() == ((0, 0),) * 3
    assert high.getextrema() == ((255, 255),) * 3


def test_a_file_is_named_before_it_is_loaded_and_must_be_a_picture(tmp_path: Path) -> None:
    file = tmp_path / "p.png"
    Image.fromarray(PIXELS).save(file)
    assert named_picture(str(file)) == load_image(file).ref
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "half.png").write_bytes(file.read_bytes()[:100])
    for name in ("text.jpg", "half.png"):
        with pytest.raises(ImageError, match=re.escape(name)):
            named_picture(tmp_path / name)


def test_the_same_pixels_with_and_without_a_file_are_a_tie_that_nobody_is_asked_about(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "p.png")
    backend = ScriptedBackend()
    result = Assessor(backend, mode="fast").compare(tmp_path / "p.png", TENSOR)
    assert (result.winner, backend.asked) == ("tie", [])
    assert "the same picture" in result.notes[-1]
    assert str(result).splitlines()[0] == "The same picture twice"
    assert "%" not in str(result)  # nobody was asked, so there is no probability


def test_lists_that_are_no_lists_of_pictures() -> None:
    assessor = Assessor(ScriptedBackend(), mode="fast")
    with pytest.raises(InputError, match="pictures is one picture; give a list"):
        assessor.rank("a.jpg")
    for pairs in (["ab"], [(PIXELS,)], [PIXELS]):
        with pytest.raises(InputError, match=r"pairs\[0\] is not a pair of pictures"):
            assessor.compare_many(pairs)  # type: ignore[arg-type]


def test_a_batch_is_a_list_of_pictures_to_rank() -> None:
    backend = ScriptedBackend(
        log_probs=[{" A": -0.1, " B": -3.0, " tie": -9.0}, {" A": -3.0, " B": -0.1, " tie": -9.0}]
    )
    batch = torch.stack([TENSOR, TENSOR.flip(0)])
    ranked = Assessor(backend, mode="fast").rank(batch)
    first, second = (take_picture(one).loaded.ref for one in batch)
    assert sorted(ranked.indices) == [0, 1]
    assert ranked.order == tuple(ref.id for ref in ranked.pictures)
    assert set(ranked.pictures) == {first, second}
    assert ranked.pictures[0] == (first, second)[ranked.indices[0]]
