"""Import rows about pairs as a RED dataset: check pictures, pool labels, draw splits, and account for every row.

The output folder is a RED dataset (:mod:`redaes.records`). Beside its ``report.json`` the file ``left_out.csv`` lists
every row from which no pair was made, with the reason. The folder appears whole or not at all.
"""

from __future__ import annotations

import csv
import hashlib
import io
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from redaes.datagen.imported.card import write_import_card
from redaes.datagen.imported.circles import circular_triples
from redaes.datagen.imported.dividing import Division, PlacedPair, divide
from redaes.datagen.imported.gathered import GatheredPair, gathered_pairs
from redaes.datagen.imported.labels import PooledLabel
from redaes.datagen.imported.pictures import NamedPictures
from redaes.datagen.imported.rows import StatedPair, UnusableRow
from redaes.datagen.rationales import contradictions
from redaes.datagen.whole_folders import whole_folder
from redaes.errors import InputError
from redaes.file_writing import write_atomically, write_json
from redaes.records import PairRecord, write_shard
from redaes.types import SPLITS, ImageRef, Pair, Rationale, Split, winner_of

PAIRS_PER_SHARD = 1000
TEST_FRACTION = 0.2
"""Share of the pairs that is held out by default."""
N_NAMED = 20
"""Number of findings of each kind that the report lists; the others are counted."""


@dataclass(frozen=True)
class ImportSettings:
    """Settings that determine the result, together with the rows and pictures."""

    test_fraction: float | None = None
    """Share that is held out, whatever the list states; None follows the list, or else ``TEST_FRACTION``."""
    seed: int = 0
    """Seed of the split."""
    licence: str = ""
    """Licence of the pictures for which the rows state none."""

    def __post_init__(self) -> None:
        if self.test_fraction is not None and not 0 < self.test_fraction < 1:
            raise InputError(f"test fraction {self.test_fraction} is not between 0 and 1")


def import_pairs(
    rows: Iterable[StatedPair | UnusableRow],
    out: Path,
    *,
    settings: ImportSettings,
    origin: str,
    unread: Sequence[str] | Callable[[], Sequence[str]] = (),
    progress: Callable[[str, int, int | None], None] = lambda work, done, total: None,
) -> dict[str, Any]:
    """Write the dataset.

    Args:
        rows: the rows of a source.
        out: a folder that does not exist yet.
        settings: settings that determine the result.
        origin: name of what is imported, for the card and the report.
        unread: names of columns that are not read; if it is a function, it is called after the rows are read.
        progress: called with the name of the work, how much is done, and how much there is (None if unknown).

    Returns:
        The content of the report that was written.

    Raises:
        InputError: there is no usable pair, or none that can be held out; nothing is written.
        RecordError: ``out`` exists or cannot be written to.
    """
    with whole_folder(out) as making:
        pictures = NamedPictures(making / ".pictures")
        lost: list[UnusableRow] = []
        notes: Counter[str] = Counter()
        n_rows = 0

        def looked_at(n: int) -> None:
            nonlocal n_rows
            n_rows = n
            progress("reading rows", n, None)

        judged, labels = gathered_pairs(rows, pictures, lost, looked_at)
        if not judged:
            raise InputError(f"{origin}: no pair can be used of {n_rows} rows{_reasons(lost)}")
        alike = pictures.near_copies()
        try:
            division = _divided(judged, alike, settings)
        except InputError as error:
            raise InputError(f"{origin}: {error}{_reasons(lost)}") from error
        if division.n_moved:
            notes["pairs that the list trains on, held out because they belong to held-out ones"] = division.n_moved
        n_stated = sum(item.split is not None for item in judged)
        if n_stated and not division.stated and settings.test_fraction is None:
            notes["pairs whose stated split was drawn anew, for their list states no other"] = n_stated
        n_wanted = len(judged) - division.splits.count(None)

        def written(n_pairs: int) -> None:
            progress("writing pairs", n_pairs, n_wanted)

        counts = _write_shards(making, judged, labels, division, pictures, settings, notes, written)
        lost += [
            UnusableRow(item.where, "between the splits", item.names)
            for item, split in zip(judged, division.splits, strict=True)
            if split is None
        ]
        report = _report(judged, labels, division, pictures, alike, lost, notes, counts)
        report["splits_stated"] = division.stated
        report |= {"origin": origin, "settings": asdict(settings), "rows": n_rows}
        report["columns_not_read"] = sorted(unread() if callable(unread) else unread)
        shutil.rmtree(making / ".pictures", ignore_errors=True)  # absent where all pictures are files
        write_atomically(making / "left_out.csv", _table(lost).encode())
        write_json(making / "report.json", report)
        write_import_card(making, report)
    return report


