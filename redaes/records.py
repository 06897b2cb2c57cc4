"""Records on disk: pairs as Parquet with real ``Image`` columns, run records as JSON; all writes atomic.

A RED dataset is a folder::

    README.md                     dataset card; names the splits for ``datasets.load_dataset`` and the hub
    data/train-00000.parquet …    one shard per chunk of photographs
    data/test-00000.parquet …
    report.json                   what was kept, what was rejected and why

A row holds a :class:`~redaes.types.Pair` and its rationale in both orders. The schema's version is in the
Parquet metadata; a reader refuses a version that it does not know.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ValidationError

from redaes.errors import ImageError, InputError, MissingDependency, RecordError
from redaes.file_hashes import content_hash
from redaes.images import LoadedImage, decode_image
from redaes.table_cache import comes_of_writing, copies_of, not_writable
from redaes.types import SPLITS, Agreement, Edit, ImageRef, Pair, Rationale, Split

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

SCHEMA_VERSION = 2
Side = Literal["first", "second"]
"""Which picture of a pair."""
_VERSION_KEY = b"redaes.schema_version"

COLUMNS = (
    "id", "first", "second", "delta", "factors", "rationale", "rationale_swapped", "edit_first", "edit_second", "group",
    "source", "licence", "agreement", "writer",
)  # fmt: skip
"""What every row of a RED dataset has."""


NAMELESS = "picture"
"""What messages call a picture that came without the name of its file."""


class PairRecord(BaseModel):
    """A pair with its pictures' bytes and its reasoning in both orders: one row of a RED dataset."""

    model_config = {"frozen": True, "extra": "forbid"}

    pair: Pair
    first_bytes: bytes
    """The encoded picture: any kind of file that `redaes.images` reads."""
    second_bytes: bytes
    rationale: Rationale | None
    """Reasoning with ``pair.first`` as A; None when the pair has none."""
    rationale_swapped: Rationale | None
    """Reasoning with ``pair.second`` as A. Kept apart because letters cannot be exchanged in free text."""
    licence: str
    """Licence of the source photograph, empty when not known."""
    agreement: Agreement | None = None
    """How far the judges agreed; None: measured, not judged."""
    writer: str = ""
    """Who wrote the reasoning: ``embedded``, or a model's name; empty when there is none."""


