"""How two pictures and a series are looked at on the page, in a real Chromium: by hand, by keyboard, by ear."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from chromium import expect, shot
from colours import Colours, running
from PIL import Image

from redaes.answers import render_verdict
from redaes.assessor import Assessor
from redaes.backends.base import Request
from redaes.serving.app import create_app
from redaes.types import Rationale, Sampling, Verdict

pytestmark = pytest.mark.browser

REDS = {"dull.png": 60, "bright.png": 250, "middle.png": 160, "dark.png": 10}


@pytest.fixture
def pictures(tmp_path: Path) -> list[str]:
    for name, red in REDS.items():
        Image.new("RGB", (640, 480), (red, 30, 60)).save(tmp_path / name)
    return [str(tmp_path / name) for name in REDS]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with running(create_app(Colours())) as found:
        yield found


def compare(page: Any, address: str, files: list[str]) -> None:
    page.goto(address)
    page.set_input_files("#files", files)
    page.click("#go")
    expect(page.locator("#verdict")).to_be_visible()


def rank(page: Any, address: str, files: list[str]) -> None:
    page.goto(address)
    page.set_input_files("#files", files)
    page.click("#go")
    expect(page.locator("#series-title")).to_have_text("bright.png leads")


def transforms(page: Any) -> list[str]:
    found: list[str] = page.locator("#pictures img").evaluate_all("images => images.map(one => one.style.transform)")
    return found


def test_a_and_b_stand_on_the_pictures(page: Any, address: str, pictures: list[str]) -> None:
    compare(page, address, pictures[:2])
    for side, letter in (("first", "A"), ("second", "B")):
        badge = page.locator(f"#{side} .letter")
        assert badge.inner_text() == letter
        outer, inner = page.locator(f"#{side} .look").bounding_box(), badge.bounding_box()
        assert outer["x"] < inner["x"] < outer["x"] + outer["width"] / 4
        assert outer["y"] < inner["y"] < outer["y"] + outer["height"] / 4
    assert page.locator("#pictures img").evaluate_all("images => images.map(image => image.alt)") == [
        "A: dull.png",
        "B: bright.png",
    ]


def test_the_letters_on_the_pictures_are_those_of_the_reasoning(
    page: Any, address: str, pictures: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the reasoning of the other order is shown, what it calls A is the second picture that was chosen."""
    compare_many = Assessor.compare_many

    def turned(self: Assessor, *args: Any, **options: Any) -> list[Any]:
        found = compare_many(self, *args, **options)
        return [one.model_copy(update={"rationale_order": "swapped"}) for one in found]

    monkeypatch.setattr(Assessor, "compare_many", turned)
    swapped = [pictures[2], pictures[3]]  # another pair than elsewhere: the service remembers its answers
    compare(page, address, swapped)
    assert page.locator("#first figcaption").inner_text() == "A dark.png"
    expect(page.locator("#second")).to_have_class("better")
    assert page.locator("#letters").inner_text() == "A is dark.png, B is middle.png"
    share = page.locator("#share").evaluate("share => parseFloat(share.style.width)")
    assert share < 50
    assert page.locator("#share-b").inner_text() == f"{round(100 - share)} % B"
    assert [row.split("\t")[0] for row in page.locator("#orders tr").all_inner_texts()] == ["B", "A"]


def test_one_is_swiped_over_the_other_by_keyboard_and_by_hand(page: Any, address: str, pictures: list[str]) -> None:
    compare(page, address, pictures[:2])
    swipe = page.get_by_role("button", name="Swipe")
    swipe.focus()
    page.keyboard.press("Enter")
    assert swipe.get_attribute("aria-pressed") == "true"
    slider = page.get_by_role("slider", name="How much of A is seen")
    expect(slider).to_be_focused()
    first, second = (page.locator(f"#{side} .look").bounding_box() for side in ("first", "second"))
    assert first == second  # they lie on each other
    clip = "look => look.style.clipPath"
    page.keyboard.press("Home")
    assert page.locator("#second .look").evaluate(clip) in ("inset(0px 0px 0px 0%)", "inset(0px)")
    page.keyboard.press("End")
    assert "100%" in page.locator("#second .look").evaluate(clip)
    page.mouse.move(first["x"] + first["width"] * 0.6, first["y"] + 100)
    page.mouse.down()
    page.mouse.move(first["x"] + first["width"] * 0.3, first["y"] + 100, steps=4)
    page.mouse.up()
    assert slider.input_value() == "30"
    assert not page.locator("#closer").is_visible()  # a drag is no click
    shot(page, "swipe")
    swipe.click()
    assert page.locator("#second .look").evaluate(clip) == ""


