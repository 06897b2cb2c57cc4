"""Check every row of a dataset against the rules for RED datasets, one row at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from redaes.datagen.rationales import contradictions
from redaes.errors import ImageError, RecordError
from redaes.file_writing import read_json
from redaes.images import MAX_FILE_PIXELS, content_id, decode_image
from redaes.records import PairRecord, record_of, shards, stream_rows
from redaes.types import MAX_DELTA, SIDES, SPLITS, Rationale, Split, winner_of

N_NAMED = 5
"""Number of rows listed for each kind of finding; the others are counted."""

POTENTIAL_TOLERANCE = 0.01
"""Points by which a difference may deviate from what others imply, since each is stored with four decimals."""


@dataclass
class Rows:
    """The rows with one kind of finding."""

    n: int = 0
    first: list[str] = field(default_factory=list)
    """The first ``N_NAMED`` rows: shard, row, id, and the problem."""


@dataclass
class SplitCounts:
    """Counts of one split."""

    pairs: int = 0
    groups: int = 0
    sources: int = 0


@dataclass
class DatasetValidation:
    """The result of checking a dataset."""

    counts: dict[Split, SplitCounts]
    wrong: dict[str, Rows] = field(default_factory=dict)
    """Faulty rows by kind of fault; empty if the dataset is sound."""
    warnings: dict[str, Rows] = field(default_factory=dict)


class PotentialCheck:
    """Checks whether signed differences between pictures can all come from one number for each picture."""

    def __init__(self) -> None:
        self._towards: dict[str, tuple[str, float]] = {}  # picture -> (another, by how much it is better than that)

    def _root(self, picture: str) -> tuple[str, float]:
        ahead = 0.0
        while picture in self._towards:
            picture, step = self._towards[picture]
            ahead += step
        return picture, ahead

    def add(self, first: str, second: str, delta: float) -> float:
        """Add a difference; return by how many points it deviates from what earlier ones imply (0 if nothing)."""
        root_first, ahead_first = self._root(first)
        root_second, ahead_second = self._root(second)
        if root_first == root_second:
            return abs(ahead_first - ahead_second - delta)
        self._towards[root_first] = (root_second, delta + ahead_second - ahead_first)
        return 0.0


@dataclass
class _Seen:
    """What must be remembered over all rows: names, never pictures."""

    ids: set[str] = field(default_factory=set)
    groups: dict[str, tuple[Split, str]] = field(default_factory=dict)
    """Split and photograph of each group."""
    sources: dict[str, Split] = field(default_factory=dict)


@dataclass
class _Shard:
    """What is remembered within one shard."""

    sizes: dict[str, tuple[int, int] | str] = field(default_factory=dict)
    """Width and height of each picture, or why it does not decode."""
    potentials: defaultdict[str, PotentialCheck] = field(default_factory=lambda: defaultdict(PotentialCheck))


def validate(folder: Path, *, progress: Callable[[int, int], None] = lambda done, total: None) -> DatasetValidation:
    """Check a dataset. Memory holds one row with its pictures, and the names of all rows.

    Differences are checked against each other within a group and a shard.

    Args:
        folder: the dataset.
        progress: called with the number of shards done and the number of all shards.

    Raises:
        RecordError: the folder is not a RED dataset. (A shard that cannot be read is a finding.)
        MissingDependency: pyarrow is absent.
    """
    files = [(split, file) for split in SPLITS for file in shards(folder, split)]
    found = DatasetValidation(counts={split: SplitCounts() for split in SPLITS})
    seen = _Seen()
    progress(0, len(files))
    for number, (split, file) in enumerate(files, start=1):
        _check_shard(file, split, seen, found)
        progress(number, len(files))
    for split, counts in found.counts.items():
        counts.groups = sum(where == split for where, _ in seen.groups.values())
        counts.sources = sum(where == split for where in seen.sources.values())
    _check_report(folder, found)
    return found


def note(table: dict[str, Rows], kind: str, where: str, detail: str = "") -> None:
    """Count a row with a finding, and list it if it is one of the first."""
    rows = table.setdefault(kind, Rows())
    rows.n += 1
    if len(rows.first) < N_NAMED:
        rows.first.append(f"{where}: {detail}" if detail else where)


def _check_shard(file: Path, split: Split, seen: _Seen, found: DatasetValidation) -> None:
    shard = _Shard()
    try:
        for number, row in enumerate(stream_rows(file)):
            found.counts[split].pairs += 1
            where = f"{file.name} row {number} (id {row['id']})"
            try:
                record = record_of(row, split)
            except RecordError as error:
                note(found.wrong, "breaks the schema", where, " ".join(str(error).split()))
                continue
            for kind, detail in _faults(record, split, seen, shard):
                note(found.wrong, kind, where, detail)
            if record.pair.delta is None:
                note(found.warnings, "has no label", where)
            if not record.licence:
                note(found.warnings, "licence not stated", where)
    except RecordError as error:
        note(found.wrong, "unreadable shard", file.name, str(error))


def _faults(record: PairRecord, split: Split, seen: _Seen, shard: _Shard) -> Iterator[tuple[str, str]]:
    """Yield the kind and detail of everything that is wrong with a row."""
    pair = record.pair
    if pair.id in seen.ids:
        yield "id is not unique", ""
    seen.ids.add(pair.id)
    if seen.sources.setdefault(pair.source, split) != split:
        yield "photograph in two splits", f"source {pair.source} is also in {seen.sources[pair.source]}"
    known_split, known_source = seen.groups.setdefault(pair.group, (split, pair.source))
    if known_split != split:
        yield "group in two splits", f"group {pair.group} is also in {known_split}"
    if known_source != pair.source:
        yield "group of two photographs", f"group {pair.group} is of {known_source}, here of {pair.source}"
    yield from _picture_faults(record, shard)
    yield from _label_faults(record)
    # A difference at the end of the scale may be cut off there, so it is left out; people's need not be consistent.
    if pair.delta is not None and abs(pair.delta) < MAX_DELTA and record.label_source != "people":
        missed = shard.potentials[pair.group].add(pair.first.id, pair.second.id, pair.delta)
        if missed > POTENTIAL_TOLERANCE:
            yield "contradicts its group", f"misses what the group's other pairs imply by {missed:.2f} points"


def _picture_faults(record: PairRecord, shard: _Shard) -> Iterator[tuple[str, str]]:
    sizes, identities = [], []
    for side in SIDES:
        ref, data = record.pair.of(side), record.bytes_of(side)
        identity = content_id(data)
        identities.append(identity)
        if identity != ref.id:
            yield "id is not its picture's", f"{side}_id is {ref.id}, the SHA-256 of {side} is {identity}"
        if identity not in shard.sizes:
            shard.sizes[identity] = _decoded_size(data, ref.path)
        size = shard.sizes[identity]
        if isinstance(size, str):
            yield "picture does not decode", f"{side}: {size}"
        else:
            sizes.append(size)
    # People compare whole photographs, which may differ in size; edited pictures have the size of their view.
    if len(set(sizes)) == 2 and record.label_source != "people":
        yield "pictures differ in size", " and ".join(f"{width}x{height}" for width, height in sizes)
    if len(set(identities)) == 1:
        yield "pictures are identical", ""


def _decoded_size(data: bytes, path: Path) -> tuple[int, int] | str:
    """Return the upright width and height, in pixels, of a picture that decodes to its end, or why it does not."""
    try:
        return decode_image(data, path, max_pixels=MAX_FILE_PIXELS).image.size
    except ImageError as error:
        return str(error)


def _label_faults(record: PairRecord) -> Iterator[tuple[str, str]]:
    pair = record.pair
    orders: tuple[tuple[str, Rationale | None, int], ...] = (
        ("rationale", record.rationale, 1),
        ("rationale_swapped", record.rationale_swapped, -1),
    )
    # People state only which picture they prefer; neither the reason nor the edits are known.
    built = record.label_source != "people"
    for name, rationale, _ in orders:
        if rationale is None and built:
            yield "rationale missing", name
    if pair.delta is None:
        return
    better = winner_of(pair.delta)
    if (better == "tie") != (not pair.factors) and (built or pair.factors):
        yield "factors contradict the difference", f"{pair.delta:+.2f} with factors {', '.join(pair.factors) or 'none'}"
    worse = {"A": pair.edit_second, "B": pair.edit_first, "tie": None}[better]
    gained = {"A": pair.edit_first, "B": pair.edit_second, "tie": None}[better]
    # Judges may find that an edit did the opposite of its instruction; with a measured difference that is impossible.
    if (
        record.label_source == "edits"
        and better != "tie"
        and worse is None
        and (gained is None or gained.direction != "improve")
    ):
        yield "edits contradict the difference", f"{better} is better, but the other carries no edit"
    for name, rationale, sign in orders:
        if rationale is not None:
            for wrong in contradictions(rationale, sign * pair.delta, pair.factors):
                yield "rationale contradicts the pair", f"{name} {wrong}"


def _check_report(folder: Path, found: DatasetValidation) -> None:
    """Check that the counts in ``report.json``, if it exists, are right."""
    file = folder / "report.json"
    if not file.is_file():
        return
    report = read_json(file)
    stated = report.get("pairs") if isinstance(report, Mapping) else None
    counted = {split: counts.pairs for split, counts in found.counts.items()}
    if stated != counted:
        note(found.wrong, "report.json miscounts", file.name, f"says {stated}, the shards hold {counted}")
