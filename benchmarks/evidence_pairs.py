"""How well two pictures are laid over each other, and how often what they differ in is found, told apart and made up.

    python benchmarks/evidence_pairs.py PHOTOS [--photos 12] [--different 300] [--seed 0]

Prints the tables of docs/evidence.md: turns, crops and stretches of known size, alone and with a
fault of light, focus or noise on top; random pairs of different photographs; every embedded operation at strengths
0.3, 0.6 and 1; time and memory for two pictures of 12 megapixels.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from redaes.datagen.editors.parametric import OPERATIONS, apply_edit
from redaes.evidence.measurements import Measurements, PairEvidence
from redaes.evidence.pair import measure_pair
from redaes.images import IMAGE_SUFFIXES, load_image

ByteImage = NDArray[np.uint8]

STRENGTHS = (0.3, 0.6, 1.0)
GEOMETRY = ("tilt", "crop_off", "tight_crop", "stretch", "keystone", "mirror", "tiny_crop")
CONTENT = ("clutter", "date_stamp", "watermark", "lens_dirt", "lens_flare", "power_lines", "finger")
ON_TOP = (("exposure_down", 0.6), ("cast_warm", 0.6), ("defocus", 0.6), ("noise_luma", 0.6), ("jpeg_blocks", 0.6))
IN_THE_OTHER = (("exposure_up", 0.3), ("defocus", 0.4), ("noise_luma", 0.4), ("jpeg_blocks", 0.4))


def evidence(first: ByteImage, second: ByteImage) -> PairEvidence:
    """Of the pair alone: what is measured in one picture takes its own time."""
    one, other = (Measurements(width=image.shape[1], height=image.shape[0], values={}) for image in (first, second))
    return measure_pair(first, second, measured=(one, other))


def view(image: ByteImage, wide: float, high: float, turn_deg: float) -> ByteImage:
    """The middle of the picture, ``wide`` x ``high`` of its frame, turned anticlockwise, at the picture's size."""
    height, width = image.shape[:2]
    cos, sin = math.cos(math.radians(turn_deg)), math.sin(math.radians(turn_deg))
    linear = np.array([[wide * cos, -high * sin], [wide * sin, high * cos]])
    middle = np.array([width, height]) / 2 - 0.5
    matrix = np.hstack([linear, (middle - linear @ middle)[:, None]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    seen: ByteImage = cv2.warpAffine(image, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    return seen


def known(image: ByteImage) -> Iterator[tuple[str, ByteImage, dict[str, float]]]:
    """Edits of known size, with what they do to the registration."""
    for degrees in (1.0, -4.0, 12.0):
        shows = 0.75
        yield f"turned by {abs(degrees):.0f}", view(image, shows, shows, degrees), {
            "rotation_deg": degrees, "scale": 1 / shows, "stretch": 1.0, "shown_of_first": shows * shows,
        }  # fmt: skip
    for shows in (0.95, 0.7, 0.45):
        yield f"shows {shows:.2f} of each side", view(image, shows, shows, 0), {
            "rotation_deg": 0.0, "scale": 1 / shows, "stretch": 1.0, "shown_of_first": shows * shows,
        }  # fmt: skip
    for wide in (0.95, 0.8, 0.6):
        yield f"stretched by {1 / wide:.2f}", view(image, wide, 1.0, 0), {
            "rotation_deg": 0.0, "scale": wide**-0.5, "stretch": 1 / wide, "shown_of_first": wide,
        }  # fmt: skip


def _percent(values: list[bool]) -> str:
    return f"{100 * sum(values) / len(values):.1f} %" if values else "-"


def _errors(pictures: list[ByteImage], rng: random.Random) -> None:
    print("\n| edit | fault on top | registered | error of turn | of scale | of stretch | of share shown |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    rows: dict[tuple[str, str], list[dict[str, float] | None]] = defaultdict(list)
    for number, picture in enumerate(pictures):
        for name, edited, truth in known(picture):
            kind = name.split()[0]
            for fault in (None, rng.choice(ON_TOP)):
                found = evidence(picture, apply_edit(edited, *fault, number) if fault else edited).registration
                rows[kind, fault[0] if fault else "none"].append(
                    {key: abs(getattr(found, key) - value) for key, value in truth.items()} if found else None
                )
    for (kind, fault_name), errors in rows.items():
        held = [error for error in errors if error is not None]
        cells = [
            f"{np.median([error[key] for error in held]):.4f}, {max(error[key] for error in held):.3f}" if held else "-"
            for key in ("rotation_deg", "scale", "stretch", "shown_of_first")
        ]
        print(f"| {kind} | {fault_name} | {len(held)} of {len(errors)} | {' | '.join(cells)} |")
    print("\nErrors: median, largest; the turn in degrees.")


def _different(pictures: list[ByteImage], n_pairs: int, rng: random.Random) -> None:
    pairs = [rng.sample(range(len(pictures)), 2) for _ in range(n_pairs)]
    wrong = [(a, b) for a, b in pairs if evidence(pictures[a], pictures[b]).registration is not None]
    print(f"\nDifferent photographs: {len(wrong)} of {n_pairs} random pairs registered {wrong or ''}")


def _operations(pictures: list[ByteImage], rng: random.Random) -> None:
    laid: dict[str, list[bool]] = defaultdict(list)
    changed: dict[tuple[str, float], list[bool]] = defaultdict(list)
    sides: dict[tuple[str, float], Counter[str]] = defaultdict(Counter)
    for number, picture in enumerate(pictures):
        for name, operation in sorted(OPERATIONS.items()):
            strengths = STRENGTHS if operation.direction == "degrade" else (1.0,)
            for strength in strengths:
                edited = apply_edit(picture, name, strength, number)
                for fault in (None, rng.choice(IN_THE_OTHER)) if name in CONTENT else (None,):
                    other = apply_edit(picture, *fault, number) if fault else picture
                    # The edited one is now first, now second.
                    turned = (number + round(10 * strength)) % 2 == 1
                    found = evidence(edited, other) if turned else evidence(other, edited)
                    registered = found.registration
                    laid[name].append(registered is not None)
                    key = (name if fault is None else f"{name}, fault in the other", strength)
                    changed[key].append(bool(found.changes))
                    for change in found.changes:
                        right = change.side == ("A" if turned else "B")
                        sides[key]["none" if change.side is None else "right" if right else "wrong"] += 1
    missed = {name: values for name, values in laid.items() if not all(values)}
    everything = [value for values in laid.values() for value in values]
    print(f"\nEdits of one scene registered: {_percent(everything)} of {len(everything)}; not all of:")
    for name, values in sorted(missed.items()):
        print(f"  {name}: {sum(values)} of {len(values)}")
    print("\n| operation | found at 0.3 | 0.6 | 1 | regions on the right side | wrong side | no side |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in [key for one in CONTENT for key in (one, f"{one}, fault in the other")]:
        total = sum((sides[name, strength] for strength in STRENGTHS), Counter())
        cells = [_percent(changed[name, strength]) for strength in STRENGTHS]
        shares = [f"{100 * total[side] / max(1, total.total()):.1f} %" for side in ("right", "wrong", "none")]
        print(f"| {name} | {' | '.join(cells)} | {' | '.join(shares)} |")
    regions = sum((counts for key, counts in sides.items() if key[0].split(",")[0] in CONTENT), Counter())
    print(f"\nAll regions: {dict(regions)}")
    quiet = {key: values for key, values in changed.items() if key[0].split(",")[0] not in CONTENT}
    print("\n| edits without a change | pairs | pairs with a change | where |")
    print("| --- | --- | --- | --- |")
    for title, names in (("of the view", GEOMETRY), ("of light, colour, focus and noise", None)):
        chosen = {key: values for key, values in quiet.items() if (key[0] in GEOMETRY) == (names is not None)}
        values = [value for one in chosen.values() for value in one]
        where = ", ".join(f"{key[0]} {key[1]}: {sum(one)} of {len(one)}" for key, one in chosen.items() if any(one))
        print(f"| {title} | {len(values)} | {sum(values)} ({_percent(values)}) | {where} |")


def _peak_mib() -> float:
    """Highest memory of this process since that was last reset, as Linux counts it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def _cost(picture: ByteImage) -> None:
    large = cv2.resize(picture, (4000, 3000), interpolation=cv2.INTER_CUBIC)
    others = {"blurred": cv2.GaussianBlur(large, (0, 0), 9), "upside down": np.ascontiguousarray(large[::-1])}
    others["with dirt"] = apply_edit(large, "lens_dirt", 0.6, 1)
    for name, other in others.items():
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
        before, start = _peak_mib(), time.process_time()
        evidence(large, other)
        spent = time.process_time() - start
        print(f"12 megapixels, {name}: {spent:.2f} s of one thread, {_peak_mib() - before:.0f} MiB above the pictures")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="folder of photographs, searched through")
    parser.add_argument("--photos", dest="n_photos", type=int, default=12)
    parser.add_argument("--different", type=int, default=300, help="random pairs of different photographs")
    parser.add_argument("--skip", type=int, default=0, help="photographs left out at the beginning")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    files = sorted(path for path in args.photos.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    rng = random.Random(args.seed)
    rng.shuffle(files)
    pictures = [np.asarray(load_image(path).image) for path in files[args.skip : args.skip + max(args.n_photos, 200)]]
    print(f"{len(files)} photographs, {args.n_photos} edited")
    _cost(pictures[0])
    _different(pictures, args.different, rng)
    _errors(pictures[: args.n_photos], rng)
    _operations(pictures[: args.n_photos], rng)


if __name__ == "__main__":
    main()
