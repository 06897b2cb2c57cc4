"""What the rationales of a dataset say, held against what is measured of their pairs, as rewards and reports do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from redaes.datagen.validation import Rows, note
from redaes.errors import RecordError
from redaes.evidence.checking import check_rationale
from redaes.evidence.claims import CheckedClaim, Claims, Status
from redaes.evidence.rationale_truth import measured_words
from redaes.measured_pairs import MeasuredPairs, measured_pairs
from redaes.records import PairRecord, record_of, shards, stream_rows
from redaes.types import SPLITS, Split

CONTRADICTED = "rationale contradicted by the pixels"
"""Kind of finding, beside those of :func:`redaes.datagen.validation.validate`."""


@dataclass
class Statements:
    """What the rationales of one split say."""

    rationales: int = 0
    """Number of rationales of pairs that could be measured."""
    silent: int = 0
    """Rationales without a statement that can be measured."""
    contradicted: int = 0
    """Rationales with a contradicted statement."""
    unmeasured: int = 0
    """Rationales of pairs that could not be measured; nothing else counts them."""
    by_status: dict[Status, int] = field(default_factory=lambda: dict.fromkeys(get_args(Status), 0))
    """Statements by what came of them."""


def check_claims(
    folder: Path, wrong: dict[str, Rows], *, workers: int = 1, progress: Callable[[int, int], None] = lambda *_: None
) -> dict[Split, Statements]:
    """Hold each rationale, in both orders, against its pair. What is measured is kept: stage 3 begins with it.

    Rows that break the schema are passed over; :func:`redaes.datagen.validation.validate` names them.

    Args:
        folder: the dataset.
        wrong: where rows with a contradicted rationale are noted, as :data:`CONTRADICTED`.
        workers: threads that measure.
        progress: called with pairs of a split that are measured, and pairs in all of it.

    Raises:
        RecordError: no RED dataset, a shard that cannot be read, or a cache that cannot be written to.
    """
    found: dict[Split, Statements] = {}
    for split in SPLITS:
        measured = measured_pairs(folder, split, workers=workers, progress=progress)
        found[split] = Statements()
        for file in shards(folder, split):
            for number, row in enumerate(stream_rows(file)):
                try:
                    record = record_of(row, split)
                except RecordError:
                    continue
                said = _check(record, measured, found[split])
                if said:
                    note(wrong, CONTRADICTED, f"{file.name} row {number} (id {row['id']})", "; ".join(said))
    return found


def _check(record: PairRecord, measured: MeasuredPairs, counts: Statements) -> list[str]:
    """Count what the rationales of a row say; those that are contradicted, in words."""
    evidence = measured.evidence(record.pair)
    said: list[str] = []
    for name, rationale in (("rationale", record.rationale), ("rationale_swapped", record.rationale_swapped)):
        if rationale is None:
            continue
        if evidence is None:
            counts.unmeasured += 1
            continue
        claims = check_rationale(rationale.text, evidence if name == "rationale" else evidence.swapped())
        counts.rationales += 1
        counts.silent += claims.count("not_measurable") == len(claims.checked)
        for one in claims.checked:
            counts.by_status[one.status] += 1
        if claims.count("contradicted"):
            counts.contradicted += 1
            said.append(f"{name}: {_contradictions(claims)}")
    return said


def _contradictions(claims: Claims) -> str:
    wrong = (one for one in claims.checked if one.status == "contradicted")
    return "; ".join(
        f"{one.claim.text!r} of {_of(one)} ({'; '.join(filter(None, (one.why, measured_words(one))))})" for one in wrong
    )


def _of(one: CheckedClaim) -> str:
    return "A and B" if one.claim.side == "both" else one.claim.side