def picture_of(record: PairRecord, side: Side) -> LoadedImage:
    """One picture of a row, decoded exactly as a file of the same bytes is when the model is asked about it.

    Raises:
        RecordError: it cannot be used; names the row, the side, the picture's file and the remedy.
    """
    data, ref = (
        (record.first_bytes, record.pair.first) if side == "first" else (record.second_bytes, record.pair.second)
    )
    try:
        return decode_image(data, ref.path)
    except ImageError as error:
        raise RecordError(
            f"row {record.pair.id!r}, {side} picture does not decode: {error}, or take the row out; "
            "`redaes data validate` names all such rows"
        ) from error


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A temporary file beside ``path`` that takes its place when the block ends well: whole or absent.

    Raises:
        RecordError: the folder cannot be written to.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)  # what a full disk left; after a success there is nothing
    except OSError as error:
        raise RecordError(
            f"{path} cannot be written: {error.strerror or error}; choose another output folder"
        ) from error


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that it is either whole or absent, also after ``kill -9``.

    Raises:
        RecordError: the folder cannot be written to.
    """
    with writing(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as readable JSON, atomically; NaN and infinity are refused."""
    write_atomically(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        RecordError: missing, or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise RecordError(f"{path} is not JSON: {error}; delete it to start afresh") from error


def read_yaml(path: Path, what: str = "recipe") -> dict[Any, Any]:
    """A recipe: a YAML file that holds a mapping. Its keys are the caller's to check.

    Args:
        path: of the file.
        what: it is, in messages.

    Raises:
        InputError: it cannot be read, is no YAML, or no mapping.
        MissingDependency: PyYAML is absent.
    """
    try:
        import yaml
    except ImportError as error:
        raise MissingDependency("pyyaml", "train") from error
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{what} {path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{what} {path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise InputError(f"{what} {path} is not a YAML mapping of option: value")
    return values


def features() -> datasets.Features:
    """The columns of a RED dataset."""
    try:
        import datasets
    except ImportError as error:
        raise MissingDependency("datasets", "train") from error

    text = datasets.Value("string")
    return datasets.Features(
        {
            "id": text,
            "first": datasets.Image(),
            "second": datasets.Image(),
            "delta": datasets.Value("float64"),
            "factors": datasets.List(text),
            "rationale": text,
            "rationale_swapped": text,
            "edit_first": text,
            "edit_second": text,
            "group": text,
            "source": text,
            "licence": text,
            "agreement": text,
            "writer": text,
        }
    )


def _json_or_none(record: BaseModel | None) -> str | None:
    return None if record is None else record.model_dump_json()


def row_of(record: PairRecord) -> dict[str, Any]:
    """The record as a Parquet row; the split is the file's."""
    pair = record.pair
    return {
        "id": pair.id,
        "first": {"bytes": record.first_bytes, "path": str(pair.first.path)},
        "second": {"bytes": record.second_bytes, "path": str(pair.second.path)},
        "delta": pair.delta,
        "factors": list(pair.factors),
        "rationale": _json_or_none(record.rationale),
        "rationale_swapped": _json_or_none(record.rationale_swapped),
        "edit_first": _json_or_none(pair.edit_first),
        "edit_second": _json_or_none(pair.edit_second),
        "group": pair.group,
        "source": pair.source,
        "licence": record.licence,
        "agreement": _json_or_none(record.agreement),
        "writer": record.writer,
    }


def record_of(row: Mapping[str, Any], split: Split) -> PairRecord:
    """The record of a row whose pictures are undecoded (``{"bytes", "path"}``).

    Raises:
        RecordError: the row breaks the schema; names its id.
    """

    def edit(text: str | None) -> Edit | None:
        return None if text is None else Edit.model_validate_json(text)

    def rationale(text: str | None) -> Rationale | None:
        return None if text is None else Rationale.model_validate_json(text)

    def image(value: Mapping[str, Any]) -> ImageRef:
        # Who writes pictures from memory has no names of files; the bytes are what counts.
        return ImageRef(id=hashlib.sha256(value["bytes"]).hexdigest(), path=Path(value["path"] or NAMELESS))

    try:
        return PairRecord(
            pair=Pair(
                id=row["id"],
                first=image(row["first"]),
                second=image(row["second"]),
                delta=row["delta"],
                edit_first=edit(row["edit_first"]),
                edit_second=edit(row["edit_second"]),
                factors=tuple(row["factors"]),
                group=row["group"],
                source=row["source"],
                split=split,
            ),
            first_bytes=row["first"]["bytes"],
            second_bytes=row["second"]["bytes"],
            rationale=rationale(row["rationale"]),
            rationale_swapped=rationale(row["rationale_swapped"]),
            licence=row["licence"],
            agreement=None if row["agreement"] is None else Agreement.model_validate_json(row["agreement"]),
            writer=row["writer"],
        )
    except (ValidationError, KeyError, TypeError) as error:
        raise RecordError(f"row {row.get('id')!r} breaks the schema: {error}") from error


ROW_GROUP = 100
"""Rows written, and read, at a time: the hub's viewer and random access read one group."""


def write_shard(path: Path, records: Iterable[PairRecord]) -> int:
    """Write one Parquet shard, atomically, holding no more than a row group of it in memory.

    Args:
        path: the file.
        records: at least one, because ``datasets`` cannot read a file without rows; taken one by one.

    Returns:
        The number of rows.

    Raises:
        RecordError: the folder cannot be written to.
    """
    columns = features()  # first: it names what to install when Arrow is absent
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema: pa.Schema = columns.arrow_schema
    schema = schema.with_metadata({**(schema.metadata or {}), _VERSION_KEY: str(SCHEMA_VERSION).encode()})
    rows = map(row_of, records)
    batch = list(itertools.islice(rows, ROW_GROUP))
    if not batch:
        raise ValueError(f"{path}: a shard needs at least one record")
    total = 0
    with writing(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        while batch:
            writer.write_table(pa.Table.from_pylist(batch, schema=schema))
            total += len(batch)
            batch = list(itertools.islice(rows, ROW_GROUP))
    return total


def shards(folder: Path, split: Split) -> list[Path]:
    """The shards of one split, in order.

    Raises:
        RecordError: the folder is no RED dataset, or has no such split.
    """
    found = sorted((folder / "data").glob(f"{split}-*.parquet"))
    if not found:
        raise RecordError(
            f"{folder} has no data/{split}-*.parquet: not a RED dataset; build one with data_gen/build_pairs.py"
        )
    return found


def check_shard(file: Path) -> pa.Schema:
    """The columns of a shard, from its footer.

    Raises:
        RecordError: no Parquet, or an unknown schema version.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise RecordError(f"{file} is not readable Parquet: {error}; delete it and build again") from error
    version = (schema.metadata or {}).get(_VERSION_KEY, b"none").decode()
    if version != str(SCHEMA_VERSION):
        raise RecordError(f"{file} has schema version {version}, this redaes reads {SCHEMA_VERSION}; rebuild it")
    return schema


def check_columns(file: Path) -> None:
    """Refuse a shard whose columns are not what rows are made of; further columns do not matter.

    Raises:
        RecordError: names the column and both types.
    """
    wanted = features().arrow_schema
    import pyarrow.types as kinds

    found = check_shard(file)
    for name in COLUMNS:
        place = found.get_field_index(name)
        if place < 0:
            continue  # `stream_rows` names those that are missing
        has, wants = found.field(place).type, wanted.field(name).type
        if kinds.is_struct(wants):
            fits = kinds.is_null(has) or (kinds.is_struct(has) and {"bytes", "path"} <= {part.name for part in has})
        elif kinds.is_floating(wants):
            fits = any(kind(has) for kind in (kinds.is_floating, kinds.is_integer, kinds.is_null))
        elif kinds.is_list(wants):
            fits = kinds.is_list(has) or kinds.is_large_list(has) or kinds.is_null(has)
        else:
            fits = any(kind(has) for kind in (kinds.is_string, kinds.is_large_string, kinds.is_null))
        if not fits:
            raise RecordError(f"{file}: column {name} is {has} and has to be {wants}; write it so")


def stream_rows(file: Path, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """Rows of a shard with undecoded pictures, a few in memory at a time and nothing written to a cache.

    Args:
        file: a shard.
        columns: which to read; None: all. Without the pictures it is quick.

    Raises:
        RecordError: no Parquet, an unknown schema version, or a column that is missing.
        MissingDependency: pyarrow is absent.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingDependency("pyarrow", "edit") from error

    names = check_shard(file).names
    missing = sorted({*COLUMNS, *(columns or ())} - set(names))
    if missing:
        raise RecordError(f"{file} lacks the columns {', '.join(missing)}; rebuild it")
    try:
        with pq.ParquetFile(file) as shard:
            for batch in shard.iter_batches(batch_size=32, columns=None if columns is None else list(columns)):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise RecordError(f"{file} cannot be read ({error}); delete it and build again") from error


def pick_rows(file: Path, numbers: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Some rows of a shard by number, from 0, with undecoded pictures; reads only the row groups that hold them.

    Raises:
        RecordError: no Parquet, an unknown schema version, or a number beyond the end.
    """
    check_shard(file)
    import pyarrow as pa
    import pyarrow.parquet as pq

    found: dict[int, dict[str, Any]] = {}
    try:
        with pq.ParquetFile(file) as shard:
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
        raise RecordError(f"{file} has no rows {missing}")
    return found


def _operations(rows: datasets.Dataset) -> list[set[str]]:
    """The edits of each row's two pictures."""
    return [
        {json.loads(edit)["operation"] for edit in edits if edit}
        for edits in zip(rows["edit_first"], rows["edit_second"], strict=True)
    ]


def operations_in(rows: datasets.Dataset) -> set[str]:
    """The edits that pictures of these rows carry."""
    return set().union(*_operations(rows))


def without_operations(rows: datasets.Dataset, operations: Collection[str]) -> datasets.Dataset:
    """The rows neither of whose pictures carries one of these edits; the pictures stay where they are.

    Raises:
        RecordError: an operation that no picture carries, or nothing is left.
    """
    carried = _operations(rows)
    known: set[str] = set().union(*carried)
    if unknown := sorted(set(operations) - known):
        raise RecordError(f"no picture carries the edit {', '.join(unknown)}; there are: {', '.join(sorted(known))}")
    kept = [number for number, names in enumerate(carried) if names.isdisjoint(operations)]
    if not kept:
        raise RecordError(f"every pair carries one of {', '.join(sorted(operations))}; leave out fewer")
    return rows.select(kept) if len(kept) < len(rows) else rows


def load_pairs(folder: Path, split: Split) -> datasets.Dataset:
    """A split as a memory-mapped ``datasets.Dataset`` with undecoded pictures.

    Raises:
        RecordError: no such dataset, an unknown schema version, a file that is no Parquet, or a cache that cannot be
            written to.
    """
    try:
        import datasets
    except ImportError as error:
        raise MissingDependency("datasets", "train") from error

    files = shards(folder, split)
    for file in files:
        check_shard(file)
    columns = features()
    for column in ("first", "second"):
        columns[column] = datasets.Image(decode=False)
    try:
        return datasets.Dataset.from_parquet(
            [str(file) for file in files],
            features=columns,
            columns=list(COLUMNS),  # people's own shards may have more
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


def _unreadable(files: Sequence[Path]) -> list[Path]:
    """Those among the shards whose data cannot be decoded although their footers can."""
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
    """All records of a split, one by one."""
    for row in load_pairs(folder, split):
        yield record_of(row, split)


def data_hash(folder: Path) -> str:
    """SHA-256 over the shards of all splits: what a run record names as its data."""
    digest = hashlib.sha256()
    for split in SPLITS:
        for file in sorted((folder / "data").glob(f"{split}-*.parquet")):
            digest.update(f"{file.name}:{content_hash(file)}\n".encode())
    return digest.hexdigest()