def test_both_are_enlarged_and_moved_together(page: Any, address: str, pictures: list[str]) -> None:
    compare(page, address, pictures[:2])
    before = transforms(page)
    assert before[0] == before[1]
    page.get_by_role("button", name="Larger, both pictures").click()
    buttons = transforms(page)
    assert buttons[0] == buttons[1] != before[0]
    box = page.locator("#first .look").bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 160, box["y"] + 130, steps=4)
    page.mouse.up()
    dragged = transforms(page)
    assert dragged[0] == dragged[1] != buttons[0]
    page.mouse.wheel(0, -200)
    page.wait_for_timeout(200)
    wheeled = transforms(page)
    assert wheeled[0] == wheeled[1] != dragged[0]
    page.get_by_role("button", name="Fit").click()
    assert transforms(page) == before
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.wheel(0, -200)  # the page scrolls past pictures that are whole
    page.wait_for_timeout(200)
    assert transforms(page) == before


def test_two_fingers_enlarge_both(page: Any, address: str, pictures: list[str]) -> None:
    compare(page, address, pictures[:2])
    page.locator("#second .look").evaluate("""look => {
        const box = look.getBoundingClientRect();
        const touch = (kind, id, across) => look.dispatchEvent(new PointerEvent(kind, {
            pointerId: id, pointerType: "touch", button: kind === "pointerdown" ? 0 : -1, bubbles: true,
            clientX: box.left + across * box.width, clientY: box.top + box.height / 2 }));
        look.setPointerCapture = () => undefined;  // these fingers are made up
        touch("pointerdown", 11, 0.45); touch("pointerdown", 12, 0.55);
        touch("pointermove", 11, 0.35); touch("pointermove", 12, 0.65);
        touch("pointerup", 11, 0.35); touch("pointerup", 12, 0.65);
    }""")
    first, second = transforms(page)
    assert first == second
    assert float(re.search(r"scale\((.*)\)", first)[1]) == pytest.approx(3, abs=0.05)  # three times as far apart


def test_a_pinch_on_a_touchpad_enlarges_both(page: Any, address: str, pictures: list[str]) -> None:
    compare(page, address, pictures[:2])
    page.locator("#first .look").hover()
    page.keyboard.down("Control")
    page.mouse.wheel(0, -60)
    page.keyboard.up("Control")
    page.wait_for_timeout(200)
    first, second = transforms(page)
    assert first == second
    assert "scale(1)" not in first


def test_the_bar_has_two_sides_and_the_band_between_the_orders(page: Any, tmp_path: Path) -> None:
    files = []
    for name, red in (("a.png", 120), ("b.png", 150)):
        Image.new("RGB", (64, 48), (red, 30, 60)).save(tmp_path / name)
        files.append(str(tmp_path / name))
    model = Colours()
    model.lean = 0.5
    with running(create_app(model)) as address:
        compare(page, address, files)
        left, right = page.locator("#share-a").inner_text(), page.locator("#share-b").inner_text()
        a, b = int(re.fullmatch(r"A (\d+) %", left)[1]), int(re.fullmatch(r"(\d+) % B", right)[1])
        assert a + b == 100
        assert a < b
        assert page.locator("#bar").get_attribute("aria-label") == f"{a} % for A, {b} % for B"
        start, width = page.locator("#doubt").evaluate(
            "band => [parseFloat(band.style.left), parseFloat(band.style.width)]"
        )
        shown = [
            int(row.rpartition("\t")[2].removesuffix(" %")) for row in page.locator("#orders tr").all_inner_texts()
        ]
        assert [round(start), round(start + width)] == sorted(shown)
        assert start < a < start + width
        assert "Hatched: between the two orders" in page.locator("#doubt-note").inner_text()
        assert "points of 9" in page.locator("#sure").inner_text()
        shot(page, "bar")
        model.lean = 3.0
        page.click("#clear")
        page.set_input_files("#files", files[::-1])
        page.click("#go")
        expect(page.locator("#title")).to_contain_text("Undecided")
        assert "each order prefers another picture" in page.locator("#doubt-note").inner_text()


