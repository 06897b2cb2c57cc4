"""What the page sends, keeps and says when that fails, in a real Chromium."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import expect, shot
from colours import Colours, running
from numpy.typing import NDArray
from PIL import Image

from redaes.backends.base import Request
from redaes.images import MAX_PIXELS, content_id
from redaes.serving.app import PAGE_MARGIN, create_app
from redaes.serving.limits import ServiceLimits

pytestmark = pytest.mark.browser


class Sized(Colours):
    """Remembers the shapes of what it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: set[tuple[int, int]] = set()

    def read(self, requests: Sequence[Request], choices: Sequence[str]) -> NDArray[np.float64]:
        self.sizes |= {image.size for request in requests for image in request.images}
        return super().read(requests, choices)


@pytest.fixture
def pictures(tmp_path: Path) -> list[str]:
    paths = []
    for name, red in (("dull <b>.png", 60), ("bright.png", 250), ("middle.png", 160)):
        Image.new("RGB", (64, 48), (red, 30, 60)).save(tmp_path / name)
        paths.append(str(tmp_path / name))
    return paths


@pytest.fixture
def large(tmp_path: Path) -> list[str]:
    """Five photographs as a camera writes them: more pixels than the model can use, lying on their side."""
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    noise = np.random.default_rng(0).integers(0, 60, (2000, 3000, 1), dtype=np.uint8)
    paths = []
    for number in range(5):
        pixels = np.broadcast_to(noise, (2000, 3000, 3)) + np.array([30 * number, 20, 40], np.uint8)
        paths.append(str(tmp_path / f"DSC_{number}.JPG"))
        Image.fromarray(pixels).save(paths[-1], quality=97, exif=exif.tobytes())
    return paths


def body_sizes(page: Any) -> list[int]:
    sizes: list[int] = []
    page.on("request", lambda one: one.method == "POST" and sizes.append(int(one.headers.get("content-length", 0))))
    return sizes


# --- sending ------------------------------------------------------------------------------------------------


