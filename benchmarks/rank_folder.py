"""A folder of photographs ranked by series on the embedded model: time, memory, and a kill -9 on the way.

    python benchmarks/rank_folder.py PHOTOS [--pictures 1000] [--shots 4] [--work /tmp/rank_folder]

Makes a folder of series out of photographs: each is shifted a little and edited with the embedded operations, and gets
capture times two seconds apart. `redaes rank` runs on it, is killed with SIGKILL when two fifths of the series are
answered, and is started again. Printed: wall time and resident memory over the series, whether every picture is in the
result exactly once, and whether any kept answer was asked again.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from redaes.datagen.editors.embedded import OPERATIONS, apply_edit
from redaes.images import IMAGE_SUFFIXES, load_image

START = datetime(2024, 1, 1)
CODE = "from redaes.cli import main; main()"


def make_folder(photographs: list[Path], folder: Path, n_pictures: int, shots: int) -> None:
    folder.mkdir(parents=True)
    rng = random.Random(0)
    made = 0
    for scene in range(-(-n_pictures // shots)):
        source = load_image(photographs[scene % len(photographs)], max_pixels=400_000).image
        width, height = source.size
        for shot in range(min(shots, n_pictures - made)):
            # Another crop for each round over the photographs, so that a repeated one is another scene.
            left, top = rng.randrange(1 + width // 40), rng.randrange(1 + height // 40)
            crop = source.crop((left, top, left + width - width // 40, top + height - height // 40))
            pixels = np.asarray(crop)
            if shot:
                operation = rng.choice(sorted(OPERATIONS))
                pixels = apply_edit(pixels, operation, rng.choice((0.3, 0.6, 1.0)), made)
            exif = Image.Exif()
            taken = START + timedelta(minutes=5 * scene, seconds=2 * shot)
            exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = taken.strftime("%Y:%m:%d %H:%M:%S")
            Image.fromarray(pixels).save(folder / f"{scene:04d}_{shot}.jpg", quality=92, exif=exif)
            made += 1


def resident_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0  # the process has just ended


def run(folder: Path, out: Path, stop_at: int | None) -> tuple[float, list[tuple[int, float]]]:
    """Seconds, and (series answered, resident MiB) every second; killed once so many series are answered."""
    command = [sys.executable, "-c", CODE, "rank", str(folder), "--out", str(out)]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    readings: list[tuple[int, float]] = []
    while process.poll() is None:
        answered = len(list((out / "answers").glob("[!.]*.json")))
        readings.append((answered, resident_mib(process.pid)))
        if stop_at is not None and answered >= stop_at:
            process.send_signal(signal.SIGKILL)
            process.wait()
            return time.perf_counter() - start, readings
        time.sleep(1.0)
    if process.returncode != 0:
        raise SystemExit(f"redaes rank ended with {process.returncode}")
    return time.perf_counter() - start, readings


def main(args: argparse.Namespace) -> None:
    photographs = sorted(path for path in args.photos.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    random.Random(1).shuffle(photographs)
    folder, out = args.work / "photos", args.work / "out"
    if not folder.exists():
        make_folder(photographs, folder, args.pictures, args.shots)
    n_scenes = -(-args.pictures // args.shots)
    before, first = run(folder, out, stop_at=2 * n_scenes // 5)
    kept = {path.name: path.stat().st_mtime_ns for path in (out / "answers").glob("[!.]*.json")}
    # The one under way may have had its answers and not yet its explanation.
    whole = {name for name in kept if json.loads((out / "answers" / name).read_text())["explanation"] is not None}
    after, second = run(folder, out, stop_at=None)
    again = [name for name in whole if (out / "answers" / name).stat().st_mtime_ns != kept[name]]
    lines = [json.loads(line) for line in (out / "ranking.jsonl").read_text().splitlines()]
    places = Counter(Path(picture["path"]).name for line in lines for picture in line["pictures"])
    scenes = Counter(tuple(sorted({Path(one["path"]).name[:4] for one in line["pictures"]})) for line in lines)
    sizes = sorted(Counter(len(line["pictures"]) for line in lines).items())
    print(f"{args.pictures} pictures of {n_scenes} scenes: {len(lines)} series, sizes {sizes}")
    print(f"series that mix scenes: {sum(count for mixed, count in scenes.items() if len(mixed) > 1)}")
    print(f"each picture exactly once: {len(places) == args.pictures and set(places.values()) == {1}}")
    print(f"questions: {sum(line['n_calls'] for line in lines)}, unusable: {sum(line['n_failed'] for line in lines)}")
    print(f"killed after {before:.0f} s with {len(whole)} series whole; asked again of those: {len(again)}")
    print(f"second run: {after:.0f} s")
    for name, readings in (("first", first), ("second", second)):
        marks = [readings[round(share * (len(readings) - 1))] for share in (0.1, 0.25, 0.5, 0.75, 1.0)]
        print(f"resident, {name} run (series: MiB): {', '.join(f'{done}: {mib:.0f}' for done, mib in marks)}")
        print(f"  highest: {max(mib for _, mib in readings):.0f} MiB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="a folder of photographs; subfolders are searched")
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--shots", type=int, default=4, help="pictures per series")
    parser.add_argument("--work", type=Path, default=Path("/tmp/rank_folder"), help="where pictures and results go")
    main(parser.parse_args())
