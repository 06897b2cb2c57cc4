"""Fit the curves of `redaes.datagen.severity` anew, from KADID-10k's mean opinions and from photographs, and compare.

    python benchmarks/severity.py --opinions kadid10k_severity.csv PHOTOGRAPHS... [--operations NAME...] [--print]

The table of opinions has the columns ``name``, ``level``, ``dmos_mean`` and ``dmos_sd``: means over the reference
pictures of KADID-10k (http://database.mmsp-kn.de/kadid-10k-database.html), which is free for research and not part of
this project. Without photographs only the curves from strength are fitted. Exit code 1: a curve differs by more than
``TOLERANCE`` points somewhere, or a spread by more than ``SPREAD_TOLERANCE``.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from redaes.datagen import severity as known
from redaes.datagen.editors.parametric import OPERATIONS, apply_edit
from redaes.datagen.judges import Reference
from redaes.datagen.judges.cover import covered
from redaes.datagen.picture_groups import resized
from redaes.datagen.severity import ARGUED, ARGUED_STRENGTHS, COUNTERPARTS, COVERING, SeverityCurve, points_of

STRENGTHS = tuple(round(0.1 * n, 1) for n in range(1, 11))
MAX_SIDE = 256
FURTHEST = 2.0
"""Doses are sought up to this strength: the curve may use opinions of more than the editor ever does."""
TOLERANCE = 0.3
SPREAD_TOLERANCE = 0.02
POWERS = np.linspace(0.6, 3.5, 59)


def opinions(path: Path) -> dict[tuple[str, int], tuple[float, float]]:
    """Mean and standard deviation over pictures of each distortion and level."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {(row["name"], int(row["level"])): (float(row["dmos_mean"]), float(row["dmos_sd"])) for row in rows}


def strength_of(operation: str, dose: float) -> float | None:
    """The strength at which an operation has a dose; None: at none up to ``FURTHEST``, where the dose is monotone."""
    of = OPERATIONS[operation].dose
    if of is None:
        raise ValueError(f"{operation} has no dose")
    top = 1.0 if operation == "jpeg_blocks" else FURTHEST
    sign = 1.0 if of(top) > of(0.0) else -1.0
    if not sign * of(0.0) - 1e-9 <= sign * dose <= sign * of(top) + 1e-9:
        return None
    low, high = 0.0, top
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if sign * of(middle) < sign * dose else (low, middle)
    return (low + high) / 2


def fit(xs: NDArray[np.float64], points: NDArray[np.float64]) -> SeverityCurve:
    """The curve with the least mean squared distance in points."""
    scales = np.geomspace(xs[xs > 0].min() / 2, 6 * xs.max(), 400)[:, None, None]
    powers = POWERS[None, :, None]
    error = np.square(9 * -np.expm1(-((xs / scales) ** powers)) - points).mean(axis=2)
    best = np.unravel_index(error.argmin(), error.shape)
    return SeverityCurve(float(f"{scales[best[0], 0, 0]:.4g}"), round(float(POWERS[best[1]]), 3))


def by_strength(table: dict[tuple[str, int], tuple[float, float]]) -> dict[str, tuple[SeverityCurve, float]]:
    """Curve and spread of each operation."""
    found: dict[str, tuple[SeverityCurve, float]] = {}
    for name, counterpart in COUNTERPARTS.items():
        xs, points, spreads = [0.0], [0.0], []
        for level, parameter in counterpart.levels.items():
            strength = strength_of(name, counterpart.dose(parameter))
            mean, deviation = table[counterpart.distortion, level]
            spreads.append(2.5 * deviation)
            if strength is not None:
                xs.append(strength)
                points.append(points_of(mean))
        curve = fit(np.array(xs), np.array(points))
        misfit = math.sqrt(np.mean([(curve(x) - p) ** 2 for x, p in zip(xs, points, strict=True)]))
        found[name] = curve, round(math.hypot(math.sqrt(np.mean(np.square(spreads))), misfit), 2)
    for name, argument in ARGUED.items():
        curve = fit(np.array((0.0, *ARGUED_STRENGTHS)), np.array((0.0, *argument.points)))
        found[name] = curve, argument.spread
    return found


