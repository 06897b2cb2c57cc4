"""From votes to orders: Bradley-Terry against another implementation, and votes that give no order."""

from __future__ import annotations

import math
from pathlib import Path

import choix
import numpy as np
import pytest

from redaes.datagen.series.votes import RefusedSeries, Votes, calibrate, read_votes
from redaes.errors import InputError, RecordError


def votes(*rows: tuple[str, str, float, float], series: str = "s") -> list[Votes]:
    return [Votes(series, *row) for row in rows]


@pytest.mark.parametrize("pseudo_count", [0.0, 0.5])
def test_strengths_are_those_of_choix(pseudo_count: float) -> None:
    rng = np.random.default_rng(0)
    wins = rng.integers(1, 9, (6, 6)).astype(float)
    np.fill_diagonal(wins, 0)
    rows = [(str(i), str(j), wins[i, j], wins[j, i]) for i in range(6) for j in range(i + 1, 6)]
    (found,), refused = calibrate(votes(*rows), pseudo_count=pseudo_count)
    table = wins + pseudo_count
    np.fill_diagonal(table, 0)
    reference = choix.ilsr_pairwise_dense(table, tol=1e-12, max_iter=10_000)
    assert not refused
    assert [found.strengths[str(i)] for i in range(6)] == pytest.approx(reference - reference.mean(), abs=1e-9)


def test_close_pairs_are_dropped_and_the_rest_ordered() -> None:
    (found,), _ = calibrate(votes(("a", "b", 9, 1), ("c", "b", 9, 1), ("a", "c", 5, 5)), pseudo_count=0)
    assert found.order == ("a", "c", "b")
    assert found.n_dropped == 1
    assert {(pair.first, pair.second) for pair in found.pairs} == {("a", "b"), ("c", "b")}
    assert all(pair.probability == pytest.approx(0.9) for pair in found.pairs)


def test_entries_of_one_pair_add_up_in_either_order() -> None:
    (one,), _ = calibrate(votes(("a", "b", 2, 1), ("b", "a", 0, 1)), pseudo_count=0)
    (other,), _ = calibrate(votes(("a", "b", 3, 1)), pseudo_count=0)
    assert one == other
    assert one.strengths["a"] - one.strengths["b"] == pytest.approx(math.log(3))


def test_unanimous_votes_need_the_pseudo_count() -> None:
    rows = votes(("a", "b", 10, 0), ("b", "c", 10, 0))
    (found,), refused = calibrate(rows)
    assert found.order == ("a", "b", "c")
    assert not refused
    done, (refusal,) = calibrate(rows, pseudo_count=0)
    assert not done
    assert refusal == RefusedSeries("s", "one_sided", (("a", "b", "c"),))


def test_unconnected_votes_are_refused_with_their_parts() -> None:
    done, refused = calibrate([*votes(("a", "b", 1, 2), ("c", "d", 3, 1)), *votes(("x", "y", 1, 2), series="t")])
    assert [found.series for found in done] == ["t"]
    assert refused == [RefusedSeries("s", "disconnected", (("a", "b"), ("c", "d")))]


@pytest.mark.parametrize("counts", [(-1, 2), (0, 0), (math.nan, 1), (math.inf, 1)])
def test_impossible_votes_are_refused(counts: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="finite counts"):
        Votes("s", "a", "b", *counts)


def test_wrong_settings_and_self_votes_are_refused() -> None:
    with pytest.raises(InputError, match="margin 0"):
        calibrate([], margin=0.5)
    with pytest.raises(InputError, match="with itself"):
        Votes("s", "a", "a", 1, 1)


def test_votes_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "votes.csv"
    file.write_text("series,first,second,n_first,n_second,who\n1,a.jpg,b.jpg,7,3,x\n")
    assert read_votes(file) == [Votes("1", "a.jpg", "b.jpg", 7, 3)]
    header = "series,first,second,n_first,n_second\n"
    file.write_text(header + "1,a,b,7,3\n1,a,c,,\n1,b,c, ,\n1,b,d,0,2\n")
    assert read_votes(file) == [Votes("1", "a", "b", 7, 3), Votes("1", "b", "d", 0, 2)]
    for text, message in (
        ("series,first,second\n1,a,b\n", "lacks the columns n_first, n_second"),
        ("series,first,second,n_first,n_second\n1,a,b,many,3\n", "line 2"),
        ("series,first,second,n_first,n_second\n1,a,b,1\n", "line 2: a value"),
        ("series,first,second,n_first,n_second\n1,a,a,1,1\n", "with itself"),
        ("series,first,second,n_first,n_second\n1,a,b,1,\n", "line 2: one of n_first and n_second is blank"),
        ("series,first,second,n_first,n_second\n1,,b,1,2\n", "line 2: a value of"),
        ("series,first,second,n_first,n_second\n1,a,b,,\n", "holds no votes"),
    ):
        file.write_text(text)
        with pytest.raises(RecordError, match=message):
            read_votes(file)
    with pytest.raises(RecordError, match="cannot be read"):
        read_votes(tmp_path / "none.csv")
