"""Builders of candidates and their refinement, on synthetic photographs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageChops, ImageEnhance, ImageFilter
from skimage.metrics import structural_similarity

from redaes.datagen.series.candidates import CandidatePicture, SeriesCandidate, aigc, cropping, natural
from redaes.datagen.series.refinement import RefinementLimits, iou, load_candidate, refine, ssim
from redaes.errors import InputError

START = datetime(2024, 5, 1, 12, 0, 0)


def photograph(seed: int, size: tuple[int, int] = (240, 180)) -> Image.Image:
    """Areas, edges and fine structure, so that key points are found."""
    rng = np.random.default_rng(seed)
    field = np.zeros((size[1], size[0], 3))
    for scale, kind in ((4, Image.Resampling.BICUBIC), (12, Image.Resampling.NEAREST), (60, Image.Resampling.BICUBIC)):
        coarse = Image.fromarray(rng.integers(0, 256, (scale, scale, 3), dtype=np.uint8))
        field += np.asarray(coarse.resize(size, kind)) / 3.0
    return Image.fromarray(field.astype(np.uint8))


def save(picture: Image.Image, path: Path, taken: datetime | None = None) -> Path:
    exif = Image.Exif()
    if taken is not None:
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = taken.strftime("%Y:%m:%d %H:%M:%S")
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, quality=95, exif=exif)
    return path


def candidate(category: str, paths: Sequence[Path], **more: object) -> SeriesCandidate:
    pictures = tuple(CandidatePicture(path, path.name) for path in paths)
    return SeriesCandidate("one", category, "one", pictures, **more)  # type: ignore[arg-type]


def reasons(found: tuple[tuple[int, str], ...]) -> dict[int, str]:
    return dict(found)


def test_bursts_are_what_was_taken_together(tmp_path: Path) -> None:
    for scene, n in ((1, 3), (2, 2), (3, 1)):
        for shot in range(n):
            moved = ImageChops.offset(photograph(scene), 2 * shot, shot)
            save(moved, tmp_path / f"{scene}{shot}.jpg", START + timedelta(minutes=10 * scene, seconds=shot))
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 no more")
    found = natural([tmp_path])
    assert [[item.path.name for item in one.pictures] for one in found.found] == [
        ["10.jpg", "11.jpg", "12.jpg"],
        ["20.jpg", "21.jpg"],
    ]
    assert sorted((Path(loss.picture).name, loss.reason) for loss in found.dropped) == [
        ("30.jpg", "single"),
        ("broken.jpg", "unreadable"),
    ]
    assert [item.id for item in natural([tmp_path]).found] == [item.id for item in found.found]
    twice = natural([tmp_path, tmp_path])
    assert len(twice.found) == 2
    assert [loss.reason for loss in twice.dropped].count("repeated") == 2


def test_a_folder_is_one_prompts_pictures(tmp_path: Path) -> None:
    for name, n in (("castle", 3), ("alone", 1)):
        for number in range(n):
            save(photograph(number), tmp_path / name / f"{number}.png")
    (tmp_path / "castle/prompt.txt").write_text("a castle\n", encoding="utf-8")
    (tmp_path / "nothing").mkdir()
    found = aigc([tmp_path])
    assert [(one.id, one.prompt, len(one.pictures)) for one in found.found] == [("aigc-castle", "a castle", 3)]
    assert sorted((loss.series, loss.reason) for loss in found.dropped) == [
        ("aigc-alone", "single"),
        ("aigc-nothing", "no_pictures"),
    ]
    with pytest.raises(InputError, match="has no folders in it"):
        aigc([tmp_path / "nothing"])


def test_prompts_of_one_name_in_two_roots(tmp_path: Path) -> None:
    for root, first in (("one", 0), ("two", 2), ("copy", 0)):
        for number in (first, first + 1):
            save(photograph(number), tmp_path / root / "castle" / f"{number}.png")
    (tmp_path / "two/castle/prompt.txt").write_text("a castle at night")
    found = aigc([tmp_path / "one", tmp_path / "two", tmp_path / "copy"])
    first, second = found.found
    assert first.id == "aigc-castle"
    assert second.id.startswith("aigc-castle-")
    assert len(second.id) == len("aigc-castle-") + 8
    assert (first.prompt, second.prompt) == (None, "a castle at night")
    assert first.source == second.source, "they may have one prompt: never parted between training and test"
    assert [picture.path.parent.parent.name for picture in second.pictures] == ["two", "two"]
    assert [(loss.series, loss.reason) for loss in found.dropped] == [("aigc-castle", "repeated")]
    assert aigc([tmp_path / "one", tmp_path / "two"]).found == found.found


def test_crops_keep_the_limits_of_their_overlap(tmp_path: Path) -> None:
    file = save(photograph(1), tmp_path / "a.png")
    limits = RefinementLimits()
    (one,) = cropping([file], n=4, seed=1).found
    assert one == cropping([tmp_path], n=4, seed=1).found[0]
    assert one.pictures != cropping([file], n=4, seed=2).found[0].pictures
    refined = refine(one, limits)
    assert len(refined.kept) == 4
    windows = [one.pictures[place].window for place in refined.kept]
    for number, window in enumerate(windows):
        assert window is not None
        assert min(window) >= 0 <= max(window) <= 1
        for other in windows[:number]:
            assert other is not None
            assert limits.min_iou <= iou(window, other) <= limits.max_iou
    assert {"overlap_low", "overlap_high", "too_many"} >= set(reasons(refined.dropped).values()) != set()
    assert sorted([*refined.kept, *reasons(refined.dropped)]) == list(range(len(one.pictures)))
    with pytest.raises(InputError, match="1 crops"):
        cropping([file], n=1)


def test_a_crop_is_the_part_that_its_window_names(tmp_path: Path) -> None:
    whole = np.asarray(photograph(1))
    file = save(photograph(1), tmp_path / "a.png")
    part = load_candidate(CandidatePicture(file, "x", (0.25, 0.5, 0.75, 1.0)))
    assert np.array_equal(np.asarray(part), whole[90:180, 60:180])


def test_ssim_is_that_of_scikit_image() -> None:
    first = photograph(1, (256, 192))
    for second in (first, first.filter(ImageFilter.GaussianBlur(2)), photograph(2, (256, 192))):
        grey = [np.asarray(Image.fromarray(np.asarray(item))) for item in (first, second)]
        import cv2  # the weights of the channels are OpenCV's

        expected = structural_similarity(*(cv2.cvtColor(item, cv2.COLOR_RGB2GRAY) for item in grey), data_range=255)
        assert ssim(*grey) == pytest.approx(expected, abs=1e-9)


def test_copies_and_flat_pictures_and_damage_are_dropped(tmp_path: Path) -> None:
    first = photograph(1)
    paths = [
        save(first, tmp_path / "0.png"),
        save(first.point(lambda value: min(255, value + 1)), tmp_path / "1.png"),  # nobody sees that
        save(ImageEnhance.Brightness(first).enhance(1.2), tmp_path / "2.png"),
        save(Image.new("RGB", (240, 180), "grey"), tmp_path / "3.png"),
        tmp_path / "4.png",
    ]
    refined = refine(candidate("aigc", paths), RefinementLimits())
    assert refined.kept == (0, 2)
    assert reasons(refined.dropped) == {1: "indiscernible", 3: "empty", 4: "unreadable"}


def test_a_burst_shows_one_scene(tmp_path: Path) -> None:
    first = photograph(1)
    paths = [
        save(photograph(2), tmp_path / "0.png"),
        save(first, tmp_path / "1.png"),
        save(ImageChops.offset(first, 9, 6), tmp_path / "2.png"),
        save(ImageEnhance.Brightness(first).enhance(0.6), tmp_path / "3.png"),
    ]
    refined = refine(candidate("natural", paths), RefinementLimits())
    assert refined.kept == (1, 2, 3)
    assert reasons(refined.dropped) == {0: "dissimilar"}
    assert refine(candidate("aigc", paths), RefinementLimits()).kept == (0, 1, 2, 3), "a prompt has more than one scene"


class NoRed:
    """A check that refuses the word red and reddish pictures, and counts what it sees."""

    name = "no red"

    def __init__(self) -> None:
        self.n_seen = 0

    def __call__(self, pictures: Sequence[Image.Image], prompts: Sequence[str | None]) -> list[str | None]:
        self.n_seen += len(pictures)
        found: list[str | None] = []
        for picture, prompt in zip(pictures, prompts, strict=True):
            red, green, _ = np.asarray(picture).mean((0, 1))
            found.append("reddish" if red > green + 60 or prompt == "red" else None)
        return found


def test_checks_see_what_the_measurements_left(tmp_path: Path) -> None:
    red = Image.merge(
        "RGB",
        [
            band.point(lambda v, up=up: min(255, v + up))
            for band, up in zip(photograph(3).split(), (120, 0, 0), strict=True)
        ],
    )
    paths = [
        save(photograph(1), tmp_path / "0.png"),
        save(red, tmp_path / "1.png"),
        save(photograph(2), tmp_path / "2.png"),
        save(Image.new("RGB", (64, 64)), tmp_path / "3.png"),
    ]
    check = NoRed()
    refined = refine(candidate("aigc", paths), RefinementLimits(), [check])
    assert (refined.kept, check.n_seen) == ((0, 2), 3)
    assert reasons(refined.dropped) == {1: "reddish", 3: "empty"}
    lost = refine(candidate("aigc", paths, prompt="red"), RefinementLimits(), [check])
    assert (lost.kept, lost.reason) == ((), "too_few")


def test_long_series_are_cut_and_short_ones_refused(tmp_path: Path) -> None:
    paths = [save(photograph(number), tmp_path / f"{number}.png") for number in range(4)]
    assert refine(candidate("aigc", paths), RefinementLimits(max_pictures=3)).dropped == ((3, "too_many"),)
    assert refine(candidate("aigc", paths, wanted=2), RefinementLimits()).kept == (0, 1)
    alone = refine(candidate("aigc", paths[:1]), RefinementLimits())
    assert (alone.kept, alone.dropped, alone.reason) == ((), (), "too_few")


@pytest.mark.parametrize("wrong", [{"min_iou": 0.9}, {"max_ssim": 1.5}, {"max_pictures": 1}, {"min_places": 0}])
def test_impossible_limits_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError):
        RefinementLimits(**wrong)  # type: ignore[arg-type]
