"""Check every row of a split once before a model is loaded, for faults that would end or spoil a run hours later, and
count what the rows have.

This is one pass over the shards with a few rows in memory at a time. A picture is not decoded if its format shows that
it is complete. In a run of several processes, one of them checks and tells the others.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accelerate import PartialState
from accelerate.utils import broadcast_object_list

from redaes.answers import parse
from redaes.errors import ImageError, ParseError, RecordError
from redaes.images import check_usable, content_id
from redaes.records import PairRecord, check_columns, operations_of, record_of, shards, stream_rows
from redaes.training.formatting import MODES, ORDERS, target
from redaes.training.stage_arguments import StageArguments
from redaes.types import MAX_DELTA, SIDES, Split

N_NAMED = 3
"""Number of rows that a message names for each kind of fault."""


@dataclass(frozen=True)
class RowNeeds:
    """What a stage requires of a row, beyond the schema."""

    delta: bool = True
    """Whether a labelled difference is required."""
    reasoning: bool = True
    """Whether a rationale in both orders is required."""
    answers: bool = True
    """Whether the answers to learn, in the modes that the row allows, must be readable by the parser."""


@dataclass
class RowTally:
    """Counts of what the training rows have."""

    n: int = 0
    by_label: Counter[str] = field(default_factory=Counter)
    """Number of rows with a difference, by the source of the label."""
    n_reasoned: int = 0
    """Number of rows with a rationale in both orders."""
    n_half: int = 0
    """Number of rows with a rationale in one order only."""
    n_edits: int = 0
    """Number of rows with a picture that carries a known edit."""

    def add(self, row: Mapping[str, Any]) -> None:
        """Count a row."""
        self.n += 1
        if row["delta"] is not None:
            self.by_label[row["label_source"]] += 1
        n_texts = sum(row[name] is not None for name in ("rationale", "rationale_swapped"))
        self.n_reasoned += n_texts == 2
        self.n_half += n_texts == 1
        self.n_edits += bool(operations_of(row))

    def in_words(self, split: Split) -> str:
        """Return the counts as one sentence."""
        labels = ", ".join(f"{n} from {source}" for source, n in sorted(self.by_label.items()))
        half = f" ({self.n_half} more in one order)" if self.n_half else ""
        return (
            f"{split} split: {self.n} pairs; with a difference {self.by_label.total()}{labels and f' ({labels})'}, "
            f"with reasoning in both orders {self.n_reasoned}{half}, with a known edit {self.n_edits}"
        )


WHOLE = RowNeeds()
"""Needs of a stage that learns whole answers."""


@dataclass
class _Found:
    """The rows with one kind of fault."""

    remedy: str
    n: int = 0
    named: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        more = f" and {self.n - len(self.named)} more" if self.n > len(self.named) else ""
        return f"{self.n} {self.remedy} ({'; '.join(self.named)}{more})"


_Fault = tuple[str, str]
"""What is wrong, with the remedy, and what was found, which may be empty."""

NO_ID = "have no id: give each row a unique id"
TWICE = "repeat the id of an earlier row: remove them, or give each row a unique id"
NO_DELTA = "have no delta: label them or leave them out"
BAD_DELTA = f"have a delta that is not a number within ±{MAX_DELTA:g}: correct or remove them"
NO_REASONING = "lack a rationale for one order or both: write them (redaes data explain) or leave the rows out"
BAD_PICTURE = "have a picture that cannot be used: put in another or remove them"
BAD_ID = "have a first_id or second_id that is not the SHA-256 of the picture: correct it"
SCHEMA = "break the schema: correct or remove them"
BAD_ANSWER = "have an answer that redaes itself could not read: correct delta and rationale, or remove them"


def check_rows(
    arguments: StageArguments, needs: RowNeeds = WHOLE, split: Split = "train", *, without: str = ""
) -> None:
    """Refuse a dataset with rows that cannot be trained on; all processes call this, before a model is loaded.

    One process prints to standard error how many pairs have labels and reasoning.

    Args:
        arguments: arguments of the stage.
        needs: what the stage requires of a row.
        split: the split to check.
        without: what the stage does with pairs without reasoning, for the message.

    Raises:
        RecordError: there are faulty rows; the message counts them by kind and names the first of each.
    """
    state = PartialState()
    verdict: list[str | None] = [None]
    tally = RowTally()
    if state.is_main_process:
        try:
            verdict = [faults(arguments.data_folder, split, needs, frozenset(arguments.leave_out), tally)]
        except RecordError as error:
            verdict = [str(error)]
    if state.num_processes > 1:
        broadcast_object_list(verdict)
    if verdict[0] is not None:
        raise RecordError(verdict[0])
    if state.is_main_process:
        sys.stderr.write(f"{tally.in_words(split)}\n")
        n_without = tally.n - tally.n_reasoned
        if without and n_without:
            sys.stderr.write(f"the {n_without} pairs without reasoning in both orders {without}\n")


def faults(
    folder: Path,
    split: Split,
    needs: RowNeeds,
    leave_out: frozenset[str] = frozenset(),
    tally: RowTally | None = None,
) -> str | None:
    """Return what is wrong with the rows of a split.

    Args:
        folder: folder of the dataset.
        split: the split to check.
        needs: what is required of a row.
        leave_out: operations; rows with one of them are not trained on and not checked.
        tally: counts of the other rows, which are updated.

    Returns:
        All faults by their kind, in one sentence; None: there are none.

    Raises:
        RecordError: there is no dataset, or it cannot be read.
    """
    found: dict[str, _Found] = {}
    pictures: dict[str, str | None] = {}
    ids: set[str] = set()
    n_rows = n_bad = 0
    for file in shards(folder, split):
        check_columns(file)
        for number, row in enumerate(stream_rows(file)):
            n_rows += 1
            if leave_out and not leave_out.isdisjoint(operations_of(row)):
                continue
            if tally is not None:
                tally.add(row)
            bad = False
            for kind, detail in _faults(row, split, needs, ids, pictures):
                bad = True
                one = found.setdefault(kind, _Found(kind))
                one.n += 1
                if len(one.named) < N_NAMED:
                    one.named.append(f"{file.name} row {number}, id {row.get('id')!r}{detail and f': {detail}'}")
            n_bad += bad
    if not n_rows:
        return f"{folder} has no rows in its {split} split; build it with more photographs or another split"
    if not n_bad:
        return None
    kinds = ". ".join(map(str, sorted(found.values(), key=lambda one: -one.n)))
    return f"{folder}: {n_bad} of the {n_rows} rows of the {split} split cannot be trained on. {kinds}"


def _faults(
    row: dict[str, Any], split: Split, needs: RowNeeds, ids: set[str], pictures: dict[str, str | None]
) -> Iterator[_Fault]:
    """Yield what is wrong with a row. ``ids`` and ``pictures`` remember what was seen."""
    if not row["id"]:
        yield NO_ID, ""
    elif row["id"] in ids:
        yield TWICE, ""
    ids.add(row["id"])
    delta = row["delta"]
    if delta is None and needs.delta:
        yield NO_DELTA, ""
    if delta is not None and not abs(delta) <= MAX_DELTA:  # comparisons with NaN are false
        yield BAD_DELTA, f"{delta:g}"
        return
    if needs.reasoning and (row["rationale"] is None or row["rationale_swapped"] is None):
        yield NO_REASONING, ""
    lacking = [side for side in SIDES if not (row[side] or {}).get("bytes")]
    if lacking:
        yield BAD_PICTURE, f"no {' and no '.join(lacking)}"
        return
    try:
        record = record_of(row, split)
    except RecordError as error:
        yield SCHEMA, " ".join(str(error).split())[:200]
        return
    for side in SIDES:
        ref, data = record.pair.of(side), record.bytes_of(side)
        identity = content_id(data)
        if identity not in pictures:
            pictures[identity] = _picture_fault(data, ref.path)
        fault = pictures[identity]
        if fault is not None:
            yield BAD_PICTURE, fault
        elif identity != ref.id:
            yield BAD_ID, f"{side}_id"
    if delta is not None and needs.answers:
        yield from _answer_faults(record)


def _picture_fault(data: bytes, path: Path) -> str | None:
    try:
        check_usable(data, path)
    except ImageError as error:
        return str(error)
    return None


def _answer_faults(record: PairRecord) -> Iterator[_Fault]:
    """Yield the faults of answers that would be learned although the parser cannot read them."""
    for order in ORDERS:
        for mode in MODES:
            reasoning = record.rationale if order == "forward" else record.rationale_swapped
            if mode == "reasoned" and reasoning is None:
                continue
            try:
                parse(target(record, order, mode), mode)
            except (ParseError, ValueError) as error:
                yield BAD_ANSWER, f"{order}, {mode}: {' '.join(str(error).split())[:160]}"
                return
