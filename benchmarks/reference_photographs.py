"""The pictures that single pictures are scored against by default: how they were made, and what their scores can tell.

    python benchmarks/reference_photographs.py --make redaes/reference_photographs
    python benchmarks/reference_photographs.py --photos PHOTOS

The first makes the files of the package from the photographs of scikit-image. The second scores photographs, each as
it is and with each of the faults that the references have, against those of the package and, beside it, against the six
photographs of scikit-image and scikit-learn as they are, with the embedded model.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter

from redaes import Assessor, ReferenceSet
from redaes.images import list_images, load_image
from redaes.reference_photographs import reference_photographs
from redaes.samples import sample_photographs

SIDE = 512
QUALITY = 90


def blurred(image: Image.Image, _: np.random.Generator) -> Image.Image:
    """Out of focus."""
    return image.filter(ImageFilter.GaussianBlur(image.width / 150))


def noisy(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Grain of one standard deviation of 28 levels, the same in all channels."""
    pixels = np.asarray(image, dtype=np.float32)
    grain = rng.normal(0, 28, pixels.shape[:2])[..., None]
    return Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8))


def dark(image: Image.Image, _: np.random.Generator) -> Image.Image:
    """Values at two fifths."""
    return ImageEnhance.Brightness(image).enhance(0.4)


def tinted(image: Image.Image, _: np.random.Generator) -> Image.Image:
    """A yellow cast."""
    pixels = np.asarray(image, dtype=np.float32) * np.array([1.15, 1.0, 0.6])
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


Fault = Callable[[Image.Image, np.random.Generator], Image.Image]
FAULTS: dict[str, Fault] = {"astronaut": blurred, "chelsea": noisy, "coffee": dark, "rocket": tinted}
"""The fault of each photograph."""


def make(folder: Path) -> None:
    """Write the files of the package."""
    rng = np.random.default_rng(0)
    places = {sample.name: sample.path for sample in sample_photographs()}
    for name, fault in FAULTS.items():
        with Image.open(places[name]) as opened:
            image = opened.convert("RGB")
        image.thumbnail((SIDE, SIDE))
        image.save(folder / f"{name}.jpg", quality=QUALITY)
        fault(image, rng).save(folder / f"{name}-{fault.__name__}.jpg", quality=QUALITY)


def interval(values: NDArray[np.float64], rng: np.random.Generator) -> str:
    """A mean over photographs, with the interval of 1,000 draws of them."""
    draws = np.array([rng.choice(values, len(values)).mean() for _ in range(1000)])
    low, high = np.percentile(draws, [2.5, 97.5])
    return f"{values.mean():.2f} [{low:.2f}, {high:.2f}]"


def measure(photos: Path, n_photographs: int, side: int) -> None:
    """Print a table of scores."""
    assessor = Assessor(mode="fast")
    sets: dict[str, ReferenceSet] = {}
    for name, pictures in (
        ("package", reference_photographs()),
        ("six photographs", [sample.path for sample in sample_photographs()]),
    ):
        begun = time.process_time()
        sets[name] = assessor.reference_set(name, pictures)
        took = time.process_time() - begun
        print(f"{name}: ranked with {sets[name].ranking.n_calls} questions in {took:.1f} CPU-seconds")
    chosen = random.Random(0).sample(list_images(photos, recursive=True), n_photographs)
    rng = np.random.default_rng(0)
    scores: dict[tuple[str, str], list[float]] = {}
    errors: dict[str, list[float]] = {name: [] for name in sets}
    for path in chosen:
        image = load_image(path).image
        image.thumbnail((side, side))
        shown = {"as it is": image, **{fault.__name__: fault(image, rng) for fault in FAULTS.values()}}
        for kind, picture in shown.items():
            for name, references in sets.items():
                found = assessor.score(picture, references)
                scores.setdefault((name, kind), []).append(found.score)
                errors[name].append(found.error)
    for name in sets:
        print(f"\n{name}: mean standard error {np.mean(errors[name]):.2f} points")
        print("| | score | lower than as it is | lower than another photograph as it is |\n|---|---|---|---|")
        whole = np.array(scores[name, "as it is"])
        for kind in ("as it is", *(fault.__name__ for fault in FAULTS.values())):
            values = np.array(scores[name, kind])
            cells = ["", ""]
            if kind != "as it is":
                cells = [interval((values < whole).astype(float), rng), f"{(values[:, None] < whole).mean():.2f}"]
            print(f"| {kind} | {interval(values, rng)} | {cells[0]} | {cells[1]} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--make", type=Path, metavar="DIR", help="write the files of the package there")
    parser.add_argument("--photos", type=Path, metavar="DIR", help="photographs to score")
    parser.add_argument("--number", type=int, default=24, help="of them")
    parser.add_argument("--side", type=int, default=640, help="to which they are shrunk")
    args = parser.parse_args()
    if args.make is None and args.photos is None:
        parser.error("give --make or --photos")
    if args.make is not None:
        make(args.make)
    if args.photos is not None:
        measure(args.photos, args.number, args.side)
    sys.exit(0)


if __name__ == "__main__":
    main()
