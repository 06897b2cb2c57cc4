"""The audit's page in a real Chromium: before a server and as a file, by keyboard and by click."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from chromium import expect, serious_findings
from own_pairs import write_own_pairs

from redaes.datagen.audit.blind_pictures import all_blind_pictures
from redaes.datagen.audit.drawn_pairs import drawn_pairs, new_draw, population
from redaes.datagen.audit.given_answers import REVISED, UNSEEN, given_answers
from redaes.datagen.audit.judging_page import judging_page
from redaes.datagen.audit.judging_service import AuditDesk, judging_app
from redaes.errors import RecordError

pytestmark = pytest.mark.browser

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is absent; pip install 'redaes[browser]'")
KEYS = ("a", "B", "s", "ArrowLeft", "ArrowRight", "ArrowDown")


@pytest.fixture(scope="module")
def red(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_own_pairs(tmp_path_factory.mktemp("own"), 6, 1)


def begin(page: Any, name: str) -> None:
    page.fill("#person", name)
    page.click("text=Begin")


def press(page: Any, key: str) -> None:
    page.wait_for_selector("[data-choice=left]:enabled")
    page.keyboard.press(key)


def shown(page: Any, text: str) -> None:
    sync_api.expect(page.locator("#place")).to_contain_text(text)


def test_before_a_server(page: Any, red: Path, tmp_path: Path) -> None:
    import uvicorn

    found = population(red)
    draw = new_draw(found.dataset, n_pairs=10, seed=0, repeated=0.2)
    pairs = drawn_pairs(found, draw)
    keep = tmp_path / "answers.jsonl"
    desk = AuditDesk(draw, pairs, keep, longest=1280, tell=lambda words: pytest.fail(str(words)))
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(judging_app(desk), log_level="warning", access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        page.goto(f"http://127.0.0.1:{listening.getsockname()[1]}/")
        begin(page, "Ann  <b>")
        for place in range(6):
            shown(page, f"{place} of 12 answered, as Ann <b>")
            press(page, KEYS[place % 6])
        shown(page, "6 of 12")
        page.reload()
        assert page.input_value("#person") == "Ann <b>"
        page.click("text=Begin")
        shown(page, "6 of 12")
        press(page, "u")
        sync_api.expect(page.locator("[data-choice=alike]")).to_have_attribute("aria-pressed", "true")
        press(page, "l")
        sync_api.expect(page.locator("#closer")).to_be_visible()
        page.keyboard.press("a")  # keys are the viewer's now
        page.keyboard.press("Escape")
        page.click("[data-choice=left]")
        for place in range(6, 12):
            shown(page, f"{place} of 12")
            page.click(f"[data-choice={('left', 'alike', 'right')[place % 3]}]")
        sync_api.expect(page.locator("#done")).to_be_visible()
    finally:
        server.should_exit = True
        thread.join()
        desk.close()
    given = given_answers(found, [keep])
    assert (len(given.first), len(given.repeated)) == (10, 2)
    assert {kind: note.n for kind, note in given.remarks.items()} == {REVISED: 1}
    assert {one.person for one in given.first} == {"Ann <b>"}


def test_as_a_file(page: Any, red: Path, tmp_path: Path) -> None:
    found = population(red)
    draw = new_draw(found.dataset, n_pairs=6, seed=1, repeated=0)
    pairs = drawn_pairs(found, draw)
    pictures = {}
    for pair, shown_as in all_blind_pictures(pairs, 1280):
        assert not isinstance(shown_as, RecordError)
        if pair is not pairs[0]:
            pictures |= shown_as
    (tmp_path / "audit.html").write_text(judging_page(draw, pairs, pictures), encoding="utf-8")
    page.goto(f"file://{tmp_path / 'audit.html'}")
    begin(page, "Ben")
    for place in range(6):
        shown(page, f"{place} of 6")
        if place == 3:
            page.reload()
            page.click("text=Begin")
            shown(page, "3 of 6")
        page.wait_for_selector("[data-choice=left]:enabled, #skip:visible")
        if page.is_visible("#skip"):
            page.click("#skip")
        else:
            page.keyboard.press("b")
    sync_api.expect(page.locator("#done")).to_be_visible()
    with page.expect_download() as saving:
        page.click("#save")
    assert saving.value.suggested_filename == "answers-Ben.jsonl"
    saving.value.save_as(tmp_path / "answers.jsonl")
    given = given_answers(found, [tmp_path / "answers.jsonl"])
    assert len(given.first) == 5
    assert given.remarks[UNSEEN].n == 1
    assert all(one.says == -one.on_left for one in given.first)


def test_a_browser_that_keeps_nothing_says_so_and_loses_nothing(page: Any, red: Path, tmp_path: Path) -> None:
    found = population(red)
    draw = new_draw(found.dataset, n_pairs=2, seed=1, repeated=0)
    pairs = drawn_pairs(found, draw)
    pictures = dict(item for _, one in all_blind_pictures(pairs, 1280) for item in one.items())  # type: ignore[union-attr]
    (tmp_path / "audit.html").write_text(judging_page(draw, pairs, pictures), encoding="utf-8")
    page.add_init_script("Storage.prototype.setItem = () => { throw new Error('the store is full'); };")
    page.goto(f"file://{tmp_path / 'audit.html'}")
    begin(page, "An\u200dna")  # in a file of answers nothing could be made of that name
    sync_api.expect(page.locator("#error")).to_contain_text("only what can be seen")
    sync_api.expect(page.locator("#judge")).to_be_hidden()
    begin(page, "Anna")
    for place in range(2):
        shown(page, f"{place} of 2")
        press(page, "a")
    sync_api.expect(page.locator("#staying")).to_contain_text("(the store is full): save the answers before you leave")
    with page.expect_download() as saving:
        page.click("#save")
    saving.value.save_as(tmp_path / "answers.jsonl")
    assert {one.person for one in given_answers(found, [tmp_path / "answers.jsonl"]).first} == {"Anna"}


@pytest.mark.parametrize("width", [390, 800, 1280])
def test_nobody_is_shut_out(page: Any, red: Path, tmp_path: Path, width: int) -> None:
    found = population(red)
    draw = new_draw(found.dataset, n_pairs=3, seed=1, repeated=0)
    pairs = drawn_pairs(found, draw)
    pictures = dict(item for _, one in all_blind_pictures(pairs, 1280) for item in one.items())  # type: ignore[union-attr]
    (tmp_path / "audit.html").write_text(judging_page(draw, pairs, pictures), encoding="utf-8")
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"file://{tmp_path / 'audit.html'}")
    assert serious_findings(page) == []
    begin(page, "a" * 60)
    page.wait_for_selector("[data-choice=left]:enabled")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert serious_findings(page) == []
    heights = page.locator("button:visible:not(.look)").evaluate_all("all => all.map(one => one.offsetHeight)")
    assert min(heights) >= 44  # as a finger needs
    # From button to button by the keyboard: the focus stays, and what was kept is said.
    page.locator("[data-choice=alike]").focus()
    for place in (2, 3):
        page.keyboard.press("Enter")
        expect(page.locator("#told")).to_have_text(f"Kept: Alike. Pair {place} of 3")
        expect(page.locator("[data-choice=alike]")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#done h2")).to_be_focused()
    assert serious_findings(page) == []
