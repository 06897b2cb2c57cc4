"""The tour of a minute: its story, its files, and the same again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from redaes.cli.app import app
from redaes.records import read_records

runner = CliRunner()


def test_the_tour_tells_what_it_did_and_can_be_taken_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = runner.invoke(app, ["demo", "--quick"], catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    story = done.stdout
    out = Path("tour_out")

    pairs = [record for split in ("train", "test") for record in read_records(out / "pairs", split)]
    assert f"by a known amount: {len(pairs)} pairs, in tour_out/pairs" in story
    assert all(record.licence for record in pairs)
    assert "label: as_it_was.jpg is better by " in story
    assert {file.name for file in (out / "comparison").iterdir()} == {"as_it_was.jpg", "edited.jpg"}
    assert "held against the pictures: " in story
    assert "measured " in story
    (line,) = map(json.loads, (out / "ranking" / "ranking.jsonl").read_text().splitlines())
    assert len(line["pictures"]) == 5
    best = Path(line["pictures"][0]["path"]).name
    assert f"0001  {best} is the best of 5" in story or f"0001  no clear best of 5: {best} comes first" in story
    assert (out / "ranking" / "contact_sheet.html").is_file()
    assert "Open tour_out/ranking/contact_sheet.html" in story
    for command in ("redaes compare A.jpg B.jpg", "redaes rank FOLDER", "redaes serve", "redaes demo"):
        assert f"\n   {command}\n" in story
    assert "http://127.0.0.1:8080" in story
    assert done.stderr == ""

    again = runner.invoke(app, ["demo", "--quick"], catch_exceptions=False)
    assert (again.exit_code, again.stdout) == (0, story)
