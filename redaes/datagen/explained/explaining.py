"""Write the missing reasoning of a dataset's pairs, where the writer can: shard by shard, into a working folder
beside the final one.

After a kill the run can be continued: finished shards and a model's answers are kept. Pictures, labels, ids and splits
stay as they were; a pair whose deciding factors were not stated gets the factors that its reasoning names.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from redaes.datagen.explained.explained_card import write_explained_card
from redaes.datagen.explained.writers import (
    EmbeddedExplainer,
    Explained,
    ExplainingWriter,
    ModelExplainer,
    UnexplainedPair,
)
from redaes.datagen.panel import Panel
from redaes.datagen.rationales import contradictions
from redaes.errors import RecordError
from redaes.file_locks import lock_file
from redaes.file_writing import read_json, write_json
from redaes.measured_pairs import MeasuredPairs, measured_pairs
from redaes.records import (
    OPTIONAL_COLUMNS,
    PairRecord,
    current_shard,
    data_hash,
    record_of,
    shards,
    stream_rows,
    write_shard,
)
from redaes.types import SPLITS, Split, winner_of

PAIRS_AT_ONCE = 64
"""Number of pairs that a writer is given at a time."""

Progress = Callable[[str, int, int], None]


def explain_dataset(
    folder: Path,
    out: Path,
    panel: Panel | None,
    *,
    workers: int = 1,
    progress: Progress = lambda work, done, total: None,
) -> dict[str, Any]:
    """Write the reasoning that pairs lack; ``out`` appears only when it is complete.

    Args:
        folder: a RED dataset.
        out: a folder that does not exist yet. Until all is done, ``.NAME.explaining`` beside it holds the work.
        panel: the panel whose writer is asked; None means the embedded writer, which uses measurements alone.
        workers: number of threads that measure pictures.
        progress: called with the name of the work, how much of it is done, and how much there is.

    Returns:
        The counts that ``report.json`` of the new dataset holds under ``explained``.

    Raises:
        RecordError: the folder is not a RED dataset, a row breaks the schema, or ``out`` exists, cannot be written to,
            or is being made by another process.
        BackendError: the model cannot be asked, or its budget is spent; finished work is kept.
        InputError: an environment variable that should hold a key does not.
    """
    if out.exists():
        raise RecordError(f"{out} exists; choose another --out, nothing is overwritten")
    files = [(split, file) for split in SPLITS for file in shards(folder, split)]
    making = out.with_name(f".{out.name}.explaining")
    try:
        making.mkdir(parents=True, exist_ok=True)
        lock = (making / "lock").open("wb")
    except OSError as error:
        raise RecordError(f"{out} cannot be written: {error.strerror or error}; choose another --out") from error
    lock_file(lock, f"another process writes reasoning into {out}; wait for it, or choose another --out")
    with lock:
        writer: ExplainingWriter = EmbeddedExplainer() if panel is None else ModelExplainer(panel, making)
        _begin(making, {"data_hash": data_hash(folder), **writer.identity})
        measured = {
            split: measured_pairs(
                folder,
                split,
                only=_silent_groups(folder, split),
                workers=workers,
                progress=lambda done, total: progress("measuring pairs", done, total),
            )
            for split in SPLITS
        }
        asyncio.run(_explain_shards(files, making, writer, measured, progress))
        counts = _counted(making, files)
        if writer.counts:
            counts["requests_and_texts"] = dict(sorted(writer.counts.items()))
        _finish(folder, making, counts)
        try:
            making.rename(out)
        except OSError as error:
            raise RecordError(f"{out} cannot be written: {error.strerror or error}; choose another --out") from error
    return counts


def _silent_groups(folder: Path, split: Split) -> set[str]:
    """Return the groups of a split in which a pair lacks reasoning; only those are measured."""
    return {
        str(row["group"])
        for file in shards(folder, split)
        for row in stream_rows(file, ("group", "rationale", "rationale_swapped"))
        if row["rationale"] is None or row["rationale_swapped"] is None
    }


def _begin(making: Path, settings: Mapping[str, Any]) -> None:
    """Continue the work in the folder if it was begun with the same settings; otherwise keep only a model's answers."""
    file = making / "settings.json"
    if file.is_file() and read_json(file) == json.loads(json.dumps(settings)):
        return
    shutil.rmtree(making / "data", ignore_errors=True)
    shutil.rmtree(making / "counts", ignore_errors=True)
    write_json(file, settings)


