"""Where the bytes of a photograph are: in a file of their own, in a tar shard, in a Parquet or Arrow table.

A :class:`Location` is small and can be pickled; a worker process reads the bytes through it. Listing a container
reads headers only, so no more than one picture (with Parquet: one row group) is in memory at a time.

Tar shards are read with the standard library: listing yields each member's offset, and reading is one seek. The
``webdataset`` package reads its shards from the start, which suits training but not a worker that
needs one photograph. Because of this, compressed shards are refused.
"""

from __future__ import annotations

import csv
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redaes.errors import ImageError, InputError, MissingDependency
from redaes.hub import dataset_files, on_hub
from redaes.images import IMAGE_SUFFIXES, MAX_FILE_BYTES, list_images, read_image_file

if TYPE_CHECKING:
    import pyarrow as pa

LISTS = (".txt", ".csv", ".jsonl")
TABLES = (".parquet", ".arrow")
SHARDS = (".tar",)
COMPRESSED = (".gz", ".tgz", ".bz2", ".xz", ".zst", ".zip")
KINDS = (*IMAGE_SUFFIXES, *SHARDS, *TABLES)
"""Endings of the files that are looked for in folders and in datasets on the hub."""
LICENCE_COLUMNS = ("licence", "license")
ORIGIN_COLUMN = "source_id"
MAX_SIDECAR_BYTES = 1_000_000
"""Size above which JSON beside a picture in a tar shard does not count as metadata."""


@dataclass(frozen=True)
class Span:
    """A member of an uncompressed tar file."""

    name: str
    offset: int
    """Offset of the content, in bytes from the start of the tar file."""
    size: int
    """Size of the content, in bytes."""


@dataclass(frozen=True)
class Cell:
    """A picture in a table."""

    column: str
    row: int
    """Number of the row, from 0, within the row group if there is one, otherwise within the file."""
    row_group: int | None
    """Number of the row group in a Parquet file, from 0; None for an Arrow file."""


@dataclass(frozen=True)
class Location:
    """Where the bytes of one picture are."""

    path: Path
    within: Span | Cell | None = None
    """The place inside ``path``; None if ``path`` is the picture itself."""

    @property
    def label(self) -> Path:
        """Name of the place in messages: ``photo.jpg``, ``shard.tar:0001.jpg``, ``table.parquet:image[0:17]``."""
        if self.within is None:
            return self.path
        if isinstance(self.within, Span):
            return Path(f"{self.path}:{self.within.name}")
        group = "" if self.within.row_group is None else f"{self.within.row_group}:"
        return Path(f"{self.path}:{self.within.column}[{group}{self.within.row}]")

    @property
    def name(self) -> str:
        """:attr:`label` without the folders of ``path``."""
        return str(self.label)[len(str(self.path)) - len(self.path.name) :]

    def read_bytes(self) -> bytes:
        """Return the picture as it was stored, not decoded.

        Raises:
            ImageError: it cannot be read; the message names the place.
            MissingDependency: pyarrow, which is needed for a table, is absent.
        """
        if self.within is None:
            return read_image_file(self.path)
        if isinstance(self.within, Span):
            return self._from_tar(self.within)
        return self._from_table(self.within)

    def _from_tar(self, span: Span) -> bytes:
        if span.size > MAX_FILE_BYTES:
            raise ImageError(f"{self.label}: {span.size:,} bytes exceed the limit of {MAX_FILE_BYTES:,}")
        try:
            with self.path.open("rb") as file:
                file.seek(span.offset)
                data = file.read(span.size)
        except OSError as error:
            raise ImageError(f"{self.label}: cannot be read ({error.strerror}); check the path") from error
        if len(data) != span.size:
            raise ImageError(f"{self.label}: the shard ends within it; copy or download it again")
        return data

    def _from_table(self, cell: Cell) -> bytes:
        pa = _arrow()
        try:
            column = _column(self.path, self.path.stat().st_mtime_ns, cell.column, cell.row_group)
            value = column[cell.row].as_py()
        except (pa.ArrowException, OSError, IndexError, KeyError) as error:
            raise ImageError(f"{self.label}: cannot be read ({error}); copy or download the file again") from error
        data = value.get("bytes") if isinstance(value, Mapping) else value
        if data is None:
            raise ImageError(f"{self.label}: the cell holds no bytes; save the table with its pictures embedded")
        return bytes(data)


