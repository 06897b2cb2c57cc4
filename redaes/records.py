"""RED datasets on disk: pairs as Parquet with ``Image`` columns, written atomically.

A RED dataset is a folder::

    README.md                     dataset card; names the splits for ``datasets.load_dataset`` and the hub
    data/train-00000.parquet …    one shard per chunk of photographs
    data/test-00000.parquet …
    report.json                   what was kept, what was rejected and why

A row holds a :class:`~redaes.types.Pair` and its rationale in both orders. The schema's version is in the
Parquet metadata. Shards of version 2 are converted to the current version once, and the copy is kept in the cache of
``datasets``; an unknown version is refused.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from redaes.errors import ImageError, MissingDependency, RecordError
from redaes.file_hashes import content_hash
from redaes.file_writing import writing
from redaes.images import LoadedImage, content_id, decode_image
from redaes.table_cache import comes_of_writing, copies_of, not_writable, results_of
from redaes.types import SIDES, SPLITS, Agreement, Edit, Pair, Rationale, Side, Split

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

SCHEMA_VERSION = 3
_VERSION_KEY = b"redaes.schema_version"

COLUMNS = (
    "id", "first", "second", "first_id", "second_id", "delta", "factors", "rationale", "rationale_swapped",
    "edit_first", "edit_second", "group", "source", "licence", "label_source", "n_votes", "agreement", "writer",
)  # fmt: skip
"""Columns that every row of a RED dataset has."""

OPTIONAL_COLUMNS = ("delta_error", "merged_from", "draw_weight")
"""Further columns of some datasets; absent: null."""

LabelSource = Literal["edits", "judges", "people", "inferred"]
"""Where a pair's difference comes from: the edit and its measurements, the answers of a panel, people's votes, or a
panel's answers about other pairs of the same view when this pair was not judged itself.
"""


NAMELESS = "picture"
"""The name in messages of a picture without a file name."""


class PairRecord(BaseModel):
    """A pair with its pictures' bytes and its reasoning in both orders: one row of a RED dataset."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pair: Pair
    """The pair. Its pictures' ids are the SHA-256 of the bytes; they are checked when a row is written, exported or
    measured, by ``redaes data validate`` and by the training stages, not whenever a row is read.
    """
    first_bytes: bytes
    """The encoded first picture, in any file format that :mod:`redaes.images` reads."""
    second_bytes: bytes
    rationale: Rationale | None
    """Reasoning with ``pair.first`` as A; None when the pair has none."""
    rationale_swapped: Rationale | None
    """Reasoning with ``pair.second`` as A. Kept apart because letters cannot be exchanged in free text."""
    licence: str
    """Licence of the source photograph, empty when not known."""
    label_source: LabelSource = "edits"
    delta_error: Annotated[FiniteFloat, Field(ge=0.0)] | None = None
    """Standard error of an inferred difference, in points; None: the difference was not inferred."""
    n_votes: Annotated[int, Field(ge=1)] | None = None
    """Number of people's votes behind the difference; None: it does not come from votes, or they were not counted."""
    agreement: Agreement | None = None
    """How far the judges agreed; None: there were no judges."""
    writer: str = ""
    """Who wrote the reasoning: ``embedded``, or a model's name; empty when there is none."""
    merged_from: Annotated[str, Field(min_length=1)] | None = None
    """Name of the dataset that the pair was merged from; None: its dataset was not merged from others."""
    draw_weight: Annotated[FiniteFloat, Field(gt=0.0)] | None = None
    """How often training draws the pair in an epoch, on average; None: once."""

    @model_validator(mode="after")
    def _label_of_one_source(self) -> PairRecord:
        if (self.agreement is None) == (self.label_source == "judges"):
            raise ValueError(
                f"label_source is {self.label_source!r}; exactly the pairs that judges labelled have an agreement"
            )
        if (self.delta_error is None) == (self.label_source == "inferred"):
            raise ValueError(
                f"delta_error is {self.delta_error} and label_source is {self.label_source!r}; exactly the inferred "
                "differences have a delta_error"
            )
        if self.n_votes is not None and self.label_source != "people":
            raise ValueError(
                f"n_votes is {self.n_votes} and label_source is {self.label_source!r}; only pairs that people "
                "labelled have votes"
            )
        return self

    def bytes_of(self, side: Side) -> bytes:
        """Return the encoded picture of a side."""
        return self.first_bytes if side == "first" else self.second_bytes


