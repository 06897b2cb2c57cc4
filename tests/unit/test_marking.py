"""The marks of a folder: which sidecar is whose, what is found before anything is written, and what is said of it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from redaes.culling.marking import MarkingSummary, mark_pictures
from redaes.culling.sidecar_names import SidecarNames, SidecarStyle
from redaes.culling.xmp import Mark

BEST, REST = Mark(5, "Green", 3), Mark(1, "Red", 1)
RATED = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="%s"/></rdf:RDF></x:xmpmeta>'
)


def _make(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).write_bytes(b"")
    return [folder / name for name in names]


@pytest.mark.parametrize(
    ("there", "picture", "expected"),
    [
        ("", "a.jpg", "a.jpg.xmp"),
        ("", "a.NEF", "a.xmp"),
        ("a.xmp", "a.jpg", "a.xmp"),
        ("a.XMP", "a.jpg", "a.XMP"),
        ("a.xmp a.jpg.xmp", "a.jpg", "a.jpg.xmp"),
        ("a.xmp a.png", "a.jpg", "a.jpg.xmp"),  # whose a.xmp is cannot be known
        ("a.xmp a.NEF", "a.jpg", "a.jpg.xmp"),
        ("a.xmp a.mov", "a.jpg", "a.jpg.xmp"),
        ("a.xmp a.jpg", "a.NEF", "a.xmp"),
        ("a.NEF.xmp", "a.NEF", "a.NEF.xmp"),
        ("a.NEF.xmp a.xmp", "a.NEF", "a.xmp"),
        ("a.xmp a.dng", "a.NEF", "a.NEF.xmp"),
        ("a_01.NEF.xmp", "a.NEF", "a.xmp"),  # darktable's second version
        ("a.b.xmp", "a.jpg", "a.jpg.xmp"),
    ],
)
def test_whose_a_sidecar_is(tmp_path: Path, there: str, picture: str, expected: str) -> None:
    _make(tmp_path, picture, *there.split())
    assert SidecarNames().of(tmp_path / picture) == tmp_path / expected


@pytest.mark.parametrize(("style", "expected"), [("lightroom", "a.xmp"), ("darktable", "a.jpg.xmp")])
def test_a_style_decides(tmp_path: Path, style: SidecarStyle, expected: str) -> None:
    (picture,) = _make(tmp_path, "a.jpg")
    assert SidecarNames(style).of(picture) == tmp_path / expected


def _mark(folder: Path, *pictures: Path, write: bool = True, **options: Any) -> tuple[MarkingSummary, list[dict]]:
    marked = [(picture, BEST if number == 0 else REST) for number, picture in enumerate(pictures)]
    lines = folder / "out" / "marks.jsonl"
    summary = mark_pictures(marked, lines, write=write, **options)
    return summary, [json.loads(line) for line in lines.read_text().splitlines()]


def _ratings(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text().split('xmp:Rating="')[1].split('"')[0] for path in folder.glob("*.xmp")}


@pytest.mark.parametrize("write", [False, True])
def test_pictures_of_one_name_get_a_sidecar_each(tmp_path: Path, write: bool) -> None:
    pictures = _make(tmp_path, "a.jpg", "a.png", "a.webp")
    (tmp_path / "a.xmp").write_text(RATED % "0")
    summary, lines = _mark(tmp_path, *pictures, write=write)
    assert (summary.n_sidecars, summary.n_merged, summary.failed) == (3, 0, ())
    assert {line["did"] for line in lines} == {"wrote" if write else "to write"}
    written = {"a.jpg.xmp": "5", "a.png.xmp": "1", "a.webp.xmp": "1"} if write else {}
    assert _ratings(tmp_path) == {"a.xmp": "0", **written}


@pytest.mark.parametrize("write", [False, True])
def test_two_marks_for_one_sidecar_are_refused_before_anything_is_written(tmp_path: Path, write: bool) -> None:
    pictures = _make(tmp_path, "a.jpg", "a.png", "b.jpg")
    summary, lines = _mark(tmp_path, *pictures, write=write, style="lightroom")
    assert summary.n_sidecars == 1
    assert [line["did"] for line in lines[:2]] == ["failed", "failed"]
    assert "a.jpg: its sidecar" in summary.failed[0]
    assert "that of a.png, too" in summary.failed[0]
    assert _ratings(tmp_path) == ({"b.xmp": "1"} if write else {})


def test_links_to_one_file_are_one_sidecar(tmp_path: Path) -> None:
    pictures = _make(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "shared.xmp").write_text(RATED % "0")
    for picture in pictures:
        (tmp_path / f"{picture.name}.xmp").symlink_to("shared.xmp")
    summary, _ = _mark(tmp_path, *pictures)
    assert len(summary.failed) == 2
    assert (tmp_path / "shared.xmp").read_text() == RATED % "0"


def test_raw_of_the_same_shot_gets_the_mark_too(tmp_path: Path) -> None:
    pictures = _make(tmp_path, "a.JPG", "b.JPG")
    _make(tmp_path, "a.NEF", "a.mov", "b.CR2", "b.DNG")
    summary, lines = _mark(tmp_path, *pictures)
    assert summary.failed == ()
    assert _ratings(tmp_path) == {
        "a.JPG.xmp": "5", "a.xmp": "5", "b.JPG.xmp": "1", "b.CR2.xmp": "1", "b.DNG.xmp": "1",
    }  # fmt: skip
    assert [Path(line["path"]).name for line in lines] == ["a.JPG", "a.NEF", "b.JPG", "b.CR2", "b.DNG"]


@pytest.mark.parametrize("write", [False, True])
def test_the_files_of_one_shot_may_share_a_sidecar(tmp_path: Path, write: bool) -> None:
    pictures = _make(tmp_path, "a.JPG", "b.JPG")
    _make(tmp_path, "a.NEF", "b.CR2", "b.DNG")
    summary, lines = _mark(tmp_path, *pictures, write=write, style="lightroom")
    assert (summary.failed, summary.n_sidecars) == ((), 2)
    assert _ratings(tmp_path) == ({"a.xmp": "5", "b.xmp": "1"} if write else {})
    assert [line["did"] for line in lines] == ["wrote" if write else "to write", "nothing"] * 2 + ["nothing"]


@pytest.mark.parametrize("style", ["auto", "lightroom", "darktable"])
def test_a_decision_about_one_file_of_a_shot_is_about_all(tmp_path: Path, style: SidecarStyle) -> None:
    pictures = _make(tmp_path, "a.JPG", "b.JPG")
    _make(tmp_path, "a.NEF", "a.DNG", "b.NEF")
    (tmp_path / "a.NEF.XMP").write_text(RATED % "4")
    summary, lines = _mark(tmp_path, *pictures, style=style)
    assert (summary.failed, lines[0]["kept"]) == ((), ["Rating 4 in a.NEF.XMP"])
    assert {path.name for path in tmp_path.glob("a*") if path.suffix == ".xmp"} == set()
    assert set(_ratings(tmp_path).values()) == {"1"}  # of b


def test_raw_that_was_ranked_itself_keeps_its_own_mark(tmp_path: Path) -> None:
    jpeg, raw = _make(tmp_path, "a.jpg", "a.nef")
    _mark(tmp_path, jpeg, raw)
    assert _ratings(tmp_path) == {"a.jpg.xmp": "5", "a.xmp": "1"}


def test_raw_that_was_judged_and_got_no_mark_gets_none_from_another_file(tmp_path: Path) -> None:
    picture, raw, _ = _make(tmp_path, "a.png", "a.nef", "a.dng")
    _mark(tmp_path, picture, unmarked=[raw])
    assert _ratings(tmp_path) == {"a.png.xmp": "5", "a.dng.xmp": "5"}


def test_a_sidecar_that_would_mark_an_unmarked_picture_too_is_refused(tmp_path: Path) -> None:
    pictures = _make(tmp_path, "a.jpg", "a.png")
    summary, _ = _mark(tmp_path, pictures[0], style="lightroom", unmarked=[pictures[1]])
    assert "that of a.png, too" in summary.failed[0]
    assert _ratings(tmp_path) == {}


@pytest.mark.parametrize("rating", ["-1", "4"])
def test_a_decision_in_the_other_sidecar_counts(tmp_path: Path, rating: str) -> None:
    (picture, _) = _make(tmp_path, "a.jpg", "a.nef")
    (tmp_path / "a.xmp").write_text(RATED % rating)  # in Lightroom, about the shot
    summary, lines = _mark(tmp_path, picture)
    assert summary.n_sidecars == 0
    assert lines[0]["kept"] == [f"Rating {rating} in a.xmp"]
    assert _ratings(tmp_path) == {"a.xmp": rating}


def test_what_is_kept_is_named_and_a_later_decision_withdraws_the_mark(tmp_path: Path) -> None:
    picture = tmp_path / "a.jpg"
    Image.new("RGB", (8, 8)).save(picture)
    assert _mark(tmp_path, picture)[0].n_sidecars == 1
    Image.new("RGB", (8, 8)).save(picture, xmp=(RATED % "2").encode())
    summary, lines = _mark(tmp_path, picture, write=False)
    assert summary.kept == (f"{picture}: Rating 2 in a.jpg",)
    assert lines[0]["did"] == "to withdraw"
    _mark(tmp_path, picture)
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg", "out"] or not (tmp_path / "a.jpg.xmp").exists()
    assert _mark(tmp_path, picture, overrule=True)[0].n_sidecars == 1


def test_one_sidecar_that_cannot_be_written_does_not_end_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = _make(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    replace = Path.replace

    def full(self: Path, target: Path) -> Path:
        if Path(target).name == "b.jpg.xmp":
            raise OSError(28, os.strerror(28))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", full)
    summary, lines = _mark(tmp_path, *pictures)
    assert [line["did"] for line in lines] == ["wrote", "failed", "wrote"]
    assert "b.jpg.xmp: cannot be written (No space left on device)" in summary.failed[0]
    assert sorted(_ratings(tmp_path)) == ["a.jpg.xmp", "c.jpg.xmp"]
