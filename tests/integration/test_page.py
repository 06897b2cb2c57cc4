"""The page in a real Chromium, on a model whose taste is known."""

from __future__ import annotations

import csv
import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from colours import Colours, running
from PIL import Image

from redaes.serving.app import create_app
from redaes.serving.limits import ServiceLimits

pytestmark = pytest.mark.browser

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is absent; pip install 'redaes[browser]'")
CHROMIUM = os.environ.get("REDAES_CHROMIUM") or shutil.which("chromium-headless-shell") or shutil.which("chromium")
KEY = "a-key-of-the-tests-0123"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium here; install one, or name it in REDAES_CHROMIUM")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    page = browser.new_page(viewport={"width": 1100, "height": 1000})
    page.set_default_timeout(60_000)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if "Security Policy" in message.text else None)
    yield page
    page.close()
    assert complaints == []


@pytest.fixture
def pictures(tmp_path: Path) -> list[str]:
    paths = []
    for name, red in (("dull <b>.png", 60), ("bright.png", 250), ("middle.png", 160), ("=1+1.png", 10)):
        Image.new("RGB", (64, 48), (red, 30, 60)).save(tmp_path / name)
        paths.append(str(tmp_path / name))
    return paths


def shot(page: Any, name: str) -> None:
    """Keep what was seen, where somebody asked for it."""
    folder = os.environ.get("REDAES_SCREENSHOTS")
    if folder:
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


def test_two_pictures(page: Any, pictures: list[str]) -> None:
    with running(create_app(Colours())) as address:
        page.goto(address)
        sync_api.expect(page.locator("#model")).to_have_text("colours @ 1")
        assert page.locator("#go").is_disabled()
        page.set_input_files("#files", pictures[:2])
        page.click("#go")
        sync_api.expect(page.locator("#title")).to_have_text("bright.png is better")
        sync_api.expect(page.locator("#second")).to_have_class("better")
        assert page.locator("#first figcaption").inner_text() == "dull <b>.png"  # a name is no HTML
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
        sync_api.expect(page.locator("#title")).to_have_text("clean.png is better")
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
        sync_api.expect(page.locator("#title")).to_have_text("undecided: the answer changes with the order")
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
        sync_api.expect(page.locator("#series-title")).to_have_text("bright.png leads")
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
        sync_api.expect(page.locator("#title")).to_have_text("bright.png is better")
        shot(page, "series_compared")
        page.keyboard.press("ArrowRight")
        sync_api.expect(page.locator("#verdict")).to_be_hidden()
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
        sync_api.expect(page.locator("#error")).to_contain_text("API key")
        page.fill("#key", KEY)
        page.click("#go")
        sync_api.expect(page.locator("#verdict")).to_be_visible()
        page.click("#clear")
        page.set_input_files("#files", [pictures[0], str(broken)])
        page.click("#go")
        sync_api.expect(page.locator("#error")).to_contain_text("damaged or truncated PNG")
        page.click("#clear")
        page.set_input_files("#files", pictures)
        page.click("#go")
        sync_api.expect(page.locator("#error")).to_contain_text("more than 3 pictures")
        page.click("#clear")
        model.spoilt = True
        page.set_input_files("#files", pictures[1:3])
        page.click("#go")
        sync_api.expect(page.locator("#title")).to_have_text("No usable answer")
        shot(page, "wrong")
