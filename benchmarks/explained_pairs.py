"""What the embedded writer makes of pairs of which it knows only who won: how often it writes, and how often rightly.

    python benchmarks/explained_pairs.py --data red

The pairs of a built dataset are taken as if people had judged them: without edits, factors and reasoning. What
``redaes data explain --writer measured`` then says decides is held against the factor of the edit. As a control the
other picture is said to be the better one: every reason for it would be one too many.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

from redaes.datagen.rationales import PairObservation, write_from_measurements
from redaes.evidence.checking import check_rationale
from redaes.measured_pairs import measured_pairs
from redaes.records import read_records
from redaes.types import SPLITS, winner_of


def main(args: argparse.Namespace) -> None:
    """Measure, write, count."""
    started = time.process_time()
    counts: Counter[str] = Counter()
    by_factor: dict[str, Counter[str]] = {}
    for split in SPLITS:
        measured = measured_pairs(args.data, split)
        for number, record in enumerate(read_records(args.data, split)):
            if number % 100 == 0:
                sys.stderr.write(f"{split}: {number} pairs\n")
            evidence, delta = measured.evidence(record.pair), record.pair.delta
            if evidence is None or delta is None or winner_of(delta) == "tie":
                counts["ties, or not measured"] += 1
                continue
            seed = int(record.pair.id[-6:], 16)
            one = by_factor.setdefault(" and ".join(record.pair.factors), Counter())
            one["pairs"] += 1
            seen = PairObservation(evidence)
            told = write_from_measurements(seen, delta, (), seed)
            if told is not None:
                one["told"] += 1
                one["right factor"] += bool(set(told.factors) & set(record.pair.factors))
                one["contradicted"] += check_rationale(told.text, evidence).count("contradicted") > 0
            one["told of the loser"] += write_from_measurements(seen, -delta, (), seed) is not None
    columns = ("pairs", "told", "right factor", "told of the loser", "contradicted")
    print(f"| decided by | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    total: Counter[str] = Counter()
    for factor, one in sorted(by_factor.items(), key=lambda item: -item[1]["pairs"]):
        total.update(one)
        print(f"| {factor} | {' | '.join(str(one[name]) for name in columns)} |")
    print(f"| all | {' | '.join(str(total[name]) for name in columns)} |")
    print(f"{dict(counts)}; {time.process_time() - started:.0f} s of processor time")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="the embedded writer on pairs without edits, factors and reasoning")
    parser.add_argument("--data", type=Path, required=True, help="a built RED dataset")
    main(parser.parse_args())