class Stubborn(Colours):
    """Whatever is shown first, it writes that this is better."""

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[str]:
        rationale = Rationale(text="The first one.", factors=("colour",), better="A")
        return [render_verdict(Verdict(winner="A", delta=2.0, rationale=rationale))] * len(requests)


def test_the_bar_does_not_hide_that_only_what_is_written_changes(page: Any, pictures: list[str]) -> None:
    with running(create_app(Stubborn())) as address:
        compare(page, address, pictures[:2])
        expect(page.locator("#title")).to_have_text("Undecided: the answer changes with the order")
        assert page.locator("#doubt-note").inner_text() == (
            "The written answers prefer another picture in each order; what is read beside them does not."
        )
        assert [row.split("\t")[1] for row in page.locator("#orders tr").all_inner_texts()] == ["A", "B"]


def test_the_verdict_is_announced(page: Any, address: str, pictures: list[str]) -> None:
    compare(page, address, pictures[:2])
    said = page.get_by_role("status").filter(has_text="bright.png is better. ")
    assert said.count() == 1
    assert "points of 9" in said.inner_text()
    assert said.get_attribute("id") == "announced"
    box = said.bounding_box()
    assert box["width"] <= 1  # it is for the ear: it stands on the page already


@pytest.mark.parametrize("width", [390, 1280])
def test_the_verdict_stays_docked_by_the_series(page: Any, address: str, pictures: list[str], width: int) -> None:
    page.set_viewport_size({"width": width, "height": 700})
    rank(page, address, pictures)
    page.keyboard.press("ArrowRight")
    assert "points of 9 behind the best, bright.png" in page.locator("#standing").inner_text()
    assert "logits" not in page.locator("#series").inner_text()
    page.locator("#with-best").click()
    expect(page.locator("#dock #title")).to_have_text("bright.png is better")
    assert page.locator("#series").is_visible()
    for end in ("document.querySelector('#series').offsetTop", "document.documentElement.scrollHeight"):
        page.evaluate(f"scrollTo(0, {end})")
        box, picture = page.locator("#dock").bounding_box(), page.locator("#large").bounding_box()
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= 701
        if width == 1280:
            assert box["x"] > picture["x"] + picture["width"]  # beside
        else:
            assert box["y"] > 700 * 0.5  # below
    shot(page, f"docked-{width}")
    page.click("#next")
    expect(page.locator("#verdict")).to_be_hidden()  # it was about another picture


def test_a_series_is_decided_by_touch(browser: Any, address: str, pictures: list[str]) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page.set_default_timeout(60_000)
    rank(page, address, pictures)
    for name in ("Pick", "Reject", "Neither", "Next"):
        box = page.locator("#decide").get_by_role("button", name=name).bounding_box()
        assert box["height"] >= 44
        page.locator("#decide").get_by_role("button", name=name).tap()
    classes = page.locator("#strip button").evaluate_all("buttons => buttons.map(button => button.className)")
    assert classes == ["pick", "reject", "", ""]
    assert "4 of 4" in page.locator("#large figcaption").inner_text()
    page.locator("#previous").tap()
    page.locator("#previous").tap()
    assert page.locator("#reject").get_attribute("aria-pressed") == "true"
    expect(page.locator("#announced")).to_have_text("2 of 4: middle.png, reject")
    page.close()


def test_long_names_wrap(page: Any, address: str, tmp_path: Path) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    files = []
    for number, red in enumerate((60, 160, 250)):
        files.append(str(tmp_path / f"{'a_name_without_spaces_' * 9}{number}.png"))
        Image.new("RGB", (64, 48), (red, 30, 60)).save(files[-1])
    compare(page, address, files[:2])
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.set_input_files("#files", files[2:])
    page.click("#go")
    expect(page.locator("#series")).to_be_visible()
    page.click("#next")
    page.click("#with-best")
    expect(page.locator("#dock #verdict")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    shot(page, "long-names")
