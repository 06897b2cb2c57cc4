"""Rows that would end or spoil a run are counted by their kinds, and named, before a model is loaded."""

from __future__ import annotations

import hashlib
import io
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from test_stages import STAGES, arguments

from redaes.errors import ImageError, RecordError
from redaes.images import check_usable
from redaes.records import load_pairs, read_records, record_of, shards, stream_rows
from redaes.training import row_checks
from redaes.training.formatting import _drawn, drawn_answers, order_drawn
from redaes.training.row_checks import RowNeeds, RowTally, check_rows, faults
from redaes.training.stage_arguments import StageArguments
from redaes.training.validation_pairs import RunValidation, ValidationArguments
from redaes.types import Edit

Row = dict[str, Any]


@pytest.fixture(scope="module")
def good(red_folder: Path) -> list[Row]:
    """Four rows that carry no edit twice."""
    (file,) = shards(red_folder, "train")
    return [row for row, _ in zip(stream_rows(file), range(4), strict=False)]


@pytest.fixture
def write(red_folder: Path, tmp_path: Path) -> Callable[..., Path]:
    """Writes rows as a dataset, whatever is in them."""
    schema = pq.read_schema(shards(red_folder, "train")[0])

    def written(*found: Row) -> Path:
        file = tmp_path / "data" / "train-00000.parquet"
        file.parent.mkdir(exist_ok=True)
        pq.write_table(pa.Table.from_pylist(list(found), schema=schema), file)
        return tmp_path

    return written


def picture(data: bytes) -> dict[str, Any]:
    return {"bytes": data, "path": "photo.png"}