def picture_of(record: PairRecord, side: Side) -> LoadedImage:
    """Return one picture of a row, decoded exactly as a file of the same bytes.

    Raises:
        RecordError: the picture cannot be used; the message names the row, the side, the picture's file and the remedy.
    """
    try:
        return decode_image(record.bytes_of(side), record.pair.of(side).path)
    except ImageError as error:
        raise RecordError(
            f"row {record.pair.id!r}: the {side} picture does not decode: {error}; or remove the row (`redaes data "
            "validate` names all such rows)"
        ) from error


def features(optional: Collection[str] = ()) -> datasets.Features:
    """Return the columns of a RED dataset.

    Args:
        optional: the columns of :data:`OPTIONAL_COLUMNS` that the dataset has.
    """
    try:
        import datasets
    except ImportError as error:
        raise MissingDependency("datasets", "train") from error

    text, number, count = (datasets.Value(kind) for kind in ("string", "float64", "int64"))
    rationale = {"text": text, "factors": datasets.List(text), "better": text}
    edit = dict.fromkeys(("factor", "operation", "direction"), text) | {"strength": number}
    edit |= dict.fromkeys(("instruction", "editor"), text) | {"seed": count, "revision": text, "licence": text}
    edit |= {"commercial": datasets.Value("bool")}
    agreement = {"judges": datasets.List(text)} | dict.fromkeys(("n_answers", "n_failed"), count)
    agreement |= dict.fromkeys(("spread", "disagreement", "sign_agreement", "residual"), number)
    kinds = {"delta": number, "factors": datasets.List(text), "n_votes": count, "agreement": agreement}
    kinds |= dict.fromkeys(SIDES, datasets.Image()) | dict.fromkeys(("rationale", "rationale_swapped"), rationale)
    kinds |= dict.fromkeys(("edit_first", "edit_second"), edit) | dict.fromkeys(("delta_error", "draw_weight"), number)
    columns = (*COLUMNS, *(column for column in OPTIONAL_COLUMNS if column in optional))
    return datasets.Features({column: kinds.get(column, text) for column in columns})


def check_ids(record: PairRecord) -> None:
    """Refuse a record whose pictures do not match their ids.

    Raises:
        RecordError: a picture does not match its id; the message names the row and the side.
    """
    for side in SIDES:
        if record.pair.of(side).id != content_id(record.bytes_of(side)):
            raise RecordError(f"row {record.pair.id!r}: the id of its {side} picture is not the SHA-256 of its bytes")


def row_of(record: PairRecord) -> dict[str, Any]:
    """Return the record as a Parquet row with the optional columns that it fills. The split is not in the row: it
    belongs to the file.

    Raises:
        RecordError: a picture's id is not the SHA-256 of its bytes.
    """
    check_ids(record)
    values = record.pair.model_dump(exclude={*SIDES, "split"})
    values |= record.model_dump(exclude={"pair", "first_bytes", "second_bytes"})
    for side in SIDES:
        ref = record.pair.of(side)
        values |= {side: {"bytes": record.bytes_of(side), "path": str(ref.path)}, f"{side}_id": ref.id}
    filled = [column for column in OPTIONAL_COLUMNS if values[column] is not None]
    return {column: values[column] for column in (*COLUMNS, *filled)}


_OF_PAIR = ("id", "delta", "edit_first", "edit_second", "factors", "group", "source")
_OF_RECORD = ("rationale", "rationale_swapped", "licence", "label_source", "n_votes", "agreement", "writer")


