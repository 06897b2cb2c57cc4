"""The plan: the same rows for the same settings, everything in them, one row group for each chunk."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("pyarrow")

from redaes.datagen.plan import COVERED_SHARE, SHARED_SHARE, Frame, plan_view, read_plan, whole_or_crop, write_plan
from redaes.errors import RecordError
from redaes.types import FACTORS

VIEWS = [plan_view(f"{n:064x}", "train", view, 3, 0) for n in range(200) for view in range(2)]


def test_the_same_rows_again_and_no_id_twice() -> None:
    assert plan_view(f"{0:064x}", "train", 0, 3, 0) == VIEWS[0]
    assert plan_view(f"{0:064x}", "train", 0, 3, 1) != VIEWS[0]
    ids = [planned.id for rows in VIEWS for planned in rows]
    assert len(set(ids)) == len(ids)


def test_each_view_has_a_twin_and_its_members() -> None:
    for rows in VIEWS:
        roles = Counter(planned.role for planned in rows)
        assert roles["twin"] == 1
        assert roles["member"] == 3
        assert roles["shared"] <= 1
        assert len({planned.group for planned in rows}) == 1


def test_shares_are_near_what_is_documented() -> None:
    shared = sum(any(planned.role == "shared" for planned in rows) for rows in VIEWS) / len(VIEWS)
    members = [planned for rows in VIEWS for planned in rows if planned.role == "member"]
    covered = sum(planned.cover is not None for planned in members) / len(members)
    assert abs(shared - SHARED_SHARE) < 0.08
    assert abs(covered - COVERED_SHARE) < 0.05
    assert set(Counter(planned.edit.factor for planned in members)) == set(FACTORS) - {"subject", "mood"}


def test_what_all_share_is_not_cut_off() -> None:
    for rows in VIEWS:
        if any(planned.role == "shared" for planned in rows):
            assert all(planned.edit.factor != "composition" for planned in rows if planned.role == "member")


@pytest.mark.parametrize("size", [(640, 480), (7, 900), (1, 1)])
def test_frames_lie_within_the_photograph(size: tuple[int, int]) -> None:
    rng = random.Random(0)
    for view in range(20):
        left, top, right, bottom = whole_or_crop(view, rng).box(*size)
        assert 0 <= left < right <= size[0]
        assert 0 <= top < bottom <= size[1]
    assert Frame(0.0, 0.0, 1.0).box(*size) == (0, 0, *size)


def test_a_plan_is_read_back_by_chunk(tmp_path: Path) -> None:
    chunks = [VIEWS[0] + VIEWS[1], VIEWS[2]]
    assert write_plan(tmp_path / "plan.parquet", chunks) == sum(map(len, chunks))
    assert [read_plan(tmp_path / "plan.parquet", number) for number in range(2)] == chunks
    assert [file.name for file in tmp_path.iterdir()] == ["plan.parquet"]


def test_a_plan_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"plan\.parquet is not a readable plan"):
        read_plan(tmp_path / "plan.parquet", 0)
    (tmp_path / "plan.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(RecordError, match=r"plan\.parquet is not a readable plan"):
        read_plan(tmp_path / "plan.parquet", 0)
