"""How many pictures a second the assessor judges as a reward, and by a loop over ``Assessor.compare``, in one run.

    python benchmarks/as_reward.py --groups 4 --group-size 6

The same questions both ways: all pairs of each group, both orders, fast mode. The loop asks for one pair after the
other, as somebody would who has only ``compare``; both get the same Bradley-Terry fit. The ways take turns, so that
other work on the machine meets both; the fastest of each counts, and the largest difference of a value is printed,
which only rounding may make.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from PIL import Image

from redaes import Assessor
from redaes.backends.local import LocalBackend
from redaes.ranking import fit_strengths
from redaes.rewards import as_reward


def parse_args() -> argparse.Namespace:
    """Sizes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--groups", type=int, default=4)
    parser.add_argument("--group-size", type=int, default=6)
    parser.add_argument("--side", type=int, default=224, help="of the pictures, in pixels")
    parser.add_argument("--batch-size", type=int, default=16, help="of the local model")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def pictures(n: int, side: int, seed: int) -> list[Image.Image]:
    """Blotches with more or less grain."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        large = np.asarray(small.resize((side, side), Image.Resampling.BICUBIC), dtype=np.float64)
        noisy = large + rng.normal(0.0, rng.uniform(0, 40), large.shape)
        found.append(Image.fromarray(noisy.clip(0, 255).astype(np.uint8)))
    return found


def by_loop(judge: Assessor, group: Sequence[Image.Image]) -> list[float]:
    """Strengths from one ``compare`` after the other."""
    n = len(group)
    outcomes = []
    for i in range(n):
        for j in range(i + 1, n):
            probability = judge.compare(group[i], group[j]).probability
            if probability is None:
                raise SystemExit(f"no answer about pictures {i} and {j}")
            outcomes.append((i, j, probability, 2.0))
    return fit_strengths(n, outcomes).values.tolist()


def main(args: argparse.Namespace) -> None:
    """Print both rates and their ratio."""
    torch.set_num_threads(args.threads)
    judge = Assessor(LocalBackend(batch_size=args.batch_size), mode="fast")
    reward = as_reward(judge, scale="strength")
    groups = [pictures(args.group_size, args.side, seed) for seed in range(args.groups)]
    judge.compare(groups[0][0], groups[0][1])  # loads what is loaded once

    def by_reward() -> list[list[float]]:
        found = [[one.value for one in group] for group in reward.judge_groups(groups)]
        return [[float("nan") if value is None else value for value in group] for group in found]

    ways: dict[str, Callable[[], list[list[float]]]] = {
        "as_reward": by_reward,
        "loop over compare": lambda: [by_loop(judge, group) for group in groups],
    }
    fastest = dict.fromkeys(ways, float("inf"))
    values: dict[str, list[list[float]]] = {}
    for _ in range(args.repeats):
        for name, way in ways.items():
            started = time.perf_counter()
            values[name] = way()
            fastest[name] = min(fastest[name], time.perf_counter() - started)
    n_pictures = args.groups * args.group_size
    n_questions = args.groups * args.group_size * (args.group_size - 1)
    for name, seconds in fastest.items():
        print(f"{name}: {n_pictures / seconds:.2f} pictures/s, {n_questions / seconds:.1f} questions/s")
    one, other = (np.array(values[name]) for name in ways)
    print(f"ratio {fastest['loop over compare'] / fastest['as_reward']:.2f}")
    print(f"largest difference of a value: {np.abs(one - other).max():.1e} logits")


if __name__ == "__main__":
    main(parse_args())
