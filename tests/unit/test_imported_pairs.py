"""``redaes data import``: pairs that people judged, to a RED dataset."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from redaes.cli.app import app
from redaes.datagen.imported.circles import circular_triples
from redaes.datagen.imported.dividing import PlacedPair, divide
from redaes.datagen.imported.importing import ImportSettings, import_pairs
from redaes.datagen.imported.labels import PooledLabel, delta_from_votes, label_of_delta, pooled
from redaes.datagen.imported.pictures import NamedPictures
from redaes.datagen.imported.rows import StatedPair, StatedPicture, read_pair_list
from redaes.datagen.imported.series import pairs_of_series
from redaes.datagen.imported.series_lists import read_series_list
from redaes.datagen.inspection import inspect
from redaes.datagen.validation import validate
from redaes.errors import ImageError, InputError
from redaes.images import content_id
from redaes.records import PairRecord, read_records
from redaes.types import SPLITS, TAU

Rows = Sequence[Mapping[str, Any]]


def picture(path: Path, seed: int, size: tuple[int, int] = (48, 32)) -> Path:
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    path.parent.mkdir(parents=True, exist_ok=True)
    small.resize(size, Image.Resampling.BICUBIC).save(path, quality=92)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(12):
        picture(tmp_path / f"{number}.jpg", number, (48, 32) if number % 2 else (40, 40))
    return tmp_path


def write_csv(path: Path, rows: Rows, delimiter: str = ",", encoding: str = "utf-8") -> Path:
    with path.open("w", newline="", encoding=encoding) as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def run(source: Path, out: Path, **settings: Any) -> dict[str, Any]:
    return import_pairs(read_pair_list(source), out, settings=ImportSettings(**settings), origin=source.name)


def imported(out: Path) -> list[PairRecord]:
    return [record for split in SPLITS for record in read_records(out, split)]


def deltas(out: Path) -> dict[tuple[str, str], float]:
    """By both ids, the smaller first."""
    found = {}
    for record in imported(out):
        pair = record.pair if record.pair.first.id < record.pair.second.id else record.pair.swapped()
        assert pair.delta is not None
        found[pair.first.id, pair.second.id] = pair.delta
    return found


def between(folder: Path, first: int, second: int, found: Mapping[tuple[str, str], float]) -> float:
    one, other = (content_id((folder / f"{number}.jpg").read_bytes()) for number in (first, second))
    return found[one, other] if one < other else 0.0 - found[other, one]


SIX = [{"first": f"{2 * n}.jpg", "second": f"{2 * n + 1}.jpg"} for n in range(6)]


def test_votes_become_points_on_the_one_scale_and_stay_finite(folder: Path, tmp_path: Path) -> None:
    counts = [(1, 0), (10, 0), (3, 3), (2, 6), (0, 4), (0.5, 0.5)]
    rows = [row | {"votes_first": a, "votes_second": b} for row, (a, b) in zip(SIX, counts, strict=True)]
    run(write_csv(folder / "pairs.csv", rows), tmp_path / "out")
    found = deltas(tmp_path / "out")
    for n, (a, b) in enumerate(counts):
        wanted = TAU * NormalDist().inv_cdf((a + 0.5) / (a + b + 1))
        assert between(folder, 2 * n, 2 * n + 1, found) == pytest.approx(wanted, abs=1e-4)
    assert {record.n_votes for record in imported(tmp_path / "out")} == {1, 4, 6, 8, 10}
    assert delta_from_votes(10, 0) > delta_from_votes(1, 0) > 0


def test_an_imported_dataset_is_sound_and_can_be_looked_at(folder: Path, tmp_path: Path) -> None:
    rows = [row | {"winner": "first", "licence": "CC0-1.0"} for row in SIX]
    report = run(write_csv(folder / "pairs.csv", rows), tmp_path / "out", test_fraction=0.4)
    found = validate(tmp_path / "out")
    assert not found.wrong
    assert not found.warnings
    assert {split: counts.pairs for split, counts in found.counts.items()} == report["pairs"]
    assert sum(report["pairs"].values()) == 6
    assert min(report["pairs"].values()) >= 2
    inspect(tmp_path / "out", tmp_path / "page.html")
    assert "no edit of its own" not in (tmp_path / "page.html").read_text()
    assert {record.label_source for record in imported(tmp_path / "out")} == {"people"}
    assert not list((tmp_path / "out").glob(".*"))


def test_every_form_of_label_and_of_file_gives_the_same(folder: Path, tmp_path: Path) -> None:
    p = 0.7
    delta = TAU * NormalDist().inv_cdf(p)
    write_csv(folder / "a.csv", [row | {"probability": p} for row in SIX])
    write_csv(folder / "b.csv", [row | {"delta": delta} for row in SIX], delimiter=";")
    (folder / "c.jsonl").write_text("".join(json.dumps(row | {"delta": delta}) + "\n" for row in SIX))
    (folder / "d.json").write_text(json.dumps([row | {"probability": p} for row in SIX]))
    pictures = [{side: {"bytes": (folder / row[side]).read_bytes(), "path": row[side]} for side in row} for row in SIX]
    pq.write_table(pa.Table.from_pylist([row | {"delta": delta} for row in pictures]), folder / "e.parquet")
    outs = []
    for name in ("a.csv", "b.csv", "c.jsonl", "d.json", "e.parquet"):
        run(folder / name, tmp_path / name[0])
        outs.append([(r.pair, r.first_bytes, r.second_bytes, r.n_votes) for r in imported(tmp_path / name[0])])
    assert all(out == outs[0] for out in outs[1:])
    assert outs[0][0][3] is None


def test_names_of_columns_may_have_capitals(folder: Path, tmp_path: Path) -> None:
    rows = [{name.title(): value for name, value in (row | {"winner": "first"}).items()} for row in SIX]
    assert sum(run(write_csv(folder / "pairs.csv", rows), tmp_path / "out")["pairs"].values()) == 6


def test_the_place_follows_from_the_id_not_from_the_list(folder: Path, tmp_path: Path) -> None:
    rows = [
        {"first": f"{a}.jpg", "second": f"{b}.jpg", "winner": "first", "group": f"g{n}"}
        for n in range(6)
        for a, b in ((2 * n, 2 * n + 1),)
    ]
    turned = [{"first": r["second"], "second": r["first"], "winner": "second", "group": r["group"]} for r in rows]
    run(write_csv(folder / "a.csv", rows), tmp_path / "a")
    run(write_csv(folder / "b.csv", turned[::-1]), tmp_path / "b")
    assert imported(tmp_path / "a") == imported(tmp_path / "b")
    assert len({(record.pair.delta or 0) > 0 for record in imported(tmp_path / "a")}) == 2


def test_rows_about_one_pair_add_up_and_disputes_are_named(folder: Path, tmp_path: Path) -> None:
    again = [
        {"first": "1.jpg", "second": "0.jpg", "winner": "0.jpg"},
        {"first": "0.jpg", "second": "1.jpg", "winner": "1.jpg"},
    ]
    rows = [row | {"winner": "A"} for row in SIX] + again
    report = run(write_csv(folder / "pairs.csv", rows), tmp_path / "out")
    assert between(folder, 0, 1, deltas(tmp_path / "out")) == pytest.approx(delta_from_votes(2, 1), abs=1e-4)
    assert report["votes"]["disputed_pairs"] == 1
    assert set(report["votes"]["disputed"][0].split(" and ")) == {"0.jpg", "1.jpg"}
    assert report["votes"]["counted"] == 8


def test_circles_are_counted_and_named(folder: Path, tmp_path: Path) -> None:
    circle = [{"first": f"{a}.jpg", "second": f"{b}.jpg"} for a, b in ((0, 2), (2, 4), (4, 0))]
    rows = [row | {"winner": "first"} for row in [*circle, *SIX[3:]]]
    report = run(write_csv(folder / "pairs.csv", rows), tmp_path / "out")
    assert report["votes"]["circular_triples"] == 1
    assert sorted(report["votes"]["circles"][0].split(" > ")[:3]) == ["0.jpg", "2.jpg", "4.jpg"]
    assert circular_triples([("a", "b", 1.0), ("b", "c", 0.0), ("c", "a", 1.0)], 3) == (0, [])


@pytest.mark.parametrize(
    ("change", "reason", "detail"),
    [
        ({"second": "none.jpg"}, "picture missing", "none.jpg"),
        ({"second": "text.jpg"}, "picture unreadable", "text.jpg"),
        ({"second": "n" * 300}, "picture unreadable", "name too long"),
        (
            {"second": "https://example.com/a.jpg"},
            "address in place of a picture",
            "https://example.com/a.jpg; nothing",
        ),
        ({"second": "copy.jpg"}, "pictures are identical", "copy.jpg"),
        ({"winner": "7.jpg"}, "row says nothing usable", "the winner is '7.jpg'"),
        ({"winner": ""}, "row says nothing usable", "no label"),
        ({"winner": "", "votes_first": "-1", "votes_second": "2"}, "row says nothing usable", "at least 0"),
        ({"winner": "", "votes_first": "0", "votes_second": "0"}, "row says nothing usable", "nobody voted"),
        ({"winner": "", "votes_first": "3"}, "row says nothing usable", "give both counts"),
        ({"winner": "", "votes_first": "0.3", "votes_second": "0.7"}, "row says nothing usable", "not counts"),
        ({"winner": "", "probability": "1.2"}, "row says nothing usable", "from 0 to 1"),
        ({"winner": "", "probability": "nan"}, "row says nothing usable", "from 0 to 1"),
        ({"winner": "", "delta": "12"}, "row says nothing usable", "-9 to 9"),
        ({"winner": "", "delta": "much"}, "row says nothing usable", "give a number"),
        ({"delta": "1"}, "row says nothing usable", "delta and winner"),
        ({"factors": "sharpness"}, "row says nothing usable", "sharpness"),
        ({"first": ""}, "row says nothing usable", "first names no picture"),
    ],
)
def test_what_cannot_be_used_is_named_and_the_rest_goes_on(
    folder: Path, tmp_path: Path, change: dict[str, str], reason: str, detail: str
) -> None:
    (folder / "text.jpg").write_text("no picture")
    (folder / "copy.jpg").write_bytes((folder / "0.jpg").read_bytes())
    empty = dict.fromkeys(("votes_first", "votes_second", "probability", "delta", "factors"), "")
    rows = [empty | row | {"winner": "first"} for row in SIX]
    rows[0] |= change
    report = run(write_csv(folder / "pairs.csv", rows), tmp_path / "out")
    assert report["rejected_pairs"] == {reason: 1}
    assert sum(report["pairs"].values()) == 5
    with (tmp_path / "out" / "left_out.csv").open() as file:
        (lost,) = csv.DictReader(file)
    assert lost["row"] == "pairs.csv line 2"
    assert detail in lost["detail"]
    assert not validate(tmp_path / "out").wrong


def test_votes_and_points_about_one_pair_cannot_be_put_together(folder: Path, tmp_path: Path) -> None:
    rows = [row | {"winner": "first", "delta": ""} for row in SIX] + [SIX[0] | {"winner": "", "delta": 1}]
    assert run(write_csv(folder / "pairs.csv", rows), tmp_path / "out")["rejected_pairs"] == {"labels of two kinds": 1}


def test_a_probability_of_one_is_one_vote_of_an_unknown_number(folder: Path, tmp_path: Path) -> None:
    run(write_csv(folder / "pairs.csv", [row | {"probability": 1} for row in SIX]), tmp_path / "out")
    found = imported(tmp_path / "out")
    assert {abs(record.pair.delta or 0) for record in found} == {round(delta_from_votes(1, 0), 4)}
    assert {record.n_votes for record in found} == {None}


def test_votes_are_counted_where_every_row_counts_them() -> None:
    assert pooled([label_of_delta(1.0, 5), label_of_delta(2.0, 3)]) == PooledLabel(1.5, 8, False)
    assert pooled([label_of_delta(1.0, 5), label_of_delta(-2.0)]) == PooledLabel(-0.5, None, True)


def test_near_copies_and_duplicates_never_part(folder: Path, tmp_path: Path) -> None:
    rows = []
    for n in range(6):  # each pair has a second one of near copies, which share no file with it
        for number in (2 * n, 2 * n + 1):
            with Image.open(folder / f"{number}.jpg") as image:
                image.save(folder / f"near{number}.jpg", quality=88)
        rows += [SIX[n], {side: f"near{name}" for side, name in SIX[n].items()}]
    (folder / "same.jpg").write_bytes((folder / "0.jpg").read_bytes())
    rows.append({"first": "same.jpg", "second": "near1.jpg"})
    report = run(write_csv(folder / "pairs.csv", [row | {"winner": "first"} for row in rows]), tmp_path / "out")
    assert report["pictures"]["near_copies"] == 12
    assert report["pictures"]["first_duplicates"] == ["same.jpg is 0.jpg"]
    split = {
        r.pair.of(side).path.name: r.pair.split for r in imported(tmp_path / "out") for side in ("first", "second")
    }
    for number in range(12):
        assert split[f"{number}.jpg"] == split[f"near{number}.jpg"]
    assert not validate(tmp_path / "out").wrong


def test_one_source_is_in_one_split(folder: Path, tmp_path: Path) -> None:
    rows = [row | {"winner": "first", "source": f"roll {n % 3}", "group": "day"} for n, row in enumerate(SIX)]
    run(write_csv(folder / "pairs.csv", rows), tmp_path / "out")
    splits: dict[str, set[str]] = {}
    for record in imported(tmp_path / "out"):
        splits.setdefault(record.pair.source, set()).add(record.pair.split)
    assert {name: len(found) for name, found in splits.items()} == {f"roll {n}": 1 for n in range(3)}
    assert not validate(tmp_path / "out").wrong  # "day" is in both splits, and its groups are not


def test_what_any_row_of_a_pair_names_as_its_source_is_held_out_with_it(folder: Path, tmp_path: Path) -> None:
    """Two rows about one pair name two sources: neither source may be on both sides, and both licences hold."""
    rows = []
    for n in range(4):
        one, other = (
            {"first": f"{2 * k}.jpg", "second": f"{2 * k + 1}.jpg", "winner": "first"} for k in (n, n % 2 + 4)
        )
        rows += [one | {"source": f"x{n}", "licence": "CC0"}, one | {"source": f"y{n % 2}", "licence": "mine"}]
        rows += [other | {"source": f"y{n % 2}", "licence": ""}]
    report = run(write_csv(folder / "pairs.csv", rows), tmp_path / "out")
    splits: dict[bytes, set[str]] = {}
    for record in imported(tmp_path / "out"):
        for data in (record.first_bytes, record.second_bytes):
            splits.setdefault(data, set()).add(record.pair.split)
    held = {n: splits[(folder / f"{2 * n}.jpg").read_bytes()] for n in range(6)}
    assert all(held[n] == held[n % 2 + 4] for n in range(4))
    assert report["licences"] == {"CC0 and mine": 4, "not stated": 2}
    assert report["notes"] == {
        "pairs with more than one source; they are held out with all of them": 4,
        "pairs with more than one licence; all of them are named": 4,
    }
    assert not validate(tmp_path / "out").wrong


def test_pictures_of_a_series_from_several_sources_leak_none(folder: Path, tmp_path: Path) -> None:
    series = write_csv(
        folder / "scores.csv", [{"image": f"{n}.jpg", "score": n, "source": f"roll {n % 6}"} for n in range(12)]
    )
    rows = pairs_of_series(read_series_list(series))
    import_pairs(rows, tmp_path / "out", settings=ImportSettings(test_fraction=0.4), origin="scores.csv")
    rolls: dict[str, set[int]] = {split: set() for split in SPLITS}
    number = {content_id((folder / f"{n}.jpg").read_bytes()): n for n in range(12)}
    for record in imported(tmp_path / "out"):
        rolls[record.pair.split] |= {number[record.pair.of(side).id] % 6 for side in ("first", "second")}
    assert rolls["train"]
    assert rolls["test"]
    assert not rolls["train"] & rolls["test"]


def test_names_as_other_systems_write_them(folder: Path) -> None:
    sub = folder / "caf\u00e9"
    picture(sub / "e.jpg", 1)
    for name in ("caf\u00e9\\e.jpg", "cafe\u0301/e.jpg", ".\\cafe\u0301\\e.jpg"):
        (row,) = read_pair_list(write_csv(folder / "p.csv", [{"first": name, "second": "0.jpg", "winner": name}]))
        assert isinstance(row, StatedPair)
        assert row.first.path is not None
        assert row.first.path.read_bytes() == (sub / "e.jpg").read_bytes()
        assert row.label.votes == (1.0, 0.0)


def test_where_all_hangs_together_photographs_are_held_out(folder: Path, tmp_path: Path) -> None:
    rows = [{"first": f"{a}.jpg", "second": f"{b}.jpg", "winner": "first"} for a in range(12) for b in range(a + 1, 12)]
    report = run(write_csv(folder / "pairs.csv", rows), tmp_path / "out", test_fraction=0.3)
    assert report["photographs_divided"]
    assert sum(report["pairs"].values()) < len(rows)
    assert report["rejected_pairs"] == {"between the splits": len(rows) - sum(report["pairs"].values())}
    ids = [
        {r.pair.of(s).id for r in read_records(tmp_path / "out", split) for s in ("first", "second")}
        for split in SPLITS
    ]
    assert not ids[0] & ids[1]
    assert not validate(tmp_path / "out").wrong


def test_where_photographs_are_held_out_their_near_copies_are_too() -> None:
    names = [f"{n}{copy}" for n in range(6) for copy in "ab"]
    pairs = [PlacedPair(one, other) for one, other in itertools.combinations(names, 2)]
    for seed in range(10):
        found = divide(pairs, [(f"{n}a", f"{n}b") for n in range(6)], test_fraction=0.4, seed=seed)
        assert found.cut
        sides: dict[str, set[str]] = {"train": set(), "test": set()}
        for pair, split in zip(pairs, found.splits, strict=True):
            if split is not None:
                sides[split] |= {pair.first[0], pair.second[0]}
        assert sides["test"]
        assert not sides["train"] & sides["test"]


def test_a_picture_that_changes_during_the_import_ends_it(tmp_path: Path) -> None:
    pictures = NamedPictures(tmp_path / "made")
    known = pictures.take(StatedPicture("a.jpg", picture(tmp_path / "a.jpg", 1)))
    assert pictures.bytes_of(known.id) == (tmp_path / "a.jpg").read_bytes()
    picture(tmp_path / "a.jpg", 2)
    with pytest.raises(ImageError, match="has changed since the import began"):
        pictures.bytes_of(known.id)


def test_parts_of_a_large_series_stay_together_where_others_are_left() -> None:
    parts = [(series, part) for series in "abc" for part in range(4)]
    pairs = [
        PlacedPair(f"{series}{part}{n}", f"{series}{part}{n + 1}", series=frozenset({series}))
        for series, part in parts
        for n in range(3)
    ]
    for seed in range(10):
        found: dict[str, set[str]] = {}
        for pair, split in zip(pairs, divide(pairs, (), test_fraction=0.3, seed=seed).splits, strict=True):
            found.setdefault(pair.first[0], set()).add(str(split))
        assert sorted(sorted(splits) for splits in found.values()) == [["test"], ["train"], ["train"]]
    alone = divide(pairs[:12], (), test_fraction=0.3, seed=0)  # of one series parts are held out, and no pair is lost
    assert sorted(set(alone.splits), key=str) == ["test", "train"]
    assert not alone.cut


def test_of_few_photographs_two_are_held_out() -> None:
    pairs = [PlacedPair(f"{a}", f"{b}") for a in range(7) for b in range(a)]
    for seed in range(5):
        found = divide(pairs, [], test_fraction=0.2, seed=seed)
        assert [found.splits.count(split) for split in ("test", "train", None)] == [1, 10, 10]


def test_a_division_needs_two_sides() -> None:
    with pytest.raises(InputError, match="none can be held out"):
        divide([PlacedPair("a", "b")], [], test_fraction=0.2, seed=0)
    with pytest.raises(InputError, match="none can be held out"):
        divide([PlacedPair("a", "b", "roll"), PlacedPair("c", "d", "roll")], [], test_fraction=0.2, seed=0)


def test_stated_splits_hold_but_for_what_belongs_to_held_out_pairs() -> None:
    stated = [
        PlacedPair("a", "b", split="train"),
        PlacedPair("c", "d", split="test"),
        PlacedPair("d", "e", split="train"),
        PlacedPair("f", "g", split="train"),
        PlacedPair("b", "h"),
    ]
    found = divide(stated, [], test_fraction=0.2, seed=0)
    assert (found.splits, found.n_moved, found.cut) == (("train", "test", "test", "train", "train"), 1, False)
    near = divide(stated, [("c", "f")], test_fraction=0.2, seed=0)
    assert (near.splits, near.n_moved) == (("train", "test", "test", "test", "train"), 2)
    with pytest.raises(InputError, match=r"--test-fraction 0\.2"):
        divide(stated[1:3], [], test_fraction=0.2, seed=0)
    one_sided = [PlacedPair(f"{n}a", f"{n}b", split="train") for n in range(10)]
    assert divide(one_sided, [], test_fraction=0.2, seed=0).splits.count("test") == 2


def test_a_column_of_splits(folder: Path, tmp_path: Path) -> None:
    splits = ["train", "Train", "val", "test", "fold 1", ""]
    rows = [row | {"winner": "first", "split": split} for row, split in zip(SIX, splits, strict=True)]
    report = run(write_csv(folder / "pairs.csv", rows), tmp_path / "out")
    assert report["rejected_pairs"] == {"row says nothing usable": 1}
    assert report["pairs"] in ({"train": 3, "test": 2}, {"train": 2, "test": 3})
    held_out = {
        r.pair.of(side).path.name for r in read_records(tmp_path / "out", "test") for side in ("first", "second")
    }
    assert {f"{n}.jpg" for n in (4, 5, 6, 7)} <= held_out
    assert not held_out & {f"{n}.jpg" for n in (0, 1, 2, 3)}
    seeds = {seed: run(folder / "pairs.csv", tmp_path / f"{seed}", test_fraction=0.2, seed=seed) for seed in range(4)}
    assert {str(report["pairs"]) for report in seeds.values()} == {"{'train': 4, 'test': 1}"}  # the share overrules
    assert not any(report["notes"] for report in seeds.values())


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_any_row_of_a_pair_may_hold_it_out_or_say_that_not_people_judged(
    folder: Path, tmp_path: Path, order: tuple[int, int]
) -> None:
    both = [{"split": "test", "label_source": "people"}, {"split": "train", "label_source": "edits"}]
    rows = [SIX[0] | {"winner": "first"} | both[place] for place in order]
    rows += [row | {"winner": "first", "split": "train", "label_source": ""} for row in SIX[1:]]
    report = run(write_csv(folder / "pairs.csv", rows), tmp_path / "out")
    assert report["pairs"] == {"train": 5, "test": 1}
    assert list(report["notes"].values()) == [1]
    assert "not people" in next(iter(report["notes"]))


def test_a_list_that_states_one_split_is_drawn_anew_and_says_so(folder: Path, tmp_path: Path) -> None:
    rows = [row | {"winner": "tie", "split": "test" if n < 4 else "", "factors": "light"} for n, row in enumerate(SIX)]
    report = run(write_csv(folder / "pairs.csv", rows), tmp_path / "out")
    assert report["notes"] == {
        "pairs whose stated split was drawn anew, for their list states no other": 4,
        "ties whose factors were left out": 6,
    }


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.5])
def test_about_the_share_that_is_wanted_is_held_out(fraction: float) -> None:
    pairs = [PlacedPair(f"{n}a", f"{n}b") for n in range(200)]
    splits = [divide(pairs, [], test_fraction=fraction, seed=seed).splits for seed in range(3)]
    assert all(abs(found.count("test") - 200 * fraction) <= 1 for found in splits)
    assert splits[0] != splits[1]


def test_reasoning_goes_with_its_order_or_is_left_out(folder: Path, tmp_path: Path) -> None:
    said = {"rationale": "Picture A is sharper.", "winner": "first", "factors": "focus"}
    silent = {"rationale": "", "winner": "first", "factors": ""}
    rows = [SIX[0] | said, SIX[1] | said | {"factors": ""}, *(row | silent for row in SIX[2:])]
    report = run(write_csv(folder / "pairs.csv", rows), tmp_path / "out")
    assert report["rationales"] == {"one order": 1, "none": 5}
    assert report["notes"] == {"rationales left out: no factors beside them": 1}
    (record,) = (r for r in imported(tmp_path / "out") if r.rationale or r.rationale_swapped)
    shown = record.pair if record.rationale else record.pair.swapped()
    kept = record.rationale or record.rationale_swapped
    assert shown.delta is not None
    assert shown.delta > 0
    assert kept is not None
    assert kept.better == "A"
    assert record.writer == "people"


@pytest.mark.parametrize(
    "text", ["A is better because of its mood; B is noisy.", "The colours are fine, so A is better", "I prefer A"]
)
def test_reasoning_that_argues_for_the_loser_is_left_out(folder: Path, tmp_path: Path, text: str) -> None:
    rows = [SIX[0] | {"winner": "second", "factors": "colour", "rationale": text}]
    rows += [SIX[1] | {"winner": "first", "factors": "colour", "rationale": text}]
    rows += [SIX[2] | {"winner": "tie", "factors": "", "rationale": text}]
    rows += [row | {"winner": "first", "factors": "", "rationale": ""} for row in SIX[3:]]
    report = run(write_csv(folder / "pairs.csv", rows), tmp_path / "out")
    assert report["notes"] == {"rationales left out: they contradict the label": 2}
    assert report["rationales"] == {"none": 5, "one order": 1}


def test_a_reason_belongs_to_those_who_decided_so(folder: Path, tmp_path: Path) -> None:
    outvoted = {"winner": "second", "factors": "light", "rationale": "Picture B is lit better."}
    others = [
        {"winner": "first", "factors": "focus", "rationale": "Picture A is sharper.", "source": "one", "writer": "Ada"},
        {"winner": "first", "factors": "colour", "rationale_swapped": "Picture B has colours.", "source": "two"},
    ]
    empty = dict.fromkeys(("winner", "factors", "rationale", "rationale_swapped", "source", "writer"), "")
    rows = [SIX[0] | empty | what for what in (outvoted, *others)]
    rows += [row | empty | {"winner": "first"} for row in SIX[1:]]
    report = run(write_csv(folder / "pairs.csv", rows), tmp_path / "out")
    (record,) = (r for r in imported(tmp_path / "out") if r.rationale or r.rationale_swapped)
    assert record.pair.factors == ("focus",)
    assert {r and r.text for r in (record.rationale, record.rationale_swapped)} == {"Picture A is sharper.", None}
    assert record.writer == "Ada"
    assert report["notes"] == {"pairs with more than one source; they are held out with all of them": 1}
    assert record.pair.source not in ("one", "two")


def test_a_list_that_cannot_be_read_writes_nothing(folder: Path, tmp_path: Path) -> None:
    good = [row | {"winner": "first", "source": "Café"} for row in SIX]
    cases = {
        "latin.csv": (write_csv(folder / "latin.csv", good, encoding="latin-1"), "--encoding latin-1"),
        "space.csv": (write_csv(folder / "space.csv", good, delimiter=" "), "commas, semicolons"),
        "bare.csv": (write_csv(folder / "bare.csv", SIX), "needs one of winner"),
        "wide.csv": (write_csv(folder / "wide.csv", good, encoding="utf-16"), "--encoding utf-16"),
        "gone.csv": (write_csv(folder / "gone.csv", [{**r, "first": "no.jpg"} for r in good]), "--pictures DIR"),
        "one.csv": (write_csv(folder / "one.csv", [good[0], {**good[1], "winner": "x"}]), "row says nothing usable"),
        "odd.xls": (write_csv(folder / "odd.xls", good), "ends in .csv"),
    }
    (folder / "cut.parquet").write_bytes(b"PAR1 and no more")
    (folder / "deep.json").write_text("[" * 100_000)
    (folder / "broad.csv").write_text("first,second,winner," + "x" * 200_000 + "\n")
    cases["broad.csv"] = (folder / "broad.csv", "field limit")
    (folder / "open.csv").write_text('first,second,winner\n"0.jpg,1.jpg,first\n' + "2.jpg,3.jpg,first\n" * 40)
    cases["open.csv"] = (folder / "open.csv", "makes one row of 41 lines")
    cases["deep.json"] = (folder / "deep.json", "is not JSON")
    cases["cut.parquet"] = (folder / "cut.parquet", "as Parquet")
    before = set(tmp_path.iterdir())
    for file, message in cases.values():
        result = CliRunner().invoke(app, ["data", "import", str(file), "--out", str(tmp_path / "out")])
        assert result.exit_code == 2
        assert message in result.stderr
        assert file.name in result.stderr
        assert set(tmp_path.iterdir()) == before


def test_the_command_says_what_was_found(folder: Path, tmp_path: Path) -> None:
    rows = [row | {"winner": "first", "source": "Café", "mood": "x"} for row in SIX]
    rows.append({**rows[0], "second": "no.jpg"})
    file = write_csv(folder / "latin.csv", rows, delimiter="\t", encoding="latin-1")
    more = {**rows[0], "source": "Bar", "first": "10.jpg", "second": "11.jpg"}
    write_csv(file, [*rows[:5], more, rows[6]], delimiter="\t", encoding="latin-1")
    command = [
        "data",
        "import",
        str(file),
        "--out",
        str(tmp_path / "out"),
        "--encoding",
        "latin-1",
        "--licence",
        "CC0-1.0",
    ]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.stderr
    assert "picture missing" in result.stdout
    assert "Café" in {record.pair.source for record in imported(tmp_path / "out")}
    assert {record.licence for record in imported(tmp_path / "out")} == {"CC0-1.0"}
    assert "These columns were not used: mood" in result.stdout
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 2
    assert "exists" in again.stderr


def test_a_tenth_of_the_pictures_may_be_unreadable(folder: Path, tmp_path: Path) -> None:
    rows = []
    for n in range(40):
        picture(tmp_path / "many" / f"{n}.jpg", 100 + n)
        if n % 10 == 3:
            data = (tmp_path / "many" / f"{n}.jpg").read_bytes()
            (tmp_path / "many" / f"{n}.jpg").write_bytes(data[: len(data) // 2])
        if n % 2:
            rows.append({"first": f"many/{n - 1}.jpg", "second": f"many/{n}.jpg", "winner": "first"})
    report = run(write_csv(folder / "pairs.csv", rows), tmp_path / "out")
    assert report["rejected_pairs"] == {"picture unreadable": 4}
    assert [item["file"] for item in report["rejected_photographs"]] == [f"many/{n}.jpg" for n in (13, 23, 3, 33)]
    assert sum(report["pairs"].values()) == 16
    assert not validate(tmp_path / "out").wrong


def test_the_answers_of_the_page_are_taken(folder: Path) -> None:
    (folder / "=1+1.jpg").write_bytes((folder / "0.jpg").read_bytes())
    rows = [
        {"first": "'=1+1.jpg", "second": "1.jpg", "winner": "second", "series": "0.jpg and 3 more"},
        {"first": "2.jpg", "second": "3.jpg", "winner": "tie", "series": "2.jpg and 1 more"},
    ]
    unread: set[str] = set()
    (one, other) = read_pair_list(write_csv(folder / "answers.csv", rows), unread=unread)
    assert unread == set()
    assert isinstance(one, StatedPair)
    assert isinstance(other, StatedPair)
    assert one.first.path == folder / "=1+1.jpg"
    assert (one.label.votes, other.label.votes) == ((0.0, 1.0), (0.5, 0.5))
    assert (one.source, other.source) == ("0.jpg and 3 more", "2.jpg and 1 more")


def test_a_picture_whose_name_begins_with_an_apostrophe_keeps_it(folder: Path) -> None:
    (folder / "'=1.jpg").write_bytes((folder / "0.jpg").read_bytes())
    rows = [{"first": "'=1.jpg", "second": "1.jpg", "winner": "first", "source": "a", "series": "b"}]
    (one,) = read_pair_list(write_csv(folder / "answers.csv", rows))
    assert isinstance(one, StatedPair)
    assert one.first.path == folder / "'=1.jpg"
    assert one.source == "a"
