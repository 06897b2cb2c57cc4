"""Which photographs make a series: made-up scenes shot several times, and different things in one layout."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageDraw, ImageEnhance, ImageFilter

from redaes.culling.detail import detail_of, shared_detail
from redaes.culling.given_pictures import given_pictures
from redaes.culling.grouping import GroupingLimits, PhotographSeries, group, scan
from redaes.culling.layout import LayoutIndex, layout_likeness
from redaes.errors import InputError

START = datetime(2024, 5, 1, 12, 0, 0)
WIDTH, HEIGHT = 360, 270


def scene(seed: int) -> Image.Image:
    """Something with detail everywhere: ninety shapes of many sizes."""
    rng = np.random.default_rng(seed)
    picture = Image.new("RGB", (WIDTH, HEIGHT), tuple(int(value) for value in rng.integers(60, 200, 3)))
    draw = ImageDraw.Draw(picture)
    for _ in range(90):
        x, y, size = rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT), 4 + 40 * rng.random() ** 2
        colour = tuple(int(value) for value in rng.integers(0, 255, 3))
        corners = [(x + size * np.cos(turn), y + size * np.sin(turn)) for turn in np.sort(rng.uniform(0, 6.3, 5))]
        draw.polygon(corners, fill=colour)
    return picture.filter(ImageFilter.GaussianBlur(0.7))


def moved(picture: Image.Image, *, x: float = 0, y: float = 0, turn: float = 0, zoom: float = 1) -> Image.Image:
    """Another shot: what lies outside the frame comes in at the other edge."""
    matrix = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), turn, zoom)
    matrix[:, 2] += (x, y)
    pixels = cv2.warpAffine(np.asarray(picture), matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)
    return Image.fromarray(pixels)


def noisy(picture: Image.Image, spread: float = 12) -> Image.Image:
    noise = np.random.default_rng(0).normal(0, spread, (picture.height, picture.width, 3))
    return Image.fromarray(np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8))


def subject_moved(picture: Image.Image) -> Image.Image:
    """A patch in the middle, cut out and laid 20 pixels aside."""
    changed = picture.copy()
    box = (140, 90, 220, 180)
    changed.paste(picture.crop((250, 90, 330, 180)), box)
    changed.paste(picture.crop(box), (160, 100))
    return changed


def save(picture: Image.Image, path: Path, taken: datetime | None = None) -> Path:
    exif = Image.Exif()
    if taken is not None:
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = taken.strftime("%Y:%m:%d %H:%M:%S")
    picture.save(path, quality=92, exif=exif)
    return path


def names(series: list[PhotographSeries]) -> list[list[str]]:
    return [[picture.ref.path.stem for picture in one.pictures] for one in series]


def grouped(folder: Path, limits: GroupingLimits | None = None) -> list[PhotographSeries]:
    return group(scan(sorted(folder.iterdir()))[0], limits)


# --- likeness ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shot",
    [
        lambda one: moved(one, x=25, y=-15),
        lambda one: moved(one, turn=4),
        lambda one: moved(one, zoom=1.15),
        lambda one: ImageEnhance.Brightness(one).enhance(0.5),
        lambda one: ImageEnhance.Color(one).enhance(0.4),
        lambda one: one.filter(ImageFilter.GaussianBlur(2)),
        noisy,
        lambda one: one.resize((240, 180)),
    ],
    ids=["shift", "turn", "zoom", "darker", "paler", "out of focus", "noise", "smaller"],
)
def test_another_shot_of_one_thing_is_like_it(shot: Callable[[Image.Image], Image.Image]) -> None:
    first, second = detail_of(scene(1)), detail_of(shot(scene(1)))
    assert min(shared_detail(first, second).likeness, shared_detail(second, first).likeness) >= 0.9


def test_what_moved_by_itself_is_still_there() -> None:
    likeness = shared_detail(detail_of(scene(3)), detail_of(subject_moved(scene(3)))).likeness
    assert likeness >= 0.87
    replaced = scene(3)
    replaced.paste(scene(4).crop((110, 60, 250, 210)), (110, 60))
    assert shared_detail(detail_of(scene(3)), detail_of(replaced)).likeness < 0.75


def test_the_mapping_says_how_one_lies_over_the_other() -> None:
    mapping = shared_detail(detail_of(scene(1)), detail_of(moved(scene(1), x=20, y=-8))).mapping
    assert mapping is not None
    np.testing.assert_allclose(mapping, [[1, 0, 20], [0, 1, -8]], atol=0.6)


def test_flat_pictures_are_like_nothing() -> None:
    flat = Image.new("RGB", (320, 240), (128, 128, 128))
    assert shared_detail(detail_of(flat), detail_of(flat)).likeness == 0.0
    grey = np.full((24, 24), 128, dtype=np.uint8)
    assert layout_likeness(grey, grey[None]).tolist() == [0.0]
    assert LayoutIndex([grey, grey]).most_alike(0, [1]) == []
    assert shared_detail(detail_of(Image.new("RGB", (1, 1))), detail_of(scene(1))).likeness == 0.0


# --- one layout, different things -------------------------------------------------------------------------------------


def horizon(seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    pixels = np.full((320, 480, 3), (70.0, 100.0, 140.0))
    line = int(rng.integers(150, 175))
    pixels[:line] = (170, 200, 235)
    picture = Image.fromarray((pixels + rng.normal(0, 4, pixels.shape)).clip(0, 255).astype(np.uint8))
    x, mast = int(rng.integers(40, 420)), int(rng.integers(50, 90))
    ImageDraw.Draw(picture).polygon([(x, line), (x + 20, line - mast), (x + 40, line)], fill="white")
    return picture


def portrait(seed: int, backdrop: NDArray[np.uint8] | None = None) -> Image.Image:
    rng = np.random.default_rng(seed)
    plain = np.full((480, 320, 3), 215, dtype=np.uint8)
    picture = Image.fromarray(plain if backdrop is None else backdrop)
    draw = ImageDraw.Draw(picture)

    def colour(least: int, most: int) -> tuple[int, ...]:
        return tuple(int(value) for value in rng.integers(least, most, 3))

    draw.ellipse((88, 72, 232, 200), fill=colour(10, 120))
    draw.rectangle((48, 272, 272, 480), fill=colour(20, 200))
    for y in range(280, 480, int(rng.integers(12, 40))):
        draw.line((48, y, 272, y), fill=colour(0, 255), width=3)
    draw.ellipse((96, 96, 224, 264), fill=colour(120, 220))
    eyes, mouth = int(rng.integers(18, 34)), int(rng.integers(12, 34))
    for side in (-eyes, eyes):
        draw.ellipse((160 + side - 9, 155, 160 + side + 9, 167), fill=colour(0, 255))
    draw.arc((160 - mouth, 205, 160 + mouth, 235), 10, 170, fill=(150, 40, 50), width=4)
    return noisy(picture.filter(ImageFilter.GaussianBlur(1)), 3)


def before_a_backdrop(seed: int) -> Image.Image:
    rng = np.random.default_rng(99)  # the same one each time, with all its folds
    folds = sum(
        cv2.resize(rng.normal(0, amount, (480 // cell, 320 // cell)).astype(np.float32), (320, 480))
        for cell, amount in ((40, 14), (12, 8), (5, 4))
    )
    return portrait(seed, np.clip(130 + np.repeat(np.asarray(folds)[..., None], 3, axis=2), 0, 255).astype(np.uint8))


def receipt(seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    picture = Image.new("RGB", (420, 800), (60, 50, 45))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((80, 30, 340, 770), fill=(236, 235, 230))
    draw.text((140, 45), "SUPERMARKET", fill=(40, 40, 40))
    y = 90
    while y < 730:
        item = "".join(chr(97 + int(letter)) for letter in rng.integers(0, 26, 9))
        draw.text((95, y), f"{item} {rng.random() * 50:.2f}", fill=(45, 45, 45))
        y += int(rng.integers(18, 26))
    return picture


def invoice(seed: int) -> Image.Image:
    """A printed form, filled in: its lines are the same each time."""
    rng = np.random.default_rng(seed)
    picture = Image.new("RGB", (512, 724), (250, 250, 250))
    draw = ImageDraw.Draw(picture)
    draw.line((50, 75, 462, 75), fill=(20, 20, 90), width=3)
    for y in range(110, 640, 38):
        draw.rectangle((50, y, 462, y + 30), outline=(120, 120, 120))
        item = "".join(chr(97 + int(letter)) for letter in rng.integers(0, 26, 20))
        draw.text((58, y + 9), f"{item}   {rng.random() * 900:.2f}", fill=(20, 20, 20))
    return picture


def plate(seed: int) -> Image.Image:
    """A dish on a table that is the same each time, grain and all."""
    table = np.random.default_rng(98)
    grain = cv2.resize(table.normal(0, 16, (110, 8)).astype(np.float32), (480, 330)) + table.normal(0, 4, (330, 480))
    picture = Image.fromarray(np.clip(np.array([150, 105, 70]) + grain[..., None], 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((110, 35, 370, 295), fill=(240, 240, 238))
    rng = np.random.default_rng(seed)
    for _ in range(16):
        x, y, size = 240 + rng.normal(0, 45), 165 + rng.normal(0, 45), rng.uniform(8, 38)
        corners = [(x + size * np.cos(turn), y + size * np.sin(turn)) for turn in np.sort(rng.uniform(0, 6.3, 6))]
        draw.polygon(corners, fill=tuple(int(value) for value in rng.integers(20, 240, 3)))
    return picture.filter(ImageFilter.GaussianBlur(0.8))


@pytest.mark.parametrize("kind", [horizon, portrait, before_a_backdrop, receipt, invoice, plate])
@pytest.mark.parametrize("every_s", [None, 15])
def test_one_layout_is_not_one_thing(tmp_path: Path, kind: Callable[[int], Image.Image], every_s: int | None) -> None:
    for seed in range(4):
        taken = None if every_s is None else START + timedelta(seconds=seed * every_s)
        save(kind(seed), tmp_path / f"{seed}.jpg", taken)
    assert [len(series.pictures) for series in grouped(tmp_path)] == [1] * 4


# --- time and series --------------------------------------------------------------------------------------------------


def test_time_parts_what_looks_alike(tmp_path: Path) -> None:
    for hour in range(2):
        save(moved(scene(1), x=hour), tmp_path / f"{hour}.jpg", START + timedelta(hours=hour))
    assert names(grouped(tmp_path)) == [["0"], ["1"]]


def test_looks_part_what_was_taken_together_and_join_what_has_no_time(tmp_path: Path) -> None:
    for seed in (1, 2):
        save(scene(seed), tmp_path / f"{seed}a.jpg", START)
        save(ImageEnhance.Brightness(scene(seed)).enhance(0.9), tmp_path / f"{seed}b.png")
    assert names(grouped(tmp_path)) == [["1a", "1b"], ["2a", "2b"]]


def test_an_edit_without_a_time_meets_its_original_among_many(tmp_path: Path) -> None:
    for number in range(20):
        save(scene(number), tmp_path / f"{number:02d}.jpg", START + timedelta(minutes=5 * number))
    save(ImageEnhance.Color(scene(2)).enhance(0.5).resize((300, 225)), tmp_path / "edited.png")
    found = grouped(tmp_path)
    assert ["02", "edited"] in names(found)
    assert [len(series.pictures) for series in found].count(1) == 19


def test_a_quick_burst_beside_a_slow_one_stays_whole(tmp_path: Path) -> None:
    for tenth in range(0, 24, 2):
        taken = START + timedelta(seconds=tenth / 10)
        save(moved(scene(1), x=tenth % 7), tmp_path / f"quick{tenth:02d}.jpg", taken)
    for second in range(3):
        save(moved(scene(2), y=second), tmp_path / f"slow{second}.jpg", START + timedelta(seconds=second))
    assert sorted(len(series.pictures) for series in grouped(tmp_path)) == [3, 12]


def test_two_cameras_in_two_zones_and_an_edit_saved_later(tmp_path: Path) -> None:
    """One instant by offsets; and of the edit only the date of its last change is known, days after."""
    for name, hour, offset in (("phone", 12, "+02:00"), ("camera", 6, "-04:00"), ("later", 12, "-04:00")):
        exif = Image.Exif()
        details = exif.get_ifd(ExifTags.IFD.Exif)
        details[ExifTags.Base.DateTimeOriginal] = f"2024:05:01 {hour:02d}:00:00"
        details[ExifTags.Base.OffsetTimeOriginal] = offset
        moved(scene(1), x=len(name)).save(tmp_path / f"{name}.jpg", quality=92, exif=exif)
    for name, day in (("edit", 7), ("second edit", 9)):
        exif = Image.Exif()
        exif[ExifTags.Base.DateTime] = f"2024:05:{day:02d} 09:00:00"
        ImageEnhance.Color(moved(scene(1), x=6)).enhance(0.6).save(
            tmp_path / f"{name}.jpg", quality=90 + day, exif=exif
        )
    assert names(grouped(tmp_path)) == [["camera", "phone", "edit", "second edit"], ["later"]]


def test_every_picture_is_like_the_common_one(tmp_path: Path) -> None:
    """A camera that turns away: neighbours are alike, ends are not."""
    wide = Image.new("RGB", (WIDTH * 3, HEIGHT))
    for part in range(3):
        wide.paste(scene(20 + part), (part * WIDTH, 0))
    shots = [wide.crop((left, 0, left + WIDTH, HEIGHT)) for left in range(0, 2 * WIDTH, 80)]
    for number, shot in enumerate(shots):
        save(shot, tmp_path / f"{number}.jpg", START + timedelta(seconds=20 * number))
    found = grouped(tmp_path)
    assert 1 < len(found) < len(shots)
    details = [detail_of(shot) for shot in shots]
    for series in found:
        places = [int(picture.ref.path.stem) for picture in series.pictures]
        least = [min(shared_detail(details[one], details[other]).likeness for other in places) for one in places]
        assert max(least) > 0.85


def test_one_between_two_that_are_not_alike_joins_them(tmp_path: Path) -> None:
    still = moved(scene(5), zoom=1)
    for name, zoom in (("a", 1.0), ("b", 1.7), ("c", 1.3)):
        save(moved(still, zoom=zoom), tmp_path / f"{name}.png")
    first, last, middle = (detail_of(moved(still, zoom=zoom)) for zoom in (1.0, 1.7, 1.3))
    assert shared_detail(first, last).likeness < 0.9
    assert min(shared_detail(first, middle).likeness, shared_detail(last, middle).likeness) >= 0.9
    assert names(grouped(tmp_path)) == [["a", "b", "c"]]


def test_copies_stay_together_whatever_they_show(tmp_path: Path) -> None:
    flat = Image.new("RGB", (64, 48), (90, 90, 90))
    for name in ("a", "b"):
        save(flat, tmp_path / f"{name}.png")
    assert names(grouped(tmp_path)) == [["a", "b"]]


def test_a_file_that_vanishes_is_like_nothing(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(moved(scene(1), x=len(name)), tmp_path / f"{name}.jpg", START + timedelta(seconds=ord(name)))
    photographs, _ = scan(sorted(tmp_path.iterdir()))
    (tmp_path / "a.jpg").write_bytes(b"")
    ImageEnhance.Brightness(scene(1)).enhance(0.8).save(tmp_path / "c.jpg")
    photographs += scan([tmp_path / "c.jpg"])[0]
    assert names(group(photographs)) == [["a"], ["b", "c"]]


# --- limits and doubt -------------------------------------------------------------------------------------------------


def test_limits_are_the_users(tmp_path: Path) -> None:
    save(scene(1), tmp_path / "a.jpg", START)
    save(moved(scene(1), x=5), tmp_path / "b.jpg", START + timedelta(seconds=30))
    save(scene(2), tmp_path / "c.jpg", START + timedelta(seconds=40))
    assert names(grouped(tmp_path)) == [["a", "b"], ["c"]]
    assert names(grouped(tmp_path, GroupingLimits(gap_s=10))) == [["a"], ["b"], ["c"]]
    assert names(grouped(tmp_path, GroupingLimits(likeness=1.0))) == [["a"], ["b"], ["c"]]
    by_time = grouped(tmp_path, GroupingLimits(likeness=0.0))
    assert names(by_time) == [["a", "b", "c"]]
    assert by_time[0].doubt == "put together by time alone"


def test_where_likeness_is_weak_there_is_doubt(tmp_path: Path) -> None:
    """Half a second apart less likeness is enough, and nothing may be marked as worse."""
    replaced = scene(6)
    replaced.paste(scene(7).crop((140, 80, 250, 190)), (140, 80))
    likeness = shared_detail(detail_of(scene(6)), detail_of(replaced)).likeness
    assert 0.75 <= likeness < 0.87
    save(scene(6), tmp_path / "a.jpg", START)
    save(replaced, tmp_path / "b.jpg", START)
    (series,) = grouped(tmp_path)
    assert "not all pictures are surely of one thing" in (series.doubt or "")
    assert [one.doubt for one in grouped(tmp_path, GroupingLimits(likeness=0.99))] == [None, None]


@pytest.mark.parametrize(("name", "value"), [("gap_s", -1.0), ("gap_s", float("nan")), ("likeness", 1.5)])
def test_impossible_limits_are_refused(name: str, value: float) -> None:
    with pytest.raises(InputError, match="give 0"):
        GroupingLimits(**{name: value})


def test_series_as_the_user_has_them(tmp_path: Path) -> None:
    for name in ("one/1.jpg", "one/10.jpg", "one/9.jpg", "two/1.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        save(scene(len(name)), tmp_path / name)
    photographs, _ = scan(sorted(tmp_path.rglob("*.jpg")))
    by_folder = group(photographs, GroupingLimits(by="folder"))
    assert [(names([one])[0], one.doubt) for one in by_folder] == [(["1", "9", "10"], None), (["1"], None)]
    assert [len(one) for one in group(photographs, GroupingLimits(by="all"))] == [4]


def test_one_of_several_folders_that_cannot_be_read_does_not_end_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        save(scene(1), tmp_path / name / "a.jpg")
    scandir = os.scandir

    def refusing(place: str | Path) -> object:
        if Path(place).name == "one":
            raise PermissionError(13, "Permission denied", str(place))
        return scandir(place)

    monkeypatch.setattr(os, "scandir", refusing)
    _, found = given_pictures([tmp_path / "one", tmp_path / "two"])
    assert found.pictures == (tmp_path / "two" / "a.jpg",)
    assert [path for path, _ in found.unreadable] == [tmp_path / "one"]
    with pytest.raises(InputError, match="cannot be read"):
        given_pictures(tmp_path / "one")


def test_a_folder_or_pictures_from_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one/a.jpg", "one/b.jpg", "one/clip.mp4", "two/c.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        save(scene(1), (tmp_path / name).with_suffix(".jpg")).rename(tmp_path / name)
    one, two, single = tmp_path / "one", tmp_path / "two", tmp_path / "one" / "a.jpg"

    def listed(given: Path | list[Path], *exclude: str) -> tuple[Path, tuple[Path, ...]]:
        root, found = given_pictures(given, exclude)
        return root, found.pictures

    assert listed(one) == listed([one]) == (one, (single, one / "b.jpg"))
    assert listed([single]) == (one, (single,))
    assert listed([single, two, one, one / ".." / "one" / "b.jpg"]) == (
        tmp_path,
        (single, two / "c.jpg", one / "b.jpg"),
    )
    assert listed([one, two], "b.*") == (tmp_path, (single, two / "c.jpg"))
    root, found = given_pictures([one, two])
    assert [left_out.in_words(root) for left_out in found.passed_over] == [
        f"left out: videos: 1 ({Path('one', 'clip.mp4')})"
    ]
    hidden = one / ".hidden"
    hidden.mkdir()
    root, found = given_pictures([tmp_path, one])
    assert [left_out.in_words(root) for left_out in found.passed_over] == [
        f"left out: hidden folders: 1 ({Path('one', '.hidden')}); to include one, give it as DIR",
        f"left out: videos: 1 ({Path('one', 'clip.mp4')})",
    ]
    save(scene(2), hidden / "d.jpg")
    root, found = given_pictures([one, hidden])
    assert found.pictures == (single, one / "b.jpg", hidden / "d.jpg")
    assert [left_out.in_words(root) for left_out in found.passed_over] == ["left out: videos: 1 (clip.mp4)"]
    (tmp_path / "empty").mkdir()
    root, found = given_pictures([tmp_path / "empty", two])
    assert found.pictures == (two / "c.jpg",)
    assert [left_out.in_words(root) for left_out in found.passed_over] == [
        "left out: folders without a picture: 1 (empty)"
    ]
    with pytest.raises(InputError, match=r"no pictures found in .*empty"):
        given_pictures([tmp_path / "empty", tmp_path / "empty"])
    with pytest.raises(InputError, match=r"not a valid \.gitignore pattern"):
        given_pictures([tmp_path / "empty", two], ["!"])
    monkeypatch.chdir(tmp_path)
    assert listed([Path("one/a.jpg"), Path("two")]) == (Path("."), (Path("one/a.jpg"), Path("two/c.jpg")))
    with pytest.raises(InputError, match=r"nothing\.jpg: no such file or folder"):
        listed([single, tmp_path / "nothing.jpg"])
    with pytest.raises(InputError, match="no such folder"):
        listed(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no pictures were given"):
        listed([])
