"""Check the rationales of a dataset against measurements of their pairs, as rewards and reports do."""

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
"""A kind of finding, in addition to those of :func:`redaes.datagen.validation.validate`."""


@dataclass
class Statements:
    """Counts of the statements in the rationales of one split."""

    rationales: int = 0
    """Number of rationales of pairs that could be measured."""
    silent: int = 0
    """Number of rationales without a statement that can be measured."""
    contradicted: int = 0
    """Number of rationales with a contradicted statement."""
    unmeasured: int = 0
    """Number of rationales of pairs that could not be measured; they are in none of the other counts."""
    by_status: dict[Status, int] = field(default_factory=lambda: dict.fromkeys(get_args(Status), 0))
    """Number of statements by the result of the check."""


def check_claims(
    folder: Path, wrong: dict[str, Rows], *, workers: int = 1, progress: Callable[[int, int], None] = lambda *_: None
) -> dict[Split, Statements]:
    """Check each rationale, in both orders, against its pair. Measurements are cached, since stage 3 needs them, too.

    Rows that break the schema are skipped; :func:`redaes.datagen.validation.validate` reports them.

    Args:
        folder: the dataset.
        wrong: a table to which rows with a contradicted rationale are added, as :data:`CONTRADICTED`.
        workers: number of threads that measure.
        progress: called with the number of measured pairs of a split, and the number of all its pairs.

    Raises:
        RecordError: the folder is not a RED dataset, a shard cannot be read, or a cache cannot be written to.
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
    """Count the statements in the rationales of a row, and return the contradicted ones as text."""
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
