"""Teaching on the page in a real Chromium: questions, keys, what is kept, and the files that are saved."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import Any

import pytest
from chromium import expect
from colours import Colours, running
from PIL import Image

from redaes.assessor import Assessor
from redaes.culling.grouping import GroupingLimits
from redaes.culling.series_answers import find_series, said_of
from redaes.serving.app import create_app
from redaes.serving.teach_folder import FolderSeries, TeachDesk, teach_app

pytestmark = pytest.mark.browser

GREENS = {"=1+1.png": 240, "b <i>.png": 190, "c.png": 130, "d.png": 60}
"""How green each picture is. The model likes red, of which all but one have the same: the person likes green."""


@pytest.fixture
def pictures(tmp_path: Path) -> list[str]:
    paths = []
    for number, (name, green) in enumerate(GREENS.items()):
        Image.new("RGB", (64, 48), (100 + number, green, 60)).save(tmp_path / name)
        paths.append(str(tmp_path / name))
    return paths


def begin(page: Any, pictures: list[str]) -> None:
    page.set_input_files("#files", pictures)
    page.click("#go")
    page.click("#teach-begin")


def progress(page: Any, text: str) -> None:
    expect(page.locator("#teach-progress")).to_contain_text(text)
    expect(page.locator("#prefer-left")).to_be_enabled()


def asked(page: Any) -> tuple[str, str]:
    left, right = (page.locator(f"#teach-{side} .name").inner_text() for side in ("left", "right"))
    return left, right


def saved(page: Any, button: str) -> list[list[str]]:
    with page.expect_download() as download:
        page.click(button)
    assert download.value.suggested_filename == "answers.csv"
    return list(csv.reader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8"))))


def shot(page: Any, name: str) -> None:
    folder = os.environ.get("REDAES_SCREENSHOTS")
    if folder:
        page.screenshot(path=str(Path(folder) / f"{name}.png"))


def test_the_order_follows_the_answers_by_keyboard(page: Any, pictures: list[str]) -> None:
    with running(create_app(Colours())) as address:
        page.goto(address)
        page.set_input_files("#files", pictures)
        page.click("#go")
        expect(page.locator("#series-title")).to_have_text("d.png leads")
        page.keyboard.press("p")
        page.click("#teach-begin")
        progress(page, "0 answered")
        expect(page.locator("#series")).to_be_hidden()
        with page.expect_request("**/v1/teach") as request:
            page.select_option("#teach-aim", "order")
        assert request.value.post_data_json["aim"] == "order"
        pairs = []
        for number in range(6):
            progress(page, f"{number} answered")
            left, right = asked(page)
            pairs.append({left, right})
            page.keyboard.press("ArrowLeft" if GREENS[left] > GREENS[right] else "ArrowRight")
        expect(page.locator("#teach-done")).to_be_visible()
        assert len({frozenset(pair) for pair in pairs}) == 6  # none is asked twice
        page.keyboard.press("ArrowLeft")  # nothing is asked
        page.keyboard.press("z")
        progress(page, "5 answered")
        assert set(asked(page)) == pairs[-1]
        page.keyboard.press("=")
        expect(page.locator("#teach-progress")).to_contain_text("6 answered")
        alts = page.locator("#teach-order img").evaluate_all("images => images.map(image => image.alt)")
        assert alts[0] == "=1+1.png"
        rows = saved(page, "#save-answers")
        assert rows[0] == ["first", "second", "winner", "series"]
        assert [row[2] for row in rows[1:]].count("tie") == 1
        assert {row[3] for row in rows[1:]} == {"'=1+1.png and 3 more"}
        for first, second, winner, _ in rows[1:-1]:
            greener = GREENS[first.removeprefix("'")] > GREENS[second.removeprefix("'")]
            assert winner == ("first" if greener else "second")
        page.keyboard.press("Escape")
        expect(page.locator("#series-title")).to_have_text("=1+1.png leads")
        expect(page.locator("#series-provenance")).to_contain_text("with 6 answers of yours")
        picked = page.locator("#strip .pick").get_attribute("aria-label")
        assert "d.png" in picked  # decisions stay with their pictures


def test_answers_outlive_the_page_and_go_on(page: Any, pictures: list[str]) -> None:
    with running(create_app(Colours())) as address:
        page.goto(address)
        begin(page, pictures[:3])
        progress(page, "0 answered")
        page.click("#prefer-neither")
        progress(page, "1 answered")
        page.click("#prefer-left")
        progress(page, "2 answered")
        page.reload()
        expect(page.locator("#kept-n")).to_contain_text("2 answers of yours")
        assert len(saved(page, "#kept-save")) == 3
        begin(page, pictures[:3])
        progress(page, "2 answered")
        page.click("#undo")
        progress(page, "1 answered")
        expect(page.locator("#kept-n")).to_contain_text("1 answer of yours")
        page.on("dialog", lambda dialog: dialog.accept())
        page.click("#kept-forget")
        expect(page.locator("#kept-answers")).to_be_hidden()


def test_a_slip_is_taken_back_while_it_is_under_way(page: Any, pictures: list[str]) -> None:
    with running(create_app(Colours())) as address:
        page.goto(address)
        begin(page, pictures[:3])
        progress(page, "0 answered")
        before = asked(page)
        held: list[Any] = []

        def hold(route: Any) -> None:
            held.append(route)
            if len(held) > 1:
                route.continue_()

        page.route("**/v1/teach", hold)
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowLeft")  # of pictures that nobody has seen
        page.keyboard.press("z")
        while not held:
            page.wait_for_timeout(20)
        held[0].continue_()
        while len(held) < 2:
            page.wait_for_timeout(20)
        expect(page.locator("#kept-answers")).to_be_hidden()
        progress(page, "0 answered")
        assert asked(page) == before


def test_questions_spread_over_several_series(page: Any, pictures: list[str]) -> None:
    with running(create_app(Colours())) as address:
        page.goto(address)
        for some in (pictures[:3], pictures[1:]):
            begin(page, some)
            progress(page, "0 answered")
            page.click("#clear")
        begin(page, pictures[1:])
        progress(page, "0 answered; ")
        expect(page.locator("#teach-progress")).to_contain_text("of 6 pairs")  # 3 of each series
        for number in range(4):
            progress(page, f"{number} answered")
            page.keyboard.press("ArrowLeft")
        progress(page, "4 answered")
        assert len({row[3] for row in saved(page, "#save-answers")[1:]}) == 2


def test_an_answer_that_was_not_taken_is_not_kept(page: Any, pictures: list[str], tmp_path: Path) -> None:
    with running(create_app(Colours())) as address:
        page.goto(address)
        unseen = tmp_path / "unseen.tif"
        Image.new("RGB", (64, 48), (30, 90, 60)).save(unseen)
        begin(page, [*pictures[:3], str(unseen)])
        progress(page, "0 answered")
        expect(page.locator("#status")).to_contain_text("cannot show them: unseen.tif")
        page.route(
            "**/v1/teach", lambda route: route.fulfill(status=503, json={"error": {"message": "not <b>now</b>"}})
        )
        before = asked(page)
        page.keyboard.press("ArrowLeft")
        expect(page.locator("#teach-error")).to_contain_text("The server cannot answer now (not <b>now</b>)")
        assert page.locator("#kept-answers").is_hidden()
        page.unroute("**/v1/teach")
        assert asked(page) == before
        page.keyboard.press("ArrowLeft")
        progress(page, "1 answered")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(390, 844), (800, 1000), (1280, 800)])
def test_it_fits(page: Any, tmp_path: Path, width: int, height: int, scheme: str) -> None:
    folder = os.environ.get("REDAES_SCREENSHOT_PHOTOS")
    files = sorted(map(str, Path(folder).glob("*.jpg")))[:6] if folder else []
    if not files:
        for number in range(4):
            size = (300, 200) if number % 2 else (200, 300)
            name = tmp_path / f"a rather long name of a file, with words {number}.png"
            Image.new("RGB", size, (60 * number, 90, 120)).save(name)
            files.append(str(name))
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme=scheme)
    with running(create_app(Colours())) as address:
        page.goto(address)
        begin(page, files)
        progress(page, "0 answered")
        page.click("#prefer-left")
        progress(page, "1 answered")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.locator("#teach h2").scroll_into_view_if_needed()
        page.evaluate("document.querySelector('#teach').scrollIntoView()")
        for one in ("#teach-left img", "#teach-right img", "#prefer-left", "#prefer-right"):
            box = page.locator(one).bounding_box()
            assert box["y"] >= 0
            assert box["y"] + box["height"] <= height, one
        shot(page, f"teach-{width}-{scheme}")


def test_a_folder_is_taught_on_a_page_of_its_own(page: Any, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, red in (("a <b>.tif", 20), ("b.png", 120), ("c.png", 220)):
        Image.new("RGB", (640, 480), (red, 30, 60)).save(folder / name)
    found = find_series(folder, limits=GroupingLimits(by="all"))
    assessor = Assessor(Colours(), mode="fast")
    series = [FolderSeries(one, said_of(assessor, one, tmp_path / "said")[0]) for one in found.series]
    desk = TeachDesk(found.root, series, tmp_path / "answers.csv", asked_by="colours @ 1")
    with running(teach_app(desk)) as address:
        page.goto(address)
        expect(page.locator("#model")).to_contain_text("colours @ 1; answers are kept in")
        progress(page, "0 answered")
        page.keyboard.press("ArrowLeft")
        progress(page, "1 answered; ")
        page.keyboard.press("=")
        progress(page, "2 answered; ")
        page.reload()
        progress(page, "2 answered; ")
        page.click("#undo")
        progress(page, "1 answered; ")
        shown = {*asked(page)}
        page.keyboard.press("l")
        expect(page.locator("#closer")).to_be_visible()
        page.keyboard.press("ArrowRight")  # moves the pictures
        page.keyboard.press("Escape")
        progress(page, "1 answered; ")
        for number in (1, 2):
            progress(page, f"{number} answered; ")
            shown |= {*asked(page)}
            page.keyboard.press("ArrowRight")
        expect(page.locator("#teach-done")).to_be_visible()
        assert shown == {"a <b>.tif", "b.png", "c.png"}  # a TIFF, too
        assert page.locator("#teach-end").is_hidden()
        assert page.locator("#teach-aim").is_hidden()
        assert page.locator("#save-answers").is_hidden()
        widths = page.locator("#teach-order img").evaluate_all("images => images.map(image => image.naturalWidth)")
        assert widths == [200] * 3
        page.keyboard.press("Escape")
        expect(page.locator("#teach")).to_be_visible()
    desk.close()
    assert len((tmp_path / "answers.csv").read_text().splitlines()) == 4