async def _explain_shards(
    files: list[tuple[Split, Path]],
    making: Path,
    writer: ExplainingWriter,
    measured: Mapping[Split, MeasuredPairs],
    progress: Progress,
) -> None:
    sizes = [sum(1 for _ in stream_rows(file, ("id",))) for _, file in files]
    done = 0
    work = "writing reasoning"
    async with writer:
        for (split, file), size in zip(files, sizes, strict=True):
            if not (making / "counts" / f"{file.stem}.json").is_file():
                found: dict[str, Explained] = {}
                counts: Counter[str] = Counter()
                batch = _unexplained(file, split, measured[split], counts)
                while pairs := list(itertools.islice(batch, PAIRS_AT_ONCE)):
                    texts = await writer.explain(pairs)
                    found.update((pair.record.pair.id, text) for pair, text in zip(pairs, texts, strict=True))
                    progress(work, done + min(size, len(found)), sum(sizes))
                await asyncio.to_thread(_write, file, split, making, found, counts)
            done += size
            progress(work, done, sum(sizes))


def _unexplained(file: Path, split: Split, measured: MeasuredPairs, counts: Counter[str]) -> Iterator[UnexplainedPair]:
    """Yield the pairs of a shard that lack reasoning and can get some; the others are counted."""
    for row in stream_rows(file):
        record = record_of(row, split)
        if record.rationale is not None and record.rationale_swapped is not None:
            counts["had reasoning in both orders"] += 1
        elif record.pair.delta is None:
            counts["without: no difference is known"] += 1
        else:
            evidence = measured.evidence(record.pair)
            if evidence is None:
                counts["without: a picture cannot be measured"] += 1
            else:
                yield UnexplainedPair(record, evidence)


def _write(file: Path, split: Split, making: Path, found: Mapping[str, Explained], counts: Counter[str]) -> None:
    """Write a shard, and then its counts; a shard with counts is finished."""
    import pyarrow.parquet as pq

    optional = set(OPTIONAL_COLUMNS) & set(pq.read_schema(current_shard(file)).names)

    def records() -> Iterator[PairRecord]:
        for row in stream_rows(file):
            record = record_of(row, split)
            one = found.get(record.pair.id)
            yield record if one is None else _explained(record, one, counts)

    write_shard(making / "data" / file.name, records(), optional=optional)
    write_json(making / "counts" / f"{file.stem}.json", counts)


def _explained(record: PairRecord, found: Explained, counts: Counter[str]) -> PairRecord:
    """Return the record with its new texts, their writers, and the factors that they name.

    Raises:
        AssertionError: a text contradicts the difference. Writers check this first, so it would be a bug.
    """
    if not found.writers:
        counts[f"without: {found.failure}"] += 1
        return record
    factors = record.pair.factors or next((text.factors for text in found.texts if text is not None), ())
    for text, shown in zip(found.texts, (record.pair, record.pair.swapped()), strict=True):
        wrong = [] if text is None else contradictions(text, shown.delta or 0.0, factors)
        if wrong:
            raise AssertionError(f"pair {record.pair.id}: {wrong}")
    counts["written"] += 1
    counts["of these in one order only"] += None in found.texts
    before = set(filter(None, record.writer.split(" + ")))
    writer = " + ".join(sorted(before | found.writers))
    counts[f"writer: {writer}"] += 1
    return record.model_copy(
        update={
            "pair": record.pair.model_copy(update={"factors": factors}),
            "rationale": found.texts[0],
            "rationale_swapped": found.texts[1],
            "writer": writer,
        }
    )


def _counted(making: Path, files: list[tuple[Split, Path]]) -> dict[str, Any]:
    """Return the counts of all shards."""
    total: Counter[str] = Counter()
    for _, file in files:
        total.update(read_json(making / "counts" / f"{file.stem}.json"))
    return {name: n for name, n in sorted(total.items()) if n}


def _finish(folder: Path, making: Path, counts: Mapping[str, Any]) -> None:
    """Copy all other files of the dataset, and write report and card with the account of the reasoning."""
    for one in folder.iterdir():
        if one.name.startswith(".") or one.name in ("data", "answers", "report.json", "README.md"):
            continue
        if one.is_dir():
            shutil.copytree(one, making / one.name, dirs_exist_ok=True)
        else:
            shutil.copyfile(one, making / one.name)
    report = read_json(folder / "report.json") if (folder / "report.json").is_file() else {}
    report["explained"] = dict(counts)
    report |= _recounted(making, report)
    write_json(making / "report.json", report)
    write_explained_card(folder, making, report)
    shutil.rmtree(making / "counts")
    (making / "settings.json").unlink()
    (making / "lock").unlink()


def _recounted(making: Path, report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tables of a report that the new reasoning changes, if the report has them."""
    reasoning: Counter[str] = Counter()
    decided: Counter[str] = Counter()
    for split in SPLITS:
        for file in shards(making, split):
            for row in stream_rows(file, ("delta", "factors", "rationale", "rationale_swapped")):
                texts = (row["rationale"] is not None) + (row["rationale_swapped"] is not None)
                reasoning[("none", "one order", "both orders")[texts]] += 1
                tie = winner_of(row["delta"] or 0.0) == "tie"
                decided[", ".join(row["factors"]) or ("tie" if tie else "not stated")] += 1
    new = {"rationales": dict(reasoning), "kept_by_factor": dict(decided.most_common())}
    return {name: table for name, table in new.items() if name in report}
