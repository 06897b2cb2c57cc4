"""Nobody is shut out: what axe-core says of the service's pages, whether they fit, and their order by keyboard."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import expect, serious_findings, shot
from colours import Colours, running
from PIL import Image

from redaes.assessor import Assessor
from redaes.culling.grouping import GroupingLimits
from redaes.culling.series_answers import find_series, said_of
from redaes.serving.app import create_app
from redaes.serving.teach_folder import FolderSeries, TeachDesk, teach_app

pytestmark = pytest.mark.browser

SEEN = pytest.mark.parametrize(
    ("width", "scheme"), [(width, scheme) for width in (390, 800, 1280) for scheme in ("light", "dark")]
)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Six pictures in which something can be measured; real ones, where REDAES_SCREENSHOT_PHOTOS names their folder."""
    folder = os.environ.get("REDAES_SCREENSHOT_PHOTOS")
    found = sorted(map(str, Path(folder).glob("*.jpg")))[:6] if folder else []
    made = tmp_path_factory.mktemp("photographs")
    for number in range(0 if found else 6):
        random = np.random.default_rng(number)
        coarse = Image.fromarray(random.integers(0, 255, (6, 9, 3), dtype=np.uint8)).resize((720, 480))
        noisy = np.asarray(coarse) * 0.7 + random.normal(30 + 8 * number, 4 + number, (480, 720, 1))
        name = made / f"{'a_rather_long_name_without_spaces_' * (2 if number % 2 else 0)}{number}.png"
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(name)
        found.append(str(name))
    return found


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    model = Colours()
    model.says = "A is noisier and blurred. B is darker. "
    model.lean = 0.4
    with running(create_app(model)) as found:
        yield found


@pytest.fixture
def check(page: Any) -> Any:
    def checked(name: str, width: int, scheme: str) -> None:
        page.wait_for_timeout(200)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        shot(page, f"{name}-{width}-{scheme}")
        assert serious_findings(page) == [], name

    return checked


@SEEN
def test_the_page_of_the_service(
    page: Any, check: Any, address: str, photographs: list[str], tmp_path: Path, width: int, scheme: str
) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    page.emulate_media(color_scheme=scheme)
    page.goto(address)
    expect(page.locator("#model")).to_have_text("colours @ 1")
    check("empty", width, scheme)
    page.set_input_files("#files", photographs[:2])
    page.click("#go")
    expect(page.locator("#verdict")).to_be_visible()
    assert page.locator("#measured").is_visible()
    check("comparison", width, scheme)
    page.get_by_role("button", name="Swipe").click()
    check("swiped", width, scheme)
    page.get_by_role("button", name="Swipe").click()
    page.click("#clear")
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\nnonsense")
    page.set_input_files("#files", [photographs[0], str(broken)])
    page.click("#go")
    expect(page.locator("#error")).to_contain_text("broken.png")
    check("error", width, scheme)
    page.click("#clear")
    page.set_input_files("#files", photographs)
    page.click("#go")
    expect(page.locator("#series")).to_be_visible()
    page.click("#pick")
    page.click("#reject")
    page.click("#with-best")
    expect(page.locator("#dock #verdict")).to_be_visible()
    check("series", width, scheme)
    page.keyboard.press("l")
    expect(page.locator("#closer")).to_be_visible()
    check("closer", width, scheme)
    page.keyboard.press("Escape")
    page.click("#teach-begin")
    expect(page.locator("#prefer-left")).to_be_enabled()
    page.click("#prefer-left")
    expect(page.locator("#teach-progress")).to_contain_text("1 answered")
    expect(page.locator("#prefer-left")).to_be_enabled()
    check("teach", width, scheme)


@SEEN
def test_the_page_of_a_folder(
    page: Any, check: Any, photographs: list[str], tmp_path: Path, width: int, scheme: str
) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    page.emulate_media(color_scheme=scheme)
    folder = tmp_path / "photos"
    folder.mkdir()
    for path in photographs[:3]:
        (folder / Path(path).name).write_bytes(Path(path).read_bytes())
    found = find_series(folder, limits=GroupingLimits(by="all"))
    assessor = Assessor(Colours(), mode="fast")
    series = [FolderSeries(one, said_of(assessor, one, tmp_path / "said")[0]) for one in found.series]
    desk = TeachDesk(found.root, series, tmp_path / "answers.csv", asked_by="colours @ 1")
    with running(teach_app(desk)) as address:
        page.goto(address)
        expect(page.locator("#prefer-left")).to_be_enabled()
        check("folder", width, scheme)
        page.keyboard.press("=")
        expect(page.locator("#teach-progress")).to_contain_text("1 answered")
        check("folder-answered", width, scheme)
    page.keyboard.press("=")
    expect(page.locator("#teach-error")).to_contain_text("The server does not answer.")
    check("folder-away", width, scheme)
    desk.close()


def test_every_control_is_reached_by_keyboard_in_the_order_of_the_page(
    page: Any, address: str, photographs: list[str]
) -> None:
    page.goto(address)
    page.set_input_files("#files", photographs[:2])
    page.click("#go")
    expect(page.locator("#verdict")).to_be_visible()
    names = [Path(path).name for path in photographs[:2]]
    wanted = [f"Remove {names[0]}", f"Remove {names[1]}", "Compare", "Clear", "Swipe", "Larger, both pictures"]
    page.locator("#files").focus()
    reached = []
    while len(reached) < 30 and wanted[-1] not in reached:
        page.keyboard.press("Tab")
        name, outline = page.evaluate(
            "[document.activeElement.ariaLabel ?? document.activeElement.textContent.trim(), "
            "getComputedStyle(document.activeElement).outlineStyle]"
        )
        assert outline != "none", name
        reached.append(name)
    assert [name for name in reached if name in wanted] == wanted


def test_axe_finds_what_shuts_people_out(page: Any) -> None:
    page.set_content(
        "<html lang=en><title>x</title><main><h1>x</h1><button></button><p style='color:#bbb'>pale</p></main>"
    )
    found = serious_findings(page)
    assert any(line.startswith("critical button-name") for line in found)
    assert any(line.startswith("serious color-contrast") for line in found)
