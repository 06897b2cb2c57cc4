"""What a large folder costs apart from the model: looking, grouping, scheduling, sheet and tables, in time and memory.

    python benchmarks/large_folder.py [--pictures 1000 2500 10000] [--work runs/large_folder]

Made-up pictures of 240 x 180 pixels: nine of ten in bursts of four, two seconds apart, every tenth without a time. One
fortieth of the folder is a single long burst, at uneven times, which is scheduled as a long series is. In place of a
model a judge compares how much detail two pictures have. Each size is run in a process of its own.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import ExifTags, Image

from redaes.culling.folder import rank_folder
from redaes.culling.rankers import OnPrepared, Pictures, Ranked, Unranked
from redaes.images import load_image
from redaes.points import sigmoid
from redaes.ranking import Schedule, rank
from redaes.types import PairAnswer

START = datetime(2024, 1, 1)
SIZE = (240, 180)


def scene(rng: np.random.Generator) -> np.ndarray:
    """Some sixty shapes on a smooth ground, with room around for shots that are moved."""
    ground = rng.integers(60, 190, (4, 5, 3)).astype(np.uint8)
    picture = cv2.resize(ground, (SIZE[0] + 24, SIZE[1] + 24), interpolation=cv2.INTER_CUBIC)
    for _ in range(60):
        middle = rng.uniform((0, 0), (SIZE[0] + 24, SIZE[1] + 24))
        turns = np.sort(rng.uniform(0, 6.28, 5))
        reach = 3 + 25 * rng.random() ** 2
        corners = (middle + reach * np.stack([np.cos(turns), np.sin(turns)], axis=1)).astype(np.int32)
        cv2.fillPoly(picture, [corners], [int(value) for value in rng.integers(0, 255, 3)], lineType=cv2.LINE_AA)
    return picture


def make_folder(folder: Path, n: int) -> None:
    """Pictures in folders of a thousand."""
    rng = np.random.default_rng(n)
    long_burst, now, made = n // 40, 0.0, 0
    while made < n:
        picture = scene(rng)
        shots = long_burst if not made else min(4, n - made)
        is_dated = made == 0 or rng.random() > 0.1
        now += 600
        for _ in range(shots):
            now += float(rng.uniform(1, 3))
            left, top = rng.integers(0, 24, 2)
            shot = picture[top : top + SIZE[1], left : left + SIZE[0]].astype(np.float32) * rng.uniform(0.8, 1.15)
            shot = cv2.GaussianBlur(shot, (0, 0), rng.uniform(0.3, 1.5))
            exif = Image.Exif()
            if is_dated:
                taken = (START + timedelta(seconds=now)).strftime("%Y:%m:%d %H:%M:%S")
                exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = taken
            place = folder / f"{made // 1000:03d}"
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.clip(shot, 0, 255).astype(np.uint8)).save(
                place / f"{made:06d}.jpg", quality=90, exif=exif
            )
            made += 1


class ByDetail:
    """Orders series by comparisons, as an assessor does; the judge is the strength of fine structure."""

    n_comparisons = 0

    @property
    def provenance(self) -> Mapping[str, Any]:
        return {"model": "detail", "revision": "1", "prompt_id": None, "mode": None}

    def rank(
        self, series: Sequence[Pictures], kept: Path, on_prepared: OnPrepared | None = None
    ) -> Iterator[Ranked | Unranked]:
        return map(self._rank, series)

    def _rank(self, pictures: Pictures) -> Ranked:
        ids = sorted(pictures)
        detail = [self._detail(pictures[picture].path) for picture in ids]
        schedule, answers = Schedule(len(ids)), []
        while pairs := schedule.next_round():
            for i, j in pairs:
                said = float(sigmoid(np.asarray(detail[i] - detail[j])))
                schedule.record(i, j, said, 2.0)
                answers.append(PairAnswer(first=ids[i], second=ids[j], probability=said))
        self.n_comparisons += len(answers)
        found = rank(ids, answers)
        return Ranked(found.order, found.scores, "logits", found.errors, len(answers), 0, 0, found.n_cycles, None)

    @staticmethod
    def _detail(path: Path) -> float:
        grey = np.asarray(load_image(path).image.convert("L"), dtype=np.float32)
        return float(np.log1p(np.abs(cv2.Laplacian(grey, cv2.CV_32F)).mean()))


def one_run(folder: Path, out: Path) -> None:
    cv2.setNumThreads(1)
    ranker = ByDetail()
    start = time.process_time()
    summary = rank_folder(folder, out, ranker)
    cpu, peak = time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    written = sum(file.stat().st_size for file in out.iterdir() if file.is_file()) / 2**20
    print(
        f"{summary.n_pictures:6} pictures: {summary.n_series} series, {summary.n_singles} alone, "
        f"{ranker.n_comparisons} comparisons; {cpu:.0f} s of CPU, {1e3 * cpu / summary.n_pictures:.0f} ms a picture; "
        f"peak {peak:.0f} MiB; written {written:.0f} MiB",
        flush=True,
    )


def main(args: argparse.Namespace) -> int:
    if args.one is not None:
        one_run(args.one, args.work)
        return 0
    for n in args.pictures:
        folder, out = args.work / f"photos_{n}", args.work / f"out_{n}"
        if not folder.exists():
            make_folder(folder, n)
        shutil.rmtree(out, ignore_errors=True)
        command = [sys.executable, __file__, "--one", str(folder), "--work", str(out)]
        subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, nargs="+", default=[1000, 2500, 10_000])
    parser.add_argument("--work", type=Path, default=Path("runs/large_folder"), help="where pictures and results go")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    sys.exit(main(parser.parse_args()))
