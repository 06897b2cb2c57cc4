"""The page and the contact sheet in a real Chromium, on a model whose taste is known."""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import expect, shot
from colours import Colours, running
from PIL import Image

from redaes.assessor import Assessor
from redaes.culling.folder import rank_folder
from redaes.culling.rankers import AssessorRanker
from redaes.serving.app import create_app
from redaes.serving.limits import ServiceLimits

pytestmark = pytest.mark.browser

KEY = "a-key-of-the-tests-0123"


@pytest.fixture
def pictures(tmp_path: Path) -> list[str]:
    paths = []
    for name, red in (("dull <b>.png", 60), ("bright.png", 250), ("middle.png", 160), ("=1+1.png", 10)):
        Image.new("RGB", (64, 48), (red, 30, 60)).save(tmp_path / name)
        paths.append(str(tmp_path / name))
    return paths


def test_two_pictures(page: Any, pictures: list[str]) -> None:
    with running(create_app(Colours())) as address:
        page.goto(address)
        expect(page.locator("#model")).to_have_text("colours @ 1")
        assert page.locator("#go").is_disabled()
        page.set_input_files("#files", pictures[:2])
        page.click("#go")
        expect(page.locator("#title")).to_have_text("bright.png is better")
        expect(page.locator("#second")).to_have_class("better")
        assert page.locator("#first figcaption").inner_text() == "A dull <b>.png"  # a name is no HTML
        assert "redder" in page.locator("#rationale").inner_text()
        assert page.locator("#letters").inner_text() == "A is dull <b>.png, B is bright.png"
        assert page.locator("#factors li").all_inner_texts() == ["colour"]
        assert page.locator("#orders tr").count() == 2
        assert page.locator("#consistency").inner_text() == "Both orders agree"
        width = page.locator("#share").evaluate("share => parseFloat(share.style.width)")
        assert 0 < width < 10
        assert "not calibrated" in page.locator("#sure").inner_text()
        assert "none of it is confirmed" in page.locator("#claims").inner_text()
        assert page.locator("#limits").is_hidden()
        shot(page, "verdict")


def test_what_is_false_is_marked_beside_what_was_measured(page: Any, tmp_path: Path) -> None:
    files = []
    for name, spread in (("clean.png", 2.0), ("grainy.png", 25.0)):
        grey = np.random.default_rng(1).normal(128, spread, (240, 320, 1))
        pixels = np.clip(np.broadcast_to(grey, (240, 320, 3)) + np.array([60 - spread, 0, 0]), 0, 255)
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / name)
        files.append(str(tmp_path / name))
    model = Colours()
    model.says = "A is noisier, <i>by far</i>. "
    with running(create_app(model)) as address:
        page.goto(address)
        page.set_input_files("#files", files)
        page.click("#go")
        expect(page.locator("#title")).to_have_text("clean.png is better")
        assert "noisier" in page.locator("#rationale mark").first.inner_text()
        assert "<i>by far</i>" in page.locator("#rationale").inner_text()
        assert "contradicted" in page.locator("#claims").inner_text()
        row = page.locator("#measured tbody tr", has=page.get_by_role("rowheader", name="noise", exact=True))
        assert "contradicts the reasoning" in row.inner_text()
        bars = row.locator(".bar").evaluate_all("bars => bars.map(bar => parseFloat(bar.style.width))")
        assert bars[0] < 50
        assert bars[1] == 100
        shot(page, "contradicted")


def test_undecided_is_no_tie(page: Any, pictures: list[str]) -> None:
    model = Colours()
    model.lean = 20.0
    with running(create_app(model)) as address:
        page.goto(address)
        page.set_input_files("#files", pictures[:2])
        page.click("#go")
        expect(page.locator("#title")).to_have_text("Undecided: the answer changes with the order")
        assert page.locator("#consistency").inner_text() == "The answer changes with the order"
        assert page.locator(".better").count() == 0
        assert page.locator("#rationale").is_hidden()
        shot(page, "undecided")