def _divided(judged: Sequence[GatheredPair], alike: Sequence[tuple[str, str]], settings: ImportSettings) -> Division:
    anew = settings.test_fraction is not None
    placed = [
        PlacedPair(
            item.pictures[0].id, item.pictures[1].id, item.source, None if anew else item.split, frozenset(item.series)
        )
        for item in judged
    ]
    fraction = TEST_FRACTION if settings.test_fraction is None else settings.test_fraction
    shown = ((picture, ("source", source)) for item in judged for picture, source in sorted(item.places))
    return divide(placed, [*alike, *shown], test_fraction=fraction, seed=settings.seed)


def _reasons(lost: Sequence[UnusableRow]) -> str:
    """Return what was left out, as text for a message that ends an import."""
    if not lost:
        return ""
    counts = ", ".join(f"{n} × {reason}" for reason, n in Counter(row.reason for row in lost).most_common())
    first = "; ".join(f"{row.where}: {row.detail or row.reason}" for row in lost[:3])
    missing = ". --pictures DIR says where pictures lie" if any(row.reason == "picture missing" for row in lost) else ""
    return f". Left out: {counts}. The first of them: {first}{missing}"


def _write_shards(
    folder: Path,
    judged: Sequence[GatheredPair],
    labels: Sequence[PooledLabel],
    division: Division,
    pictures: NamedPictures,
    settings: ImportSettings,
    notes: Counter[str],
    written: Callable[[int], None],
) -> dict[str, Counter[str]]:
    """Write the pairs of both splits, and return counts by split, deciding factors and licence."""
    counts = {name: Counter[str]() for name in ("pairs", "kept_by_factor", "rationales", "licences")}
    sources: dict[Split, set[str]] = {split: set() for split in SPLITS}

    def counted(record: PairRecord) -> PairRecord:
        counts["pairs"][record.pair.split] += 1
        decided = "tie" if winner_of(record.pair.delta or 0.0) == "tie" else "not stated"
        counts["kept_by_factor"][", ".join(record.pair.factors) or decided] += 1
        texts = (record.rationale is not None) + (record.rationale_swapped is not None)
        counts["rationales"][("none", "one order", "both orders")[texts]] += 1
        counts["licences"][record.licence or "not stated"] += 1
        sources[record.pair.split].add(record.pair.source)
        written(counts["pairs"].total())
        return record

    for split in SPLITS:
        wanted = [place for place, its in enumerate(division.splits) if its == split]
        named = sorted((_identity(judged[place], division.units[place]), place) for place in wanted)

        def records(part: Sequence[tuple[str, int]], split: Split = split) -> Iterator[PairRecord]:
            for identity, place in part:
                yield counted(
                    _record(
                        identity, judged[place], labels[place], division.units[place], split, pictures, settings, notes
                    )
                )

        for number, start in enumerate(range(0, len(named), PAIRS_PER_SHARD)):
            part = named[start : start + PAIRS_PER_SHARD]
            write_shard(folder / "data" / f"{split}-{number:05d}.parquet", records(part))
    counts["photographs"] = Counter({split: len(found) for split, found in sources.items()})
    return counts


def _identity(item: GatheredPair, unit: str) -> str:
    """Return the id of a pair. It follows from the bytes of its pictures and from its group, not from the order of the
    list.
    """
    parts = ["people", item.source or unit, item.group, *(picture.id for picture in item.pictures)]
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]