def png(width: int, height: int) -> bytes:
    """The beginning of a picture of this size, which no one has to hold in memory."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head)) + bytes(64)


def changed(row: Row, column: str, **fields: Any) -> Row:
    """With something else in a column that holds a record."""
    return {**row, column: {**row[column], **fields}}


FAULTS: dict[str, tuple[Callable[[Row], Row], str]] = {
    "no delta": (lambda row: {**row, "delta": None}, row_checks.NO_DELTA),
    "nan": (lambda row: {**row, "delta": float("nan")}, row_checks.BAD_DELTA),
    "infinite": (lambda row: {**row, "delta": float("-inf")}, row_checks.BAD_DELTA),
    "beyond the scale": (lambda row: {**row, "delta": 12.0}, row_checks.BAD_DELTA),
    "no reasoning": (lambda row: {**row, "rationale": None, "rationale_swapped": None}, row_checks.NO_REASONING),
    "reasoning for one order": (lambda row: {**row, "rationale_swapped": None}, row_checks.NO_REASONING),
    "no better side": (lambda row: changed(row, "rationale", better=None), row_checks.SCHEMA),
    "unknown factor": (lambda row: changed(row, "rationale", factors=["charm"]), row_checks.SCHEMA),
    "half an edit": (lambda row: {**row, "edit_first": {"operation": "blur"}}, row_checks.SCHEMA),
    "judged without judges": (lambda row: {**row, "label_source": "judges"}, row_checks.SCHEMA),
    "votes of nobody": (lambda row: {**row, "n_votes": 3}, row_checks.SCHEMA),
    "another picture's id": (lambda row: {**row, "second_id": row["first_id"]}, row_checks.BAD_ID),
    "no group": (lambda row: {**row, "group": None}, row_checks.SCHEMA),
    "no id": (lambda row: {**row, "id": ""}, row_checks.NO_ID),
    "no picture": (lambda row: {**row, "second": None}, row_checks.BAD_PICTURE),
    "empty picture": (lambda row: {**row, "first": picture(b"")}, row_checks.BAD_PICTURE),
    "a web page": (lambda row: {**row, "first": picture(b"<html>not found</html>")}, row_checks.BAD_PICTURE),
    "half a header": (lambda row: {**row, "first": picture(row["first"]["bytes"][:10])}, row_checks.BAD_PICTURE),
    "two thirds of a file": (
        lambda row: {**row, "second": picture(row["second"]["bytes"][: len(row["second"]["bytes"]) * 2 // 3])},
        row_checks.BAD_PICTURE,
    ),
    "a bomb": (lambda row: {**row, "second": picture(png(60_000, 60_000))}, row_checks.BAD_PICTURE),
    "a line": (lambda row: {**row, "second": picture(png(9_000, 4))}, row_checks.BAD_PICTURE),
    "two conclusions": (
        lambda row: changed(row, "rationale", text="It is. Decisive: light, better in A."),
        row_checks.BAD_ANSWER,
    ),
    "says the contrary": (lambda row: {**row, "delta": -row["delta"]}, row_checks.BAD_ANSWER),
    "says nothing": (lambda row: changed(row, "rationale_swapped", text=" "), row_checks.BAD_ANSWER),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_named_with_its_remedy(fault: str, good: list[Row], write: Callable[..., Path]) -> None:
    spoil, kind = FAULTS[fault]
    folder = write(good[0], spoil(good[1]), good[2])
    said = faults(folder, "train", RowNeeds())
    assert said is not None
    assert (
        f"{folder}: 1 of the 3 rows of the train split cannot be trained on. 1 {kind} (train-00000.parquet row 1"
        in said
    )


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP"])
def test_a_picture_that_ends_too_early_is_found_before_it_is_decoded(kind: str) -> None:
    out = io.BytesIO()
    Image.effect_noise((120, 80), 60).convert("RGB").save(out, kind)
    whole = out.getvalue()
    check_usable(whole, Path("whole"))
    for share in (0.4, 0.7, 0.98):
        with pytest.raises(ImageError, match="damaged or truncated"):
            check_usable(whole[: int(len(whole) * share)], Path("cut"))


def test_a_preview_in_the_header_does_not_end_a_picture() -> None:
    preview, out = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (16, 16)).save(preview, "JPEG")
    exif = b"Exif\0\0" + preview.getvalue()  # as cameras have it: a whole JPEG before the picture's first scan
    Image.effect_noise((120, 80), 60).convert("RGB").save(out, "JPEG", exif=exif, progressive=True)
    check_usable(out.getvalue(), Path("whole"))
    with pytest.raises(ImageError, match="truncated"):
        check_usable(out.getvalue()[:-900], Path("cut"))


def test_the_start_says_how_many_pairs_have_what(
    good: list[Row], write: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    silent = dict.fromkeys(("rationale", "rationale_swapped", "edit_first", "edit_second"))
    people = {**good[1], **silent, "label_source": "people", "writer": ""}
    half = {**good[2], "rationale_swapped": None}
    folder = write(good[0], people, half, {**good[3], **silent, "delta": None})
    tally = RowTally()
    assert faults(folder, "train", RowNeeds(delta=False, reasoning=False), tally=tally) is None
    words = (
        "train split: 4 pairs; with a difference 3 (2 from edits, 1 from people), with reasoning in both orders 1 "
        "(1 more in one order), with a known edit 2"
    )
    assert tally.in_words("train") == words
    check_rows(StageArguments(data=str(folder)), RowNeeds(delta=False, reasoning=False))
    assert capsys.readouterr().err == f"{words}\n"


def test_a_picture_needs_no_name_of_a_file(good: list[Row], write: Callable[..., Path]) -> None:
    nameless = {**good[1], "first": {**good[1]["first"], "path": None}}
    folder = write(good[0], nameless)
    assert faults(folder, "train", RowNeeds()) is None
    assert record_of(load_pairs(folder, "train")[1], "train").first_bytes == good[1]["first"]["bytes"]  # as trained on


@pytest.mark.parametrize(
    ("column", "kind", "value"),
    [
        ("first", pa.binary(), b"x"),
        ("delta", pa.string(), "1.5"),
        ("id", pa.int64(), 1),
        ("factors", pa.string(), ""),
        ("n_votes", pa.string(), "3"),
        ("edit_first", pa.string(), "{}"),
        ("rationale", pa.struct([("text", pa.string())]), {"text": ""}),
    ],
)
def test_a_column_of_another_type_is_named(
    column: str, kind: pa.DataType, value: Any, good: list[Row], write: Callable[..., Path]
) -> None:
    folder = write(*good)
    (file,) = shards(folder, "train")
    schema = pq.read_schema(file)
    other = schema.set(schema.get_field_index(column), pa.field(column, kind))
    pq.write_table(pa.Table.from_pylist([{**row, column: value} for row in good], schema=other), file)
    with pytest.raises(RecordError, match=rf"column {column} has the type {re.escape(str(kind))}, but .* is needed"):
        faults(folder, "train", RowNeeds())


def test_further_columns_do_not_matter(good: list[Row], write: Callable[..., Path]) -> None:
    folder = write(*good)
    (file,) = shards(folder, "train")
    more = pq.read_schema(file).append(pa.field("note", pa.string()))
    pq.write_table(pa.Table.from_pylist([{**row, "note": "mine"} for row in good], schema=more), file)
    assert faults(folder, "train", RowNeeds()) is None
    assert len(load_pairs(folder, "train")) == len(good)


def test_a_picture_that_validation_could_not_show_is_named_at_the_start(
    good: list[Row], write: Callable[..., Path]
) -> None:
    file = shards(write(*good), "train")[0]
    cut = [{**row, "first": picture(row["first"]["bytes"][:-200])} for row in good]
    pq.write_table(pa.Table.from_pylist(cut, schema=pq.read_schema(file)), file.with_name("test-00000.parquet"))
    with pytest.raises(RecordError, match=r"row .* of the test split, which validation would ask, has a picture"):
        RunValidation.drawn(file.parents[1], ValidationArguments())


def test_all_faults_are_counted_and_some_rows_named(good: list[Row], write: Callable[..., Path]) -> None:
    unlabelled = [{**good[0], "id": f"pair-{n}", "delta": None} for n in range(5)]
    said = faults(write(*unlabelled, {**good[1], "id": "x", "rationale": None}, good[2], good[2]), "train", RowNeeds())
    assert said is not None
    assert "7 of the 8 rows" in said
    assert f"5 {row_checks.NO_DELTA} (train-00000.parquet row 0, id 'pair-0'; " in said
    assert "id 'pair-2' and 2 more)" in said
    assert f"1 {row_checks.NO_REASONING} (train-00000.parquet row 5" in said
    assert f"1 {row_checks.TWICE} (train-00000.parquet row 7" in said


def test_good_rows_have_no_faults(red_folder: Path) -> None:
    assert faults(red_folder, "train", RowNeeds()) is None
    assert faults(red_folder, "test", RowNeeds()) is None


def test_a_split_without_rows_is_named(write: Callable[..., Path]) -> None:
    assert "has no rows in its train split" in str(faults(write(), "train", RowNeeds()))


def test_a_stage_asks_for_no_more_than_it_needs(good: list[Row], write: Callable[..., Path]) -> None:
    bare = {**good[0], "delta": None, "rationale": None, "rationale_swapped": None}
    assert faults(write(bare), "train", RowNeeds(delta=False, reasoning=False)) is None
    assert row_checks.NO_REASONING not in str(faults(write(bare), "train", RowNeeds(reasoning=False)))


def test_rows_that_are_left_out_may_be_anything(good: list[Row], write: Callable[..., Path]) -> None:
    edit = Edit(factor="light", operation="tilt", direction="degrade", strength=0.5, instruction="", editor="e", seed=0)
    row = {**good[0], "delta": None, "edit_second": edit.model_dump()}
    assert faults(write(row, good[1]), "train", RowNeeds(), frozenset({"tilt"})) is None
    assert faults(write(row, good[1]), "train", RowNeeds(), frozenset({"vignette"})) is not None


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_refuses_before_a_model_is_loaded_and_claims_no_folder(
    stage: str, good: list[Row], write: Callable[..., Path], tmp_path: Path
) -> None:
    folder = write({**good[0], "delta": float("nan")}, good[1])
    with pytest.raises(RecordError, match=r"1 of the 2 rows .* not a number within"):
        STAGES[stage][1](*arguments(stage, Path("no/such-model"), folder, tmp_path / "run"))
    assert not (tmp_path / "run" / "settings.json").exists()


def test_ids_need_not_be_hexadecimal(red_folder: Path, tiny_model: Path) -> None:
    assert [_drawn(name) for name in ("71305106b5705cf4", "pair-0A", "x_1", "7", "f ", "ä")] == [0xF4, 0x0A, *(
        hashlib.sha256(name.encode()).digest()[0] for name in ("x_1", "7", "f ", "ä")
    )]  # fmt: skip
    record = next(iter(read_records(red_folder, "train")))
    renamed = record.model_copy(update={"pair": record.pair.model_copy(update={"id": "IMG_0001 vs IMG_0002"})})
    from redaes.backends.loading import load_processor

    _, orders, _ = drawn_answers(load_processor(tiny_model, None), [renamed], ["fast"])
    assert orders == [order_drawn(renamed)]
