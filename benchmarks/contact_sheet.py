"""What a contact sheet takes: bytes, processor time and memory, for made-up pictures in series of four.

    python benchmarks/contact_sheet.py [--pictures 1000 4000] [--work runs/contact_sheet]

The pictures have 640 x 480 pixels; half of them are noise, the most that a thumbnail can have to hold. Each size is run
in a process of its own; the time is of writing the pages alone.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from redaes.culling.sheet import SheetPicture
from redaes.culling.sheet_pages import ContactSheet

SERIES = 4


def make_pictures(folder: Path, n: int) -> list[Path]:
    """The pictures; every other one is noise."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    paths = []
    for number in range(n):
        path = folder / f"{number:06d}.jpg"
        cells = (48, 36) if number % 2 else (640, 480)
        pixels = rng.integers(0, 256, (*cells[::-1], 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((640, 480), Image.Resampling.BICUBIC).save(path, quality=90)
        paths.append(path)
    return paths


def measure(work: Path, n: int) -> None:
    """Write the sheet of so many pictures and print what it took."""
    shutil.rmtree(work, ignore_errors=True)
    paths = make_pictures(work / "pictures", n)
    out = work / "out"
    out.mkdir()
    started = time.process_time()
    with ContactSheet(out, work / "pictures", [SERIES] * (n // SERIES)) as pages:
        for start in range(0, n, SERIES):
            pages.series(f"{start // SERIES + 1:04d}", SERIES, None, None, None)
            for place, path in enumerate(paths[start : start + SERIES], 1):
                picture = SheetPicture(path, path.name, pages.link(path), place, (0.5, 0.1), "logits", "", "Green")
                pages.picture(picture)
            pages.end_series()
        pages.end([], [])
    took = time.process_time() - started
    sizes = [path.stat().st_size for path in out.glob("*.html")]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{n} pictures: {len(sizes)} pages, {sum(sizes) / 1e6:.1f} MB in all, largest {max(sizes) / 1e6:.2f} MB, "
        f"{sum(sizes) / n / 1e3:.1f} kB and {took / n * 1e3:.1f} ms of processor time each, {peak:.0f} MiB at most",
        flush=True,
    )


def main() -> None:
    """Each size in a process of its own, because a process's peak of memory never falls."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, nargs="+", default=[1000, 4000], help="multiples of four")
    parser.add_argument("--work", type=Path, default=Path("runs/contact_sheet"), help="where the pictures are made")
    args = parser.parse_args()
    if len(args.pictures) == 1:
        measure(args.work, args.pictures[0])
        return
    for n in args.pictures:
        command = [sys.executable, __file__, "--pictures", str(n), "--work", str(args.work)]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