def record_of(row: Mapping[str, Any], split: Split) -> PairRecord:
    """Return the record of a row whose pictures are undecoded (``{"bytes", "path"}``).

    Raises:
        RecordError: the row breaks the schema; the message names its id.
    """
    try:
        # Pictures that were written from memory have no file names; the bytes are what counts.
        refs = {side: {"id": row[f"{side}_id"], "path": row[side]["path"] or NAMELESS} for side in SIDES}
        return PairRecord.model_validate(
            {name: row[name] for name in _OF_RECORD}
            | {name: row.get(name) for name in OPTIONAL_COLUMNS}
            | {f"{side}_bytes": row[side]["bytes"] for side in SIDES}
            | {"pair": {name: row[name] for name in _OF_PAIR} | refs | {"split": split}}
        )
    except (ValidationError, KeyError, TypeError) as error:
        raise RecordError(f"row {row.get('id')!r} breaks the schema: {error}") from error


def operations_of(row: Mapping[str, Any]) -> set[str]:
    """Return the operations that were applied to a row's two pictures."""
    return {edit["operation"] for edit in (row["edit_first"], row["edit_second"]) if edit}


ROW_GROUP = 100
"""Number of rows in a Parquet row group: the hub's viewer and random access read one group at a time."""


def write_shard(path: Path, records: Iterable[PairRecord], *, optional: Collection[str] = ()) -> int:
    """Write one Parquet shard atomically, with at most one row group in memory.

    Args:
        path: path of the file.
        records: at least one record, because ``datasets`` cannot read a file without rows; they are taken one by one.
        optional: the columns of :data:`OPTIONAL_COLUMNS` that the file gets; all files of a dataset have the same.

    Returns:
        The number of rows.

    Raises:
        RecordError: the folder cannot be written to, or a picture's id is not the SHA-256 of its bytes.
        ValueError: there are no records, or one fills an optional column that the file does not get.
    """
    rows = (_within(row_of(record), optional) for record in records)
    first = next(rows, None)
    if first is None:
        raise ValueError(f"{path}: a shard needs at least one record")
    return _write_rows(path, itertools.chain([first], rows), optional)


def _within(row: dict[str, Any], optional: Collection[str]) -> dict[str, Any]:
    """Return the row if the file has all of its optional columns; Arrow would silently drop the others."""
    lost = sorted(set(row) - {*COLUMNS, *optional})
    if lost:
        raise ValueError(f"row {row['id']!r} has {', '.join(lost)}, but its shard has no column for this")
    return row


