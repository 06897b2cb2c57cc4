"""The fast mode with each picture and each beginning read once, against one request at a time in padded batches.

    python benchmarks/fast_mode.py --data /data/photographs --model redaes/nano --pictures 8 16 --rounds 3

Both ways are taken in the same run, their order changing from round to round; seconds are the processor's, user and
system, and pictures are loaded before. ``all pairs``: every pair in both orders, asked at once; ``rank``:
`Assessor.rank`, which asks in rounds; ``compare``: one pair in both orders. Nothing is kept from one measurement to the
next.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from redaes.assessor import Assessor
from redaes.backends.local import LocalBackend
from redaes.images import LoadedImage, load_image


def parse_args() -> argparse.Namespace:
    """Pictures, model, sizes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of photographs")
    parser.add_argument("--model", default="redaes/nano", help="folder or name")
    parser.add_argument("--pictures", type=int, nargs="+", default=[8, 16], help="in a series")
    parser.add_argument("--max_pixels", type=int, help="cap on a picture's area")
    parser.add_argument("--batch_size", type=int, default=8, help="requests per forward pass")
    parser.add_argument("--rounds", type=int, default=3, help="measurements, after one that warms up")
    return parser.parse_args()


def all_pairs(assessor: Assessor, pictures: Sequence[LoadedImage]) -> list[float]:
    """Log-odds of every pair, in both orders."""
    results = assessor.compare_many(list(combinations(pictures, 2)))
    return [one.log_odds or 0.0 for result in results for one in result.comparisons]


def ranked(assessor: Assessor, pictures: Sequence[LoadedImage]) -> list[float]:
    """Strengths, by picture."""
    return [score for _, score in sorted(assessor.rank(pictures).scores.items())]


def measured(assessor: Assessor, ask: Callable[[Assessor, Sequence[LoadedImage]], list[float]],
             pictures: Sequence[LoadedImage], rounds: int) -> dict[str, Any]:  # fmt: skip
    """Seconds of both ways, and how far apart their answers are."""
    backend: Any = assessor.backend
    seconds: dict[str, list[float]] = {"padded": [], "packed": []}
    apart = 0.0
    for number in range(rounds + 1):
        found = {}
        for way in ("padded", "packed") if number % 2 else ("packed", "padded"):
            backend._packs, backend._packer = way == "packed", None
            started = time.process_time()
            found[way] = np.array(ask(assessor, pictures))
            if number:  # the first round warms up
                seconds[way].append(time.process_time() - started)
        apart = max(apart, float(np.abs(found["padded"] - found["packed"]).max()))
    ratios = [padded / packed for padded, packed in zip(*seconds.values(), strict=True)]
    return {
        "seconds": {way: round(statistics.median(every), 3) for way, every in seconds.items()},
        "ratio": [round(one, 2) for one in (statistics.median(ratios), min(ratios), max(ratios))],
        "largest difference": float(f"{apart:.1e}"),
    }


def main(args: argparse.Namespace) -> None:
    """Measure each way of asking for each length of a series."""
    backend = LocalBackend(args.model, max_pixels=args.max_pixels, batch_size=args.batch_size, device="cpu")
    assessor = Assessor(backend, mode="fast")
    files = sorted(file for file in args.data.rglob("*") if file.suffix.lower() in (".jpg", ".jpeg", ".png"))
    pictures = [load_image(file) for file in files[: max(*args.pictures, 2)]]
    kinds = {"all pairs": all_pairs, "rank": ranked}
    for n in args.pictures:
        for name, ask in kinds.items():
            found = measured(assessor, ask, pictures[:n], args.rounds)
            print(json.dumps({"asked": name, "pictures": n, **found}), flush=True)
    found = measured(assessor, all_pairs, pictures[:2], max(5, args.rounds))
    print(json.dumps({"asked": "compare", "pictures": 2, **found}), flush=True)


if __name__ == "__main__":
    main(parse_args())
