"""Decisions out of lists: put together, series by series, with everything unusable named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from redaes.datagen.imported.forms import ReadingSettings
from redaes.errors import InputError, RecordError
from redaes.taste.decisions import DecidedPicture, TasteDecision
from redaes.taste.folds import fold_numbers
from redaes.taste.reading import ReadDecisions, read_decisions, stated_in
from redaes.taste.saving import EarlierDecisions, earlier_report


def _pictures(folder: Path, n: int) -> None:
    for number in range(n):
        pixels = np.random.default_rng(number).integers(0, 255, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((48, 48), Image.Resampling.NEAREST).save(folder / f"p{number}.png")


def _read(folder: Path, rows: str, header: str = "first,second,winner") -> ReadDecisions:
    file = folder / "answers.csv"
    file.write_text(f"{header}\n{rows}", encoding="utf-8")
    work = folder / "work"
    work.mkdir(exist_ok=True)
    return read_decisions(stated_in([file], ReadingSettings()), work)


def test_answers_about_a_pair_are_one_decision_and_contradictions_are_named(tmp_path: Path) -> None:
    _pictures(tmp_path, 4)
    found = _read(tmp_path, "p0.png,p1.png,first\np1.png,p0.png,first\np0.png,p1.png,first\np2.png,p3.png,tie\n")
    assert (len(found.decisions), found.n_answers) == (2, 4)
    shares = sorted(max(one.p_first, 1 - one.p_first) for one in found.decisions)
    assert shares == pytest.approx([1 / 2, 2 / 3])
    assert {one.n_votes for one in found.decisions} == {1, 3}
    assert found.contradictory == (f"{tmp_path / 'p0.png'} and {tmp_path / 'p1.png'}",)


def test_what_shares_pictures_or_a_stated_series_is_one_series(tmp_path: Path) -> None:
    _pictures(tmp_path, 8)
    rows = (
        "p0.png,p1.png,first,\np1.png,p2.png,first,\np3.png,p4.png,first,x\np5.png,p6.png,first,x\np6.png,p7.png,first,"
    )
    found = _read(tmp_path, rows, "first,second,winner,series")
    sizes = sorted([one.series for one in found.decisions].count(name) for name in {d.series for d in found.decisions})
    assert sizes == [2, 3]


def test_what_cannot_be_used_is_named_and_counted(tmp_path: Path) -> None:
    _pictures(tmp_path, 2)
    (tmp_path / "bad.png").write_bytes(b"no picture")
    found = _read(tmp_path, "p0.png,gone.png,first\np0.png,bad.png,first\np0.png,p0.png,first\np0.png,p1.png,second\n")
    assert len(found.decisions) == 1
    assert sum(found.reasons().values()) == 3
    assert found.reasons()["picture missing"] == found.reasons()["picture unreadable"] == 1
    assert any("gone.png" in row.detail for row in found.left_out)


def _decision(number: int, series: str, p_first: float = 1.0) -> TasteDecision:
    first, second = (DecidedPicture(f"{number}{side}", Path("x")) for side in "ab")
    return TasteDecision(str(number), first, second, p_first, series)


def test_folds_hold_out_whole_series_and_do_not_depend_on_the_order() -> None:
    decisions = [_decision(number, f"s{number // 3}") for number in range(30)]
    folds = fold_numbers(decisions, 5)
    assert sorted(folds) == sorted(list(range(5)) * 6)
    assert all(len({folds[3 * series + n] for n in range(3)}) == 1 for series in range(10))
    assert fold_numbers(decisions[::-1], 5) == folds[::-1]
    assert set(fold_numbers(decisions[:9], 5)) == {0, 1, 2}


def test_one_series_cannot_be_held_out() -> None:
    with pytest.raises(InputError, match="all 4 decisions belong to one series"):
        fold_numbers([_decision(number, "s") for number in range(4)], 5)


def test_shares_of_answers_only() -> None:
    with pytest.raises(InputError, match="share of answers"):
        _decision(0, "s", 1.2)
    assert [_decision(0, "s", share).sign for share in (0.0, 0.5, 0.6)] == [-1, 0, 1]


def test_a_folder_that_is_no_taste_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="contains no taste"):
        earlier_report(tmp_path)
    (tmp_path / "decisions.jsonl").write_text("{}\n", encoding="utf-8")
    report = {"taste": 1, "model": "m", "revision": "r", "decisions": {"n": 1}}
    (tmp_path / "report.json").write_text(json.dumps(report), encoding="utf-8")
    with pytest.raises(RecordError, match="cannot be read"):
        EarlierDecisions(tmp_path)


def test_near_copies_belong_to_one_series(tmp_path: Path) -> None:
    scene = np.random.default_rng(3).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    picture = Image.fromarray(scene).resize((160, 120), Image.Resampling.BICUBIC)
    for quality in (95, 60):
        picture.save(tmp_path / f"copy{quality}.jpg", quality=quality)
    _pictures(tmp_path, 3)
    found = _read(tmp_path, "copy95.jpg,p0.png,first\np1.png,copy60.jpg,first\n")
    assert len({one.series for one in found.decisions}) == 1
    found = _read(tmp_path, "copy95.jpg,p0.png,first\np1.png,p2.png,first\n")
    assert len({one.series for one in found.decisions}) == 2
