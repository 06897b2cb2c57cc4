"""A built dataset and an imported one, each trained on alone and both merged: what does mixing cost either of them?

    python benchmarks/mixed_stages.py --photographs DIR --out runs/mixed

The built set: edits of photographs (``redaes data build``). The imported one: of other photographs, a warm and an
equally cool version each at three strengths, which a built dataset has no opinion about; seven made-up voters, who
like the warmer one with probability .9, are counted, written as a CSV of votes and imported. All three stages train
from ``redaes/nano`` as the commands do, once over each, and both sets' held-out pairs are asked of each result. The
merged set has the pairs of both, so each set is seen as often as when it is alone.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from redaes.backends.local import LocalBackend
from redaes.estimates import Estimate
from redaes.file_writing import write_json
from redaes.heldout import HeldOut, evaluate, paired_change
from redaes.images import load_image
from redaes.records import read_records
from redaes.types import Sampling

STRENGTHS = (0.3, 0.6, 1.0)
VOTERS, LIKES = 7, 0.9
STAGES = {
    "sft": ["--num_train_epochs", "1"],
    "align": ["--num_train_epochs", "3"],
    "grpo": [
        "--num_train_epochs", "0.2", "--mode", "fast", "--rewards", "format", "preference", "verdict", "difference",
        "--reward_weights", "0.2", "1", "1", "1", "--num_generations", "4", "--per_device_train_batch_size", "24",
        "--steps_per_generation", "1", "--max_completion_length", "14", "--completion_page_steps", "0",
    ],
}  # fmt: skip
"""Beside the recipes ``nano``, which say ``max_steps``."""


def parse_args() -> argparse.Namespace:
    """Photographs, sizes and where to work."""
    parser = argparse.ArgumentParser(description="stages on a built and an imported set, alone and merged")
    parser.add_argument("--photographs", type=Path, required=True, help="folder of photographs")
    parser.add_argument("--built", type=int, default=50, help="photographs of the built set")
    parser.add_argument("--imported", type=int, default=70, help="photographs of the imported set")
    parser.add_argument("--max-side", type=int, default=112, help="longest side of the pictures, in pixels")
    parser.add_argument("--test-fraction", type=float, default=0.4, help="share of the photographs that is held out")
    parser.add_argument("--seed", type=int, default=0, help="of photographs, votes and training")
    parser.add_argument("--out", type=Path, default=Path("runs/mixed"), help="folder for all of it")
    return parser.parse_args()


def redaes(*words: str | Path) -> None:
    """Run a command; it ends the benchmark where it fails."""
    sys.stderr.write(f"redaes {' '.join(map(str, words[:3]))} …\n")
    subprocess.run([sys.executable, "-m", "redaes", *map(str, words)], check=True, stdout=subprocess.DEVNULL)


def warmed(photograph: Image.Image, strength: float) -> Image.Image:
    """Warmer, below 0 cooler."""
    gains = np.array([1 + 0.25 * strength, 1.0, 1 - 0.25 * strength])
    return Image.fromarray((np.asarray(photograph, np.float64) * gains).clip(0, 255).astype(np.uint8))


def write_votes(photographs: list[Path], folder: Path, max_side: int, chance: random.Random) -> Path:
    """The pictures of the imported set, and the votes about them."""
    folder.mkdir(parents=True)
    rows = []
    for number, file in enumerate(photographs):
        photograph = load_image(file, max_pixels=512 * 512).image
        photograph.thumbnail((max_side, max_side))
        for strength in STRENGTHS:
            names = [f"{number}_{way}_{strength}.jpg" for way in ("warm", "cool")]
            for name, sign in zip(names, (1, -1), strict=True):
                warmed(photograph, sign * strength).save(folder / name, quality=92)
            for_warm = sum(chance.random() < LIKES for _ in range(VOTERS))
            sides = [(names[0], for_warm), (names[1], VOTERS - for_warm)]
            chance.shuffle(sides)
            (first, votes_first), (second, votes_second) = sides
            rows.append([first, second, votes_first, votes_second, f"photograph {number}"])
    with (folder / "votes.csv").open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["first", "second", "votes_first", "votes_second", "source"])
        writer.writerows(rows)
    return folder / "votes.csv"


def trained(name: str, data: Path, out: Path, seed: int) -> Path:
    """The adapter of stage 3, from ``redaes/nano`` by all three stages."""
    before: list[str | Path] = []
    for stage, more in STAGES.items():
        folder = out / name / stage
        redaes(
            "train", stage, "--config", "nano", "--model", "redaes/nano", "--data", data, "--output_dir", folder,
            "--max_steps", "-1", "--seed", str(seed), "--disable_tqdm", "true", *more, *before,
        )  # fmt: skip
        before = ["--adapter", folder / "final"]
    return Path(before[1])


def asked(adapter: Path | None, data: Path) -> HeldOut:
    """What a model says of a set's held-out pairs, in the fast mode."""
    backend = LocalBackend("redaes/nano", adapter=adapter)
    return evaluate(backend, list(read_records(data, "test")), n_reasoned=0, sampling=Sampling(), seed=0)