@dataclass(frozen=True)
class FoundPhotograph:
    """A picture that was found and not yet opened."""

    location: Location
    licence: str
    """Stated licence; empty if none is stated."""
    origin: str = ""
    """Stated id of the photographed scene; pictures that share one stay in one split. Empty if none is stated."""


def find(paths: Sequence[Path]) -> list[FoundPhotograph]:
    """Return all pictures at the given places, in the order given. A place can be:

    * ``hf:owner/name``: the pictures, tar shards and tables of a dataset on the hub, or some of them
      (:func:`~redaes.hub.dataset_files`); where no licence is stated, that of the dataset's card holds
    * a folder: the pictures, tar shards and tables directly in it (for a folder saved by ``datasets``, or laid out
      for the hub: its tables, wherever they are)
    * ``.txt``: one path per line; ``.csv`` and ``.jsonl``: ``file``, ``licence`` and, if there is one, ``source_id``.
      Paths are relative to the list
    * ``.tar``: WebDataset samples ``key.jpg`` with an optional ``key.json`` that states ``licence`` and ``source_id``
    * ``.parquet``, ``.arrow``: the one column of pictures, with columns ``licence`` and ``source_id`` if there are
    * any other file: a picture

    A file's licence may also be stated in ``LICENCES.csv`` beside it; for a container it holds for all pictures in it.

    Raises:
        InputError: a path does not exist, a dataset cannot be fetched from the hub, or a list, shard or table
            cannot be used.
        MissingDependency: pyarrow, which is needed for a table, is absent.
    """
    found: list[FoundPhotograph] = []
    for path in paths:
        if on_hub(path):
            files, licence = dataset_files(path, KINDS)
            every = (one for file in files for one in _candidates(file))
            found.extend(replace(one, licence=one.licence or licence) for one in every)
            continue
        if not path.exists():  # a mistake of the user, unlike a damaged file among good ones
            raise InputError(f"{path}: no such file or folder; check the spelling")
        for file in _files(path) if path.is_dir() else [path]:
            found.extend(_candidates(file))
    return found


def read_licences(folder: Path) -> dict[str, str]:
    """Return the licences of files by name from ``LICENCES.csv`` in the folder, if there is one.

    Raises:
        InputError: the file cannot be read, or lacks the columns ``file`` and ``licence``.
    """
    path = folder / "LICENCES.csv"
    if not path.is_file():
        return {}
    return {Path(row["file"]).name: _stated(row)[0] for row in _csv_rows(path) if row["file"]}


@lru_cache(maxsize=1024)
def _licences(folder: Path, _changed_ns: int) -> dict[str, str]:
    return read_licences(folder)


def _licence_of(file: Path) -> str:
    """Return the licence that ``LICENCES.csv`` beside a file states for it."""
    beside = file.parent / "LICENCES.csv"
    try:
        changed_ns = beside.stat().st_mtime_ns
    except OSError:  # there is no LICENCES.csv, or the list names a folder that does not exist
        return ""
    return _licences(file.parent, changed_ns).get(file.name, "")


def _files(folder: Path) -> list[Path]:
    """Return the files of a folder that hold pictures."""
    if (folder / "dataset_dict.json").is_file():
        splits = sorted(entry for entry in folder.iterdir() if (entry / "state.json").is_file())
        return [table for split in splits for table in _files(split)]
    if (folder / "state.json").is_file():
        return _saved_tables(folder / "state.json")
    # Only if no pictures are directly in it: a dataset may have been built into a folder of photographs.
    tables = sorted((folder / "data").glob("*.parquet"))
    builders = folder / "plan.parquet" if (folder / "plan.json").is_file() else None
    try:
        found = list_images(folder, KINDS)
    except InputError:
        if not tables:
            raise
        found = []
    return [file for file in found if file != builders] or tables


