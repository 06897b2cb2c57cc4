"""Bootstrap of SRCC: this project's against a plain loop over scipy.stats.spearmanr, same draws, same run.

python benchmarks/bootstrap.py                       # 20,000 items, 1,000 resamples; continuous and tied labels
python benchmarks/bootstrap.py --items 2000 --resamples 200
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from scipy.stats import spearmanr

from redaes.evaluation.resampling import correlation_interval


def main(items: int, resamples: int) -> None:
    """Time both, compare their values, print the ratio."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=items)
    noisy = scores + rng.normal(size=items)
    for name, labels in (("continuous labels", noisy), ("labels with ties", np.round(noisy, 1))):
        draws = np.random.default_rng(1)
        start = time.perf_counter()
        values = []
        for _ in range(resamples):
            rows = draws.integers(items, size=items)
            values.append(spearmanr(scores[rows], labels[rows]).statistic)
        plain_s = time.perf_counter() - start
        low, high = np.percentile(values, [2.5, 97.5])

        start = time.perf_counter()
        found = correlation_interval(scores, labels, range(items), n_resamples=resamples, seed=1)
        own_s = time.perf_counter() - start
        if found.low is None or found.high is None:
            raise AssertionError("there is no interval")
        apart = max(abs(found.low - low), abs(found.high - high))
        print(
            f"{name}: {items} items x {resamples} resamples: scipy loop {plain_s:.2f} s, this {own_s:.2f} s, "
            f"ratio 1/{plain_s / own_s:.1f}; interval [{found.low:.6f}, {found.high:.6f}], apart by {apart:.1e}"
        )
        if apart > 1e-12:
            raise AssertionError("the intervals differ")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--resamples", type=int, default=1_000)
    arguments = parser.parse_args()
    main(arguments.items, arguments.resamples)
