"""What is exported, or written as any form of a list, comes back from ``redaes data import`` as it was."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import NormalDist
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from redaes.datagen.export import FORMATS, export
from redaes.datagen.imported.forms import ReadingSettings, read_source
from redaes.datagen.imported.importing import ImportSettings, import_pairs
from redaes.datagen.imported.labels import delta_from_votes
from redaes.datagen.imported.sources import find_source
from redaes.datagen.validation import validate
from redaes.records import PairRecord, read_records
from redaes.types import SPLITS, TAU, winner_of

Known = dict[tuple[str, str], tuple[float, str, str]]
"""Difference, source and split by the ids of both pictures, the smaller first."""

PHI = NormalDist()


def records_of(folder: Path) -> list[PairRecord]:
    return [record for split in SPLITS for record in read_records(folder, split)]


def known(folder: Path) -> Known:
    found = {}
    for record in records_of(folder):
        pair = record.pair if record.pair.first.id < record.pair.second.id else record.pair.swapped()
        assert pair.delta is not None
        found[pair.first.id, pair.second.id] = (pair.delta, pair.source, pair.split)
    return found


def said_of(folder: Path) -> dict[frozenset[str], set[str | None]]:
    found = {}
    for record in records_of(folder):
        texts = {text and text.text for text in (record.rationale, record.rationale_swapped)}
        found[frozenset((record.pair.first.id, record.pair.second.id))] = texts
    return found


def back(source: Path, out: Path) -> Known:
    import_pairs(
        read_source(find_source(source), ReadingSettings(), set()), out, settings=ImportSettings(), origin=source.name
    )
    assert not validate(out).wrong
    return known(out)


@pytest.mark.parametrize("form", FORMATS)
def test_an_export_comes_back_as_it_was(red_folder: Path, tmp_path: Path, form: Any) -> None:
    export(red_folder, tmp_path / "exported", form)
    before, after = known(red_folder), back(tmp_path / "exported", tmp_path / "back")
    rounding = 1e-4
    if form == "preference":  # answers state one decimal, ties have no wrong order, and Parquet's name has the split
        before = {names: what for names, what in before.items() if winner_of(what[0]) != "tie"}
        rounding = 0.0501
    assert before.keys() == after.keys()
    assert {names: what[1:] for names, what in before.items()} == {names: what[1:] for names, what in after.items()}
    assert all(abs(after[names][0] - before[names][0]) <= rounding for names in before)
    if form != "preference":  # which has reasoning for one order
        assert said_of(tmp_path / "back") == said_of(red_folder)
        # What was imported, exported again, comes back to the last bit.
        export(tmp_path / "back", tmp_path / "again", form)
        assert back(tmp_path / "again", tmp_path / "third") == after


def write_csv(rows: list[dict[str, Any]], path: Path) -> Path:
    with path.with_suffix(".csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return path.with_suffix(".csv")


def write_lines(rows: list[dict[str, Any]], path: Path) -> Path:
    path.with_suffix(".jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path.with_suffix(".jsonl")


def write_json(rows: list[dict[str, Any]], path: Path) -> Path:
    path.with_suffix(".json").write_text(json.dumps(rows))
    return path.with_suffix(".json")


def write_parquet(rows: list[dict[str, Any]], path: Path) -> Path:
    pictures = [
        row | {s: {"bytes": (path.parent / row[s]).read_bytes(), "path": row[s]} for s in ("first", "second")}
        for row in rows
    ]
    pq.write_table(pa.Table.from_pylist(pictures), path.with_suffix(".parquet"))
    return path.with_suffix(".parquet")


WRITERS: list[Callable[[list[dict[str, Any]], Path], Path]] = [write_csv, write_lines, write_json, write_parquet]

LABELS: dict[str, Callable[[float], Mapping[str, Any]]] = {
    "delta": lambda delta: {"delta": delta},
    "probability": lambda delta: {"probability": PHI.cdf(delta / TAU)},
    "votes": lambda delta: dict(zip(("votes_first", "votes_second"), voted(delta), strict=True)),
    "winner": lambda delta: {"winner": {"A": "first", "B": "second", "tie": "tie"}[winner_of(delta)]},
}
N_VOTES = 41


def voted(delta: float) -> tuple[float, float]:
    """So many votes of 41, or half ones, as the difference stands for."""
    n_first = max(0, min(N_VOTES, round(2 * (PHI.cdf(delta / TAU) * (N_VOTES + 1) - 0.5)) / 2))
    return n_first, N_VOTES - n_first


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("write", WRITERS)
def test_every_list_comes_back_as_it_was(
    red_folder: Path, tmp_path: Path, label: str, write: Callable[[list[dict[str, Any]], Path], Path]
) -> None:
    rows = []
    (tmp_path / "images").mkdir()
    for record in records_of(red_folder):
        pair = record.pair
        names = {}
        for side, data in (("first", record.first_bytes), ("second", record.second_bytes)):
            names[side] = f"images/{pair.of(side).id}.jpg"  # type: ignore[arg-type]
            (tmp_path / names[side]).write_bytes(data)
        assert pair.delta is not None
        rows.append({**names, **LABELS[label](pair.delta), "source": pair.source, "split": pair.split})
    before, after = known(red_folder), back(write(rows, tmp_path / "pairs"), tmp_path / "back")
    assert before.keys() == after.keys()
    for names, (delta, source, split) in before.items():
        assert after[names][1:] == (source, split)
        if label == "votes":  # as near as 41 votes can say: a quarter of a vote either way
            share = (voted(delta)[0] + 0.5) / (N_VOTES + 1)
            assert abs(share - PHI.cdf(delta / TAU)) <= 0.25 / (N_VOTES + 1) + 1e-9 or voted(delta)[0] in (0, N_VOTES)
            assert after[names][0] == pytest.approx(delta_from_votes(*voted(delta)), abs=1e-4)
        elif label == "winner":
            assert winner_of(after[names][0]) == winner_of(delta)
        else:
            assert after[names][0] == pytest.approx(delta, abs=1e-4)


def test_votes_come_back_as_votes(tmp_path: Path, red_folder: Path) -> None:
    export(red_folder, tmp_path / "jsonl", "jsonl")
    lines = [json.loads(line) for line in (tmp_path / "jsonl" / "train.jsonl").read_text().splitlines()]
    counts = [(3, 0), (2, 5), (4.5, 4.5), (0, 1), (40, 2)]
    rows = [
        {"first": line["first"], "second": line["second"], "votes_first": a, "votes_second": b}
        for line, (a, b) in zip(lines, counts * len(lines), strict=False)
    ]
    voted_set = back(write_csv(rows, tmp_path / "jsonl" / "votes"), tmp_path / "voted")
    export(tmp_path / "voted", tmp_path / "csv", "csv")
    with (tmp_path / "csv" / "pairs.csv").open() as file:
        written = list(csv.DictReader(file))
    said = {
        tuple(sorted(((row["first"], float(row["votes_first"])), (row["second"], float(row["votes_second"])))))
        for row in written
    }
    assert said == {
        tuple(sorted(((row["first"], float(row["votes_first"])), (row["second"], float(row["votes_second"])))))
        for row in rows
    }
    assert {row["delta"] for row in written} == {""}
    assert back(tmp_path / "csv" / "pairs.csv", tmp_path / "back") == voted_set
    counted = {r.pair.id: r.n_votes for r in records_of(tmp_path / "voted")}
    assert sorted(counted.values()) == sorted(r.n_votes or 0 for r in records_of(tmp_path / "back"))
    assert set(counted.values()) == {3, 7, 9, 1, 42}