def _saved_tables(state: Path) -> list[Path]:
    """Return the tables of a split that ``datasets`` saved, as its state file names them, since files of cached
    operations may be beside them.
    """
    try:
        return [state.with_name(entry["filename"]) for entry in json.loads(state.read_bytes())["_data_files"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{state} cannot be read ({error}); save the dataset again") from error


def _candidates(file: Path) -> Iterator[FoundPhotograph]:
    suffix = file.suffix.lower()
    if suffix in LISTS:
        return _of_list(file)
    if suffix in SHARDS:
        return _of_tar(file)
    if suffix in TABLES:
        return _of_table(file)
    if suffix in COMPRESSED:
        raise InputError(f"{file}: compressed archives cannot be read in place; unpack it, or make it a plain .tar")
    return iter([FoundPhotograph(Location(file), _licence_of(file))])


def _stated(row: Mapping[str, Any]) -> tuple[str, str]:
    """Return the licence and the origin that metadata state."""
    licence = next((row[name] for name in LICENCE_COLUMNS if row.get(name)), "")
    origin = row.get(ORIGIN_COLUMN)
    return str(licence).strip(), "" if origin is None else str(origin).strip()


def _csv_rows(path: Path) -> list[dict[str, Any]]:
    try:
        # utf-8-sig, since spreadsheets put a mark before the first column's name.
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            names = set(rows.fieldnames or ())
            if "file" not in names or names.isdisjoint(LICENCE_COLUMNS):
                raise InputError(f"{path} needs the columns 'file' and 'licence', it has {rows.fieldnames}")
            return list(rows)  # a short row has None for its missing cells
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read ({error}); save it as CSV in UTF-8") from error


def _json_rows(path: Path) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"{path} line {number} is not JSON ({error}); write one object per line") from error
        if not isinstance(row, dict) or not isinstance(row.get("file"), str) or set(row).isdisjoint(LICENCE_COLUMNS):
            raise InputError(f"{path} line {number} needs the keys 'file' and 'licence': {line[:80]}")
        rows.append(row)
    return rows


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error}); save it as text in UTF-8") from error


def _of_list(path: Path) -> Iterator[FoundPhotograph]:
    if path.suffix.lower() == ".txt":
        rows: list[dict[str, Any]] = [{"file": line.strip()} for line in _lines(path)]
    else:
        rows = _csv_rows(path) if path.suffix.lower() == ".csv" else _json_rows(path)
    rows = [row for row in rows if row["file"]]
    if not rows:
        raise InputError(f"{path}: the list names no pictures")
    for row in rows:
        file = path.parent / row["file"]
        licence, origin = _stated(row)
        yield FoundPhotograph(Location(file), licence or _licence_of(file), origin)


def _of_tar(path: Path) -> Iterator[FoundPhotograph]:
    pictures: list[tuple[str, Span]] = []
    stated: dict[str, tuple[str, str]] = {}
    try:
        with tarfile.open(path, mode="r:") as shard:
            for member in shard:
                folder, _, name = member.name.rpartition("/")
                if not member.isreg() or member.issparse() or name.startswith("."):
                    continue
                # WebDataset's rule: the key ends at the first dot, so key.mask.png is another part of the sample.
                stem, _, ending = name.partition(".")
                key = f"{folder}/{stem}"
                if f".{ending}".lower() in IMAGE_SUFFIXES:
                    pictures.append((key, Span(member.name, member.offset_data, member.size)))
                elif ending.lower() == "json" and member.size <= MAX_SIDECAR_BYTES:
                    content = shard.extractfile(member)
                    values = None if content is None else json.loads(content.read())
                    if not isinstance(values, dict):
                        raise InputError(f"{path}:{member.name} is not a JSON object; write one per sample")
                    stated[key] = _stated(values)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise InputError(f"{path} is not a readable, uncompressed tar file ({error}); pack or copy it again") from error
    except ValueError as error:  # also raised for bytes that are not UTF-8
        raise InputError(f"{path}:{member.name} is not JSON ({error})") from error
    if not pictures:
        raise InputError(f"{path}: no pictures found; looked for members such as key.jpg and key.png")
    default = _licence_of(path)
    for key, span in pictures:
        licence, origin = stated.get(key, ("", ""))
        yield FoundPhotograph(Location(path, span), licence or default, origin)