def test_large_pictures_are_shrunk_upright_before_they_are_sent(page: Any, large: list[str]) -> None:
    weight = sum(Path(path).stat().st_size for path in large)
    limits = ServiceLimits(max_body_bytes=weight // 2)  # what they weigh is too much, as five of 12 MB are for 32 MiB
    model = Sized()
    with running(create_app(model, limits=limits)) as address:
        page.goto(address)
        page.set_input_files("#files", large)
        page.click("#go")
        expect(page.locator("#series-title")).to_have_text("DSC_4.JPG leads")
        expect(page.locator("#shrunk")).to_contain_text("5 pictures are shrunk before being sent")
        expect(page.locator("#chosen li").first).to_contain_text("shrunk from 2000 × 3000 to 1672 × 2508 pixels")
        assert 1672 * 2508 <= PAGE_MARGIN * MAX_PIXELS < 1673 * 2510
        assert len(model.sizes) == 1
        width, height = model.sizes.pop()
        assert width / height == pytest.approx(2 / 3, abs=0.01)  # upright
        shot(page, "shrunk")


def test_many_large_pictures_share_what_one_request_may_hold(page: Any, tmp_path: Path) -> None:
    files = []
    for number in range(4):
        noise = np.random.default_rng(number).integers(0, 255 - 40 * (3 - number), (900, 1300, 3), dtype=np.uint8)
        files.append(str(tmp_path / f"{number}.png"))
        Image.fromarray(noise).save(files[-1])
    limits = ServiceLimits(max_body_bytes=sum(Path(path).stat().st_size for path in files) // 3)
    with running(create_app(Colours(), limits=limits)) as address:
        page.goto(address)
        page.set_input_files("#files", files)
        page.click("#go")
        expect(page.locator("#series-title")).to_have_text("3.png leads")


def test_a_small_picture_is_sent_as_it_is(page: Any, pictures: list[str]) -> None:
    with running(create_app(Colours())) as address:
        page.goto(address)
        page.set_input_files("#files", pictures[:2])
        with page.expect_response("**/v1/compare") as response:
            page.click("#go")
        assert response.value.json()["first"]["id"] == content_id(Path(pictures[0]).read_bytes())
        assert page.locator("#shrunk").is_hidden()


def test_what_the_browser_cannot_decode_is_sent_as_it_is(page: Any, pictures: list[str], tmp_path: Path) -> None:
    tiff = tmp_path / "scan.tif"
    Image.effect_noise((2400, 2000), 60).convert("RGB").save(tiff, compression="tiff_deflate")
    with running(create_app(Colours())) as address:
        page.goto(address)
        page.set_input_files("#files", [pictures[1], str(tiff)])
        page.click("#go")
        expect(page.locator("#title")).to_have_text("bright.png is better")
        expect(page.locator("#status")).to_have_text("scan.tif cannot be shown by this browser.")


def test_too_many_pictures_are_counted_before_they_are_sent(page: Any, pictures: list[str]) -> None:
    with running(create_app(Colours(), limits=ServiceLimits(max_images=2))) as address:
        page.goto(address)
        expect(page.locator("#model")).to_have_text("colours @ 1")
        sizes = body_sizes(page)
        page.set_input_files("#files", pictures)
        page.click("#go")
        expect(page.locator("#error")).to_have_text(
            "These are 3 pictures; the service takes at most 2 at once. Remove 1 of them."
        )
        assert sizes == []


def test_a_chosen_picture_can_be_removed(page: Any, pictures: list[str]) -> None:
    with running(create_app(Colours())) as address:
        page.goto(address)
        page.set_input_files("#files", pictures)
        page.get_by_role("button", name="Remove dull <b>.png").click()
        assert page.locator("#chosen .name").all_inner_texts() == ["bright.png", "middle.png"]
        assert page.locator("#go").inner_text() == "Compare"
        expect(page.get_by_role("button", name="Remove bright.png")).to_be_focused()
        expect(page.locator("#announced")).to_have_text("dull <b>.png was removed")
        page.click("#go")
        expect(page.locator("#title")).to_have_text("bright.png is better")
        page.get_by_role("button", name="Remove bright.png").click()
        expect(page.locator("#verdict")).to_be_hidden()  # what it was about is gone
        page.set_input_files("#files", pictures[:1])
        assert page.locator("#chosen .name").all_inner_texts() == ["middle.png", "dull <b>.png"]  # as if it were new


def test_a_picture_that_is_removed_leaves_the_series(page: Any, pictures: list[str]) -> None:
    with running(create_app(Colours())) as address:
        page.goto(address)
        page.set_input_files("#files", pictures)
        page.click("#go")
        expect(page.locator("#series-title")).to_have_text("bright.png leads")
        page.get_by_role("button", name="Remove bright.png").click()
        expect(page.locator("#series-title")).to_have_text("middle.png leads")
        assert page.locator("#strip li").count() == 2


# --- keeping ------------------------------------------------------------------------------------------------


def test_a_reload_loses_nothing(page: Any, pictures: list[str], large: list[str]) -> None:
    model = Colours()
    with running(create_app(model)) as address:
        page.goto(address)
        page.set_input_files("#files", [*pictures, large[0]])
        page.click("#go")
        expect(page.locator("#series-title")).to_have_text("bright.png leads")
        page.keyboard.press("p")
        page.keyboard.press("x")
        page.keyboard.press("c")
        expect(page.locator("#dock #title")).to_have_text("bright.png is better")
        expect(page.locator("#kept-here")).to_contain_text("this browser keeps the pictures as they are sent")
        seen = page.locator("#verdict").inner_text()
        asked = model.n_read
        page.reload()
        expect(page.locator("#dock #title")).to_have_text("bright.png is better")
        assert page.locator("#verdict").inner_text() == seen
        assert page.locator("#strip button span").all_inner_texts() == ["1 ✓", "2 ✕", "3", "4"]
        assert "3 of 4" in page.locator("#large figcaption").inner_text()
        assert page.locator("#chosen li").count() == 4
        expect(page.locator("#chosen li").nth(3)).to_contain_text("shrunk from 2000 × 3000")
        assert model.n_read == asked
        page.wait_for_timeout(200)
        widths = page.locator("#chosen img").evaluate_all("images => images.map(image => image.naturalWidth)")
        assert widths == [64, 64, 64, 1672]
        page.click("#go")  # what was kept can be sent
        expect(page.locator("#verdict")).to_be_hidden()
        expect(page.locator("#status")).to_be_empty()
        page.click("#clear")
        expect(page.locator("#kept-here")).to_be_empty()
        page.reload()
        expect(page.locator("#model")).to_have_text("colours @ 1")
        page.wait_for_timeout(500)
        assert page.locator("#chosen li").count() == 0


def test_another_tab_keeps_its_own_and_what_is_a_day_old_goes(browser: Any, pictures: list[str]) -> None:
    with running(create_app(Colours())) as address:
        context = browser.new_context()
        one = context.new_page()
        one.goto(address)
        one.set_input_files("#files", pictures[:2])
        expect(one.locator("#kept-here")).to_contain_text("keeps the pictures")
        other = context.new_page()
        other.goto(address)
        expect(other.locator("#model")).to_have_text("colours @ 1")
        other.wait_for_timeout(300)
        assert other.locator("#chosen li").count() == 0
        one.reload()
        expect(one.locator("#chosen li")).to_have_count(2)
        count = """() => new Promise((done) => {
            indexedDB.open("redaes-page").onsuccess = ({ target }) => {
                const asked = target.result.transaction("pictures").objectStore("pictures").count();
                asked.onsuccess = () => { target.result.close(); done(asked.result); };
            };
        })"""
        assert other.evaluate(count) == 2
        other.clock.set_fixed_time("2100-01-01T00:00:00Z")
        other.reload()
        other.wait_for_timeout(500)
        assert other.evaluate(count) == 0
        context.close()


def test_a_browser_that_keeps_nothing_says_so(page: Any, pictures: list[str]) -> None:
    page.add_init_script(
        "Object.defineProperty(window, 'indexedDB', { value: { open() { throw new Error('not here'); } } })"
    )
    with running(create_app(Colours())) as address:
        page.goto(address)
        page.set_input_files("#files", pictures[:2])
        page.click("#go")
        expect(page.locator("#title")).to_have_text("bright.png is better")
        expect(page.locator("#kept-here")).to_contain_text("This browser keeps nothing (not here)")


# --- what goes wrong ----------------------------------------------------------------------------------------

HTML = "<html><body><h1>502 Bad Gateway</h1></body></html>"


def _answer(status: int, body: str = HTML, **headers: str) -> Callable[[Any], None]:
    def fulfil(route: Any) -> None:
        route.fulfill(status=status, body=body, content_type="text/html", headers=headers)

    return fulfil


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (_answer(200), "What answered at this address is not redaes (status 200, text/html)."),
        (_answer(404), "What answered at this address is not redaes (status 404, text/html)."),
        (_answer(413), "too large for the server: bright.png (1 kB), dull <b>.png (1 kB). Remove some"),
        (_answer(429, **{"Retry-After": "7"}), "busy with other requests. Nothing is lost. Try again in 7 seconds."),
        (_answer(502), "The model behind the server gave no usable answer. Try again in a little while."),
        (_answer(503, **{"Retry-After": "1"}), "The server cannot answer now. Try again in 1 second."),
        (_answer(504), "There was no answer in time."),
        (lambda route: route.abort("connectionrefused"), "The server does not answer. It may have been stopped"),
    ],
    ids=["html", "not-found", "too-large", "busy", "bad-gateway", "unavailable", "gateway-timeout", "away"],
)
def test_a_server_that_fails_is_explained(
    page: Any, pictures: list[str], answer: Callable[[Any], None], words: str
) -> None:
    with running(create_app(Colours())) as address:
        page.goto(address)
        page.set_input_files("#files", pictures[:2])
        page.route("**/v1/compare", answer)
        page.click("#go")
        expect(page.locator("#error")).to_contain_text(words)
        said = page.locator("#error").inner_text()
        assert not any(jargon in said for jargon in ("b'", "Unexpected token", "JSON", "fetch", "<html"))
        page.unroute("**/v1/compare")
        page.click("#go")  # nothing was lost
        expect(page.locator("#title")).to_have_text("bright.png is better")
        assert page.locator("#error").inner_text() == ""


