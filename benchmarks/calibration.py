"""Rank calibration on real votes: agreement with choix, degenerate series, speed.

    python benchmarks/calibration.py phototriage_pairs.csv [--pseudo-count 0.5]

The file is a PhotoTriage pair list as CSV (split, series, a, b, share that prefers a). Both fits see the same tables:
shares plus the pseudo-count. Without one, series whose shares of 0 or 1 leave no finite strengths are refused.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from pathlib import Path

import choix
import numpy as np

from redaes.datagen.series.votes import PSEUDO_COUNT, Votes, calibrate
from redaes.series_records import read_csv


def _reference(votes: list[Votes], names: list[str], pseudo_count: float) -> np.ndarray:
    table = np.zeros((len(names), len(names)))
    for vote in votes:
        i, j = names.index(vote.first), names.index(vote.second)
        table[i, j] += vote.n_first + pseudo_count
        table[j, i] += vote.n_second + pseudo_count
    strengths = choix.ilsr_pairwise_dense(table, tol=1e-12, max_iter=100_000)
    return strengths - strengths.mean()


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare rank calibration with choix.")
    parser.add_argument("votes", type=Path)
    parser.add_argument("--pseudo-count", type=float, default=PSEUDO_COUNT)
    args = parser.parse_args()
    by_series: dict[str, list[Votes]] = {}
    for _, row in read_csv(args.votes, ("split", "series", "a", "b", "pref_a")):
        share, name = float(row["pref_a"]), f"{row['split']}/{row['series']}"
        by_series.setdefault(name, []).append(Votes(name, row["a"], row["b"], share, 1 - share))
    started = time.perf_counter()
    done, refused = calibrate((vote for votes in by_series.values() for vote in votes), pseudo_count=args.pseudo_count)
    ours_s = time.perf_counter() - started
    started = time.perf_counter()
    references = [_reference(by_series[s.series], sorted(s.strengths), args.pseudo_count) for s in done]
    choix_s = time.perf_counter() - started
    differences = [
        np.abs(np.array([series.strengths[name] for name in sorted(series.strengths)]) - reference).max()
        for series, reference in zip(done, references, strict=True)
    ]
    print(f"{len(by_series)} series, {sum(map(len, by_series.values()))} pairs, pseudo-count {args.pseudo_count}")
    print(f"calibrated {len(done)}, refused {dict(Counter(item.reason for item in refused))}")
    print(f"largest difference from choix {max(differences):.2e} logits")
    print(f"pairs dropped within the margin {sum(series.n_dropped for series in done)}")
    print(f"ours {ours_s:.2f} s, choix {choix_s:.2f} s, ratio {choix_s / ours_s:.1f}")


if __name__ == "__main__":
    main()