def _arrow() -> Any:
    try:
        import pyarrow as pa
    except ImportError as error:
        raise MissingDependency("pyarrow", "edit") from error
    return pa


def _of_table(path: Path) -> Iterator[FoundPhotograph]:
    pa = _arrow()
    default = _licence_of(path)
    try:
        if path.suffix.lower() == ".parquet":
            import pyarrow.parquet as pq

            with pq.ParquetFile(path) as file:
                schema = file.schema_arrow
                column = _picture_column(path, schema)
                groups: list[tuple[int | None, int, Any]] = [
                    (index, file.metadata.row_group(index).num_rows, file.read_row_group(index, _columns(schema)))
                    for index in range(file.num_row_groups)
                ]
        else:
            table = _arrow_table(path)
            column = _picture_column(path, table.schema)
            groups = [(None, table.num_rows, table.select(_columns(table.schema)))]
    except (pa.ArrowException, OSError) as error:
        kind = "Parquet" if path.suffix.lower() == ".parquet" else "Arrow"
        raise InputError(f"{path} is not readable {kind} ({error}); copy or download it again") from error
    if not any(n for _, n, _ in groups):
        raise InputError(f"{path}: the table has no rows")
    for group, n, values in groups:
        # If none of the named columns exists, to_pylist() would give no rows.
        rows = values.to_pylist() if values.num_columns else [{}] * n
        for index, row in enumerate(rows):
            licence, origin = _stated(row)
            yield FoundPhotograph(Location(path, Cell(column, index, group)), licence or default, origin)


def _columns(schema: pa.Schema) -> list[str]:
    """Return the columns of a table that hold metadata."""
    return [name for name in (*LICENCE_COLUMNS, ORIGIN_COLUMN) if name in schema.names]


def _picture_column(path: Path, schema: pa.Schema) -> str:
    """Return the one column that holds pictures: a struct with ``bytes``, as ``datasets.Image`` writes it, or
    binary.
    """
    import pyarrow as pa

    def binary(kind: pa.DataType) -> bool:
        return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)

    def struct(kind: pa.DataType) -> bool:
        return pa.types.is_struct(kind) and any(
            kind[i].name == "bytes" and binary(kind[i].type) for i in range(len(kind))
        )

    for fits in (struct, binary):
        found = [field.name for field in schema if fits(field.type)]
        if len(found) == 1:
            return str(found[0])
        if found:
            raise InputError(f"{path} has several columns of pictures ({', '.join(found)}); keep one of them")
    raise InputError(f"{path} has no column of pictures; its columns are {', '.join(schema.names)}")


def _arrow_table(path: Path) -> pa.Table:
    """Return an Arrow file or stream, memory-mapped, so that data are read only when they are used."""
    import pyarrow as pa

    source = pa.memory_map(str(path))
    try:
        return pa.ipc.open_file(source).read_all()
    except pa.ArrowInvalid:
        source.seek(0)
        return pa.ipc.open_stream(source).read_all()  # what ``datasets`` writes


@lru_cache(maxsize=2)
def _column(path: Path, _changed_ns: int, column: str, row_group: int | None) -> pa.ChunkedArray:
    """Return a column of pictures. It is cached, because the next picture is likely to be in it, too: Parquet reads
    whole row groups.
    """
    if row_group is None:
        return _arrow_table(path).column(column)
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        return file.read_row_group(row_group, [column]).column(column)
