"""A folder of photographs ranked by series on the embedded model: time, memory, and kill -9 on the way, twice.

    python benchmarks/rank_folder.py PHOTOS [--pictures 1000] [--shots 4] [--work runs/rank_folder]

Makes folders of series out of photographs: each photograph is cropped, shifted a little and edited with the embedded
operations, and its shots get capture times two seconds apart. `redaes rank` runs on them: killed with SIGKILL when a
quarter of the series are answered, started again, killed at a half, started again. Then it runs once more into another
folder without being killed. Printed: time, pictures a second, resident memory along the way, whether every picture is
in the result exactly once, whether a kept answer was asked again, and whether both results are equal. Ends with 1
unless they are.
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
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from redaes.datagen.editors.parametric import OPERATIONS, apply_edit
from redaes.images import list_images, load_image

START = datetime(2024, 1, 1)
CODE = "from redaes.cli import main; main()"
SCENES_A_DAY = 50  # each day's pictures lie in a folder of their own, as cameras and programs leave them


def make_folder(photographs: list[Path], folder: Path, n_pictures: int, shots: int) -> None:
    rng = random.Random(0)
    made = 0
    for scene in range(-(-n_pictures // shots)):
        source = load_image(photographs[scene % len(photographs)], max_pixels=400_000).image
        width, height = source.size
        place = folder / f"day {scene // SCENES_A_DAY + 1:02d}"
        place.mkdir(parents=True, exist_ok=True)
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
            Image.fromarray(pixels).save(place / f"{scene:04d}_{shot}.jpg", quality=92, exif=exif)
            made += 1


@dataclass
class Run:
    """One start of the command, and what was seen of it."""

    name: str
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    readings: list[tuple[int, float]] = field(default_factory=list)
    """(series answered, resident MiB), every half second."""

    def report(self) -> None:
        marks = [self.readings[round(share * (len(self.readings) - 1))] for share in (0.1, 0.25, 0.5, 0.75, 1.0)]
        along = ", ".join(f"{done}: {mib:.0f}" for done, mib in marks)
        print(
            f"{self.name}: {self.seconds:.0f} s ({self.cpu_seconds:.0f} s of CPU); resident MiB at series {along}; "
            f"highest {max(mib for _, mib in self.readings):.0f}"
        )


def usage(pid: int) -> tuple[float, float]:
    """Resident MiB and CPU seconds of a process; zeros once it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0, 0.0
    resident = [int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS:")]
    return (resident or [0.0])[0], (int(times[11]) + int(times[12])) / 100


def answers(out: Path) -> list[Path]:
    return sorted((out / "answers").glob("[!.]*.json"))


def launch(name: str, folder: Path, out: Path, options: list[str], stop_at: int | None) -> Run:
    """The command from its start to its end, or to SIGKILL once so many series have answers."""
    command = [sys.executable, "-c", CODE, "rank", str(folder), "--out", str(out), *options]
    run = Run(name)
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        n_answered = len(answers(out))
        resident, cpu = usage(process.pid)
        if resident:
            run.readings.append((n_answered, resident))
            run.cpu_seconds = cpu
        if stop_at is not None and n_answered >= stop_at:
            process.send_signal(signal.SIGKILL)
            process.wait()
            break
        time.sleep(0.5)
    run.seconds = time.perf_counter() - start
    if process.returncode not in (0, -signal.SIGKILL):
        raise SystemExit(f"redaes rank ended with {process.returncode}")
    return run


def whole_answers(out: Path) -> dict[str, int]:
    """When each series' answers were last written, for those that have their explanation: the last thing asked."""
    return {
        path.name: path.stat().st_mtime_ns
        for path in answers(out)
        if json.loads(path.read_text())["explanation"] is not None
    }


def main(args: argparse.Namespace) -> int:
    photographs = list_images(args.photos, recursive=True)
    random.Random(1).shuffle(photographs)
    folder = args.work / "photos"
    if not folder.exists():
        make_folder(photographs, folder, args.pictures, args.shots)
    n_scenes = -(-args.pictures // args.shots)
    options = ["--device", "cpu"]
    runs, n_again = [], 0
    out = args.work / "killed"
    for name, stop_at in (("first", n_scenes // 4), ("second", n_scenes // 2), ("third", None)):
        kept = whole_answers(out)
        runs.append(launch(f"{name} start", folder, out, options, stop_at))
        now = {path.name: path.stat().st_mtime_ns for path in answers(out)}
        n_again += sum(now[answered] != when for answered, when in kept.items())
        if stop_at is not None:
            print(f"killed with {len(now)} series begun, {len(whole_answers(out))} of them whole")
    runs.append(launch("not killed", folder, args.work / "whole", options, None))
    text = (out / "ranking.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    equal = text == (args.work / "whole" / "ranking.jsonl").read_text()
    places = Counter(Path(picture["path"]).name for line in lines for picture in line["pictures"])
    once = len(places) == args.pictures and set(places.values()) == {1}
    mixed = sum(len({Path(one["path"]).name[:4] for one in line["pictures"]}) > 1 for line in lines)
    sizes = ", ".join(f"{n} of {size}" for size, n in sorted(Counter(len(line["pictures"]) for line in lines).items()))
    n_explained = sum(line["explanation"] is not None for line in lines)
    print(f"{args.pictures} pictures of {n_scenes} scenes in {len(lines)} series: {sizes}; {mixed} mix scenes")
    print(f"questions for the order: {sum(line['n_calls'] for line in lines)}, for the reasons: {2 * n_explained};")
    print(f"  unusable: {sum(line['n_failed'] for line in lines)}")
    print(f"each picture exactly once: {once}; kept answers asked again: {n_again}")
    print(f"the result equals that of the run that was not killed, byte for byte: {equal}")
    for run in runs:
        run.report()
    print(f"not killed: {args.pictures / runs[-1].seconds:.2f} pictures/s")
    return 0 if equal and once and not n_again else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="a folder of photographs; its folders are searched")
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--shots", type=int, default=4, help="pictures per series")
    parser.add_argument("--work", type=Path, default=Path("runs/rank_folder"), help="where pictures and results go")
    sys.exit(main(parser.parse_args()))
