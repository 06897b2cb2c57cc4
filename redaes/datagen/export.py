"""Write a dataset in a format that other tools read.

* ``preference``: TRL's preference format as Parquet: ``prompt``, ``chosen``, ``rejected``, ``images``
* ``jsonl``: one JSON object for each pair, and the pictures as files, each once
* ``csv``: one table of both splits in the format of ``redaes data import``, with votes where people's were counted, and
  the pictures as files
* ``webdataset``: tar shards with ``ID.first.jpg``, ``ID.second.jpg``, ``ID.json``

The chosen answer is the one that stage 1 of the training learns. The rejected one is the same pair's answer for the
other order: as long, as well written, and wrong here. Ties have no wrong order and are left out of the preferences.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import tarfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, get_args

from redaes import prompts
from redaes.answers import render_verdict, stated
from redaes.datagen.card import write_export_card
from redaes.datagen.imported.labels import votes_from_delta
from redaes.datagen.whole_folders import whole_folder
from redaes.errors import MissingDependency, RecordError
from redaes.known_names import known_name
from redaes.records import PairRecord, check_ids, record_of, shards, stream_rows
from redaes.types import SIDES, SPLITS, Rationale, Side, Split, winner_of

Format = Literal["preference", "jsonl", "csv", "webdataset"]
FORMATS: tuple[Format, ...] = get_args(Format)

PAIRS_PER_SHARD = 1000
"""Number of pairs in a shard: about 50 MB of pictures at 256 pixels, about 500 MB at 1024."""

_T = TypeVar("_T")
_ENDINGS = {b"\xff\xd8\xff": ".jpg", b"\x89PN": ".png", b"RIF": ".webp"}


@dataclass
class Exported:
    """Counts of an export."""

    written: dict[Split, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    left_out: dict[Split, Counter[str]] = field(default_factory=lambda: {split: Counter() for split in SPLITS})
    """Number of pairs that the format cannot hold, by split and reason."""


class _Writer(Protocol):
    def __call__(self, folder: Path, split: Split, records: Iterable[PairRecord], done: Exported, /) -> None: ...


def known_format(name: str) -> Format:
    """Return ``name`` as a format.

    Raises:
        InputError: the format is unknown; the message names the known ones.
    """
    return known_name(name, FORMATS, "format")


def export(
    folder: Path, out: Path, kind: Format, *, progress: Callable[[int, int], None] = lambda done, total: None
) -> Exported:
    """Write a dataset in another format; ``out`` appears whole or not at all.

    Args:
        folder: the dataset.
        out: a folder that does not exist yet.
        kind: the format.
        progress: called with the number of shards read and the number of all shards.

    Raises:
        RecordError: the folder is not a RED dataset, a row breaks the schema or its pictures do not match their ids,
            nothing can be written for a split, or ``out`` exists or cannot be written to.
        MissingDependency: pyarrow is absent, or, for preferences, datasets.
    """
    files = {split: shards(folder, split) for split in SPLITS}
    n_files = sum(map(len, files.values()))
    done = Exported()
    with whole_folder(out) as making:
        n_read = 0
        for split in SPLITS:

            def records(split: Split = split) -> Iterator[PairRecord]:
                nonlocal n_read
                for file in files[split]:
                    progress(n_read, n_files)
                    for row in stream_rows(file):
                        record = record_of(row, split)
                        check_ids(record)
                        yield record
                    n_read += 1
                progress(n_read, n_files)

            WRITERS[kind](making, split, records(), done)
            if not done.written[split]:
                reasons = ", ".join(f"{n} {why}" for why, n in done.left_out[split].items())
                raise RecordError(f"{folder}: no pair of the {split} split can be written as {kind} ({reasons})")
        write_export_card(making, folder, kind, done.written)
    return done


def preference(record: PairRecord) -> dict[str, Any] | str:
    """Return the pair as a preference between two answers to the reasoned prompt, or why it cannot be one.

    ``images`` are the stored bytes, A then B.
    """
    pair = record.pair
    if pair.delta is None:
        return "without a label"
    if winner_of(pair.delta) == "tie":
        return "ties"
    if record.rationale is None or record.rationale_swapped is None:
        return "without reasoning in both orders"
    return {
        "prompt": prompts.load(prompts.COMPARE["reasoned"]).messages(),
        "chosen": _answer(pair.delta, record.rationale),
        "rejected": _answer(-pair.delta, record.rationale_swapped),
        "images": [record.first_bytes, record.second_bytes],
        "id": pair.id,
        "source": pair.source,
        "licence": record.licence,
    }


def _answer(delta: float, rationale: Rationale) -> list[dict[str, Any]]:
    text = render_verdict(stated(delta, rationale))
    return [{"role": "assistant", "content": [{"type": "text", "text": text}]}]


def _write_preferences(folder: Path, split: Split, records: Iterable[PairRecord], done: Exported) -> None:
    try:
        import datasets
    except ImportError as error:
        raise MissingDependency("datasets", "edit") from error
    import pyarrow as pa
    import pyarrow.parquet as pq

    text = datasets.Value("string")
    messages = datasets.List({"role": text, "content": datasets.List({"type": text, "text": text})})
    schema = datasets.Features(
        {"prompt": messages, "chosen": messages, "rejected": messages, "images": datasets.List(datasets.Image())}
        | {"id": text, "source": text, "licence": text}
    ).arrow_schema
    (folder / "data").mkdir(exist_ok=True)

    def rows() -> Iterator[dict[str, Any]]:
        for record in records:
            found = preference(record)
            if isinstance(found, str):
                done.left_out[split][found] += 1
            else:
                yield {**found, "images": [{"bytes": data, "path": None} for data in found["images"]]}

    for number, shard in enumerate(_batches(rows(), PAIRS_PER_SHARD)):
        file = folder / "data" / f"{split}-{number:05d}.parquet"
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            # Small row groups, because the hub's viewer and random access read one at a time.
            for group in _batches(shard, 100):
                table = pa.Table.from_pylist(list(group), schema=schema)
                writer.write_table(table)
                done.written[split] += table.num_rows


def _batches(items: Iterator[_T], n: int) -> Iterator[Iterator[_T]]:
    """Yield the items in runs of ``n``; each must be used up before the next. No run is empty."""
    for first in items:
        yield itertools.chain([first], itertools.islice(items, n - 1))


def _plain(record: PairRecord) -> dict[str, Any]:
    """Return the record's columns as JSON types, without its pictures."""
    pair = record.pair.model_dump(mode="json", exclude={"first", "second"})
    rest = record.model_dump(mode="json", exclude={"pair", "first_bytes", "second_bytes"})
    for column in ("merged_from", "draw_weight"):  # columns that only merged datasets have
        if rest[column] is None:
            del rest[column]
    return {**pair, **rest, "first_id": record.pair.first.id, "second_id": record.pair.second.id}