def _record(
    identity: str,
    item: GatheredPair,
    label: PooledLabel,
    unit: str,
    split: Split,
    pictures: NamedPictures,
    settings: ImportSettings,
    notes: Counter[str],
) -> PairRecord:
    """Return the dataset's row of a pair; its id decides at random which picture comes first."""
    delta = round(label.delta, 4)
    if not item.from_people:
        notes["pairs whose list says that not people made their difference; it is kept as stated"] += 1
    if len(item.sources) > 1:
        notes["pairs with more than one source; they are held out with all of them"] += 1
    if len(item.licences) > 1:
        notes["pairs with more than one licence; all of them are named"] += 1
    reason = item.reason(delta)
    tie = reason.winner == "tie"
    if tie and reason.factors:
        notes["ties whose factors were left out"] += 1
    factors = () if tie else reason.factors
    refs = [ImageRef(id=picture.id, path=Path(Path(picture.name).name)) for picture in item.pictures]
    source = item.source or unit
    group = hashlib.sha256(f"{source}|{item.group}".encode()).hexdigest()[:16] if item.group else source
    pair = Pair(
        id=identity,
        first=refs[0],
        second=refs[1],
        delta=delta,
        edit_first=None,
        edit_second=None,
        factors=factors,
        group=group,
        source=source,
        split=split,
    )
    texts = reason.texts
    if int(identity[-1], 16) % 2:
        pair, texts = pair.swapped(), (texts[1], texts[0])
    rationales = [_rationale(text, pair if order == 0 else pair.swapped(), notes) for order, text in enumerate(texts)]
    return PairRecord(
        pair=pair,
        first_bytes=pictures.bytes_of(pair.first.id),
        second_bytes=pictures.bytes_of(pair.second.id),
        rationale=rationales[0],
        rationale_swapped=rationales[1],
        licence=" and ".join(sorted(item.licences)) or settings.licence,
        label_source="people",
        n_votes=label.n_votes,
        writer=(reason.writer or "people") if any(rationales) else "",
    )


def _rationale(text: str, shown: Pair, notes: Counter[str]) -> Rationale | None:
    """Return stated reasoning about a pair as it is shown; None if there is none or it contradicts the label."""
    if not text:
        return None
    better = winner_of(shown.delta or 0.0)
    if better != "tie" and not shown.factors:
        notes["rationales left out: no factors beside them"] += 1
        return None
    found = Rationale(text=text, factors=shown.factors, better=better)
    if contradictions(found, shown.delta or 0.0, shown.factors):
        notes["rationales left out: they contradict the label"] += 1
        return None
    return found


def _report(
    judged: Sequence[GatheredPair],
    labels: Sequence[PooledLabel],
    division: Division,
    pictures: NamedPictures,
    alike: Sequence[tuple[str, str]],
    lost: Sequence[UnusableRow],
    notes: Counter[str],
    counts: dict[str, Counter[str]],
) -> dict[str, Any]:
    names = {picture.id: picture.name for item in judged for picture in item.pictures}
    decided = [
        (item.pictures[0].id, item.pictures[1].id, label.delta) for item, label in zip(judged, labels, strict=True)
    ]
    n_circles, circles = circular_triples(decided, N_NAMED)
    disputed = [item.names for item, label in zip(judged, labels, strict=True) if label.disputed]
    return {
        "pairs": {split: counts["pairs"][split] for split in SPLITS},
        "photographs": {split: counts["photographs"][split] for split in SPLITS},
        "kept_by_factor": dict(counts["kept_by_factor"].most_common()),
        "rationales": dict(counts["rationales"]),
        "licences": dict(counts["licences"].most_common()),
        "votes": {
            "counted": sum(label.n_votes or 0 for label in labels),
            "pairs_without_count": sum(label.n_votes is None for label in labels),
            "disputed_pairs": len(disputed),
            "disputed": disputed[:N_NAMED],
            "circular_triples": n_circles,
            "circles": [" > ".join(names[one] for one in (*circle, circle[0])) for circle in circles],
        },
        "pictures": {
            "used": len(names),
            "missing": len(pictures.missing),
            "unreadable": len(pictures.unusable),
            "duplicates": len(pictures.duplicates),
            "written_anew": pictures.n_written_anew,
            "near_copies": len({later for _, later in alike}),
            "first_duplicates": [f"{later} is {first}" for later, first in pictures.duplicates[:N_NAMED]],
            "first_near_copies": [
                f"{pictures.name_of(later)} looks like {pictures.name_of(first)}" for first, later in alike[:N_NAMED]
            ],
        },
        "photographs_divided": division.cut,
        "notes": dict(notes),
        "rejected_pairs": dict(Counter(row.reason for row in lost).most_common()),
        "rejected_photographs": [
            *({"file": name, "reason": "missing"} for name in sorted(pictures.missing)),
            *({"file": name, "reason": "unreadable"} for name in sorted(pictures.unusable)),
        ],
    }


def _table(lost: Iterable[UnusableRow]) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["row", "reason", "detail"])
    rows.writerows([row.where, row.reason, row.detail] for row in lost)
    return text.getvalue()
