"""Series that are meant: recognised and left as they are; and bursts that are none of them."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageDraw, ImageEnhance, ImageFilter

from redaes.assessor import Assessor
from redaes.culling.folder import rank_folder
from redaes.culling.grouping import GroupingLimits, PhotographSeries, group, scan
from redaes.culling.rankers import AssessorRanker

Tag = ExifTags.Base
START = datetime(2024, 5, 1, 12, 0, 0)
WIDTH, HEIGHT = 320, 240


def scene(seed: int, width: int = WIDTH) -> Image.Image:
    rng = np.random.default_rng(seed)
    picture = Image.new("RGB", (width, HEIGHT), (110, 120, 130))
    draw = ImageDraw.Draw(picture)
    for _ in range(width // 3):
        x, y, size = rng.uniform(0, width), rng.uniform(0, HEIGHT), 4 + 30 * rng.random() ** 2
        corners = [(x + size * np.cos(turn), y + size * np.sin(turn)) for turn in np.sort(rng.uniform(0, 6.3, 5))]
        draw.polygon(corners, fill=tuple(int(value) for value in rng.integers(20, 235, 3)))
    return picture.filter(ImageFilter.GaussianBlur(0.6))


def save(picture: Image.Image, path: Path, seconds: float, **details: Any) -> None:
    exif = Image.Exif()
    exif[Tag.Model] = "One"
    taken = START + timedelta(seconds=seconds)
    part = exif.get_ifd(ExifTags.IFD.Exif)
    part[Tag.DateTimeOriginal] = taken.strftime("%Y:%m:%d %H:%M:%S")
    part[Tag.SubsecTimeOriginal] = f"{taken.microsecond // 1000:03d}"
    part.update({Tag[name]: value for name, value in details.items()})
    picture.save(path, quality=93, exif=exif)


def found(folder: Path, limits: GroupingLimits | None = None) -> list[PhotographSeries]:
    return group(scan(sorted(folder.glob("*.jpg")))[0], limits)


def shape(series: list[PhotographSeries]) -> list[tuple[int, str | None]]:
    return [(len(one), one.meant) for one in series]


@pytest.mark.parametrize("biases", [(0.0, -2.0, 2.0), (-1.0, 0.0, 1.0), (0.0, -1.0, 1.0, -2.0, 2.0)])
def test_a_bracket_by_compensation_is_left_as_it_is(tmp_path: Path, biases: tuple[float, ...]) -> None:
    for number, bias in enumerate(2 * biases):
        light = ImageEnhance.Brightness(scene(1)).enhance(1.25**bias)
        save(light, tmp_path / f"{number}.jpg", number / 2, ExposureBiasValue=bias)
    spread = max(biases) - min(biases)
    assert shape(found(tmp_path)) == [(2 * len(biases), f"an exposure bracket over {spread:.1f} stops")]


def test_a_bracket_by_shutter_and_the_burst_after_it(tmp_path: Path) -> None:
    for number, time in enumerate((1 / 100, 1 / 400, 1 / 25)):
        light = ImageEnhance.Brightness(scene(1)).enhance((time * 100) ** 0.3)
        save(light, tmp_path / f"a{number}.jpg", number, ExposureTime=time, FNumber=8.0, ISOSpeedRatings=100)
    for number in range(3):
        save(scene(2), tmp_path / f"b{number}.jpg", 20 + number, ExposureTime=1 / 100, FNumber=8.0, ISOSpeedRatings=100)
    assert shape(found(tmp_path)) == [(3, "an exposure bracket over 4.0 stops"), (3, None)]


def test_exposures_that_follow_the_light_are_no_bracket(tmp_path: Path) -> None:
    for number, time in enumerate((1 / 100, 1 / 125, 1 / 160, 1 / 125, 1 / 100)):
        save(
            scene(1), tmp_path / f"{number}.jpg", number, ExposureTime=time, ISOSpeedRatings=100, ExposureBiasValue=0.0
        )
    assert shape(found(tmp_path)) == [(5, None)]


def test_a_time_lapse_is_left_as_it_is(tmp_path: Path) -> None:
    for number in range(14):
        light = ImageEnhance.Brightness(scene(1)).enhance(1 - number / 20)
        save(light, tmp_path / f"{number:02d}.jpg", 10 * number + (0.4 if number % 3 else 0))
    assert shape(found(tmp_path)) == [(14, "a time-lapse: 14 pictures, one every 10 seconds")]


def test_neither_people_nor_different_things_make_a_time_lapse(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number, seconds in enumerate(np.cumsum(rng.uniform(2, 9, 14))):
        save(scene(1), tmp_path / f"{number:02d}.jpg", float(seconds))
    assert shape(found(tmp_path)) == [(14, None)]
    for number in range(14):
        save(scene(number), tmp_path / f"{number:02d}.jpg", 300 * number)
    assert shape(found(tmp_path)) == [(1, None)] * 14


@pytest.mark.parametrize("step", [100, 180])
def test_a_panorama_is_left_as_it_is(tmp_path: Path, step: int) -> None:
    wide = scene(3, WIDTH + 4 * step)
    for number in range(5):
        save(wide.crop((number * step, 0, number * step + WIDTH, HEIGHT)), tmp_path / f"{number}.jpg", 4 * number)
    assert shape(found(tmp_path)) == [(5, "a panorama of 5 pictures")]


def test_a_hand_that_moves_makes_no_panorama(tmp_path: Path) -> None:
    wide = scene(3, WIDTH + 60)
    for number, left in enumerate((0, 40, 10, 55, 20)):
        save(wide.crop((left, 0, left + WIDTH, HEIGHT)), tmp_path / f"{number}.jpg", 4 * number)
    assert shape(found(tmp_path)) == [(5, None)]


def focused(seed: int, at: float) -> Image.Image:
    """Sharp in one column, and less so away from it."""
    still = scene(seed)
    picture = Image.new("RGB", still.size)
    for left in range(0, WIDTH, 20):
        blur = 4 * abs((left + 10) / WIDTH - at)
        picture.paste(still.filter(ImageFilter.GaussianBlur(blur)).crop((left, 0, left + 20, HEIGHT)), (left, 0))
    return picture


def test_a_focus_stack_is_left_as_it_is(tmp_path: Path) -> None:
    for number in range(6):
        save(focused(4, number / 5), tmp_path / f"{number}.jpg", number)
    assert shape(found(tmp_path)) == [(6, "a focus stack of 6 pictures")]
    for number in range(6):
        save(scene(4), tmp_path / f"{number}.jpg", number, SubjectDistance=0.3 + 0.01 * number)
    assert shape(found(tmp_path)) == [(6, "a focus stack of 6 pictures")]


def test_a_burst_of_which_some_are_blurred_is_no_focus_stack(tmp_path: Path) -> None:
    for number, blur in enumerate((0, 2.5, 0.8, 3, 0.3, 1.5)):
        save(scene(4).filter(ImageFilter.GaussianBlur(blur)), tmp_path / f"{number}.jpg", number, SubjectDistance=0.3)
    assert shape(found(tmp_path)) == [(6, None)]


class Silent:
    """A judge that must not be asked."""

    model, revision = "silent", "1"

    def read(self, requests: object, choices: object) -> object:
        raise AssertionError("nobody asks which picture of a bracket is the best")

    generate = read


def test_what_is_meant_is_not_ranked_and_says_so(tmp_path: Path) -> None:
    place = tmp_path / "photos"
    place.mkdir()
    for number, bias in enumerate((0.0, -2.0, 2.0)):
        save(
            ImageEnhance.Brightness(scene(1)).enhance(1.25**bias),
            place / f"{number}.jpg",
            number,
            ExposureBiasValue=bias,
        )
    save(scene(2), place / "single.jpg", 600)
    ranker = AssessorRanker(Assessor(Silent(), mode="fast"))  # type: ignore[arg-type]
    summary = rank_folder(place, tmp_path / "out", ranker, write_xmp=True)
    assert (summary.n_series, summary.n_meant, summary.failed) == (2, 1, ())
    first, second = (json.loads(line) for line in (tmp_path / "out" / "ranking.jsonl").read_text().splitlines())
    assert (first["meant"], first["failure"], second["meant"]) == ("an exposure bracket over 4.0 stops", None, None)
    assert [one["place"] for one in first["pictures"]] == [None] * 3
    assert not list(place.glob("*.xmp"))
    page = (tmp_path / "out" / "contact_sheet.html").read_text(encoding="utf-8")
    assert "Left as it is, because it seems to be an exposure bracket over 4.0 stops." in page
    assert shape(found(place, GroupingLimits(by="all"))) == [(4, None)]
