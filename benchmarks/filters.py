"""How often the measuring filters are wrong, on photographs of your own with the embedded edits.

    python benchmarks/filters.py PHOTOS [--photos 40] [--different 4000] [--seed 0]

False rejections: every embedded operation at strengths 0.3, 0.6 and 1 is an edit of the same scene, so
``other_scene``, ``border``, ``jpeg_grid`` and ``neon`` are mistakes, and so is ``no_effect`` unless the operation is
neutral. False acceptances of the same-scene check: random pairs of different photographs that pass. Found leaks:
borders, block grids and another size that are put on on purpose.
"""

from __future__ import annotations

import argparse
import io
import itertools
import random
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from PIL import Image

from redaes.datagen import filters
from redaes.datagen.editors.parametric import OPERATIONS, apply_edit
from redaes.images import IMAGE_SUFFIXES, load_image

STRENGTHS = (0.3, 0.6, 1.0)
THRESHOLDS = (8, 10, 12, 15, 20)


def _percent(part: int, whole: int) -> str:
    return f"{part} of {whole} ({100 * part / whole:.2f} %)" if whole else "none"


def _jpeg(pixels: filters.ByteImage, quality: int) -> filters.ByteImage:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


def _letterboxed(pixels: filters.ByteImage) -> filters.ByteImage:
    boxed = pixels.copy()
    depth = max(2, pixels.shape[0] // 20)
    boxed[:depth] = boxed[-depth:] = 0
    return boxed


def _same_scene(pictures: list[filters.ByteImage]) -> None:
    reasons: Counter[tuple[str, str, float]] = Counter()
    places: list[tuple[int, str, float]] = []
    n_edits = 0
    for number, picture in enumerate(pictures):
        for (name, operation), strength in itertools.product(sorted(OPERATIONS.items()), STRENGTHS):
            edited = apply_edit(picture, name, strength, number)
            n_edits += 1
            for reason in filters.leaks(picture, edited, operation.factor):
                reasons[reason, name, strength] += 1
            mean, cell = filters.colour_change(picture, edited)
            if mean < filters.MIN_MEAN_CHANGE and cell < filters.MIN_CELL_CHANGE:
                reasons["no_effect", name, strength] += 1
            shared = filters.shared_places(picture, edited)
            if shared < max(THRESHOLDS):  # the mirror image can only help where the picture itself does not
                shared = max(shared, filters.shared_places(picture, np.ascontiguousarray(edited[:, ::-1])))
            places.append((shared, name, strength))
    print(f"\n{len(pictures)} photographs, {n_edits} edits of the same scene")
    for threshold in THRESHOLDS:
        print(f"  other_scene below {threshold} places: {_percent(sum(p[0] < threshold for p in places), len(places))}")
    for strength in STRENGTHS:
        lost = Counter(p[1] for p in places if p[2] == strength and p[0] < filters.MIN_PLACES)
        n_all = sum(p[2] == strength for p in places)
        print(f"  at strength {strength}, below {filters.MIN_PLACES}: {_percent(lost.total(), n_all)} {dict(lost)}")
    by_reason: dict[str, Counter[str]] = defaultdict(Counter)
    for (reason, name, strength), count in reasons.items():
        by_reason[reason][f"{name} {strength}"] += count
    for reason, where in sorted(by_reason.items()):
        print(f"  {reason}: {_percent(where.total(), n_edits)} {dict(where.most_common(40))}")


def _different(pictures: list[filters.ByteImage], n_pairs: int, rng: random.Random) -> None:
    places = []
    for _ in range(n_pairs):
        one, other = rng.sample(pictures, 2)
        mirrored = np.ascontiguousarray(other[:, ::-1])
        places.append(max(filters.shared_places(one, other), filters.shared_places(one, mirrored)))
    print(f"\n{n_pairs} pairs of different photographs; most places shared: {max(places)}")
    for threshold in THRESHOLDS:
        print(f"  accepted from {threshold} places: {_percent(sum(p >= threshold for p in places), n_pairs)}")


def _leaks(pictures: list[filters.ByteImage]) -> None:
    put_on = {
        "border": [_letterboxed(p) for p in pictures],
        "jpeg_grid": [_jpeg(p, 20) for p in pictures],
        "size_differs": [np.ascontiguousarray(p[4:]) for p in pictures],
    }
    print("\nleaks put on on purpose")
    for reason, edited in put_on.items():
        found = sum(reason in filters.leaks(a, b, "mood") for a, b in zip(pictures, edited, strict=True))
        print(f"  {reason} found: {_percent(found, len(pictures))}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the filters on a folder of photographs.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photos", type=int, default=40, help="photographs that are edited")
    parser.add_argument("--different", type=int, default=4000, help="pairs of different photographs")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    files = sorted(file for file in args.folder.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES)
    pictures = [np.asarray(load_image(file).image) for file in rng.sample(files, len(files))]
    chosen = pictures[: args.photos]
    print(f"{len(files)} photographs in {args.folder.name}, seed {args.seed}")
    _leaks(chosen)
    if args.different:
        _different(pictures, args.different, rng)
    _same_scene(chosen)


if __name__ == "__main__":
    main()