def shown(value: Estimate) -> str:
    """A figure with its interval."""
    if value.value is None or value.low is None or value.high is None:
        return "-"
    return f"{value.value:.3f} [{value.low:.3f}, {value.high:.3f}]"


def main(args: argparse.Namespace) -> None:
    """Make the sets, train, ask, print."""
    files = sorted(file for file in args.photographs.rglob("*") if file.suffix.lower() in (".jpg", ".jpeg", ".png"))
    chance = random.Random(args.seed)
    chance.shuffle(files)
    if len(files) < args.built + args.imported:
        sys.exit(
            f"{args.photographs} has {len(files)} photographs; give {args.built + args.imported}, or ask for fewer"
        )
    built, imported, mixed = (args.out / name for name in ("set_built", "set_imported", "set_mixed"))
    started = time.perf_counter()
    redaes(
        "data", "build", *files[: args.built], "--out", built, "--views", "1", "--max-side", str(args.max_side),
        "--test-fraction", str(args.test_fraction), "--seed", str(args.seed), "--workers", "1",
    )  # fmt: skip
    votes = write_votes(files[args.built : args.built + args.imported], args.out / "votes", args.max_side, chance)
    redaes("data", "import", votes, "--out", imported, "--test-fraction", str(args.test_fraction))
    redaes("data", "merge", built, imported, "--out", mixed)
    adapters: dict[str, Path | None] = {"before": None}
    for name, data in (("built alone", built), ("imported alone", imported), ("merged", mixed)):
        adapters[name] = trained(name.replace(" ", "_"), data, args.out, args.seed)
    found: dict[str, dict[str, HeldOut]] = {}
    print("| trained on | built set, held out | imported set, held out |\n|---|---|---|")
    for name, adapter in adapters.items():
        found[name] = {which: asked(adapter, data) for which, data in (("built", built), ("imported", imported))}
        print(f"| {name} | {' | '.join(shown(one.fast.accuracy) for one in found[name].values())} |", flush=True)
    changes = {
        which: paired_change(found[f"{which} alone"][which], found["merged"][which]) for which in ("built", "imported")
    }
    print(f"| merged minus alone | {' | '.join(map(shown, changes.values()))} |")
    sizes = {
        data.name: {split: sum(1 for _ in read_records(data, split)) for split in ("train", "test")}  # type: ignore[arg-type]
        for data in (built, imported, mixed)
    }
    used = os.times()
    cpu_s = used.user + used.system + used.children_user + used.children_system
    print(f"pairs: {sizes}; {cpu_s / 60:.1f} CPU-minutes, {(time.perf_counter() - started) / 60:.1f} by the clock")
    write_json(
        args.out / "results.json",
        {
            "accuracy": {
                name: {which: one.fast.accuracy.model_dump() for which, one in its.items()}
                for name, its in found.items()
            },
            "change": {which: change.model_dump() for which, change in changes.items()},
            "pairs": sizes,
            "cpu_s": round(cpu_s, 1),
        },
    )


if __name__ == "__main__":
    main(parse_args())
