"""Read lists row by row as mappings: CSV, JSON lines, JSON, Parquet, Arrow, tar shards."""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redaes.datagen.imported.tar_shards import tar_rows
from redaes.errors import InputError, MissingDependency

LISTS = (".csv", ".tsv", ".jsonl", ".json", ".parquet", ".arrow", ".tar")
"""Endings of files that can be lists."""

_ROWS_AT_ONCE = 32  # of tables that may hold pictures

_DELIMITERS = (",", ";", "\t", "|")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_TELLING = frozenset({"first", "second", "image", "name", "series", "score", "gt_score", "rank", "decision", "winner"})
"""Columns by which the delimiter is recognised: every list has at least two of them."""


def list_rows(file: Path, encoding: str, only: Collection[str] | None = None) -> Iterator[tuple[str, Any]]:
    """Yield each row with its name in messages; a row that is not a mapping is a text that says why it is unreadable.

    Args:
        file: a file that ends in one of ``LISTS``.
        encoding: encoding of text files.
        only: columns to be read of Parquet and Arrow files, in which others may be large; None means all.

    Raises:
        InputError: the list cannot be read, or its kind is unknown.
        MissingDependency: pyarrow is absent.
    """
    ending = file.suffix.lower()
    if ending not in LISTS:
        raise InputError(f"{file}: a list ends in {', '.join(LISTS)}")
    if ending in (".parquet", ".arrow"):
        yield from (_parquet_rows if ending == ".parquet" else _arrow_rows)(file, only)
        return
    if ending == ".tar":
        yield from tar_rows(file)
        return
    read = {".jsonl": _json_lines, ".json": _json_list}.get(ending, _csv_rows)
    with _readable(file, encoding):
        yield from read(file, encoding)


def list_columns(file: Path, encoding: str) -> tuple[str, ...]:
    """Return the columns of a list: those of its first line, of its schema, or of its first object.

    Raises:
        InputError: see :func:`list_rows`.
        MissingDependency: pyarrow is absent.
    """
    ending = file.suffix.lower()
    if ending in (".csv", ".tsv"):
        with _readable(file, encoding), file.open(encoding=encoding, newline="") as text:
            return tuple(_csv_head(text.readline(), file)[1])
    if ending == ".parquet":
        with _readable_table(file, "Parquet") as pa:
            return tuple(pa.parquet.read_schema(file).names)
    if ending == ".arrow":
        with _readable_table(file, "Arrow") as pa, pa.memory_map(str(file)) as data:
            return tuple(pa.ipc.open_stream(data).schema.names)
    return next((tuple(map(str, row)) for _, row in list_rows(file, encoding) if isinstance(row, Mapping)), ())


@contextmanager
def _readable(file: Path, encoding: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}; check the path") from error
    except UnicodeDecodeError as error:
        guess = "utf-16" if error.object[:2] in _UTF_16 else "latin-1"
        raise InputError(
            f"{file} is not {error.encoding}: byte 0x{error.object[error.start]:02x}; save it as UTF-8, or name its "
            f"encoding, such as --encoding {guess}"
        ) from error
    except csv.Error as error:
        raise InputError(f"{file}, line 1: {error}; write the CSV file again") from error
    except LookupError as error:
        raise InputError(f"--encoding {encoding}: there is no such encoding; try latin-1 or utf-16") from error


@contextmanager
def _readable_table(file: Path, kind: str) -> Iterator[Any]:
    """Yield pyarrow, and turn its errors into ones that name the file."""
    try:
        import pyarrow as pa
        import pyarrow.ipc
        import pyarrow.parquet
    except ImportError as error:
        raise MissingDependency("pyarrow", "edit") from error
    try:
        yield pa
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{file} cannot be read as {kind} ({error}); copy or write it again") from error


def _csv_head(head: str, file: Path) -> tuple[str, list[str]]:
    """Return the delimiter and the names of the columns."""
    delimiter = max(_DELIMITERS, key=lambda mark: len(_TELLING & set(_names(head, mark))))
    names = _names(head, delimiter)
    if len(_TELLING & set(names)) < 2:
        raise InputError(
            f"{file}, line 1 must name the columns, between commas, semicolons, tabs or bars: first and second, or "
            f"image with score, rank or decision; it is {head[:60].strip()!r}"
        )
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"{file}, line 1: the column {repeated[0]} comes twice; rename one")
    return delimiter, names


def _names(head: str, delimiter: str) -> list[str]:
    return [name.strip().lower() for name in next(csv.reader([head], delimiter=delimiter), [])]


def _csv_rows(file: Path, encoding: str) -> Iterator[tuple[str, Any]]:
    with file.open(encoding=encoding, newline="") as text:
        delimiter, names = _csv_head(text.readline(), file)
        rows = csv.reader(text, delimiter=delimiter)
        try:
            before = 0
            for row in rows:
                before, n_lines = rows.line_num, rows.line_num - before
                where = f"{file.name} line {rows.line_num + 1}"
                if len(row) == len(names):
                    yield where, dict(zip(names, row, strict=True))
                elif row:
                    fault = f"{len(row)} fields, and the first line has {len(names)}"
                    quoted = f"; a quotation mark makes one row of {n_lines} lines: close it" if n_lines > 1 else ""
                    yield where, fault + quoted
        except csv.Error as error:
            raise InputError(f"{file}, line {rows.line_num + 1}: {error}; write the CSV file again") from error


def _json_lines(file: Path, encoding: str) -> Iterator[tuple[str, Any]]:
    with file.open(encoding=encoding) as text:
        for number, line in enumerate(text, 1):
            where = f"{file.name} line {number}"
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (json.JSONDecodeError, RecursionError) as error:
                row = f"no JSON: {error}"
            yield where, row if isinstance(row, Mapping | str) else f"a JSON {type(row).__name__}, not an object"


def _json_list(file: Path, encoding: str) -> Iterator[tuple[str, Any]]:
    try:
        rows = json.loads(file.read_text(encoding=encoding))
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"{file} is not JSON: {error}") from error
    if not isinstance(rows, list):
        raise InputError(f"{file} contains a {type(rows).__name__} instead of a JSON list; give a list of objects")
    for number, row in enumerate(rows, 1):
        where = f"{file.name} entry {number}"
        yield where, row if isinstance(row, Mapping) else f"a JSON {type(row).__name__}, not an object"


def _parquet_rows(file: Path, only: Collection[str] | None) -> Iterator[tuple[str, Any]]:
    with _readable_table(file, "Parquet") as pa, pa.parquet.ParquetFile(file) as table:
        wanted = [name for name in table.schema_arrow.names if only is None or name in only]
        yield from _rows_of(table.iter_batches(batch_size=_ROWS_AT_ONCE, columns=wanted), file)


def _arrow_rows(file: Path, only: Collection[str] | None) -> Iterator[tuple[str, Any]]:
    """Yield the rows of a file by ``datasets.Dataset.save_to_disk``; large batches are cut without copying them."""
    with _readable_table(file, "Arrow") as pa, pa.memory_map(str(file)) as data:
        table = pa.ipc.open_stream(data)
        wanted = [name for name in table.schema.names if only is None or name in only]
        parts = (
            batch.slice(start, _ROWS_AT_ONCE)
            for batch in (batch.select(wanted) for batch in table)
            for start in range(0, batch.num_rows, _ROWS_AT_ONCE)
        )
        yield from _rows_of(parts, file)


def _rows_of(batches: Iterable[Any], file: Path) -> Iterator[tuple[str, Any]]:
    number = 0
    for batch in batches:
        for row in batch.to_pylist():
            yield f"{file.name} row {number}", row
            number += 1
