"""Reports in a real Chromium: tables sorted and filtered, by click and by keyboard, and what the address keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from chromium import expect, serious_findings, shot
from colours import Colours
from own_pairs import write_own_pairs
from PIL import Image

from redaes.assessor import Assessor
from redaes.culling.folder import rank_folder
from redaes.culling.grouping import GroupingLimits
from redaes.culling.rankers import AssessorRanker
from redaes.datagen.inspection import inspect
from redaes.html_pages import jpeg_bytes, jpeg_url, page_template
from redaes.viewer.pair_table import Outcome, PairPicture, PairRow, pair_table

pytestmark = pytest.mark.browser

LONG = "a_name_without_any_space_" * 8 + ".jpg"


def picture(level: int) -> str:
    return jpeg_url(jpeg_bytes(Image.new("RGB", (24, 16), (level % 256, 90, level // 256)), 80))


def row(number: int, outcome: Outcome = "right", truth: str = "true", factor: str = "light") -> PairRow:
    return PairRow(
        id=f"p{number}",
        pictures=(
            PairPicture(f"{number} {LONG}", picture(2 * number)),
            PairPicture("<b>two", picture(2 * number + 1)),
        ),
        factor=factor,
        better="A",
        label=f"A is better by {number}.0 points",
        size=float(number),
        outcome=outcome,
        verdict="A is better",
        truth=truth,
        text=[("It is ", None), ("</script>brighter", "contradicted")],
        counts=(0, number, 0),
    )


ROWS = [
    row(2, factor="noise"),
    row(10, truth="false"),
    row(1, "wrong", "false"),
    row(3, "failed", "none", "noise"),
    row(4, truth="false", factor="noise"),
]


def write(folder: Path, rows: list[PairRow]) -> str:
    """A report that holds the table and a plain one; its address."""
    from markupsafe import Markup

    known = page_template("redaes.datagen", "inspect.html.j2", extra="demo").globals
    plain = "".join(f"<tr><td>{name}</td><td>{cell}</td></tr>" for name, cell in PLAIN)
    (folder / "report.html").write_text(
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>t</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{known["report_policy"]}">'
        f"<style>{known['report_style']}</style><main><h1>Report</h1>"
        '<table class="sortable" id="plain"><thead><tr><th>name</th><th>share</th></tr></thead>'
        f"<tbody>{plain}</tbody></table>{Markup(pair_table(rows))}</main><script>{known['report_script']}</script>",
        encoding="utf-8",
    )
    return f"file://{folder / 'report.html'}"


PLAIN = [("b", "9 % [3, 12]"), ("a10", "–"), ("a9", "−1.5"), ("c", "1,200")]


def numbers(page: Any) -> list[str]:
    """Of the rows that are seen, in their order."""
    names = page.locator("#pair-table tbody tr:visible img:first-child").evaluate_all("all => all.map(one => one.alt)")
    return [name.split()[1] for name in names if name.startswith("A: ")]


def test_pairs_are_filtered_and_the_address_keeps_it(page: Any, tmp_path: Path) -> None:
    address = write(tmp_path, ROWS)
    page.goto(address)
    told = page.locator("#pair-filters output")
    expect(told).to_have_text("5 of 5 pairs")
    page.click("text=Right verdict, wrong reason (2)")
    expect(told).to_have_text("2 of 5 pairs")
    assert numbers(page) == ["10", "4"]
    page.select_option("[name=factor]", "noise")
    assert numbers(page) == ["4"]
    assert page.url == f"{address}#factor=noise&verdict=right&reason=wrong"
    # Somebody else opens that address, in another order, too.
    shared = f"{page.url}&sort=-label"
    page.goto("about:blank")
    page.goto(shared)
    assert numbers(page) == ["4"]
    assert page.locator("[name=verdict]").input_value() == "right"
    page.click("text=Show all")
    expect(page.locator("#pair-filters output")).to_have_text("5 of 5 pairs")
    assert numbers(page) == ["10", "4", "3", "2", "1"]
    assert page.url == f"{address}#sort=-label"
    page.fill("[name=words]", "by 10.0  BETTER")
    assert numbers(page) == ["10"]
    page.fill("[name=words]", "nothing of the kind")
    expect(page.locator("#pair-filters output")).to_have_text("0 of 5 pairs: none has all of this")
    # An address of a report with other rows, and the name of a place in the page.
    page.goto(f"{address}#factor=gone&verdict=wrong")
    assert numbers(page) == ["1"]
    page.goto(f"{address}#pairs")
    assert len(numbers(page)) == 1
    page.reload()
    expect(page.locator("#pair-filters output")).to_have_text("5 of 5 pairs")


def test_tables_are_sorted_by_click_and_by_keyboard(page: Any, tmp_path: Path) -> None:
    page.goto(write(tmp_path, ROWS))
    heading = page.get_by_role("columnheader", name="Label")
    button = heading.get_by_role("button")
    button.focus()
    for direction, order in (
        ("ascending", ["1", "2", "3", "4", "10"]),
        ("descending", ["10", "4", "3", "2", "1"]),
        (None, ["2", "10", "1", "3", "4"]),
    ):
        page.keyboard.press("Enter")
        assert heading.get_attribute("aria-sort") == direction
        assert numbers(page) == order
    share = page.locator("#plain thead button").nth(1)
    cells = page.locator("#plain td:nth-child(2)")
    share.click()
    assert cells.all_inner_texts() == ["−1.5", "9 % [3, 12]", "1,200", "–"]
    share.click()
    assert cells.all_inner_texts() == ["1,200", "9 % [3, 12]", "−1.5", "–"]  # what is not known stays last
    page.locator("#plain thead button").first.click()
    assert page.locator("#plain td:first-child").all_inner_texts() == ["a9", "a10", "b", "c"]


@pytest.mark.parametrize("width", [390, 800, 1280])
def test_long_names_wrap_and_pictures_come_when_they_are_near(page: Any, tmp_path: Path, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 700})
    page.goto(write(tmp_path, [row(number) for number in range(60)]))
    assert page.evaluate("document.documentElement.scrollWidth") == width
    first, last = page.locator("#pair-table tbody img").first, page.locator("#pair-table tbody img").last
    expect(first).to_have_js_property("naturalWidth", 24)
    assert last.get_attribute("src") is None
    last.scroll_into_view_if_needed()
    expect(last).to_have_js_property("naturalWidth", 24)
    shot(page, f"report_{width}")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert serious_findings(page) == []
    first.click()
    expect(page.locator("#closer")).to_be_visible()
    assert page.locator("#closer select").first.locator("option").all_inner_texts() == [f"A: 0 {LONG}", "B: <b>two"]
    page.keyboard.press("Escape")
    expect(page.locator("#closer")).to_be_hidden()


def test_thousands_of_rows_are_not_in_the_page_at_once(page: Any, tmp_path: Path) -> None:
    rows = [row(number, factor=("light", "noise")[number % 2]) for number in range(2000)]
    page.goto(write(tmp_path, rows))
    expect(page.locator("#pair-filters output")).to_have_text("2000 of 2000 pairs")
    there = page.locator("#pair-table tbody tr")
    assert there.count() == 100
    page.click("#pair-table th[data-key=label] button")
    page.click("#pair-table th[data-key=label] button")
    assert numbers(page)[:3] == ["1999", "1998", "1997"]  # of all, not of those that were in the page
    page.select_option("[name=factor]", "noise")
    expect(page.locator("#pair-filters output")).to_have_text("1000 of 2000 pairs")
    assert there.count() == 100
    expect(page.locator(".more")).to_have_text("Show 100 more of 900")
    page.locator(".more").scroll_into_view_if_needed()  # more come before one asks
    expect(there).not_to_have_count(100)
    listed = numbers(page)
    assert listed == [str(number) for number in range(1999, 0, -2)][: len(listed)]


def test_a_dataset_is_looked_at(page: Any, tmp_path: Path) -> None:
    red = write_own_pairs(tmp_path / "own", 6, 1)
    inspect(red, tmp_path / "red.html", n_pairs=4)
    page.set_viewport_size({"width": 390, "height": 700})
    page.goto(f"file://{tmp_path / 'red.html'}#sort=label")
    expect(page.locator("#pair-filters output")).to_have_text("4 of 4 pairs")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    sizes = page.locator("#pair-table td[data-name=Label]").evaluate_all("all => all.map(one => +one.dataset.value)")
    assert sizes == sorted(sizes)


@pytest.fixture(scope="module")
def shoot(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Address of the sheet of two series, one of them of equally good pictures with long names."""
    folder = tmp_path_factory.mktemp("shoot")
    for series, reds in (("one", (60, 250, 160)), ("two", (100, 100))):
        for number, red in enumerate(reds):
            path = folder / "photos" / series / f"{number}_{LONG}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (300, 200), (red, 30, 60 + number)).save(path)
    ranker = AssessorRanker(Assessor(Colours(), mode="fast"))
    rank_folder(folder / "photos", folder / "out", ranker, limits=GroupingLimits(by="folder"))
    return (folder / "out" / "contact_sheet.html").as_uri()