def test_a_series_by_keyboard(page: Any, pictures: list[str]) -> None:
    with running(create_app(Colours())) as address:
        page.goto(address)
        page.set_input_files("#files", pictures)
        assert page.locator("#go").inner_text() == "Rank 4 pictures"
        page.click("#go")
        expect(page.locator("#series-title")).to_have_text("bright.png leads")
        for key in ("p", "x", "ArrowRight", "x", "u", "ArrowLeft"):
            page.keyboard.press(key)
        assert "3 of 4: dull" in page.locator("#large figcaption").inner_text()
        classes = page.locator("#strip button").evaluate_all("buttons => buttons.map(button => button.className)")
        assert classes == ["pick", "reject", "", ""]
        shot(page, "series")
        with page.expect_download() as download:
            page.click("#save")
        rows = list(csv.reader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8"))))
        assert [row[1] for row in rows[1:]] == ["bright.png", "middle.png", "dull <b>.png", "'=1+1.png"]
        assert [row[4] for row in rows[1:]] == ["pick", "reject", "", ""]
        assert page.locator("#strip button span").all_inner_texts() == ["1 ✓", "2 ✕", "3", "4"]
        page.keyboard.press("c")
        expect(page.locator("#title")).to_have_text("bright.png is better")
        shot(page, "series_compared")
        page.keyboard.press("ArrowRight")
        expect(page.locator("#verdict")).to_be_hidden()
        assert "4 of 4" in page.locator("#large figcaption").inner_text()
        page.keyboard.press("ArrowRight")  # nothing after the last
        assert "4 of 4" in page.locator("#large figcaption").inner_text()


def test_what_goes_wrong_is_said(page: Any, pictures: list[str], tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\nnonsense")
    model = Colours()
    with running(create_app(model, limits=ServiceLimits(max_images=3), api_keys=(KEY,))) as address:
        page.goto(address)
        page.set_input_files("#files", pictures[:2])
        page.click("#go")
        expect(page.locator("#error")).to_contain_text("API key")
        page.fill("#key", KEY)
        page.click("#go")
        expect(page.locator("#verdict")).to_be_visible()
        page.click("#clear")
        page.set_input_files("#files", [pictures[0], str(broken)])
        page.click("#go")
        expect(page.locator("#error")).to_contain_text("damaged or truncated PNG")
        page.click("#clear")
        page.set_input_files("#files", pictures)
        page.click("#go")
        expect(page.locator("#error")).to_contain_text("takes at most 3 at once. Remove 1")
        page.click("#clear")
        model.spoilt = True
        page.set_input_files("#files", pictures[1:3])
        page.click("#go")
        expect(page.locator("#title")).to_have_text("No usable answer")
        shot(page, "wrong")


# --- two pictures at full size --------------------------------------------------------------------------------

SHOWN = "images => images.map((image) => [image.alt, image.naturalWidth, image.style.transform])"


def _looks(page: Any) -> list[list[Any]]:
    for _ in range(600):  # not `wait_for_function`, whose second look the page's security policy forbids
        shown: list[list[Any]] = page.locator("#closer img").evaluate_all(SHOWN)
        if all(width > 0 for _, width, _ in shown):
            return shown
        page.wait_for_timeout(100)
    raise AssertionError(f"pictures are not shown after a minute: {shown}")


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """A series of three, one with a name that means something in HTML and in URLs, and a TIFF by itself."""
    folder = tmp_path / "ph # 1"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(60, 200, (30, 45, 1), dtype=np.uint8)
    base = Image.fromarray(np.broadcast_to(noise, (30, 45, 3)).copy()).resize((900, 600), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif.get_ifd(34665)[36867] = "2024:05:01 12:00:00"
    for name, red in (("a.jpg", 10), ("<b> #100%?.jpg", 50), ("javascript:alert(1).jpg", 30)):
        bands = base.split()
        red_one = bands[0].point([min(255, value + red) for value in range(256)])
        Image.merge("RGB", (red_one, *bands[1:])).save(folder / name, exif=exif.tobytes(), quality=95)
    Image.new("RGB", (300, 200), "teal").save(folder / "alone.tif")
    return folder


@pytest.mark.parametrize("width", [1280, 390])
def test_the_sheet_shows_two_originals_at_full_size(page: Any, photographs: Path, tmp_path: Path, width: int) -> None:
    rank_folder(photographs, tmp_path / "out", AssessorRanker(Assessor(Colours(), mode="fast")))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.set_viewport_size({"width": width, "height": 800})
    page.goto((tmp_path / "out" / "contact_sheet.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    links = page.locator("figure > a")
    assert links.count() == 4
    links.nth(2).focus()
    page.keyboard.press("Enter")
    (best, *at), (worst, *other) = _looks(page)
    assert (best, worst) == ("A: <b> #100%?.jpg", "a.jpg")
    assert at == other
    assert at[0] == 900  # the original, not the small picture
    assert "scale(1)" in at[1]
    shot(page, f"sheet-closer-{width}")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("+")
    (_, *moved), (_, *with_it) = _looks(page)
    assert moved == with_it != at
    page.keyboard.press("PageUp")
    assert _looks(page)[1][:2] == ["B: javascript:alert(1).jpg", 900]
    page.keyboard.press("s")
    slider = page.get_by_role("slider")
    slider.focus()
    page.keyboard.press("Home")
    assert page.locator("#closer .pane:nth-child(2) .view").evaluate("view => view.style.clipPath").endswith("0px)")
    shot(page, f"sheet-slider-{width}")
    assert page.locator("#closer a").first.get_attribute("href").endswith("ph%20%23%201/%3Cb%3E%20%23100%25%3F.jpg")
    page.keyboard.press("Escape")
    assert not page.locator("#closer").is_visible()
    assert all(url.startswith(("file:", "data:")) for url in asked)


def test_what_the_browser_cannot_show_is_said_and_shown_small(page: Any, photographs: Path, tmp_path: Path) -> None:
    rank_folder(photographs, tmp_path / "out", AssessorRanker(Assessor(Colours(), mode="fast")))
    page.goto((tmp_path / "out" / "contact_sheet.html").as_uri())
    page.locator("figure > a").nth(3).click()
    expect(page.locator("#closer .trouble").first).to_contain_text("cannot show this file")
    assert 0 < _looks(page)[0][1] <= 340


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_shows_two_pictures_at_full_size(page: Any, photographs: Path, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    files = sorted(str(path) for path in photographs.glob("*.jpg"))
    with running(create_app(Colours())) as address:
        page.goto(address)
        page.set_input_files("#files", files[:2])
        page.click("#go")
        page.locator("#second .look").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.locator("#second .look").click()
        (first, *at), (second, *other) = _looks(page)
        assert (first, second) == ("<b> #100%?.jpg", "a.jpg")
        assert at == other == [900, at[1]]
        shot(page, f"page-closer-{width}")
        page.get_by_role("button", name="Close (Escape)").click()
        page.click("#clear")
        page.set_input_files("#files", files)
        page.click("#go")
        expect(page.locator("#series-title")).to_have_text("<b> #100%?.jpg leads")
        page.keyboard.press("l")
        assert [one[0] for one in _looks(page)] == ["<b> #100%?.jpg", "javascript:alert(1).jpg"]
        best, other = page.locator("#closer .caption").all_inner_texts()
        assert "the best of the series" in best
        assert "points of 9 behind the best" in other
        page.keyboard.press("x")  # a key of the page behind
        page.keyboard.press("Escape")
        assert page.locator("#strip .reject").count() == 0


def test_the_same_picture_twice_has_no_probability(page: Any, pictures: list[str], tmp_path: Path) -> None:
    with running(create_app(Colours())) as address:
        page.goto(address)
        page.set_input_files("#files", [pictures[0], shutil.copy(pictures[0], tmp_path / "copy.png")])
        page.click("#go")
        expect(page.locator("#title")).to_have_text("The same picture twice")
        assert page.locator("#bar").is_hidden()
        assert page.locator("#sure").inner_text() == ""
