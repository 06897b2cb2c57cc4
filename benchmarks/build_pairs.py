"""How fast pairs are built, against the plain way, and how much memory it takes.

    python benchmarks/build_pairs.py my_photographs other_photographs --out /tmp/red --workers 2

Builds twice with the product (``--small`` and ``--large`` pairs aimed at: does memory grow?), then takes a sample of
the same pairs the plain way: one process, and for every pair the photograph is decoded in full and both pictures are
edited, judged and encoded anew. Prints pairs per second, the ratio, and peak memory (the largest process, the
product's own process beside it).
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from redaes.datagen.editors.parametric import apply_edit
from redaes.datagen.judges import visible_difference
from redaes.datagen.judges.cover import covered
from redaes.datagen.parametric_groups import MIN_LOSS, might_improve
from redaes.datagen.picture_groups import JPEG_QUALITY
from redaes.datagen.plan import PlannedEdit, plan_view
from redaes.datagen.rationales import PairObservation, look, write_rationale
from redaes.datagen.severity import COVERING, severity
from redaes.datagen.sources import Source, curate
from redaes.evidence.pair import measure_pair
from redaes.evidence.picture import measure
from redaes.types import Edit

MAX_SIDE = 256
BUILD = """
import json, resource, sys, time
from pathlib import Path
from redaes.datagen.dataset_settings import DatasetSettings
from redaes.datagen.pipeline import build
if __name__ == "__main__":
    photographs, out, views, workers = sys.argv[1].split("|"), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    started = time.perf_counter()
    report = build([Path(p) for p in photographs], out, DatasetSettings(views=views), workers=workers)
    seconds = time.perf_counter() - started
    peak = {who: resource.getrusage(getattr(resource, f"RUSAGE_{who}")).ru_maxrss for who in ("SELF", "CHILDREN")}
    print(json.dumps({"pairs": sum(report["pairs"].values()), "seconds": seconds, "peak_kib": peak}))
"""


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("photographs", nargs="+", type=Path, help="folders of photographs")
    parser.add_argument("--out", type=Path, required=True, help="folder for the datasets; the large one is kept")
    parser.add_argument("--small", type=int, default=1000, help="pairs of the small dataset, about")
    parser.add_argument("--large", type=int, default=20_000, help="pairs of the large dataset, at least")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--sample", type=int, default=60, help="photographs of the plain loop's sample")
    return parser.parse_args()


def product(photographs: list[Path], out: Path, views: int, workers: int) -> dict[str, float]:
    """Build in a process of its own, so that its peak memory is its own."""
    shutil.rmtree(out, ignore_errors=True)
    script = out.with_suffix(".py")  # workers are started from a file's __main__
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(BUILD)
    command = [sys.executable, str(script), "|".join(map(str, photographs)), str(out), str(views), str(workers)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return {
        "pairs": found["pairs"],
        "seconds": found["seconds"],
        "peak_mib": max(found["peak_kib"].values()) / 1024,
        "driver_mib": found["peak_kib"]["SELF"] / 1024,
    }


def plain_picture(source: Source, rows: list[PlannedEdit], planned: PlannedEdit | None) -> tuple[np.ndarray, float]:
    """Open the photograph, decode all of it, and make one picture and its loss, sharing nothing."""
    with Image.open(source.path) as image:
        full = ImageOps.exif_transpose(image).convert("RGB")
    view = full.crop(rows[0].frame.box(*full.size))
    view.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    reference = np.asarray(view, dtype=np.uint8)
    for shared in (row for row in rows if row.role == "shared"):
        reference = _apply(reference, shared.edit)
    if planned is None:
        return reference, 0.0
    pixels = _apply(reference, planned.edit)
    loss = 0.0
    done = planned.edit
    if planned.role == "member" and not might_improve(done.operation, measure(reference), measure(pixels)):
        change = covered if done.operation in COVERING else visible_difference
        loss = severity(done.operation, done.strength, change(reference, pixels)).loss
    return (pixels if planned.cover is None else _apply(pixels, planned.cover)), loss


def _apply(pixels: np.ndarray, edit: Edit) -> np.ndarray:
    return apply_edit(pixels, edit.operation, edit.strength, edit.seed)


def plain(sources: list[Source], out: Path) -> dict[str, float]:
    """Pairs of one view of each photograph, the plain way."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    n_pairs = 0
    started = time.perf_counter()
    for source in sources:
        rows = plan_view(source.id, source.split, 1, 3, 0)
        members = [None, *(row for row in rows if row.role == "member")]
        for one, other in itertools.combinations(members, 2):
            (first, loss), (second, other_loss) = (plain_picture(source, rows, planned) for planned in (one, other))
            if (one and loss < MIN_LOSS) or (other and other_loss < MIN_LOSS):
                continue
            one_edit, other_edit = (None if planned is None else planned.edit for planned in (one, other))
            seen = PairObservation(measure_pair(first, second), (look(first), look(second)))
            write_rationale(seen, (one_edit, other_edit), (loss, other_loss), 0)
            write_rationale(seen.swapped(), (other_edit, one_edit), (other_loss, loss), 0)
            for side, pixels in enumerate((first, second)):
                Image.fromarray(pixels).save(out / f"{n_pairs}-{side}.jpg", quality=JPEG_QUALITY, subsampling=0)
            n_pairs += 1
    return {"pairs": n_pairs, "seconds": time.perf_counter() - started}


def main(args: argparse.Namespace) -> None:
    """Measure, and print the table."""
    curation = curate(args.photographs, test_fraction=0.2, seed=0)
    sources = curation.sources
    # About 4.7 pairs are kept of each view; twenty thousand shall surely be reached.
    views = {name: max(1, math.ceil(wanted / (4.3 * len(sources)))) for name, wanted in
             (("small", args.small), ("large", args.large))}  # fmt: skip
    figures = {
        name: product(args.photographs, args.out / name, views[name], args.workers) for name in ("small", "large")
    }
    step = max(1, len(sources) // args.sample)
    naive = plain(sources[::step], args.out / "plain")
    print(f"{len(sources)} photographs, {args.workers} workers, {platform.machine()}, {os.cpu_count()} cores")
    for name, found in figures.items():
        print(
            f"{name}: {found['pairs']} pairs, {found['seconds']:.1f} s with curation, "
            f"{found['pairs'] / found['seconds']:.1f} pairs/s, peak {found['peak_mib']:.0f} MiB in one process, "
            f"{found['driver_mib']:.0f} MiB in the driver"
        )
    print(f"plain loop: {naive['pairs']} pairs, {naive['pairs'] / naive['seconds']:.1f} pairs/s")
    large = figures["large"]
    print(f"ratio: {large['pairs'] / large['seconds'] / (naive['pairs'] / naive['seconds']):.2f}")
    print(f"memory, large over small: {large['peak_mib'] / figures['small']['peak_mib']:.3f}")


if __name__ == "__main__":
    main(parse_args())
