"""What a search through a folder finds, leaves out, and says."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from redaes.errors import InputError
from redaes.images import find_pictures, folder_search, list_images


def _jpeg() -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (8, 8), "teal").save(data, "JPEG")
    return data.getvalue()


def _make(root: Path, *names: str, content: bytes = b"") -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


def _names(root: Path, exclude: tuple[str, ...] = (), results: Path | None = None) -> list[str]:
    return [path.relative_to(root).as_posix() for path in find_pictures(root, exclude, results).pictures]


def _said(root: Path, exclude: tuple[str, ...] = (), results: Path | None = None) -> list[str]:
    return [one.in_words(root) for one in find_pictures(root, exclude, results).passed_over]


def _without(monkeypatch: pytest.MonkeyPatch, *unreadable: Path) -> None:
    """Let the system refuse these folders, as it does not where a test runs as root."""
    real = os.scandir

    def scandir(place: str | Path) -> Iterator[os.DirEntry[str]]:
        if Path(place) in unreadable:
            raise PermissionError(13, "Permission denied", str(place))
        return real(place)

    monkeypatch.setattr(os, "scandir", scandir)


def test_a_folder_that_cannot_be_read_is_named_and_the_rest_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _make(tmp_path, "a.jpg", "private/b.jpg", "z/c.jpg", "z/deep/private/d.jpg")
    _without(monkeypatch, tmp_path / "private", tmp_path / "z/deep/private")
    found = find_pictures(tmp_path)
    assert [path.name for path in found.pictures] == ["a.jpg", "c.jpg"]
    assert [path for path, _ in found.unreadable] == [tmp_path / "private", tmp_path / "z/deep/private"]
    assert f"{tmp_path / 'private'} cannot be read (Permission denied)" in found.unreadable[0][1]
    assert list_images(tmp_path, recursive=True) == list(found.pictures)


def test_the_folder_itself_has_to_be_readable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no such folder"):
        find_pictures(tmp_path / "missing")
    _make(tmp_path, "a.jpg")
    with pytest.raises(InputError, match="not a folder"):
        find_pictures(tmp_path / "a.jpg")
    _without(monkeypatch, tmp_path)
    with pytest.raises(InputError, match="Permission denied"):
        find_pictures(tmp_path)


@pytest.mark.parametrize(
    "folder",
    [
        "@eaDir/IMG_1.jpg", "#recycle", "$RECYCLE.BIN/S-1-5", "Recycled", "lost+found", "FOUND.000", "__MACOSX",
        "Trip Previews.lrdata/0/1A", "Trip Smart Previews.lrdata", ".thumbnails", "day/.picasaoriginals", ".Trash-1000",
        "CaptureOne/Cache/Thumbnails", "day/CaptureOne/Settings153", "Trip.cocatalogdb", "PRIVATE/M4ROOT/THMBNL",
        "System Volume Information", "Mac.photoslibrary/resources/derivatives", "Old.aplibrary/Previews", ".dtrash",
        "mipmaps-8f1c.d/3", "@Recycle", ".@__thumb", "#snapshot/hour", "BridgeCache", "thumbs", "DCIM/CANONMSC",
    ],
)  # fmt: skip
def test_folders_of_programs_are_left_out_by_name(tmp_path: Path, folder: str) -> None:
    _make(tmp_path, "a.jpg", f"{folder}/thumb.jpg", f"{folder}/deeper/thumb.jpg")
    assert _names(tmp_path) == ["a.jpg"]
    (said,) = _said(tmp_path)
    assert said.startswith("left out: ")
    assert "give it as DIR" in said


def test_folders_of_photographers_are_looked_into(tmp_path: Path) -> None:
    own = (
        "Mac.photoslibrary/originals/0/b.jpg", "Old.aplibrary/Masters/2009/c.jpg", "CaptureOne/d.jpg", "found/e.jpg",
        "originals/f.jpg", "cache/g.jpg", "@home/h.jpg", "#1/i.jpg", "darktable_exported/j.jpg", "settings/k.jpg",
    )  # fmt: skip
    _make(tmp_path, *own)
    assert _names(tmp_path) == sorted(own)
    assert _said(tmp_path) == []


def test_a_folder_of_a_program_can_be_given_itself(tmp_path: Path) -> None:
    _make(tmp_path, "lost+found/a.jpg", "lost+found/day/b.jpg", ".hidden/c.jpg")
    assert _names(tmp_path / "lost+found") == ["a.jpg", "day/b.jpg"]
    assert _names(tmp_path / ".hidden") == ["c.jpg"]


def test_hidden_files_and_notes_of_macos_are_counted_where_they_look_like_pictures(tmp_path: Path) -> None:
    _make(tmp_path, "a.jpg", "._a.jpg", "b/._c.JPG", ".trashed-1-d.jpg", ".DS_Store", "._notes.txt")
    assert _names(tmp_path) == ["a.jpg"]
    assert _said(tmp_path) == [
        "left out: hidden files: 1 (.trashed-1-d.jpg)",
        "left out: notes of macOS beside a file (._*): 2 (._a.jpg, b/._c.JPG)",
    ]


def test_pictures_of_kinds_that_are_not_read_are_counted_by_kind_with_the_remedy(tmp_path: Path) -> None:
    _make(tmp_path, "a.jpg", "1.psd", "2.PSD", "3.jp2", "x.mp4", "x.MOV", "notes.txt", "a.xmp", "a.jpg.xmp")
    found = find_pictures(tmp_path)
    assert [(one.what, len(one.paths), one.is_missed) for one in found.passed_over] == [
        ("files of JPEG 2000, which redaes does not read", 1, True),
        ("files of Photoshop, which redaes does not read", 2, True),
        ("videos", 2, False),
    ]
    assert _said(tmp_path)[1] == (
        "not judged: files of Photoshop, which redaes does not read: 2 (1.psd, 2.PSD); "
        "convert the picture to JPEG or PNG"
    )


def test_pictures_whose_reader_is_not_installed_are_counted_with_the_line_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_search, "missing_requirement", {"HEIF": "redaes[heif]"}.get)
    _make(tmp_path, "a.jpg", *(f"{number}.HEIC" for number in range(5)))
    assert _names(tmp_path) == ["a.jpg"]
    assert _said(tmp_path) == [
        "not judged: files of HEIF: 5 (0.HEIC, 1.HEIC, 2.HEIC and 2 more); run: pip install 'redaes[heif]', "
        "or convert the picture to JPEG or PNG"
    ]


def test_raw_and_mpo_are_judged(tmp_path: Path) -> None:
    _make(tmp_path, "a.NEF", "b.CR3", "c.dng", "d.mpo")
    assert _names(tmp_path) == ["a.NEF", "b.CR3", "c.dng", "d.mpo"]


def test_pictures_without_their_ending_are_named(tmp_path: Path) -> None:
    _make(tmp_path, "IMG_0001", "a.jpg", "a.jpg_original", content=_jpeg())
    _make(tmp_path, "README", "x.bak", content=b"nothing")
    assert _names(tmp_path) == ["a.jpg"]
    assert _said(tmp_path) == [
        "left out: pictures whose names lack the ending of their format: 2 (IMG_0001, a.jpg_original); "
        "rename them, for example to .jpg"
    ]


def test_links_to_folders_are_named_and_loops_end(tmp_path: Path) -> None:
    _make(tmp_path, "photos/a.jpg", "elsewhere/b.jpg")
    root = tmp_path / "photos"
    (root / "loop").symlink_to(root)
    (root / "other").symlink_to(tmp_path / "elsewhere")
    (root / "b.jpg").symlink_to(tmp_path / "elsewhere" / "b.jpg")
    assert _names(root) == ["a.jpg", "b.jpg"]
    assert _said(root) == [
        "left out: links to folders: 2 (loop, other); to include one, give the folder that it leads to as DIR"
    ]


def test_a_broken_link_is_left_for_the_loader_to_name(tmp_path: Path) -> None:
    _make(tmp_path, "a.jpg")
    (tmp_path / "b.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "c.jpg").symlink_to("c.jpg")
    assert _names(tmp_path) == ["a.jpg", "b.jpg", "c.jpg"]


def test_the_folder_for_results_is_not_looked_at(tmp_path: Path) -> None:
    _make(tmp_path, "a.jpg", "out/answers/1.json")
    assert _said(tmp_path, results=tmp_path / "out") == []
    _make(tmp_path, "out/picks/b.jpg")
    (tmp_path / "link").symlink_to("out")
    assert _names(tmp_path, results=tmp_path / "link") == ["a.jpg"]
    assert any("the results of redaes (--out): 1 (out)" in one for one in _said(tmp_path, results=tmp_path / "link"))
    assert _names(tmp_path, results=tmp_path) == ["a.jpg", "out/picks/b.jpg"]


def test_patterns_are_those_of_gitignore(tmp_path: Path) -> None:
    _make(tmp_path, "a.jpg", "a_edit.jpg", "exports/b.jpg", "day/exports/c.jpg", "day/d.jpg", "day/raw/x/e.jpg")
    assert _names(tmp_path, ("*_edit.jpg", "/exports/")) == [
        "a.jpg", "day/d.jpg", "day/exports/c.jpg", "day/raw/x/e.jpg",
    ]  # fmt: skip
    assert _names(tmp_path, ("exports", "day/**/e.jpg")) == ["a.jpg", "a_edit.jpg", "day/d.jpg"]
    assert _names(tmp_path, ("*.jpg", "!a*.jpg")) == ["a.jpg", "a_edit.jpg"]
    assert _said(tmp_path, ("*_edit.jpg", "exports/")) == [
        "left out: folders named by --exclude: 2 (day/exports, exports)",
        "left out: pictures named by --exclude: 1 (a_edit.jpg)",
    ]


@pytest.mark.parametrize("pattern", ["!", "\\"])
def test_what_is_no_pattern_is_refused(tmp_path: Path, pattern: str) -> None:
    _make(tmp_path, "a.jpg")
    with pytest.raises(InputError, match=r"--exclude .* not a valid .gitignore pattern"):
        find_pictures(tmp_path, ["*.png", pattern])


def test_a_folder_without_pictures_says_what_was_passed_over(tmp_path: Path) -> None:
    _make(tmp_path, "a.psd", "@eaDir/b.jpg")
    with pytest.raises(InputError, match=r"no pictures found; .*Photoshop.*1 \(a\.psd\).*thumbnails.*@eaDir"):
        find_pictures(tmp_path)
