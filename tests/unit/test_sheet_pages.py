"""The pages of a contact sheet: where they are cut, how they lead to each other, and to the pictures."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from redaes.culling import sheet, sheet_pages
from redaes.culling.sheet_pages import ContactSheet
from redaes.errors import RecordError


def _picture(pages: ContactSheet, path: Path) -> sheet.SheetPicture:
    return sheet.SheetPicture(path, path.name, pages.link(path), 1, (0.25, 0.5), "points", "", "Green")


def _write(out: Path, picture: Path, sizes: list[int]) -> list[str]:
    """Sheets of so many pictures in each series; the pages in their order."""
    with ContactSheet(out, picture.parent, sizes) as pages:
        for number, size in enumerate(sizes, 1):
            pages.series(f"{number:04d}", size, None, None, None)
            for _ in range(size):
                pages.picture(_picture(pages, picture))
            pages.end_series()
        pages.end([("x", "x: broken")], ["left out: videos: 1 (a.mp4)"])
    return [path.read_text() for path in sorted(out.glob("*.html"), key=lambda path: (len(path.name), path.name))]


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    path = tmp_path / "photos" / "a.jpg"
    Image.new("RGB", (60, 40), "teal").save(path)
    return path


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet_pages, "PAGE_PICTURES", 5)


@pytest.mark.parametrize(
    ("sizes", "on_pages"),
    [
        ([2, 3], [5]), ([2, 3, 1], [5, 1]), ([3, 3], [3, 3]), ([12], [5, 5, 2]), ([1, 12], [1, 5, 5, 2]),
        ([5, 5], [5, 5]), ([7, 3, 1], [5, 5, 1]), ([10], [5, 5]),
    ],
)  # fmt: skip
def test_pages_are_cut_between_series_where_they_fit(
    tmp_path: Path, photo: Path, small_pages: None, sizes: list[int], on_pages: list[int]
) -> None:
    pages = _write(tmp_path / "out", photo, sizes)
    assert [page.count("<figure ") for page in pages] == on_pages
    assert sheet_pages.n_pages(sizes) == len(on_pages)
    assert [page.count("<section") == page.count("</section>") for page in pages] == [True] * len(pages)
    assert ["broken" in page and "videos" in page for page in pages] == [False] * (len(pages) - 1) + [True]
    assert all(page.endswith("</body></html>\n") for page in pages)


def test_pages_lead_to_each_other(tmp_path: Path, photo: Path, small_pages: None) -> None:
    one, two, three = _write(tmp_path / "out", photo, [12])
    assert '<a href="contact_sheet_2.html">2</a> <a href="contact_sheet_3.html">3</a>' in one
    assert '<a href="contact_sheet.html">1</a> <b aria-current=page>2</b>' in two
    assert "Series 0001" in three
    assert "continued" in three
    assert "page 2 of 3</title>" in two
    assert "<nav" not in _write(tmp_path / "other", photo, [2])[0]


def test_pages_of_a_larger_run_are_removed_and_nothing_else(tmp_path: Path, photo: Path, small_pages: None) -> None:
    out = tmp_path / "out"
    _write(out, photo, [12])
    (out / "contact_sheet_old.html").touch()
    _write(out, photo, [6])
    assert sorted(path.name for path in out.iterdir()) == [
        "contact_sheet.html", "contact_sheet_2.html", "contact_sheet_old.html",
    ]  # fmt: skip


def test_a_run_that_ends_early_leaves_the_pages_that_were_there(tmp_path: Path, photo: Path, small_pages: None) -> None:
    out = tmp_path / "out"
    before = _write(out, photo, [6])

    def write_half() -> None:
        with ContactSheet(out, photo.parent, [9]) as pages:
            pages.series("0001", 9, None, None, None)
            for _ in range(7):
                pages.picture(_picture(pages, photo))
            raise RecordError("gone")

    with pytest.raises(RecordError):
        write_half()
    assert [path.read_text() for path in sorted(out.iterdir())] == before


@pytest.mark.parametrize(
    "name",
    [
        "javascript:alert(1).jpg", "a b#c?d%20.jpg", '"><script>.jpg', "ä.jpg", os.fsdecode(b"\xff\xfe.jpg"),
        "&amp;.jpg",
    ],
)  # fmt: skip
def test_links_to_pictures_are_relative_whatever_their_names(tmp_path: Path, name: str) -> None:
    with ContactSheet(tmp_path / "out", tmp_path, []) as pages:
        link = pages.link(tmp_path / "photos" / name)
        assert re.fullmatch(r"\.\./photos/[\w.%()-]+", link)
        assert pages.link(tmp_path / "out" / name).find(":") == -1
        pages.end([], [])


def test_a_thumbnail_takes_few_bytes_whatever_the_picture_is_of(tmp_path: Path) -> None:
    path = tmp_path / "noise.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (700, 900, 3), dtype=np.uint8)).save(path)
    figure = sheet.figure(sheet.SheetPicture(path, path.name, "noise.png", 1, None, "", "", ""))
    data = base64.b64decode(figure.split("base64,")[1].split('"')[0])
    assert len(data) <= sheet.MAX_THUMBNAIL_BYTES
    assert data.startswith(b"\xff\xd8")


def test_the_policy_names_the_script_and_the_style_of_the_page(tmp_path: Path, photo: Path) -> None:
    (page,) = _write(tmp_path / "out", photo, [1])
    policy = unescape(page.split('Content-Security-Policy" content="')[1].split('"')[0])
    for kind, text in re.findall(r"<(script|style)>(.*?)</\1>", page, re.DOTALL):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none';")


def test_a_sheet_of_the_folder_one_stands_in_has_its_name(
    tmp_path: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photo.parent)
    head = sheet.head(Path(), 1, 1)
    assert "<title>Contact sheet: photos</title>" in head
    assert "<p>1 picture in 1 series" in head


def test_scores_have_a_unit_and_colours_are_those_of_the_marks(tmp_path: Path, photo: Path) -> None:
    (page,) = _write(tmp_path / "out", photo, [1])
    assert "+0.25 ± 0.50 points" in page
    assert all(f"figure.{colour}" in page and colour in page.split("<h1>")[1] for colour in ("Green", "Yellow", "Red"))


def test_a_sheet_of_single_pictures_says_that_nothing_was_compared(tmp_path: Path, photo: Path) -> None:
    (page,) = _write(tmp_path / "alone", photo, [1, 1])
    assert "2 pictures in 2 series, one picture in each: " in page
    assert "nothing was compared" in page
    assert page.count("<section class=single>") == 2
    (page,) = _write(tmp_path / "together", photo, [2, 1])
    assert "3 pictures in 2 series, best first." in page
    assert page.count("<section class=single>") == 1
