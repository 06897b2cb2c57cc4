"""The file of answers: whole rows, the last one taken back, nothing else touched."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

from redaes.errors import InputError, RecordError
from redaes.taste.preference_file import PREFERENCE_COLUMNS, Preference, PreferenceFile

ONE = Preference("a.jpg", "june/b, c.jpg", "first", "a.jpg and 1 more")
TWO = Preference('=1 "x".jpg', "two\nlines.jpg", "tie", "@s")


def kept(path: Path) -> list[Preference]:
    file = PreferenceFile(path)
    found = file.preferences
    file.close()
    return found


def test_what_was_given_is_there_again_in_its_order(tmp_path: Path) -> None:
    path = tmp_path / "new" / "answers.csv"
    file = PreferenceFile(path)
    file.add(ONE)
    file.add(TWO)
    file.close()
    assert kept(path) == [ONE, TWO]
    with path.open(encoding="utf-8", newline="") as text:
        rows = list(csv.reader(text))
    assert rows[0] == list(PREFERENCE_COLUMNS)
    assert rows[2][0] == '\'=1 "x".jpg'


def test_the_last_one_is_taken_back_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "answers.csv"
    file = PreferenceFile(path)
    file.add(ONE)
    before = path.read_bytes()
    file.add(TWO)
    assert file.take_back() == TWO
    assert path.read_bytes() == before
    file.add(TWO)
    file.close()
    file = PreferenceFile(path)
    assert [file.take_back(), file.take_back()] == [TWO, ONE]
    with pytest.raises(InputError, match="does not end with an answer"):
        file.take_back()
    file.close()
    assert path.read_bytes() == ",".join(PREFERENCE_COLUMNS).encode() + b"\r\n"


@pytest.mark.parametrize("cut", [1, 2, 3, 9, 20])
def test_what_a_kill_cut_off_costs_no_other_row(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "answers.csv"
    file = PreferenceFile(path)
    for one in (ONE, ONE):
        file.add(one)
    file.close()
    os.truncate(path, path.stat().st_size - cut)
    file = PreferenceFile(path)
    whole = len(file.preferences)
    file.add(TWO)
    file.close()
    assert whole in (1, 2)
    assert kept(path)[:1] == [ONE]
    assert kept(path)[-1] == TWO
    assert len(kept(path)) == whole + 1


def test_one_process_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "answers.csv"
    file = PreferenceFile(path)
    with pytest.raises(RecordError, match="another process keeps answers there"):
        PreferenceFile(path)
    file.close()
    PreferenceFile(path).close()


def test_another_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "decisions.csv"
    path.write_bytes(b"rank,name\r\n1,a.jpg\r\n")
    with pytest.raises(InputError, match="begins with 'rank,name', not with first,second,winner,series"):
        PreferenceFile(path)
    assert path.read_bytes() == b"rank,name\r\n1,a.jpg\r\n"
    with pytest.raises(RecordError, match="cannot be written"):
        PreferenceFile(tmp_path)


def test_rows_of_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "answers.csv"
    path.write_bytes(b"first,second,winner,series\na.jpg,b.jpg,left,s\na.jpg,b.jpg,second,s\nc.jpg\n")
    file = PreferenceFile(path)
    assert (file.preferences, file.n_unreadable) == ([Preference("a.jpg", "b.jpg", "second", "s")], 2)
    with pytest.raises(InputError, match="does not end with an answer"):
        file.take_back()
    file.close()


def test_a_row_that_finds_no_room_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "answers.csv"
    file = PreferenceFile(path)
    file.add(ONE)
    before = path.read_bytes()

    class Full:
        def __init__(self, whole: object) -> None:
            self._whole = whole

        def write(self, data: bytes) -> int:
            return self._whole.write(data[:5])  # type: ignore[attr-defined]

        def fileno(self) -> int:
            return self._whole.fileno()  # type: ignore[attr-defined]

    whole = file._file
    monkeypatch.setattr(file, "_file", Full(whole))
    with pytest.raises(RecordError, match="make room and answer again"):
        file.add(TWO)
    assert path.read_bytes() == before
    monkeypatch.setattr(file, "_file", whole)
    file.add(TWO)
    file.close()
    assert kept(path) == [ONE, TWO]