def _write_rows(path: Path, rows: Iterator[dict[str, Any]], optional: Collection[str] = ()) -> int:
    columns = features(optional)  # imported first, because it names what to install when Arrow is absent
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema: pa.Schema = columns.arrow_schema
    schema = schema.with_metadata({**(schema.metadata or {}), _VERSION_KEY: str(SCHEMA_VERSION).encode()})
    total = 0
    with writing(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        while batch := list(itertools.islice(rows, ROW_GROUP)):
            writer.write_table(pa.Table.from_pylist(batch, schema=schema))
            total += len(batch)
    return total


def shards(folder: Path, split: Split) -> list[Path]:
    """Return the shards of one split, in order.

    Raises:
        RecordError: the folder is not a RED dataset, or has no such split.
    """
    found = sorted((folder / "data").glob(f"{split}-*.parquet"))
    if not found:
        raise RecordError(
            f"{folder} is not a RED dataset, because it has no data/{split}-*.parquet; build one with: redaes data "
            "build"
        )
    return found


def current_shard(file: Path) -> Path:
    """Return a shard in the current schema version: the file itself, or for version 2 a converted copy, made on first
    use.

    Raises:
        RecordError: the file is not Parquet, its schema version is unknown, an old row breaks its schema, or the cache
            cannot be written to.
        MissingDependency: pyarrow is absent.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingDependency("pyarrow", "edit") from error

    try:
        metadata = pq.read_schema(file).metadata or {}
    except (pa.ArrowInvalid, OSError) as error:
        raise RecordError(f"{file} is not readable Parquet: {error}; delete it and build again") from error
    version = metadata.get(_VERSION_KEY, b"none").decode()
    if version == str(SCHEMA_VERSION):
        return file
    if version != "2":
        raise RecordError(
            f"{file} has schema version {version}, but this version of redaes reads 2 and {SCHEMA_VERSION}; build the "
            "dataset again"
        )
    copy = results_of(file, f"schema {SCHEMA_VERSION}") / file.name
    if not copy.exists():
        try:
            _write_rows(copy, (_upgraded(row, file) for row in _rows(file)))
        except RecordError as error:
            if comes_of_writing(error.__cause__):
                raise not_writable(error.__cause__) from error
            raise
    return copy


def _upgraded(row: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """Convert a row of schema version 2, whose records were JSON text and whose pictures had no ids."""
    kinds: dict[str, type[BaseModel]] = dict.fromkeys(("rationale", "rationale_swapped"), Rationale)
    kinds |= {"edit_first": Edit, "edit_second": Edit, "agreement": Agreement}
    try:
        records = {
            name: None if row[name] is None else kind.model_validate_json(row[name]).model_dump()
            for name, kind in kinds.items()
        }
        ids = {f"{side}_id": content_id(row[side]["bytes"]) for side in SIDES if (row[side] or {}).get("bytes")}
        label = {"label_source": "edits" if row["agreement"] is None else "judges"}
        return {name: row.get(name) for name in COLUMNS} | records | ids | label
    except (ValidationError, KeyError) as error:
        raise RecordError(
            f"{file}: row {row.get('id')!r} breaks the schema: {error}; build the dataset again"
        ) from error


def check_columns(file: Path) -> None:
    """Refuse a shard that lacks a column or has one of another type; further columns do not matter.

    Raises:
        RecordError: a column has another type; the message names the column and both types.
    """
    wanted = features(OPTIONAL_COLUMNS).arrow_schema
    import pyarrow.parquet as pq
    import pyarrow.types as kinds

    found = pq.read_schema(current_shard(file))
    for name in (*COLUMNS, *OPTIONAL_COLUMNS):
        place = found.get_field_index(name)
        if place < 0:
            continue  # `stream_rows` reports missing columns
        has, wants = found.field(place).type, wanted.field(name).type
        if kinds.is_struct(wants):
            fits = kinds.is_struct(has) and {part.name for part in wants} <= {part.name for part in has}
        elif kinds.is_floating(wants):
            fits = kinds.is_floating(has) or kinds.is_integer(has)
        elif kinds.is_list(wants):
            fits = kinds.is_list(has) or kinds.is_large_list(has)
        elif kinds.is_integer(wants):
            fits = kinds.is_integer(has)
        else:
            fits = kinds.is_string(has) or kinds.is_large_string(has)
        if not (fits or kinds.is_null(has)):
            raise RecordError(
                f"{file}: column {name} has the type {has}, but {wants} is needed; write the file again with that type"
            )


def stream_rows(file: Path, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """Yield the rows of a shard with undecoded pictures; few are in memory at a time, and no cache is written.

    Args:
        file: a shard. (For schema version 2 the converted copy is read, and made if necessary.)
        columns: columns to read; None: all. Reading is quick without the pictures.

    Raises:
        RecordError: the file is not Parquet, its schema version is unknown, or a column is missing.
        MissingDependency: pyarrow is absent.
    """
    current = current_shard(file)
    import pyarrow.parquet as pq

    missing = sorted({*COLUMNS, *(columns or ())} - set(pq.read_schema(current).names))
    if missing:
        raise RecordError(f"{file} lacks the columns {', '.join(missing)}; build the dataset again")
    yield from _rows(current, columns)


def _rows(file: Path, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as shard:
            for batch in shard.iter_batches(batch_size=32, columns=None if columns is None else list(columns)):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise RecordError(f"{file} cannot be read ({error}); delete it and build again") from error


def pick_rows(file: Path, numbers: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Return some rows of a shard by their numbers, from 0, with undecoded pictures; only their row groups are read.

    Raises:
        RecordError: the file is not Parquet, its schema version is unknown, or a number is beyond the end.
    """
    current = current_shard(file)
    import pyarrow as pa
    import pyarrow.parquet as pq

    found: dict[int, dict[str, Any]] = {}
    try:
        with pq.ParquetFile(current) as shard:
            start = 0
            for group in range(shard.num_row_groups):
                end = start + shard.metadata.row_group(group).num_rows
                wanted = sorted({number for number in numbers if start <= number < end})
                if wanted:
                    table = shard.read_row_group(group)
                    for number in wanted:
                        found[number] = table.slice(number - start, 1).to_pylist()[0]
                start = end
    except (pa.ArrowException, OSError) as error:
        raise RecordError(f"{file} cannot be read ({error}); delete it and build again") from error
    missing = sorted(set(numbers) - set(found))
    if missing:
        raise RecordError(f"{file} does not contain the rows {missing}")
    return found


def _operations(rows: datasets.Dataset) -> list[set[str]]:
    return [operations_of(row) for row in rows.select_columns(["edit_first", "edit_second"])]


def operations_in(rows: datasets.Dataset) -> set[str]:
    """Return the operations that were applied to pictures of these rows."""
    return set().union(*_operations(rows))


def without_operations(rows: datasets.Dataset, operations: Collection[str]) -> datasets.Dataset:
    """Return the rows to whose pictures none of these operations was applied, without reading the pictures.

    Raises:
        RecordError: an operation was applied to no picture, or no row is left.
    """
    carried = _operations(rows)
    known: set[str] = set().union(*carried)
    if unknown := sorted(set(operations) - known):
        raise RecordError(f"no picture has the edit {', '.join(unknown)}; give some of: {', '.join(sorted(known))}")
    kept = [number for number, names in enumerate(carried) if names.isdisjoint(operations)]
    if not kept:
        raise RecordError(
            f"every pair has one of the edits {', '.join(sorted(operations))}, so that none would be left; leave out "
            "fewer edits"
        )
    return rows.select(kept) if len(kept) < len(rows) else rows


def load_pairs(folder: Path, split: Split) -> datasets.Dataset:
    """Return a split as a memory-mapped ``datasets.Dataset`` with undecoded pictures.

    Raises:
        RecordError: there is no such dataset, a schema version is unknown, a file is not Parquet, or the cache cannot
            be written to.
    """
    try:
        import datasets
    except ImportError as error:
        raise MissingDependency("datasets", "train") from error

    files = [current_shard(file) for file in shards(folder, split)]
    columns = features(_optional_of(files)) | dict.fromkeys(SIDES, datasets.Image(decode=False))
    try:
        return datasets.Dataset.from_parquet(
            [str(file) for file in files],
            features=datasets.Features(columns),
            columns=list(columns),  # shards that people wrote may have further columns
            cache_dir=str(copies_of(files)),
        )
    except OSError as error:
        raise not_writable(error) from error
    except datasets.exceptions.DatasetGenerationError as error:
        if comes_of_writing(error.__cause__):
            raise not_writable(error.__cause__) from error
        damaged = _unreadable(files)
        raise RecordError(
            f"{', '.join(map(str, damaged)) or folder} cannot be read ({error.__cause__ or error}); "
            "delete it and build again"
        ) from error


def _optional_of(files: Sequence[Path]) -> list[str]:
    """Return the optional columns that all of the shards have."""
    import pyarrow.parquet as pq

    names = [set(pq.read_schema(file).names) for file in files]
    return [column for column in OPTIONAL_COLUMNS if all(column in its for its in names)]


def _unreadable(files: Sequence[Path]) -> list[Path]:
    """Return the shards whose footers can be read but whose data cannot be decoded."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = []
    for file in files:
        try:
            pq.read_table(file)
        except (pa.ArrowException, OSError):
            found.append(file)
    return found


def read_records(folder: Path, split: Split) -> Iterable[PairRecord]:
    """Yield all records of a split, one by one."""
    for row in load_pairs(folder, split):
        yield record_of(row, split)


def data_hash(folder: Path) -> str:
    """Return the SHA-256 over the shards of all splits, by which a run record names its data."""
    digest = hashlib.sha256()
    for split in SPLITS:
        for file in sorted((folder / "data").glob(f"{split}-*.parquet")):
            digest.update(f"{file.name}:{content_hash(file)}\n".encode())
    return digest.hexdigest()
