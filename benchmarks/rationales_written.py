"""What the written reasons of datasets are worth: whom they argue for, what they measure, and how they vary.

    python benchmarks/rationales_written.py red_before red_after

Every stored picture is measured once and every rationale, in both orders, is read and held against it. One table, a
column a dataset. A sentence with figures *argues for the loser* where it says of the worse picture that it has more of
what is better (or less of what is worse), and where it says more light, contrast or colour of a picture whose fault is
not just that. A rationale *measures nothing* that holds no figure.
"""

from __future__ import annotations

import argparse
import itertools
import platform
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from redaes.datagen.picture_groups import StoredPicture
from redaes.evidence.checking import check
from redaes.evidence.claims import Claim
from redaes.evidence.extraction import extract
from redaes.evidence.faults import FAULTS
from redaes.evidence.measurements import PairEvidence
from redaes.evidence.pair import measure_pair
from redaes.evidence.quantities import QUANTITIES
from redaes.records import PairRecord, read_records
from redaes.types import SPLITS, Rationale, Split

PRAISE = {"brightness": "more", "contrast": "more", "dynamic_range": "more", "colourfulness": "more"}
"""What sounds like praise although neither way is better in itself."""


@dataclass
class Found:
    """Of one dataset."""

    n_rationales: int = 0
    n_without_figure: int = 0
    n_without_support: int = 0
    n_contradicted: int = 0
    """Rationales with a statement that the measurements contradict."""
    n_measured_sentences: int = 0
    n_arguing: int = 0
    status: Counter[str] = field(default_factory=Counter)
    why: Counter[str] = field(default_factory=Counter)
    words: Counter[str] = field(default_factory=Counter)
    openings: Counter[str] = field(default_factory=Counter)
    n_words: list[int] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("datasets", nargs="+", type=Path, help="folders of built datasets")
    parser.add_argument("--limit", type=int, help="pairs of each, at most")
    parser.add_argument("--examples", type=int, default=0, help="contradicted statements to print of each")
    return parser.parse_args()


def _argues_for_the_loser(claim: Claim, loser: str, fault: str) -> bool:
    if claim.side != loser or claim.quantity is None or claim.relation not in ("more", "less") or not any(claim.stated):
        return False
    better = QUANTITIES[claim.quantity].better or PRAISE.get(claim.quantity)
    shown_by = FAULTS[fault].shown_by if fault in FAULTS else ()
    return claim.relation == better and (claim.quantity, claim.relation) not in shown_by


def look_at(rationale: Rationale, evidence: PairEvidence, fault: str | None, found: Found) -> None:
    """Count one rationale.

    Args:
        evidence: in its order.
        fault: operation of the worse picture's edit; None: a tie.
    """
    text = rationale.text
    found.n_rationales += 1
    found.n_without_figure += not any(character.isdigit() for character in text)
    words = re.findall(r"[a-z][a-z'-]*", text.lower())
    found.words.update(words)
    found.n_words.append(len(text.split()))
    found.openings[" ".join(text.split()[:3])] += 1
    claims = check(extract(text), evidence)
    found.status.update(one.status for one in claims.checked)
    found.n_without_support += claims.count("supported") == 0
    wrong = [one for one in claims.checked if one.status == "contradicted"]
    found.n_contradicted += bool(wrong)
    for one in wrong:
        found.why[f"{one.claim.quantity or one.claim.fault} {one.claim.relation}: {one.why}"] += 1
        found.examples.append(f"{one.claim.text!r} ({one.claim.side}, {one.measured}, {one.why}) in: {text}")
    ends = list(itertools.accumulate(len(part) for part in re.split(r"(?<=[.!])(?= )", text)))
    sentence = {one: next(i for i, end in enumerate(ends) if one.start < end) for one in extract(text)}
    measured = {sentence[one] for one in sentence if one.relation in ("more", "less") and any(one.stated)}
    found.n_measured_sentences += len(measured)
    if fault is not None:
        loser = "B" if rationale.better == "A" else "A"
        found.n_arguing += len({sentence[one] for one in sentence if _argues_for_the_loser(one, loser, fault)})


def _records(folder: Path) -> Iterator[PairRecord]:
    splits: tuple[Split, ...] = SPLITS
    return itertools.chain.from_iterable(read_records(folder, split) for split in splits)


def study(folder: Path, limit: int | None) -> Found:
    """All rationales of a dataset."""
    found = Found()
    known: dict[str, StoredPicture] = {}
    for record in itertools.islice(_records(folder), limit):
        pair = record.pair
        one, other = (
            known.setdefault(ref.id, StoredPicture(data))
            for ref, data in ((pair.first, record.first_bytes), (pair.second, record.second_bytes))
        )
        evidence = measure_pair(one.pixels, other.pixels, measured=(one.measurements(), other.measurements()))
        worse = (
            None if pair.delta is None or not pair.factors else pair.edit_second if pair.delta > 0 else pair.edit_first
        )
        fault = None if worse is None else worse.operation
        for rationale, seen in ((record.rationale, evidence), (record.rationale_swapped, evidence.swapped())):
            if rationale is not None:
                look_at(rationale, seen, fault, found)
    return found


def _share(part: int, whole: int) -> str:
    return f"{part} ({100 * part / max(whole, 1):.1f} %)"


def rows(found: Found) -> dict[str, str]:
    """The table's column."""
    n = found.n_rationales
    n_claims = sum(found.status.values())
    opening, most = found.openings.most_common(1)[0]
    return {
        "rationales": str(n),
        "words each, mean": f"{np.mean(found.n_words):.0f}",
        "sentences with figures": str(found.n_measured_sentences),
        "sentences that argue for the loser": _share(found.n_arguing, found.n_measured_sentences),
        "rationales that measure nothing": _share(found.n_without_figure, n),
        "rationales without a supported statement": _share(found.n_without_support, n),
        "rationales with a contradicted statement": _share(found.n_contradicted, n),
        "statements read": str(n_claims),
        "… supported": _share(found.status["supported"], n_claims),
        "… contradicted": _share(found.status["contradicted"], n_claims),
        "… not measurable": _share(found.status["not_measurable"], n_claims),
        "different words": str(len(found.words)),
        "most frequent opening": f'"{opening}" {_share(most, n)}',
    }


def main(args: argparse.Namespace) -> None:
    """Study, and print the table."""
    started = time.perf_counter()
    studies = {folder.name: study(folder, args.limit) for folder in args.datasets}
    columns = {name: rows(found) for name, found in studies.items()}
    print(f"| | {' | '.join(columns)} |\n|{'---|' * (1 + len(columns))}")
    for row in next(iter(columns.values())):
        print(f"| {row} | {' | '.join(column[row] for column in columns.values())} |")
    print(f"{platform.machine()}, one thread, {time.perf_counter() - started:.0f} s")
    for name, found in studies.items():
        if found.why:
            print(f"{name}, contradicted: " + ", ".join(f"{what} {count}" for what, count in found.why.most_common(20)))
        for example in found.examples[:: max(1, len(found.examples) // max(args.examples, 1))][: args.examples]:
            print(f"  {example}")


if __name__ == "__main__":
    main(parse_args())