def _ending(record: PairRecord, data: bytes) -> str:
    ending = _ENDINGS.get(data[:3])
    if ending is None:
        raise RecordError(f"row {record.pair.id!r} holds a picture that is neither JPEG, PNG nor WebP; see validate")
    return ending


def _write_pictures(folder: Path, record: PairRecord) -> dict[Side, str]:
    """Write the pictures of a pair, and return the names of their files."""
    (folder / "images").mkdir(exist_ok=True)
    names: dict[Side, str] = {}
    for side in SIDES:
        data = record.bytes_of(side)
        names[side] = f"images/{record.pair.of(side).id}{_ending(record, data)}"
        file = folder / names[side]
        if not file.exists():  # files are named by content, since the pairs of a group share pictures
            file.write_bytes(data)
    return names


def _write_jsonl(folder: Path, split: Split, records: Iterable[PairRecord], done: Exported) -> None:
    with (folder / f"{split}.jsonl").open("w", encoding="utf-8") as lines:
        for record in records:
            lines.write(json.dumps(_plain(record) | _write_pictures(folder, record), ensure_ascii=False) + "\n")
            done.written[split] += 1


_COLUMNS = (
    "first", "second", "votes_first", "votes_second", "delta", "n_votes", "factors", "rationale", "rationale_swapped",
    "writer", "group", "source", "licence", "split", "label_source", "id",
)  # fmt: skip


def _write_csv(folder: Path, split: Split, records: Iterable[PairRecord], done: Exported) -> None:
    file = folder / "pairs.csv"
    begun = file.exists()
    with file.open("a", encoding="utf-8", newline="") as text:
        table = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
        if not begun:
            table.writeheader()
        for record in records:
            if record.pair.delta is None:
                done.left_out[split]["without a label"] += 1
                continue
            table.writerow(_write_pictures(folder, record) | _stated(record))
            done.written[split] += 1


def _stated(record: PairRecord) -> dict[str, Any]:
    """Return the columns of a pair besides its pictures: votes, or points and what is known about their precision."""
    pair, n_votes = record.pair, record.n_votes
    assert pair.delta is not None
    votes = None if n_votes is None else votes_from_delta(pair.delta, n_votes)
    label = {"delta": pair.delta, "n_votes": n_votes} if votes is None else dict(zip(_VOTES, votes, strict=True))
    texts = {name: getattr(record, name) for name in ("rationale", "rationale_swapped")}
    return {
        **{name: f"{value:.10g}" for name, value in label.items() if value is not None},
        **{name: rationale.text for name, rationale in texts.items() if rationale is not None},
        "factors": ";".join(pair.factors),
        "writer": record.writer,
        "group": pair.group,
        "source": pair.source,
        "licence": record.licence,
        "split": pair.split,
        "label_source": record.label_source,
        "id": pair.id,
    }


_VOTES = ("votes_first", "votes_second")


def _write_tars(folder: Path, split: Split, records: Iterable[PairRecord], done: Exported) -> None:
    for number, batch in enumerate(_batches(iter(records), PAIRS_PER_SHARD)):
        with tarfile.open(folder / f"{split}-{number:05d}.tar", "w") as shard:
            for record in batch:
                pictures = {side: record.bytes_of(side) for side in SIDES}
                members = {f"{side}{_ending(record, data)}": data for side, data in pictures.items()}
                members["json"] = json.dumps(_plain(record), ensure_ascii=False).encode()
                for ending, data in members.items():
                    member = tarfile.TarInfo(f"{record.pair.id}.{ending}")  # dated 1970: equal data, equal shards
                    member.size = len(data)
                    shard.addfile(member, io.BytesIO(data))
                done.written[split] += 1


WRITERS: dict[Format, _Writer] = {
    "preference": _write_preferences,
    "jsonl": _write_jsonl,
    "csv": _write_csv,
    "webdataset": _write_tars,
}