def changes(photographs: list[Path], operations: list[str]) -> dict[str, NDArray[np.float64]]:
    """Each operation's change in each photograph, (photographs, strengths)."""
    found: dict[str, list[list[float]]] = defaultdict(list)
    for number, path in enumerate(photographs):
        with Image.open(path) as image:
            full = np.asarray(image.convert("RGB"))
        scale = min(1.0, MAX_SIDE / max(full.shape[:2]))
        pixels = resized(full, round(full.shape[1] * scale), round(full.shape[0] * scale))
        reference = Reference(pixels)
        for name in operations:
            row = []
            for strength in STRENGTHS:
                if OPERATIONS[name].frame_share(strength) < 1:
                    edited = resized(apply_edit(full, name, strength, number), pixels.shape[1], pixels.shape[0])
                else:
                    edited = apply_edit(pixels, name, strength, number)
                row.append(covered(pixels, edited) if name in COVERING else reference.difference(edited))
            found[name].append(row)
    return {name: np.array(rows) for name, rows in found.items()}


def compare(
    what: str, name: str, fitted: SeverityCurve, curves: dict[str, SeverityCurve], xs: NDArray[np.float64]
) -> bool:
    """Print a curve that is not the known one; True: it is."""
    if name in curves:
        gap = max(abs(fitted(x) - curves[name](x)) for x in xs)
        if gap <= TOLERANCE:
            return True
        print(f"{what} {name}: {gap:.2f} points apart: {fitted} here, {curves[name]} in redaes.datagen.severity")
    else:
        print(f"{what} {name}: not in redaes.datagen.severity")
    return False


def compare_spread(name: str, fitted: float) -> bool:
    """Print a spread that is not the known one; True: it is."""
    if abs(fitted - known.SPREAD[name]) <= SPREAD_TOLERANCE:
        return True
    print(f"spread {name}: {fitted:g} here, {known.SPREAD[name]:g} in redaes.datagen.severity")
    return False


def main() -> int:
    """Fit, print, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path, nargs="*")
    parser.add_argument("--opinions", type=Path, required=True)
    parser.add_argument("--operations", nargs="+", choices=sorted({*COUNTERPARTS, *ARGUED}), help="default: all")
    parser.add_argument("--print", action="store_true", help="the curves as Python")
    args = parser.parse_args()
    fitted = by_strength(opinions(args.opinions))
    planned = {name: fitted[name] for name in args.operations or fitted}
    same = [
        compare("strength", name, curve, known.BY_STRENGTH, np.linspace(0, 1, 21))
        for name, (curve, _) in planned.items()
    ]
    same += [compare_spread(name, spread) for name, (_, spread) in planned.items()]
    seen: dict[str, SeverityCurve] = {}
    print("operation         points at .3 .6 1    change at .3 .6 1 (median), 10th and 90th percentile at .6")
    measured = changes(args.photographs, list(planned)) if args.photographs else {}
    for name, (curve, _) in planned.items():
        line = f"{name:18}" + " ".join(f"{curve(s):5.2f}" for s in ARGUED_STRENGTHS)
        if name in measured:
            median = np.median(measured[name], axis=0)
            seen[name] = fit(median, np.array([curve(s) for s in STRENGTHS]))
            same.append(compare("change", name, seen[name], known.BY_CHANGE, median))
            low, high = np.percentile(measured[name][:, 5], (10, 90))
            line += "   " + " ".join(f"{median[n]:5.3f}" for n in (2, 5, 9)) + f"   {low:5.3f} {high:5.3f}"
        print(line)
    if args.print:
        print("_SCALES_AND_POWERS: dict[str, tuple[float, float, float, float]] = {")
        for name, (curve, _) in planned.items():
            both = [curve, *([seen[name]] if name in seen else [])]
            print(f'    "{name}": ({", ".join(f"{one.scale:g}, {one.power:g}" for one in both)}),')
        print("}")
        print("SPREAD: dict[str, float] = {")
        for name, (_, spread) in planned.items():
            if name in COUNTERPARTS:
                print(f'    "{name}": {spread:g},')
        print("}")
    return 0 if all(same) else 1


if __name__ == "__main__":
    sys.exit(main())
