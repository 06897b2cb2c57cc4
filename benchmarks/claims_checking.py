"""Whether true statements of a fault are supported and false ones contradicted: the second table of docs/claims.md.

    python benchmarks/claims_checking.py [--photographs FOLDER] [--limit 6] [--side 512] [--strengths 0.5]

Each embedded edit is done to each photograph, and the sentence that names its symptom is held against the pixels: said
of the edited picture, which is true, and of the other, which is false. Without a folder, the sample photographs that
scikit-image and scikit-learn ship. About a minute a photograph, at 512 pixels and one strength, on one core.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from pathlib import Path

import cv2
import numpy as np

from redaes.datagen.editors.parametric import apply_edit
from redaes.datagen.rationales.symptoms import SYMPTOMS, named
from redaes.evidence.checking import check_rationale
from redaes.evidence.pair import measure_pair
from redaes.evidence.picture import measure
from redaes.images import IMAGE_SUFFIXES, load_image
from redaes.samples import sample_photographs

STATUSES = ("supported", "contradicted", "not_measurable")


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=Path, help="folder, looked through with its folders")
    parser.add_argument("--limit", type=int, default=6, help="photographs at most, spread over the folder")
    parser.add_argument("--side", type=int, default=512, help="longest side, in pixels")
    parser.add_argument("--strengths", type=float, nargs="+", default=[0.5])
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    """Prints a table: for each operation, how statements of its symptom came out."""
    files = [sample.path for sample in sample_photographs()]
    if args.photographs is not None:
        files = sorted(path for path in args.photographs.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    files = files[:: max(1, len(files) // args.limit)][: args.limit]
    found: dict[tuple[str, bool], Counter[str]] = defaultdict(Counter)
    for file in files:
        image = np.asarray(load_image(file).image)
        shrink = args.side / max(image.shape[:2])
        if shrink < 1:
            image = cv2.resize(image, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        measured = measure(image)
        for name, (fault, *_) in SYMPTOMS.items():
            for strength in args.strengths:
                edited = apply_edit(image, name, strength, seed=3)
                evidence = measure_pair(edited, image, measured=(measure(edited), measured))
                for side in ("A", "B"):
                    claims = check_rationale(f"{side} shows {named(fault, '')}.", evidence).checked
                    found[name, side == "A"].update(one.status for one in claims)
    print("| edit | said of the edited picture: +/−/? | said of the other: +/−/? |\n|---|---|---|")
    for name in SYMPTOMS:
        cells = [" / ".join(str(found[name, true][status]) for status in STATUSES) for true in (True, False)]
        print(f"| {name} | {cells[0]} | {cells[1]} |")
    for true in (True, False):
        total: Counter[str] = sum((found[name, true] for name in SYMPTOMS), Counter())
        print(f"\n{'true' if true else 'false'}: " + ", ".join(f"{status} {total[status]}" for status in STATUSES))


if __name__ == "__main__":
    main(parse_args())
