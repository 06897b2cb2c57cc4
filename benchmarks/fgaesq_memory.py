"""Peak memory of FGAesQ over one series of large pictures of unlike sizes.

    python benchmarks/fgaesq_memory.py [--pictures 64] [--megapixels 12] [--model tiny|vit-b-16] [--pairs-only]

Each series is looked at in a process of its own, whose peak resident memory is printed, with what it was before the
first picture was read. The files are JPEGs of random areas, each of another shape. ``--pairs-only`` leaves out the
network and makes the tokens alone.
"""

from __future__ import annotations

import argparse
import itertools
import math
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from fgaesq_inference import MODELS
from PIL import Image

from redaes.models.fgaesq.difftoken import pair_tokens
from redaes.models.fgaesq.network import FGAesQ, ModelSettings
from redaes.models.fgaesq.scorer import FGAesQScorer


def write_pictures(folder: Path, n: int, megapixels: float) -> None:
    """Areas of random colours with noise; side by side in shape from 3 : 2 to 2 : 3."""
    for number in range(n):
        ratio = 1.5 ** (1 - 2 * number / max(1, n - 1))
        height = round(math.sqrt(megapixels * 1e6 / ratio))
        rng = np.random.default_rng(number)
        small = Image.fromarray(rng.integers(0, 256, (height // 8, round(height * ratio) // 8, 3), dtype=np.uint8))
        small.resize((round(height * ratio), height), Image.Resampling.BILINEAR).save(folder / f"{number:02d}.jpg")


def peak_gib() -> float:
    """Most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def look(folder: Path, name: str, pairs_only: bool) -> None:
    """Score the series in a folder, and print what it took."""
    vision, tokens = MODELS[name]
    torch.manual_seed(0)
    scorer = FGAesQScorer(FGAesQ(ModelSettings(vision, tokens, attend_padding=True)), name=name, revision="random")
    started, before = time.process_time(), peak_gib()
    pictures = [scorer.load_picture(file) for file in sorted(folder.iterdir())]
    if pairs_only:
        pairs = list(itertools.combinations(range(len(pictures)), 2))
        n_views = 2 * sum(1 for _ in pair_tokens(pictures, pairs, scorer.settings))
    else:
        n_views = 2 * len(next(iter(scorer.series([pictures]))).pairs)
    spent = time.process_time() - started
    print(f"{len(pictures)} pictures, {n_views} views: {peak_gib():.2f} GiB (before {before:.2f}), {spent:.0f} CPU s")


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure FGAesQ's memory.")
    parser.add_argument("--pictures", type=int, nargs="+", default=[8, 16, 64])
    parser.add_argument("--megapixels", type=float, default=12)
    parser.add_argument("--model", choices=sorted(MODELS), default="tiny")
    parser.add_argument("--pairs-only", action="store_true")
    parser.add_argument("--look", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.look is not None:
        look(args.look, args.model, args.pairs_only)
        return
    for n in args.pictures:
        with tempfile.TemporaryDirectory() as folder:
            write_pictures(Path(folder), n, args.megapixels)
            more = ["--pairs-only"] if args.pairs_only else []
            subprocess.run([sys.executable, __file__, "--model", args.model, *more, "--look", folder], check=True)


if __name__ == "__main__":
    main()
