"""An earlier taste is gone on with whole, or refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from redaes.errors import RecordError
from redaes.taste.saving import EarlierDecisions


def _rows() -> list[dict[str, object]]:
    return [
        {
            "id": f"{n}",
            "first": {"id": f"a{n}", "path": f"/photos/{n}a.png"},
            "second": {"id": f"b{n}", "path": f"/photos/{n}b.png"},
            "p_first": 0.75,
            "n_votes": 4,
            "series": "s",
        }
        for n in range(3)
    ]


@pytest.fixture
def taste(tmp_path: Path) -> Path:
    (tmp_path / "report.json").write_text(
        json.dumps({"taste": 1, "model": "m", "revision": "r", "decisions": {"n": 3}}), encoding="utf-8"
    )
    (tmp_path / "decisions.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in _rows()), encoding="utf-8")
    return tmp_path


def test_earlier_decisions_are_answers_again(taste: Path) -> None:
    found = EarlierDecisions(taste)
    assert [row.label.votes for row in found] == [(3.0, 1.0)] * 3
    assert found.ids(next(iter(found)).where) == ("a0", "b0")
    assert found.ids("answers.csv line 2") is None


def _without_the_last_line(taste: Path) -> None:
    file = taste / "decisions.jsonl"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:2]))


def _with_an_impossible_share(taste: Path) -> None:
    file = taste / "decisions.jsonl"
    file.write_text(file.read_text().replace("0.75", "7"))


def _with_half_a_report(taste: Path) -> None:
    (taste / "report.json").write_text('{"taste": 1, "mod')


def _with_a_report_that_tells_nothing(taste: Path) -> None:
    (taste / "report.json").write_text('{"taste": 1}')


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_without_the_last_line, "has 2 decisions, and report.json tells of 3"),
        (_with_an_impossible_share, "7 is not a share of answers"),
        (_with_half_a_report, "report.json is not JSON"),
        (_with_a_report_that_tells_nothing, "report.json is not whole"),
    ],
)
def test_a_damaged_taste_is_refused(taste: Path, damage: Callable[[Path], None], says: str) -> None:
    damage(taste)
    with pytest.raises(RecordError, match=says) as error:
        EarlierDecisions(taste)
    assert "copy the taste again" in str(error.value)
