"""Look at all rows of several datasets before they are merged: find rows of the same photograph, which must be in one
split, and rows that repeat others, and keep the ids of the datasets apart.

Photographs are recognised by their id, if it is the SHA-256 of a file, by the bytes of their pictures, and by near
copies of these. A crop or a mirror image has another perceptual hash and is not found. Memory holds names and hashes,
no pictures.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from redaes.datagen.linked_names import LinkedNames
from redaes.datagen.merged_sets import MergedSet
from redaes.errors import ImageError, RecordError
from redaes.file_writing import read_json, write_json
from redaes.images import decode_image, phash
from redaes.images.near_copies import HASHED_PIXELS, look_alikes
from redaes.records import PairRecord, check_ids, record_of, stream_rows
from redaes.table_cache import results_of
from redaes.types import SIDES, SPLITS, Side, Split

_HASHES = "perceptual hashes, version 1"
_CONTENT = re.compile(r"[0-9a-f]{64}")

Node = tuple[str, ...]
"""A photograph, a view or a picture, as a node of the graph of what must be in one split."""


@dataclass(frozen=True)
class RowNames:
    """The split and the names of a row in the merged dataset."""

    split: Split
    id: str
    group: str
    source: str


@dataclass
class SetAccount:
    """Counts of what became of the rows of one dataset."""

    read: Counter[Split] = field(default_factory=Counter)
    written: Counter[Split] = field(default_factory=Counter)
    moved_to_test: int = 0
    """Number of pairs that move from the train split to the test split, because their photograph is held out."""
    repeated: int = 0
    """Number of pairs left out because an earlier set has the same id, pictures and difference."""
    unreadable: list[str] = field(default_factory=list)
    """Pairs left out because a picture does not decode: shard, row, id and reason."""
    renamed: Counter[str] = field(default_factory=Counter)
    """Number of ids that were changed to keep sets apart, by kind: pairs, groups, sources."""


@dataclass(frozen=True)
class _SeenRow:
    """The parts of a row that matter for merging."""

    file: Path
    number: int
    split: Split
    id: str
    group: str
    source: str
    pictures: tuple[str, str]
    delta: float | None


class MergePlan:
    """Decides the split, ids and names of each row of the sets.

    Args:
        sets: the sets; an id that occurs in several of them stays unchanged in the first.
        progress: called with the number of shards read and the number of all shards.

    Attributes:
        accounts: account of each set.
        has_delta_error: whether any row has a ``delta_error``.

    Raises:
        RecordError: a shard cannot be read, a row breaks the schema, a set has an id twice, or all rows for training
            are held out elsewhere.
    """

    def __init__(
        self, sets: Sequence[MergedSet], progress: Callable[[int, int], None] = lambda done, total: None
    ) -> None:
        self.accounts = [SetAccount() for _ in sets]
        self.has_delta_error = False
        self._sets = sets
        self._looks: dict[str, int] = {}
        files = [
            (place, split, file) for place, one in enumerate(sets) for split in SPLITS for file in one.files(split)
        ]
        rows: list[list[_SeenRow]] = [[] for _ in sets]
        for done, (place, split, file) in enumerate(files):
            progress(done, len(files))
            rows[place].extend(self._read(file, split, self.accounts[place]))
        progress(len(files), len(files))
        held_out = self._held_out(rows)
        self._names: dict[tuple[Path, int], RowNames] = {}
        self._splits: dict[Path, set[Split]] = {}
        self._place(rows, held_out)
        for split in SPLITS:
            if not any(account.written[split] for account in self.accounts):
                raise RecordError(
                    f"nothing is left for the {split} split: every photograph of it is held out in another dataset, "
                    "unreadable or repeated; merge sets that share fewer photographs"
                )

    def names_of(self, file: Path, number: int) -> RowNames | None:
        """Return the new names of a row; None if it is left out."""
        return self._names.get((file, number))

    def splits_of(self, file: Path) -> set[Split]:
        """Return the splits to which rows of a shard go."""
        return self._splits.get(file, set())

    def _read(self, file: Path, split: Split, account: SetAccount) -> Iterator[_SeenRow]:
        """Yield the rows of a shard whose pictures can be used."""
        kept = results_of(file, _HASHES) / "hashes.json"
        known: dict[str, int | str] = dict(read_json(kept)) if kept.is_file() else {}
        n_known = len(known)
        try:
            for number, row in enumerate(stream_rows(file)):
                record = record_of(row, split)
                check_ids(record)
                account.read[split] += 1
                faults = [fault for side in SIDES if (fault := self._look(record, side, known))]
                if faults:
                    account.unreadable.append(f"{file.name} row {number}, id {record.pair.id!r}: {faults[0]}")
                    continue
                self.has_delta_error |= record.delta_error is not None
                pair = record.pair
                pictures = (pair.first.id, pair.second.id)
                yield _SeenRow(file, number, split, pair.id, pair.group, pair.source, pictures, pair.delta)
        except RecordError as error:
            named = str(error) if str(file) in str(error) else f"{file}: {error}"
            raise RecordError(f"{named}; nothing was merged, see: redaes data validate {file.parents[1]}") from error
        if len(known) > n_known:
            write_json(kept, known)  # so that pictures are not decoded again after a merge was stopped

    def _look(self, record: PairRecord, side: Side, known: dict[str, int | str]) -> str | None:
        """Store the perceptual hash of a picture; return why that is impossible, or None."""
        data = record.bytes_of(side)
        identity = record.pair.of(side).id
        if identity not in known:
            try:
                known[identity] = phash(decode_image(data, record.pair.of(side).path, max_pixels=HASHED_PIXELS).image)
            except ImageError as error:
                known[identity] = str(error)
        look = known[identity]
        if isinstance(look, str):
            return look
        self._looks[identity] = look
        return None

    def _held_out(self, rows: Sequence[Sequence[_SeenRow]]) -> Callable[[int, _SeenRow], bool]:
        """Return a function that tells whether a row's photograph is in the test split of any set."""
        links = LinkedNames()
        for place, its in enumerate(rows):
            for row in its:
                photograph = _photograph(place, row.source)
                for node in (("group", str(place), row.group), *(("picture", name) for name in row.pictures)):
                    links.link(photograph, node)
        for one, other in look_alikes(self._looks):
            links.link(("picture", one), ("picture", other))
        tested = {
            links.root(_photograph(place, row.source))
            for place, its in enumerate(rows)
            for row in its
            if row.split == "test"
        }
        return lambda place, row: links.root(_photograph(place, row.source)) in tested

    def _place(self, rows: Sequence[Sequence[_SeenRow]], held_out: Callable[[int, _SeenRow], bool]) -> None:
        """Decide the split and the names of every row."""
        pairs: dict[str, _SeenRow] = {}
        groups: set[str] = set()
        sources: set[str] = set()
        for place, (one, its, account) in enumerate(zip(self._sets, rows, self.accounts, strict=True)):
            ids: set[str] = set()
            group_names = _apart({row.group for row in its}, groups, one.name)
            source_names = _apart({row.source for row in its if not _is_content(row.source)}, sources, one.name)
            pair_names = _apart({row.id for row in its}, pairs, one.name)
            used: set[tuple[str, str]] = set()
            for row in its:
                if row.id in ids:
                    raise RecordError(
                        f"{row.file} row {row.number}: id {row.id!r} is there twice in {one.folder}; "
                        f"nothing was merged, see: redaes data validate {one.folder}"
                    )
                ids.add(row.id)
                twin = pairs.get(row.id)
                if twin is not None and (twin.pictures, twin.delta) == (row.pictures, row.delta):
                    account.repeated += 1
                    continue
                split: Split = "test" if held_out(place, row) else "train"
                names = RowNames(
                    split,
                    pair_names[row.id],
                    group_names[row.group],
                    source_names.get(row.source, row.source),
                )
                pairs[names.id] = row
                used |= {("groups", row.group), ("sources", row.source)}
                account.written[split] += 1
                account.moved_to_test += split != row.split
                account.renamed["pairs"] += names.id != row.id
                self._names[row.file, row.number] = names
                self._splits.setdefault(row.file, set()).add(split)
            renamed = {"groups": group_names, "sources": source_names}
            for kind, name in used:
                account.renamed[kind] += renamed[kind].get(name, name) != name
            groups.update(group_names[name] for kind, name in used if kind == "groups")
            sources.update(source_names.get(name, name) for kind, name in used if kind == "sources")


def _is_content(source: str) -> bool:
    """Return whether the id of a photograph is the SHA-256 of a file, and so means the same in every dataset."""
    return _CONTENT.fullmatch(source) is not None


def _photograph(place: int, source: str) -> Node:
    """Return the node of a photograph; a name that is not a hash has a meaning in its own dataset only."""
    return ("picture", source) if _is_content(source) else ("photograph", str(place), source)


def _apart(names: set[str], taken: Container[str], dataset: str) -> dict[str, str]:
    """Return a new name for each name; those that an earlier dataset has get this dataset's name before them."""
    found: dict[str, str] = {}
    for name in sorted(names):
        free = name
        while free in taken or (free != name and free in names):
            free = f"{dataset}-{free}"
        found[name] = free
    return found
