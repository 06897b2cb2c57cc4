"""``redaes data validate`` on sound datasets and on every way to break one."""

from __future__ import annotations

import io
import math
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from redaes.datagen.rationale_claims import CONTRADICTED, Statements, check_claims
from redaes.datagen.validation import POTENTIAL_TOLERANCE, PotentialCheck, Rows, validate
from redaes.errors import RecordError
from redaes.file_writing import read_json, write_json
from redaes.images import content_id
from redaes.records import stream_rows
from redaes.types import Rationale

Change = Callable[[list[dict[str, Any]]], None]


@pytest.fixture
def folder(red_folder: Path, tmp_path: Path) -> Path:
    """A copy of the small dataset, to break."""
    for file in [*red_folder.glob("data/*.parquet"), red_folder / "report.json"]:
        target = tmp_path / "red" / file.relative_to(red_folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
    return tmp_path / "red"


def change(folder: Path, how: Change, shard: str = "train-00000") -> None:
    """Rewrite a shard's rows, schema and all kept."""
    file = folder / "data" / f"{shard}.parquet"
    schema = pq.read_schema(file)
    rows = list(stream_rows(file))
    how(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), file)


def decided(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return next(row for row in rows if row["factors"])


def test_a_built_dataset_is_sound(red_folder: Path) -> None:
    seen: list[tuple[int, int]] = []
    found = validate(red_folder, progress=lambda done, total: seen.append((done, total)))
    assert found.wrong == {}
    assert {split: counts.pairs for split, counts in found.counts.items()} == read_json(red_folder / "report.json")[
        "pairs"
    ]
    assert found.counts["train"].sources == 4
    assert seen[0][0] == 0
    assert seen[-1][0] == seen[-1][1] == 2
    n = sum(counts.pairs for counts in found.counts.values())
    assert found.warnings["licence not stated"].n == n
    assert len(found.warnings["licence not stated"].first) == 5


def _set(name: str, value: object) -> Change:
    def how(rows: list[dict[str, Any]]) -> None:
        decided(rows)[name] = value

    return how


def _flip(rows: list[dict[str, Any]]) -> None:
    row = decided(rows)
    row["delta"] = -row["delta"]


def _stretch(rows: list[dict[str, Any]]) -> None:
    """A group with a circle of three pairs, of which one is changed by more than its sign would show."""
    for row in rows:
        mates = [other for other in rows if other["group"] == row["group"] and other["factors"]]
        if len(mates) >= 4:
            mates[-1]["delta"] += math.copysign(0.5, mates[-1]["delta"])
            return


def _repeat(rows: list[dict[str, Any]]) -> None:
    rows.append(dict(rows[0]))


def _same(rows: list[dict[str, Any]]) -> None:
    row = decided(rows)
    row["second"] = row["first"]


def _cut(rows: list[dict[str, Any]]) -> None:
    row = decided(rows)
    row["first"] = {**row["first"], "bytes": row["first"]["bytes"][:500]}


def _resize(rows: list[dict[str, Any]]) -> None:
    row = decided(rows)
    size = len(row["first"]["bytes"])
    other = next(r for r in rows if r["group"].split("-")[0] != row["group"].split("-")[0] and r["second"] and size)
    row["second"] = other["second"]


def _say_the_other(rows: list[dict[str, Any]]) -> None:
    row = decided(rows)
    row["rationale"], row["rationale_swapped"] = row["rationale_swapped"], row["rationale"]


def _regroup(rows: list[dict[str, Any]]) -> None:
    other = next(row for row in rows if row["source"] != rows[0]["source"])
    other["group"] = rows[0]["group"]


@pytest.mark.parametrize(
    ("how", "kind"),
    [
        (_repeat, "id is not unique"),
        (_same, "pictures are identical"),
        (_cut, "picture does not decode"),
        (_flip, "rationale contradicts the pair"),
        (_say_the_other, "rationale contradicts the pair"),
        (_stretch, "contradicts its group"),
        (_regroup, "group of two photographs"),
        (_resize, "pictures differ in size"),
        (_set("factors", []), "factors contradict the difference"),
        (_set("rationale", None), "rationale missing"),
        (_set("rationale_swapped", None), "rationale missing"),
        (_set("delta", math.nan), "breaks the schema"),
        (_set("delta", 12.0), "breaks the schema"),
        (_set("edit_first", {"operation": "blur"}), "breaks the schema"),
        (_set("label_source", "judges"), "breaks the schema"),
        (_set("first_id", "0" * 64), "id is not its picture's"),
        (lambda rows: decided(rows).update(edit_first=None, edit_second=None), "edits contradict the difference"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_fault_is_named_with_its_row(folder: Path, how: Change, kind: str) -> None:
    change(folder, how)
    found = validate(folder)
    assert kind in found.wrong, found.wrong
    assert found.wrong[kind].first[0].startswith("train-00000.parquet row ")
    assert "(id " in found.wrong[kind].first[0]


def test_splits_must_not_share(folder: Path) -> None:
    test = next(stream_rows(folder / "data" / "test-00000.parquet"))

    def mix(rows: list[dict[str, Any]]) -> None:
        rows[0] |= {"source": test["source"], "group": test["group"]}

    change(folder, mix)
    found = validate(folder)
    assert {"photograph in two splits", "group in two splits"} <= set(found.wrong)


def test_a_damaged_shard_does_not_hide_the_others(folder: Path) -> None:
    (folder / "data" / "train-00001.parquet").write_bytes(b"PAR1 and no more")
    change(folder, _repeat)
    found = validate(folder)
    assert {"unreadable shard", "id is not unique", "report.json miscounts"} == set(found.wrong)


def test_the_report_must_count_what_is_there(folder: Path) -> None:
    report = read_json(folder / "report.json")
    write_json(folder / "report.json", {**report, "pairs": {"train": 1, "test": 1}})
    assert set(validate(folder).wrong) == {"report.json miscounts"}


def test_no_label_is_worth_a_word_only(folder: Path) -> None:
    change(folder, _set("delta", None))
    found = validate(folder)
    assert found.wrong == {}
    assert found.warnings["has no label"].n == 1


def test_what_is_no_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="not a RED dataset"):
        validate(tmp_path)


def test_a_potential_notices_what_does_not_add_up() -> None:
    rng = random.Random(0)
    scores = {name: rng.uniform(0, 9) for name in "abcdefgh"}
    potential = PotentialCheck()
    for _ in range(100):
        first, second = rng.sample(sorted(scores), 2)
        assert potential.add(first, second, round(scores[first] - scores[second], 4)) < POTENTIAL_TOLERANCE
    assert potential.add("a", "b", scores["a"] - scores["b"] + 1) == pytest.approx(1, abs=0.01)


# --- what the rationales say -----------------------------------------------------------------------------------------


def test_statements_are_counted_and_rows_with_contradicted_ones_are_named(folder: Path, tmp_path: Path) -> None:
    def how(rows: list[dict[str, Any]]) -> None:
        texts = (
            ("A is far noisier: noise 99.0 against 0.1.", "Nobody knows."),
            ("A feels calm.", None),
            (None, None),
        )
        del rows[len(texts) :]
        for row, both in zip(rows, texts, strict=True):
            for name, text in zip(("rationale", "rationale_swapped"), both, strict=True):
                row[name] = None if text is None else Rationale(text=text, factors=(), better="tie").model_dump()
        rows[2] |= {"first": {**rows[2]["first"], "bytes": b"no picture"}, "first_id": content_id(b"no picture")}
        rows[2]["rationale"] = rows[0]["rationale"]

    change(folder, how)
    change(folder, lambda rows: rows.clear(), "test-00000")
    wrong: dict[str, Rows] = {}
    seen: list[tuple[int, int]] = []
    found = check_claims(folder, wrong, progress=lambda done, total: seen.append((done, total)))
    assert seen[-3:-1] == [(0, 3), (2, 3)]
    assert found["test"] == Statements()
    train = found["train"]
    assert (train.rationales, train.silent, train.contradicted, train.unmeasured) == (3, 2, 1, 1)
    assert train.by_status["contradicted"] == 1
    assert train.by_status["supported"] == 0
    (kind,) = wrong
    assert kind == CONTRADICTED
    assert wrong[kind].n == 1
    assert "train-00000.parquet row 0" in wrong[kind].first[0]
    assert re.search(
        r"rationale: '.*noise 99.0 against 0.1.*' of A \(.*noise is [0-9.]+ in A and [0-9.]+ in B", wrong[kind].first[0]
    )


def test_the_second_order_is_held_against_the_pictures_in_that_order(folder: Path) -> None:
    def how(rows: list[dict[str, Any]]) -> None:
        del rows[1:]
        pictures = [np.full((64, 96, 3), grey, np.uint8) for grey in (60, 160)]
        for side, pixels in zip(("first", "second"), pictures, strict=True):
            out = io.BytesIO()
            Image.fromarray(pixels).save(out, "PNG")
            rows[0] |= {side: {**rows[0][side], "bytes": out.getvalue()}, f"{side}_id": content_id(out.getvalue())}
        for name, text in (("rationale", "A is darker."), ("rationale_swapped", "B is darker.")):
            rows[0][name] = Rationale(text=text, factors=(), better="tie").model_dump()

    change(folder, how)
    change(folder, lambda rows: rows.clear(), "test-00000")
    wrong: dict[str, Rows] = {}
    counts = check_claims(folder, wrong)["train"]
    assert (wrong, counts.by_status["supported"], counts.by_status["contradicted"]) == ({}, 2, 0)