@pytest.mark.parametrize("width", [390, 800, 1280])
def test_the_sheet_fits_and_its_verdict_stands_beside_the_series(page: Any, shoot: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(shoot)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert serious_findings(page) == []
        shot(page, f"sheet_{width}_{scheme}")
    row, verdict = page.locator(".row").first.bounding_box(), page.locator(".verdict").first.bounding_box()
    assert (verdict["x"] >= row["x"] + row["width"]) == (width == 1280)
    first = page.locator("figure").first
    expect(first.locator("a > b")).to_have_text("A")
    expect(first).to_contain_text("Pick")
    left, right = page.locator(".sides span").all_inner_texts()[:2]
    assert left.startswith("A ")
    assert right.endswith(" B")
    assert int(left[2:-1]) + int(right[:-3]) == 100


def test_the_sheet_shows_only_the_picks(page: Any, shoot: str) -> None:
    page.goto(shoot)
    assert page.locator("figure:visible").count() == 5
    page.keyboard.press("p")
    expect(page.locator("#picks")).to_have_attribute("aria-pressed", "true")
    assert page.locator("figure:visible").count() == page.locator("figure.Green").count() == 1
    page.reload()
    assert page.locator("figure:visible").count() == 1
    page.click("#picks")
    assert page.locator("figure:visible").count() == 5


def test_a_finger_goes_to_the_next_picture_where_all_is_seen(page: Any, shoot: str) -> None:
    page.goto(shoot)
    page.locator("figure > a").first.click()
    names = page.locator("#closer select").nth(1)
    page.keyboard.press("0")
    swipe = """([from, to]) => {
      const view = document.querySelectorAll("#closer .view")[1];
      const at = (kind, x) => view.dispatchEvent(new PointerEvent(kind,
        { pointerId: 7, pointerType: "touch", clientX: x, clientY: 300, button: 0, bubbles: true }));
      view.setPointerCapture = () => {};
      at("pointerdown", from); at("pointermove", to); at("pointerup", to);
    }"""
    before = names.evaluate("one => one.selectedIndex")
    page.evaluate(swipe, [700, 600])
    assert names.evaluate("one => one.selectedIndex") == before + 1
    page.evaluate(swipe, [600, 700])
    assert names.evaluate("one => one.selectedIndex") == before
    page.keyboard.press("1")  # one pixel on one: a finger moves the pictures
    page.evaluate(swipe, [700, 600])
    assert names.evaluate("one => one.selectedIndex") == before