def test_a_server_that_never_answers_is_not_waited_for(page: Any, pictures: list[str]) -> None:
    with running(create_app(Colours())) as address:

        def hasty(route: Any) -> None:
            found = route.fetch()
            settings = found.json()
            settings["limits"]["seconds"] = 1
            route.fulfill(response=found, json=settings)

        page.route("**/page.json", hasty)
        page.route("**/v1/compare", lambda route: None)
        page.goto(address)
        expect(page.locator("#model")).to_have_text("colours @ 1")
        page.set_input_files("#files", pictures[:2])
        page.click("#go")
        expect(page.locator("#error")).to_contain_text("The server gave no answer within 1 second.")
        expect(page.locator("#go")).to_be_enabled()


def test_errors_name_the_files_as_the_user_does(page: Any, pictures: list[str], tmp_path: Path) -> None:
    damaged, text, none = tmp_path / "the sea.png", tmp_path / "notes.jpg", tmp_path / "zeros.jpg"
    whole = io.BytesIO()
    Image.new("RGB", (64, 48), "teal").save(whole, "PNG")
    damaged.write_bytes(whole.getvalue()[:40].replace(b"IHDR", b"IHDX"))
    text.write_text("hello, this is a text")
    none.write_bytes(bytes(range(200, 256)))
    with running(create_app(Colours())) as address:
        page.goto(address)
        for file, words in (
            (damaged, "the sea.png: "),
            (text, "notes.jpg: not a known picture format (it begins with 'hello, t')"),
            (none, "zeros.jpg: not a known picture format (it begins with the bytes c8 c9"),
        ):
            page.set_input_files("#files", [pictures[0], str(file)])
            page.click("#go")
            expect(page.locator("#error")).to_contain_text(words)
            said = page.locator("#error").inner_text()
            assert "b'" not in said
            assert "first" not in said
            assert "second" not in said
            page.click("#clear")
        page.set_input_files("#files", [*pictures, str(text)])
        page.click("#go")
        expect(page.locator("#status")).to_contain_text("Left out: notes.jpg: not a known picture format")
        assert "pictures3" not in page.locator("body").inner_text()
