"""``redaes demo --quick`` before anything heavy: what it refuses, and when it opens a browser."""

from __future__ import annotations

import importlib.util
import io
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

import redaes.demo
from redaes.cli import demo as command
from redaes.cli.app import app
from redaes.datagen.editors.parametric import make_edit
from redaes.demo import quick
from redaes.errors import InputError
from redaes.images import content_id
from redaes.records import PairRecord
from redaes.reference_photographs import CREDITS, FILES, originals
from redaes.serving import run as serving
from redaes.types import ImageRef, Pair

runner = CliRunner()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--open"], "--open works only together with --quick"),
        (["--quick", "--photos", "."], "--quick uses photographs that are included in the package"),
    ],
)
def test_options_that_do_not_go_together(options: list[str], said: str) -> None:
    done = runner.invoke(app, ["demo", *options])
    assert done.exit_code == 2
    assert said in done.stderr


def _absent(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    found = importlib.util.find_spec

    def find_spec(name: str, *rest: Any) -> Any:
        return None if name == package else found(name, *rest)

    monkeypatch.setattr(quick, "find_spec", find_spec)
    monkeypatch.setattr(command, "find_spec", find_spec)


@pytest.mark.parametrize(("package", "options", "extra"), [("pyarrow", [], "edit"), ("uvicorn", ["--open"], "serve")])
def test_a_package_that_is_absent_is_named_with_the_line_that_installs_it(
    package: str, options: list[str], extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _absent(monkeypatch, package)
    done = runner.invoke(app, ["demo", "--quick", *options, "--out", str(tmp_path / "out")])
    assert done.exit_code == 4
    assert package in done.stderr
    assert f"pip install 'redaes[{extra}]'" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_used_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.jpg").write_text("x")
    for out, said in ((tmp_path / "file", "is not a folder"), (full, "is not empty, and holds no tour")):
        done = runner.invoke(app, ["demo", "--quick", "--out", str(out)])
        assert done.exit_code == 2
        assert said in done.stderr
        assert "choose another" in done.stderr
    assert [file.name for file in full.iterdir()] == ["mine.jpg"]
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "tour.json").write_text('{"tour": {"views": 7}}')
    done = runner.invoke(app, ["demo", "--quick", "--out", str(tmp_path / "old")])
    assert done.exit_code == 2
    assert "holds a tour with other settings" in done.stderr


def _record(name: str, delta: float, *, edited: tuple[bool, bool] = (False, True)) -> PairRecord:
    buffer = io.BytesIO()
    Image.new("RGB", (24, 16), (int(10 * abs(delta)), 90, 30)).save(buffer, "PNG")
    data = buffer.getvalue()
    edit = make_edit("defocus", 0.5, 1)
    return PairRecord(
        pair=Pair(
            id=name * 16,
            first=ImageRef(id=content_id(data), path=Path("a.png")),
            second=ImageRef(id=content_id(data), path=Path("b.png")),
            delta=delta,
            edit_first=edit if edited[0] else None,
            edit_second=edit if edited[1] else None,
            factors=("focus",),
            group="g",
            source="s",
            split="train",
        ),
        first_bytes=data, second_bytes=data, rationale=None, rationale_swapped=None, licence="",
    )  # fmt: skip


def test_the_pair_that_is_shown_has_the_largest_difference_to_an_unedited_picture() -> None:
    records = [
        _record("1", 2.0), _record("2", -5.0, edited=(True, False)), _record("3", 8.0, edited=(True, True)),
        _record("4", 0.0),
    ]  # fmt: skip
    assert quick.plainest(records).pair.id == "2" * 16
    with pytest.raises(InputError, match="no pair shows a photograph beside"):
        quick.plainest(records[2:])


def test_the_photographs_of_the_package_have_their_licences() -> None:
    found = originals()
    assert {path.name for path in found} == {name for name in FILES if "-" not in name} == set(CREDITS)
    assert all(path.is_file() for path in found)
    assert quick.SERIES_OF in CREDITS


def test_without_a_terminal_no_page_is_served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(redaes.demo, "run_tour", lambda out: None)
    monkeypatch.setattr(serving, "serve", lambda *_, **__: pytest.fail("it would not end"))
    done = runner.invoke(app, ["demo", "--quick", "--open", "--out", str(tmp_path)])
    assert done.exit_code == 0
    assert "standard output is not a terminal, so no page is served" in done.stdout


@pytest.mark.parametrize(("display", "opened"), [(":0", ["http://x"]), ("", [])])
def test_a_browser_is_opened_where_there_is_a_screen(
    display: str, opened: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pages: list[str] = []
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(command.webbrowser, "open", pages.append)
    monkeypatch.setattr(serving, "serve", lambda *_, announce, **__: announce("http://x"))
    command._serve_page(object())  # type: ignore[arg-type]
    assert pages == opened
    assert "The page is at http://x until you press Ctrl+C." in capsys.readouterr().out


def test_what_to_type_next_says_what_has_to_be_installed_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    quick._tell_next(quick._Teller(), Path("my tour"))
    told = capsys.readouterr().out
    assert "pip install" not in told
    assert "   redaes data inspect 'my tour/pairs' --out pairs.html\n" in told
    _absent(monkeypatch, "trl")
    quick._tell_next(quick._Teller(), Path("out"))
    told = capsys.readouterr().out
    assert "several minutes (first: pip install 'redaes[demo]')" in told
    assert told.count("pip install") == 1
